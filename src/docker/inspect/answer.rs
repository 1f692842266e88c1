//! An answer of `docker inspect`, read as it comes.
//!
//! docker prints the same text of a container that has not changed. Such a text is recognized by its length and its hash,
//! and is not parsed again.

use std::hash::{BuildHasher, RandomState};

use serde::de::Error as _;
use serde_json::{Deserializer, Error, Value};

use super::Inspected;
use super::info::{self, Read};
use crate::docker::known::KnownContainers;

/// The part of an answer about one container.
#[derive(Debug)]
pub(in crate::docker) enum Reading {
    /// docker prints what it printed at the last reading.
    Unchanged,
    Changed(Box<Read>),
}

/// The length and the hash of the text that docker prints of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::docker) struct Mark {
    length: usize,
    hash: u64,
}

/// Makes marks. Two markers make different marks of the same text.
#[derive(Default)]
pub(in crate::docker) struct Marker(RandomState);

impl Marker {
    fn mark(&self, text: &[u8]) -> Mark {
        let Self(keys) = self;
        Mark {
            length: text.len(),
            hash: keys.hash_one(text),
        }
    }
}

/// A JSON array of containers, of which a part has come.
pub(in crate::docker) struct Answer<'a> {
    known: &'a KnownContainers,
    /// The ids that docker was asked for and has not printed yet. It prints containers in the order of the arguments.
    expected: &'a [String],
    place: Place,
    /// The bytes that have come and are not read yet.
    unread: Vec<u8>,
    /// The number of unread bytes from which on there may be a whole container.
    enough: usize,
    found: Vec<(String, Reading)>,
    flaw: Option<Error>,
}

/// The place of the first unread byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    BeforeArray,
    /// Before the first container or the end of the array.
    First,
    /// Before a container.
    Next,
    AfterContainer,
    AfterArray,
}

/// The result of reading a container at the beginning of some bytes.
enum Taken {
    /// Its text has so many bytes.
    Whole(usize),
    /// It may be whole once there are so many bytes.
    Needs(usize),
}

impl<'a> Answer<'a> {
    /// An answer about these `ids`, of which nothing has come yet.
    pub(in crate::docker) fn new(known: &'a KnownContainers, ids: &'a [String]) -> Self {
        Self {
            known,
            expected: ids,
            place: Place::BeforeArray,
            unread: Vec::new(),
            enough: 0,
            found: Vec::new(),
            flaw: None,
        }
    }

    /// Adds bytes that have come.
    pub(in crate::docker) fn push(&mut self, bytes: &[u8]) {
        if self.flaw.is_some() {
            return;
        }
        if self.unread.is_empty() {
            let read = self.read(bytes, false);
            // Mostly little is left, as docker writes much at once.
            self.unread.extend(bytes.iter().skip(read));
            return;
        }
        self.unread.extend_from_slice(bytes);
        if self.unread.len() >= self.enough {
            self.read_unread(false);
        }
    }

    fn read_unread(&mut self, is_whole: bool) {
        let mut unread = std::mem::take(&mut self.unread);
        let read = self.read(&unread, is_whole);
        unread.drain(..read);
        self.unread = unread;
    }

    /// Returns whether there are only blanks.
    pub(in crate::docker) fn is_blank(&self) -> bool {
        self.flaw.is_none() && self.place == Place::BeforeArray && self.unread.is_empty()
    }

    /// Returns what the answer says of each container. One that cannot be read becomes a warning and costs only itself.
    ///
    /// # Errors
    ///
    /// The whole is not a JSON array.
    pub(in crate::docker) fn finish(mut self) -> Result<Vec<(String, Reading)>, Error> {
        if self.flaw.is_none() {
            self.read_unread(true);
        }
        match self.flaw {
            Some(flaw) => Err(flaw),
            None if self.place == Place::AfterArray => Ok(self.found),
            None => Err(Error::custom("it ends before its end")),
        }
    }

    /// Reads as much of the unread bytes as it can. Returns how many those are.
    fn read(&mut self, unread: &[u8], is_whole: bool) -> usize {
        let mut rest = unread.trim_ascii_start();
        self.enough = 0;
        while let Some(first) = rest.first() {
            let (length, next) = match (self.place, first) {
                (Place::BeforeArray, b'[') => (1, Place::First),
                (Place::First | Place::AfterContainer, b']') => (1, Place::AfterArray),
                (Place::AfterContainer, b',') => (1, Place::Next),
                (Place::First | Place::Next, _) => match self.read_container(rest, is_whole) {
                    Ok(Taken::Whole(length)) => (length, Place::AfterContainer),
                    Ok(Taken::Needs(enough)) => {
                        self.enough = enough;
                        break;
                    }
                    Err(flaw) => {
                        self.flaw = Some(flaw);
                        break;
                    }
                },
                (Place::BeforeArray | Place::AfterContainer | Place::AfterArray, _) => {
                    self.flaw = Some(Error::custom("it is no array of containers"));
                    break;
                }
            };
            self.place = next;
            rest = rest.get(length..).unwrap_or_default().trim_ascii_start();
        }
        unread.len() - rest.len()
    }

