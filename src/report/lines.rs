//! Curves of several series as one SVG that stands alone: on a README's page, light or dark, or in a browser.

use std::fmt::Write;

use super::escape::escape;
use super::plot::{labelled_ticks, range};

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 380.0;
/// Room for the texts: left, right (the legend's), top, bottom.
const MARGINS: [f64; 4] = [64.0, 230.0, 34.0, 46.0];
const LEGEND_LINE: f64 = 18.0;
/// Okabe and Ito's colors, which people who see fewer tell apart.
const COLORS: [&str; 7] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#7f7f7f"];
/// Of one color: the first part or name, the second, the third.
const DASHES: [&str; 3] = ["none", "7 4", "2 3"];

/// A line through points in data units, ascending in x; with a band of ± the third value where that is not 0. Series of one
/// name share a color, those of one part a dash.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    pub name: String,
    /// What it is of those of its name, or nothing where it is the only one.
    pub part: &'static str,
    pub points: Vec<[f64; 3]>,
}

/// The drawing; `x_log2` draws x by its logarithm, with a tick at each value there is.
pub fn svg(title: &str, [x_label, y_label]: [&str; 2], series: &[Series], x_log2: bool) -> String {
    let [left, right, top, bottom] = MARGINS;
    let scaled = |x: f64| if x_log2 { x.max(1.0).log2() } else { x };
    let all = || series.iter().flat_map(|one| &one.points).filter(|point| point.iter().all(|v| v.is_finite()));
    let y = range(all().flat_map(|&[_, y, spread]| [y - spread, y + spread]));
    let [low, high] =
        all().map(|point| scaled(point[0])).fold([f64::INFINITY, f64::NEG_INFINITY], |[a, b], x| [a.min(x), b.max(x)]);
    let x = if low < high { [low, high] } else { [low.min(0.0), low.max(0.0) + 1.0] };
    let x = if x.iter().all(|v| v.is_finite()) { x } else { [0.0, 1.0] };
    let share = |value: f64, [low, high]: [f64; 2]| (value - low) / (high - low);
    let place = |at: f64, value: f64| {
        let (w, h) = (WIDTH - left - right, HEIGHT - top - bottom);
        [left + share(scaled(at), x) * w, HEIGHT - bottom - share(value, y) * h]
    };
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" \
         font-size=\"12\" role=\"img\"><title>{0}</title><rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#fff\"/>\
         <text x=\"{left}\" y=\"20\" font-size=\"14\" fill=\"#222\">{0}</text><g stroke=\"#ddd\" fill=\"none\">",
        escape(title)
    );
    // Writing to a string cannot fail.
    let mut texts = String::new();
    for (value, text) in labelled_ticks(y) {
        let [_, at] = place(0.0, value);
        let _ = write!(svg, "<path d=\"M{left} {at:.1}H{:.1}\"/>", WIDTH - right);
        let _ = write!(texts, "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{text}</text>", left - 7.0, at + 4.0);
    }
    let mut ticks: Vec<(f64, String)> = match x_log2 {
        true => all().map(|point| (point[0], format!("{}", point[0]))).collect(),
        false => labelled_ticks(x),
    };
    ticks.sort_by(|a, b| a.0.total_cmp(&b.0));
    ticks.dedup();
    for (value, text) in ticks {
        let [at, _] = place(value, y[0]);
        let _ = write!(svg, "<path d=\"M{at:.1} {top}V{:.1}\"/>", HEIGHT - bottom);
        let below = HEIGHT - bottom + 17.0;
        let _ = write!(texts, "<text x=\"{at:.1}\" y=\"{below:.1}\" text-anchor=\"middle\">{text}</text>");
    }
    svg.push_str("</g>");
    let names = distinct(series.iter().map(|one| one.name.as_str()));
    let parts = distinct(series.iter().map(|one| one.part));
    let style_of = |name: usize, part: usize| {
        let (color, dash) = (COLORS[name % COLORS.len()], DASHES[(name / COLORS.len() + part) % DASHES.len()]);
        (color, format!("stroke=\"{color}\" stroke-width=\"2\" stroke-dasharray=\"{dash}\" fill=\"none\""))
    };
    for one in series {
        let at = |of: &[&str], what: &str| of.iter().position(|known| *known == what).unwrap_or_default();
        let (color, style) = style_of(at(&names, &one.name), at(&parts, one.part));
        let points: Vec<&[f64; 3]> = one.points.iter().filter(|point| point.iter().all(|v| v.is_finite())).collect();
        let path = |points: &mut dyn Iterator<Item = [f64; 2]>| {
            points.map(|[x, y]| format!("{x:.1},{y:.1}")).collect::<Vec<_>>().join(" ")
        };
        if points.iter().any(|point| point[2] > 0.0) {
            let upper = points.iter().map(|p| place(p[0], p[1] + p[2]));
            let lower = points.iter().rev().map(|p| place(p[0], p[1] - p[2]));
            let band = path(&mut upper.chain(lower));
            let _ = write!(svg, "<polygon points=\"{band}\" fill=\"{color}\" opacity=\"0.12\"/>");
        }
        let line = path(&mut points.iter().map(|p| place(p[0], p[1])));
        let _ = write!(svg, "<polyline points=\"{line}\" {style}/>");
        for point in &points {
            let [x, y] = place(point[0], point[1]);
            let said = format!("{} {}: {:.4} at {}", one.part, escape(&one.name), point[1], point[0]);
            let said = said.trim_start();
            let _ = write!(
                svg,
                "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{color}\"><title>{said}</title></circle>"
            );
        }
    }
    // The legend: the colors' names, then, of several parts, their dashes.
    let styles = (0..names.len()).map(|name| style_of(name, 0).1);
    let dashes = (0..parts.len()).map(|part| style_of(0, part).1.replace(COLORS[0], "#222"));
    let entries = names.iter().zip(styles).chain(parts.iter().zip(dashes).filter(|_| parts.len() > 1));
    for (index, (said, style)) in entries.enumerate() {
        let (x, y) = (WIDTH - right + 14.0, top + 8.0 + index as f64 * LEGEND_LINE);
        let _ = write!(svg, "<path d=\"M{x:.1} {y:.1}h28\" {style}/>");
        let said: String = said.chars().take(28).collect();
        let _ = write!(texts, "<text x=\"{:.1}\" y=\"{:.1}\">{}</text>", x + 34.0, y + 4.0, escape(&said));
    }
    let (middle_x, middle_y) = ((left + WIDTH - right) / 2.0, (top + HEIGHT - bottom) / 2.0);
    let _ = writeln!(
        svg,
        "<g fill=\"#222\">{texts}<text x=\"{middle_x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>\
         <text x=\"16\" y=\"{middle_y:.1}\" text-anchor=\"middle\" transform=\"rotate(-90 16 {middle_y:.1})\">{}</text></g></svg>",
        HEIGHT - 8.0,
        escape(x_label),
        escape(y_label)
    );
    svg
}

