//! Configurations as the devcontainer CLI reads them, well-formed or not.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use devcontainerd::parse_config;
use serde_json::{Map, Value, json};

use crate::engine::Directory;

const CONFIGS: [&str; 5] = [
    r#"{
	// For format details, see https://aka.ms/devcontainer.json.
	"name": "C++ \"x\" \u00e9\n",
	"build": { "dockerfile": "Dockerfile", "args": { "VARIANT": "debian-11", "N": -1.5e3 }, "target": null },
	"forwardPorts": [3000, "db:5432"], /* and more */
	"customizations": { "vscode": { "extensions": ["ms-vscode.cpptools", "a/b"], "x": {}, "y": [] } },
	"remoteUser": "vscode", // last
}
"#,
    r#"{"image":"mcr.microsoft.com/devcontainers/base:jammy","features":{"ghcr.io/devcontainers/features/node:1":{"version":"lts"},"./local":{}},"init":true,"privileged":false,"containerEnv":{"A":"b c","PATH":"/x:/y"}}"#,
    "\u{feff}{\r\n  \"dockerComposeFile\": [\"../docker-compose.yml\", \"docker-compose.yml\"],\r\n  \"service\": \"dev\",\r\n  \"runServices\": [\r\n    \"db\"\r\n  ],\r\n  \"workspaceFolder\": \"/workspace\"\r\n}\r\n",
    r#"{"a": [[1, [2, {"b": [true, false, null, 0, 0.25, 1E2, 20]}]], "c"], "d": {"e": {"f": {}}}, "a": 2}"#,
    r#"/* head */ {"postCreateCommand": "echo 'it''s' && apt-get -y install $X // y", "mounts": ["source=a,target=/b,type=bind"], "x": "/* z */"} // tail"#,
];

/// Pieces that are inserted, or that replace a token.
const ODD: [&str; 56] = [
    ",",
    ",,",
    ":",
    "{",
    "}",
    "[",
    "]",
    "\"",
    "'",
    "\\",
    "/",
    "//",
    "/*",
    "*/",
    "/**/",
    "// c\n",
    "\n",
    "\r",
    "\t",
    " ",
    "\u{a0}",
    "\u{feff}",
    "\u{3000}",
    "\u{2028}",
    "\u{b}",
    "\u{c}",
    "\u{0}",
    "\u{1}",
    "-",
    "+",
    ".",
    "0",
    "01",
    "1.",
    ".5",
    "1e",
    "1e+",
    "-x",
    "1e999",
    "9007199254740993",
    "0x1F",
    "true",
    "null",
    "tru",
    "NaN",
    "x",
    "é",
    "🙂",
    "\"k\"",
    "\"k\":",
    "\"k\":1",
    "\\u12",
    "\\ud83d",
    "\\x",
    "#",
    "$",
];

/// Pseudo-random numbers, the same in each run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }
}

/// Splits a text into words, spaces and single characters.
fn tokens(text: &str) -> Vec<String> {
    let mut tokens: Vec<String> = Vec::new();
    for character in text.chars() {
        let is_word = |c: char| c.is_alphanumeric() || c == '-' || c == '.';
        match tokens.last_mut() {
            Some(last) if is_word(character) && last.chars().all(is_word) => last.push(character),
            _ => tokens.push(character.to_string()),
        }
    }
    tokens
}

fn mutate(text: &str, numbers: &mut Numbers) -> String {
    let mut tokens = tokens(text);
    for _ in 0..=numbers.below(3) {
        let at = numbers
            .below(tokens.len().max(1))
            .min(tokens.len().saturating_sub(1));
        let odd = ODD[numbers.below(ODD.len())].to_owned();
        match numbers.below(7) {
            _ if tokens.is_empty() => tokens.push(odd),
            0 | 1 => drop(tokens.remove(at)),
            2 => tokens.insert(at, tokens[at].clone()),
            3 => tokens[at] = odd,
            4 if at > 0 => tokens.swap(at - 1, at),
            5 if numbers.below(4) == 0 => tokens.truncate(at),
            _ => tokens.insert(at, odd),
        }
    }
    tokens.concat()
}

/// The texts of the corpus: each kind of token missing, doubled and replaced at each place, then several at once.
fn corpus() -> Vec<String> {
    let mut texts: Vec<String> = CONFIGS.map(str::to_owned).into();
    texts.extend(
        [
            "",
            " ",
            "{",
            "}",
            "{}",
            "[{}]",
            "1 {}",
            "\"x\" {}",
            "x {\"a\":1}",
            "{} {\"a\":1}",
        ]
        .map(str::to_owned),
    );
    for text in CONFIGS {
        let tokens = tokens(text);
        for (at, token) in tokens
            .iter()
            .enumerate()
            .filter(|(_, token)| token.len() == 1)
        {
            let with = |middle: &str| tokens[..at].concat() + middle + &tokens[at + 1..].concat();
            texts.extend([with(""), with(&token.repeat(2)), tokens[..at].concat()]);
        }
    }
    let mut numbers = Numbers(0x5eed);
    texts.extend((0..3000).map(|index| mutate(CONFIGS[index % CONFIGS.len()], &mut numbers)));
    texts
}

