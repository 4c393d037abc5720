//! Lists of two columns that a person wrote, as CSV (RFC 4180).

use std::path::Path;

use super::read_text;
use crate::{Error, Result};

/// The lines of a list of two columns, with or without a heading of these names. Errors name the file and the line.
pub fn read(path: &Path, headings: [&str; 2]) -> Result<Vec<[String; 2]>> {
    parse(&read_text(path)?, headings).map_err(|cause| Error::file(path, cause))
}

fn parse(text: &str, headings: [&str; 2]) -> Result<Vec<[String; 2]>, String> {
    let mut lines = Vec::new();
    for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty()) {
        let fault = |cause: String| format!("line {number}: {cause}");
        let cells = cells(line).map_err(fault)?;
        let two: [String; 2] = cells
            .try_into()
            .map_err(|cells: Vec<String>| fault(format!("{} columns where two are wanted", cells.len())))?;
        let is_heading = lines.is_empty() && two.iter().zip(headings).all(|(a, b)| a.eq_ignore_ascii_case(b));
        if !is_heading {
            lines.push(two);
        }
    }
    match lines.is_empty() {
        true => Err("nothing is listed".into()),
        false => Ok(lines),
    }
}

/// The cells of a line of CSV (RFC 4180): commas, and quotes around cells that hold some.
pub fn cells(line: &str) -> Result<Vec<String>, String> {
    let mut cells = Vec::new();
    let mut left = line.trim();
    loop {
        let after = match left.trim_start().strip_prefix('"') {
            None => {
                let end = left.find(',').unwrap_or(left.len());
                cells.push(left[..end].trim().to_owned());
                &left[end..]
            }
            Some(quoted) => {
                let mut cell = String::new();
                let mut rest = quoted;
                loop {
                    let end = rest.find('"').ok_or("a quote is not closed")?;
                    cell += &rest[..end];
                    rest = &rest[end + 1..];
                    match rest.strip_prefix('"') {
                        Some(more) => rest = more,
                        None => break,
                    }
                    cell.push('"');
                }
                cells.push(cell);
                rest.trim_start()
            }
        };
        match after.strip_prefix(',') {
            Some(next) => left = next,
            None if after.is_empty() => return Ok(cells),
            None => return Err("text after a closing quote".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_heading_and_empty_lines_are_not_listed_and_faults_are_named_by_line() {
        let expected = [["a.png".to_owned(), "stone wall, moss".to_owned()], ["b".into(), String::new()]];
        let read = |text: &str| parse(text, ["image", "prompt"]);
        assert_eq!(read("Image,prompt\n\na.png,\"stone wall, moss\"\nb,\n").unwrap(), expected);
        assert_eq!(read("a.png,\"stone wall, moss\"\r\nb,").unwrap(), expected);
        assert_eq!(read("a.png,\nb").unwrap_err(), "line 2: 1 columns where two are wanted");
        assert_eq!(read("image,prompt").unwrap_err(), "nothing is listed");
    }
}
