//! What is kept in memory because it is dear to make: as much as fits, the least recently used let go.

use std::collections::HashMap;
use std::hash::Hash;

/// Values by key, up to a number of bytes.
pub struct Lru<K, V> {
    most_bytes: usize,
    bytes: usize,
    uses: u64,
    kept: HashMap<K, Entry<V>>,
}

struct Entry<V> {
    value: V,
    bytes: usize,
    used: u64,
}

impl<K: Hash + Eq + Clone, V: Clone> Lru<K, V> {
    /// Keeps no more than so many bytes, but the last value however large it is.
    pub fn of(most_bytes: usize) -> Self {
        Self { most_bytes, bytes: 0, uses: 0, kept: HashMap::new() }
    }

    /// The value of a key, made with the bytes that it takes where it is not kept.
    pub fn get_or<E>(&mut self, key: &K, make: impl FnOnce() -> Result<(V, usize), E>) -> Result<V, E> {
        self.uses += 1;
        if let Some(entry) = self.kept.get_mut(key) {
            entry.used = self.uses;
            return Ok(entry.value.clone());
        }
        let (value, bytes) = make()?;
        while self.bytes + bytes > self.most_bytes
            && let Some(oldest) = self.kept.iter().min_by_key(|(_, entry)| entry.used).map(|(key, _)| key.clone())
        {
            self.bytes -= self.kept.remove(&oldest).map_or(0, |entry| entry.bytes);
        }
        self.bytes += bytes;
        self.kept.insert(key.clone(), Entry { value: value.clone(), bytes, used: self.uses });
        Ok(value)
    }

    /// How many values are kept.
    pub fn len(&self) -> usize {
        self.kept.len()
    }

    /// Whether nothing is kept.
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_used_longest_ago_goes_and_nothing_is_made_twice_while_it_fits() {
        let (mut lru, mut made) = (Lru::of(100), Vec::new());
        let mut ask = |key: u32, bytes: usize| {
            let value = lru.get_or(&key, || {
                made.push(key);
                Ok::<_, ()>((key * 10, bytes))
            });
            assert_eq!(value, Ok(key * 10));
            lru.len()
        };
        assert_eq!([ask(1, 40), ask(2, 40), ask(1, 40)], [1, 2, 2]);
        // The second was used longest ago.
        assert_eq!([ask(3, 60), ask(1, 40), ask(2, 40)], [2, 2, 2]);
        // What is larger than all that may be kept drives out the rest, and is let go with the next.
        assert_eq!([ask(4, 500), ask(4, 500), ask(5, 1)], [1, 1, 1]);
        assert_eq!(made, [1, 2, 3, 2, 4, 5]);
        assert_eq!(Lru::<u32, u32>::of(1).get_or(&1, || Err("cause")), Err("cause"));
    }
}
