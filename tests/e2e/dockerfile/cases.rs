//! The Dockerfiles that are compared.

const BASE: &str = "devcontainerd-base";

/// A Dockerfile with its context.
pub(super) struct Case {
    /// Without `FROM` where it has one stage.
    dockerfile: &'static str,
    pub(super) dockerignore: &'static str,
    /// The arguments of the build.
    pub(super) args: &'static [(&'static str, &'static str)],
    pub(super) target: Option<&'static str>,
    /// Files that come into the image by name.
    pub(super) taken: &'static [&'static str],
    /// Files that come into it with a directory, so that they are no inputs.
    pub(super) taken_whole: &'static [&'static str],
    /// Files that do not.
    pub(super) others: &'static [&'static str],
    /// Links, with their targets.
    pub(super) links: &'static [(&'static str, &'static str)],
    pub(super) needs_buildkit: bool,
}

const fn case(
    dockerfile: &'static str,
    taken: &'static [&'static str],
    others: &'static [&'static str],
) -> Case {
    Case {
        dockerfile,
        dockerignore: "",
        args: &[],
        target: None,
        taken,
        taken_whole: &[],
        others,
        links: &[],
        needs_buildkit: false,
    }
}

/// A Dockerfile that only BuildKit reads.
const fn modern(
    dockerfile: &'static str,
    taken: &'static [&'static str],
    others: &'static [&'static str],
) -> Case {
    Case {
        needs_buildkit: true,
        ..case(dockerfile, taken, others)
    }
}

