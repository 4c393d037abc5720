//! How a recipe describes a command, and what is started for it.

use std::cmp::Ordering;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::fs::hash;
use crate::iqa::info::{Direction, Kind};
use crate::{Error, Result};

/// One image; the program is started for each.
const IMAGE: &str = "{image}";
/// Several images, an argument each; the program is started for many at once.
const IMAGES: &str = "{images}";
/// The reference image.
const REFERENCE: &str = "{reference}";

/// A command that scores images, or without a program a metric whose scores are imported.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct External {
    /// The name of the metric, in recipes and tables.
    pub name: String,
    /// The program (an absolute path, or a name that is on `PATH`), then its arguments. In these stand `{image}` (the
    /// program is started for each image) or, as an argument of its own, `{images}` (for several at once), and where it
    /// compares `{reference}`; paths of PNG files take their places.
    pub program: Vec<String>,
    pub direction: Direction,
    pub kind: Kind,
    /// Lowest and highest score to expect.
    #[serde(default = "any", skip_serializing_if = "is_any")]
    pub range: (f64, f64),
    /// Width and height an image needs at least.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub min_size_px: usize,
    /// Seconds after which the program is killed.
    #[serde(default = "minute", skip_serializing_if = "is_minute")]
    pub timeout_secs: u64,
    /// Images at once, where `{images}` takes several.
    #[serde(default = "sixteen", skip_serializing_if = "is_sixteen")]
    pub at_once: usize,
}

fn any() -> (f64, f64) {
    (f64::NEG_INFINITY, f64::INFINITY)
}
fn is_any(range: &(f64, f64)) -> bool {
    *range == any()
}
fn is_zero(n: &usize) -> bool {
    *n == 0
}
fn minute() -> u64 {
    60
}
fn is_minute(secs: &u64) -> bool {
    *secs == minute()
}
fn sixteen() -> usize {
    16
}
fn is_sixteen(n: &usize) -> bool {
    *n == sixteen()
}

impl Default for External {
    /// A no-reference metric without a name or a program, of which higher is better.
    fn default() -> Self {
        Self {
            name: String::new(),
            program: Vec::new(),
            direction: Direction::Higher,
            kind: Kind::NoReference,
            range: any(),
            min_size_px: 0,
            timeout_secs: minute(),
            at_once: sixteen(),
        }
    }
}

/// A command whose program was found.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// The file that is started.
    pub program: PathBuf,
    /// The files among its arguments.
    files: Vec<PathBuf>,
}

impl External {
    /// From RON, as it stands in a recipe.
    pub fn from_ron(text: &str) -> Result<Self> {
        let external: Self = ron::from_str(text).map_err(|e| {
            let (line, column) = (e.span.start.line, e.span.start.col);
            Error::invalid(format!("not a command: line {line}, column {column}: {}", e.code))
        })?;
        external.fault().map_or(Ok(external), |fault| Err(Error::invalid(fault)))
    }

    /// What is wrong with the description, if anything; whether the program is there is another question.
    pub fn fault(&self) -> Option<String> {
        let name = self.name.escape_debug();
        let fault = |what: &str| Some(format!("`{name}`: {what}"));
        let is_word = |c: char| c.is_ascii_alphanumeric() || "_-+.".contains(c);
        if self.name.is_empty() || !self.name.chars().all(is_word) {
            return fault("a metric's name is made of letters, digits and any of _ - + .");
        }
        let (program, arguments) = self.program.split_first()?;
        if program.is_empty() || self.program.iter().any(|part| part.contains('\0')) {
            return fault("names no program");
        }
        if program.contains(['/', '\\']) && !Path::new(program).is_absolute() {
            return fault("name the program by its absolute path, or by a name that is on PATH");
        }
        let uses = |what: &str| arguments.iter().filter(|argument| argument.contains(what)).count();
        match (uses(IMAGE), uses(IMAGES)) {
            (1, 0) => {}
            (0, 1) if arguments.iter().any(|argument| argument == IMAGES) => {}
            _ => return fault("one of its arguments is to hold {image}, or to be {images}"),
        }
        match (self.kind, uses(REFERENCE)) {
            (Kind::FullReference, 0) => fault("a full-reference metric needs {reference} among its arguments"),
            (Kind::NoReference, 1..) => fault("a no-reference metric has no {reference}; say `kind: fr`"),
            _ if self.timeout_secs == 0 || self.at_once == 0 => fault("timeout_secs and at_once are above 0"),
            // NaN is in no order.
            _ if self.range.0.partial_cmp(&self.range.1) != Some(Ordering::Less) => {
                fault("the range ends above its start")
            }
            _ => None,
        }
    }

