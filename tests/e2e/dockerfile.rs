//! The files that a builder takes from a context, and those that make a dev container dirty.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use serde_json::{Value, json};

use crate::common::Daemon;
use crate::engine::{Containers, IMAGE, daemon, docker, try_docker, unique};
use crate::workspace::Workspace;

/// A Dockerfile, which may be one for BuildKit only.
struct Case {
    dockerfile: &'static str,
    dockerignore: &'static str,
    /// The fields of `build`.
    build: Value,
    /// Files that come into the image.
    taken: &'static [&'static str],
    /// Files that do not.
    others: &'static [&'static str],
    /// Links, with their targets.
    links: &'static [(&'static str, &'static str)],
    needs_buildkit: bool,
}

fn case(
    dockerfile: &'static str,
    taken: &'static [&'static str],
    others: &'static [&'static str],
) -> Case {
    Case {
        dockerfile,
        dockerignore: "",
        build: json!({}),
        taken,
        others,
        links: &[],
        needs_buildkit: false,
    }
}

fn cases() -> Vec<Case> {
    let with_build_kit = |case| Case {
        needs_buildkit: true,
        ..case
    };
    vec![
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
        case(
            "ARG A=a\nENV B=$A.txt C=\"c d\"\nCOPY ${A:-x}1 $B /x/\nCOPY [\"${C}\", \"/x/\"]",
            &["a1", "a.txt", "c d"],
            &["x1"],
        ),
        Case {
            build: json!({"args": {"A": "b"}, "target": "two"}),
            ..case(
                "COPY 0 /0\nFROM devcontainerd-base AS one\nARG A=a\nCOPY $A /1\nFROM devcontainerd-base AS two\nCOPY --from=one /1 /x/one\n\
                 COPY 2 /x/\nFROM devcontainerd-base\nCOPY 3 /3",
                &["b", "2"],
                &["a", "0", "3"],
            )
        },
        Case {
            dockerignore: "# all\n*\n!/k*.txt\n!s\ns/no*\n**/deep.txt\n",
            ..case(
                "COPY k?.txt s/*.txt /x/",
                &["k1.txt", "s/1.txt"],
                &["l1.txt", "s/no.txt", "s/deep.txt"],
            )
        },
        Case {
            links: &[("in", "a.txt"), ("root", "/s/b.txt"), ("dir", "s")],
            ..case(
                "COPY in /x/1\nCOPY root /x/2\nCOPY dir/c.txt /x/3",
                &["a.txt", "s/b.txt", "s/c.txt"],
                &["o"],
            )
        },
        case("# escape=`\nCOPY `\n  a.txt `\n  /x/", &["a.txt"], &["o"]),
        with_build_kit(case(
            "COPY <<EOF a.txt /x/\nCOPY o /x/\nEOF\nRUN --mount=source=m,target=/m cat /m >/x/m",
            &["a.txt", "m"],
            &["o"],
        )),
        with_build_kit(case(
            "COPY --link --chmod=600 --chown=1:1 a.txt /x/",
            &["a.txt"],
            &["o"],
        )),
    ]
}

/// A case on disk, with a container that is older than any edit.
struct Stage {
    workspace: Workspace,
}

impl Stage {
    fn new(case: &Case, containers: &Containers) -> Self {
        let build = json!({"dockerfile": "../Dockerfile", "context": ".."});
        let mut fields = json!({"image": null, "build": build});
        let more = case.build.as_object().unwrap().clone();
        fields["build"].as_object_mut().unwrap().extend(more);
        let workspace = Workspace::new("dockerfile", fields);
        let (directive, rest) = match case.dockerfile.strip_prefix("# escape=`\n") {
            Some(rest) => ("# escape=`\n", rest),
            None => ("", case.dockerfile),
        };
        let text = format!("{directive}FROM {IMAGE}\n{rest}\n");
        fs::write(workspace.folder().join("Dockerfile"), text).unwrap();
        fs::write(workspace.folder().join(".dockerignore"), case.dockerignore).unwrap();
        let stage = Self { workspace };
        for file in case.taken.iter().chain(case.others) {
            stage.write(file, &content(file));
        }
        for (link, target) in case.links {
            symlink(target, stage.workspace.folder().join(link)).unwrap();
        }
        let folder = format!("devcontainer.local_folder={}", stage.workspace.shown());
        let config = format!(
            "devcontainer.config_file={}",
            stage.workspace.config().display()
        );
        containers.create(&["--label", &folder, "--label", &config, IMAGE]);
        stage
    }

