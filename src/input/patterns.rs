//! Patterns such as `results/*/0801*.png` where the shell has not resolved them.

use std::fs;
use std::path::{Component, Path, PathBuf};

use crate::{Error, Result};

/// What paths with `*` and `?` stand for, in the order of the names; a path that is there stands for itself. `**` stands for
/// any folders. Errors: a pattern that nothing fits.
pub fn resolved(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut all = Vec::new();
    for path in paths {
        let is_pattern = path.to_string_lossy().contains(['*', '?']) && !path.exists();
        if !is_pattern {
            all.push(path.clone());
            continue;
        }
        let mut found = vec![PathBuf::new()];
        for part in path.components() {
            found = found.into_iter().flat_map(|base| step(base, part)).collect();
        }
        if found.is_empty() {
            return Err(Error::file(path, "nothing fits this pattern"));
        }
        all.extend(found);
    }
    Ok(all)
}

/// Where one more part of a pattern leads to.
fn step(base: PathBuf, part: Component) -> Vec<PathBuf> {
    let text = part.as_os_str().to_string_lossy();
    if text == "**" {
        let mut all = vec![base.clone()];
        all.extend(
            entries(&base)
                .into_iter()
                .filter(|path| path.is_dir() && !path.is_symlink())
                .flat_map(|path| step(path, part)),
        );
        return all;
    }
    if !text.contains(['*', '?']) {
        let path = base.join(part);
        return if path.as_os_str().is_empty() || path.exists() { vec![path] } else { Vec::new() };
    }
    let fitting = |path: &PathBuf| path.file_name().is_some_and(|name| fits(&name.to_string_lossy(), &text));
    entries(&base).into_iter().filter(fitting).collect()
}

fn entries(dir: &Path) -> Vec<PathBuf> {
    let here = dir.as_os_str().is_empty();
    let read = fs::read_dir(if here { Path::new(".") } else { dir });
    let path = |entry: fs::DirEntry| if here { PathBuf::from(entry.file_name()) } else { entry.path() };
    let mut paths: Vec<PathBuf> = read.into_iter().flatten().flatten().map(path).collect();
    paths.sort();
    paths
}

/// Whether a name fits a pattern; a leading dot has to be named.
fn fits(name: &str, pattern: &str) -> bool {
    fn rest(name: &[char], pattern: &[char]) -> bool {
        match (pattern, name) {
            ([], _) => name.is_empty(),
            (['*', pattern @ ..], _) => (0..=name.len()).any(|at| rest(&name[at..], pattern)),
            (['?', pattern @ ..], [_, name @ ..]) => rest(name, pattern),
            ([a, pattern @ ..], [b, name @ ..]) => a == b && rest(name, pattern),
            _ => false,
        }
    }
    let chars = |text: &str| text.chars().collect::<Vec<char>>();
    (!name.starts_with('.') || pattern.starts_with('.')) && rest(&chars(name), &chars(pattern))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_find_what_fits_in_order() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["b/2.png", "a/1.png", "a/2.jpg", "a/deep/3.png", "a/.hidden.png", "odd[1].png"] {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, b"").unwrap();
        }
        let found = |pattern: &str| -> Vec<String> {
            let paths = resolved(&[dir.path().join(pattern)]).unwrap_or_default();
            paths.iter().map(|p| p.strip_prefix(dir.path()).unwrap().to_string_lossy().replace('\\', "/")).collect()
        };
        assert_eq!(found("*/*.png"), ["a/1.png", "b/2.png"]);
        assert_eq!(found("a/?.*"), ["a/1.png", "a/2.jpg"]);
        assert_eq!(found("**/*.png"), ["odd[1].png", "a/1.png", "a/deep/3.png", "b/2.png"]);
        assert_eq!(found("odd[1].png"), ["odd[1].png"]);
        assert!(resolved(&[dir.path().join("*.bmp")]).unwrap_err().to_string().contains("nothing fits"));
    }
}
