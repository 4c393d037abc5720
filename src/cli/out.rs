//! Printing that outlives its reader: `println!` panics once a pipe is closed (`… | head`).

use std::fmt::Arguments;
use std::io::{ErrorKind, Write, stderr, stdout};
use std::path::Path;

use crate::imaging::output;
use crate::{Error, Result};

/// Prints a line of results. A reader that has gone is no reason to stop; any other failure (a full disk) ends the
/// process, as results would be missing.
pub fn result(line: Arguments) {
    match writeln!(stdout(), "{line}") {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            note(format_args!("dp2o-studio: standard output: {error}"));
            std::process::exit(1);
        }
        _ => {}
    }
}

/// Prints a line of what goes on; nothing depends on its being read.
pub fn note(line: Arguments) {
    let _ = writeln!(stderr(), "{line}");
}

/// A value as a JSON file has it.
pub fn json_text(value: &impl serde::Serialize) -> Result<String> {
    let text = serde_json::to_string_pretty(value).map_err(Error::invalid)?;
    Ok(text + "\n")
}

/// Writes a value as JSON where that was asked for.
pub fn write_json(path: Option<&Path>, value: &impl serde::Serialize) -> Result<()> {
    match path {
        Some(path) => output::write(path, json_text(value)?.as_bytes()),
        None => Ok(()),
    }
}

/// [`result`] with the syntax of `println!`.
macro_rules! say {
    ($($format:tt)*) => { $crate::cli::out::result(format_args!($($format)*)) };
}
pub(crate) use say;
