//! `docker events`: which containers may have changed, as it happens.

use std::collections::HashSet;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

use serde_json::Value;

use super::command::{is_id, keep};
use crate::base::notify::Notifier;
use crate::model::listing::Fault;
use crate::process::{self, Ended, RunLimits, Stream};

/// What may change what we show. A container that cannot be started shows in the events of its network alone. Each of
/// docker and podman has words that the other does not know; that is no error, and one of several fits.
const FILTERS: [&str; 15] = [
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
];
/// It listens some time after it was started; what happens until then it tells as well. Times are given to it in whole
/// seconds.
const LOOK_BACK: Duration = Duration::from_secs(1);
/// An event holds all labels.
const MAX_LINE: usize = 4 << 20;
/// What is kept of its complaints, and how many are too many.
const MAX_STDERR: usize = 4 << 10;
const MANY_COMPLAINTS: usize = 1 << 20;
/// No engine has more to tell than so many events in that time.
const MANY: usize = 10_000;
const MANY_WITHIN: Duration = Duration::from_secs(10);
/// It is to run until it is told to end.
const FOR_EVER: Duration = Duration::from_secs(u32::MAX as u64);
/// What it is called among the processes of the daemon.
const MARK: &str = "events";

/// What it has printed, line by line.
#[derive(Default)]
struct Lines {
    /// The beginning of a line whose end has not come yet.
    begun: Vec<u8>,
    since: Option<Instant>,
    count: usize,
}

/// Runs `docker events` until it ends, prints what is no event, or `stop` is rung. Names of containers that may have
/// changed are told as they come. Returns why it has ended.
pub fn follow(program: &Path, stop: &Notifier, tell: &mut dyn FnMut(HashSet<String>)) -> Fault {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let since = now.unwrap_or_default().saturating_sub(LOOK_BACK).as_secs();
    let mut command = Command::new(program);
    command.args(["events", "--format", "{{json .}}", "--since"]);
    command.arg(since.to_string());
    for filter in FILTERS {
        command.args(["--filter", filter]);
    }
    // So the next daemon ends it where this one has no time for that.
    process::mark(&mut command, MARK);
    let limits = RunLimits {
        deadline: Instant::now() + FOR_EVER,
        abort: Some(stop.as_fd()),
        grace: Duration::ZERO,
    };
    let (mut lines, mut stderr, mut fault) = (Lines::default(), Vec::new(), None);
    let mut complained = 0;
    let ended = process::run(command, &limits, &mut |stream, bytes| match stream {
        Stream::Stdout if fault.is_none() => match lines.read(bytes, Instant::now()) {
            Ok(ids) if ids.is_empty() => {}
            Ok(ids) => tell(ids),
            Err(what) => {
                fault = Some(what);
                stop.notify();
            }
        },
        Stream::Stdout => {}
        Stream::Stderr => {
            keep(&mut stderr, bytes, MAX_STDERR);
            complained += bytes.len();
            if complained > MANY_COMPLAINTS && fault.is_none() {
                fault = Some("complains without end".to_owned());
                stop.notify();
            }
        }
    });
    let said = String::from_utf8_lossy(&stderr);
    if let Some(what) = fault {
        return Fault::Odd(what);
    }
    Fault::Ended(match ended {
        Err(e) => e.to_string(),
        Ok(Ended::Exited(status)) => match said.trim() {
            "" => format!("docker events ended ({status}) and said nothing"),
            said => format!("docker events ended ({status}): {said}"),
        },
        Ok(Ended::TimedOut | Ended::Aborted) => "docker events was ended".to_owned(),
    })
}

impl Lines {
    /// The containers that are named in the lines that end with these bytes. An error says what is wrong with one.
    fn read(&mut self, bytes: &[u8], now: Instant) -> Result<HashSet<String>, String> {
        let mut ids = HashSet::new();
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let (line, after) = rest.split_at(end);
            rest = after.get(1..).unwrap_or_default();
            self.begun.extend_from_slice(line);
            let line = std::mem::take(&mut self.begun);
            self.count(now)?;
            if !line.trim_ascii().is_empty() {
                ids.extend(container(&line)?);
            }
        }
        self.begun.extend_from_slice(rest);
        match self.begun.len() > MAX_LINE {
            true => Err(format!("printed a line of more than {MAX_LINE} bytes")),
            false => Ok(ids),
        }
    }

    fn count(&mut self, now: Instant) -> Result<(), String> {
        let since = *self.since.get_or_insert(now);
        if now.saturating_duration_since(since) > MANY_WITHIN {
            (self.since, self.count) = (Some(now), 0);
        }
        self.count += 1;
        match self.count > MANY {
            true => {
                let seconds = MANY_WITHIN.as_secs();
                Err(format!("told more than {MANY} events within {seconds} s"))
            }
            false => Ok(()),
        }
    }
}

/// The container that may have changed by an event, if it is about one. podman has no actor, and gives the container's
/// id for what happens between it and a network.
fn container(line: &[u8]) -> Result<Option<String>, String> {
    let event: Value = serde_json::from_slice(line).unwrap_or_default();
    let text = |path: &str| event.pointer(path).and_then(Value::as_str);
    let (actor, by_podman) = (text("/Actor/ID"), text("/ID"));
    let id = match text("/Type") {
        Some("container") => actor.or(by_podman),
        Some("network") => {
            let id = text("/Actor/Attributes/container").or(by_podman);
            // A network that was made or removed names none.
            return Ok(id.filter(|id| is_id(id)).map(str::to_owned));
        }
        Some(_) => return Ok(None),
        None => None,
    };
    let id = id.filter(|id| is_id(id)).map(|id| Some(id.to_owned()));
    id.ok_or_else(|| {
        let shown: String = String::from_utf8_lossy(line).chars().take(80).collect();
        format!("printed what is no event: {shown:?}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ID: &str = "7ce1707fff40068290c0696a7df2dba87c486a52e4de7dd775da0b29d6bb2197";

    fn read(text: &str) -> Result<Vec<String>, String> {
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
    fn what_is_no_event_is_said() {
        for line in [
            "{{json .}}",
            "{",
            "[]",
            r#"{"Type":"container"}"#,
            r#"{"Type":"container","Actor":{"ID":"--all"}}"#,
            r#"{"Type":"container","ID":"x y"}"#,
        ] {
            let error = read(&format!("{line}\n")).unwrap_err();
            assert!(error.starts_with("printed what is no event: "), "{error}");
        }
        let long = "x".repeat(MAX_LINE + 1);
        assert!(read(&long).unwrap_err().contains("4194304 bytes"));
    }

    #[test]
    fn more_events_than_an_engine_has_are_said() {
        let line = format!("{{\"Type\":\"container\",\"ID\":\"{ID}\"}}\n");
        let (mut lines, t) = (Lines::default(), Instant::now());
        let most = line.repeat(MANY);
        let later = t + MANY_WITHIN + Duration::from_secs(1);
        assert_eq!(lines.read(most.as_bytes(), t).map(|ids| ids.len()), Ok(1));
        assert!(lines.read(most.as_bytes(), later).is_ok());
        assert!(lines.read(line.as_bytes(), later).is_err());
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
