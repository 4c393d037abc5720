//! A recipe as a RON file: reading with errors that point at the place, and writing.

use std::fmt::Display;
use std::path::Path;

use super::recipe::Recipe;
use crate::{Error, Result, input};

impl Recipe {
    /// A recipe from RON text, checked; settings left out keep their default. `source` is only named in errors,
    /// together with line, column and cause.
    pub fn from_ron(text: &str, source: impl AsRef<Path>) -> Result<Self> {
        let at = |line: usize, column: usize, cause: &dyn Display| {
            Error::file(&source, format!("line {line}, column {column}: {}", one_line(cause)))
        };
        let recipe: Self = ron::from_str(text).map_err(|e| at(e.span.start.line, e.span.start.col, &e.code))?;
        match recipe.first_fault() {
            None => Ok(recipe),
            Some((key, fault)) => Err(match position_of(text, key) {
                Some((line, column)) => at(line, column, &fault),
                None => Error::file(&source, fault),
            }),
        }
    }

    /// A recipe from RON text as it stands: one that a program of another version wrote need not pass today's checks.
    pub fn from_ron_unchecked(text: &str) -> Result<Self> {
        ron::from_str(text).map_err(|e| Error::invalid(one_line(&e)))
    }

    /// Reads a recipe from a RON file, checked like [`Recipe::from_ron`].
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let text = input::read_text(&path)?;
        Self::from_ron(&text, path)
    }

    /// The whole recipe as readable RON; [`Recipe::from_ron`] gives the same recipe back.
    pub fn to_ron(&self) -> Result<String> {
        let pretty = ron::ser::PrettyConfig::new().new_line("\n").depth_limit(3);
        let mut text = ron::ser::to_string_pretty(self, pretty).map_err(Error::invalid)?;
        text.push('\n');
        Ok(text)
    }
}

/// The message without line breaks, as every error of the library is one line.
fn one_line(cause: &dyn Display) -> String {
    let text = cause.to_string();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Line and column (from 1) where RON text gives a value to `topic.name`, if it does.
fn position_of(text: &str, key: &str) -> Option<(usize, usize)> {
    let mut wanted = key.split('.').peekable();
    for (line, content) in text.lines().enumerate() {
        let code = content.split("//").next().unwrap_or_default();
        let mut from = 0;
        while let Some(name) = wanted.peek() {
            let Some(found) = code[from..].find(name).map(|at| at + from) else {
                break;
            };
            let end = found + name.len();
            let is_part = |c: char| c.is_alphanumeric() || c == '_';
            let whole = !code[..found].ends_with(is_part) && code[end..].trim_start().starts_with(':');
            from = end;
            if whole {
                wanted.next();
                if wanted.peek().is_none() {
                    return Some((line + 1, code[..found].chars().count() + 1));
                }
            }
        }
    }
    None
}