/// The program of the CLI, without links.
fn cli() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap();
    let mut programs = std::env::split_paths(&path).map(|directory| directory.join("devcontainer"));
    let program = programs.find(|program| program.is_file()).unwrap();
    program.canonicalize().unwrap()
}

/// The values that the parser in the CLI reads.
fn read_by_the_cli(texts: &[String]) -> Vec<Option<Value>> {
    let bundle = cli().with_file_name("dist/spec-node/devContainersSpecCLI.js");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/e2e/jsonc/reference.js");
    let mut node = Command::new("node")
        .arg(script)
        .arg(bundle)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = node.stdin.take().unwrap();
    input
        .write_all(json!(texts).to_string().as_bytes())
        .unwrap();
    drop(input);
    let output = node.wait_with_output().unwrap();
    assert!(output.status.success());
    let read: Vec<Option<(Value,)>> = serde_json::from_slice(&output.stdout).unwrap();
    read.into_iter()
        .map(|value| value.map(|(value,)| value))
        .collect()
}

/// A value with its numbers as JavaScript has them.
fn in_javascript(value: Value) -> Value {
    match value {
        Value::Number(number) => json!(number.as_f64().unwrap() + 0.0),
        Value::Array(values) => values.into_iter().map(in_javascript).collect(),
        Value::Object(object) => {
            let members = object
                .into_iter()
                .map(|(name, value)| (name, in_javascript(value)));
            Value::Object(members.collect::<Map<String, Value>>())
        }
        other => other,
    }
}

#[test]
fn what_the_parser_of_the_cli_reads_is_read() {
    let texts = corpus();
    assert!(texts.len() > 3000, "{}", texts.len());
    let expected = read_by_the_cli(&texts);
    assert_eq!(expected.len(), texts.len());
    let mut wrong = 0;
    for (text, expected) in texts.iter().zip(expected) {
        let expected = expected.filter(Value::is_object).map(in_javascript);
        let read = parse_config(text.as_bytes()).map(in_javascript);
        if read != expected {
            wrong += 1;
            println!("{text:?}\n  is read as {read:?}\n  instead of {expected:?}");
        }
    }
    assert_eq!(wrong, 0, "of {} texts", texts.len());
}

/// Those that the CLI reads with a missing comma and the like, and those that it refuses.
const WHOLE: [&str; 14] = [
    r#"{"image":"x" "name":"n"}"#,
    r#"{"image":"x",,"name":"n"}"#,
    "{\"image\":\u{a0}\"x\",\u{a0}\"name\":\"n\"}",
    r#"{"image":"x","name":"n\q"}"#,
    "{\"image\":\"x\",\"name\":\"n\nm\", \"y\":1}",
    r#"{"image":"x","name":"n""#,
    r#"{"image":"x","name":"n"} and more {"#,
    "\u{feff}{\"image\":\"x\", // y\n\"z\":[1,],}",
    r#"{"image":"x", 'name':1, "y":tru, "z":[1 2, "a"}"#,
    r#"words before {"image":"x"}"#,
    "",
    r#""before" {"image":"x"}"#,
    r#"[{"image":"x"}]"#,
    r#", {"image":"x"}"#,
];

#[test]
fn what_read_configuration_prints_is_read() {
    let directory = Directory::new("jsonc");
    let children = WHOLE.iter().enumerate().map(|(index, text)| {
        let folder = directory.path().join(index.to_string());
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join(".devcontainer.json"), text).unwrap();
        let mut command = Command::new(cli());
        command.args([
            "read-configuration",
            "--docker-path",
            "/bin/true",
            "--workspace-folder",
        ]);
        let command = command
            .arg(&folder)
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        (text, command.spawn().unwrap())
    });
    let children: Vec<_> = children.collect();
    for (text, child) in children {
        let output = child.wait_with_output().unwrap();
        let printed: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        let mut expected = printed.get("configuration").cloned();
        if let Some(Value::Object(config)) = &mut expected {
            config.remove("configFilePath");
        }
        let read = parse_config(text.as_bytes());
        assert_eq!(
            read.map(in_javascript),
            expected.map(in_javascript),
            "{text:?}"
        );
    }
}
