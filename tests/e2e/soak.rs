//! Everything at once, for minutes, on an engine of its own: clients of every kind, containers that come and go, edits,
//! recreates, an engine that freezes and is restarted, and daemons that are killed.
//!
//! At quiet points, the stream of changes and the answers must equal what docker says (P11), no container may be lost
//! or have another name (P12), a container that was made from another configuration must be dirty (P6), nothing may be
//! left of operations (P16), and the daemon may not have grown.

mod clients;
mod world;

use std::time::{Duration, Instant};

use self::clients::Clients;
use self::world::{HARMS, World};
use crate::random::Random;

/// How long it goes on, unless `DEVCONTAINERD_SOAK_MINUTES` gives another number.
const MINUTES: u64 = 1;

#[test]
fn p11_p12_p16_nothing_is_lost_and_nothing_grows() {
    let minutes = std::env::var("DEVCONTAINERD_SOAK_MINUTES").ok();
    let minutes = minutes.map_or(MINUTES, |minutes| minutes.parse().unwrap());
    let mut random = Random::new();
    let mut world = World::new();
    let clients = Clients::start(world.address(), world.socket(), world.names());
    world.check(&clients, "at the beginning");
    let end = Instant::now() + Duration::from_secs(60 * minutes);
    let mut rounds = 0;
    while rounds < HARMS.len() || Instant::now() < end {
        // The first rounds do each harm once.
        let harm = HARMS.get(rounds);
        let harm = harm.copied().unwrap_or_else(|| random.one_of(HARMS));
        rounds += 1;
        let what = format!("round {rounds}, {harm:?}");
        world.act(&mut random);
        world.harm(harm, &mut random, &clients);
        world.act(&mut random);
        world.check(&clients, &what);
    }
    let served = clients.stop();
    println!("{rounds} rounds; answers and connections without one: {served:?}");
    for (kind, (answered, _)) in served {
        assert!(answered > 0, "{kind:?} never got an answer");
    }
}
