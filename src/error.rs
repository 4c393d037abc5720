//! The one error type of the library: every message names the thing at fault and the cause.

use std::path::{Path, PathBuf};

/// Result of every fallible function of the library.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong, worded for the person at the keyboard.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be read, written or understood.
    #[error("{}: {cause}", path.display())]
    File { path: PathBuf, cause: String },
    /// A value given by the user is out of range or contradicts another.
    #[error("{0}")]
    Invalid(String),
    /// The workspace is being written elsewhere; it can still be looked at.
    #[error("{}: this workspace is being written by {holder}; wait for it or close it (reading stays possible)", path.display())]
    InUse { path: PathBuf, holder: String },
    /// The disk is full: no later file will fit either, so the job ends.
    #[error("{}: the disk is full; what was saved before is kept", path.display())]
    DiskFull { path: PathBuf },
    /// Not done unless it is asked for; the cause ends with what else to do.
    #[error("{cause}")]
    Refused { cause: String, permit: Permit },
    /// The job was cancelled by the user; what was finished before is kept.
    #[error("cancelled")]
    Cancelled,
    /// Training met NaN or infinity and stopped; the last good step is saved.
    #[error("{0}")]
    Diverged(String),
    /// The compute library failed (out of memory, missing device, shape mismatch).
    #[error("compute: {0}")]
    Tensor(#[from] candle_core::Error),
    /// The ledger of the workspace failed.
    #[error("ledger: {0}")]
    Ledger(#[from] rusqlite::Error),
}

/// What a person may ask for that is refused otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permit {
    /// To go on with groups that lack some of the recipe's seeds.
    Partial,
    /// To write into a folder that has files already.
    Overwrite,
    /// To start the commands that a recipe names as metrics, on this machine.
    External,
}

impl Permit {
    /// How it is asked for on the command line.
    pub fn flag(self) -> &'static str {
        match self {
            Permit::Partial => "--allow-partial",
            Permit::Overwrite => "--overwrite",
            Permit::External => "--allow-external",
        }
    }

    /// How it is asked for in the studio.
    pub fn title(self) -> &'static str {
        match self {
            Permit::Partial => "Go on with what is there",
            Permit::Overwrite => "Overwrite",
            Permit::External => "Allow it on this machine",
        }
    }
}

impl Error {
    /// Whether a job ends with it. Other errors are of one item; the next may succeed.
    pub fn ends_job(&self) -> bool {
        matches!(self, Error::Cancelled | Error::Ledger(_) | Error::DiskFull { .. })
    }

    /// Whether a device had no memory left: with fewer items at once the same may succeed.
    pub fn is_out_of_memory(&self) -> bool {
        let Error::Tensor(error) = self else { return false };
        let text = error.to_string().to_lowercase();
        ["out of memory", "out_of_memory", "alloc_failed"].iter().any(|sign| text.contains(sign))
    }

    /// An error about a file, from any displayable cause.
    pub fn file(path: impl AsRef<Path>, cause: impl std::fmt::Display) -> Self {
        Error::File { path: path.as_ref().to_owned(), cause: cause.to_string() }
    }

    /// An error about a value, from any displayable message.
    pub fn invalid(message: impl std::fmt::Display) -> Self {
        Error::Invalid(message.to_string())
    }
}
