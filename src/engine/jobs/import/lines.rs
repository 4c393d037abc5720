//! Lines of a table that another program wrote, CSV with a heading or JSON lines, by the names of their columns.

use std::collections::HashMap;
use std::path::Path;

use serde_json::Value;

use crate::input::{self, table};
use crate::{Error, Result};

/// A line with its cells.
#[derive(Debug)]
pub struct Row {
    /// Counted from 1.
    pub number: usize,
    cells: HashMap<String, String>,
}

impl Row {
    /// What a column says, if it says anything.
    pub fn get(&self, column: &str) -> Option<&str> {
        self.cells.get(column).map(String::as_str).filter(|text| !text.is_empty())
    }

    /// The same where it must.
    pub fn needed(&self, column: &str) -> Result<&str, String> {
        self.get(column).ok_or_else(|| format!("there is no {column}"))
    }

    /// A seed.
    pub fn seed(&self, column: &str) -> Result<u64, String> {
        let text = self.needed(column)?;
        text.parse().map_err(|_| format!("the {column} `{}` is no whole number", text.escape_debug()))
    }
}

/// Reads every line of a file as what `of` makes of it. Errors name file and line.
pub fn read<T>(path: &Path, columns: &[&str], of: impl Fn(&Row) -> Result<T, String>) -> Result<Vec<T>> {
    parse(&input::read_text(path)?, columns, of).map_err(|cause| Error::file(path, cause))
}

/// [`read`] of text.
pub fn parse<T>(text: &str, columns: &[&str], of: impl Fn(&Row) -> Result<T, String>) -> Result<Vec<T>, String> {
    let rows = if text.trim_start().starts_with('{') { json(text)? } else { csv(text, columns)? };
    let row = |row: Row| of(&row).map_err(|cause| format!("line {}: {cause}", row.number));
    rows.into_iter().map(row).collect()
}

fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty())
}

fn csv(text: &str, needed: &[&str]) -> Result<Vec<Row>, String> {
    let mut lines = numbered(text);
    let (number, heading) = lines.next().ok_or("it is empty")?;
    let columns = table::cells(heading).map_err(|cause| format!("line {number}: {cause}"))?;
    let columns: Vec<String> =
        columns.iter().map(|name| name.trim_start_matches('\u{feff}').to_ascii_lowercase()).collect();
    if let Some(name) = needed.iter().find(|name| !columns.iter().any(|column| column == *name)) {
        return Err(format!("line {number}: no column is called {name}; {} are needed", in_words(needed)));
    }
    let row = |(number, line)| {
        let cells = table::cells(line).map_err(|cause| format!("line {number}: {cause}"))?;
        Ok(Row { number, cells: columns.iter().cloned().zip(cells).collect() })
    };
    lines.map(row).collect()
}

fn in_words(names: &[&str]) -> String {
    match names {
        [first @ .., last] if !first.is_empty() => format!("{} and {last}", first.join(", ")),
        names => names.concat(),
    }
}

fn json(text: &str) -> Result<Vec<Row>, String> {
    let row = |(number, line)| {
        let fault = |cause: &dyn std::fmt::Display| format!("line {number}: no JSON: {cause}");
        let value: serde_json::Map<String, Value> = serde_json::from_str(line).map_err(|e| fault(&e))?;
        let cells = value.into_iter().filter_map(|(name, value)| {
            let text = match value {
                Value::Null => return None,
                Value::String(text) => text,
                other => other.to_string(),
            };
            Some((name, text))
        });
        Ok(Row { number, cells: cells.collect() })
    };
    numbered(text).map(row).collect()
}
