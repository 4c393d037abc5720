//! Files and folders that a person names for results: checked before the work begins, written all or nothing.
//!
//! What is no regular file (a terminal, a pipe, a device) is written through instead of being replaced by one. Files
//! within a workspace are not written here: there a link is never followed.

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use crate::fs::atomic::write_atomic;
use crate::{Error, Permit, Result};

/// Writes `bytes` to `path`; a regular file there, or the one a link leads to, is replaced.
pub fn write(path: impl AsRef<Path>, bytes: &[u8]) -> Result<()> {
    let path = path.as_ref();
    if let Some(mut stream) = standard_stream(path) {
        let written = stream.write_all(bytes).and_then(|()| stream.flush());
        return match written {
            // A reader that has gone has seen what it wanted.
            Err(e) if e.kind() == ErrorKind::BrokenPipe => Ok(()),
            other => other.map_err(|e| Error::file(path, e)),
        };
    }
    match fs::metadata(path) {
        Ok(known) if known.is_dir() => Err(Error::file(path, "is a folder")),
        Ok(known) if !known.is_file() => {
            let opened = OpenOptions::new().write(true).open(path);
            opened.and_then(|mut file| file.write_all(bytes)).map_err(|e| Error::file(path, e))
        }
        _ => write_atomic(target(path), bytes),
    }
}

/// Whether all of `paths` can be written, before there is anything to write; a folder that is not there is made. Errors: a folder
/// that cannot be made or takes no files, a folder in place of a file, the same file twice.
pub fn check<'a>(paths: impl IntoIterator<Item = &'a Path>) -> Result<()> {
    let mut targets: Vec<PathBuf> = Vec::new();
    for path in paths {
        match fs::metadata(path) {
            Ok(known) if known.is_dir() => return Err(Error::file(path, "is a folder")),
            Ok(known) if !known.is_file() => continue,
            _ if standard_stream(path).is_some() => continue,
            _ => {}
        }
        let target = target(path);
        let (Some(folder), Some(name)) = (folder_of(&target), target.file_name()) else {
            return Err(Error::file(path, "does not name a file"));
        };
        made(folder).map_err(|cause| Error::file(path, format!("cannot be written: {cause}")))?;
        let whole = folder.canonicalize().unwrap_or_else(|_| folder.to_owned()).join(name);
        if targets.contains(&whole) {
            return Err(Error::file(path, "is asked for twice; the second would replace the first"));
        }
        targets.push(whole);
    }
    Ok(())
}

/// Makes the folder `dir` where it is not there and finds out whether it takes files.
pub fn make_folder(dir: impl AsRef<Path>) -> Result<()> {
    let dir = dir.as_ref();
    made(dir).map_err(|e| Error::file(dir, e))
}

fn made(dir: &Path) -> io::Result<()> {
    fs::create_dir_all(dir).map_err(|cause| match dir.ancestors().find(|above| above.exists() && !above.is_dir()) {
        Some(file) => io::Error::new(ErrorKind::NotADirectory, format!("{} is no folder", file.display())),
        None => cause,
    })?;
    check_folder(dir)
}

/// Whether a file can be written at `path`. Refused where one is there already, unless `overwrite`.
pub fn check_new_file(path: &Path, overwrite: bool) -> Result<()> {
    check([path])?;
    match path.is_file() && !overwrite {
        true => {
            let cause = format!("{}: is there already; choose another name", path.display());
            Err(Error::Refused { cause, permit: Permit::Overwrite })
        }
        false => Ok(()),
    }
}

/// Whether the folder `dir` takes a whole set of files; it need not be there yet. Refused where something is in it already,
/// unless `overwrite`.
pub fn check_empty_folder(dir: impl AsRef<Path>, overwrite: bool) -> Result<()> {
    let dir = dir.as_ref();
    let is_empty = match fs::read_dir(dir) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(Error::file(dir, e)),
        Ok(mut entries) => entries.next().is_none(),
    };
    if !is_empty && !overwrite {
        let cause = format!("{}: this folder is not empty; choose another", dir.display());
        return Err(Error::Refused { cause, permit: Permit::Overwrite });
    }
    check_folder(dir).map_err(|e| Error::file(dir, e))
}

