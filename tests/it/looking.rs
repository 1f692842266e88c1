//! Looking at inputs is bounded, and shared by all who wait (P19).

use std::fmt::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::common::{LONG, Sandbox, Stopwatch};

/// How many local features the configuration names: about 1 MiB of them.
const FEATURES: usize = 45_000;
const REQUESTS: usize = 50;
/// How much larger the daemon may become, in kB. Each look at such a configuration by itself takes tens of megabytes.
const GROWTH: u64 = 150_000;

#[test]
fn p19_a_configuration_of_thousands_of_features_that_is_touched_all_the_time_holds_up_nobody() {
    let sandbox = Sandbox::with_app();
    let daemon = sandbox.daemon().start();
    daemon.get("/");
    let before = daemon.status("VmRSS");
    let mut config = String::from("{\"image\": \"base\", \"features\": {");
    for number in 0..FEATURES {
        let comma = if number == 0 { "" } else { "," };
        write!(config, "{comma}\"./feature-{number}\":{{}}").unwrap();
    }
    config += "}}";
    assert!(config.len() < 1 << 20, "{}", config.len());
    let path = sandbox.write("work/app/.devcontainer/devcontainer.json", &config);
    let is_done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !is_done.load(Ordering::Relaxed) {
                let file = std::fs::File::options().append(true).open(&path).unwrap();
                file.set_modified(std::time::SystemTime::now()).unwrap();
                thread::sleep(Duration::from_millis(10));
            }
        });
        let begun = Stopwatch::start();
        let asking: Vec<_> = (0..REQUESTS)
            .map(|_| scope.spawn(|| assert_eq!(daemon.get("/").status, 200)))
            .collect();
        while asking.iter().any(|one| !one.is_finished()) {
            let health = Stopwatch::start();
            assert_eq!(daemon.get("/healthz").status, 200);
            assert!(health.elapsed() < Duration::from_secs(1), "{health:?}");
        }
        for one in asking {
            one.join().unwrap();
        }
        assert!(begun.elapsed() < LONG, "{:?}", begun.elapsed());
        is_done.store(true, Ordering::Relaxed);
    });
    let after = daemon.status("VmHWM");
    assert!(
        after < before + GROWTH,
        "{before} kB, then up to {after} kB"
    );
    let unchecked = daemon.devcontainer()["unchecked"].to_string();
    assert!(unchecked.contains("more than 1000 files"), "{unchecked}");
}
