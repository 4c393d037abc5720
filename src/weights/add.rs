//! Takes a person's file of weights into the data directory, once it is known what it is.

use std::io;
use std::path::{Path, PathBuf};

use super::part::{Form, Part, Published};
use super::places::added_dir;
use super::registry::PARTS;
use super::store::Store;
use super::trust::Trust;
use crate::fs::atomic::{create_dir_durable, file_error, write_atomic_with};
use crate::fs::hash::hash_file;
use crate::{Error, Result, input};

/// How a file comes into the data directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    Copy,
    /// A link to where it is.
    Link,
}

/// What was added.
#[derive(Debug)]
pub struct Added {
    pub part: &'static Part,
    /// Where it is now.
    pub at: PathBuf,
    pub trust: Trust,
}

/// The published files of a SHA-256, each with its part.
pub fn published(sha256: &str) -> impl Iterator<Item = (&'static Part, &'static Published)> {
    every_file().filter(move |(_, _, file)| file.is(sha256)).map(|(part, _, file)| (part, file))
}

/// The published files that a file is called like, each with its part.
pub fn named(file: &Path) -> impl Iterator<Item = (&'static Part, &'static Published)> {
    let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let is_named = move |published: &Published| published.name() == name || published.aliases.contains(&name.as_str());
    every_file().filter(move |(_, _, file)| is_named(file)).map(|(part, _, file)| (part, file))
}

/// Adds a file: to `part`, else to the one whose published file it is by its SHA-256 or by its name.
///
/// Errors: it is not known what it is; it is not the published file, and the store does not permit it; it cannot be written.
pub fn add(store: &Store, file: &Path, part: Option<&'static Part>, how: How) -> Result<Added> {
    let dir =
        added_dir().ok_or_else(|| Error::invalid("this user has no data directory; name a folder with --weights"))?;
    add_to(&dir, store, file, part, how)
}

pub(super) fn add_to(dir: &Path, store: &Store, file: &Path, part: Option<&'static Part>, how: How) -> Result<Added> {
    let sha256 = store.hash(file)?;
    let (part, form, published) = meant(file, &sha256, part)?;
    let is_published = published.is(&sha256);
    if !is_published && !store.permits(&sha256) {
        let cause = match published.sha256 {
            "" => format!("no SHA-256 of {} is published to compare with; its own is {sha256}", published.name()),
            known => format!(
                "is not the published {}: its SHA-256 is {sha256}, published is {known}; get it anew {}",
                published.name(),
                part.get
            ),
        };
        return Err(Error::file(file, format!("{cause}; --unverified adds it all the same")));
    }
    let at = dir.join(form.folder).join(published.path);
    create_dir_durable(at.parent().unwrap_or(dir))?;
    match how {
        How::Copy => copy(file, &at, &sha256)?,
        How::Link => link(file, &at)?,
    }
    let trust = if is_published { Trust::Verified { sha256 } } else { Trust::Unverified { sha256 } };
    Ok(Added { part, at, trust })
}

fn every_file() -> impl Iterator<Item = (&'static Part, &'static Form, &'static Published)> {
    PARTS
        .iter()
        .flat_map(|part| part.forms.iter().flat_map(move |form| form.files.iter().map(move |file| (*part, form, file))))
}

/// Which published file a file is meant to be.
fn meant(
    file: &Path,
    sha256: &str,
    part: Option<&'static Part>,
) -> Result<(&'static Part, &'static Form, &'static Published)> {
    let of_part = || every_file().filter(move |(known, ..)| part.is_none_or(|part| std::ptr::eq(*known, part)));
    if let Some(found) = of_part().find(|(_, _, published)| published.is(sha256)) {
        return Ok(found);
    }
    let has_path = |path: &str| file.ends_with(path);
    // The whole path first: many folders have a model.safetensors.
    let named = |(_, form, published): &(&Part, &Form, &Published)| {
        let mut names = std::iter::once(&published.path).chain(published.aliases);
        names.any(|name| has_path(name) && (form.folder.is_empty() || has_path(&format!("{}/{name}", form.folder))))
    };
    let by_name: Vec<_> = of_part().filter(named).collect();
    match (by_name.as_slice(), part) {
        ([one], _) => Ok(*one),
        (_, Some(part)) => {
            let is_it = |(_, _, published): &(&Part, &Form, &Published)| {
                file.file_name().is_some_and(|name| name == published.name()) || part.files().len() == 1
            };
            of_part().find(is_it).ok_or_else(|| {
                let names: Vec<&str> = part.files().iter().map(Published::name).collect();
                Error::file(file, format!("is none of the files of {}: {}", part.id, names.join(", ")))
            })
        }
        _ => Err(Error::file(
            file,
            format!(
                "neither its name nor its SHA-256, {sha256}, is that of a file known here; say with --as ID what it is"
            ),
        )),
    }
}

/// Copies, and makes sure that what was copied is what was looked at.
fn copy(file: &Path, at: &Path, sha256: &str) -> Result<()> {
    if is_same(file, at) {
        return Ok(());
    }
    let mut from = input::open(file)?;
    write_atomic_with(at, |to| io::copy(&mut from, to).map(|_| ()))?;
    if hash_file(at)? != sha256 {
        // A file that is not what its place says must not stay.
        let _ = std::fs::remove_file(at);
        return Err(Error::file(file, "has changed while it was copied; try again once it is written"));
    }
    Ok(())
}

fn link(file: &Path, at: &Path) -> Result<()> {
    if is_same(file, at) {
        return Ok(());
    }
    let file = std::fs::canonicalize(file).map_err(|error| Error::file(file, input::io_cause(&error)))?;
    // In the place of an earlier one only once there is a new one.
    let beside = at.with_extension(format!("{}.link", std::process::id()));
    let linked = symbolic_link(&file, &beside).and_then(|()| std::fs::rename(&beside, at));
    linked.map_err(|cause| {
        let _ = std::fs::remove_file(&beside);
        file_error(at, cause)
    })
}

fn is_same(file: &Path, at: &Path) -> bool {
    matches!((std::fs::canonicalize(file), std::fs::canonicalize(at)), (Ok(a), Ok(b)) if a == b)
}

#[cfg(unix)]
fn symbolic_link(file: &Path, at: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(file, at)
}

#[cfg(windows)]
fn symbolic_link(file: &Path, at: &Path) -> io::Result<()> {
    std::os::windows::fs::symlink_file(file, at)
}