/// Creates a file in `dir` and takes it away again.
fn check_folder(dir: &Path) -> io::Result<()> {
    let trial = dir.join(format!(".dp2o-tmp-{}-trial", std::process::id()));
    OpenOptions::new().write(true).create(true).truncate(true).open(&trial)?;
    fs::remove_file(&trial)
}

/// Where a link leads to; the path itself where it is none, or leads nowhere.
fn target(path: &Path) -> PathBuf {
    match path.is_symlink() {
        true => path.canonicalize().unwrap_or_else(|_| path.to_owned()),
        false => path.to_owned(),
    }
}

fn folder_of(path: &Path) -> Option<&Path> {
    path.parent().map(|folder| if folder == Path::new("") { Path::new(".") } else { folder })
}

/// Standard output or standard error where the path is a link to it, such as `/dev/stdout`: opened a second time, a file
/// that they were redirected to would be written over from its beginning.
#[cfg(unix)]
fn standard_stream(path: &Path) -> Option<Box<dyn Write>> {
    use std::os::fd::AsFd;
    use std::os::unix::fs::MetadataExt;
    let named = path.is_symlink().then(|| fs::metadata(path).ok())??;
    let is_same = |stream: std::os::fd::BorrowedFd| {
        let known = stream.try_clone_to_owned().and_then(|fd| fs::File::from(fd).metadata());
        known.is_ok_and(|known| (known.dev(), known.ino()) == (named.dev(), named.ino()))
    };
    let (out, err) = (io::stdout(), io::stderr());
    if is_same(out.as_fd()) {
        return Some(Box::new(out));
    }
    if is_same(err.as_fd()) { Some(Box::new(err)) } else { None }
}

#[cfg(not(unix))]
fn standard_stream(_: &Path) -> Option<Box<dyn Write>> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_written_is_said_before_and_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("file"), b"").unwrap();
        let said = |path: &Path| check([path]).unwrap_err().to_string();
        assert!(said(&at("file/a.json")).contains("is no folder"));
        assert!(said(&at("file/deep/a.json")).contains("file is no folder"));
        assert!(said(dir.path()).contains("is a folder"));
        let (a, same) = (at("a.json"), dir.path().join("./a.json"));
        assert!(check([a.as_path(), same.as_path()]).unwrap_err().to_string().contains("twice"));
        check([a.as_path(), at("b.json").as_path(), at("file").as_path()]).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        let refused = check_empty_folder(dir.path(), false).unwrap_err();
        assert!(matches!(refused, Error::Refused { permit: Permit::Overwrite, .. }), "{refused}");
        check_empty_folder(dir.path(), true).unwrap();
        check_empty_folder(at("new/deep"), false).unwrap();
        assert!(check_empty_folder(at("file"), true).is_err() && !at("new").exists());
        check([at("new/deep/a.json").as_path()]).unwrap();
        check_empty_folder(at("new/deep"), false).unwrap();
    }

    #[cfg(unix)]
    #[test]
    fn a_pipe_stays_a_pipe_and_a_link_stays_a_link() {
        let dir = tempfile::tempdir().unwrap();
        let (pipe, file, link) = (dir.path().join("pipe"), dir.path().join("file"), dir.path().join("link"));
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        check([pipe.as_path()]).unwrap();
        let reader = std::thread::spawn({
            let pipe = pipe.clone();
            move || fs::read(pipe).unwrap()
        });
        write(&pipe, b"through").unwrap();
        assert_eq!(reader.join().unwrap(), b"through");
        use std::os::unix::fs::FileTypeExt;
        assert!(fs::symlink_metadata(&pipe).unwrap().file_type().is_fifo());

        fs::write(&file, b"old and longer").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        write(&link, b"new").unwrap();
        assert!(link.is_symlink());
        assert_eq!(fs::read(&file).unwrap(), b"new");
    }
}
