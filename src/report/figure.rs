//! The figure: the image sheet, and below it the curves and the scatter, drawn.

use super::Report;
use super::plot::{Plot, Tone, curves, scatter};
use crate::Result;
use crate::imaging::Image;
use crate::imaging::canvas::{Canvas, Color, Letters};
use crate::imaging::sheet::{BACKGROUND, INK, LINE, MUTED, Sheet};

/// Colours of Best, Mean and Worst on the sheet's ground.
const BEST: Color = [0.047, 0.541, 0.357];
const MEAN: Color = [0.122, 0.384, 0.859];
const WORST: Color = [0.753, 0.416, 0.0];
const FELL: Color = [0.808, 0.251, 0.204];

const MARGIN_PX: usize = 32;
const PANEL_PX: usize = 420;
/// The narrowest figure in which both plots can be read.
const MIN_WIDTH_PX: usize = 2 * PANEL_PX;
const TEXT_PX: f32 = 16.0;
const TITLE_PX: f32 = 20.0;

/// Draws it: `sheet` with its rows of pictures, then the plots in its width.
pub fn render(report: &Report, sheet: &Sheet) -> Result<Image> {
    let pictures = sheet.render()?;
    let letters = Letters::new()?;
    let width = pictures.width().max(MIN_WIDTH_PX);
    let height = pictures.height() + PANEL_PX + MARGIN_PX;
    let mut canvas = Canvas::new(width, height, BACKGROUND, letters.clone());
    canvas.image(0, 0, &pictures);
    let panel = ((width - 3 * MARGIN_PX) / 2).min(PANEL_PX * 2);
    let comparison = &report.comparison;
    let pen = Pen { letters: &letters, top: pictures.height(), width: panel };
    pen.plot(&mut canvas, &curves(comparison), MARGIN_PX);
    pen.legend(&mut canvas, [&comparison.a, &comparison.b], MARGIN_PX);
    pen.plot(&mut canvas, &scatter(report), 2 * MARGIN_PX + panel);
    canvas.into_image()
}

/// Where the plots go.
struct Pen<'a> {
    letters: &'a Letters,
    /// Upper edge of the panels.
    top: usize,
    /// Width of a panel.
    width: usize,
}

impl Pen<'_> {
    fn plot(&self, canvas: &mut Canvas, plot: &Plot, left: usize) {
        let (x0, x1) = (left as f32 + 64.0, (left + self.width) as f32);
        let (y0, y1) = (self.top as f32 + 76.0, (self.top + PANEL_PX) as f32 - 58.0);
        let at = |point: [f64; 2]| {
            let [x, y] = plot.place(point).map(|share| share as f32);
            [x0 + x * (x1 - x0), y1 - y * (y1 - y0)]
        };
        let title = self.letters.fit(&plot.title, TITLE_PX, self.width as f32);
        canvas.text(left as f32, self.top as f32 + 22.0, &title, TITLE_PX, INK);
        for (value, text) in &plot.x_ticks {
            let [x, _] = at([*value, plot.y[0]]);
            canvas.line([x, y0], [x, y1], 1.0, LINE);
            canvas.text(x - self.letters.width(text, TEXT_PX) * 0.5, y1 + 20.0, text, TEXT_PX, MUTED);
        }
        for (value, text) in &plot.y_ticks {
            let [_, y] = at([plot.x[0], *value]);
            canvas.line([x0, y], [x1, y], 1.0, LINE);
            canvas.text(x0 - 8.0 - self.letters.width(text, TEXT_PX), y + 5.0, text, TEXT_PX, MUTED);
        }
        let x_label = self.letters.fit(&plot.x_label, TEXT_PX, x1 - x0);
        let middle = (x0 + x1 - self.letters.width(&x_label, TEXT_PX)) * 0.5;
        canvas.text(middle, y1 + 46.0, &x_label, TEXT_PX, MUTED);
        // Upright, above the axis: the canvas turns no letters.
        let y_label = self.letters.fit(&plot.y_label, TEXT_PX, self.width as f32);
        canvas.text(left as f32, y0 - 14.0, &y_label, TEXT_PX, MUTED);
        if plot.has_diagonal {
            dashed(canvas, at([plot.x[0], plot.y[0]]), at([plot.x[1], plot.y[1]]), 1.0, MUTED);
        }
        for &point in &plot.points {
            canvas.dot(at(point), 3.0, if point[1] >= point[0] { BEST } else { FELL });
        }
        for line in &plot.lines {
            let color = color_of(line.tone);
            for ends in line.points.windows(2) {
                let (from, to) = (at(ends[0]), at(ends[1]));
                match line.is_before {
                    true => dashed(canvas, from, to, 1.5, color),
                    false => canvas.line(from, to, 2.5, color),
                }
            }
            for &point in &line.points {
                canvas.dot(at(point), if line.is_before { 2.5 } else { 3.5 }, color);
            }
        }
    }

    fn legend(&self, canvas: &mut Canvas, names: [&str; 2], left: usize) {
        let y = self.top as f32 + 48.0;
        let mut x = left as f32 + 80.0;
        for tone in [Tone::Best, Tone::Mean, Tone::Worst] {
            canvas.line([x, y - 5.0], [x + 24.0, y - 5.0], 2.5, color_of(tone));
            canvas.text(x + 30.0, y, tone.title(), TEXT_PX, MUTED);
            x += 46.0 + self.letters.width(tone.title(), TEXT_PX);
        }
        let room = ((left + self.width) as f32 - x) * 0.5 - 46.0;
        for (name, is_before) in names.into_iter().zip([true, false]) {
            let name = self.letters.fit(name, TEXT_PX, room);
            match is_before {
                true => dashed(canvas, [x, y - 5.0], [x + 24.0, y - 5.0], 1.5, INK),
                false => canvas.line([x, y - 5.0], [x + 24.0, y - 5.0], 2.5, INK),
            }
            canvas.text(x + 30.0, y, &name, TEXT_PX, MUTED);
            x += 46.0 + self.letters.width(&name, TEXT_PX);
        }
    }
}

fn color_of(tone: Tone) -> Color {
    match tone {
        Tone::Best => BEST,
        Tone::Mean => MEAN,
        Tone::Worst => WORST,
    }
}

/// A line of dashes of 7 px, 5 px apart.
fn dashed(canvas: &mut Canvas, from: [f32; 2], to: [f32; 2], width: f32, color: Color) {
    let [dx, dy] = [to[0] - from[0], to[1] - from[1]];
    let length = dx.hypot(dy);
    if !length.is_finite() || length <= 0.0 {
        return;
    }
    let at = |along: f32| [from[0] + dx * along / length, from[1] + dy * along / length];
    let dashes = (length / 12.0).ceil() as usize;
    for dash in 0..dashes {
        let begin = dash as f32 * 12.0;
        canvas.line(at(begin), at((begin + 7.0).min(length)), width, color);
    }
}
