//! `build.options`: further arguments of `docker build`, which the CLI puts after its own.

use std::collections::BTreeMap;

use serde_json::Value;

/// The options that say which files a build takes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct BuildOptions {
    pub(super) target: Option<String>,
    /// Build arguments. `None` for one that has the value of the variable with its name.
    pub(super) args: BTreeMap<String, Option<String>>,
    /// Named contexts, as they are written.
    pub(super) contexts: BTreeMap<String, String>,
}

impl BuildOptions {
    /// Reads the options, with variables replaced by `text`. Of an option that is repeated the last one counts.
    pub(super) fn new(options: Option<&Value>, text: impl Fn(&str) -> String) -> Self {
        let words = options.and_then(Value::as_array).into_iter().flatten();
        let words: Vec<String> = words.filter_map(Value::as_str).map(text).collect();
        let mut read = Self::default();
        for value in values(&words, &["--target"]) {
            read.target = Some(value.to_owned());
        }
        for value in values(&words, &["--build-arg"]) {
            let (name, value) = match value.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (value, None),
            };
            read.args.insert(name.to_owned(), value);
        }
        for value in values(&words, &["--build-context"]) {
            if let Some((name, path)) = value.split_once('=') {
                // The builder ignores the case of the name.
                let name = name.to_ascii_lowercase();
                read.contexts.insert(name, path.to_owned());
            }
        }
        read
    }
}

/// The values of an option with one of these names, which are the words after it or follow an equals sign.
pub(super) fn values<'a>(words: &'a [String], names: &[&str]) -> Vec<&'a str> {
    let mut values = Vec::new();
    let mut rest = words.iter();
    while let Some(word) = rest.next() {
        if names.contains(&&**word) {
            values.extend(rest.next().map(String::as_str));
        } else if let Some((name, value)) = word.split_once('=')
            && names.contains(&name)
        {
            values.push(value);
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn options_have_their_values_beside_them_or_in_the_next_word() {
        let options = json!([
            "--pull",
            "--build-arg",
            "A=a=b",
            "--build-arg=B",
            "--target",
            "x",
            7,
            "--target=y",
            "--build-arg=A=c",
            "--build-context",
            "Conf=../conf",
            "--build-context=odd",
            "--build-arg",
        ]);
        let read = BuildOptions::new(Some(&options), |text| text.replace("..", "up"));
        let args = [
            ("A".to_owned(), Some("c".to_owned())),
            ("B".to_owned(), None),
        ];
        let expected = BuildOptions {
            target: Some("y".to_owned()),
            args: args.into(),
            contexts: [("conf".to_owned(), "up/conf".to_owned())].into(),
        };
        assert_eq!(read, expected);
        for odd in [None, Some(json!("--target x")), Some(json!({}))] {
            assert_eq!(
                BuildOptions::new(odd.as_ref(), str::to_owned),
                BuildOptions::default()
            );
        }
    }
}
