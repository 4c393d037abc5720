//! Metric maps known, a bounded number of them, and those a pane waits for.

use std::collections::HashMap;
use std::sync::Arc;

use crate::engine::protocol::{MapPicture, Source};

/// Bytes of map values kept.
const BYTES: usize = 256 << 20;

type Key = (Source, String);

#[derive(Debug)]
struct Known {
    map: Result<Arc<MapPicture>, String>,
    used: u64,
}

/// Maps by source and metric; the least recently used are dropped.
#[derive(Debug, Default)]
pub struct Maps {
    known: HashMap<Key, Known>,
    waiting: HashMap<Key, bool>,
    clock: u64,
    bytes: usize,
}

impl Maps {
    /// The map, or why there is none; `None` while it is being computed.
    pub fn get(&mut self, source: &Source, metric: &str) -> Option<Result<Arc<MapPicture>, String>> {
        self.clock += 1;
        let key = (source.clone(), metric.to_owned());
        match self.known.get_mut(&key) {
            Some(known) => {
                known.used = self.clock;
                Some(known.map.clone())
            }
            None => {
                self.waiting.entry(key).or_insert(false);
                None
            }
        }
    }

    /// Maps to ask for that were not asked for yet.
    pub fn take_requests(&mut self) -> Vec<(Source, String)> {
        let new = self.waiting.iter_mut().filter(|(_, asked)| !**asked);
        new.map(|(key, asked)| {
            *asked = true;
            key.clone()
        })
        .collect()
    }

    /// A question could not be asked.
    pub fn not_asked(&mut self, source: Source, metric: String) {
        self.waiting.remove(&(source, metric));
    }

    /// An answer came.
    pub fn answered(&mut self, source: Source, metric: String, map: Result<MapPicture, String>) {
        let key = (source, metric);
        self.waiting.remove(&key);
        self.clock += 1;
        self.bytes += size(map.as_ref().ok());
        self.known.insert(key, Known { map: map.map(Arc::new), used: self.clock });
        while self.bytes > BYTES && self.known.len() > 1 {
            let oldest = self.known.iter().min_by_key(|(_, known)| known.used).map(|(key, _)| key.clone());
            let Some(dropped) = oldest.and_then(|key| self.known.remove(&key)) else {
                return;
            };
            self.bytes -= size(dropped.map.as_deref().ok());
        }
    }
}

fn size(map: Option<&MapPicture>) -> usize {
    map.map_or(0, |map| map.values.len() * size_of::<f32>())
}
