//! Where everything lies inside a workspace directory.
//!
//! ```text
//! workspace.ron                                        format and recipe
//! ledger.sqlite                                        everything that is not a file of its own
//! images/<image>/lr.png, hr.png, prompt.txt
//! candidates/<image>/<checkpoint>/<sampler>/<seed>.png   <sampler> is `imported` where another program made them
//!     <seed>.latent.safetensors, condition.safetensors   what they were decoded from and drawn under, where that is kept
//! runs/<run>/checkpoints/step-000100.safetensors, step-000100-ema.safetensors
//! runs/<run>/states/step-000100.safetensors            optimizer moments, sampler position: what resuming needs
//! runs/<run>/tensorboard/events.out.tfevents…           its curves for TensorBoard
//! exports/                                             what the user asked to have written out
//! ```
//!
//! The ledger holds only [`RelPath`]s, so that the directory can be moved or copied as a whole.

use std::fmt;
use std::path::{Path, PathBuf};

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};

use super::ledger::CheckpointKind;
use crate::fs::hash::hash_bytes;
use crate::{Error, Result};

/// Name of the file that makes a directory a workspace.
pub const WORKSPACE_FILE: &str = "workspace.ron";
/// Name of the SQLite ledger.
pub const LEDGER_FILE: &str = "ledger.sqlite";
/// Directory of the low- and high-resolution images.
pub const IMAGES_DIR: &str = "images";
/// Directory of the sampled candidates.
pub const CANDIDATES_DIR: &str = "candidates";
/// How the files of latents end.
const LATENT_END: &str = ".latent.safetensors";
/// What candidates of one image, sampler and prompt were drawn under.
const CONDITION_FILE: &str = "condition.safetensors";
/// Directory of the training runs.
pub const RUNS_DIR: &str = "runs";
/// Directory of the training states of a run, in the run's.
pub(super) const STATES_DIR: &str = "states";
/// Directory of what the user exports.
pub const EXPORTS_DIR: &str = "exports";

/// A path inside the workspace: relative, with `/` between its parts on every system, never leaving the directory.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RelPath(String);

impl RelPath {
    /// A path from its text; refuses absolute paths, empty parts, `.`, `..`, backslashes and colons.
    pub fn new(text: impl Into<String>) -> Result<Self> {
        let text = text.into();
        // A colon would begin a drive or a hidden stream on Windows.
        let is_plain = |part: &str| !matches!(part, "" | "." | "..") && !part.contains(['\\', ':', '\0']);
        if text.split('/').all(is_plain) {
            Ok(Self(text))
        } else {
            Err(Error::invalid(format!("“{text}” is not a path inside a workspace")))
        }
    }

    /// The text, parts separated by `/`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The path on this machine, for a workspace at `root`.
    pub fn under(&self, root: &Path) -> PathBuf {
        let mut path = root.to_owned();
        path.extend(self.0.split('/'));
        path
    }

    /// The part before the last `/`; empty at the top.
    pub fn dir(&self) -> &str {
        self.0.rsplit_once('/').map_or("", |(dir, _)| dir)
    }
}

impl fmt::Display for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl ToSql for RelPath {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        self.0.to_sql()
    }
}

impl FromSql for RelPath {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        RelPath::new(value.as_str()?).map_err(FromSqlError::other)
    }
}

/// The name of one directory as the ledger keeps it: a part of a [`RelPath`], not hidden. A ledger may come from someone
/// else, and such a name becomes part of paths.
pub(super) struct DirName(pub String);

impl FromSql for DirName {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let name = value.as_str()?;
        let is_plain = !name.contains('/') && !name.starts_with('.') && RelPath::new(name).is_ok();
        let refused = || Error::invalid(format!("“{name}” is not the name of a directory of this workspace"));
        if is_plain { Ok(Self(name.to_owned())) } else { Err(FromSqlError::other(refused())) }
    }
}

/// Longest name of a run, in bytes.
const MAX_RUN_NAME: usize = 64;

/// Checks a name for a run: it becomes part of file names and of what people type (`RUN@STEP`).
pub fn check_run_name(name: &str) -> Result<()> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let begins_well = name.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
    match begins_well && name.len() <= MAX_RUN_NAME && name.chars().all(is_plain) {
        true => Ok(()),
        false => Err(Error::invalid(format!(
            "“{name}” cannot name a run: letters, digits and . _ - are allowed, the first no . or -, {MAX_RUN_NAME} at most"
        ))),
    }
}

