//! The forms against the comparison they are made from, with names and numbers that want to break them.

use std::collections::BTreeMap;

use super::rows::{Kind, Side, rows};
use super::*;
use crate::imaging::sheet::{self, Cell, Sheet};
use crate::iqa::{Direction, MetricKey};
use crate::method::evaluation::{Evaluation, ImageComparison, MetricReport};
use crate::method::intervals::{ENOUGH, Interval, Intervals};
use crate::method::provenance::{Chosen, On, TrainedOn};

const HOSTILE: &str = "=a,\"b\"|c_<script>alert(1)</script>&\\100%{x}$#~^*`@[y]";

fn evaluation(shift: f64, lost: f64) -> Evaluation {
    let metric = |mean: f64, std: f64, direction, held_out| MetricReport { mean, std, images: 2, direction, held_out };
    let metrics = [
        ("brisque", metric(31.0 / 3.0 - shift, 1.25, Direction::Lower, false)),
        ("psnr", metric(27.5 - shift, 0.5, Direction::Higher, true)),
        ("broken", metric(lost, 0.0, Direction::Higher, true)),
        (HOSTILE, metric(0.1 + shift, 0.01, Direction::Higher, false)),
    ];
    Evaluation {
        m: vec![1, 2, 4],
        best: vec![0.5 + shift, 0.55 + shift, 0.6 + shift],
        mean: vec![0.5 + shift; 3],
        worst: vec![0.5 + shift, 0.45 + shift, 0.4 + shift],
        std: 1.0 / 7.0,
        images: 2,
        metrics: metrics.map(|(name, report)| (name.to_owned(), report)).into(),
        by_image: Default::default(),
    }
}

/// Real changes but for Worst and psnr.
fn intervals() -> Intervals {
    let interval = |change: f64, half: f64| Interval {
        change,
        low: change - half,
        high: change + half,
        p: 0.03125,
        images: 6,
        photographs: 6,
    };
    let metrics = [("brisque", interval(-0.1, 0.05)), ("psnr", interval(-0.1, 0.125)), (HOSTILE, interval(0.1, 0.01))];
    Intervals {
        rewards: [Some(interval(0.1, 0.05)), Some(interval(0.1, 0.05)), None],
        metrics: metrics.map(|(name, interval)| (name.to_owned(), interval)).into(),
    }
}

fn report() -> Report {
    let image = |name: &str, shift: f64| ImageComparison {
        name: name.into(),
        reference: vec![Some(0.4), Some(0.5), None, Some(0.6)],
        policy: vec![Some(0.4 + shift), Some(0.5 + shift * 2.0), Some(0.9), None],
    };
    let seen = TrainedOn { run: "run-1".into(), images: vec![HOSTILE.into()], alike: Vec::new(), unknown: None };
    let comparison = Comparison {
        on: On::HeldOut,
        images: 2,
        validation_images: 1,
        seeds: 4,
        a: "reference".into(),
        b: HOSTILE.into(),
        chosen: [Chosen::Name, Chosen::Validation { of: 3, images: 1 }],
        trained_on: vec![seen],
        reference: evaluation(0.0, f64::NAN),
        policy: evaluation(0.1, f64::NAN),
        by_image: vec![image(HOSTILE, 0.1), image("plain", -0.2)],
        intervals: intervals(),
    };
    let provenance = Provenance {
        program: "DP²O Studio".into(),
        workspace: HOSTILE.into(),
        seeds: vec![7, 8, 9, 10],
        recipe: format!("( // {HOSTILE}\n)"),
        metrics: vec![MetricSource {
            key: MetricKey { metric: "psnr".into(), ..MetricKey::default() },
            bounds: Some([20.0, 30.5]),
        }],
        made_at_secs: 951_782_399,
        ..Provenance::default()
    };
    Report { changes: comparison.changes(), comparison, provenance }
}

