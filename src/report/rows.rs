//! The table of a comparison, the same in every form: rewards, then metrics trained on, then metrics held out.

use crate::iqa::Direction;
use crate::method::evaluation::{Comparison, MetricReport};
use crate::method::intervals::Interval;

/// What a row is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Best, Mean, Worst@M of the reward.
    Reward,
    /// A metric the reward is made of.
    Trained,
    /// A metric never trained on.
    HeldOut,
}

impl Kind {
    /// Its name.
    pub fn title(self) -> &'static str {
        match self {
            Kind::Reward => "reward",
            Kind::Trained => "trained",
            Kind::HeldOut => "held out",
        }
    }
}

/// A mean and its spread.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Figure {
    /// Over seeds, averaged over images; NaN where there is none.
    pub mean: f64,
    /// Standard deviation over the seeds of an image, averaged over images; `None` where it means nothing.
    pub std: Option<f64>,
}

/// Which checkpoint of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    A,
    B,
}

/// A row of the table.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    pub name: String,
    pub kind: Kind,
    pub direction: Direction,
    /// Before.
    pub a: Figure,
    /// After.
    pub b: Figure,
    /// Images that both sides are averaged over.
    pub images: usize,
    /// How it is marked where others are of more images, such as " (of 1)"; else empty.
    pub mark: String,
    /// What of the change chance may explain; `None` with fewer than two photographs.
    pub interval: Option<Interval>,
    /// What a change is measured against: σ over seeds before.
    sigma: f64,
}

impl Row {
    /// The better side beyond noise: the one that is ahead where the interval of the change excludes zero.
    pub fn better(&self) -> Option<Side> {
        self.ahead().filter(|_| self.interval.is_some_and(|interval| interval.is_real()))
    }

    /// The side that is ahead, be it by chance; `None` where they are equal, one is absent, or neither more nor less is better.
    pub fn ahead(&self) -> Option<Side> {
        if self.direction == Direction::Neither {
            return None;
        }
        let [a, b] = [self.a.mean, self.b.mean].map(|mean| self.direction.align(mean));
        match b.partial_cmp(&a)? {
            std::cmp::Ordering::Greater => Some(Side::B),
            std::cmp::Ordering::Less => Some(Side::A),
            std::cmp::Ordering::Equal => None,
        }
    }

    /// After − before, in the metric's own unit; NaN where one is absent.
    pub fn change(&self) -> f64 {
        self.b.mean - self.a.mean
    }

    /// The change in units of σ over seeds before; `None` without a spread.
    pub fn change_in_sigma(&self) -> Option<f64> {
        let change = self.in_sigma(self.change());
        change.is_finite().then_some(change)
    }

    /// Some change of the figure in units of σ over seeds before; not finite without a spread.
    pub fn in_sigma(&self, change: f64) -> f64 {
        change / self.sigma
    }

    /// The 95 % interval of [`Row::change_in_sigma`], such as "[+1.30, +1.90]"; "–" where there is none.
    pub fn interval_in_sigma(&self) -> String {
        self.interval.map_or("–".into(), |interval| interval.in_units_of(self.sigma))
    }
}

/// The rows of a comparison. A metric that only one side has is a row with the other side absent.
pub fn rows(comparison: &Comparison) -> Vec<Row> {
    let (a, b) = (&comparison.reference, &comparison.policy);
    let m = comparison.seeds;
    let reward = |place: usize, name: &str, before: f64, after: f64, std: Option<[f64; 2]>| Row {
        name: format!("{name}@{m}"),
        interval: comparison.intervals.rewards[place],
        kind: Kind::Reward,
        direction: Direction::Higher,
        a: Figure { mean: before, std: std.map(|s| s[0]) },
        b: Figure { mean: after, std: std.map(|s| s[1]) },
        images: a.images,
        mark: comparison.of_images(a.images),
        sigma: a.std,
    };
    let mut rows = vec![
        reward(0, "Best", a.best_reward(), b.best_reward(), None),
        reward(1, "Mean", a.mean_reward(), b.mean_reward(), Some([a.std, b.std])),
        reward(2, "Worst", a.worst_reward(), b.worst_reward(), None),
    ];
    let figure = |report: Option<&MetricReport>| match report {
        Some(report) => Figure { mean: report.mean, std: Some(report.std) },
        None => Figure { mean: f64::NAN, std: None },
    };
    let names = a.metrics.keys().chain(b.metrics.keys().filter(|name| !a.metrics.contains_key(*name)));
    let metrics = names.filter_map(|name| {
        let (before, after) = (a.metrics.get(name), b.metrics.get(name));
        let known = before.or(after)?;
        let kind = if known.held_out { Kind::HeldOut } else { Kind::Trained };
        let sigma = before.map_or(f64::NAN, |report| report.std);
        Some(Row {
            name: name.clone(),
            interval: comparison.intervals.metrics.get(name).copied(),
            kind,
            direction: known.direction,
            a: figure(before),
            b: figure(after),
            images: known.images,
            mark: comparison.of_images(known.images),
            sigma,
        })
    });
    rows.extend(metrics);
    rows.sort_by_key(|row| row.kind);
    rows
}

/// Decimals of a figure: four significant digits, but no more than four decimals unless it is below 0.01.
fn decimals_of(value: f64) -> usize {
    let magnitude = value.abs();
    if magnitude == 0.0 {
        return 3;
    }
    let most = if magnitude < 0.01 { 6.0 } else { 4.0 };
    (3.0 - magnitude.log10().floor()).clamp(0.0, most) as usize
}

/// A figure as tables print it, "–" where there is none.
pub fn number(value: f64) -> String {
    if !value.is_finite() {
        return "–".into();
    }
    let decimals = decimals_of(value);
    format!("{value:.decimals$}").replace('-', "−")
}

/// The same with a sign, rounded to as many decimals as the figures it is the difference of.
pub fn signed(change: f64, of: f64) -> String {
    if !change.is_finite() {
        return "–".into();
    }
    let decimals = decimals_of(of);
    format!("{change:+.decimals$}").replace('-', "−")
}

/// Mean ± std with the decimals of the mean; the mean alone where there is no spread.
pub fn with_spread(figure: Figure) -> String {
    match figure.std.filter(|std| std.is_finite() && figure.mean.is_finite()) {
        Some(std) => format!("{} ± {}", number(figure.mean), signed(std, figure.mean).trim_start_matches('+')),
        None => number(figure.mean),
    }
}
