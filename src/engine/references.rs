//! Which reference image each of several images is compared with: by the rules that join LR and HR when images are added.

use std::path::{Path, PathBuf};

use super::jobs::{Collected, Place};
use crate::{Error, Result};

/// The images that paths mean: files as they are named, the images of folders in the order of their names. Beside them what
/// could not be read.
pub fn images(paths: &[PathBuf], recursive: bool) -> (Vec<PathBuf>, Vec<Error>) {
    let Collected { files, refused, .. } = Collected::of(paths, recursive);
    (files, refused)
}

/// Files by which others are joined to them.
pub struct References {
    all: Vec<(PathBuf, String, Place)>,
}

impl References {
    /// Of these files.
    pub fn of(files: Vec<PathBuf>) -> Self {
        let known = |path: PathBuf| {
            let (stem, place) = (stem(&path), Place::of(&path));
            (path, stem, place)
        };
        Self { all: files.into_iter().map(known).collect() }
    }

    /// The reference of an image: the file of the same name, else the one whose name differs only in marks of scale, degradation
    /// and role, as `0801x4` and `0801`, `X_LR4` and `X_HR`, else the one whose name is the beginning, as of `0801_SR`. Errors: there is none, or more than one.
    pub fn find(&self, image: &Path) -> Result<&Path> {
        let (name, place) = (stem(image), Place::of(image));
        let named = |matches: &dyn Fn(&str, &Place) -> bool| -> Vec<&Path> {
            self.all.iter().filter(|(_, stem, place)| matches(stem, place)).map(|(path, ..)| path.as_path()).collect()
        };
        let mut found = named(&|stem, _| stem == name);
        if found.is_empty() {
            found = named(&|_, other| other.key == place.key);
        }
        if found.is_empty() {
            // `0801_SR`, `0801-seed7`: the longest name that the image's begins with.
            let begins =
                |stem: &str| name.strip_prefix(stem).is_some_and(|rest| rest.starts_with(['_', '-', '.', ' ']));
            let longest = self.all.iter().map(|(_, stem, _)| stem).filter(|stem| begins(stem)).map(String::len).max();
            found = named(&|stem, _| begins(stem) && Some(stem.len()) == longest);
        }
        match found.as_slice() {
            [one] => Ok(one),
            [] => Err(Error::file(image, "has no reference image of its name")),
            [first, second, ..] => {
                let (first, second, count) = (first.display(), second.display(), found.len());
                Err(Error::file(image, format!("{count} reference images go by its name: {first} and {second}")))
            }
        }
    }
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_finds_its_reference_and_nothing_is_guessed() {
        let files = ["hr/0801.png", "hr/0802.png", "hr/a/x.png", "hr/b/x.png", "hr/cat_HR.png", "hr/0802x4.png"];
        let references = References::of(files.map(PathBuf::from).to_vec());
        let found = |name: &str| references.find(Path::new(name)).map(|path| path.display().to_string());
        assert_eq!(found("sr/0801.jpg").unwrap(), "hr/0801.png");
        assert_eq!(found("sr/0801x4.png").unwrap(), "hr/0801.png");
        assert_eq!(found("sr/cat_LR4.png").unwrap(), "hr/cat_HR.png");
        assert_eq!(found("sr/0801_SR.png").unwrap(), "hr/0801.png");
        assert!(found("sr/08012.png").is_err());
        // The same name goes before one that is only like it.
        assert_eq!(found("sr/0802x4.png").unwrap(), "hr/0802x4.png");
        assert!(found("sr/x.png").unwrap_err().to_string().contains("2 reference images"));
        assert!(found("sr/0803.png").unwrap_err().to_string().contains("no reference image"));
    }
}
