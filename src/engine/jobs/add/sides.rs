//! What may become one half of a pair: a file that comes in, or images that are here.

use std::path::PathBuf;

use super::names::Place;
use crate::engine::protocol::Role;
use crate::workspace::ImageRow;

/// A file to add, before it is read.
#[derive(Clone, Debug)]
pub struct File {
    pub path: PathBuf,
    pub place: Place,
    pub role: Role,
    /// Width and height; `None` where its header cannot be read, which is said when it is added.
    pub size_px: Option<[usize; 2]>,
}

/// Images of the workspace that came from one file.
#[derive(Clone, Debug)]
pub struct Here {
    pub rows: Vec<ImageRow>,
    pub place: Place,
}

/// One side of a pair: a file that comes in, by its index, or what is here.
#[derive(Clone, Debug)]
pub enum Side {
    File(usize),
    Here(Here),
}

/// The hash of the file an image's HR came from, if it is known.
pub fn hr_hash(row: &ImageRow) -> Option<&str> {
    if row.degradation.is_some() { Some(&row.source_hash) } else { row.hr_source_hash.as_deref() }
}
