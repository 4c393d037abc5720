//! A Markdown table (GitHub's), the better side in bold where that is more than noise.

use super::Report;
use super::rows::{Row, Side, rows, signed, with_spread};

/// The table with a line that says what was compared.
pub fn table(report: &Report) -> String {
    let comparison = &report.comparison;
    let (a, b) = (escape(&comparison.a), escape(&comparison.b));
    let mut text = format!(
        "{a} → {b} on {} × {} seeds: mean ± standard deviation over seeds; 95 % intervals \
         of the change over {}, the better side in bold where its interval excludes zero.\n\n",
        comparison.on.count(comparison.images),
        comparison.seeds,
        comparison.photographs_in_words()
    );
    text.push_str(&format!(
        "| metric | kind | {a} | {b} | change | in σ | 95 % |\n| --- | --- | ---: | ---: | ---: | ---: | ---: |\n"
    ));
    for row in rows(comparison) {
        let sigma = row.change_in_sigma().map_or("–".into(), |sigma| format!("{sigma:+.2}").replace('-', "−"));
        text.push_str(&format!(
            "| {} {}{} | {} | {} | {} | {} | {sigma} | {} |\n",
            escape(&row.name),
            row.direction.arrow(),
            row.mark,
            row.kind.title(),
            cell(&row, Side::A),
            cell(&row, Side::B),
            signed(row.change(), row.a.mean),
            row.interval_in_sigma(),
        ));
    }
    for note in comparison.notes() {
        text.push_str(&format!("\n{}\n", escape(&note.to_string())));
    }
    text
}

fn cell(row: &Row, side: Side) -> String {
    let text = with_spread(if side == Side::A { row.a } else { row.b });
    if row.better() == Some(side) { format!("**{text}**") } else { text }
}

/// Text without anything that Markdown or the HTML within it would act on.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\r' | '\t' => escaped.push(' '),
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '~' | '#' | '!' | '$' => escaped.extend(['\\', c]),
            // Autolinked mentions and addresses of GitHub's flavour need no character of their own to begin.
            '@' if escaped.is_empty() || escaped.ends_with(' ') => escaped.push_str("&#64;"),
            c if c.is_control() => {}
            c => escaped.push(c),
        }
    }
    escaped
}