/// A reader of CSV that knows nothing of the writer.
fn parse_csv(text: &str) -> Vec<Vec<String>> {
    let (mut rows, mut row, mut field) = (Vec::new(), Vec::new(), String::new());
    let mut quoted = false;
    let mut letters = text.chars().peekable();
    while let Some(c) = letters.next() {
        match c {
            '"' if quoted && letters.peek() == Some(&'"') => field.extend(letters.next()),
            '"' => quoted = !quoted,
            ',' if !quoted => row.push(std::mem::take(&mut field)),
            '\n' if !quoted => {
                row.push(std::mem::take(&mut field));
                rows.push(std::mem::take(&mut row));
            }
            '\r' if !quoted => {}
            c => field.push(c),
        }
    }
    rows
}

#[test]
fn the_rows_are_the_comparisons_numbers_and_name_the_better_side() {
    let report = report();
    let rows = rows(&report.comparison);
    let row = |name: &str| rows.iter().find(|row| row.name == name).unwrap();
    let (a, b) = (&report.comparison.reference, &report.comparison.policy);
    assert_eq!((row("Best@4").a.mean, row("Best@4").b.mean), (a.best_reward(), b.best_reward()));
    assert_eq!((row("Mean@4").a.std, row("Worst@4").b.mean), (Some(a.std), b.worst_reward()));
    assert_eq!(row("brisque").b.mean, b.metrics["brisque"].mean);
    // Lower is better, and it fell.
    assert_eq!((row("brisque").ahead(), row("psnr").ahead()), (Some(Side::B), Some(Side::A)));
    // Better is only what chance does not explain: zero outside of the interval, of enough photographs.
    assert_eq!((row("brisque").better(), row("psnr").better()), (Some(Side::B), None));
    assert_eq!((row("Mean@4").better(), row("Worst@4").better()), (Some(Side::B), None));
    let mut few = row("brisque").clone();
    few.interval = few.interval.map(|interval| Interval { photographs: ENOUGH - 1, ..interval });
    assert_eq!(few.better(), None);
    assert_eq!(row("brisque").interval_in_sigma(), "[−0.12, −0.04]");
    assert_eq!((row("broken").better(), row("broken").change_in_sigma()), (None, None));
    assert_eq!((row("brisque").kind, row("psnr").kind), (Kind::Trained, Kind::HeldOut));
    assert!(rows.is_sorted_by_key(|row| row.kind));
    assert!((row("psnr").change_in_sigma().unwrap() + 0.2).abs() < 1e-9);
}

#[test]
fn csv_reads_back_as_the_same_numbers() {
    let report = report();
    let mut parsed = parse_csv(&csv::table(&report));
    let rows = rows(&report.comparison);
    let notes = parsed.split_off(rows.len() + 1);
    let of_notes = report.comparison.notes().len() + 1;
    assert!(notes.len() == of_notes && notes.iter().all(|line| line.len() == 16 && line[1] == "note"), "{notes:?}");
    assert!(parsed.iter().all(|line| line.len() == 16), "{parsed:?}");
    for (line, row) in parsed[1..].iter().zip(&rows) {
        for (text, value) in [(&line[3], row.a.mean), (&line[5], row.b.mean), (&line[7], row.change())] {
            match value.is_nan() {
                true => assert_eq!(text, ""),
                false => assert_eq!(text.parse::<f64>().unwrap(), value),
            }
        }
    }
    let brisque = parsed.iter().find(|line| line[0] == "brisque").unwrap();
    assert_eq!(brisque[9..13], ["-0.15000000000000002", "-0.05", "0.03125", &format!("'{HOSTILE}")]);
    // A name that would be a formula is text, and otherwise itself.
    let hostile = parsed.iter().find(|line| line[0].contains("script")).unwrap();
    assert_eq!(hostile[0], format!("'{HOSTILE}"));

    let seeds = parse_csv(&csv::seeds(&report));
    assert_eq!(seeds.len(), 9);
    assert_eq!(seeds[2][1..4], ["8", "0.5", "0.7"]);
    assert_eq!(seeds[3][2..], ["", "0.9", ""]);
}