    fn read_container(&mut self, text: &[u8], is_whole: bool) -> Result<Taken, Error> {
        if let [id, expected @ ..] = self.expected
            && let Some(mark) = self.known.mark(id)
        {
            match text.get(..mark.length) {
                Some(text) if self.known.marker().mark(text) == mark => {
                    self.expected = expected;
                    self.found.push((id.clone(), Reading::Unchanged));
                    return Ok(Taken::Whole(mark.length));
                }
                None if !is_whole => return Ok(Taken::Needs(mark.length)),
                _ => {}
            }
        }
        let (mut read, length) = match parse(text) {
            Ok(parsed) => parsed,
            Err(error) if error.is_eof() && !is_whole => return Ok(Taken::Needs(text.len() * 2)),
            Err(error) => return Err(error),
        };
        let text = text.get(..length).unwrap_or_default();
        read.mark = Some(self.known.marker().mark(text));
        if let Some(at) = self.expected.iter().position(|id| *id == read.id) {
            self.expected = self.expected.get(at + 1..).unwrap_or_default();
        }
        let id = read.id.clone();
        self.found.push((id, Reading::Changed(Box::new(read))));
        Ok(Taken::Whole(length))
    }
}

/// Parses the container at the beginning of `text`. Returns the length of its text, too.
fn parse(text: &[u8]) -> Result<(Read, usize), Error> {
    let mut containers = Deserializer::from_slice(text).into_iter::<Inspected>();
    let error = match containers.next() {
        Some(Ok(container)) => return Ok((info::convert(container), containers.byte_offset())),
        Some(Err(error)) => error,
        None => return Err(Error::custom("it has no container")),
    };
    if !error.is_data() {
        return Err(error);
    }
    let mut values = Deserializer::from_slice(text).into_iter::<Value>();
    match values.next() {
        Some(Ok(value)) => Ok((info::unreadable(&value, &error), values.byte_offset())),
        Some(Err(error)) => Err(error),
        None => Err(error),
    }
}

