//! Whether weights are the published ones: a loader hands it on, and every score and checkpoint made with them keeps it.

use crate::fs::hash::hash_bytes;

/// What weights were read, and whether they are the published ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trust {
    /// Of the published SHA-256, or compiled into the program.
    Verified { sha256: String },
    /// Not known to be the published ones; a person asked for their use.
    Unverified { sha256: String },
}

/// What an unverified mark starts with.
const UNVERIFIED: &str = "unverified-";

impl Trust {
    /// The SHA-256 in 64 hexadecimal digits: the file's, or one over those of all files.
    pub fn sha256(&self) -> &str {
        match self {
            Trust::Verified { sha256 } | Trust::Unverified { sha256 } => sha256,
        }
    }

    /// Whether these are the published weights.
    pub fn is_verified(&self) -> bool {
        matches!(self, Trust::Verified { .. })
    }

    /// What the ledger keeps with scores and checkpoints as the hash of the weights: 16 digits, with a mark before them where
    /// the weights are not the published ones.
    pub fn mark(&self) -> String {
        let digits = UNVERIFIED.len() * usize::from(!self.is_verified()) + 16;
        format!("{:.digits$}", self.whole_mark())
    }

    /// As [`mark`](Self::mark) with all 64 digits, for backbones.
    pub fn whole_mark(&self) -> String {
        let mark = if self.is_verified() { "" } else { UNVERIFIED };
        format!("{mark}{}", self.sha256())
    }

    /// One value for weights of several files or parts: unverified where one of them is.
    pub fn of_all<'a>(all: impl IntoIterator<Item = &'a Trust>) -> Option<Trust> {
        let all: Vec<&Trust> = all.into_iter().collect();
        let sha256 = match all.as_slice() {
            [] => return None,
            [one] => return Some((*one).clone()),
            several => {
                hash_bytes(several.iter().flat_map(|trust| trust.sha256().bytes()).collect::<Vec<_>>().as_slice())
            }
        };
        Some(match all.iter().all(|trust| trust.is_verified()) {
            true => Trust::Verified { sha256 },
            false => Trust::Unverified { sha256 },
        })
    }
}

/// Whether a hash that a ledger keeps is of weights that were not the published ones.
pub fn is_unverified(mark: &str) -> bool {
    mark.starts_with(UNVERIFIED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_unverified_part_makes_the_whole_unverified() {
        let good = Trust::Verified { sha256: hash_bytes(b"a") };
        let bad = Trust::Unverified { sha256: hash_bytes(b"b") };
        assert_eq!(Trust::of_all([]), None);
        assert_eq!(Trust::of_all([&good]), Some(good.clone()));
        let both = Trust::of_all([&good, &bad]).unwrap();
        assert!(!both.is_verified() && is_unverified(&both.mark()) && !is_unverified(&good.mark()));
        assert!(Trust::of_all([&good, &good]).unwrap().is_verified());
        assert_ne!(Trust::of_all([&good, &bad]), Trust::of_all([&bad, &good]), "order tells parts apart");
        assert_eq!(good.mark().len(), 16);
    }
}
