//! Compose projects with the shapes of those in repositories, and with what YAML and variables allow besides.

use super::cases::{C, Case, ENV, case, failing};

pub(super) const SHAPES: &[Case] = &[
    case(
        "a template of dev containers",
        &[
            (
                C,
                "version: '3.8'\n\nservices:\n  app:\n    build:\n      context: ..\n      dockerfile: .devcontainer/Dockerfile\n      args:\n        VARIANT: \"3.12-bookworm\" # of the image\n        NODE: ${NODE:-lts/*}\n    env_file: .env\n    volumes:\n      - ../..:/workspaces:cached\n    # Keeps it running\n    command: sleep infinity\n    network_mode: service:db\n\n  db:\n    image: postgres:latest\n    restart: unless-stopped\n    volumes: [data:/var/lib/postgresql/data]\n    environment: {POSTGRES_USER: postgres, POSTGRES_PASSWORD: $$ecret}\n    healthcheck: {test: [\"CMD-SHELL\", \"pg_isready -U $${POSTGRES_USER}\"]}\n\nvolumes:\n  data:\n",
            ),
            (ENV, "NODE='20' # of the image\n"),
        ],
    ),
    case(
        "fragments",
        &[
            (
                C,
                "x-env: &env\n  A: a\n  B: b\nx-logging: &logging {driver: json-file, options: {max-size: 1m}}\nx-build: &build\n  context: &root .\n  args: &args {<<: *env, B: c, C: ''}\nx-app: &app\n  build: *build\n  logging: *logging\n  env_file: &files [a.env, {path: b.env, required: false}]\nx-more: &more {restart: always, build: {context: no}}\nservices:\n  one:\n    <<: [*app, *more]\n    build:\n      <<: *build\n      target: one\n      args: {<<: [*args, {D: d}], A: z}\n  two:\n    <<: *more\n    build: {context: *root, args: *args}\n    env_file: *files\n  three: {<<: *app, x-own: {a: 1}, depends_on: {one: {condition: service_started, required: false}}}\n",
            ),
            (".devcontainer/a.env", "A=a\n"),
            (".devcontainer/b.env", "A=b\n"),
        ],
    ),
    case(
        "what is relative to an extended file",
        &[
            (
                C,
                "services:\n  a:\n    extends: {file: ../base/base.yml, service: web}\n    env_file: [own.env]\n    build: {args: {OWN: '1'}}\n  b: {extends: {file: ../base/base.yml, service: inline}}\n",
            ),
            (
                "base/base.yml",
                "services:\n  web:\n    extends: {service: root}\n    build:\n      context: ./ctx\n      dockerfile: ../docker/Dockerfile\n      additional_contexts: {conf: ./conf, img: docker-image://x}\n    env_file: base.env\n  root:\n    extends: {file: deep/deep.yml, service: deep}\n    env_file: [{path: root.env}]\n  inline: {build: {context: '.', dockerfile_inline: 'FROM $$X'}}\n",
            ),
            (
                "base/deep/deep.yml",
                "services: {deep: {build: {args: [DEEP]}, env_file: [../deep.env, ./deep.env]}}\n",
            ),
            (".devcontainer/own.env", "A=a\n"),
            ("base/base.env", "A=a\n"),
            ("base/root.env", "A=a\n"),
            ("base/deep.env", "A=a\n"),
            ("base/deep/deep.env", "A=a\n"),
            (".devcontainer/base.env", "A=a\n"),
            (ENV, "DEEP=deep\n"),
            ("base/.env", "DEEP=no\n"),
        ],
    ),
    case(
        "variables in names of files",
        &[
            (
                C,
                "include: ['${DIR}/i.yml']\nservices:\n  a:\n    extends: {file: '${DIR}/x.yml', service: '${S:-s}'}\n    env_file: ${FILE:-a.env}\n",
            ),
            (ENV, "DIR=d\n"),
            (
                ".devcontainer/d/i.yml",
                "services: {i: {build: '${DIR}', env_file: ['${DIR}.env']}}\n",
            ),
            (".devcontainer/d/d.env", "A=a\n"),
            (
                ".devcontainer/d/x.yml",
                "services: {s: {build: '${DIR}/${S-none}'}}\n",
            ),
            (".devcontainer/a.env", "A=a\n"),
        ],
    ),
    case(
        "long forms of include",
        &[
            (
                C,
                "include:\n  - path: ../one/c.yml\n    project_directory: ../two\n    env_file: one.env\n  - path: ['../three/c.yml', ../three/o.yml]\n    env_file: ../three/x.env\n  - {path: ../four/c.yml, env_file: []}\nservices: {main: {build: 'm${A}${B}', depends_on: [one]}}\n",
            ),
            (".devcontainer/one.env", "A=one\nB=${OUT:-b}\n"),
            (
                "one/c.yml",
                "services: {one: {build: 'c${A}${B}', env_file: e.env}}\n",
            ),
            ("one/.env", "A=no\n"),
            ("two/e.env", "A=a\n"),
            ("two/.env", "A=no\n"),
            ("one/e.env", "A=a\n"),
            (
                "three/c.yml",
                "include: [{path: sub/c.yml}]\nservices: {three: {build: {context: '${A:-none}', args: {A: a}}}}\n",
            ),
            (
                "three/o.yml",
                "services: {three: {build: {args: {A: !reset null, B: '${B-b}'}}}}\n",
            ),
            ("three/x.env", "A=three\n"),
            (
                "three/sub/c.yml",
                "services: {sub: {build: '${A}', extends: {file: b.yml, service: b}}}\n",
            ),
            (
                "three/sub/b.yml",
                "services: {b: {build: {dockerfile: '${A}.D'}}}\n",
            ),
            ("four/c.yml", "services: {four: {build: 'f${A-none}'}}\n"),
            ("four/.env", "A=four\n"),
        ],
    ),
    case(
        "Dockerfiles in a compose file",
        &[(
            C,
            "services:\n  a:\n    build:\n      context: .\n      dockerfile_inline: |\n        FROM $${X}\n        COPY ${F:-a.txt} /x/\n        # no comment of YAML\n  b: {build: {dockerfile_inline: \"FROM x\\nCOPY a \\\\\\n  b /x/\\n\"}}\n  c:\n    build:\n      dockerfile_inline: >\n        FROM x\n\n        RUN a\n          b\n  d:\n    build:\n      dockerfile_inline: |2+\n          FROM x\n        RUN y\n\n    image: d\n",
        )],
    ),
    case(
        "named contexts",
        &[(
            C,
            "services:\n  a: {build: {context: ., additional_contexts: {conf: ./conf, up: .., git: 'https://example.com/x.git', img: docker-image://x, abs: /abs}}}\n  b: {build: {context: ., additional_contexts: [conf=../conf, 'e=d=f']}}\n  c: {build: {context: ., additional_contexts: {base: 'service:a'}}}\n",
        )],
    ),
    case(
        "profiles",
        &[
            (
                C,
                "services:\n  a: {build: a}\n  b: {build: b, profiles: [one, two]}\n  c: {build: c, profiles: [three], env_file: c.env}\n  d: {extends: b, profiles: []}\n  e: {image: e, profiles: ['${P}']}\n  f: {image: f, depends_on: [b], profiles: [one]}\n",
            ),
            (ENV, "COMPOSE_PROFILES=one,four\nP=four\n"),
            (".devcontainer/c.env", "A=a\n"),
        ],
    ),
    Case {
        named: &[".devcontainer/c.yml", "over.yml", ".devcontainer/last.yml"],
        ..case(
            "an order of files",
            &[
                (
                    C,
                    "name: one\nservices:\n  a: {build: {context: a, args: [A=1, B=1, C=1], additional_contexts: [x=x, y=y]}, env_file: [a.env], profiles: [p]}\n  b: {build: b, env_file: [a.env]}\n  c: {build: c, env_file: a.env, image: c}\n  d: {image: d, env_file: [a.env]}\n",
                ),
                (
                    "over.yml",
                    "name: two\nservices:\n  a:\n    build: {args: {A: '2', D: }, additional_contexts: {x: z}}\n    env_file: [{path: b.env, required: false}, a.env]\n  b: !override {build: {context: bb}}\n  c: {build: !reset {}, env_file: !reset []}\n  d: {build: .}\n  e: {build: e}\n",
                ),
                (
                    ".devcontainer/last.yml",
                    "services:\n  a: {build: {target: last}, profiles: !override []}\n  d: {build: {context: d, dockerfile: D}, env_file: !override [c.env]}\n  e: !reset null\n",
                ),
                (".devcontainer/a.env", "A=a\n"),
                (".devcontainer/b.env", "A=b\n"),
                (".devcontainer/c.env", "A=c\n"),
                ("b.env", "A=no\n"),
            ],
        )
    },
    Case {
        environment: &[("A", "a"), ("E", ""), ("lower_1", "l")],
        ..case(
            "nested variables",
            &[(
                C,
                "services:\n  a: {build: '${N:-${M:-c}}/${N-${A}}/${A:-${N:-no}}'}\n  b: {build: 'b${N:-}/$A$A/$A.txt/${A}}/{$A}/${lower_1}$lower_1'}\n  c: {build: 'c${A:+${E:-e}}/${E:+${N}}/${N:-\"q\"}/${N:-a b}'}\n  d: {build: 'd/$$${A}/$${A}/$$$$A/${N:-$$A}/${N:-$A}'}\n  e: {build: {context: ., args: [\"A=${A}\", '${A}=b', \"C=${N-$E}\", 'D=a$$', E]}}\n  f: {build: \"f${A:?is needed: a}/${E?}/${N:-http://x:80/?a=b}/${N:-?}/${N:--}\"}\n",
            )],
        )
    },
    case(
        "quotes in a file of variables",
        &[
            (
                C,
                "services:\n  a:\n    build:\n      context: .\n      args: [A, B, C, D, E, F, G, H, I, J, K, L, M, N, O, P, Q, R, S, T, U, V, W, X, Y, Z]\n",
            ),
            (
                ENV,
                "A='a' # c\nB=\"a\\\"b\"\nC=a\"b\"c\nD=   spaced out   \nE='a\\'b'\nF=\"one\ntwo\"\nG=a$$b\nH=\"${NONE:-d}\"\nI='${A}'\nJ=a\\nb\nK=\"\\t\\\\n\"\nL=ä\nM=a=b\nN==\nO=\"#\"\nP=#c\nQ=a#c\nR=a\t#c\nS= # c\nexport  T=t\nU: u\nV=\"$A${B}\"\nW=$A-${NONE-x}\nX=\"\"\nY=''\nZ=a'b\n",
            ),
        ],
    ),
    case(
        "the name of a project",
        &[
            (
                C,
                "name: 'in-${A}'\nservices: {a: {build: '${COMPOSE_PROJECT_NAME}'}}\n",
            ),
            (ENV, "A=file\nCOMPOSE_PROJECT_NAME=from-env\n"),
        ],
    ),
    case(
        "a name with a variable",
        &[
            (
                C,
                "name: 'in-${A}'\nservices: {a: {build: '${COMPOSE_PROJECT_NAME}'}}\n",
            ),
            (ENV, "A=file\n"),
        ],
    ),
    case(
        "ends of lines of Windows",
        &[
            (
                C,
                "services:\r\n  a:\r\n    build:\r\n      context: a # c\r\n      dockerfile_inline: |\r\n        FROM x\r\n        RUN y\r\n    env_file:\r\n      - a.env\r\n  b: {build: \"b\",\t# c\r\n    image: b}\r\n\r\n",
            ),
            (ENV, "A=a\r\nB=\"b\"\r\n"),
            (".devcontainer/a.env", "A='a'\r\nB=b\r\n"),
        ],
    ),
    case(
        "keys in quotes",
        &[(
            C,
            "\"services\":\n  'a': {\"build\": {'context': 'it''s', \"args\": {\"A B\": '1'}}}\n  ? b\n  : build: \"b\\u00e9\\t\\\n      c\"\n  ? 'c'\n  : {build: c}\n",
        )],
    ),
    case(
        "tags that mean nothing",
        &[(
            C,
            "services:\n  a: !foo {build: !foo a}\n  b: {build: {context: ., args: {A: !foo 1, B: !!int \"3\", C: !!str 3, D: ! 3}}}\n",
        )],
    ),
    case(
        "blocks of text",
        &[(
            C,
            "services:\n  a:\n    build:\n      context: |-\n        a\n      args:\n        A: >-\n          a b\n          c\n\n          d\n            e\n          f\n        B: |\n          a\n\n            b\n        C: >+\n          a\n\n        D: plain\n          text # no\n        E: 'single\n          quoted\n\n          text'\n        F: \"a\\\n          b \\\n          c\"\n        G: |1\n           a\n",
        )],
    ),
    case(
        "scalars of all kinds",
        &[(
            C,
            "services:\n  a:\n    build:\n      context: .\n      args: {A: 1.20, B: 0o17, C: 1_000, F: 0b11, G: 12e03, H: yes, I: on, J: ~, L: 1:30, M: +1, N: 123456789012345678901234567890, O: 0.1, P: 1e21, Q: 1e-7, R: -0, S: 100000000, T: 1., U: 0x1f, V: 1e400, W: -.5, X: 012, Y: 08, Z: Null}\n",
        )],
    ),
    Case {
        since: (2, 40),
        ..case(
            "numbers that JSON does not have",
            &[(
                C,
                "services: {a: {build: {context: ., args: {A: .inf, B: -.Inf, C: .NaN, D: .Nan, E: +.INF}}}}\n",
            )],
        )
    },
    case(
        "build sections with all else",
        &[
            (
                C,
                "services:\n  a:\n    build:\n      context: .\n      ssh: [default]\n      labels: {a: b}\n      cache_from: [x]\n      network: host\n      shm_size: 64m\n      extra_hosts: ['a:1.2.3.4']\n      secrets: [s]\n      tags: [t:1]\n      platforms: [linux/amd64]\n      no_cache: true\n      pull: true\n      privileged: false\n    configs: [c]\n    secrets: [{source: s, target: /s}]\nconfigs: {c: {file: ./c.txt}}\nsecrets: {s: {file: ../s.txt}}\n",
            ),
            (".devcontainer/c.txt", "c"),
            ("s.txt", "s"),
        ],
    ),
    Case {
        since: (2, 30),
        ..case(
            "raw files of variables",
            &[
                (
                    C,
                    "services:\n  a: {image: a, env_file: [{path: a.env, format: raw}, {path: none.env, required: false, format: raw}]}\n",
                ),
                (".devcontainer/a.env", "A='a # b\n"),
            ],
        )
    },
    Case {
        since: (2, 32),
        named: &[".devcontainer/c.yml", "over.yml"],
        ..case(
            "files of labels",
            &[
                (
                    C,
                    "services:\n  a: {image: a, label_file: a.labels}\n  b: {image: b, label_file: [b.labels, ../b.labels]}\n  c: {extends: {file: x/x.yml, service: c}, label_file: ['${L:-c}.labels']}\n",
                ),
                (
                    "over.yml",
                    "services: {a: {label_file: [over.labels]}, b: {label_file: !override d.labels}}\n",
                ),
                (
                    ".devcontainer/x/x.yml",
                    "services: {c: {image: c, label_file: x.labels}}\n",
                ),
                (".devcontainer/a.labels", "a=a\n"),
                (".devcontainer/b.labels", "a=b\n"),
                ("b.labels", "a=c\n"),
                (".devcontainer/c.labels", "a=d\n"),
                (".devcontainer/d.labels", "a=e\n"),
                (".devcontainer/over.labels", "b=a\n"),
                ("over.labels", "b=a\n"),
                (".devcontainer/x/x.labels", "b=b\n"),
            ],
        )
    },
    failing(
        "a tab as indentation",
        &[(C, "services:\n\ta: {build: .}\n")],
    ),
    failing(
        "a quote that is not closed",
        &[(C, "services: {a: {build: 'a}}\n")],
    ),
    failing(
        "an anchor that is missing",
        &[(C, "services: {a: {build: *no}}\n")],
    ),
    failing(
        "a merge key of a text",
        &[(C, "x-a: &a text\nservices: {a: {<<: *a, build: .}}\n")],
    ),
    failing(
        "a key that stands twice in arguments",
        &[(
            C,
            "services: {a: {build: {context: ., args: {A: a, A: b}}}}\n",
        )],
    ),
    failing(
        "files whose services extend each other",
        &[
            (C, "services: {a: {extends: {file: x.yml, service: a}}}\n"),
            (
                ".devcontainer/x.yml",
                "services: {a: {extends: {file: c.yml, service: a}}}\n",
            ),
        ],
    ),
    failing(
        "an included file of variables that is missing",
        &[
            (C, "include: [{path: x.yml, env_file: no.env}]\n"),
            (".devcontainer/x.yml", "services: {a: {build: .}}\n"),
        ],
    ),
    failing(
        "a needed variable in a default",
        &[(C, "services: {a: {build: '${A:-${B:?no}}'}}\n")],
    ),
    failing(
        "a needed variable in a default that is not used",
        &[(C, "services: {a: {build: '${HOME:-${B:?no}}'}}\n")],
    ),
    failing(
        "a needed variable in an alternative that is not used",
        &[(C, "services: {a: {build: '${NONE:+${B:?no}}'}}\n")],
    ),
    failing(
        "a needed variable in a file of variables",
        &[(C, "services: {a: {build: .}}\n"), (ENV, "A=${B:?no}\n")],
    ),
    failing(
        "a quote that is not closed in a file of variables",
        &[(C, "services: {a: {build: .}}\n"), (ENV, "A='a\n")],
    ),
];
