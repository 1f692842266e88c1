//! The compose projects that are compared.

/// A compose project in a workspace folder.
pub(super) struct Case {
    pub(super) name: &'static str,
    /// The compose files that the configuration names.
    pub(super) named: &'static [&'static str],
    /// Variables of the environment.
    pub(super) environment: &'static [(&'static str, &'static str)],
    pub(super) files: &'static [(&'static str, &'static str)],
    /// True if compose refuses it.
    pub(super) fails: bool,
    /// The first version of compose that has all of it.
    pub(super) since: (u32, u32),
}

pub(super) const fn case(
    name: &'static str,
    files: &'static [(&'static str, &'static str)],
) -> Case {
    Case {
        name,
        named: &[".devcontainer/c.yml"],
        environment: &[],
        files,
        fails: false,
        since: (2, 0),
    }
}

/// A project with one compose file.
pub(super) const fn failing(
    name: &'static str,
    files: &'static [(&'static str, &'static str)],
) -> Case {
    Case {
        fails: true,
        ..case(name, files)
    }
}

pub(super) const C: &str = ".devcontainer/c.yml";
pub(super) const ENV: &str = ".devcontainer/.env";

pub(super) const CASES: &[Case] = &[
    case(
        "the forms of a build",
        &[(
            C,
            "\u{feff}services:\n  a: {build: .}\n  b: {build: {context: ..}}\n  c: {build: {dockerfile: ../D}}\n  d:\n    build: {\n      context: x,\n      dockerfile: /D,\n      target: t }\n  e:\n    build: {dockerfile_inline: \"FROM x\\n\"}\n  f: {build: https://example.com/x.git#main}\n  g: {image: x}\n  h: {build: ~/x}\n  i: {build: {context: 'x', args: {}}}\n",
        )],
    ),
    case(
        "arguments",
        &[(
            C,
            "services:\n  a:\n    build:\n      context: .\n      args: {A: 1, B: 1.50, C: true, D: , E: 0x10, F: 'x', G: 1e3, H: 017, HOME: , I: \"a=b\", J: -5}\n  b:\n    build:\n      context: .\n      args: [A=1, B, HOME, 'C=a=b', D=]\n",
        )],
    ),
    case(
        "anchors, merge keys and tags",
        &[
            (
                C,
                "x-b: &b {context: a, args: {A: a, B: b}}\nx-c: &c {context: no, dockerfile: D}\nx-s: &s\n  image: x\n  env_file: [e.env]\nservices:\n  a:\n    <<: *s\n    build: {<<: [*b, *c], args: {A: c}}\n  b: {<<: *s, build: *b}\n  c: {build: !!str a}\n  d:\n    build:\n      context: >-\n        a\n        b\n      dockerfile: \"\\x44\"\n",
            ),
            (".devcontainer/e.env", "A=a\n"),
            (".devcontainer/other.env", "A=a\n"),
        ],
    ),
    case(
        "several documents",
        &[(
            C,
            "services: {a: {build: a}}\n---\nservices: {a: {build: {dockerfile: D}}, b: {build: b}}\n",
        )],
    ),
    Case {
        named: &[".devcontainer/c.yml", "x/d.yml", "x/e.yml"],
        ..case(
            "several files",
            &[
                (
                    C,
                    "services:\n  a: {build: {context: a, target: t, args: {A: a, B: b}}, env_file: e.env}\n  b: {build: b}\n  c: {build: {context: c, target: t}, env_file: e.env}\n  d: {build: d, image: x}\n",
                ),
                (
                    "x/d.yml",
                    "services:\n  a: {build: {dockerfile: D, args: [B=c, C=c]}, env_file: [f.env]}\n  b: {build: {context: ./x}}\n  c: {build: !override {context: over}}\n  d: {build: !reset null}\n",
                ),
                (
                    "x/e.yml",
                    "services: {c: {build: {target: !reset null}, env_file: !override [f.env]}}\n",
                ),
                (".devcontainer/e.env", "A=a\n"),
                (".devcontainer/f.env", "A=a\n"),
                ("x/f.env", "A=a\n"),
            ],
        )
    },
    case(
        "extends",
        &[
            (
                C,
                "services:\n  a:\n    extends: {file: x/x.yml, service: s}\n    build: {target: a}\n  b: {extends: a, build: {dockerfile: B}}\n  c: {extends: {file: x/x.yml, service: t}}\n  d: {extends: {file: ./x/x.yml, service: s}, build: {context: own}, env_file: own.env}\n",
            ),
            (".devcontainer/own.env", "A=a\n"),
            (
                ".devcontainer/x/x.yml",
                "services:\n  s:\n    extends: {file: ../y/y.yml, service: s}\n    build: {context: ctx, args: {A: x}}\n  t: {build: {dockerfile: D}}\n  u: {build: unused}\n",
            ),
            (
                ".devcontainer/y/y.yml",
                "services:\n  s:\n    build: {context: no, dockerfile: Y, args: {A: y, B: y}}\n    env_file: [y.env]\n",
            ),
            (".devcontainer/y/y.env", "A=a\n"),
            (".devcontainer/y.env", "A=a\n"),
        ],
    ),
    case(
        "include",
        &[
            (
                C,
                "include:\n  - a/a.yml\n  - path: b/b.yml\n  - path: [d/d.yml, d/over.yml]\n    project_directory: p\n    env_file: [f/one.env, f/two.env]\nservices: {m: {build: 'm${A}'}}\n",
            ),
            (ENV, "M=m\n"),
            (
                ".devcontainer/a/a.yml",
                "include: [sub/s.yml]\nservices: {a: {build: '${A}/${M}', env_file: a.env}}\n",
            ),
            (".devcontainer/a/a.env", "A=a\n"),
            (".devcontainer/a/.env", "A=aa\nM=no\n"),
            (
                ".devcontainer/a/sub/s.yml",
                "services: {s: {build: 's${A}${M}'}}\n",
            ),
            (
                ".devcontainer/b/b.yml",
                "services: {b: {extends: {file: ext.yml, service: e}}}\n",
            ),
            (".devcontainer/b/ext.yml", "services: {e: {build: e}}\n"),
            (
                ".devcontainer/d/d.yml",
                "services: {d: {build: '${ONE}${TWO}'}}\n",
            ),
            (
                ".devcontainer/d/over.yml",
                "services: {d: {build: {dockerfile: D}}}\n",
            ),
            (".devcontainer/f/one.env", "ONE=one\nTWO=no\n"),
            (".devcontainer/f/two.env", "TWO=two\n"),
            (".devcontainer/d/.env", "ONE=no\n"),
            (".devcontainer/p/.env", "ONE=no\n"),
            (".env", "M=no\n"),
        ],
    ),
    Case {
        environment: &[("X", "outer"), ("EMPTY", "")],
        ..case(
            "variables",
            &[
                (
                    C,
                    "services:\n  a: {build: '$X/${X}/${Y}'}\n  b: {build: 'a${NONE}/${NONE:-d}/${NONE-e}/${EMPTY:-f}/g${EMPTY-g}'}\n  c: {build: '${X:?no}/${X?no}/h${EMPTY?no}'}\n  d: {build: 'i${NONE:+j}${NONE+k}/${X:+l}/${EMPTY+m}/n${EMPTY:+o}'}\n  e: {build: '$$X/$${X}/$1/a$'}\n  f: {build: '${NONE:-${EMPTY:-${X}}}y/${NONE:-a:-b}/${NONE:-a$$b}'}\n  g: {build: 'p/${COMPOSE_PROJECT_NAME}'}\n",
                ),
                (ENV, "X=no\nY=y\n"),
            ],
        )
    },
    case(
        "the file of variables",
        &[
            (
                C,
                "services:\n  a: {build: {context: ., args: [A, B, C, D, E, F, G, H, I, J]}}\n",
            ),
            (
                ENV,
                "\u{feff}# c\nA=a # c\nexport B = b#c\r\nC: c\nD='$A #d' # c\nE=\"$A\\n${A:-no}\\$A \\\"q\\\" \\q\"\nF=${A}f\nG=\nH='a\nb'\nHOME\nI=$HOME\n",
            ),
        ],
    ),
    Case {
        environment: &[("COMPOSE_ENV_FILES", "one.env,x/two.env"), ("A", "outer")],
        ..case(
            "named files of variables",
            &[
                (
                    C,
                    "services:\n  a: {build: {context: ., args: [A, B, C]}}\n",
                ),
                (ENV, "B=no\n"),
                ("one.env", "A=no\nB=one\nC=one\n"),
                ("x/two.env", "C=two\n"),
            ],
        )
    },
    Case {
        environment: &[("COMPOSE_DISABLE_ENV_FILE", "1")],
        ..case(
            "no file of variables",
            &[(C, "services: {a: {build: 'a${A}'}}\n"), (ENV, "A=no\n")],
        )
    },
    case(
        "files of variables of a container",
        &[
            (
                C,
                "services:\n  a: {image: x, env_file: a.env}\n  b: {image: x, env_file: [b.env, ../b.env]}\n  c: {image: x, profiles: [p], env_file: [{path: c.env, required: true}, {path: none.env, required: false}, {path: d.env, required: false}]}\n",
            ),
            (".devcontainer/a.env", "A=a\n"),
            (".devcontainer/b.env", "A=b\n"),
            ("b.env", "A=c\n"),
            (".devcontainer/c.env", "A=c\n"),
            (".devcontainer/d.env", "A=d\n"),
        ],
    ),
    Case {
        named: &[],
        ..case(
            "the default files",
            &[
                (
                    "docker-compose.yml",
                    "services: {a: {build: a, image: '${A}'}}\n",
                ),
                (
                    "docker-compose.override.yml",
                    "services: {a: {build: {dockerfile: D}}}\n",
                ),
                (".env", "A=a\n"),
                ("compose.yml", "services: {no: {build: no}}\n"),
            ],
        )
    },
    Case {
        named: &[],
        ..case(
            "the files that .env names",
            &[
                ("x/c.yml", "services: {a: {build: 'a${A}'}}\n"),
                ("d.yml", "services: {a: {build: {dockerfile: D}}}\n"),
                (".env", "A=a\nCOMPOSE_FILE=x/c.yml:d.yml\n"),
                ("x/.env", "A=no\n"),
            ],
        )
    },
    case(
        "JSON",
        &[(
            C,
            "{\"services\": {\"a\": {\"build\": {\"context\": \"a\\u0062\"}},\n\t\"b\": {\"build\": \"..\"}}}\n",
        )],
    ),
    failing(
        "a needed variable",
        &[(C, "services: {a: {build: '${NONE:?no}'}}\n")],
    ),
    failing(
        "an invalid variable",
        &[(C, "services: {a: {build: '${NONE!}'}}\n")],
    ),
    failing("invalid YAML", &[(C, "services: {a: {build: .}\n")]),
    failing(
        "a key that stands twice",
        &[(C, "services: {a: {build: .}, a: {build: .}}\n")],
    ),
    failing("no mapping", &[(C, "[a]\n")]),
    failing(
        "a compose file that is missing",
        &[("d.yml", "services: {}\n")],
    ),
    failing(
        "an extended file that is missing",
        &[(C, "services: {a: {extends: {file: x.yml, service: a}}}\n")],
    ),
    failing(
        "an extended service that is missing",
        &[(C, "services: {a: {extends: b}}\n")],
    ),
    failing(
        "services that extend each other",
        &[(C, "services: {a: {extends: b}, b: {extends: a}}\n")],
    ),
    failing(
        "an included file that is missing",
        &[(C, "include: [x.yml]\nservices: {a: {build: .}}\n")],
    ),
    failing(
        "files that include each other",
        &[
            (C, "include: [x.yml]\n"),
            (
                ".devcontainer/x.yml",
                "include: [c.yml]\nservices: {a: {build: .}}\n",
            ),
        ],
    ),
    failing(
        "an invalid file of variables",
        &[(C, "services: {a: {build: .}}\n"), (ENV, "a b\n")],
    ),
];
