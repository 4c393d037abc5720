//! Is it real? What a change from one checkpoint to another may be by chance of which images were looked at.
//!
//! Both checkpoints draw the same images with the same seeds, so that the change of an image is one number. Crops of one photograph
//! are alike, so what chance draws are photographs, each with all of its images. The 95 % interval is the percentile bootstrap of
//! Efron over the n photographs, its deviations widened by √(n / (n − 1)), which the bootstrap's own variance lacks (Hesterberg,
//! "What Teachers Should Know About the Bootstrap", 2015, §4.1). p is of the paired test by exchange of before and after in every
//! photograph, exact for few. Both take their numbers from a fixed key: the same comparison always says the same.

use std::collections::BTreeMap;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::reward::Rewards;
use super::scores::ScoreTable;
use crate::random::Random;

/// With fewer photographs no test of signs can reach p < 0.05: 2 · 2⁻⁵ > 0.05.
pub const ENOUGH: usize = 6;
/// Bootstrap samples.
const RESAMPLES: usize = 4000;
/// Exchanges tried where there are too many to try all.
const EXCHANGES: usize = 9999;
/// Up to this many photographs all exchanges are tried.
const ALL_EXCHANGES: usize = 13;
/// Key of the random numbers, and what the streams are for.
const KEY: u64 = 0x1d90;
const OF_RESAMPLES: u32 = 1;
const OF_EXCHANGES: u32 = 2;

/// What each image contributes to the figures of an evaluation; `None` where it does not count.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ByImage {
    /// Reward of the best, of the mean and of the worst of its seeds.
    pub rewards: [Vec<Option<f64>>; 3],
    /// Mean over its seeds of each metric.
    pub metrics: BTreeMap<String, Vec<Option<f64>>>,
    /// Which photograph each image is of, by number; empty where that is not known, and each image counts as one of its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub photographs: Vec<usize>,
}

impl ByImage {
    /// Of the images whose rewards and scores count, as the evaluation itself takes them.
    pub fn of(
        table: &ScoreTable,
        rewards: &Rewards,
        has_reward: impl Fn(usize) -> bool,
        has_score: impl Fn(usize, usize) -> bool,
    ) -> Self {
        let groups = 0..rewards.groups();
        let reward =
            |of: fn(&[f64]) -> f64| groups.clone().map(|g| has_reward(g).then(|| of(rewards.group(g)))).collect();
        let score = |g: usize, column: usize| {
            let row = table.row(g, column);
            let present = || row.iter().filter(|score| !score.is_nan());
            let count = present().count();
            (count > 0 && has_score(g, column)).then(|| present().sum::<f64>() / count as f64)
        };
        let columns = table.columns().iter().enumerate();
        let metric = |(column, info): (usize, &crate::iqa::Info)| {
            (info.name.to_string(), (0..table.groups()).map(|g| score(g, column)).collect())
        };
        Self {
            rewards: [
                reward(|r| r.iter().copied().fold(f64::NEG_INFINITY, f64::max)),
                reward(|r| r.iter().sum::<f64>() / r.len() as f64),
                reward(|r| r.iter().copied().fold(f64::INFINITY, f64::min)),
            ],
            metrics: columns.map(metric).collect(),
            photographs: Vec::new(),
        }
    }

    /// Whether nothing is known of any image, as in evaluations of earlier versions.
    pub fn is_empty(&self) -> bool {
        self.rewards.iter().all(Vec::is_empty) && self.metrics.is_empty()
    }
}

/// What the images of a photograph change by.
#[derive(Clone, Copy, Debug, Default)]
struct Photograph {
    /// Of its images.
    sum: f64,
    images: usize,
}

/// The change from one checkpoint to another with what chance allows for.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Mean over images of after − before, in the figure's own unit.
    pub change: f64,
    /// Ends of the 95 % interval of the change.
    pub low: f64,
    pub high: f64,
    /// How often chance alone would change as much, one way or the other.
    pub p: f64,
    /// Images that have the figure on both sides.
    pub images: usize,
    /// Photographs that these are of: what chance draws.
    #[serde(default)]
    pub photographs: usize,
}

impl Interval {
    /// From what two checkpoints make of each image, and which photograph each is of ([`ByImage::photographs`]); `None` where those
    /// that both have are of fewer than two.
    pub fn between(before: &[Option<f64>], after: &[Option<f64>], photographs: &[usize]) -> Option<Self> {
        let of = by_photograph(before, after, photographs);
        let (count, images) = (of.len(), of.iter().map(|one| one.images).sum::<usize>());
        let change = (count > 1).then(|| of.iter().map(|one| one.sum).sum::<f64>() / images as f64)?;
        let random = Random::new(KEY, OF_RESAMPLES);
        let widened = (count as f64 / (count as f64 - 1.0)).sqrt();
        let mut means: Vec<f64> = (0..RESAMPLES).into_par_iter().map(|n| mean_of_resample(&random, n, &of)).collect();
        means.sort_unstable_by(f64::total_cmp);
        let at = |share: f64| change + (quantile(&means, share) - change) * widened;
        let sums: Vec<f64> = of.iter().map(|one| one.sum).collect();
        Some(Self { change, low: at(0.025), high: at(0.975), p: p_value(&sums), images, photographs: count })
    }

