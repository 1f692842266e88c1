//! All dev containers, and what was derived from each for answers and scans until it changes.

use std::collections::HashMap;
use std::ops::Deref;
use std::sync::Arc;

use uuid::Uuid;

use super::entry::Entry;
use super::fact::ScanTarget;
use crate::model::api::Devcontainer;
use crate::model::ids::Key;

/// The dev containers by key.
///
/// Whoever gets one to change it makes what was derived from it old, so that a change costs what has changed.
#[derive(Default)]
pub(super) struct Entries {
    all: Vec<Entry>,
    /// The dev container of each name.
    names: HashMap<String, Key>,
    /// How many have each id. A manifest may give one the id of another.
    ids: HashMap<Uuid, usize>,
    /// True if some were added or removed since that was last asked.
    have_come_or_gone: bool,
}

/// The parts of answers that were derived from a dev container.
#[derive(Default)]
pub(super) struct Derived {
    shown: Kept<Arc<Devcontainer>>,
    target: Kept<Option<Arc<ScanTarget>>>,
    /// True if its containers have the baselines that are known of them.
    is_compared: bool,
}

struct Kept<T> {
    /// The last value, which may be old.
    value: Option<T>,
    is_current: bool,
}

impl Entries {
    pub(super) fn get(&self, key: Key) -> Option<&Entry> {
        self.all.get(self.index(key)?)
    }

    pub(super) fn get_mut(&mut self, key: Key) -> Option<&mut Entry> {
        let index = self.index(key)?;
        let entry = self.all.get_mut(index)?;
        entry.derived.forget();
        Some(entry)
    }

    /// Returns the dev container that has a name.
    pub(super) fn named(&self, name: &str) -> Option<&Entry> {
        self.get(*self.names.get(name)?)
    }

    /// Gives a dev container a name that no other one has, or none.
    pub(super) fn rename(&mut self, key: Key, name: String) {
        let Some(entry) = self.get_mut(key) else {
            return;
        };
        let before = std::mem::replace(&mut entry.name, name.clone());
        self.names.remove(&before);
        if !name.is_empty() {
            self.names.insert(name, key);
        }
    }

    /// Returns whether a dev container other than that of this key has an id.
    pub(super) fn has_other_id(&self, id: &Uuid, key: Key) -> bool {
        let is_own = self.get(key).is_some_and(|entry| entry.id == *id);
        self.ids.get(id).copied().unwrap_or_default() > usize::from(is_own)
    }

    pub(super) fn set_id(&mut self, key: Key, id: Uuid) {
        let Some(entry) = self.get_mut(key) else {
            return;
        };
        let before = std::mem::replace(&mut entry.id, id);
        self.drop_id(&before);
        *self.ids.entry(id).or_default() += 1;
    }

    fn drop_id(&mut self, id: &Uuid) {
        if let Some(count) = self.ids.get_mut(id) {
            *count -= 1;
            if *count == 0 {
                self.ids.remove(id);
            }
        }
    }

