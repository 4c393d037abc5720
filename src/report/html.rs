//! The whole report as one HTML page that needs nothing from anywhere: style, curves and pictures are inside.
//!
//! There is no script in it, so that it opens in a mail client too. Everything a user named is escaped.

use std::fmt::Write;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use super::escape::escape;
use super::plot::{Tone, curves, scatter};
use super::rows::{Kind, Row, Side, number, rows, signed, with_spread};
use super::{Pictures, Report, Shown, blind, svg};
use crate::Result;
use crate::imaging::Image;
use crate::imaging::encode::{jpeg_bytes, png_bytes};
use crate::imaging::resize::{Filter, resize};
use crate::method::evaluation::in_sigma;
use crate::method::notes::Note;

/// Pictures up to this side are embedded as they are, lossless.
const LOSSLESS_PX: usize = 512;
/// Larger ones are shrunk to this side.
const SHRUNK_PX: usize = 960;
/// JPEG quality of the larger ones.
const QUALITY: u8 = 92;

/// The page.
pub fn page(report: &Report, shown: &Shown) -> Result<String> {
    let comparison = &report.comparison;
    let (a, b) = (escape(&comparison.a), escape(&comparison.b));
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta name=\"color-scheme\" content=\"light dark\"><title>{a} → {b}</title><style>{STYLE}</style></head><body><main>"
    );
    head(&mut page, report);
    put(&mut page, format_args!("<section><h2>Scores</h2>{}</section>", table(report)));
    put(
        &mut page,
        format_args!(
            "<section><h2>Curves</h2>{}<div class=\"plots\"><figure>{}<figcaption>Best, Mean and Worst of m seeds, \
             averaged over {}</figcaption></figure><figure>{}<figcaption>{}: above the \
             line is better than before</figcaption></figure></div></section>",
            legend(&a, &b),
            svg::plot(&curves(comparison)),
            comparison.on.count(comparison.reference.images),
            svg::plot(&scatter(report)),
            escape(&scatter(report).title),
        ),
    );
    for (title, text, pictures) in [
        ("Most improved", "The candidates whose reward rose most, at the same LR image and seed.", &shown.improved),
        (
            "Most worsened",
            "The candidates whose reward fell most. A report that hid them would be advertising.",
            &shown.worsened,
        ),
    ] {
        if !pictures.is_empty() {
            put(&mut page, format_args!("<section><h2>{title}</h2><p class=\"weak\">{text}</p>"));
            for shown in pictures {
                candidate(&mut page, report, shown)?;
            }
            page.push_str("</section>");
        }
    }
    provenance(&mut page, report);
    blind::section(&mut page, report, &shown.blind)?;
    page.push_str("</main></body></html>\n");
    Ok(page)
}

fn head(page: &mut String, report: &Report) {
    let comparison = &report.comparison;
    let (a, b) = (&comparison.reference, &comparison.policy);
    let tile = |place: usize, name: &str, before: f64, after: f64| {
        let interval = comparison.intervals.rewards[place];
        let is_real = interval.is_some_and(|interval| interval.is_real());
        let (tone, gain) = (tone_of(after - before), in_sigma(after - before, a.std).replace('-', "−"));
        let tone = if is_real { tone } else { "weak" };
        let ends = interval.map_or(String::new(), |interval| format!(" {}", interval.in_units_of(a.std)));
        format!(
            "<div class=\"tile\"><h3>{name}@{}</h3><p><b>{}</b><i>→</i><b>{}</b></p><span class=\"{tone}\">{gain}{ends}</span></div>",
            comparison.seeds,
            number(before),
            number(after)
        )
    };
    let improved = report.changes.iter().filter(|change| change.gain() > 0.0).count();
    put(
        page,
        format_args!(
            "<header><p class=\"weak\">DP²O comparison</p><h1>{} <i>→</i> {}</h1><p class=\"weak\">{} × {} seeds; \
             {improved} of {} candidates improved.</p>{}<div class=\"tiles\">{}{}{}</div></header>",
            escape(&comparison.a),
            escape(&comparison.b),
            comparison.on.count(comparison.images),
            comparison.seeds,
            report.changes.len(),
            notes(report),
            tile(0, "Best", a.best_reward(), b.best_reward()),
            tile(1, "Mean", a.mean_reward(), b.mean_reward()),
            tile(2, "Worst", a.worst_reward(), b.worst_reward()),
        ),
    );
}