/// Settings under which a candidate was sampled, such as `euler/10`: the method, then what tells it from others.
///
/// Only `a`–`z`, `0`–`9` and `. _ + = /`, beginning with a letter or digit, at most 80 bytes: so the directory name
/// made from it is unique on every file system.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SamplerKey(String);

impl SamplerKey {
    /// Longest text of a key.
    pub const MAX_BYTES: usize = 80;

    /// A key from its text; see the type for what is allowed.
    pub fn new(text: impl Into<String>) -> Result<Self> {
        let text = text.into();
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._+=/".contains(c);
        let begins_well = text.starts_with(|c: char| c.is_ascii_alphanumeric());
        let ends_well = text.ends_with(|c: char| c.is_ascii_alphanumeric());
        if begins_well && ends_well && text.len() <= Self::MAX_BYTES && text.chars().all(allowed) {
            Ok(Self(text))
        } else {
            Err(Error::invalid(format!(
                "“{text}” cannot name sampler settings: use a–z, 0–9 and . _ + = / (for example euler/10)"
            )))
        }
    }

    /// The key of candidates that another program made: how, is not known.
    const IMPORTED: &str = "imported";

    /// The key of imported candidates; that of a sampler of this program has a `/`.
    pub fn imported() -> Self {
        Self(Self::IMPORTED.into())
    }

    /// Whether the candidates were imported.
    pub fn is_imported(&self) -> bool {
        self.0 == Self::IMPORTED
    }

    /// What ends the key of samplers that read prompts; what follows tells the prompt.
    const PROMPT: &str = "+p";
    /// Longest text of a key to which that may still come.
    pub const MAX_BYTES_BEFORE_PROMPT: usize = Self::MAX_BYTES - Self::PROMPT.len() - 16;

    /// The key of a sampler that reads prompts besides.
    pub fn reading_prompts(&self) -> Result<Self> {
        Self::new(format!("{self}{}", Self::PROMPT))
    }

    /// Whether the key is of a sampler that reads prompts, whatever they are.
    pub fn reads_prompts(&self) -> bool {
        self.0.ends_with(Self::PROMPT)
    }

    /// The key under one prompt, known by its hash.
    pub(super) fn of_prompt(&self, hash: &str) -> Self {
        if self.reads_prompts() { Self(format!("{self}{hash}")) } else { self.clone() }
    }

    /// The text of the key.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The key whose directory is called `name`.
    pub(super) fn of_dir(name: &str) -> Result<Self> {
        Self::new(name.replace('-', "/"))
    }

    /// The key as a directory name; `-` stands for `/` and is therefore not allowed in keys.
    fn dir(&self) -> String {
        self.0.replace('/', "-")
    }
}

impl fmt::Display for SamplerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl ToSql for SamplerKey {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        self.0.to_sql()
    }
}

impl FromSql for SamplerKey {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        SamplerKey::new(value.as_str()?).map_err(FromSqlError::other)
    }
}

/// `images/<image>/lr.png`.
pub(super) fn lr_path(image_dir: &str) -> Result<RelPath> {
    RelPath::new(format!("{IMAGES_DIR}/{image_dir}/lr.png"))
}

/// `images/<image>/hr.png`.
pub(super) fn hr_path(image_dir: &str) -> Result<RelPath> {
    RelPath::new(format!("{IMAGES_DIR}/{image_dir}/hr.png"))
}

/// `images/<image>/prompt.txt`.
pub(super) fn prompt_path(image_dir: &str) -> Result<RelPath> {
    RelPath::new(format!("{IMAGES_DIR}/{image_dir}/prompt.txt"))
}

/// `candidates/<image>/<checkpoint>/<sampler>/<seed>.png`.
pub(super) fn candidate_path(image_dir: &str, checkpoint: &str, sampler: &SamplerKey, seed: u64) -> Result<RelPath> {
    let sampler = sampler.dir();
    RelPath::new(format!("{CANDIDATES_DIR}/{image_dir}/{checkpoint}/{sampler}/{seed}.png"))
}

/// `candidates/<image>/<checkpoint>/<sampler>/<seed>.latent.safetensors`, beside the candidate's file.
pub fn latent_path(candidate: &RelPath) -> Result<RelPath> {
    let path = candidate.as_str();
    RelPath::new(format!("{}{LATENT_END}", path.strip_suffix(".png").unwrap_or(path)))
}

