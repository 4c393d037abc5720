//! Content hashes: SHA-256 in lower-case hexadecimal, the one way the workspace names weights and sources.

use std::fmt::Write as _;
use std::fs::Metadata;
use std::io::Read;
use std::path::Path;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::reading::Reading;
use crate::{Error, Result, input};

/// Hash of bytes in memory, 64 hexadecimal digits.
pub fn hash_bytes(bytes: &[u8]) -> String {
    hex(Sha256::digest(bytes))
}

/// Hash of a file's content, read in pieces.
pub fn hash_file(path: &Path) -> Result<String> {
    hash_watched(path, &Reading::default())
}

/// The same, where somebody waits for it.
pub fn hash_watched(path: &Path, reading: &Reading) -> Result<String> {
    let mut file = input::open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 18];
    loop {
        match file.read(&mut buffer).map_err(|e| Error::file(path, e))? {
            0 => return Ok(hex(hasher.finalize())),
            n => {
                hasher.update(&buffer[..n]);
                reading.add(n)?;
            }
        }
    }
}

/// Clocks of file systems tick this coarsely at worst: a file may change twice within it and look the same.
const CLOCK: Duration = Duration::from_secs(2);

/// By what a file that was read can be told from another in its place, without reading it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    bytes: u64,
    modified: SystemTime,
    /// Device, file number and time of the last change of either, where the system has them.
    identity: [i64; 4],
}

impl Stamp {
    /// The stamp of a file that has not changed just now; `None` for one whose stamp would not tell yet.
    pub fn of(file: &Metadata) -> Option<Self> {
        let stamp = Self::at_once(file)?;
        stamp.modified.elapsed().is_ok_and(|age| age > CLOCK).then_some(stamp)
    }

    /// The stamp of a file that may have changed just now: another one tells a change, the same one proves nothing.
    pub fn at_once(file: &Metadata) -> Option<Self> {
        Some(Self { bytes: file.len(), modified: file.modified().ok()?, identity: identity(file) })
    }
}

#[cfg(unix)]
fn identity(file: &Metadata) -> [i64; 4] {
    use std::os::unix::fs::MetadataExt;
    [file.dev() as i64, file.ino() as i64, file.ctime(), file.ctime_nsec()]
}

#[cfg(not(unix))]
fn identity(_: &Metadata) -> [i64; 4] {
    [0; 4]
}

fn hex(digest: impl AsRef<[u8]>) -> String {
    digest.as_ref().iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    #[test]
    fn agrees_with_the_standard_and_with_itself() {
        // FIPS 180-2, appendix B.1.
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(hash_bytes(b"abc"), abc);
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), b"abc").unwrap();
        assert_eq!(hash_file(file.path()).unwrap(), abc);
    }

    #[test]
    fn a_stamp_tells_a_replaced_file() {
        let dir = tempfile::tempdir().unwrap();
        let (path, other) = (dir.path().join("a"), dir.path().join("b"));
        let stamp = || Stamp::of(&std::fs::metadata(&path).unwrap());
        let age = |path: &Path, secs: u64| {
            let then = SystemTime::now() - Duration::from_secs(secs);
            File::options().write(true).open(path).unwrap().set_modified(then).unwrap();
        };
        std::fs::write(&path, b"abc").unwrap();
        assert_eq!(stamp(), None, "just written");
        age(&path, 60);
        let before = stamp();
        assert!(before.is_some() && before == stamp());
        std::fs::write(&path, b"abd").unwrap();
        age(&path, 50);
        let rewritten = stamp();
        assert!(rewritten.is_some() && before != rewritten);
        // Moved over it with its old time, as a copy from a backup may be.
        std::fs::write(&other, b"abe").unwrap();
        let time = std::fs::metadata(&path).unwrap().modified().unwrap();
        File::options().write(true).open(&other).unwrap().set_modified(time).unwrap();
        std::fs::rename(&other, &path).unwrap();
        assert_eq!(cfg!(unix), rewritten != stamp());
    }
}
