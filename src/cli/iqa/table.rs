//! The table of scores, one a row: as CSV, JSON or JSON lines, written as they are made and gone on with.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{Seek, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::super::out::json_text;
use crate::imaging::output;
use crate::input::table::cells;
use crate::iqa::MetricKey;
use crate::report::csv::field;
use crate::{Error, Result};

/// A score, and all that it follows from. Columns never change their type, and none but those of the reference is ever empty.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    pub file: String,
    pub sha256: String,
    /// The reference image, where the metric compares with one.
    #[serde(rename = "ref")]
    pub reference: Option<String>,
    pub ref_sha256: Option<String>,
    pub metric: String,
    pub score: f64,
    /// `higher` or `lower`.
    pub better: String,
    pub weights: String,
    pub version: String,
    pub crop_policy: String,
}

/// The columns, in order.
const COLUMNS: [&str; 10] =
    ["file", "sha256", "ref", "ref_sha256", "metric", "score", "better", "weights", "version", "crop_policy"];

/// By what a score is found again.
type Identity = (String, String, Option<String>, MetricKey);

impl Row {
    fn identity(&self) -> Identity {
        let key = MetricKey {
            metric: self.metric.clone(),
            weights_hash: self.weights.clone(),
            crop_policy: self.crop_policy.clone(),
            version: self.version.clone(),
        };
        (self.file.clone(), self.sha256.clone(), self.ref_sha256.clone(), key)
    }

    fn csv(&self) -> Result<String> {
        let text = |text: &str| match text.contains(['\n', '\r']) {
            true => Err(Error::invalid(format!("{text:?} has a line break, which CSV cannot hold here; write JSON"))),
            false => Ok(field(text)),
        };
        let fields = [
            text(&self.file)?,
            self.sha256.clone(),
            text(self.reference.as_deref().unwrap_or_default())?,
            self.ref_sha256.clone().unwrap_or_default(),
            text(&self.metric)?,
            self.score.to_string(),
            self.better.clone(),
            text(&self.weights)?,
            text(&self.version)?,
            text(&self.crop_policy)?,
        ];
        Ok(fields.join(","))
    }

    fn of_csv(line: &str) -> Option<Self> {
        // The apostrophe keeps spreadsheets from running a name.
        let text = |cell: String| match cell.strip_prefix('\'') {
            Some(rest) if rest.starts_with(['=', '+', '-', '@']) => rest.to_owned(),
            _ => cell,
        };
        let cells: [String; 10] = cells(line).ok()?.try_into().ok()?;
        let [file, sha256, reference, ref_sha256, metric, score, better, weights, version, crop_policy] =
            cells.map(text);
        let some = |cell: String| Some(cell).filter(|cell| !cell.is_empty());
        let (reference, ref_sha256, score) = (some(reference), some(ref_sha256), score.parse().ok()?);
        Some(Self { file, sha256, reference, ref_sha256, metric, score, better, weights, version, crop_policy })
    }
}

/// How a table is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Csv,
    Json,
    Lines,
}

/// A table in a file, that grows.
pub struct Table {
    path: PathBuf,
    form: Form,
    known: HashSet<Identity>,
    /// Of lines: where the next goes.
    file: Option<File>,
    /// Of JSON: what is written at the end, and now and then before.
    rows: Vec<Row>,
    unwritten: usize,
}

/// Rows of JSON after which the file is written anew, at most.
const AT_ONCE: usize = 500;

impl Table {
    /// A table with what is in the file already. Errors: the ending is no known one; what is in the file is no such table; it
    /// cannot be written.
    pub fn open(path: &Path) -> Result<Self> {
        output::check([path])?;
        let form = match path.extension().and_then(|ending| ending.to_str()).map(str::to_lowercase).as_deref() {
            Some("csv") => Form::Csv,
            Some("json") => Form::Json,
            Some("jsonl" | "ndjson") => Form::Lines,
            _ => return Err(Error::file(path, "a table ends in .csv, .json or .jsonl")),
        };
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(e) => return Err(Error::file(path, e)),
        };
        // What a kill left of a line is written again.
        let whole = text.rfind('\n').map_or(0, |at| at + 1);
        let rows = read(form, if form == Form::Json { &text } else { &text[..whole] });
        let rows = rows.map_err(|cause| Error::file(path, format!("{cause}; name another file or remove it")))?;
        let known = rows.iter().map(Row::identity).collect();
        let file = match form {
            Form::Json => None,
            Form::Csv | Form::Lines => Some(appending(path, whole as u64).map_err(|e| Error::file(path, e))?),
        };
        let mut table = Self { path: path.to_owned(), form, known, file, rows: Vec::new(), unwritten: 0 };
        match form {
            Form::Csv if whole == 0 => table.line(&COLUMNS.join(","))?,
            Form::Json => table.rows = rows,
            _ => {}
        }
        Ok(table)
    }

    /// Whether a score of this identity is there.
    pub fn has(&self, file: &str, sha256: &str, ref_sha256: Option<&str>, key: &MetricKey) -> bool {
        self.known.contains(&(file.to_owned(), sha256.to_owned(), ref_sha256.map(str::to_owned), key.clone()))
    }

    /// Adds scores; those of lines are in the file once this returns.
    pub fn add(&mut self, rows: Vec<Row>) -> Result<()> {
        for row in rows {
            match self.form {
                Form::Csv => self.line(&row.csv()?)?,
                Form::Lines => self.line(&serde_json::to_string(&row).map_err(Error::invalid)?)?,
                Form::Json => {
                    self.rows.push(row);
                    self.unwritten += 1;
                }
            }
        }
        if self.unwritten >= AT_ONCE { self.finish() } else { Ok(()) }
    }

    /// Writes what is not written yet.
    pub fn finish(&mut self) -> Result<()> {
        self.unwritten = 0;
        match self.form {
            Form::Json => output::write(&self.path, json_text(&self.rows)?.as_bytes()),
            Form::Csv | Form::Lines => Ok(()),
        }
    }

    fn line(&mut self, line: &str) -> Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        file.write_all(format!("{line}\n").as_bytes()).map_err(|e| Error::file(&self.path, e))
    }
}

