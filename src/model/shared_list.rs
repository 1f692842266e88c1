//! A list that shares its unchanged parts with the lists that it was made from.

use std::ops::Range;
use std::sync::Arc;

use serde::{Serialize, Serializer};

/// The number of items in a part of a new list. A part that has grown to twice as many is split.
const USUAL: usize = 128;

/// A list in parts, each of which its clones share until it changes there. So a change of one among 10,000 items costs little
/// more than one among 100.
#[derive(Debug)]
pub struct SharedList<T> {
    /// None of them is empty.
    parts: Vec<Part<T>>,
}

type Part<T> = Arc<Vec<T>>;

impl<T> SharedList<T> {
    /// Returns the number of items.
    pub fn len(&self) -> usize {
        count(&self.parts)
    }

    /// Returns whether there is no item.
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// Returns the items in their order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &T> + Clone {
        items(&self.parts)
    }

    /// Returns an item.
    pub fn get(&self, index: usize) -> Option<&T> {
        let (part, index) = self.locate(index);
        self.parts.get(part)?.get(index)
    }

    /// Returns the index of the first item for which `is_before` does not hold, which holds for all items before.
    pub fn partition_point(&self, mut is_before: impl FnMut(&T) -> bool) -> usize {
        let is_part_before = |part: &Part<T>| part.last().is_some_and(&mut is_before);
        let part = self.parts.partition_point(is_part_before);
        let (before, rest) = self.parts.split_at(part);
        let in_part = rest.first().map(|part| part.partition_point(is_before));
        count(before) + in_part.unwrap_or_default()
    }

    /// Returns in which of their items two lists differ, without those that they have in common at their beginning and at
    /// their end. Shared parts are not compared item by item.
    pub fn differing(
        before: &Self,
        after: &Self,
        is_same: impl Fn(&T, &T) -> bool,
    ) -> (Range<usize>, Range<usize>) {
        let is_shared = |(one, other): &(&Part<T>, &Part<T>)| Arc::ptr_eq(one, other);
        let parts = before.parts.iter().zip(&after.parts);
        let shared = parts.take_while(is_shared).count();
        let (first, before) = before.parts.split_at(shared);
        let (_, after) = after.parts.split_at(shared);
        let parts = before.iter().rev().zip(after.iter().rev());
        let shared = parts.take_while(is_shared).count();
        let (before, _) = before.split_at(before.len() - shared);
        let (after, _) = after.split_at(after.len() - shared);
        let lengths = (count(before), count(after));
        let (common, common_end) = common_ends(items(before), items(after), lengths, is_same);
        let begin = count(first);
        (
            begin + common..begin + lengths.0 - common_end,
            begin + common..begin + lengths.1 - common_end,
        )
    }

    /// Returns some of the items.
    pub fn range(&self, range: Range<usize>) -> impl Iterator<Item = &T> + Clone {
        let (part, index) = self.locate(range.start);
        let parts = self.parts.get(part..).unwrap_or_default();
        items(parts).skip(index).take(range.len())
    }

    /// Returns the part of an item, and its index there; the end of the list for any greater index.
    fn locate(&self, mut index: usize) -> (usize, usize) {
        for (at, part) in self.parts.iter().enumerate() {
            if index < part.len() {
                return (at, index);
            }
            index -= part.len();
        }
        (self.parts.len(), 0)
    }
}

impl<T: Clone> SharedList<T> {
    /// Puts an item in the place of another one.
    pub fn set(&mut self, index: usize, item: T) {
        let (part, index) = self.locate(index);
        if let Some(place) = self.part_mut(part).and_then(|part| part.get_mut(index)) {
            *place = item;
        }
    }

    /// Puts an item before the one at `index`, or at the end.
    pub fn insert(&mut self, index: usize, item: T) {
        let (mut at, mut index) = self.locate(index);
        if at == self.parts.len() {
            // The last part takes what comes at the end.
            at = at.saturating_sub(1);
            index = self.parts.last().map_or(0, |part| part.len());
        }
        let Some(part) = self.part_mut(at) else {
            self.parts.push(Arc::new(vec![item]));
            return;
        };
        part.insert(index, item);
        if part.len() >= 2 * USUAL {
            let second = part.split_off(USUAL);
            self.parts.insert(at + 1, Arc::new(second));
        }
    }

