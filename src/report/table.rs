//! A table for notebooks: the same rows as CSV (RFC 4180), as JSON lines, as JSON (an array) or as Parquet, numbers in full precision,
//! absent ones empty or null.

use std::path::Path;

use serde_json::Value;

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
        Json = "json",
        Parquet = "parquet",
    }
}

impl Form {
    /// The form that a file's name ends in; CSV where it ends in none.
    pub fn of_name(path: &Path) -> Self {
        let end = path.extension().map(|end| end.to_string_lossy().to_ascii_lowercase());
        end.and_then(|end| Self::from_word(&end)).unwrap_or(Self::Csv)
    }
}

/// Named columns, and a value of each for every row.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    columns: Vec<String>,
    rows: Vec<Vec<Value>>,
}

impl Table {
    /// No rows yet.
    pub fn new(columns: &[impl AsRef<str>]) -> Self {
        Self { columns: columns.iter().map(|name| name.as_ref().to_owned()).collect(), rows: Vec::new() }
    }

    /// Adds a row: a value for each column, in their order. What is not finite is absent.
    pub fn push(&mut self, values: impl Into<Vec<Value>>) {
        let values = values.into();
        debug_assert_eq!(values.len(), self.columns.len());
        self.rows.push(values);
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
            Form::Jsonl => Ok(self.objects().map(|row| format!("{row}\n")).collect::<String>().into_bytes()),
            Form::Json => {
                let rows: Vec<String> = self.objects().collect();
                Ok(format!("[\n{}\n]\n", rows.join(",\n")).into_bytes())
            }
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
        let columns: Vec<(&str, Kind)> =
            self.columns.iter().enumerate().map(|(at, name)| (name.as_str(), kind(at))).collect();
        let mut bytes = Vec::new();
        let mut writer = Writer::new(&mut bytes, &columns)?;
        rows.chunks(ROWS_OF_GROUP).try_for_each(|rows| writer.rows(rows))?;
        writer.finish()?;
        Ok(bytes)
    }

    fn csv(&self) -> String {
        let mut text = self.columns.iter().map(|name| field(name)).collect::<Vec<_>>().join(",");
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

    /// Each row as an object of JSON, its members in the order of the columns.
    fn objects(&self) -> impl Iterator<Item = String> {
        let names: Vec<String> = self.columns.iter().map(|name| Value::from(name.as_str()).to_string()).collect();
        self.rows.iter().map(move |row| {
            let members: Vec<String> = names.iter().zip(row).map(|(name, value)| format!("{name}:{value}")).collect();
            format!("{{{}}}", members.join(","))
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn all_forms_say_the_same() {
        let mut table = Table::new(&["image", "seed", "value"]);
        table.push([json!("a, \"b\""), json!(u64::MAX), json!(0.1)]);
        table.push([json!("=1+1"), json!(0), json!(f64::NAN)]);
        let csv = "image,seed,value\n\"a, \"\"b\"\"\",18446744073709551615,0.1\n\"'=1+1\",0,\n";
        assert_eq!(table.bytes(Form::Csv).unwrap(), csv.as_bytes());
        let text = |form| String::from_utf8(table.bytes(form).unwrap()).unwrap();
        let lines: Vec<Value> = text(Form::Jsonl).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert!(text(Form::Jsonl).starts_with("{\"image\":\"a, \\\"b\\\"\",\"seed\":"), "in the order of the columns");
        assert_eq!(serde_json::from_str::<Vec<Value>>(&text(Form::Json)).unwrap(), lines);
        assert_eq!((Form::of_name(Path::new("a.JSON")), Form::of_name(Path::new("a.b"))), (Form::Json, Form::Csv));
        let first = json!({"image": "a, \"b\"", "seed": u64::MAX, "value": 0.1});
        assert!(table.bytes(Form::Parquet).unwrap().starts_with(b"PAR1"));
        assert_eq!(lines, [first, json!({"image": "=1+1", "seed": 0, "value": null})]);
    }
}