    /// Whether it is no command: its scores come from elsewhere, and none is computed here.
    pub fn is_imported(&self) -> bool {
        self.program.is_empty()
    }

    /// The command as one line: what is kept with scores, and what a person is asked about.
    pub fn template(&self) -> String {
        let is_plain =
            |part: &str| !part.is_empty() && !part.contains(|c: char| c.is_whitespace() || c.is_control() || c == '"');
        let written = |part: &String| if is_plain(part) { part.clone() } else { format!("{part:?}") };
        self.program.iter().map(written).collect::<Vec<_>>().join(" ")
    }

    /// The program and its arguments from one line, as [`External::template`] writes it: blanks separate them, but between
    /// quotation marks. `None` where a mark is not closed.
    pub fn parts(line: &str) -> Option<Vec<String>> {
        let mut parts = Vec::new();
        let mut letters = line.chars().peekable();
        while let Some(first) = letters.next() {
            if first.is_whitespace() {
                continue;
            }
            let (mut part, mut quoted) = (String::new(), first == '"');
            if !quoted {
                part.push(first);
            }
            while let Some(&c) = letters.peek() {
                if !quoted && c.is_whitespace() {
                    break;
                }
                letters.next();
                match c {
                    '"' => quoted = !quoted,
                    '\\' if quoted => part.extend(letters.next()),
                    _ => part.push(c),
                }
            }
            if quoted {
                return None;
            }
            parts.push(part);
        }
        Some(parts)
    }

    /// Whether the program is started for several images at once.
    pub fn takes_several(&self) -> bool {
        self.program.iter().any(|argument| argument == IMAGES)
    }

    /// The arguments for some images; only one unless [`External::takes_several`].
    pub fn arguments(&self, images: &[PathBuf], reference: Option<&Path>) -> Vec<String> {
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let reference = reference.map(text).unwrap_or_default();
        let image = images.first().map(|path| text(path)).unwrap_or_default();
        let mut arguments = Vec::new();
        for argument in self.program.iter().skip(1) {
            match argument == IMAGES {
                true => arguments.extend(images.iter().map(|path| text(path))),
                false => arguments.push(substituted(argument, &[(IMAGE, &image), (REFERENCE, &reference)])),
            }
        }
        arguments
    }

    /// Finds the program. Errors: it is not there, or cannot be started.
    pub fn resolve(&self) -> Result<Resolved> {
        if let Some(fault) = self.fault() {
            return Err(Error::invalid(fault));
        }
        let name = self.program.first().map_or("", String::as_str);
        let program = match Path::new(name).is_absolute() {
            true => Some(PathBuf::from(name)).filter(|path| is_program(path)),
            false => on_path(name),
        };
        let program = program.ok_or_else(|| match Path::new(name).is_absolute() {
            true => Error::file(name, "no program is there, or it may not be executed (`chmod +x`)"),
            false => Error::invalid(format!("no program `{name}` is on PATH; install it, or name its absolute path")),
        })?;
        let files = self.program.iter().skip(1).map(PathBuf::from).filter(|path| path.is_file()).collect();
        Ok(Resolved { program, files })
    }
}

impl Resolved {
    /// The first 16 hexadecimal digits of a hash over the contents of the program and of the files among its arguments.
    pub fn hash(&self) -> Result<String> {
        let files = std::iter::once(&self.program).chain(&self.files);
        let hashes = files.map(|path| hash::hash_file(path)).collect::<Result<Vec<_>>>()?;
        let mut hash = match hashes.as_slice() {
            [one] => one.clone(),
            several => hash::hash_bytes(several.concat().as_bytes()),
        };
        hash.truncate(16);
        Ok(hash)
    }
}

/// The text with every placeholder replaced, in one pass.
fn substituted(text: &str, values: &[(&str, &str)]) -> String {
    let (mut out, mut rest) = (String::new(), text);
    while let Some((at, (placeholder, value))) =
        values.iter().filter_map(|v| Some((rest.find(v.0)?, v))).min_by_key(|(at, _)| *at)
    {
        out.push_str(&rest[..at]);
        out.push_str(value);
        rest = &rest[at + placeholder.len()..];
    }
    out + rest
}

fn on_path(name: &str) -> Option<PathBuf> {
    let names = if cfg!(windows) { vec![format!("{name}.exe"), name.to_owned()] } else { vec![name.to_owned()] };
    let folders: Vec<PathBuf> = std::env::split_paths(&std::env::var_os("PATH")?).collect();
    let candidates = folders.iter().flat_map(|folder| names.iter().map(|name| folder.join(name)));
    candidates.filter(|path| path.is_absolute()).find(|path| is_program(path))
}

#[cfg(unix)]
fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn is_program(path: &Path) -> bool {
    path.is_file()
}