/// What has to be known of the figures, the warnings in the colour of what got worse.
fn notes(report: &Report) -> String {
    let line = |note: &Note| {
        let tone = if note.is_warning { "bad" } else { "weak" };
        format!("<p class=\"{tone}\">{}</p>", escape(&note.to_string()))
    };
    report.comparison.notes().iter().map(line).collect()
}

fn table(report: &Report) -> String {
    let comparison = &report.comparison;
    let mut text = format!(
        "<div class=\"scroll\"><table><thead><tr><th>Metric</th><th></th><th class=\"n\">{}</th><th class=\"n\">{}</th>\
         <th class=\"n\">Change</th><th class=\"n\">in σ</th><th class=\"n\">95 %</th></tr></thead>",
        escape(&comparison.a),
        escape(&comparison.b)
    );
    let rows = rows(comparison);
    for kind in [Kind::Reward, Kind::Trained, Kind::HeldOut] {
        text.push_str("<tbody>");
        for row in rows.iter().filter(|row| row.kind == kind) {
            text.push_str(&table_row(row));
        }
        text.push_str("</tbody>");
    }
    text.push_str(&format!(
        "</table></div><p class=\"weak\">Mean ± standard deviation over the seeds of an image, averaged over images. σ is the \
         spread over seeds before. 95 %: interval of the change in σ over {}; bold and colour where it excludes zero and \
         there are six photographs. Held-out metrics were never trained on.</p>",
        comparison.photographs_in_words()
    ));
    text
}

fn table_row(row: &Row) -> String {
    let cell = |side: Side| {
        let text = with_spread(if side == Side::A { row.a } else { row.b });
        if row.better() == Some(side) { format!("<b>{text}</b>") } else { text }
    };
    let tone = match row.better() {
        Some(Side::B) => "good",
        Some(Side::A) => "bad",
        None => "",
    };
    let sigma = row.change_in_sigma().map_or("–".into(), |sigma| format!("{sigma:+.2}").replace('-', "−"));
    format!(
        "<tr><th>{} <span class=\"weak\">{}{}</span></th><td><span class=\"kind {}\">{}</span></td><td class=\"n\">{}</td>\
         <td class=\"n\">{}</td><td class=\"n {tone}\">{}</td><td class=\"n {tone}\">{sigma}</td><td class=\"n\">{}</td></tr>",
        escape(&row.name),
        row.direction.arrow(),
        row.mark,
        if row.kind == Kind::HeldOut { "held" } else { "" },
        row.kind.title(),
        cell(Side::A),
        cell(Side::B),
        signed(row.change(), row.a.mean),
        row.interval_in_sigma(),
    )
}

fn legend(a: &str, b: &str) -> String {
    let tone = |tone: Tone| {
        format!(
            "<span><svg viewBox=\"0 0 22 8\"><line class=\"{}\" x1=\"1\" x2=\"21\" y1=\"4\" y2=\"4\"/></svg>{}</span>",
            svg::tone_class(tone),
            tone.title()
        )
    };
    let side = |class: &str, name: &str| {
        format!(
            "<span><svg viewBox=\"0 0 22 8\"><line class=\"{class} ink\" x1=\"1\" x2=\"21\" y1=\"4\" y2=\"4\"/></svg>{name}</span>"
        )
    };
    format!(
        "<div class=\"legend\">{}{}{}{}{}</div>",
        tone(Tone::Best),
        tone(Tone::Mean),
        tone(Tone::Worst),
        side("before", a),
        side("after", b)
    )
}