    /// Whether the change is more than which photographs were looked at explains: enough of them, and zero outside.
    pub fn is_real(&self) -> bool {
        self.photographs >= ENOUGH && (self.low > 0.0 || self.high < 0.0)
    }

    /// Its ends in units of a spread, such as "[+1.30, +1.90]"; "–" where there is no spread.
    pub fn in_units_of(&self, spread: f64) -> String {
        let ends = [self.low / spread, self.high / spread];
        let text = || format!("[{:+.2}, {:+.2}]", ends[0], ends[1]).replace('-', "−");
        if ends.iter().all(|end| end.is_finite()) { text() } else { "–".into() }
    }

    /// The same with before and after exchanged.
    pub fn swapped(self) -> Self {
        Self { change: -self.change, low: -self.high, high: -self.low, ..self }
    }
}

/// The intervals of a comparison's rows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Intervals {
    /// Of Best, Mean and Worst@M.
    pub rewards: [Option<Interval>; 3],
    pub metrics: BTreeMap<String, Interval>,
}

impl Intervals {
    /// From what two evaluations say of each image.
    pub fn between(before: &ByImage, after: &ByImage) -> Self {
        let names: Vec<&String> = before.metrics.keys().filter(|name| after.metrics.contains_key(*name)).collect();
        let photographs = &before.photographs[..];
        let reward = |i: usize| Interval::between(&before.rewards[i], &after.rewards[i], photographs);
        let metric = |name: &&String| {
            let interval = Interval::between(&before.metrics[*name], &after.metrics[*name], photographs)?;
            Some(((*name).clone(), interval))
        };
        Self { rewards: std::array::from_fn(reward), metrics: names.par_iter().filter_map(metric).collect() }
    }

    /// The same with before and after exchanged.
    pub fn swapped(&self) -> Self {
        Self {
            rewards: self.rewards.map(|known| known.map(Interval::swapped)),
            metrics: self.metrics.iter().map(|(name, interval)| (name.clone(), interval.swapped())).collect(),
        }
    }
}

/// The changes of the images that have a figure on both sides, by photograph, in the order these come.
fn by_photograph(before: &[Option<f64>], after: &[Option<f64>], photographs: &[usize]) -> Vec<Photograph> {
    let (mut of, mut places) = (Vec::<Photograph>::new(), BTreeMap::new());
    for (image, (a, b)) in before.iter().zip(after).enumerate() {
        let (Some(a), Some(b)) = (a, b) else { continue };
        // One that is not known is not any of the others.
        let name = photographs.get(image).map_or((1, image), |&photograph| (0, photograph));
        let place = *places.entry(name).or_insert(of.len());
        if place == of.len() {
            of.push(Photograph::default());
        }
        of[place].sum += b - a;
        of[place].images += 1;
    }
    of
}

/// Mean over the images of as many photographs as there are, drawn with replacement.
fn mean_of_resample(random: &Random, n: usize, of: &[Photograph]) -> f64 {
    let (count, mut sum, mut images) = (of.len(), 0.0, 0);
    for four in 0..count.div_ceil(4) {
        let words = random.words([n as u32, four as u32, 0]);
        for word in words.iter().take(count - 4 * four) {
            let drawn = of[((u64::from(*word) * count as u64) >> 32) as usize];
            sum += drawn.sum;
            images += drawn.images;
        }
    }
    sum / images as f64
}

/// Between the two nearest of sorted values.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let at = share * (sorted.len() - 1) as f64;
    let (below, part) = (at.floor() as usize, at.fract());
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + part * (sorted[above] - sorted[below])
}

