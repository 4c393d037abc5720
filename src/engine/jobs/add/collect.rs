//! From what was named, files and folders, to the files that are taken; what is passed over is kept account of.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use crate::engine::added::PassedOver;
use crate::imaging::extensions::{self, Kind};
use crate::{Error, Result};

/// Sub-folders within each other that are entered.
const MAX_DEPTH: usize = 64;

/// Files to take, and what is left.
#[derive(Debug, Default)]
pub struct Collected {
    pub files: Vec<PathBuf>,
    /// What could not be read at all.
    pub refused: Vec<Error>,
    passed: BTreeMap<PassedOver, Vec<PathBuf>>,
    /// Folders that were entered, as they are called without links: none is entered twice.
    entered: HashSet<PathBuf>,
}

impl Collected {
    /// Takes files as they are named, and the images of folders in the order of their names, those of sub-folders (where
    /// they are asked for) after them.
    pub fn of(paths: &[PathBuf], recursive: bool) -> Self {
        let mut collected = Self::default();
        for path in paths {
            let taken = match fs::metadata(path) {
                Ok(known) if known.is_dir() => collected.folder(path, recursive, 0),
                Ok(known) if known.is_file() => {
                    collected.files.push(path.clone());
                    Ok(())
                }
                Ok(_) => Err(Error::file(path, "not a regular file")),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(Error::file(path, "no such file")),
                Err(error) => Err(Error::file(path, error)),
            };
            collected.refused.extend(taken.err());
        }
        collected
    }

    /// What was passed over, by kind.
    pub fn passed_over(&self) -> Vec<(PassedOver, Vec<String>)> {
        let name = |path: &PathBuf| path.display().to_string();
        self.passed.iter().map(|(kind, paths)| (kind.clone(), paths.iter().map(name).collect())).collect()
    }

    fn folder(&mut self, dir: &Path, recursive: bool, depth: usize) -> Result<()> {
        let true_name = fs::canonicalize(dir).map_err(|e| Error::file(dir, e))?;
        if !self.entered.insert(true_name) || depth > MAX_DEPTH {
            self.pass_over(PassedOver::SeenFolder, dir);
            return Ok(());
        }
        let entries = fs::read_dir(dir).map_err(|e| Error::file(dir, e))?;
        let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>();
        let paths = paths.as_mut().map_err(|e| Error::file(dir, e))?;
        paths.sort();
        let mut folders = Vec::new();
        for path in paths.drain(..) {
            match fs::metadata(&path) {
                Ok(known) if known.is_dir() => folders.push(path),
                Ok(known) if known.is_file() => match extensions::kind_of(&path) {
                    Kind::Image => self.files.push(path),
                    Kind::Foreign => self.pass_over(PassedOver::Unreadable(extensions::ending_of(&path)), &path),
                    Kind::Other => self.pass_over(PassedOver::NoImage(extensions::ending_of(&path)), &path),
                },
                Ok(_) => self.pass_over(PassedOver::NotRegular, &path),
                Err(_) => self.pass_over(PassedOver::BrokenLink, &path),
            }
        }
        for folder in folders {
            if recursive {
                if let Err(error) = self.folder(&folder, true, depth + 1) {
                    self.refused.push(error);
                }
            } else {
                self.pass_over(PassedOver::Folder, &folder);
            }
        }
        Ok(())
    }

    fn pass_over(&mut self, kind: PassedOver, path: &Path) {
        self.passed.entry(kind).or_default().push(path.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(paths: &[PathBuf], root: &Path) -> Vec<String> {
        let name = |p: &PathBuf| p.strip_prefix(root).unwrap().to_string_lossy().replace('\\', "/");
        paths.iter().map(name).collect()
    }

    fn folder(files: &[&str]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for file in files {
            let path = dir.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, b"").unwrap();
        }
        dir
    }

    #[test]
    fn what_is_passed_over_is_named_by_kind() {
        let dir = folder(&["b.PNG", "a.jfif", "d.avif", "e.txt", "LICENSE", "sub/c.png"]);
        let found = Collected::of(&[dir.path().to_owned()], false);
        assert_eq!(names(&found.files, dir.path()), ["a.jfif", "b.PNG"]);
        let passed: Vec<_> = found.passed_over().into_iter().map(|(kind, paths)| (kind, paths.len())).collect();
        let (avif, txt, none) = ("avif".to_owned(), "txt".to_owned(), String::new());
        assert_eq!(
            passed,
            [
                (PassedOver::Unreadable(avif), 1),
                (PassedOver::NoImage(none), 1),
                (PassedOver::NoImage(txt), 1),
                (PassedOver::Folder, 1)
            ]
        );
        let all = Collected::of(&[dir.path().to_owned()], true);
        assert_eq!(names(&all.files, dir.path()), ["a.jfif", "b.PNG", "sub/c.png"]);
        // A file that is named is taken whatever it is called.
        assert_eq!(Collected::of(&[dir.path().join("e.txt")], false).files.len(), 1);
        let missing = Collected::of(&[dir.path().join("none.png")], false);
        assert!(missing.files.is_empty() && missing.refused[0].to_string().contains("none.png"));
    }

    #[cfg(unix)]
    #[test]
    fn links_in_a_circle_and_special_files_end_well() {
        use std::os::unix::fs::symlink;
        let dir = folder(&["a/1.png", "b/2.png"]);
        symlink(dir.path(), dir.path().join("a/up")).unwrap();
        symlink(dir.path().join("b"), dir.path().join("a/beside")).unwrap();
        symlink(dir.path().join("nowhere"), dir.path().join("broken.png")).unwrap();
        symlink("/dev/zero", dir.path().join("endless.png")).unwrap();
        let found = Collected::of(&[dir.path().to_owned()], true);
        assert_eq!(names(&found.files, dir.path()), ["a/1.png", "a/beside/2.png"]);
        let passed: Vec<_> = found.passed_over().into_iter().map(|(kind, paths)| (kind, paths.len())).collect();
        assert_eq!(passed, [(PassedOver::SeenFolder, 2), (PassedOver::NotRegular, 1), (PassedOver::BrokenLink, 1)]);
        assert!(Collected::of(&["/dev/zero".into()], false).refused[0].to_string().contains("not a regular file"));
    }
}
