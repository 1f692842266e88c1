//! When the list is fresh enough, and when it is read again.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use crate::model::listing::Scope;
use crate::state::freshness::*;

const CACHE: Duration = Duration::from_secs(10);

/// A listing that began and ended at once, `ok` or not.
fn attempt(listing: &mut Listing, at: Instant, ok: bool) {
    assert!(listing.begin(at).is_some(), "no listing is wanted");
    listing.end(ok.then_some(()).ok_or("down".into()), at);
}

fn start() -> (Listing, Instant) {
    (
        Listing::new(CACHE, Instant::now()),
        Instant::now() + Duration::from_secs(1000),
    )
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn stale(age: u64) -> Freshness {
    Freshness::Stale {
        age: seconds(age),
        reason: "down".into(),
    }
}

#[test]
fn a_list_serves_for_its_time_and_then_is_read_anew() {
    let (mut listing, t) = start();
    attempt(&mut listing, t, true);
    assert_eq!(
        listing.ask(t + seconds(10), Need::Recent, t + seconds(10)),
        Freshness::Fresh
    );
    assert!(listing.begin(t + seconds(10)).is_none());
    assert_eq!(
        listing.ask(t + seconds(11), Need::Recent, t + seconds(11)),
        Freshness::Wait
    );
    attempt(&mut listing, t + seconds(11), true);
    assert_eq!(
        listing.ask(t + seconds(11), Need::Recent, t + seconds(11)),
        Freshness::Fresh
    );
}

#[test]
fn p9_scrapes_want_a_listing_once_a_minute_and_show_no_interest() {
    let (mut listing, t) = start();
    assert!(!listing.scraped(t), "the first list is wanted anyway");
    assert_eq!(listing.age(t), None);
    let mut begun = Vec::new();
    for second in (0..200).step_by(5) {
        let now = t + seconds(second);
        let wants = listing.scraped(now);
        // The first list is wanted from the start.
        assert_eq!(wants, listing.due() == Some(now), "{second}");
        assert!(!listing.interest.is_there(now));
        if listing.begin(now).is_some() {
            assert!(!listing.scraped(now), "one is under way");
            listing.end(Ok(()), now);
            begun.push(second);
        }
    }
    assert_eq!(begun, [0, 60, 120, 180]);
    assert_eq!(listing.age(t + seconds(200)), Some(seconds(20)));
    assert_eq!(listing.due(), None, "no timer runs between scrapes");
}

#[test]
fn scrapes_ask_again_while_listing_fails_and_not_while_events_are_followed() {
    let (mut listing, t) = start();
    attempt(&mut listing, t, false);
    assert!(!listing.scraped(t + seconds(59)));
    assert!(listing.scraped(t + seconds(60)));
    attempt(&mut listing, t + seconds(60), true);
    listing.events_started(t + seconds(61));
    attempt(&mut listing, t + seconds(61), true);
    assert!(!listing.scraped(t + seconds(150)), "events keep it true");
    assert_eq!(listing.age(t + seconds(150)), Some(Duration::ZERO));
}

#[test]
fn p10_one_listing_at_a_time_serves_all_who_wait() {
    let (mut listing, t) = start();
    assert!(listing.begin(t).is_some());
    for later in 0..100 {
        let now = t + Duration::from_millis(later);
        assert_eq!(listing.ask(now, Need::Recent, now), Freshness::Wait);
        assert!(listing.begin(now).is_none());
    }
    listing.end(Ok(()), t + seconds(1));
    assert_eq!(
        listing.ask(t + seconds(1), Need::Recent, t + seconds(1)),
        Freshness::Fresh
    );
    assert!(
        listing.begin(t + seconds(1)).is_none(),
        "it was read for all of them"
    );
}

#[test]
fn a_listing_from_before_an_event_does_not_show_it() {
    let (mut listing, t) = start();
    attempt(&mut listing, t, true);
    listing.invalidate(t + seconds(2), Vec::new());
    assert_eq!(
        listing.ask(t + seconds(2), Need::Recent, t + seconds(2)),
        Freshness::Wait
    );
    assert!(listing.begin(t + seconds(2)).is_some());
    listing.invalidate(t + seconds(3), Vec::new());
    assert_eq!(
        listing.ask(t + seconds(3), Need::Recent, t + seconds(3)),
        Freshness::Wait
    );
    listing.end(Ok(()), t + seconds(4));
    assert_eq!(
        listing.ask(t + seconds(3), Need::Recent, t + seconds(4)),
        Freshness::Wait
    );
    attempt(&mut listing, t + seconds(4), true);
    assert_eq!(
        listing.ask(t + seconds(3), Need::Recent, t + seconds(4)),
        Freshness::Fresh
    );
}

#[test]
fn p2_a_young_list_does_not_hide_that_listing_fails() {
    let (mut listing, t) = start();
    attempt(&mut listing, t, true);
    listing.want(t + seconds(1));
    attempt(&mut listing, t + seconds(1), false);
    assert_eq!(
        listing.ask(t + seconds(1), Need::Recent, t + seconds(1)),
        stale(1)
    );
    assert_eq!(
        listing.ask(t + seconds(3), Need::Recent, t + seconds(3)),
        Freshness::Wait
    );
    attempt(&mut listing, t + seconds(3), true);
    assert_eq!(
        listing.ask(t + seconds(3), Need::Recent, t + seconds(3)),
        Freshness::Fresh
    );
}

#[test]
fn p2_a_good_list_serves_for_60_seconds_while_listing_fails() {
    let (mut listing, t) = start();
    attempt(&mut listing, t, true);
    let ask = |listing: &mut Listing, at: u64| {
        listing.ask(t + seconds(at), Need::Recent, t + seconds(at))
    };
    assert_eq!(ask(&mut listing, 20), Freshness::Wait);
    attempt(&mut listing, t + seconds(20), false);
    assert_eq!(ask(&mut listing, 20), stale(20));
    assert_eq!(ask(&mut listing, 59), Freshness::Wait);
    attempt(&mut listing, t + seconds(59), false);
    assert_eq!(ask(&mut listing, 59), stale(59));
    assert_eq!(ask(&mut listing, 61), Freshness::Wait);
    attempt(&mut listing, t + seconds(61), false);
    assert_eq!(ask(&mut listing, 61), Freshness::Failed("down".into()));
    assert_eq!(ask(&mut listing, 63), Freshness::Wait);
    attempt(&mut listing, t + seconds(63), true);
    assert_eq!(ask(&mut listing, 63), Freshness::Fresh);
    assert_eq!(listing.failure(), None);
}

#[test]
fn p2_a_failing_docker_is_tried_once_a_second_however_many_ask() {
    let (mut listing, t) = start();
    let mut attempts = 0;
    for millis in 0..10_000 {
        let now = t + Duration::from_millis(millis);
        listing.ask(now, Need::Recent, now);
        if listing.begin(now).is_some() {
            attempts += 1;
            listing.end(Err("down".into()), now);
        }
    }
    assert_eq!(attempts, 10);
}

#[test]
fn p2_a_failure_answers_those_who_asked_while_it_was_under_way() {
    let t = start().1;
    let mut listing = Listing::new(Duration::ZERO, Instant::now());
    listing.ask(t, Need::Recent, t);
    assert!(listing.begin(t).is_some());
    let late = t + Duration::from_millis(1);
    assert_eq!(listing.ask(late, Need::Recent, late), Freshness::Wait);
    let ended = t + Duration::from_millis(2);
    listing.end(Err("down".into()), ended);
    let down = Freshness::Failed("down".into());
    assert_eq!(listing.ask(late, Need::Recent, ended), down);
    assert!(listing.begin(ended).is_none(), "tried again at once");
}

#[test]
fn who_has_waited_long_enough_gets_the_last_good_list() {
    let (mut listing, t) = start();
    assert_eq!(
        listing.fall_back("down".into(), t),
        Freshness::Failed("down".into())
    );
    attempt(&mut listing, t, true);
    assert_eq!(listing.fall_back("down".into(), t + seconds(5)), stale(5));
}

#[test]
fn p20_a_listing_knows_what_an_operation_has_changed_with_and_without_events() {
    for follows_events in [false, true] {
        let (mut listing, t) = start();
        attempt(&mut listing, t, true);
        if follows_events {
            listing.events_started(t);
            attempt(&mut listing, t, true);
        }
        listing.invalidate(t + seconds(1), vec!["a".to_owned()]);
        let changed: HashSet<String> = ["a".to_owned()].into();
        let expected = match follows_events {
            true => Scope::Changed(changed),
            false => Scope::All(changed),
        };
        assert_eq!(listing.begin(t + seconds(1)), Some(expected));
        listing.end(Ok(()), t + seconds(1));
        assert_eq!(listing.begin(t + seconds(1)), None);
    }
}

#[test]
fn p11_what_was_named_and_could_not_be_read_leaves_no_list_fresh() {
    let (mut listing, t) = start();
    attempt(&mut listing, t, true);
    listing.events_started(t + seconds(1));
    assert_eq!(
        listing.begin(t + seconds(1)),
        Some(Scope::All(HashSet::new()))
    );
    listing.end(Ok(()), t + seconds(1));
    let named: HashSet<String> = ["a".to_owned()].into();
    listing.events_named(named.clone(), t + seconds(2));
    let now = t + seconds(3);
    assert_eq!(listing.begin(now), Some(Scope::Named(named)));
    listing.end(Err("it hangs".into()), now);
    assert_eq!(listing.ask(now, Need::Recent, now), Freshness::Wait);
    assert_eq!(
        listing.begin(now),
        Some(Scope::All(HashSet::new())),
        "all is in doubt"
    );
    listing.end(Ok(()), now);
    assert_eq!(listing.ask(now, Need::Recent, now), Freshness::Fresh);
}

#[test]
fn p20_a_request_for_a_newer_list_waits_for_one_that_begins_later() {
    let (mut listing, t) = start();
    attempt(&mut listing, t, true);
    let asked = t + seconds(1);
    let ask = |listing: &mut Listing, need| listing.ask(asked, need, asked);
    assert_eq!(ask(&mut listing, Need::Recent), Freshness::Fresh);
    assert_eq!(ask(&mut listing, Need::Newer), Freshness::Wait);
    attempt(&mut listing, asked, true);
    assert_eq!(ask(&mut listing, Need::Newer), Freshness::Fresh);
    let later = t + seconds(2);
    assert_eq!(listing.ask(later, Need::Newer, later), Freshness::Wait);
    attempt(&mut listing, later, false);
    assert_eq!(listing.ask(later, Need::Newer, later), stale(1));
}

#[test]
fn p20_a_listing_under_way_is_not_new_enough_for_a_later_request() {
    let (mut listing, t) = start();
    assert!(listing.begin(t).is_some());
    let asked = t + seconds(1);
    assert_eq!(listing.ask(asked, Need::Newer, asked), Freshness::Wait);
    listing.end(Ok(()), t + seconds(2));
    assert_eq!(
        listing.ask(asked, Need::Newer, t + seconds(2)),
        Freshness::Wait
    );
    attempt(&mut listing, t + seconds(2), true);
    assert_eq!(
        listing.ask(asked, Need::Newer, t + seconds(2)),
        Freshness::Fresh
    );
}

#[test]
fn p20_a_list_from_before_the_end_of_an_operation_serves_nobody() {
    let (mut listing, t) = start();
    attempt(&mut listing, t, true);
    let end = t + seconds(1);
    listing.invalidate(end, Vec::new());
    listing.must_show(end);
    attempt(&mut listing, end, false);
    let failed = Freshness::Failed("down".into());
    assert_eq!(listing.ask(end, Need::Recent, end), failed);
    assert_eq!(listing.fall_back("down".into(), end), failed);
    listing.want(t + seconds(2));
    attempt(&mut listing, t + seconds(2), true);
    listing.want(t + seconds(20));
    attempt(&mut listing, t + seconds(20), false);
    assert_eq!(listing.fall_back("down".into(), t + seconds(20)), stale(18));
}
