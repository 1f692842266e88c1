//! Output of docker that the fuzzer makes.

use super::command::is_id;
use super::events;
use super::inspect::answer::read_whole;
use super::inspect::snapshot::Snapshot;
use super::ports::shared_host_ports;
use crate::base::cut::cut;
use crate::base::time::Timestamp;

/// Reads the output of `docker inspect`, as listings and operations do.
pub fn inspect(data: &[u8]) {
    let Ok(all) = read_whole(data) else {
        return;
    };
    let infos: Vec<_> = all.into_iter().filter_map(|read| read.info).collect();
    let _ = shared_host_ports(infos.iter());
    for info in &infos {
        let _ = info.status();
        let written = info.created_at.to_string();
        let read = Timestamp::parse(&written).map(Timestamp::as_millis);
        assert_eq!(read, Some(info.created_at.as_millis()));
    }
    let objects = serde_json::from_slice::<Vec<serde_json::Value>>(data).unwrap_or_default();
    for object in objects {
        let bytes = object.to_string().into_bytes();
        // The container stands for its image, too.
        let read = Snapshot::from_api(&bytes, |_| Ok(Some(bytes.clone())));
        let _ = read.map(|snapshot| snapshot.is_joined_to(&snapshot.id, &snapshot.name));
    }
}

/// Reads the output of `docker events`. It names the same containers however it arrives, each by an id.
pub fn events(data: &[u8]) {
    let (early, late) = cut(data);
    let whole = events::containers_in(&[data]);
    assert_eq!(whole, events::containers_in(&[early, late]));
    assert!(whole.iter().flatten().all(|id| is_id(id)));
}