#[test]
fn every_form_says_which_images_how_the_checkpoint_was_chosen_and_what_was_seen() {
    let report = report();
    let forms = [
        report.comparison.to_text(),
        csv::table(&report),
        markdown::table(&report),
        latex::table(&report),
        html::page(&report, &Shown::default()).unwrap(),
    ];
    for text in forms {
        let wanted =
            ["2 held-out images", "the best of 3 checkpoints by reward on 1 validation image", "run-1 was trained on"];
        for part in wanted.into_iter().chain(["1 of the 2 held-out images choose checkpoints"]) {
            // Markdown escapes signs.
            assert!(text.replace('\\', "").contains(part), "{part}: {text}");
        }
    }
    let json = serde_json::to_string(&report.comparison).unwrap();
    assert!(json.contains(r#""on":"held_out""#) && json.contains(r#""run":"run-1""#), "{json}");
    assert!(json.contains(r#"{"by":"validation","of":3,"images":1}"#), "{json}");

    // On test images nothing is to be warned of, and the same way round as the checkpoints.
    let plain =
        Comparison { on: On::Test, validation_images: 0, trained_on: Vec::new(), ..report.comparison.swapped() };
    assert!(plain.notes().iter().all(|note| !note.is_warning));
    assert!(plain.notes()[0].text.starts_with(&plain.a), "{:?}", plain.notes());
}

#[test]
fn every_form_says_which_rows_are_of_fewer_images() {
    let mut report = report();
    let (a, b) = (&mut report.comparison.reference, &mut report.comparison.policy);
    for side in [a, b] {
        side.images = 1;
        side.metrics.get_mut("brisque").unwrap().images = 1;
    }
    let table = csv::table(&report);
    let page = html::page(&report, &Shown::default()).unwrap();
    // CSV has columns instead of marks; a page has its table in the line of the note.
    for (text, marks) in [
        (&report.comparison.to_text(), 5),
        (&markdown::table(&report), 4),
        (&latex::table(&report), 4),
        (&table, 0),
        (&page, 0),
    ] {
        let text = text.replace('\\', "");
        assert!(text.contains("not of all 2 held-out images: Best, Mean, Worst, brisque (of 1); the others"), "{text}");
        let marked = text.lines().filter(|line| line.contains("(of 1)") && !line.contains("not of all")).count();
        assert_eq!(marked, marks, "{text}");
    }
    assert_eq!(page.matches("(of 1)</span></th>").count(), 4);
    let cells = parse_csv(&table);
    let of = |name: &str| cells.iter().find(|line| line[0] == name).unwrap()[13..15].join(" ");
    assert_eq!(["Best@4", "brisque", "psnr"].map(of), ["1 4", "1 4", "2 4"]);
}

#[test]
fn markdown_has_one_line_a_row_whatever_the_names() {
    let report = report();
    let text = markdown::table(&report);
    let unescaped = |line: &str| line.replace("\\\\", "").replace("\\|", "").matches('|').count();
    let lines: Vec<&str> = text.lines().filter(|line| line.starts_with('|')).collect();
    assert_eq!(lines.len(), rows(&report.comparison).len() + 2);
    assert!(lines.iter().all(|line| unescaped(line) == 8), "{text}");
    assert!(!text.contains("<script") && text.contains("&lt;script&gt;"));
    assert!(text.contains("**10.23 ± 1.25**") && text.contains("| –"), "{text}");
}

#[test]
fn latex_is_balanced_and_escaped() {
    let text = latex::table(&report());
    let body: String = text.lines().skip(1).collect::<Vec<_>>().join("\n");
    // What is left once escaped characters are taken out must balance.
    let bare = ["\\\\", "\\{", "\\}", "\\%", "\\$", "\\#", "\\&", "\\_"].iter().fold(body, |t, e| t.replace(e, " "));
    assert_eq!(bare.matches('{').count(), bare.matches('}').count(), "{text}");
    assert_eq!(bare.matches('$').count() % 2, 0, "{text}");
    assert!(!bare.contains(['%', '#', '_', '~', '<', '>', '"']), "{text}");
    for line in bare.lines().filter(|line| line.contains(" & ")) {
        assert_eq!(line.matches(" & ").count(), 5, "{line}");
    }
    assert!(text.contains("brisque $\\downarrow$ & $10.33 \\pm 1.25$ & $\\mathbf{10.23 \\pm 1.25}$"), "{text}");
    assert!(text.contains("-- & --"), "{text}");
    // Within noise nothing is bold.
    assert!(text.contains("psnr$^\\dagger$ $\\uparrow$ & $27.50 \\pm 0.50$ & $27.40 \\pm 0.50$"), "{text}");
    assert!(text.contains("$[-0.12, -0.04]$"), "{text}");
    assert_eq!(text.matches("rule").count(), 5);
}

#[test]
fn html_is_whole_escaped_and_needs_no_network() {
    let report = report();
    let gray = |side: usize| Image::new(side, side, vec![0.5; 3 * side * side]).unwrap();
    let shown =
        |change: Change| Pictures { change, lr: gray(8), hr: Some(gray(32)), before: gray(32), after: gray(700) };
    let improved: Vec<_> = report.changes[..1].iter().map(|&c| shown(c)).collect();
    let blind = vec![BlindPair { pictures: improved[0].clone(), before_is_a: true }];
    let page = html::page(&report, &Shown { improved, blind, ..Shown::default() }).unwrap();
    assert!(!page.contains("<script") && page.contains("&lt;script&gt;"));
    for foreign in ["http:", "https:", "url(", "@import", "<link", "srcset"] {
        assert!(!page.contains(foreign), "{foreign}");
    }
    let count = |what: &str| page.matches(what).count();
    assert_eq!((count("data:image/png"), count("data:image/jpeg")), (6, 2));
    assert!(page.contains("B is after (") && count("type=\"radio\"") == 3);
    for tag in [
        "section", "table", "tbody", "tr", "svg", "figure", "div", "article", "details", "pre", "g", "span", "label",
        "ol", "li",
    ] {
        let closed = count(&format!("</{tag}>"));
        assert_eq!(count(&format!("<{tag}>")) + count(&format!("<{tag} ")), closed, "{tag}");
    }
    for row in rows(&report.comparison) {
        assert!(page.contains(&super::rows::with_spread(row.b)), "{}", row.name);
    }
    assert!(page.contains("2000-02-28 23:59 UTC") && page.contains("20.00 … 30.50"));
    assert!(page.contains("prefers-color-scheme") && !page.contains("NaN"));
}

#[test]
fn the_figure_has_pictures_and_plots() {
    let report = report();
    let gray = Image::new(8, 8, vec![0.25; 192]).unwrap();
    let row = sheet::Row { label: HOSTILE.into(), cells: vec![Some(Cell::new(gray))] };
    let sheet = Sheet { columns: vec!["LR".into()], rows: vec![row], cell_px: 64, ..Sheet::default() };
    let pictures = sheet.render().unwrap();
    let figure = figure::render(&report, &sheet).unwrap();
    assert!(figure.height() > pictures.height() + 300);
    // Below the pictures something of the colour of Mean was drawn.
    let is_blue = |i: usize| figure.plane(2)[i] > 0.8 && figure.plane(0)[i] < 0.2;
    assert!((pictures.height() * figure.width()..figure.plane(0).len()).any(is_blue));
}

#[test]
fn an_empty_comparison_has_forms_too() {
    let empty = Evaluation {
        m: vec![],
        best: vec![],
        mean: vec![],
        worst: vec![],
        std: f64::NAN,
        images: 0,
        metrics: BTreeMap::new(),
        by_image: Default::default(),
    };
    let comparison = Comparison {
        on: On::Test,
        images: 0,
        validation_images: 0,
        seeds: 0,
        a: String::new(),
        b: String::new(),
        chosen: Default::default(),
        trained_on: Vec::new(),
        reference: empty.clone(),
        policy: empty,
        by_image: Vec::new(),
        intervals: Default::default(),
    };
    let report = Report { changes: comparison.changes(), comparison, provenance: Provenance::default() };
    let page = html::page(&report, &Shown::default()).unwrap();
    assert!(!page.contains("NaN") && !page.contains("inf"));
    assert!(csv::table(&report).lines().count() == 5 && !latex::table(&report).contains("NaN"));
    assert!(!markdown::table(&report).contains("NaN"));
    assert_eq!(Format::Html.file_name(&report.comparison), "-to-.html");
}
