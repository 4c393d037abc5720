//! Names for what is made of several files: the stem of each, and more of its path where stems are the same.

use std::collections::{HashMap, HashSet};
use std::path::Path;

/// A name for each file, all different, letters of either case being the same: its stem; where others have that stem too,
/// the whole file name, folders before it as far as needed, and for the same file given twice a number.
pub fn distinct<P: AsRef<Path>>(files: &[P]) -> Vec<String> {
    let mut names: Vec<String> = files.iter().map(|file| name(file.as_ref(), 0)).collect();
    let deepest = files.iter().map(|file| file.as_ref().components().count()).max().unwrap_or(0);
    for depth in 1..=deepest {
        let shared = shared(&names);
        if !shared.contains(&true) {
            return names;
        }
        for ((known, file), _) in names.iter_mut().zip(files).zip(&shared).filter(|(_, shared)| **shared) {
            *known = name(file.as_ref(), depth);
        }
    }
    let mut taken: HashSet<String> = HashSet::new();
    for known in &mut names {
        let plain = known.clone();
        let mut count = 1;
        while !taken.insert(known.to_lowercase()) {
            count += 1;
            *known = format!("{plain}-{count}");
        }
    }
    names
}

/// Which names are another's too.
fn shared(names: &[String]) -> Vec<bool> {
    let mut counts: HashMap<String, usize> = HashMap::new();
    names.iter().for_each(|name| *counts.entry(name.to_lowercase()).or_default() += 1);
    names.iter().map(|name| counts.get(&name.to_lowercase()).is_some_and(|&count| count > 1)).collect()
}

/// The stem; with a depth, so many of the path's last components, joined.
fn name(file: &Path, depth: usize) -> String {
    if depth == 0 {
        return file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    }
    let parts: Vec<String> = file
        .components()
        .filter_map(|part| match part {
            std::path::Component::Normal(part) => Some(part.to_string_lossy().into_owned()),
            _ => None,
        })
        .collect();
    parts[parts.len().saturating_sub(depth)..].join("_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_files_get_one_name_and_lone_stems_stay() {
        assert_eq!(distinct(&["a/x.png", "a/y.png"]), ["x", "y"]);
        assert_eq!(distinct(&["a/x.png", "a/x.jpg", "a/y.png"]), ["x.png", "x.jpg", "y"]);
        assert_eq!(distinct(&["a/x.png", "b/x.png"]), ["a_x.png", "b_x.png"]);
        assert_eq!(distinct(&["c/a/x.png", "c/b/x.png", "x.png"]), ["a_x.png", "b_x.png", "x.png"]);
        assert_eq!(distinct(&["a/x.png", "a/X.png"]).len(), 2);
        for files in [vec!["x.png", "x.png", "./x.png"], vec!["a/X.png", "a/x.png"], vec!["x.png", "x.png", "x-2"]] {
            let names: HashSet<_> = distinct(&files).iter().map(|n| n.to_lowercase()).collect();
            assert_eq!(names.len(), files.len(), "{files:?}");
        }
    }
}
