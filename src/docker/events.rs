//! `docker events`: names containers that may have changed, as it happens.

use std::collections::HashSet;
use std::fmt;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use serde_json::Value;

use super::command::{Capture, Runner, Tracking, is_id};
use super::error::Stderr;
use crate::base::notify::Notifier;
use crate::base::text::shorten;
use crate::model::listing::Fault;
use crate::process::{Ended, Stream};

/// The events that may change what is shown. A container that cannot be started shows in the events of its network
/// alone. docker and podman each have words that the other does not know; an unknown word is no error, and an event
/// passes if one of several fits.
const FILTERS: [&str; 16] = [
    "type=container",
    "type=network",
    "event=create",
    "event=start",
    "event=die",
    "event=died",
    "event=stop",
    "event=destroy",
    "event=remove",
    "event=rename",
    "event=pause",
    "event=unpause",
    "event=cleanup",
    "event=connect",
    "event=disconnect",
    "event=health_status",
];
/// `--since` is this long before the start, so that nothing is lost until docker listens; it takes whole seconds.
const LOOK_BACK: Duration = Duration::from_secs(1);
/// The bytes of a line; an event holds all labels.
const MAX_LINE: usize = 4 << 20;
/// The bytes of standard error that are kept.
const MAX_STDERR: usize = 4 << 10;
/// The bytes of standard error after which the child is of no use.
const MANY_WARNINGS: usize = 1 << 20;
/// No engine has more events than this within `MANY_WITHIN`.
const MANY: usize = 10_000;
const MANY_WITHIN: Duration = Duration::from_secs(10);
/// The child has no deadline.
const FOREVER: Duration = Duration::from_secs(u32::MAX as u64);
/// The mark of the child among the daemon's processes. By it the next daemon ends the child of a daemon that was
/// killed.
const MARK: &str = "events";

/// Reads the output of the child line by line.
#[derive(Default)]
struct Lines {
    /// The beginning of a line whose end has not come yet.
    partial: Vec<u8>,
    counted_since: Option<Instant>,
    count: usize,
}

/// Why the child is not to be believed any more.
#[derive(Debug, PartialEq, Eq)]
enum Oddity {
    /// A line is no event; this is its beginning.
    NoEvent(String),
    LongLine,
    ManyEvents,
    ManyWarnings,
}

impl fmt::Display for Oddity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoEvent(line) => write!(f, "printed what is no event: {line:?}"),
            Self::LongLine => write!(f, "printed a line of more than {MAX_LINE} bytes"),
            Self::ManyEvents => {
                let seconds = MANY_WITHIN.as_secs();
                write!(f, "told more than {MANY} events within {seconds} s")
            }
            Self::ManyWarnings => f.write_str("complains without end"),
        }
    }
}

/// Runs `docker events` until it ends, something about it is odd, or `stop` is notified. Hands the ids of containers
/// that may have changed to `report`, as they come. Returns why it has ended.
pub fn follow(program: &Path, stop: &Notifier, report: &mut dyn FnMut(HashSet<String>)) -> Fault {
    let docker = Runner {
        host: None,
        program,
        abort: &[stop.as_fd()],
        late: None,
        tracking: Tracking::Marked(MARK),
    };
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let begin = now.unwrap_or_default().saturating_sub(LOOK_BACK);
    let since = begin.as_secs().to_string();
    let mut arguments = vec!["events", "--format", "{{json .}}", "--since", &since];
    arguments.extend(FILTERS.iter().flat_map(|filter| ["--filter", filter]));
    let mut lines = Lines::default();
    let mut stderr = Capture::new(MAX_STDERR);
    let mut odd = None;
    let mut take = |stream, bytes: &[u8]| {
        if odd.is_some() {
            return;
        }
        let taken = match stream {
            Stream::Stdout => lines.read(bytes, Instant::now()),
            Stream::Stderr => {
                stderr.push(bytes);
                if stderr.length() > MANY_WARNINGS {
                    Err(Oddity::ManyWarnings)
                } else {
                    Ok(HashSet::new())
                }
            }
        };
        match taken {
            Ok(ids) if ids.is_empty() => {}
            Ok(ids) => report(ids),
            Err(oddity) => {
                odd = Some(oddity);
                stop.notify();
            }
        }
    };
    let ended = docker.stream(&arguments, Instant::now() + FOREVER, &mut take);
    if let Some(odd) = odd {
        return Fault::Odd(odd.to_string());
    }
    let stderr = Stderr::new(stderr.bytes());
    Fault::Ended(match ended {
        Err(e) => e.to_string(),
        Ok(Ended::Exited(status)) => match stderr.text() {
            "" => format!("docker events ended ({status}) and said nothing"),
            text => format!("docker events ended ({status}): {text}"),
        },
        Ok(Ended::TimedOut | Ended::Aborted) => "docker events was ended".to_owned(),
    })
}

