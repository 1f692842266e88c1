use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Instant;

use super::silence::Place as SilentPlace;
use super::*;

const PATIENCE: Duration = Duration::from_secs(60);

struct Place(PathBuf);

impl Located for Place {
    fn paths(&self) -> Vec<&Path> {
        vec![&self.0]
    }
}

fn places(names: &[&str]) -> Arc<[Place]> {
    let path = |name: &&str| Place(Path::new("/no/such").join(name));
    names.iter().map(path).collect()
}

fn looks() -> (Looks, RescanSignal) {
    let signal = RescanSignal::new().unwrap();
    (Looks::new(signal.clone()), signal)
}

/// A look that hangs at `dead` until the sender is dropped, and returns the last part of every path.
fn hangs_at(dead: &'static str) -> (Sender<()>, impl Fn(&Place) -> String + Send + Sync) {
    let (release, released) = channel::<()>();
    let released: Mutex<Receiver<()>> = Mutex::new(released);
    let look = move |place: &Place| {
        let name = place.0.file_name().unwrap().to_str().unwrap().to_owned();
        if name == dead {
            let _ = released.lock().unwrap().recv();
        }
        name
    };
    (release, look)
}

#[test]
fn all_places_are_looked_at_in_order() {
    let (looks, _) = looks();
    let (_release, look) = hangs_at("none");
    let found = looks.each(places(&["a", "b", "c"]), look, |_| {});
    assert_eq!(found, [Ok("a".into()), Ok("b".into()), Ok("c".into())]);
    assert_eq!(looks.each(places(&[]), |_| (), |()| {}), []);
}

#[test]
fn p22_a_place_that_does_not_answer_costs_itself_until_it_answers() {
    let (looks, signal) = looks();
    let (release, look) = hangs_at("dead");
    let (late, found_late) = channel();
    let begun = Instant::now();
    let found = looks.each(places(&["a", "dead", "c"]), look, move |found| {
        late.send(found).unwrap();
    });
    assert_eq!(found, [Ok("a".into()), Err(Silent), Ok("c".into())]);
    assert!(
        begun.elapsed() >= CHECK_INTERVAL,
        "there was no evidence yet"
    );

    let begun = Instant::now();
    let found = looks.each(places(&["dead", "a"]), |_| (), |()| {});
    assert_eq!(found, [Err(Silent), Ok(())]);
    assert!(begun.elapsed() < CHECK_INTERVAL, "it is known");

    assert!(!signal.take_retrace());
    drop(release);
    assert_eq!(found_late.recv_timeout(PATIENCE), Ok("dead".into()));
    let deadline = Instant::now() + PATIENCE;
    while !signal.take_retrace() {
        assert!(Instant::now() < deadline);
        std::thread::yield_now();
    }
    assert_eq!(looks.each(places(&["dead"]), |_| (), |()| {}), [Ok(())]);
}

#[test]
fn p22_a_look_that_takes_long_but_works_is_waited_for() {
    let (looks, _) = looks();
    let look = |_: &Place| {
        let until = Instant::now() + CHECK_INTERVAL * 4;
        while Instant::now() < until {
            std::hint::spin_loop();
        }
    };
    assert_eq!(looks.one(Place("/no/such".into()), look), Ok(()));
}

#[test]
fn p22_a_disk_of_this_machine_that_is_busy_is_waited_for() {
    let (looks, _) = looks();
    let look = |_: &Place| std::thread::sleep(CHECK_INTERVAL * 2 + CHECK_INTERVAL / 2);
    assert_eq!(looks.one(Place("/proc/no/such".into()), look), Ok(()));
}

#[test]
fn p22_no_more_than_so_many_threads_are_left_behind() {
    let (looks, _) = looks();
    for _ in 0..MAX_LEFT_BEHIND {
        let id = looks.common.silences.new_id();
        let place = SilentPlace::of(&["/no/such/dead".into()], Vec::new());
        looks.common.silences.begin(id, place);
    }
    let found = looks.one(Place("/elsewhere".into()), |_| ());
    assert_eq!(found, Err(Silent));
}

#[test]
fn a_look_that_panics_is_a_place_that_does_not_answer() {
    let (looks, _) = looks();
    let look = |place: &Place| assert!(!place.0.ends_with("bad"), "as the test wants it");
    let found = looks.each(places(&["bad", "good"]), look, |()| {});
    assert_eq!(found, [Err(Silent), Ok(())]);
}

#[test]
fn p22_what_comes_after_a_slow_place_is_looked_at_meanwhile_and_both_are_used() {
    let (looks, _) = looks();
    let look = |place: &Place| {
        let until = Instant::now() + LONGEST_ITEM - CHECK_INTERVAL;
        let is_slow = place.0.ends_with("slow");
        while is_slow && Instant::now() < until {
            std::thread::sleep(CHECK_INTERVAL / 20);
        }
        Instant::now()
    };
    let begun = Instant::now();
    let found = looks.each(places(&["slow", "b", "slow", "c"]), look, |_| {});
    let after: Vec<Duration> = found.iter().map(|one| one.unwrap() - begun).collect();
    assert!(after[1] < after[0] && after[3] < after[0], "{after:?}");
}

#[test]
fn p22_a_place_that_takes_too_long_costs_the_others_nothing() {
    let (looks, _) = looks();
    let look = |place: &Place| {
        while place.0.ends_with("slow") {
            std::thread::sleep(CHECK_INTERVAL / 20);
        }
    };
    let found = looks.each(places(&["slow", "b"]), look, |()| {});
    assert_eq!(found, [Err(Silent), Ok(())]);
}

#[test]
fn p22_all_places_together_take_no_longer_than_one_call_may() {
    let (looks, _) = looks();
    let names: Vec<String> = (0..20).map(|number| format!("slow{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let begun = Instant::now();
    let look = move |_: &Place| {
        while begun.elapsed() < PATIENCE {
            std::thread::sleep(CHECK_INTERVAL / 20);
        }
    };
    let found = looks.each(places(&names), look, |()| {});
    assert!(found.iter().all(|one| *one == Err(Silent)), "{found:?}");
    // One after the other would end after 200 s, and each as soon as the one before it is slow after 50 s.
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(35), "{took:?}");
}
