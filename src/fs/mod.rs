//! What every room that touches the disk shares.
//!
//! * [`atomic`]: the one writer of files. [`hash`]: the one hash, and by what a file is told from another in its place;
//!   [`hashes`]: those of large files, remembered.
//! * [`reading`]: how much was read of large files. [`places`]: the directories of this program on this machine.

pub mod atomic;
pub mod hash;
pub mod hashes;
pub mod places;
pub mod reading;