/// What the candidates of a file's directory were drawn under.
pub fn condition_path(candidate: &RelPath) -> Result<RelPath> {
    RelPath::new(format!("{}/{CONDITION_FILE}", candidate.dir()))
}

/// Whether a file among the candidates is kept for training on them.
pub fn is_kept_for_training(name: &str) -> bool {
    name.ends_with(LATENT_END) || name.ends_with(CONDITION_FILE)
}

/// `runs/<run>/checkpoints/step-000100.safetensors`; `suffix` is empty or such as `-ema`.
pub(super) fn checkpoint_path(run_dir: &str, step: u32, suffix: &str) -> Result<RelPath> {
    RelPath::new(format!("{RUNS_DIR}/{run_dir}/checkpoints/step-{step:06}{suffix}.safetensors"))
}

/// Checks a name for imported candidates: that of a run, but none that a checkpoint of a run could have.
pub fn check_import_name(name: &str) -> Result<()> {
    check_run_name(name)?;
    let of_run = name.strip_suffix(CheckpointKind::Ema.suffix()).unwrap_or(name);
    let ends_in_step = of_run.rsplit_once('-').is_some_and(|(_, step)| step.len() >= 6 && step.parse::<u32>().is_ok());
    match ends_in_step || name.eq_ignore_ascii_case("reference") {
        true => Err(Error::invalid(format!(
            "“{name}” cannot name imported candidates: checkpoints of this program are called so"
        ))),
        false => Ok(()),
    }
}

/// The name of a checkpoint of a run: `run-1-000100`.
pub(super) fn checkpoint_name(run_dir: &str, step: u32, suffix: &str) -> String {
    format!("{run_dir}-{step:06}{suffix}")
}

/// Step and kind of the checkpoint in a file of this name; `None` for any other file.
pub(super) fn checkpoint_of(file_name: &str) -> Option<(u32, CheckpointKind)> {
    let stem = file_name.strip_prefix("step-")?.strip_suffix(".safetensors")?;
    let kinds = [CheckpointKind::Ema, CheckpointKind::Policy].into_iter();
    let of = |kind: CheckpointKind| Some((stem.strip_suffix(kind.suffix())?.parse().ok()?, kind));
    kinds.into_iter().find_map(of)
}

/// `runs/<run>/states/step-000100.safetensors`.
pub(super) fn state_path(run_dir: &str, step: u32) -> Result<RelPath> {
    RelPath::new(format!("{RUNS_DIR}/{run_dir}/{STATES_DIR}/step-{step:06}.safetensors"))
}

/// Longest directory name made from a user's file name, in bytes, before what makes it unique is added.
const MAX_STEM_BYTES: usize = 60;

/// A directory name for something the user calls `name` (a file name or any text): readable, legal everywhere, and
/// not `is_taken`.
///
/// `identity` (a content hash, say) tells apart things of the same name: the result depends on the name, the identity
/// and what is taken, and not on time or chance, so that doing the same again names it the same.
pub fn safe_dir_name(name: &str, identity: &str, mut is_taken: impl FnMut(&str) -> bool) -> String {
    let stem = readable_stem(name);
    // Composed and decomposed forms of one letter are different names here and the same one on some file systems:
    // a hash of the exact bytes keeps them apart. Names Windows reserves become legal the same way.
    let needs_hash = !stem.is_ascii() || is_reserved(&stem);
    if !needs_hash && !is_taken(&stem) {
        return stem;
    }
    let digest = hash_bytes(format!("{name}\0{identity}").as_bytes());
    let hashed = format!("{stem}-{}", &digest[..8]);
    if !is_taken(&hashed) {
        return hashed;
    }
    let mut number = 2u64;
    loop {
        let numbered = format!("{hashed}-{number}");
        if !is_taken(&numbered) {
            return numbered;
        }
        number += 1;
    }
}

/// The name without directory and extension, its letters and digits kept, anything else a single `-`.
fn readable_stem(name: &str) -> String {
    let file = name.rsplit(['/', '\\']).next().unwrap_or(name);
    let stem = match file.rsplit_once('.') {
        Some((stem, extension))
            if !stem.is_empty()
                && (1..=4).contains(&extension.len())
                && extension.bytes().all(|b| b.is_ascii_alphanumeric()) =>
        {
            stem
        }
        _ => file,
    };
    let mut text = String::new();
    for c in stem.chars() {
        let c = if c.is_alphanumeric() || c == '_' { c } else { '-' };
        if c == '-' && (text.is_empty() || text.ends_with('-')) {
            continue;
        }
        if text.len() + c.len_utf8() > MAX_STEM_BYTES {
            break;
        }
        text.push(c);
    }
    let text = text.trim_end_matches('-');
    if text.is_empty() { "unnamed" } else { text }.to_owned()
}

