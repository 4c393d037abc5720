//! Curves brought into the form that is drawn: smoothed, and thinned to what the screen can show. Both are kept until
//! what they follow from changes.

use egui_plot::PlotPoint;

/// A curve as drawn.
#[derive(Debug, Default)]
pub struct Series {
    made_of: Option<(u64, u32, bool)>,
    /// Smoothed, on the scale drawn; without what is not finite.
    points: Vec<[f64; 2]>,
    /// Steps whose value is NaN or infinite: marked, never left out in silence.
    pub broken: Vec<f64>,
    thinned_for: Option<([f64; 2], usize)>,
    /// What is drawn.
    pub thinned: Vec<PlotPoint>,
}

impl Series {
    /// Takes values of a version, smoothed by a weight in [0, 1), on a decadic logarithm if asked.
    pub fn update(&mut self, version: u64, smoothing: f32, is_log: bool, values: impl FnOnce() -> Vec<[f64; 2]>) {
        let made_of = Some((version, smoothing.to_bits(), is_log));
        if self.made_of == made_of {
            return;
        }
        self.made_of = made_of;
        self.thinned_for = None;
        let values = values();
        self.broken = values.iter().filter(|v| !v[1].is_finite()).map(|v| v[0]).collect();
        self.points = smoothed(values.into_iter().filter(|v| v[1].is_finite()), f64::from(smoothing));
        if is_log {
            self.points.retain(|v| v[1] > 0.0);
            self.points.iter_mut().for_each(|v| v[1] = v[1].log10());
        }
    }

    /// Thins the part within a range of steps to about two points for each of `columns`.
    pub fn thin(&mut self, range: [f64; 2], columns: usize) {
        if self.thinned_for == Some((range, columns)) {
            return;
        }
        self.thinned_for = Some((range, columns));
        self.thinned = thinned(&self.points, range, columns);
    }

    /// The value at a step or the one before it.
    pub fn at(&self, step: f64) -> Option<f64> {
        let after = self.points.partition_point(|v| v[0] <= step);
        self.points.get(after.checked_sub(1)?).map(|v| v[1])
    }
}

/// Exponential moving average with the start's bias taken out (as Adam does, arXiv 1412.6980 §3).
fn smoothed(values: impl Iterator<Item = [f64; 2]>, weight: f64) -> Vec<[f64; 2]> {
    let (mut sum, mut total) = (0.0, 0.0);
    let next = |[step, value]: [f64; 2]| {
        sum = weight * sum + (1.0 - weight) * value;
        total = weight * total + (1.0 - weight);
        [step, sum / total]
    };
    values.map(next).collect()
}

/// The smallest and the largest value of each column, in their order, so that no peak is lost.
fn thinned(points: &[[f64; 2]], [from, to]: [f64; 2], columns: usize) -> Vec<PlotPoint> {
    let first = points.partition_point(|v| v[0] < from).saturating_sub(1);
    let last = (points.partition_point(|v| v[0] <= to) + 1).min(points.len());
    let part = points.get(first..last).unwrap_or_default();
    let point = |v: &[f64; 2]| PlotPoint::new(v[0], v[1]);
    if part.len() <= 2 * columns.max(1) {
        return part.iter().map(point).collect();
    }
    let mut thin = Vec::with_capacity(2 * columns);
    for column in part.chunks(part.len().div_ceil(columns)) {
        let by = |a: &&[f64; 2], b: &&[f64; 2]| a[1].total_cmp(&b[1]);
        let (Some(low), Some(high)) = (column.iter().min_by(by), column.iter().max_by(by)) else { continue };
        let (one, two) = if low[0] <= high[0] { (low, high) } else { (high, low) };
        thin.push(point(one));
        if one[0] != two[0] {
            thin.push(point(two));
        }
    }
    thin
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wave(n: usize) -> Vec<[f64; 2]> {
        (0..n).map(|i| [i as f64, (i as f64 * 0.01).sin()]).collect()
    }

    #[test]
    fn thinning_keeps_every_peak_and_the_order() {
        let mut values = wave(20_000);
        values[12_345][1] = 9.0;
        values[777][1] = -9.0;
        let mut series = Series::default();
        series.update(1, 0.0, false, || values);
        series.thin([0.0, 20_000.0], 500);
        let ys = || series.thinned.iter().map(|p| p.y);
        assert!(series.thinned.len() <= 1000);
        assert_eq!((ys().fold(0.0, f64::max), ys().fold(0.0, f64::min)), (9.0, -9.0));
        assert!(series.thinned.is_sorted_by(|a, b| a.x <= b.x));
        series.thin([100.0, 110.0], 500);
        assert_eq!(series.thinned.len(), 13);
        assert_eq!(series.at(777.4), Some(-9.0));
        assert_eq!(series.at(-1.0), None);
    }

    #[test]
    fn what_is_not_finite_is_marked_and_smoothing_goes_on() {
        let mut series = Series::default();
        series.update(1, 0.9, false, || vec![[1.0, 2.0], [2.0, f64::NAN], [3.0, f64::INFINITY], [4.0, 2.0]]);
        series.thin([0.0, 5.0], 10);
        assert_eq!(series.broken, [2.0, 3.0]);
        assert_eq!(series.thinned.len(), 2);
        // The start is not drawn towards zero.
        assert!(series.thinned.iter().all(|p| (p.y - 2.0).abs() < 1e-12));
    }

    #[test]
    fn a_logarithm_leaves_out_what_has_none() {
        let mut series = Series::default();
        series.update(1, 0.0, true, || vec![[1.0, 100.0], [2.0, 0.0], [3.0, 0.01]]);
        series.thin([0.0, 5.0], 10);
        let ys: Vec<f64> = series.thinned.iter().map(|p| p.y).collect();
        assert_eq!(ys, [2.0, -2.0]);
    }

    #[test]
    fn nothing_is_done_twice_for_the_same_version() {
        let mut series = Series::default();
        series.update(3, 0.5, false, || wave(10));
        series.update(3, 0.5, false, || unreachable!("known already"));
        series.update(4, 0.5, false, || wave(20));
        series.thin([0.0, 100.0], 100);
        assert_eq!(series.thinned.len(), 20);
    }
}
