//! Plots as SVG that takes its colours from the page around it: classes, no colour of its own.

use std::fmt::Write;

use super::escape::escape;
use super::plot::{Plot, Tone};

const WIDTH: f64 = 460.0;
const HEIGHT: f64 = 340.0;
/// Room for the texts: left, right, top, bottom.
const MARGINS: [f64; 4] = [58.0, 14.0, 12.0, 44.0];

/// An `svg` element.
pub fn plot(plot: &Plot) -> String {
    let [left, right, top, bottom] = MARGINS;
    let at = |point: [f64; 2]| {
        let [x, y] = plot.place(point);
        [left + x * (WIDTH - left - right), HEIGHT - bottom - y * (HEIGHT - top - bottom)]
    };
    let mut svg = format!(
        "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\"><g class=\"grid\">",
        escape(&plot.title)
    );
    // Writing to a string cannot fail.
    let put = |svg: &mut String, text: std::fmt::Arguments<'_>| {
        let _ = svg.write_fmt(text);
    };
    for (value, text) in &plot.x_ticks {
        let [x, _] = at([*value, plot.y[0]]);
        let (y0, y1) = (top, HEIGHT - bottom);
        put(&mut svg, format_args!("<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{y0}\" y2=\"{y1}\"/>"));
        put(&mut svg, format_args!("<text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{text}</text>", y1 + 16.0));
    }
    for (value, text) in &plot.y_ticks {
        let [_, y] = at([plot.x[0], *value]);
        let (x0, x1) = (left, WIDTH - right);
        put(&mut svg, format_args!("<line x1=\"{x0}\" x2=\"{x1}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>"));
        let x = x0 - 7.0;
        put(&mut svg, format_args!("<text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"end\">{text}</text>", y + 4.0));
    }
    svg.push_str("</g>");
    if plot.has_diagonal {
        let [a, b] = [[plot.x[0], plot.y[0]], [plot.x[1], plot.y[1]]].map(at);
        put(
            &mut svg,
            format_args!(
                "<line class=\"even\" x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\"/>",
                a[0], a[1], b[0], b[1]
            ),
        );
    }
    svg.push_str("<g class=\"points\">");
    for &point in &plot.points {
        let [x, y] = at(point);
        let side = if point[1] >= point[0] { "up" } else { "down" };
        put(&mut svg, format_args!("<circle class=\"{side}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2.6\"/>"));
    }
    svg.push_str("</g>");
    for line in &plot.lines {
        let side = if line.is_before { "before" } else { "after" };
        let tone = tone_class(line.tone);
        let points: Vec<String> = line.points.iter().map(|&p| at(p)).map(|[x, y]| format!("{x:.1},{y:.1}")).collect();
        put(&mut svg, format_args!("<polyline class=\"{tone} {side}\" points=\"{}\"/>", points.join(" ")));
        for &point in &line.points {
            let [x, y] = at(point);
            put(
                &mut svg,
                format_args!(
                    "<circle class=\"{tone} {side}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\"><title>{} of {}: {:.4}</title></circle>",
                    line.tone.title(),
                    2f64.powf(point[0]).round(),
                    point[1]
                ),
            );
        }
    }
    let (x, y) = ((left + WIDTH - right) * 0.5, (top + HEIGHT - bottom) * 0.5);
    put(
        &mut svg,
        format_args!(
            "<text class=\"axis\" x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            HEIGHT - 8.0,
            escape(&plot.x_label)
        ),
    );
    put(
        &mut svg,
        format_args!(
            "<text class=\"axis\" x=\"14\" y=\"{y:.1}\" text-anchor=\"middle\" transform=\"rotate(-90 14 {y:.1})\">{}</text>",
            escape(&plot.y_label)
        ),
    );
    svg.push_str("</svg>");
    svg
}

/// Name of a tone in the page's style sheet.
pub fn tone_class(tone: Tone) -> &'static str {
    match tone {
        Tone::Best => "best",
        Tone::Mean => "mean",
        Tone::Worst => "worst",
    }
}