fn is_reserved(stem: &str) -> bool {
    let lower = stem.to_ascii_lowercase();
    matches!(lower.as_str(), "con" | "prn" | "aux" | "nul")
        || (lower.len() == 4
            && (lower.starts_with("com") || lower.starts_with("lpt"))
            && lower.ends_with(|c: char| c.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn paths_never_leave_the_workspace() {
        for good in ["a", "images/cat/lr.png", "a b/ü.png"] {
            assert_eq!(RelPath::new(good).unwrap().as_str(), good);
        }
        for bad in ["", "/etc/passwd", "a/../b", "..", "./a", "a//b", "a/", r"a\b", "a/.", "C:/a"] {
            assert!(RelPath::new(bad).is_err(), "{bad}");
        }
        let path = RelPath::new("images/cat/lr.png").unwrap();
        assert_eq!(path.under(Path::new("ws")), Path::new("ws").join("images").join("cat").join("lr.png"));
        assert_eq!(path.dir(), "images/cat");
    }

    #[test]
    fn run_names_are_short_and_plain() {
        let longest = "n".repeat(MAX_RUN_NAME);
        for good in ["run-1", "run-1.2", "A_b", "_x", longest.as_str()] {
            check_run_name(good).unwrap();
        }
        let too_long = "n".repeat(MAX_RUN_NAME + 1);
        for bad in
            ["", " ", ".", "..", "../../evil", "a/b", r"a\b", "-rf", ".hidden", "a b", "ü", "=1+1", "a\n", &too_long]
        {
            assert!(check_run_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sampler_keys_make_distinct_directories() {
        let dir = |key: &str| SamplerKey::new(key).unwrap().dir();
        assert_eq!(dir("euler/10"), "euler-10");
        for bad in ["", "/euler", "euler/", "Euler/10", "euler-10", "..", "a b", ".a"] {
            assert!(SamplerKey::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn plain_names_stay_readable() {
        let free = |_: &str| false;
        assert_eq!(safe_dir_name("IMG_0001.JPG", "", free), "IMG_0001");
        assert_eq!(safe_dir_name("my photo (2).tar.gz", "", free), "my-photo-2-tar");
        assert_eq!(safe_dir_name("/home/me/a.png", "", free), "a");
        assert_eq!(safe_dir_name("..", "", free), "unnamed");
        assert_eq!(safe_dir_name("", "", free), "unnamed");
    }

    #[test]
    fn any_name_becomes_legal_and_unique() {
        let long = "x".repeat(5000);
        let names = [
            "写真.png",
            "e\u{301}.png",
            "\u{e9}.png",
            "CON.png",
            "nul",
            "a/b\\c.png",
            ".hidden",
            "...",
            "a:b*c?.png",
            "👍.png",
            "Straße.tiff",
            &long,
            "a\0b\nc.png",
            " ",
            "-",
            "a.png",
            "A.png",
            "a.png",
        ];
        let mut taken = HashSet::new();
        for (i, name) in names.iter().enumerate() {
            let dir = safe_dir_name(name, &i.to_string(), |d| taken.contains(&d.to_lowercase()));
            assert!(dir.len() <= 80 && !dir.starts_with('.'), "{dir}");
            assert!(!dir.contains(['/', '\\', ':', '*', '?', '\0', '\n', ' ']), "{dir}");
            assert!(RelPath::new(format!("images/{dir}/lr.png")).is_ok(), "{dir}");
            assert!(!is_reserved(&dir), "{dir}");
            assert!(taken.insert(dir.to_lowercase()), "{dir} twice");
        }
    }

    #[test]
    fn duplicates_are_named_by_what_they_are() {
        let taken = |d: &str| d == "cat";
        let first = safe_dir_name("cat.png", "hash 1", taken);
        assert_eq!(first, safe_dir_name("cat.png", "hash 1", taken));
        assert_ne!(first, safe_dir_name("cat.png", "hash 2", taken));
        let again = safe_dir_name("cat.png", "hash 1", |d| taken(d) || d == first);
        assert_eq!(again, format!("{first}-2"));
    }
}