/// The share of exchanges of before and after that change the mean at least as much; `changes` are sums of what is exchanged together.
fn p_value(changes: &[f64]) -> f64 {
    let count = changes.len();
    let seen = changes.iter().sum::<f64>().abs();
    // Sums of the same numbers in another order differ in their last digits.
    let enough = seen - 1e-9 * changes.iter().map(|c| c.abs()).sum::<f64>();
    let sum = |sign: &dyn Fn(usize) -> bool| -> f64 {
        changes.iter().enumerate().map(|(i, c)| if sign(i) { *c } else { -c }).sum::<f64>().abs()
    };
    if count <= ALL_EXCHANGES {
        let all = 1u32 << count;
        let as_much = (0..all).filter(|mask| sum(&|i| mask >> i & 1 == 1) >= enough).count();
        return as_much as f64 / f64::from(all);
    }
    let random = Random::new(KEY, OF_EXCHANGES);
    let is_as_much = |n: &usize| {
        let words: Vec<u32> =
            (0..count.div_ceil(128)).flat_map(|block| random.words([*n as u32, block as u32, 0])).collect();
        sum(&|i| words[i / 32] >> (i % 32) & 1 == 1) >= enough
    };
    let as_much = (0..EXCHANGES).into_par_iter().filter(is_as_much).count();
    // What was seen is one of them.
    (as_much + 1) as f64 / (EXCHANGES + 1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interval(changes: &[f64]) -> Interval {
        let before: Vec<_> = changes.iter().enumerate().map(|(i, _)| Some(i as f64)).collect();
        let after: Vec<_> = changes.iter().enumerate().map(|(i, c)| Some(i as f64 + c)).collect();
        Interval::between(&before, &after, &[]).unwrap()
    }

    #[test]
    fn crops_of_one_photograph_are_drawn_and_exchanged_together() {
        // Six photographs with crops that are all alike say what the six say, not what 24 would.
        let of_six = [0.1, 0.3, 0.2, -0.1, 0.4, 0.25];
        let (before, after) = (vec![Some(0.5); 24], (0..24).map(|i| Some(0.5 + of_six[i / 4])).collect::<Vec<_>>());
        let photographs: Vec<usize> = (0..24).map(|i| 7 + i / 4).collect();
        let (together, alone) = (Interval::between(&before, &after, &photographs).unwrap(), interval(&of_six));
        for (a, b) in [(together.low, alone.low), (together.high, alone.high), (together.p, alone.p)] {
            assert!((a - b).abs() < 1e-12, "{together:?} {alone:?}");
        }
        assert_eq!((together.images, together.photographs, alone.photographs), (24, 6, 6));
        let as_if_24 = Interval::between(&before, &after, &[]).unwrap();
        assert!(together.high - together.low > 1.5 * (as_if_24.high - as_if_24.low), "{as_if_24:?}");
        // Two photographs are too few whatever their crops say, and one says nothing; the mean is over images all the same.
        let few: Vec<usize> = (0..24).map(|i| usize::from(i >= 8)).collect();
        let two = Interval::between(&before, &vec![Some(1.0); 24], &few).unwrap();
        assert_eq!((two.change, two.photographs, two.is_real()), (0.5, 2, false));
        assert_eq!(Interval::between(&before, &after, &[3; 24]), None);
    }

    #[test]
    fn the_interval_is_that_of_the_normal_where_there_are_many_images() {
        let noise = Random::new(5, 0).normal_image(1, 400, 1);
        let changes: Vec<f64> = noise.iter().map(|n| 0.3 + f64::from(*n)).collect();
        let found = interval(&changes);
        let mean = changes.iter().sum::<f64>() / 400.0;
        let variance = changes.iter().map(|c| (c - mean).powi(2)).sum::<f64>() / 399.0;
        let half = 1.96 * (variance / 400.0).sqrt();
        assert!((found.low - (mean - half)).abs() < 0.1 * half, "{found:?} {mean} {half}");
        assert!((found.high - (mean + half)).abs() < 0.1 * half, "{found:?}");
        assert!(found.is_real() && found.p < 0.005);
        // The same always says the same, and the other way round the opposite.
        assert_eq!(found, interval(&changes));
        let turned: Vec<f64> = changes.iter().map(|c| -c).collect();
        let other = interval(&turned);
        assert!((other.low + found.high).abs() < 1e-9 && (other.p - found.p).abs() < 1e-12, "{other:?}");
        assert_eq!(found.swapped().swapped(), found);
    }

    #[test]
    fn chance_is_told_from_change_as_often_as_ninety_five_percent_say() {
        let real = (0..200).filter(|&key| {
            let noise = Random::new(key, 7).normal_image(1, 24, 1);
            interval(&noise.iter().map(|n| f64::from(*n)).collect::<Vec<_>>()).is_real()
        });
        let count = real.count();
        assert!((2..=24).contains(&count), "{count} of 200 were taken for real");
    }

    #[test]
    fn the_paired_test_is_exact_for_few_images() {
        // All of n rise: two of the 2ⁿ exchanges are as far from zero.
        for (n, p) in [(3, 0.25), (5, 0.0625), (6, 0.03125)] {
            let found = interval(&vec![0.1; n]);
            assert!((found.p - p).abs() < 1e-12, "{found:?}");
            assert_eq!(found.is_real(), n >= ENOUGH, "{found:?}");
        }
        // By hand: 1, 2, −3 has mean 0, and every exchange is as far from it.
        assert_eq!(interval(&[1.0, 2.0, -3.0]).p, 1.0);
        // Of the sums ±1 ±2 ±4, which are 7, 5, 3 and 1 both ways, half reach 5.
        assert_eq!(interval(&[-1.0, 2.0, 4.0]).p, 0.5);
    }

    #[test]
    fn images_that_lack_a_figure_take_no_part_and_one_alone_says_nothing() {
        let some = [Some(1.0), None, Some(1.0), Some(1.0)];
        let found = Interval::between(&some, &[Some(2.0), Some(9.0), None, Some(4.0)], &[]).unwrap();
        assert_eq!((found.change, found.images, found.is_real()), (2.0, 2, false));
        assert_eq!(Interval::between(&some[..3], &[Some(2.0), Some(9.0), None], &[]), None);
    }
}
