//! `workspace.ron`: the format of the directory and the recipe, in a file a person may edit.
//!
//! The recipe's type belongs to the method; here it is any RON value, kept as text with its comments.

use std::path::{Path, PathBuf};

use ron::extensions::Extensions;
use ron::value::RawValue;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::files::WORKSPACE_FILE;
use crate::fs::atomic::write_atomic;
use crate::{Error, Result, input};

/// Version of the directory's layout that this program writes. The ledger has a version of its own.
pub const FORMAT: u32 = 1;

/// Only the version: read first, because the rest of a newer file may look different.
#[derive(Deserialize)]
struct Header {
    format: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename = "Workspace")]
struct Content<R> {
    // Checked through `Header`; named here so that it is no unknown field.
    #[serde(rename = "format")]
    _format: u32,
    recipe: R,
}

/// The file of one workspace. Nothing is cached: it is small, and another process may have written it.
#[derive(Clone, Debug)]
pub(super) struct ConfigFile {
    path: PathBuf,
}

impl ConfigFile {
    /// The file of the workspace at `root`, which need not exist yet.
    pub fn of(root: &Path) -> Self {
        Self { path: root.join(WORKSPACE_FILE) }
    }

    /// Whether the file is there at all.
    pub fn exists(&self) -> bool {
        self.path.is_file()
    }

    /// Fails when the file cannot be read, has a mistake in it, or was written by a newer version.
    pub fn check(&self) -> Result<()> {
        self.recipe_text().map(drop)
    }

    /// Whether the file is there and can be read. Errors: it was written by a newer version.
    pub fn is_readable(&self) -> Result<bool> {
        let Ok(text) = self.read() else { return Ok(false) };
        match options().from_str::<Header>(&text) {
            Ok(header) if header.format > FORMAT => self.check().map(|()| true),
            _ => Ok(self.check().is_ok()),
        }
    }

    /// The recipe as text, as it stands in the file.
    pub fn recipe_text(&self) -> Result<String> {
        let raw: Box<RawValue> = self.parse(&self.read()?)?;
        Ok(raw.get_ron().trim().to_owned())
    }

    /// The recipe as a value; a mistake in it is reported with its line and column in the file.
    pub fn recipe<R: DeserializeOwned>(&self) -> Result<R> {
        self.parse(&self.read()?)
    }

    /// Replaces the recipe by `text`, which must be one RON value.
    pub fn set_recipe_text(&self, text: &str) -> Result<()> {
        // The line break before the comma ends a comment the text may end with.
        let content = format!("(\n    format: {FORMAT},\n    recipe: {}\n    ,\n)\n", text.trim());
        options()
            .from_str::<Content<Box<RawValue>>>(&content)
            .map_err(|e| Error::invalid(format!("the recipe is not valid RON: {}", e.code)))?;
        write_atomic(&self.path, content.as_bytes())
    }

    fn read(&self) -> Result<String> {
        input::read_text(&self.path)
    }

    fn parse<R: DeserializeOwned>(&self, text: &str) -> Result<R> {
        let header: Header = options().from_str(text).map_err(|e| self.mistake(e))?;
        if header.format > FORMAT {
            return Err(Error::file(
                &self.path,
                format!(
                    "this workspace was made by a newer version of the program (format {}, this one knows up to {FORMAT})",
                    header.format
                ),
            ));
        }
        let content: Content<R> = options().from_str(text).map_err(|e| self.mistake(e))?;
        Ok(content.recipe)
    }

    fn mistake(&self, error: ron::error::SpannedError) -> Error {
        let at = error.span.start;
        Error::file(&self.path, format!("line {}, column {}: {}", at.line, at.col, error.code))
    }
}

fn options() -> ron::Options {
    ron::Options::default().with_default_extension(Extensions::IMPLICIT_SOME)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Recipe {
        beta: f64,
        samples: Option<u32>,
    }

    fn config(text: &str) -> (tempfile::TempDir, ConfigFile) {
        let dir = tempfile::tempdir().unwrap();
        let config = ConfigFile::of(dir.path());
        fs::write(&config.path, text).unwrap();
        (dir, config)
    }

    #[test]
    fn the_recipe_keeps_its_text_and_comments() {
        let (_dir, config) = config("");
        let text = "(\n    beta: 5000.0, // the paper's\n    samples: 64,\n) // end";
        config.set_recipe_text(text).unwrap();
        assert!(config.recipe_text().unwrap().starts_with("(\n    beta: 5000.0, // the paper's\n"));
        let recipe: Recipe = config.recipe().unwrap();
        assert_eq!(recipe, Recipe { beta: 5000.0, samples: Some(64) });
        // Writing back what was read changes nothing.
        let before = fs::read(&config.path).unwrap();
        config.set_recipe_text(&config.recipe_text().unwrap()).unwrap();
        assert_eq!(fs::read(&config.path).unwrap(), before);
    }

    #[test]
    fn a_typo_is_reported_with_line_and_column() {
        let (_dir, config) =
            config("(\n    format: 1,\n    recipe: (\n        beta: 5000.0\n        samples: 64,\n    ),\n)\n");
        let message = config.check().unwrap_err().to_string();
        assert!(message.contains("workspace.ron: line 5, column "), "{message}");
    }

    #[test]
    fn an_unknown_field_of_the_recipe_is_reported_at_its_place_in_the_file() {
        let (_dir, config) =
            config("(\n    format: 1,\n    recipe: (\n        beta: 5000.0,\n        sampels: 64,\n    ),\n)\n");
        config.check().unwrap();
        let message = config.recipe::<Recipe>().unwrap_err().to_string();
        assert!(message.contains("line 5, column ") && message.contains("sampels"), "{message}");
    }

    #[test]
    fn a_file_saved_by_a_windows_editor_is_read() {
        let (_dir, config) = config("\u{FEFF}(\r\n  format: 1,\r\n  recipe: (beta: 5000.0, samples: 64),\r\n)\r\n");
        assert_eq!(config.recipe::<Recipe>().unwrap(), Recipe { beta: 5000.0, samples: Some(64) });
    }

    #[test]
    fn a_newer_format_is_named_as_such() {
        let (_dir, config) = config("(format: 2, something_new: [1, 2])");
        let message = config.check().unwrap_err().to_string();
        assert!(message.contains("newer version"), "{message}");
    }

    #[test]
    fn a_bad_recipe_is_refused_and_the_file_stays() {
        let (_dir, config) = config("(format: 1, recipe: ())");
        for bad in ["(beta: ", "", "1, other: 2", "(a: 1) (b: 2)"] {
            assert!(config.set_recipe_text(bad).is_err(), "{bad}");
        }
        assert_eq!(config.recipe_text().unwrap(), "()");
    }
}