    /// Returns all to be changed. What was derived from each is old then.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Entry> {
        self.forget_derived();
        self.all.iter_mut()
    }

    /// Returns those to be changed for which `is_it` says so. What was derived from each of them is old then.
    pub(super) fn iter_mut_where(
        &mut self,
        is_it: impl Fn(&Entry) -> bool,
    ) -> impl Iterator<Item = &mut Entry> {
        self.all.iter_mut().filter_map(move |entry| {
            if !is_it(entry) {
                return None;
            }
            entry.derived.forget();
            Some(entry)
        })
    }

    /// Adds one with a greater key than all others.
    pub(super) fn push(&mut self, entry: Entry) {
        if !entry.name.is_empty() {
            self.names.insert(entry.name.clone(), entry.key);
        }
        *self.ids.entry(entry.id).or_default() += 1;
        self.have_come_or_gone = true;
        self.all.push(entry);
    }

    /// Returns whether some were added or removed since the last call.
    pub(super) fn take_coming_and_going(&mut self) -> bool {
        std::mem::take(&mut self.have_come_or_gone)
    }

    /// Removes and returns those for which `is_gone` says so.
    pub(super) fn extract(&mut self, is_gone: impl Fn(&Entry) -> bool) -> Vec<Entry> {
        let gone = self.all.extract_if(.., |entry| is_gone(entry));
        let gone: Vec<Entry> = gone.collect();
        self.have_come_or_gone |= !gone.is_empty();
        for entry in &gone {
            self.names.remove(&entry.name);
            self.drop_id(&entry.id);
        }
        gone
    }

    /// Makes what was derived from one old.
    pub(super) fn forget(&mut self, key: Key) {
        let _ = self.get_mut(key);
    }

    /// Makes all that was derived old.
    pub(super) fn forget_derived(&mut self) {
        self.all.iter_mut().for_each(|entry| entry.derived.forget());
    }

    /// Returns the keys of those that have changed since they were last shown.
    pub(super) fn to_show(&self) -> Vec<Key> {
        let old = self.all.iter().filter(|one| !one.derived.shown.is_current);
        old.map(|entry| entry.key).collect()
    }

    /// Returns the keys of those that have changed since their targets were last made.
    pub(super) fn to_target(&self) -> Vec<Key> {
        let old = self.all.iter();
        let old = old.filter(|one| !one.derived.target.is_current);
        old.map(|entry| entry.key).collect()
    }

    /// Returns the keys of those that have changed since baselines were last sought for their containers.
    pub(super) fn to_compare(&self) -> Vec<Key> {
        let old = self.all.iter().filter(|one| !one.derived.is_compared);
        old.map(|entry| entry.key).collect()
    }

    /// Keeps that the containers of one have the baselines that are known of them.
    pub(super) fn keep_compared(&mut self, key: Key) {
        if let Some(derived) = self.derived_mut(key) {
            derived.is_compared = true;
        }
    }

    /// Keeps how one is shown. If that is as before, the last value stays, which others compare by its address.
    pub(super) fn keep_shown(&mut self, key: Key, shown: Devcontainer) {
        if let Some(derived) = self.derived_mut(key) {
            let same = derived.shown.value.take().filter(|last| **last == shown);
            derived.shown = Kept::new(same.unwrap_or_else(|| Arc::new(shown)));
        }
    }

    /// Keeps the target of one. If that is as before, the last value stays, which others compare by its address.
    pub(super) fn keep_target(&mut self, key: Key, target: Option<ScanTarget>) {
        if let Some(derived) = self.derived_mut(key) {
            let last = derived.target.value.take().flatten();
            let same = last.filter(|last| Some(&**last) == target.as_ref());
            derived.target = Kept::new(same.or_else(|| target.map(Arc::new)));
        }
    }

    fn derived_mut(&mut self, key: Key) -> Option<&mut Derived> {
        let index = self.index(key)?;
        self.all.get_mut(index).map(|entry| &mut entry.derived)
    }

    /// Returns the index of an entry. New entries are added at the end, so that they are sorted by key.
    fn index(&self, key: Key) -> Option<usize> {
        self.all.binary_search_by_key(&key, |entry| entry.key).ok()
    }
}

impl Deref for Entries {
    type Target = [Entry];

    fn deref(&self) -> &[Entry] {
        &self.all
    }
}

impl Derived {
    /// Returns how it was last shown.
    pub(super) fn shown(&self) -> Option<&Arc<Devcontainer>> {
        self.shown.value.as_ref()
    }

    /// Returns the last target.
    pub(super) fn target(&self) -> Option<&Arc<ScanTarget>> {
        self.target.value.as_ref()?.as_ref()
    }

    fn forget(&mut self) {
        self.shown.is_current = false;
        self.target.is_current = false;
        self.is_compared = false;
    }
}

impl<T> Kept<T> {
    fn new(value: T) -> Self {
        Self {
            value: Some(value),
            is_current: true,
        }
    }
}

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self {
            value: None,
            is_current: false,
        }
    }
}
