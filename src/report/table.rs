//! A table for notebooks: the same rows as CSV (RFC 4180), as JSON lines or as Parquet, numbers in full precision, absent ones empty
//! or null.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::csv::field;
use super::parquet::{Cell, Kind, Writer};
use crate::words::words;
use crate::{Error, Result};

/// Rows that a Parquet file has together.
const ROWS_OF_GROUP: usize = 100_000;

words! {
    /// A form of a table.
    pub enum Form {
        Csv = "csv",
        Jsonl = "jsonl",
        Parquet = "parquet",
    }
}

/// Named columns, and a value of each for every row.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    columns: Vec<&'static str>,
    rows: Vec<Vec<Value>>,
}

impl Table {
    /// No rows yet.
    pub fn new(columns: &[&'static str]) -> Self {
        Self { columns: columns.to_vec(), rows: Vec::new() }
    }

    /// Adds a row: a value for each column, in their order. What is not finite is absent.
    pub fn push<const N: usize>(&mut self, values: [Value; N]) {
        debug_assert_eq!(N, self.columns.len());
        self.rows.push(values.into());
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The bytes of its file.
    pub fn bytes(&self, form: Form) -> Result<Vec<u8>> {
        match form {
            Form::Csv => Ok(self.csv().into_bytes()),
            Form::Jsonl => Ok(self.jsonl().into_bytes()),
            Form::Parquet => self.parquet().map_err(|e| Error::invalid(format!("the table cannot be written: {e}"))),
        }
    }

    fn parquet(&self) -> parquet::errors::Result<Vec<u8>> {
        let rows: Vec<Vec<Cell>> = self.rows.iter().map(|row| row.iter().map(Cell::from).collect()).collect();
        let kind = |column: usize| {
            let cells = || rows.iter().map(|row| &row[column]);
            match () {
                () if cells().any(|cell| matches!(cell, Cell::Number(_))) => Kind::Number,
                () if cells().any(|cell| matches!(cell, Cell::Whole(_))) => Kind::Whole,
                () => Kind::Text,
            }
        };
        let columns: Vec<(&str, Kind)> = self.columns.iter().enumerate().map(|(at, name)| (*name, kind(at))).collect();
        let mut bytes = Vec::new();
        let mut writer = Writer::new(&mut bytes, &columns)?;
        rows.chunks(ROWS_OF_GROUP).try_for_each(|rows| writer.rows(rows))?;
        writer.finish()?;
        Ok(bytes)
    }

    fn csv(&self) -> String {
        let mut text = self.columns.join(",");
        text.push('\n');
        for row in &self.rows {
            let cells = row.iter().map(|value| match value {
                Value::Null => String::new(),
                Value::String(text) => field(text),
                other => other.to_string(),
            });
            text.push_str(&cells.collect::<Vec<_>>().join(","));
            text.push('\n');
        }
        text
    }

    fn jsonl(&self) -> String {
        let mut text = String::new();
        for row in &self.rows {
            let cells = self.columns.iter().map(|&name| name.to_owned()).zip(row.iter().cloned());
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{}", Value::Object(cells.collect::<Map<_, _>>()));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn both_forms_say_the_same() {
        let mut table = Table::new(&["image", "seed", "value"]);
        table.push([json!("a, \"b\""), json!(u64::MAX), json!(0.1)]);
        table.push([json!("=1+1"), json!(0), json!(f64::NAN)]);
        let csv = "image,seed,value\n\"a, \"\"b\"\"\",18446744073709551615,0.1\n\"'=1+1\",0,\n";
        assert_eq!(table.bytes(Form::Csv).unwrap(), csv.as_bytes());
        let lines: Vec<Value> = table.jsonl().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let first = json!({"image": "a, \"b\"", "seed": u64::MAX, "value": 0.1});
        assert!(table.bytes(Form::Parquet).unwrap().starts_with(b"PAR1"));
        assert_eq!(lines, [first, json!({"image": "=1+1", "seed": 0, "value": null})]);
    }
}