pub(super) const CASES: &[Case] = &[
    // Sources
    case(
        "COPY a.txt \\\n # comment\n\n  s/b.txt /x/\nADD [\"c d\", \"/x/\"]",
        &["a.txt", "s/b.txt", "c d"],
        &["o"],
    ),
    case(
        "COPY p*.json s/?[a-c].txt /x/",
        &["p.json", "p-lock.json", "s/1a.txt"],
        &["q.json", "s/1d.txt", "s/11a.txt"],
    ),
    case("COPY arr[[]0].txt /x/", &["arr[0].txt"], &["arr0.txt"]),
    case(
        "COPY \\$a.txt '$b.txt' \"c.txt\" [ab].c \"/x/\"\nCOPY [ \"d e\" , \"/x/\" ]",
        &["$a.txt", "$b.txt", "c.txt", "a.c", "d e"],
        &["o"],
    ),
    case(
        "WORKDIR /x\nCOPY ./a.txt /b.txt s/../c.txt ../d.txt ./\n",
        &["a.txt", "b.txt", "c.txt", "d.txt"],
        &["s/o"],
    ),
    case("COPY .dockerignore /x/", &[".dockerignore"], &["o"]),
    case("ADD t.tar /x/", &["t.tar"], &["o"]),
    Case {
        links: &[("in", "a.txt"), ("root", "/s/b.txt"), ("dir", "s")],
        ..case(
            "COPY in /x/1\nCOPY root /x/2\nCOPY dir/c.txt /x/3",
            &["a.txt", "s/b.txt", "s/c.txt"],
            &["o"],
        )
    },
    // Lines
    case(
        "RUN echo a\\\\\nCOPY a.txt /x/\nRUN true && \\\n\n  # c\n  true\nLABEL a=\"b \\\nCOPY o /x/\"\n#COPY o /x/\n  # COPY o /x/",
        &["a.txt"],
        &["o"],
    ),
    modern(
        "COPY <<EOF a.txt /x/\nCOPY o /x/\nEOF\nRUN --mount=source=m,target=/m cat /m >/x/m",
        &["a.txt", "m"],
        &["o"],
    ),
    modern(
        "RUN <<-\"E F\" cat >/1 && cat <<G >/2\n\tCOPY o /x/\n\tE F\nCOPY o /x/\nG\nCOPY a.txt /x/",
        &["a.txt"],
        &["o"],
    ),
    // Variables
    case(
        "ARG A=a\nENV B=$A.txt C=\"c d\"\nCOPY ${A:-x}1 $B /x/\nCOPY [\"${C}\", \"/x/\"]",
        &["a1", "a.txt", "c d"],
        &["x1"],
    ),
    case(
        "ARG E=\nARG N\nCOPY a${E-1} b${E:-1} c${E+1} d${E:+1} e${N-1} f${N:-1} g${N+1} h${N:+1} i$N /x/",
        &["a", "b1", "c1", "d", "e1", "f1", "g", "h", "i"],
        &["a1", "b", "c", "d1", "e", "f", "g1", "h1"],
    ),
    case(
        "ARG A=a\nARG A=b\nCOPY $A.txt /x/",
        &["b.txt"],
        &["a.txt", ".txt"],
    ),
    Case {
        args: &[("A", "given"), ("B", "given")],
        ..case(
            "ARG A=a\nARG B\nENV B=b\nARG C=c$A\nCOPY $A $B $C /x/",
            &["given", "b", "cgiven"],
            &["a", "ca"],
        )
    },
    case(
        "ARG A=0\nARG A=a B=b$A\nENV C=1\nENV C=c D=d$C\nCOPY $B $D /x/",
        &["b0", "d1"],
        &["ba", "dc", "b", "d"],
    ),
    case(
        "ENV A=\"a b\" \\\n # c\n B=b\\ c \\\n C='c'\nENV D $C d\nCOPY [\"$A\", \"$B\", \"${C}.txt\", \"${D:-no}\", \"/x/\"]",
        &["a b", "b c", "c.txt", "c d"],
        &["o"],
    ),
    case(
        "ARG A=a\nARG B\nARG C=${B:-${A}}\nCOPY ${B:-${A:+$C}}.txt ${A:?no}1 /x/",
        &["a.txt", "a1"],
        &["o"],
    ),
    case(
        "ARG A=a\nARG A\nCOPY $A.txt $1b.txt ${@}c.txt d.txt/ /x/\nCOPY [\"e f\", \"/x/\"] and more",
        &["a.txt", "b.txt", "c.txt", "d.txt", "e f"],
        &[".txt"],
    ),
    modern(
        "ARG V=v1.22-rc\nCOPY ${V#v}.txt ${V%-*}.txt ${V/./_}.txt ${V##*.}.txt ${V//[0-9]/}.txt /x/",
        &["1.22-rc.txt", "v1.22.txt", "v1_22-rc.txt", "22-rc.txt", "v1.22-rc.txt"],
        &[".txt"],
    ),
    modern(
        "ARG TARGETOS\nARG BUILDOS=x\nCOPY $TARGETOS.txt $BUILDOS.txt /x/",
        &["linux.txt", "x.txt"],
        &[".txt"],
    ),
    // Flags
    modern(
        "COPY --link --chmod=600 --chown=1:1 a.txt /x/\nADD --chown=\"1:1\" b.txt /x/",
        &["a.txt", "b.txt"],
        &["o"],
    ),
    modern(
        "ARG M=m\nRUN --mount=Type=bind,Source=$M.txt,target=/m --mount=type=cache,target=/c --mount=type=tmpfs,target=/t \\\n  \
         mkdir /x && cat /m >/x/m\nRUN --mount=target=/c cp /c/n.txt /x/n",
        &["m.txt"],
        &["o"],
    )
    .and_whole(&["n.txt"]),
    modern(
        "RUN --mount=type=bind,\"source=a b\",target=/1 --mount='target=/2,ro,src=o,Source=c.txt,from=' --mount=target=/3,source=d\\ e \\\n  \
         mkdir /x && cat /1 /2 /3 >/x/m",
        &["a b", "c.txt", "d e"],
        &["o"],
    ),
    // Ignore files
    Case {
        dockerignore: "# all\n*\n!/k*.txt\n!s\ns/no*\n**/deep.txt\n",
        ..case(
            "COPY k?.txt s/*.txt /x/",
            &["k1.txt", "s/1.txt"],
            &["l1.txt", "s/no.txt", "s/deep.txt"],
        )
    },
    Case {
        dockerignore: "\u{feff}**/*.log\r\n!keep.log\r\nb/**\r\n!b/keep/*.txt\r\n/root-?.txt\r\n ! s/../d.log \r\n../o.txt\r\n",
        ..case(
            "COPY *.log b/*.txt b/keep/*.txt root-*.txt s/root-*.txt o.txt /x/",
            &["keep.log", "b/keep/1.txt", "s/root-2.txt", "d.log", "o.txt"],
            &["a.log", "b/2.txt", "root-1.txt"],
        )
    },
    Case {
        dockerignore: "**.md\n!k.md\ne**\n!e1.txt\nf**.c\n**g\n",
        ..case(
            "COPY *.md s/*.[mt]* e?.txt *.c *g h.txt /x/",
            &["k.md", "s/k.txt", "e1.txt", "h.txt", "fa.c"],
            &["README.md", "s/a.md", "e2.txt", "f.c", "ag", "g"],
        )
    },
    // Dockerfiles as they are in repositories
    Case {
        dockerignore: "**/__pycache__\n*.md\n!README.md\n.git\n",
        ..case(
            "ENV PYTHONUNBUFFERED=1 \\\n    APP=/x/app\nWORKDIR ${APP}\nCOPY requirements*.txt /x/\nRUN true\nCOPY . .\nCMD [\"python\", \"m.py\"]",
            &["requirements.txt", "requirements-dev.txt"],
            &["src/__pycache__/m.pyc", "CHANGES.md", ".git/HEAD"],
        )
    }
    .and_whole(&["src/m.py", "README.md"]),
    case(
        "WORKDIR /x\nCOPY Cargo.toml Cargo.lock ./\nCOPY crates/*/Cargo.toml crates/\nCOPY src/ src/\nCOPY benches/* benches/",
        &["Cargo.toml", "Cargo.lock", "crates/a/Cargo.toml"],
        &["crates/a/src/lib.rs"],
    )
    .and_whole(&["src/main.rs", "benches/b.rs"]),
    modern(
        "ARG USERNAME=vscode\nARG UID=1000\nRUN mkdir /x && true \"$USERNAME\" # no COPY o /x/\n\
         COPY --chown=$UID:$UID .devcontainer/post.sh Gemfile* .ruby-version /x/\nCOPY --chown=1:1 .mvn /x/mvn\n\
         RUN --mount=type=bind,source=go.sum,target=/go.sum --mount=type=bind,source=go.mod,target=/go.mod \\\n    \
         --mount=type=cache,target=/root/.cache cat /go.sum /go.mod >/x/go\nUSER $UID",
        &[
            ".devcontainer/post.sh",
            "Gemfile",
            "Gemfile.lock",
            ".ruby-version",
            "go.sum",
            "go.mod",
        ],
        &["Rakefile"],
    )
    .and_whole(&[".mvn/w"]),
    // Stages, and what comes before the first one
    case(
        "# escape=`\nFROM devcontainerd-base\nCOPY `\n  a.txt `\n  /x/",
        &["a.txt"],
        &["o"],
    ),
    case(
        "# c\n# escape=`\nFROM devcontainerd-base\nCOPY a.txt \\\n  b.txt /x/",
        &["a.txt", "b.txt"],
        &["o"],
    ),
    case(
        "\u{feff}#Escape = \\\r\n\r\nfrom devcontainerd-base as One\r\ncopy a.txt \\\r\n  # c\r\n  b.txt /1/\r\nFrom\tdevcontainerd-base\r\n\
         Copy\t--from=ONE /1/ /x/\r\nadd c.txt /x/",
        &["a.txt", "b.txt", "c.txt"],
        &["o"],
    ),
    Case {
        args: &[("A", "b")],
        target: Some("two"),
        ..case(
            "FROM devcontainerd-base\nCOPY 0 /0\nFROM devcontainerd-base AS one\nARG A=a\nCOPY $A /1\nFROM devcontainerd-base AS two\n\
             COPY --from=one /1 /x/one\nCOPY 2 /x/\nFROM devcontainerd-base\nCOPY 3 /3",
            &["b", "2"],
            &["a", "0", "3"],
        )
    },
    Case {
        target: Some("TWO"),
        ..case(
            "FROM devcontainerd-base AS one\nCOPY 1 /1\nFROM one AS Two\nCOPY --from=0 /1 /x/\nCOPY 2 /x/\nFROM two\nCOPY 3 /x/",
            &["1", "2"],
            &["3"],
        )
    },
    case(
        "ARG BASE=devcontainerd-base\nARG L=latest V=$L F=a.txt\nFROM ${BASE}:${V:-no}\nARG F\nARG G=${F:+b}.txt\nCOPY $F $G /x/",
        &["a.txt", "b.txt"],
        &[".txt", "o"],
    ),
    Case {
        args: &[("STAGE", "two")],
        ..modern(
            "ARG STAGE=one\nFROM devcontainerd-base AS one\nCOPY 1 /x/\nFROM devcontainerd-base AS two\nCOPY 2 /x/\nFROM $STAGE\nCOPY 3 /x/",
            &["2", "3"],
            &["1"],
        )
    },
    case(
        "FROM devcontainerd-base AS one\nARG A=a\nENV B=b\nFROM one\nCOPY $A$B /x/",
        &["ab"],
        &["a", "b"],
    ),
    case(
        "FROM devcontainerd-base AS one\nONBUILD COPY a.txt /x/\nONBUILD ARG A=b\nFROM one AS two\nCOPY $A.txt /x/\nFROM two\nCOPY c.txt /x/\nONBUILD COPY o /x/",
        &["a.txt", "b.txt", "c.txt"],
        &["o", ".txt"],
    ),
    modern(
        "FROM devcontainerd-base AS one\nCOPY 1 /1\nFROM devcontainerd-base AS unused\nCOPY 2 /2\nFROM scratch AS three\nCOPY 3 /3\n\
         FROM devcontainerd-base\nRUN --mount=from=one,source=/1,target=/1 --mount=type=cache,from=three,target=/c mkdir /x && cat /1 /c/3 >/x/a",
        &["1", "3"],
        &["2"],
    ),
    modern(
        "FROM devcontainerd-base AS net\nADD https://example.com/a git@example.com:a/b.git /x/\nCOPY 1 /x/\n\
         FROM devcontainerd-base\nCOPY --from=devcontainerd-base:latest /bin/sh /sh\nCOPY 2 /x/",
        &["2"],
        &["1"],
    ),
    modern(
        "ARG NODE=latest\nFROM devcontainerd-base:${NODE} AS base\nWORKDIR /x\n\nFROM base AS deps\nCOPY package.json package-lock.json* ./\n\
         RUN --mount=type=cache,target=/root/.npm true\n\nFROM base AS build\nCOPY . .\nRUN true\n\n\
         FROM base AS dev\nCOPY --from=deps /x ./deps\nCOPY --chown=1:1 tsconfig.json .\n",
        &["package.json", "package-lock.json", "tsconfig.json"],
        &["src/index.js"],
    ),
];

impl Case {
    /// The whole Dockerfile.
    pub(super) fn text(&self) -> String {
        let text = self.dockerfile;
        if text.contains(BASE) {
            text.to_owned()
        } else {
            format!("FROM {BASE}\n{text}\n")
        }
    }

    /// The case with files that come into the image with a directory.
    const fn and_whole(self, taken_whole: &'static [&'static str]) -> Self {
        Self {
            taken_whole,
            ..self
        }
    }
}