/// What there is, each once, in the order it came.
pub fn distinct<'s>(all: impl Iterator<Item = &'s str>) -> Vec<&'s str> {
    let mut known = Vec::new();
    all.for_each(|one| {
        if !known.contains(&one) {
            known.push(one)
        }
    });
    known
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_series_is_drawn_within_the_frame_and_named() {
        let series = |name: &str, up: f64| Series {
            name: name.into(),
            part: "",
            points: vec![[0.0, 0.1 * up, 0.0], [15.0, 0.2 * up, 0.05], [30.0, f64::NAN, 0.0], [45.0, 0.4 * up, 0.0]],
        };
        let all = [series("ratio=1/4 <b>", 1.0), series("ratio=1/8", 2.0)];
        for x_log2 in [false, true] {
            let svg = svg("Reward", ["steps", "reward"], &all, x_log2);
            assert!(svg.contains("ratio=1/4 &lt;b&gt;") && svg.matches("<polyline").count() == 2, "{svg}");
            assert_eq!(svg.matches("<circle").count(), 6);
            assert!(svg.contains("<polygon") && !svg.contains("NaN") && !svg.contains("inf"));
        }
        // Parts of one name have its color and dashes of their own, and the legend has both once.
        let parts: Vec<Series> =
            ["Mean@m", "Best@m"].into_iter().flat_map(|part| all.clone().map(|one| Series { part, ..one })).collect();
        let svg = svg("Reward", ["seeds m", "reward"], &parts, true);
        assert_eq!((svg.matches(">ratio=1/8<").count(), svg.matches(">Best@m<").count()), (1, 1), "{svg}");
        assert_eq!(svg.matches(&format!("stroke=\"{}\"", COLORS[1])).count(), 3);
        // Nothing to draw is no reason to fail.
        assert!(!super::svg("", ["", ""], &[], false).contains("NaN"));
    }
}
