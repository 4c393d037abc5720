//! CSV (RFC 4180) in full precision: every number reads back as the one that was compared. Absent is empty. What has to be
//! known of the figures is below the table, in rows of kind "note". "change low" and "change high" are the ends of the change's
//! 95 % interval over photographs, "better" is empty within noise.

use super::Report;
use super::rows::{Figure, Side, rows};

/// The table.
pub fn table(report: &Report) -> String {
    let comparison = &report.comparison;
    let mut text = String::new();
    let (a, b) = (&comparison.a, &comparison.b);
    let head = [
        "metric".to_owned(),
        "kind".to_owned(),
        "better is".to_owned(),
        format!("mean of {a}"),
        format!("std of {a}"),
        format!("mean of {b}"),
        format!("std of {b}"),
        "change".to_owned(),
        "change in sigma".to_owned(),
        "change low".to_owned(),
        "change high".to_owned(),
        "p".to_owned(),
        "better".to_owned(),
        "images".to_owned(),
        "seeds".to_owned(),
        "photographs".to_owned(),
    ];
    line(&mut text, head.iter().map(|name| field(name)));
    for row in rows(comparison) {
        let better = match row.better() {
            Some(Side::A) => field(a),
            Some(Side::B) => field(b),
            None => String::new(),
        };
        let std = |figure: Figure| figure.std.map_or(String::new(), number);
        let fields = [
            field(&row.name),
            row.kind.title().to_owned(),
            row.direction.word().into(),
            number(row.a.mean),
            std(row.a),
            number(row.b.mean),
            std(row.b),
            number(row.change()),
            row.change_in_sigma().map_or(String::new(), number),
            row.interval.map_or(String::new(), |interval| number(interval.low)),
            row.interval.map_or(String::new(), |interval| number(interval.high)),
            row.interval.map_or(String::new(), |interval| number(interval.p)),
            better,
            row.images.to_string(),
            comparison.seeds.to_string(),
            row.interval.map_or(String::new(), |interval| interval.photographs.to_string()),
        ];
        line(&mut text, fields);
    }
    let count = comparison.on.count(comparison.images);
    let measured = format!("measured on {count} × {} seeds", comparison.seeds);
    for note in std::iter::once(measured).chain(comparison.notes().iter().map(ToString::to_string)) {
        let empty = head.iter().skip(2).map(|_| String::new());
        line(&mut text, [field(&note), "note".to_owned()].into_iter().chain(empty));
    }
    text
}

/// Every reward, image × seed, in the order of the workspace.
pub fn seeds(report: &Report) -> String {
    let comparison = &report.comparison;
    let mut text = String::new();
    let (before, after) = (format!("reward of {}", comparison.a), format!("reward of {}", comparison.b));
    line(&mut text, ["image", "seed", &before, &after, "change"].map(field));
    for image in &comparison.by_image {
        for (column, (before, after)) in image.reference.iter().zip(&image.policy).enumerate() {
            let [before, after] = [before, after].map(|reward| reward.unwrap_or(f64::NAN));
            let seed = report.provenance.seeds.get(column).map_or(column as u64, |&seed| seed);
            let numbers = [number(before), number(after), number(after - before)];
            line(&mut text, [field(&image.name), seed.to_string()].into_iter().chain(numbers));
        }
    }
    text
}

fn line(text: &mut String, fields: impl IntoIterator<Item = String>) {
    let fields: Vec<String> = fields.into_iter().collect();
    text.push_str(&fields.join(","));
    text.push_str("\r\n");
}

/// The shortest text that reads back as the same number; empty where there is none.
fn number(value: f64) -> String {
    if value.is_finite() { value.to_string() } else { String::new() }
}

/// Text as a field of any CSV file that is written here. A name that a spreadsheet would run as a formula gets the apostrophe that makes it text.
pub fn field(text: &str) -> String {
    let guard = if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { "'" } else { "" };
    if guard.is_empty() && !text.contains([',', '"', '\n', '\r']) && text.trim() == text {
        return text.to_owned();
    }
    format!("\"{guard}{}\"", text.replace('"', "\"\""))
}
