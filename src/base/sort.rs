//! Sorting, of which each kind of element would otherwise bring its own 5 kB of code.

/// `items` by what `text` makes of each; equal ones stay in their order.
pub fn by_text<T>(items: Vec<T>, text: impl Fn(&T) -> Vec<u8>) -> Vec<T> {
    let mut keys: Vec<(Vec<u8>, usize)> = Vec::with_capacity(items.len());
    let mut places: Vec<Option<T>> = Vec::with_capacity(items.len());
    for item in items {
        keys.push((text(&item), places.len()));
        places.push(Some(item));
    }
    sort(&mut keys);
    let mut take = |(_, place): (Vec<u8>, usize)| places.get_mut(place)?.take();
    keys.into_iter().filter_map(&mut take).collect()
}

#[inline(never)]
fn sort(keys: &mut [(Vec<u8>, usize)]) {
    keys.sort_unstable();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_ones_stay_in_their_order() {
        let items = vec![("b", 1), ("a", 2), ("b", 0), ("", 3), ("ab", 4)];
        let sorted = by_text(items, |(text, _)| text.as_bytes().to_vec());
        assert_eq!(sorted, [("", 3), ("a", 2), ("ab", 4), ("b", 1), ("b", 0)]);
    }
}
