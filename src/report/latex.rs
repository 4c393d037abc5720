//! A LaTeX table for `booktabs`, the better side in bold where that is more than noise.

use super::Report;
use super::rows::{Figure, Kind, Row, Side, rows, signed, with_spread};
use crate::iqa::Direction;

/// A `table` environment; the first line names the package it needs.
pub fn table(report: &Report) -> String {
    let comparison = &report.comparison;
    let (a, b) = (escape(&comparison.a), escape(&comparison.b));
    let mut text = String::from("% needs \\usepackage{booktabs}\n\\begin{table}[t]\n  \\centering\n");
    let notes: Vec<String> = comparison.notes().iter().map(|note| format!(" {}.", escape(&note.to_string()))).collect();
    text.push_str(&format!(
        "  \\caption{{{a} and {b} on {} $\\times$ {} seeds: mean $\\pm$ standard deviation over seeds; 95\\,\\% intervals \
         of the change over {}, bold where they exclude zero. Metrics marked \
         $\\dagger$ were never trained on.{}}}\n  \\label{{tab:comparison}}\n",
        comparison.on.count(comparison.images),
        comparison.seeds,
        comparison.photographs_in_words(),
        notes.concat()
    ));
    text.push_str("  \\begin{tabular}{lrrrrr}\n    \\toprule\n");
    text.push_str(&format!("    Metric & {a} & {b} & Change & in $\\sigma$ & 95\\,\\% \\\\\n    \\midrule\n"));
    let rows = rows(comparison);
    for (index, row) in rows.iter().enumerate() {
        if index > 0 && rows[index - 1].kind != row.kind {
            text.push_str("    \\midrule\n");
        }
        text.push_str(&format!("    {} \\\\\n", line(row)));
    }
    text.push_str("    \\bottomrule\n  \\end{tabular}\n\\end{table}\n");
    text
}

fn line(row: &Row) -> String {
    let arrow = match row.direction {
        Direction::Higher => "$\\uparrow$",
        Direction::Lower => "$\\downarrow$",
        Direction::Neither => "",
    };
    let mark = if row.kind == Kind::HeldOut { "$^\\dagger$" } else { "" };
    let sigma = row.change_in_sigma().map_or("--".into(), |sigma| math(&format!("{sigma:+.2}")));
    let cells = [
        format!("{}{mark} {arrow}{}", escape(&row.name), row.mark),
        cell(row.a, row.better() == Some(Side::A)),
        cell(row.b, row.better() == Some(Side::B)),
        math(&signed(row.change(), row.a.mean)),
        sigma,
        math(&row.interval_in_sigma()),
    ];
    cells.join(" & ")
}

fn cell(figure: Figure, is_bold: bool) -> String {
    let text = math(&with_spread(figure).replace('±', "\\pm"));
    match text.strip_prefix('$').and_then(|text| text.strip_suffix('$')) {
        Some(inside) if is_bold => format!("$\\mathbf{{{inside}}}$"),
        _ => text,
    }
}

/// A number in math mode, where a minus sign is one; "--" where there is none.
fn math(number: &str) -> String {
    if number == "–" { "--".into() } else { format!("${}$", number.replace('−', "-")) }
}

/// Text in which nothing is a command.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => escaped.push_str("\\textbackslash{}"),
            '~' => escaped.push_str("\\textasciitilde{}"),
            '^' => escaped.push_str("\\textasciicircum{}"),
            '<' => escaped.push_str("\\textless{}"),
            '>' => escaped.push_str("\\textgreater{}"),
            '|' => escaped.push_str("\\textbar{}"),
            '"' => escaped.push_str("''"),
            '#' | '$' | '%' | '&' | '_' | '{' | '}' => escaped.extend(['\\', c]),
            '\n' | '\r' | '\t' => escaped.push(' '),
            c if c.is_control() => {}
            c => escaped.push(c),
        }
    }
    escaped
}
