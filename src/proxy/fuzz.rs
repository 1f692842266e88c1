//! Messages that the fuzzer makes.

#![allow(clippy::expect_used, reason = "the fuzzer reports panics")]

use super::edit::{self, Listed, NewContainer};
use super::message::{Answer, Request};
use crate::base::cut::cut;
use crate::docker::Snapshot;
use crate::model::ids::OperationId;

/// Reads a request of docker or compose. It is the same however it arrives, and after it was sent on.
pub fn request(data: &[u8]) {
    let (early, late) = cut(data);
    let whole = read_request(data, b"");
    assert_eq!(whole, read_request(early, late));
    let Some((sent, body)) = whole else {
        return;
    };
    let again = read_request(&sent, b"").map(|(_, body)| body);
    assert_eq!(again.as_ref(), Some(&body));
    if let Some(new) = NewContainer::parse(&body) {
        let _ = (new.folder(), new.service(), new.working_dir());
        let operation = OperationId::parse("0123456789abcdef").expect("an id");
        let labelled = new.labelled(&operation);
        assert!(NewContainer::parse(&labelled).is_some());
    }
}

/// A request in the form in which it is sent on, and its body.
fn read_request(early: &[u8], late: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let mut parts = std::io::Read::chain(early, late);
    let request = Request::read(&mut parts).ok()??;
    let _ = (request.upgrades(), request.sent_on());
    let body = request.body(&mut parts).ok()?;
    Some((request.sent_on_with(&body), body))
}

/// Reads an answer of the engine. It is the same however it arrives, and after it was passed on.
pub fn answer(data: &[u8]) {
    let (early, late) = cut(data);
    let read = |mut bytes: &[u8]| Answer::read(&mut bytes).ok();
    let whole = read(data);
    let parted = Answer::read(&mut std::io::Read::chain(early, late));
    assert_eq!(whole, parted.ok());
    let Some(answer) = whole else {
        return;
    };
    let passed_on = read(&answer.bytes()).expect("it is an answer");
    assert_eq!(passed_on.status, answer.status);
    if answer.status != 204 {
        assert_eq!(passed_on.body, answer.body);
    }
    edit_body(&answer.body);
}

/// Makes every edit of an answer's body.
fn edit_body(body: &[u8]) {
    let shown = |one: &Listed<'_>| !one.is_labelled;
    if let Some(edited) = edit::list(body, shown, |_| true) {
        let again = edit::list(&edited, shown, |_| true);
        assert_eq!(again, Some(edited));
    }
    let _ = (edit::renewed(body), edit::created_id(body));
    let _ = Snapshot::from_api(body, |_| Ok(Some(body.to_vec())));
}