    /// Removes an item.
    pub fn remove(&mut self, index: usize) {
        let (at, index) = self.locate(index);
        let Some(part) = self.part_mut(at) else {
            return;
        };
        part.remove(index);
        if part.is_empty() {
            self.parts.remove(at);
        }
    }

    /// Puts other items in the place of some.
    pub fn splice(&mut self, range: Range<usize>, items: impl Iterator<Item = T>) {
        let mut index = range.start;
        for item in items {
            if index < range.end {
                self.set(index, item);
            } else {
                self.insert(index, item);
            }
            index += 1;
        }
        for _ in index..range.end {
            self.remove(index);
        }
    }

    fn part_mut(&mut self, part: usize) -> Option<&mut Vec<T>> {
        self.parts.get_mut(part).map(Arc::make_mut)
    }
}

/// Returns how many items two lists have in common at their beginning, and how many at their end. No item counts twice.
/// `lengths` are those of the lists.
pub fn common_ends<'a, T: 'a>(
    before: impl DoubleEndedIterator<Item = &'a T> + Clone,
    after: impl DoubleEndedIterator<Item = &'a T> + Clone,
    lengths: (usize, usize),
    is_same: impl Fn(&T, &T) -> bool,
) -> (usize, usize) {
    let is_same = |(one, other): &(&T, &T)| is_same(one, other);
    let pairs = before.clone().zip(after.clone());
    let begin = pairs.take_while(is_same).count();
    let left = lengths.0.min(lengths.1) - begin;
    let pairs = before.rev().zip(after.rev()).take(left);
    (begin, pairs.take_while(is_same).count())
}

fn items<T>(parts: &[Part<T>]) -> impl DoubleEndedIterator<Item = &T> + Clone {
    parts.iter().flat_map(|part| part.iter())
}

fn count<T>(parts: &[Part<T>]) -> usize {
    parts.iter().map(|part| part.len()).sum()
}

impl<T> Default for SharedList<T> {
    fn default() -> Self {
        Self { parts: Vec::new() }
    }
}

impl<T> Clone for SharedList<T> {
    fn clone(&self) -> Self {
        Self {
            parts: self.parts.clone(),
        }
    }
}

impl<T> FromIterator<T> for SharedList<T> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        let mut items = items.into_iter();
        let mut parts = Vec::new();
        loop {
            let part: Vec<T> = items.by_ref().take(USUAL).collect();
            if part.is_empty() {
                return Self { parts };
            }
            parts.push(Arc::new(part));
        }
    }
}

impl<T: PartialEq> PartialEq for SharedList<T> {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().eq(other.iter())
    }
}

