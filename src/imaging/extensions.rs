//! Which files of a folder are images, by the endings of their names. A file named by itself is judged by its content.

use std::path::Path;

use super::decode;

/// Endings of image formats that are not read.
const FOREIGN: [&str; 22] = [
    "avif", "heic", "heif", "jxl", "jp2", "gif", "exr", "hdr", "psd", "svg", "ppm", "pgm", "tga", "dds", "ico", "raw",
    "dng", "cr2", "cr3", "nef", "arw", "raf",
];

/// What the ending of a name says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An image of a format that is read.
    Image,
    /// An image of another format.
    Foreign,
    /// No image.
    Other,
}

/// What the ending of a file's name says.
pub fn kind_of(path: &Path) -> Kind {
    let ending = ending_of(path);
    match ending.as_str() {
        ending if decode::EXTENSIONS.contains(&ending) => Kind::Image,
        ending if FOREIGN.contains(&ending) => Kind::Foreign,
        _ => Kind::Other,
    }
}

/// The ending of a file's name in lower case, without the dot; empty where there is none.
pub fn ending_of(path: &Path) -> String {
    path.extension().map(|e| e.to_string_lossy().to_lowercase()).unwrap_or_default()
}
