//! What the two plots of a report show, in data units; [`super::svg`] and [`super::figure`] put it on paper.

use super::Report;
use crate::method::evaluation::{Comparison, Evaluation};

/// What a line or the like stands for; the drawing chooses its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    Best,
    Mean,
    Worst,
}

impl Tone {
    /// Its name.
    pub fn title(self) -> &'static str {
        match self {
            Tone::Best => "Best",
            Tone::Mean => "Mean",
            Tone::Worst => "Worst",
        }
    }
}

/// A line through points.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    pub tone: Tone,
    /// Of the checkpoint before.
    pub is_before: bool,
    pub points: Vec<[f64; 2]>,
}

/// A plot in data units.
#[derive(Clone, Debug, PartialEq)]
pub struct Plot {
    pub title: String,
    pub x_label: String,
    pub y_label: String,
    /// Where the axes begin and end.
    pub x: [f64; 2],
    pub y: [f64; 2],
    /// Places and texts of the grid lines.
    pub x_ticks: Vec<(f64, String)>,
    pub y_ticks: Vec<(f64, String)>,
    pub lines: Vec<Line>,
    pub points: Vec<[f64; 2]>,
    /// The line where before equals after.
    pub has_diagonal: bool,
}

impl Plot {
    /// A point as shares of the width and of the height, (0, 0) at the bottom left.
    pub fn place(&self, [x, y]: [f64; 2]) -> [f64; 2] {
        let share = |value: f64, [low, high]: [f64; 2]| (value - low) / (high - low);
        [share(x, self.x), share(y, self.y)]
    }
}

/// Best@m, Mean@m, Worst@m over m, both sides.
pub fn curves(comparison: &Comparison) -> Plot {
    let line = |evaluation: &Evaluation, tone: Tone, is_before: bool| {
        let values = match tone {
            Tone::Best => &evaluation.best,
            Tone::Mean => &evaluation.mean,
            Tone::Worst => &evaluation.worst,
        };
        let points = evaluation.m.iter().zip(values).map(|(&m, &value)| [(m.max(1) as f64).log2(), value]);
        Line { tone, is_before, points: points.filter(|p| p[1].is_finite()).collect() }
    };
    let tones = [Tone::Best, Tone::Mean, Tone::Worst];
    let sides = [(&comparison.reference, true), (&comparison.policy, false)];
    let lines: Vec<Line> = sides.iter().flat_map(|&(e, before)| tones.map(|tone| line(e, tone, before))).collect();
    let y = range(lines.iter().flat_map(|line| line.points.iter().map(|p| p[1])));
    let m = &comparison.reference.m;
    let last = m.last().map_or(0.0, |&m| (m.max(1) as f64).log2());
    Plot {
        title: format!("Best, Mean and Worst of m seeds{}", comparison.of_images(comparison.reference.images)),
        x_label: "seeds m".into(),
        y_label: "reward".into(),
        x: [0.0, if last > 0.0 { last } else { 1.0 }],
        y,
        x_ticks: m.iter().map(|&m| ((m.max(1) as f64).log2(), m.to_string())).collect(),
        y_ticks: labelled_ticks(y),
        lines,
        points: Vec::new(),
        has_diagonal: false,
    }
}

/// Points drawn at most: more would hide each other.
const POINTS: usize = 4000;

/// The reward of every candidate, after over before.
pub fn scatter(report: &Report) -> Plot {
    let changes = &report.changes;
    let every = changes.len().div_ceil(POINTS).max(1);
    let points: Vec<[f64; 2]> = changes.iter().step_by(every).map(|change| [change.before, change.after]).collect();
    let both = range(points.iter().flatten().copied());
    let drawn = if every > 1 { format!(", every {every}th of {}", changes.len()) } else { String::new() };
    Plot {
        title: format!("Each image and seed{drawn}"),
        x_label: format!("reward of {}", report.comparison.a),
        y_label: format!("reward of {}", report.comparison.b),
        x: both,
        y: both,
        x_ticks: labelled_ticks(both),
        y_ticks: labelled_ticks(both),
        lines: Vec::new(),
        points,
        has_diagonal: true,
    }
}

/// The range of values with some room around; [0, 1] where there are none.
pub(super) fn range(values: impl Iterator<Item = f64>) -> [f64; 2] {
    let [low, high] = values
        .filter(|v| v.is_finite())
        .fold([f64::INFINITY, f64::NEG_INFINITY], |[low, high], v| [low.min(v), high.max(v)]);
    if low > high {
        return [0.0, 1.0];
    }
    let room = ((high - low) * 0.06).max(1e-3);
    [low - room, high + room]
}

/// Round numbers within a range, about five.
pub(super) fn labelled_ticks(range: [f64; 2]) -> Vec<(f64, String)> {
    let (step, all) = ticks(range, 5.0);
    let decimals = (-step.log10().floor()).clamp(0.0, 6.0) as usize;
    all.into_iter().map(|at| (at, format!("{at:.decimals$}"))).collect()
}

/// Round values within a range, about `count` of them, and the step from one to the next.
pub fn ticks([low, high]: [f64; 2], count: f64) -> (f64, Vec<f64>) {
    let rough = (high - low) / count;
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|n| n * power).into_iter().find(|step| *step >= rough).unwrap_or(rough);
    if !(step.is_finite() && step > 0.0) {
        return (step, Vec::new());
    }
    let (first, last) = ((low / step).ceil() as i64, (high / step).floor() as i64);
    (step, (first..=last).map(|n| n as f64 * step).collect())
}