fn candidate(page: &mut String, report: &Report, shown: &Pictures) -> Result<()> {
    let comparison = &report.comparison;
    let change = shown.change;
    let name = comparison.by_image.get(change.image).map_or("", |image| image.name.as_str());
    let seed = report.provenance.seeds.get(change.seed).copied().unwrap_or(change.seed as u64);
    put(
        page,
        format_args!(
            "<article><h3>{} <span class=\"weak\">seed {seed}</span><span class=\"{}\">{}</span></h3><div class=\"pictures\">",
            escape(name),
            tone_of(change.gain()),
            signed(change.gain(), 1.0)
        ),
    );
    let before = format!("{} · R {}", escape(&comparison.a), number(change.before));
    let after = format!("{} · R {}", escape(&comparison.b), number(change.after));
    picture(page, &shown.lr, "LR", true)?;
    if let Some(hr) = &shown.hr {
        picture(page, hr, "HR", false)?;
    }
    picture(page, &shown.before, &before, false)?;
    picture(page, &shown.after, &after, false)?;
    page.push_str("</div></article>");
    Ok(())
}

pub(super) fn picture(page: &mut String, image: &Image, caption: &str, is_lr: bool) -> Result<()> {
    let (width, height) = (image.width(), image.height());
    let longest = width.max(height);
    let (kind, bytes, note) = if longest <= LOSSLESS_PX {
        ("png", png_bytes(image)?, String::new())
    } else {
        let side = |n: usize| (n * SHRUNK_PX.min(longest) / longest).max(1);
        let small = resize(image, side(width), side(height), Filter::Area)?;
        ("jpeg", jpeg_bytes(&small, QUALITY)?, format!(" (shrunk from {width}×{height})"))
    };
    let class = if is_lr { " class=\"lr\"" } else { "" };
    put(
        page,
        format_args!(
            "<figure><img{class} alt=\"{caption}\" width=\"{width}\" height=\"{height}\" src=\"data:image/{kind};base64,{}\">\
             <figcaption>{caption}{note}</figcaption></figure>",
            BASE64_STANDARD.encode(&bytes)
        ),
    );
    Ok(())
}

fn provenance(page: &mut String, report: &Report) {
    let p = &report.provenance;
    let seeds: Vec<String> = p.seeds.iter().map(u64::to_string).collect();
    let facts = [
        ("Program", escape(&p.program)),
        ("Made", date(p.made_at_secs)),
        ("Workspace", escape(&p.workspace)),
        ("Backbone", escape(&p.backbone)),
        ("Sampler", escape(&p.sampler)),
        ("Computed on", escape(&p.device)),
        ("Weights before", format!("<code>{}</code>", escape(&p.weights[0]))),
        ("Weights after", format!("<code>{}</code>", escape(&p.weights[1]))),
        ("Seeds", seeds.join(" ")),
    ];
    page.push_str("<section><h2>Provenance</h2><dl>");
    for (name, value) in facts {
        put(page, format_args!("<dt>{name}</dt><dd>{value}</dd>"));
    }
    page.push_str(
        "</dl><h3>Metrics</h3><div class=\"scroll\"><table><thead><tr><th>Metric</th><th>Definition</th><th>Weights</th>\
         <th>Pixels</th><th class=\"n\">Reward bounds</th></tr></thead><tbody>",
    );
    for metric in &p.metrics {
        let bounds = metric.bounds.map_or("–".into(), |[low, high]| format!("{} … {}", number(low), number(high)));
        put(
            page,
            format_args!(
                "<tr><th>{}</th><td>{}</td><td><code>{}</code></td><td>{}</td><td class=\"n\">{bounds}</td></tr>",
                escape(&metric.key.metric),
                escape(&metric.key.version),
                escape(&metric.key.weights_hash),
                escape(&metric.key.crop_policy)
            ),
        );
    }
    put(
        page,
        format_args!(
            "</tbody></table></div><details><summary>Recipe</summary><pre>{}</pre></details></section>",
            escape(&p.recipe)
        ),
    );
}

fn tone_of(gain: f64) -> &'static str {
    match gain {
        g if g > 0.0 => "good",
        g if g < 0.0 => "bad",
        _ => "weak",
    }
}

/// Seconds since 1970 as a date, UTC.
fn date(secs: u64) -> String {
    let at = i64::try_from(secs).ok().and_then(|secs| jiff::Timestamp::from_second(secs).ok());
    at.map_or_else(String::new, |at| at.strftime("%Y-%m-%d %H:%M UTC").to_string())
}

/// Writing to a string cannot fail.
pub(super) fn put(page: &mut String, text: std::fmt::Arguments<'_>) {
    let _ = page.write_fmt(text);
}

const STYLE: &str = include_str!("style.css");
