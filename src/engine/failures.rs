//! What of a job failed while the rest was done and kept: half-done work is never called done.

use std::fmt::Display;

use serde::Serialize;

use crate::{Error, Result};

/// Items of a job that failed, out of how many.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Failures {
    /// Items there were: files, images.
    pub items: usize,
    /// `NAME: cause` of each that failed, in their order.
    pub causes: Vec<String>,
}

impl Failures {
    /// None failed of `items` yet.
    pub fn of(items: usize) -> Self {
        Self { items, causes: Vec::new() }
    }

    /// One more failed.
    pub fn add(&mut self, cause: impl Display) {
        self.causes.push(cause.to_string());
    }

    /// Whether nothing failed.
    pub fn is_empty(&self) -> bool {
        self.causes.is_empty()
    }

    /// One line of all of them, `N of M failed, first: NAME: cause`; `None` where nothing failed.
    pub fn line(&self) -> Option<String> {
        let first = self.causes.first()?;
        Some(format!("{} of {} failed, first: {first}", self.causes.len(), self.items))
    }

    /// The line as an error, for exit codes.
    pub fn check(&self) -> Result<()> {
        self.line().map_or(Ok(()), |line| Err(Error::Invalid(line)))
    }

    /// The line as an error of a stage that must not go on with less than was asked for.
    pub fn check_in(&self, stage: &str) -> Result<()> {
        self.line().map_or(Ok(()), |line| Err(Error::Invalid(format!("{stage}: {line}"))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_counts_and_names_the_first() {
        let mut failures = Failures::of(3);
        assert!(failures.line().is_none() && failures.check().is_ok());
        failures.add("a.png: truncated");
        failures.add("b.png: not an image");
        assert_eq!(failures.check().unwrap_err().to_string(), "2 of 3 failed, first: a.png: truncated");
    }
}
