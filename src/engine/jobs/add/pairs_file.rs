//! A list of pairs: CSV with two columns, or JSONL with `lr` and `hr`. Paths are relative to the list.

use std::path::{Path, PathBuf};

use crate::input::table::cells;
use crate::{Error, Result, input};

/// The LR and HR file of a pair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PairOfFiles {
    pub lr: PathBuf,
    pub hr: PathBuf,
}

/// Reads a list; the error names the file and the line.
pub fn read(path: &Path) -> Result<Vec<PairOfFiles>> {
    let text = input::read_text(path)?;
    let pairs = parse(&text).map_err(|cause| Error::file(path, cause))?;
    let dir = path.parent().unwrap_or(Path::new(""));
    // An absolute path replaces the folder it is joined to.
    Ok(pairs.into_iter().map(|[lr, hr]| PairOfFiles { lr: dir.join(lr), hr: dir.join(hr) }).collect())
}

fn parse(text: &str) -> Result<Vec<[String; 2]>, String> {
    let lines = || (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
    let is_json = lines().next().is_some_and(|(_, line)| line.trim_start().starts_with('{'));
    let mut pairs = Vec::new();
    // Which column is which; known once there is a header.
    let mut order = [0, 1];
    for (number, line) in lines() {
        let fault = |cause: String| format!("line {number}: {cause}");
        if is_json {
            pairs.push(json_line(line).map_err(fault)?);
            continue;
        }
        let cells = cells(line).map_err(fault)?;
        let [a, b] = cells.as_slice() else {
            return Err(fault(format!("{} columns where LR and HR are wanted", cells.len())));
        };
        match (pairs.is_empty(), header(a), header(b)) {
            (true, Some(a), Some(b)) if a != b => order = if a == 0 { [0, 1] } else { [1, 0] },
            _ => pairs.push(order.map(|column| cells[column].clone())),
        }
    }
    match pairs.iter().flatten().any(String::is_empty) {
        true => Err("a name is empty".into()),
        false if pairs.is_empty() => Err("no pair is listed".into()),
        false => Ok(pairs),
    }
}

/// The column a heading names: 0 for LR, 1 for HR.
fn header(cell: &str) -> Option<usize> {
    match cell.to_lowercase().as_str() {
        "lr" | "lq" | "lr_path" | "lq_path" => Some(0),
        "hr" | "gt" | "hq" | "hr_path" | "gt_path" | "hq_path" => Some(1),
        _ => None,
    }
}

fn json_line(line: &str) -> Result<[String; 2], String> {
    let object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(line).map_err(|e| e.to_string())?;
    let mut found = [None, None];
    for (key, value) in &object {
        if let (Some(column), Some(text)) = (header(key), value.as_str()) {
            found[column] = Some(text.to_owned());
        }
    }
    let [lr, hr] = found;
    Ok([lr.ok_or("no text `lr`")?, hr.ok_or("no text `hr`")?])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &str) -> Vec<(String, String)> {
        parse(text).unwrap().into_iter().map(|[lr, hr]| (lr, hr)).collect()
    }

    #[test]
    fn both_forms_with_and_without_a_header_say_the_same() {
        let wanted = [("lr/a, b.png".to_owned(), "hr/\"1\".png".to_owned()), ("2.png".to_owned(), "2h.png".to_owned())];
        for text in [
            "lr,hr\n\"lr/a, b.png\",\"hr/\"\"1\"\".png\"\n2.png, 2h.png\n",
            "\"lr/a, b.png\",\"hr/\"\"1\"\".png\"\r\n\r\n2.png,2h.png",
            "HR,LR\n\"hr/\"\"1\"\".png\",\"lr/a, b.png\"\n2h.png,2.png\n",
            "{\"lr\": \"lr/a, b.png\", \"hr\": \"hr/\\\"1\\\".png\", \"scene\": 3}\n{\"gt\":\"2h.png\",\"lq\":\"2.png\"}\n",
        ] {
            assert_eq!(pairs(text), wanted, "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_named_by_line() {
        for (text, wanted) in [
            ("", "no pair"),
            ("lr,hr\n", "no pair"),
            ("a.png,b.png\nc.png\n", "line 2: 1 columns"),
            ("a.png,b.png,c.png", "line 1: 3 columns"),
            ("a.png,\n", "a name is empty"),
            ("\"a.png,b.png", "line 1: a quote is not closed"),
            ("\"a.png\"x,b.png", "line 1: text after"),
            ("{\"lr\":\"a.png\"}", "line 1: no text `hr`"),
            ("{\"lr\":\"a.png\",\"hr\":\"b.png\"}\n{", "line 2: "),
        ] {
            let cause = parse(text).unwrap_err();
            assert!(cause.contains(wanted), "{text}: {cause}");
        }
    }

    #[test]
    fn paths_are_relative_to_the_list() {
        let dir = tempfile::tempdir().unwrap();
        let (list, absolute) = (dir.path().join("pairs.csv"), dir.path().join("elsewhere.png"));
        std::fs::write(&list, format!("a.png,{}\n", absolute.display())).unwrap();
        assert_eq!(read(&list).unwrap(), [PairOfFiles { lr: dir.path().join("a.png"), hr: absolute }]);
        assert!(read(dir.path()).unwrap_err().to_string().contains("not a file"));
    }
}