    fn write(&self, file: &str, text: &str) {
        let path = self.workspace.folder().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Builds with the arguments that the CLI uses. Returns the contents of the files in the image.
    fn build(&self, case: &Case) -> Vec<String> {
        let folder = self.workspace.folder();
        let dockerfile = folder.join("Dockerfile").display().to_string();
        let tag = unique("devcontainerd-dockerfile");
        let build: &[&str] = if has_buildkit() {
            &["buildx", "build", "--load"]
        } else {
            &["build"]
        };
        let mut arguments: Vec<String> = build.iter().map(|word| word.to_string()).collect();
        arguments.extend(["--quiet", "--tag", &tag, "--file", &dockerfile].map(str::to_owned));
        if let Some(target) = case.build["target"].as_str() {
            arguments.extend(["--target".to_owned(), target.to_owned()]);
        }
        let args = case.build["args"].as_object();
        for (name, value) in args.into_iter().flatten() {
            let value = format!("{name}={}", value.as_str().unwrap());
            arguments.extend(["--build-arg".to_owned(), value]);
        }
        arguments.push(self.workspace.shown().to_owned());
        docker(&arguments);
        let found = docker(&["run", "--rm", &tag, "grep", "-rh", CONTENT, "/x"]);
        try_docker(&["rmi", "--force", &tag]);
        let mut found: Vec<String> = found.lines().map(str::to_owned).collect();
        found.sort();
        found
    }

    #[track_caller]
    fn assert(&self, daemon: &Daemon, changed: Option<&str>) {
        let one = self.workspace.devcontainer(daemon);
        let text = fs::read_to_string(self.workspace.folder().join("Dockerfile")).unwrap();
        assert!(one.get("unchecked").is_none(), "{one:#}");
        assert_eq!(
            one["dirty"],
            changed.is_some(),
            "{changed:?} of {text}: {one:#}"
        );
    }
}

const CONTENT: &str = "the content of";

fn content(file: &str) -> String {
    format!("{CONTENT} {file}")
}

/// Compares what the builder takes with what the daemon says of edits.
fn compare(case: &Case, containers: &Containers, daemon: &Daemon) {
    let stage = Stage::new(case, containers);
    let mut taken: Vec<String> = case.taken.iter().map(|file| content(file)).collect();
    taken.sort();
    assert_eq!(stage.build(case), taken, "{}", case.dockerfile);
    stage.assert(daemon, None);
    for file in case.others {
        stage.write(file, "other");
    }
    stage.assert(daemon, None);
    for file in case.taken {
        stage.write(file, "other");
        stage.assert(daemon, Some(file));
        stage.write(file, &content(file));
        stage.assert(daemon, None);
    }
}

fn has_buildkit() -> bool {
    try_docker(&["buildx", "version"]).status.success()
}

#[test]
fn what_the_builder_takes_by_name_is_an_input() {
    let containers = Containers::new("dockerfile");
    let daemon = daemon().start();
    let buildkit = has_buildkit();
    let cases = cases();
    std::thread::scope(|scope| {
        for case in cases.iter().filter(|case| buildkit || !case.needs_buildkit) {
            let (containers, daemon) = (&containers, &daemon);
            scope.spawn(move || compare(case, containers, daemon));
        }
    });
}

#[test]
fn an_ignore_file_with_the_name_of_the_dockerfile_does_not_count_for_the_cli() {
    let build = json!({"dockerfile": "Dockerfile"});
    let workspace = Workspace::new("ignore-file", json!({"image": null, "build": build}));
    let directory = workspace.config().parent().map(Path::to_path_buf).unwrap();
    let write = |name: &str, text: &str| fs::write(directory.join(name), text).unwrap();
    write("Dockerfile", &format!("FROM {IMAGE}\nCOPY a.txt /a.txt\n"));
    write("Dockerfile.dockerignore", "a.txt\n");
    write("a.txt", "one");
    let container = workspace.up();
    assert_eq!(docker(&["exec", &container, "cat", "/a.txt"]).trim(), "one");
    let daemon = daemon().start();
    assert_eq!(workspace.devcontainer(&daemon)["dirty"], false);
    write("a.txt", "two");
    assert_eq!(workspace.devcontainer(&daemon)["dirty"], true);
}
