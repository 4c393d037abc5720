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

impl Error {
    /// An error about a file, from any displayable cause.
    pub fn file(path: impl AsRef<Path>, cause: impl std::fmt::Display) -> Self {
        Error::File { path: path.as_ref().to_owned(), cause: cause.to_string() }
    }

    /// An error about a value, from any displayable message.
    pub fn invalid(message: impl std::fmt::Display) -> Self {
        Error::Invalid(message.to_string())
    }
}
