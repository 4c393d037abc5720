//! A table for notebooks: the same rows as CSV (RFC 4180) or as JSON lines, numbers in full precision, absent ones empty or null.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::csv::field;
use crate::words::words;

words! {
    /// A form of a table.
    pub enum Form {
        Csv = "csv",
        Jsonl = "jsonl",
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

    /// Its text.
    pub fn text(&self, form: Form) -> String {
        match form {
            Form::Csv => self.csv(),
            Form::Jsonl => self.jsonl(),
        }
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
        assert_eq!(table.text(Form::Csv), csv);
        let lines: Vec<Value> =
            table.text(Form::Jsonl).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let first = json!({"image": "a, \"b\"", "seed": u64::MAX, "value": 0.1});
        assert_eq!(lines, [first, json!({"image": "=1+1", "seed": 0, "value": null})]);
    }
}
