//! Hashes of large files, remembered: a file of gigabytes is read for its hash once, not at every start.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};

use super::atomic::write_unflushed;
use super::hash::{Stamp, hash_watched};
use super::places;
use super::reading::Reading;
use crate::Result;

/// Files remembered: far more than the weights of a machine.
const MOST: usize = 4096;

/// SHA-256 of files by their stamps, in memory and in the cache of this machine.
#[derive(Debug, Default)]
pub struct Hashes {
    /// Where they are kept; `None` in memory alone.
    file: Option<PathBuf>,
    known: Mutex<Known>,
}

type Known = BTreeMap<String, (Stamp, String)>;

impl Hashes {
    /// Those that this machine remembers.
    pub fn of_machine() -> Self {
        Self::at(places::cache_dir().map(|dir| dir.join("hashes.json")))
    }

    /// Those kept in a file, or in memory alone. A cache that cannot be read is an empty one.
    pub fn at(file: Option<PathBuf>) -> Self {
        let known = file.as_deref().map(load).unwrap_or_default();
        Self { file, known: Mutex::new(known) }
    }

    /// The hash of a file where it is known without reading it.
    pub fn known(&self, path: &Path) -> Option<String> {
        let stamp = Stamp::of(&std::fs::metadata(path).ok()?)?;
        let known = self.lock();
        let (at, hash) = known.get(path.to_str()?)?;
        (*at == stamp).then(|| hash.clone())
    }

    /// The hash of a file, read for it where it is not known.
    pub fn of(&self, path: &Path) -> Result<String> {
        self.watched(path, &Reading::default())
    }

    /// The same, where somebody waits for it.
    pub fn watched(&self, path: &Path, reading: &Reading) -> Result<String> {
        if let Some(hash) = self.known(path) {
            return Ok(hash);
        }
        let stamp = || Stamp::of(&std::fs::metadata(path).ok()?);
        let before = stamp();
        let hash = hash_watched(path, reading)?;
        if let (Some(stamp), Some(name)) = (before.filter(|before| stamp() == Some(*before)), path.to_str()) {
            self.remember(name, stamp, &hash);
        }
        Ok(hash)
    }

    fn remember(&self, name: &str, stamp: Stamp, hash: &str) {
        let mut known = self.lock();
        // What other processes found meanwhile stays.
        known.extend(self.file.as_deref().map(load).unwrap_or_default());
        known.insert(name.into(), (stamp, hash.into()));
        if known.len() > MOST {
            known.retain(|path, _| Path::new(path).exists());
        }
        // A cache that cannot be written is made again next time.
        if let (Some(file), Ok(text)) = (&self.file, serde_json::to_vec(&*known))
            && file.parent().is_some_and(|dir| std::fs::create_dir_all(dir).is_ok())
        {
            let _ = write_unflushed(file, &text);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

fn load(file: &Path) -> Known {
    std::fs::read(file).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::hash::hash_bytes;
    use std::fs::{self, File};
    use std::sync::Arc;
    use std::time::{Duration, SystemTime};

    #[test]
    fn a_hash_is_remembered_until_the_file_changes() {
        let dir = tempfile::tempdir().unwrap();
        let (path, cache) = (dir.path().join("weights"), dir.path().join("sub/hashes.json"));
        let write = |bytes: &[u8], age: u64| {
            fs::write(&path, bytes).unwrap();
            let then = SystemTime::now() - Duration::from_secs(age);
            File::options().write(true).open(&path).unwrap().set_modified(then).unwrap();
        };
        write(b"one", 60);
        let first = Hashes::at(Some(cache.clone()));
        assert_eq!(first.known(&path), None);
        assert_eq!(first.of(&path).unwrap(), hash_bytes(b"one"));
        // Another process knows it too, without reading the file.
        assert_eq!(Hashes::at(Some(cache.clone())).known(&path), Some(hash_bytes(b"one")));
        write(b"two", 50);
        assert_eq!(first.known(&path), None);
        assert_eq!(first.of(&path).unwrap(), hash_bytes(b"two"));
        fs::write(&cache, b"{\"half").unwrap();
        assert_eq!(Hashes::at(Some(cache)).known(&path), None, "a damaged cache is an empty one");
        let (reading, unwanted) = (Reading::default(), Reading::stopped_by(Arc::new(true.into())));
        write(b"three", 40);
        assert!(matches!(first.watched(&path, &unwanted), Err(crate::Error::Cancelled)));
        assert_eq!((first.known(&path), unwanted.bytes()), (None, 5));
        first.watched(&path, &reading).unwrap();
        first.watched(&path, &reading).unwrap();
        assert_eq!(reading.bytes(), 5, "read once");
        write(b"new", 0);
        first.of(&path).unwrap();
        assert_eq!(first.known(&path), None, "a file of this moment may change and look the same");
    }
}