impl<T: Serialize> Serialize for SharedList<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A change of a list.
    #[derive(Clone, Debug)]
    enum Change {
        Set(usize, u8),
        Insert(usize, u8),
        Remove(usize),
        Splice(usize, usize, Vec<u8>),
    }

    fn change() -> impl Strategy<Value = Change> {
        let index = || 0..1000_usize;
        prop_oneof![
            (index(), any::<u8>()).prop_map(|(index, item)| Change::Set(index, item)),
            (index(), any::<u8>()).prop_map(|(index, item)| Change::Insert(index, item)),
            index().prop_map(Change::Remove),
            (
                index(),
                0..300_usize,
                prop::collection::vec(any::<u8>(), 0..300)
            )
                .prop_map(|(index, length, items)| Change::Splice(index, length, items)),
        ]
    }

    /// Does the same to a list and to a vector.
    fn apply(change: Change, list: &mut SharedList<u8>, model: &mut Vec<u8>) {
        let len = model.len();
        match change {
            Change::Set(index, item) if index < len => {
                list.set(index, item);
                model[index] = item;
            }
            Change::Insert(index, item) => {
                list.insert(index.min(len), item);
                model.insert(index.min(len), item);
            }
            Change::Remove(index) if index < len => {
                list.remove(index);
                model.remove(index);
            }
            Change::Splice(begin, length, items) => {
                let begin = begin.min(len);
                let range = begin..(begin + length).min(len);
                list.splice(range.clone(), items.iter().copied());
                model.splice(range, items);
            }
            // There is no such item.
            Change::Set(index, item) => list.set(index, item),
            Change::Remove(index) => list.remove(index),
        }
    }

    proptest! {
        #[test]
        fn a_list_is_what_a_vector_is(
            items in prop::collection::vec(any::<u8>(), 0..600),
            changes in prop::collection::vec(change(), 0..20),
        ) {
            let mut model = items.clone();
            let mut list: SharedList<u8> = items.iter().copied().collect();
            let first = list.clone();
            for change in changes {
                let (before, shared) = (model.clone(), list.clone());
                apply(change, &mut list, &mut model);
                prop_assert!(list.iter().eq(&model));
                prop_assert!(list.iter().rev().eq(model.iter().rev()));
                prop_assert_eq!(list.len(), model.len());
                prop_assert_eq!(list.is_empty(), model.is_empty());
                prop_assert!(list.parts.iter().all(|part| (1..2 * USUAL).contains(&part.len())));
                prop_assert!(shared.iter().eq(&before), "a clone has changed");
                for index in [0, model.len() / 2, model.len()] {
                    prop_assert_eq!(list.get(index), model.get(index));
                }
                let (one, other) = SharedList::differing(&shared, &list, |a, b| a == b);
                let mut made = before;
                made.splice(one, list.range(other).copied());
                prop_assert_eq!(&made, &model);
            }
            prop_assert!(first.iter().eq(&items));
        }

        #[test]
        fn the_place_in_a_sorted_list_is_found(items in prop::collection::vec(any::<u8>(), 0..600), item: u8) {
            let mut items = items;
            items.sort_unstable();
            let list: SharedList<u8> = items.iter().copied().collect();
            let place = list.partition_point(|one| *one < item);
            prop_assert_eq!(place, items.partition_point(|one| *one < item));
        }
    }

    #[test]
    fn what_lists_have_in_common_at_both_ends_is_left_out() {
        let check = |before: &str, after: &str, expected: (&str, &str)| {
            let [one, other] = [before, after].map(|text| text.bytes().collect::<SharedList<u8>>());
            let (gone, came) = SharedList::differing(&one, &other, |a, b| a == b);
            assert_eq!((&before[gone], &after[came]), expected, "{before} {after}");
        };
        check("", "", ("", ""));
        check("abc", "abc", ("", ""));
        check("abc", "axc", ("b", "x"));
        check("abc", "ac", ("b", ""));
        check("ac", "abc", ("", "b"));
        check("abcd", "xbcy", ("abcd", "xbcy"));
        check("", "ab", ("", "ab"));
        check("aa", "aaa", ("", "a"));
        check("ab", "ba", ("ab", "ba"));
    }

    #[test]
    fn a_change_leaves_the_other_parts_shared() {
        let list: SharedList<usize> = (0..10_000).collect();
        let mut changed = list.clone();
        changed.set(5000, 0);
        changed.insert(5001, 1);
        changed.remove(9);
        let is_shared = |part: &Part<usize>| list.parts.iter().any(|one| Arc::ptr_eq(one, part));
        let copied = changed.parts.iter().filter(|part| !is_shared(part));
        assert_eq!(copied.count(), 2);
        let looks = std::cell::Cell::new(0);
        let count = |a: &usize, b: &usize| {
            looks.set(looks.get() + 1);
            a == b
        };
        let mut last = changed.clone();
        last.set(7000, 0);
        SharedList::differing(&changed, &last, count);
        assert!(looks.get() <= 2 * USUAL, "{}", looks.get());
    }
}
