//! The part of the state that a scrape of the metrics shows.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::State;
use super::view::View;

/// The state as the metrics show it.
pub struct Scraped {
    /// Everything as the answers show it.
    pub view: Arc<View>,
    /// True if docker could be asked for containers the last time; `None` before the first.
    pub lists: Option<bool>,
    /// The age of the list. `None` if there is none.
    pub age: Option<Duration>,
    /// True if events keep the list true.
    pub follows_events: bool,
    /// True if files can be watched.
    pub watches: bool,
    /// True if a listing is wanted, because the last one is long ago.
    pub wants_list: bool,
}

impl State {
    /// Takes a scrape of the metrics. It shows no interest: no events are followed for it.
    pub fn scrape(&mut self, now: Instant) -> Scraped {
        let has_tried = self.listing.has_tried();
        Scraped {
            wants_list: self.listing.scraped(now),
            lists: has_tried.then(|| self.listing.failure().is_none()),
            age: self.listing.age(now),
            follows_events: self.listing.follows_events(),
            watches: self.watcher_warning.is_none(),
            view: self.view(),
        }
    }
}