impl Lines {
    /// The containers that are named in the lines that end within `bytes`.
    fn read(&mut self, bytes: &[u8], now: Instant) -> Result<HashSet<String>, Oddity> {
        let mut ids = HashSet::new();
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let (line, after) = rest.split_at(end);
            rest = after.get(1..).unwrap_or_default();
            self.partial.extend_from_slice(line);
            let line = std::mem::take(&mut self.partial);
            self.count(now)?;
            if !line.trim_ascii().is_empty() {
                ids.extend(container(&line)?);
            }
        }
        self.partial.extend_from_slice(rest);
        if self.partial.len() > MAX_LINE {
            return Err(Oddity::LongLine);
        }
        Ok(ids)
    }

    fn count(&mut self, now: Instant) -> Result<(), Oddity> {
        let since = *self.counted_since.get_or_insert(now);
        if now.saturating_duration_since(since) > MANY_WITHIN {
            self.counted_since = Some(now);
            self.count = 0;
        }
        self.count += 1;
        if self.count > MANY {
            return Err(Oddity::ManyEvents);
        }
        Ok(())
    }
}

/// The container that may have changed by an event; `None` if the event is about something else. podman's events have
/// no `Actor`: their `ID` is the container's, also in events of networks.
fn container(line: &[u8]) -> Result<Option<String>, Oddity> {
    let event: Value = serde_json::from_slice(line).unwrap_or_default();
    let text = |path: &str| event.pointer(path).and_then(Value::as_str);
    let valid = |id: &&str| is_id(id);
    match text("/Type") {
        Some("container") => {
            let id = text("/Actor/ID").or(text("/ID")).filter(valid);
            let named = id.ok_or_else(|| no_event(line))?;
            Ok(Some(named.to_owned()))
        }
        Some("network") => {
            // An event about a network that was made or removed names no container.
            let id = text("/Actor/Attributes/container").or(text("/ID"));
            Ok(id.filter(valid).map(str::to_owned))
        }
        Some(_) => Ok(None),
        None => Err(no_event(line)),
    }
}

/// The containers that are named in output that arrives in these parts; `None` where it is odd.
#[cfg(any(test, fuzzing))]
pub(super) fn containers_in(parts: &[&[u8]]) -> Option<HashSet<String>> {
    let mut lines = Lines::default();
    let now = Instant::now();
    let read = parts.iter().map(|part| lines.read(part, now).ok());
    let named: Vec<HashSet<String>> = read.collect::<Option<_>>()?;
    Some(named.into_iter().flatten().collect())
}