/// The file, ready to be added to after so many bytes.
fn appending(path: &Path, bytes: u64) -> std::io::Result<File> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
    if file.metadata()?.is_file() {
        file.set_len(bytes)?;
        file.seek(std::io::SeekFrom::End(0))?;
    }
    Ok(file)
}

fn read(form: Form, text: &str) -> Result<Vec<Row>, String> {
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    if form == Form::Json {
        return serde_json::from_str(text).map_err(|error| format!("holds no scores as `iqa` writes them ({error})"));
    }
    let skipped = usize::from(form == Form::Csv);
    if form == Form::Csv && text.lines().next().map(str::trim) != Some(COLUMNS.join(",").as_str()) {
        return Err("holds no scores as `iqa` writes them".into());
    }
    let row = |(at, line): (usize, &str)| {
        let row = match form {
            Form::Csv => Row::of_csv(line),
            _ => serde_json::from_str(line).ok(),
        };
        row.ok_or_else(|| format!("line {} holds no score as `iqa` writes them", at + 1))
    };
    text.lines().enumerate().skip(skipped).filter(|(_, line)| !line.trim().is_empty()).map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(file: &str, score: f64) -> Row {
        Row {
            file: file.into(),
            sha256: "ab".into(),
            reference: Some("r,\"1\".png".into()),
            ref_sha256: Some("cd".into()),
            metric: "psnr".into(),
            score,
            better: "higher".into(),
            weights: "none".into(),
            version: "rgb, eps 1e-8".into(),
            crop_policy: "none".into(),
        }
    }

    #[test]
    fn every_form_is_gone_on_with_and_a_broken_line_is_written_again() {
        let dir = tempfile::tempdir().unwrap();
        let bare = Row { reference: None, ref_sha256: None, ..row("=cmd.png", -0.1) };
        for ending in ["csv", "jsonl", "json"] {
            let path = dir.path().join(format!("t.{ending}"));
            let mut table = Table::open(&path).unwrap();
            table.add(vec![row("a.png", 1.0 / 3.0), bare.clone()]).unwrap();
            table.finish().unwrap();
            if ending != "json" {
                let mut file = OpenOptions::new().append(true).open(&path).unwrap();
                file.write_all(b"half a li").unwrap();
            }
            let mut table = Table::open(&path).unwrap();
            let key = row("a.png", 0.0).identity().3;
            assert!(table.has("a.png", "ab", Some("cd"), &key) && table.has("=cmd.png", "ab", None, &key), "{ending}");
            assert!(!table.has("a.png", "xx", Some("cd"), &key) && !table.has("a.png", "ab", None, &key));
            assert!(!table.has("a.png", "ab", Some("cd"), &MetricKey { crop_policy: "other".into(), ..key }));
            table.add(vec![row("c.png", 2.0)]).unwrap();
            table.finish().unwrap();
            let form = table.form;
            let rows = read(form, &fs::read_to_string(&path).unwrap()).unwrap();
            assert_eq!(rows, [row("a.png", 1.0 / 3.0), bare.clone(), row("c.png", 2.0)], "{ending}");
            fs::write(&path, "something else\n").unwrap();
            assert!(Table::open(&path).err().unwrap().to_string().contains("as `iqa` writes them"), "{ending}");
            assert_eq!(fs::read_to_string(&path).unwrap(), "something else\n", "{ending}");
        }
        assert!(Table::open(&dir.path().join("t.xls")).is_err());
        assert!(row("a\nb", 0.0).csv().is_err());
    }
}
