//! The terms that weights are under, and which of them a person has confirmed on this machine: once, for the studio and the command
//! line together.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::part::Part;
use crate::fs::{atomic, places};
use crate::{Error, Result};

/// Licences that permit any use.
const FREE: [&str; 4] = ["MIT", "BSD-2-Clause", "BSD-3-Clause", "Apache-2.0"];

/// The terms of parts, as they are shown and confirmed.
pub fn of(parts: &[&'static Part]) -> Vec<String> {
    parts.iter().map(|part| format!("{}: {}", part.title, part.licence)).collect()
}

/// Whether a part's terms forbid some uses, or are said elsewhere.
pub fn restrict(part: &Part) -> bool {
    // Such as `Apache-2.0; CLIP: MIT`.
    let is_free = |licence: &str| FREE.contains(&licence.rsplit(": ").next().unwrap_or(licence).trim());
    !part.licence.split(';').all(is_free)
}

/// The terms of those parts that [`restrict`] something.
pub fn restricting(parts: &[&'static Part]) -> Vec<String> {
    let parts: Vec<&'static Part> = parts.iter().copied().filter(|part| restrict(part)).collect();
    of(&parts)
}

/// Where the terms that were confirmed on this machine are kept: a line each.
fn file() -> Option<PathBuf> {
    places::data_dir().map(|dir| dir.join("terms.txt"))
}

/// The terms that were confirmed on this machine; none where that cannot be read.
pub fn confirmed() -> BTreeSet<String> {
    let text = file().and_then(|file| std::fs::read_to_string(file).ok()).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// Keeps more terms as confirmed. Errors: the file cannot be written.
pub fn confirm(terms: impl IntoIterator<Item = String>) -> Result<()> {
    let before = confirmed();
    let mut all = before.clone();
    all.extend(terms);
    if all == before {
        return Ok(());
    }
    let file = file().ok_or_else(|| Error::invalid("there is no home directory to remember confirmed terms in"))?;
    if let Some(dir) = file.parent() {
        std::fs::create_dir_all(dir).map_err(|error| Error::file(dir, error))?;
    }
    let text: String = all.iter().map(|line| format!("{line}\n")).collect();
    atomic::write_atomic(&file, text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::registry;

    #[test]
    fn permissive_licences_ask_for_nothing() {
        assert!(!restrict(&registry::ALEXNET) && !restrict(&registry::AFINE) && !restrict(&registry::MANIQA_PIPAL));
        for part in
            [&registry::TOPIQ_NR, &registry::QUALICLIP, &registry::ONE_ALIGN, &registry::C_SD2, &registry::FLUX_VAE]
        {
            assert!(restrict(part), "{}", part.id);
        }
    }
}