fn no_event(line: &[u8]) -> Oddity {
    Oddity::NoEvent(shorten(&String::from_utf8_lossy(line)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ID: &str = "7ce1707fff40068290c0696a7df2dba87c486a52e4de7dd775da0b29d6bb2197";

    fn read(text: &str) -> Result<Vec<String>, Oddity> {
        let ids = Lines::default().read(text.as_bytes(), Instant::now());
        ids.map(|ids| ids.into_iter().collect())
    }

    #[test]
    fn real_events_of_docker_and_podman() {
        let docker = format!(
            r#"{{"status":"create","id":"{ID}","from":"base","Type":"container","Action":"create","Actor":{{"ID":"{ID}","Attributes":{{"image":"base","name":"aaa"}}}},"scope":"local","time":1795563294,"timeNano":1795563294988295225}}"#
        );
        let network = format!(
            r#"{{"Type":"network","Action":"disconnect","Actor":{{"ID":"adc77d9d5cb63be48bb0eb91518bd1d99c62b28ccc11a8713ce592d5af9bc01d","Attributes":{{"container":"{ID}","name":"bridge","type":"bridge"}}}}}}"#
        );
        let podman = format!(
            r#"{{"ID":"{ID}","Image":"localhost/bb:latest","Name":"aaa","Status":"remove","Time":"2026-11-24T23:35:22.95Z","Type":"container","Attributes":{{}}}}"#
        );
        for line in [docker, network, podman] {
            assert_eq!(read(&format!("{line}\n")), Ok(vec![ID.into()]), "{line}");
        }
        let image =
            r#"{"Name":"bb","Status":"pull","Time":"2026","Type":"image","Attributes":null}"#;
        let network = r#"{"Type":"network","Action":"create","Actor":{"ID":"adc7","Attributes":{"name":"n"}}}"#;
        for line in [image, network, ""] {
            assert_eq!(read(&format!("{line}\n")), Ok(vec![]), "{line}");
        }
    }

    #[test]
    fn lines_that_are_no_events_are_odd() {
        for line in [
            "{{json .}}",
            "{",
            "[]",
            r#"{"Type":"container"}"#,
            r#"{"Type":"container","Actor":{"ID":"--all"}}"#,
            r#"{"Type":"container","ID":"x y"}"#,
        ] {
            let odd = read(&format!("{line}\n")).unwrap_err();
            assert_eq!(odd, Oddity::NoEvent(line.to_owned()));
            assert_eq!(
                odd.to_string(),
                format!("printed what is no event: {line:?}")
            );
        }
        let long = "x".repeat(MAX_LINE + 1);
        assert_eq!(read(&long), Err(Oddity::LongLine));
        assert_eq!(
            Oddity::LongLine.to_string(),
            "printed a line of more than 4194304 bytes"
        );
    }

    #[test]
    fn more_events_than_an_engine_has_are_odd() {
        let line = format!("{{\"Type\":\"container\",\"ID\":\"{ID}\"}}\n");
        let (mut lines, t) = (Lines::default(), Instant::now());
        let most = line.repeat(MANY);
        let later = t + MANY_WITHIN + Duration::from_secs(1);
        assert_eq!(lines.read(most.as_bytes(), t).map(|ids| ids.len()), Ok(1));
        assert!(lines.read(most.as_bytes(), later).is_ok());
        let odd = lines.read(line.as_bytes(), later).unwrap_err();
        assert_eq!(odd, Oddity::ManyEvents);
        assert_eq!(odd.to_string(), "told more than 10000 events within 10 s");
    }

    proptest! {
        #[test]
        fn lines_may_be_split_anywhere(cuts in proptest::collection::vec(0..400_usize, 0..6)) {
            let line = |n: u32| format!("{{\"Type\":\"container\",\"ID\":\"{n:064x}\"}}\n");
            let text: String = (0..4).map(line).collect();
            let mut lines = Lines::default();
            let mut found = HashSet::new();
            let mut cuts = cuts;
            cuts.sort_unstable();
            let mut from = 0;
            for to in cuts.into_iter().chain([text.len()]) {
                let to = to.clamp(from, text.len());
                found.extend(lines.read(&text.as_bytes()[from..to], Instant::now()).unwrap());
                from = to;
            }
            prop_assert_eq!(found.len(), 4);
        }

        #[test]
        fn no_text_panics(text in "[\\[\\]{}\":,a-zA-Z0-9 \n]{0,80}") {
            let _ = read(&text);
        }
    }
}