/// Reads an answer about containers of which nothing is known.
///
/// # Errors
///
/// The whole is not a JSON array.
#[cfg(any(test, fuzzing))]
pub(in crate::docker) fn read_whole(json: &[u8]) -> Result<Vec<Read>, Error> {
    let known = KnownContainers::default();
    let mut answer = Answer::new(&known, &[]);
    answer.push(json);
    let found = answer.finish()?.into_iter();
    let read = found.filter_map(|(_, reading)| match reading {
        Reading::Changed(read) => Some(*read),
        Reading::Unchanged => None,
    });
    Ok(read.collect())
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn container(id: &str, image: &str) -> String {
        format!(
            r#"{{"Id":"{id}","Created":"2026-01-01T00:00:00Z","Name":"/n","Config": {{"Image":"{image}" }}}}"#
        )
    }

    fn ids(ids: &[&str]) -> Vec<String> {
        ids.iter().map(|id| (*id).to_owned()).collect()
    }

    /// Passes `parts` to an answer, and returns what it says: the image of each container that was parsed.
    fn read<'t>(
        known: &KnownContainers,
        ids: &[String],
        parts: impl IntoIterator<Item = &'t [u8]>,
    ) -> Result<Vec<(String, Option<String>)>, String> {
        let mut answer = Answer::new(known, ids);
        parts.into_iter().for_each(|part| answer.push(part));
        let found = answer.finish().map_err(|e| e.to_string())?.into_iter();
        let found = found.map(|(id, reading)| match reading {
            Reading::Unchanged => (id, None),
            Reading::Changed(read) => (id, Some(read.info.map_or("?".into(), |info| info.image))),
        });
        Ok(found.collect())
    }

    fn remember(known: &mut KnownContainers, ids: &[String], json: &str) {
        let found = {
            let mut answer = Answer::new(known, ids);
            answer.push(json.as_bytes());
            answer.finish().unwrap()
        };
        for (id, reading) in found {
            known.take(id, reading, 1);
        }
    }

    #[test]
    fn p11_a_container_is_parsed_again_only_if_its_text_has_changed() {
        let mut known = KnownContainers::default();
        let ids = ids(&["a", "b", "c"]);
        let json = |b: &str| {
            let [a, c] = ["a", "c"].map(|id| container(id, "1"));
            format!("[{a},{},{c}]", container("b", b))
        };
        remember(&mut known, &ids, &json("1"));
        let again = |known: &KnownContainers, json: String| {
            let found = read(known, &ids, [json.as_bytes()]).unwrap();
            found
                .into_iter()
                .map(|(_, image)| image)
                .collect::<Vec<_>>()
        };
        assert_eq!(again(&known, json("1")), [None, None, None]);
        // As long as before, longer and shorter: those that follow are recognized all the same.
        for image in ["2", "22", ""] {
            assert_eq!(again(&known, json(image)), [None, Some(image.into()), None]);
        }
        remember(&mut known, &ids, &json("2"));
        assert_eq!(again(&known, json("2")), [None, None, None]);
        assert_eq!(again(&known, json("1")), [None, Some("1".into()), None]);
    }

    #[test]
    fn p11_what_is_doubtful_is_read_again() {
        let mut known = KnownContainers::default();
        let ids = ids(&["a"]);
        let json = format!("[{}]", container("a", "1"));
        let mut read_of = |is_doubtful| {
            let mut answer = Answer::new(&known, &ids);
            answer.push(json.as_bytes());
            let Ok([(_, Reading::Changed(mut read))]) =
                <[_; 1]>::try_from(answer.finish().unwrap())
            else {
                panic!("it was not read");
            };
            read.is_doubtful = is_doubtful;
            known.take("a".into(), Reading::Changed(read), 1);
            known.mark("a").is_some()
        };
        assert!(!read_of(true));
        assert!(read_of(false));
    }

    #[test]
    fn p11_containers_that_are_gone_or_in_another_order_are_no_others() {
        let mut known = KnownContainers::default();
        let ids = ids(&["a", "b", "c"]);
        let [a, b, c] = ["a", "b", "c"].map(|id| container(id, id));
        remember(&mut known, &ids, &format!("[{a},{b},{c}]"));
        for json in [
            format!("[{a},{c}]"),
            format!("[{c},{b},{a}]"),
            format!("[\n  {b}\n ,{a} ]\n"),
            "[]".to_owned(),
        ] {
            for (id, image) in read(&known, &ids, [json.as_bytes()]).unwrap() {
                assert_eq!(image.unwrap_or_else(|| id.clone()), id, "{json}");
            }
        }
    }

    #[test]
    fn what_is_no_array_of_containers_is_an_error() {
        let a = container("a", "1");
        for json in [
            "",
            " ",
            "{}",
            "null",
            "x",
            "[",
            "[,]",
            "[{}",
            "]",
            "[]]",
            "[] x",
            "[{\"Id\":\"a\"},]",
            &format!("[{a}{a}]"),
            &format!("[,{a}]"),
            &format!("[{a}] {a}"),
            &a[..9],
        ] {
            let known = KnownContainers::default();
            assert!(read(&known, &[], [json.as_bytes()]).is_err(), "{json}");
        }
        let mut blank = KnownContainers::default();
        remember(&mut blank, &[], " [ ] ");
        for (json, is_blank) in [("", true), (" \n", true), (" x", false), ("[", false)] {
            let mut answer = Answer::new(&blank, &[]);
            answer.push(json.as_bytes());
            assert_eq!(answer.is_blank(), is_blank, "{json:?}");
        }
    }

    #[test]
    fn a_container_that_cannot_be_read_costs_only_itself() {
        let known = KnownContainers::default();
        let json = format!(r#"[7,{{"Id":"b","Name":[1]}},{}]"#, container("a", "1"));
        let found = read(&known, &[], [json.as_bytes()]).unwrap();
        let found: Vec<(&str, Option<&str>)> = found
            .iter()
            .map(|(id, image)| (&**id, image.as_deref()))
            .collect();
        assert_eq!(
            found,
            [("?", Some("?")), ("b", Some("?")), ("a", Some("1"))]
        );
    }

    proptest! {
        /// However the bytes arrive, and whatever is known, an answer says the same.
        #[test]
        fn p11_an_answer_may_come_in_any_parts(
            images in vec(("[a-z\"\\\\{}\\[\\],é]{0,12}", "[a-z]{0,3}", any::<bool>()), 0..6),
            sizes in vec(1_usize..60, 1..8),
        ) {
            let ids: Vec<String> = (0..images.len()).map(|id| format!("id{id}")).collect();
            let json = |second: bool| {
                let all = ids.iter().zip(&images).map(|(id, (one, other, changes))| {
                    let image = if second && *changes { other } else { one };
                    let image = serde_json::to_string(image).unwrap();
                    container(id, &image[1..image.len() - 1])
                });
                format!("[{}]", all.collect::<Vec<_>>().join(" , "))
            };
            let mut known = KnownContainers::default();
            remember(&mut known, &ids, &json(false));
            let text = json(true);
            let mut rest = text.as_bytes();
            let parts = sizes.iter().cycle().map_while(|size| {
                let (part, more) = rest.split_at((*size).min(rest.len()));
                rest = more;
                (!part.is_empty()).then_some(part)
            });
            let found = read(&known, &ids, parts).unwrap();
            let expected: HashMap<String, Option<String>> = ids
                .iter()
                .zip(&images)
                .map(|(id, (one, other, changes))| {
                    let is_new = *changes && one != other;
                    (id.clone(), is_new.then(|| other.clone()))
                })
                .collect();
            prop_assert_eq!(found.len(), ids.len());
            prop_assert_eq!(found.into_iter().collect::<HashMap<_, _>>(), expected);
        }
    }
}
