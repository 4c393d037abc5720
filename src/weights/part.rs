//! A part: one published set of weights, known before a byte of it is there.

use std::fmt;

/// One published set of weights. What needs it holds a `&'static Part`; [`super::registry`] lists those known here.
#[derive(Debug)]
pub struct Part {
    /// The name on the command line and in provenance.
    pub id: &'static str,
    /// The name for people.
    pub title: &'static str,
    /// Ways to have it, the preferred one first: all files of any one of them serve.
    pub forms: &'static [Form],
    /// Where to get it, in words; ends a sentence that begins with "get it".
    pub get: &'static str,
    /// Under which terms the files are.
    pub licence: &'static str,
}

/// Files that are the whole of a [`Part`] together.
#[derive(Debug)]
pub struct Form {
    /// The folder that the files are in by custom, empty where they stand alone.
    pub folder: &'static str,
    /// Repositories of the Hugging Face hub with these files at these paths, `org/name`; a cache may hold them.
    pub hubs: &'static [&'static str],
    /// The files.
    pub files: &'static [Published],
    /// What they take together.
    pub size: Size,
}

impl Form {
    /// One file that stands alone.
    pub const fn alone(hubs: &'static [&'static str], files: &'static [Published; 1]) -> Self {
        Self { folder: "", hubs, files, size: files[0].size }
    }

    /// One file in a folder.
    pub const fn within(folder: &'static str, hubs: &'static [&'static str], files: &'static [Published; 1]) -> Self {
        Self { folder, hubs, files, size: files[0].size }
    }
}

/// A file as published.
#[derive(Debug)]
pub struct Published {
    /// Its path in the folder or repository, with `/`.
    pub path: &'static str,
    /// Other names that it is seen under.
    pub aliases: &'static [&'static str],
    /// Its SHA-256 in hexadecimal, or as many of its first digits as are published; empty where none are.
    pub sha256: &'static str,
    pub size: Size,
}

/// How large a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// Exactly, in bytes.
    Bytes(u64),
    /// About, in megabytes.
    About(u64),
    /// Not said.
    Unknown,
}

impl Published {
    /// A file by its path, with what is known of its SHA-256 and size.
    pub const fn new(path: &'static str, sha256: &'static str, size: Size) -> Self {
        Self { path, aliases: &[], sha256, size }
    }

    /// The same file with other names that it is seen under.
    pub const fn or_named(self, aliases: &'static [&'static str]) -> Self {
        Self { aliases, ..self }
    }

    /// The name without folders.
    pub fn name(&self) -> &'static str {
        self.path.rsplit('/').next().unwrap_or(self.path)
    }

    /// Whether a file of this SHA-256 is the published one, as far as that is known.
    pub fn is(&self, sha256: &str) -> bool {
        !self.sha256.is_empty() && sha256.starts_with(self.sha256)
    }
}

impl Part {
    /// The files of the preferred form.
    pub fn files(&self) -> &'static [Published] {
        self.forms.first().map_or(&[], |form| form.files)
    }

    /// What the preferred form takes.
    pub fn size(&self) -> Size {
        self.forms.first().map_or(Size::Unknown, |form| form.size)
    }
}

impl Size {
    fn megabytes(self) -> u64 {
        match self {
            Size::Bytes(bytes) => bytes.div_ceil(1_000_000),
            Size::About(megabytes) => megabytes,
            Size::Unknown => 0,
        }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match *self {
            Size::Bytes(bytes) if bytes < 1_000_000 => write!(f, "{:.1} kB", bytes as f64 / 1e3),
            Size::Unknown => write!(f, "size unknown"),
            size if size.megabytes() < 10_000 => write!(f, "{} MB", size.megabytes()),
            size => write!(f, "{:.1} GB", size.megabytes() as f64 / 1e3),
        }
    }
}
