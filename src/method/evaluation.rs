//! What a checkpoint is worth: Best/Mean/Worst@m of the reward and every metric, and two checkpoints side by side.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::intervals::{ByImage, Interval, Intervals};
use super::provenance::{Chosen, On, TrainedOn};
use super::reward::Rewards;
use super::scores::ScoreTable;
use super::statistics::{Ladder, MetricStatistics, has_all, metric_statistics};
use crate::Result;
use crate::iqa::Direction;

/// What the row of the reward on the frozen scale is called, where the recipe's scale is another.
pub const FROZEN: &str = "R (frozen)";

/// One metric over images and seeds, in its own unit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MetricReport {
    /// Mean over seeds, averaged over images.
    pub mean: f64,
    /// Standard deviation over the seeds of an image, averaged over images.
    pub std: f64,
    /// Images averaged over; 0 where an earlier version did not note it.
    #[serde(default)]
    pub images: usize,
    pub direction: Direction,
    /// Not part of the reward.
    pub held_out: bool,
}

impl MetricReport {
    /// Whether `self` is better than `other`; `None` where they are equal, or neither more nor less is better.
    pub fn better_than(&self, other: &Self) -> Option<bool> {
        let better = self.direction.align(self.mean) > self.direction.align(other.mean);
        (self.mean != other.mean && self.direction != Direction::Neither).then_some(better)
    }
}

/// A checkpoint on a set of images with M seeds each.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// 1, 2, 4 … M.
    pub m: Vec<usize>,
    /// Best@m, in reward.
    pub best: Vec<f64>,
    /// Mean@m, in reward.
    pub mean: Vec<f64>,
    /// Worst@m, in reward.
    pub worst: Vec<f64>,
    /// σ: standard deviation of the reward over the seeds of an image, averaged over images.
    pub std: f64,
    /// Images that the rewards are averaged over; 0 where an earlier version did not note it.
    #[serde(default)]
    pub images: usize,
    pub metrics: BTreeMap<String, MetricReport>,
    /// What each image contributes; empty where an earlier version did not note it.
    #[serde(default, skip_serializing_if = "ByImage::is_empty")]
    pub by_image: ByImage,
}

impl Evaluation {
    /// Evaluates scored candidates; metrics that `is_held_out` names are not part of the reward. Errors: no image has a
    /// reward for all of its seeds.
    pub fn of(table: &ScoreTable, rewards: &Rewards, is_held_out: impl Fn(&str) -> bool) -> Result<Self> {
        let by_image = ByImage::of(table, rewards, |group| has_all(rewards.group(group)), |_, _| true);
        Ok(Self::from_parts(Ladder::of(rewards)?, metric_statistics(table, |_, _| true), by_image, is_held_out))
    }

    /// Evaluates two checkpoints on the same images and seeds, so that before and after are of the same: a row counts the
    /// images of which all seeds have its figure on both sides. Errors: no image has a reward on both.
    pub fn both(
        [a, b]: [(&ScoreTable, &Rewards); 2],
        is_held_out: impl Fn(&str) -> bool + Copy,
    ) -> Result<(Self, Self)> {
        let rewarded = |group: usize| [a.1, b.1].iter().all(|rewards| has_all(rewards.group(group)));
        let scored = |group: usize, column: usize| [a.0, b.0].iter().all(|table| has_all(table.row(group, column)));
        let side = |(table, rewards): (&ScoreTable, &Rewards)| -> Result<Self> {
            let by_image = ByImage::of(table, rewards, rewarded, scored);
            let (ladder, metrics) = (Ladder::over(rewards, rewarded)?, metric_statistics(table, scored));
            Ok(Self::from_parts(ladder, metrics, by_image, is_held_out))
        };
        Ok((side(a)?, side(b)?))
    }

    fn from_parts(
        ladder: Ladder,
        metrics: Vec<MetricStatistics>,
        by_image: ByImage,
        is_held_out: impl Fn(&str) -> bool,
    ) -> Self {
        let Ladder { m, best, mean, worst, std, images, .. } = ladder;
        let reports = metrics.into_iter().filter_map(|s| {
            let (held_out, std, direction) = (is_held_out(&s.name), s.std.unwrap_or(0.0), s.direction);
            Some((s.name, MetricReport { mean: s.mean?, std, images: s.images, direction, held_out }))
        });
        Self { m, best, mean, worst, std, images, metrics: reports.collect(), by_image }
    }

    /// Adds the mean reward on the frozen scale as a row of its own, so that runs with different normalizations compare; of the
    /// images that `count` and have all their rewards.
    pub fn add_frozen_scale(&mut self, rewards: &Rewards, count: impl Fn(usize) -> bool) {
        let counts = |group: usize| count(group) && has_all(rewards.group(group));
        if let Ok(ladder) = Ladder::over(rewards, counts)
            && let Some(&mean) = ladder.mean.last()
        {
            let (std, images, direction) = (ladder.std, ladder.images, Direction::Higher);
            self.metrics.insert(FROZEN.into(), MetricReport { mean, std, images, direction, held_out: true });
            let mean = |group: usize| rewards.group(group).iter().sum::<f64>() / rewards.seeds().max(1) as f64;
            let by_image = (0..rewards.groups()).map(|group| counts(group).then(|| mean(group)));
            self.by_image.metrics.insert(FROZEN.into(), by_image.collect());
        }
    }

    /// Mean@M.
    pub fn mean_reward(&self) -> f64 {
        self.mean.last().copied().unwrap_or(f64::NAN)
    }

    /// Best@M.
    pub fn best_reward(&self) -> f64 {
        self.best.last().copied().unwrap_or(f64::NAN)
    }

    /// Worst@M.
    pub fn worst_reward(&self) -> f64 {
        self.worst.last().copied().unwrap_or(f64::NAN)
    }
}

/// Two checkpoints on the same images and seeds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// Which of the held-out images.
    pub on: On,
    /// Number of images.
    pub images: usize,
    /// Of these, how many choose checkpoints.
    pub validation_images: usize,
    /// Seeds an image, M.
    pub seeds: usize,
    /// Name of the checkpoint before.
    pub a: String,
    /// Name of the checkpoint after.
    pub b: String,
    /// How each of the two came to be compared.
    pub chosen: [Chosen; 2],
    /// Runs of the two that were trained on some of the images.
    pub trained_on: Vec<TrainedOn>,
    /// Before.
    pub reference: Evaluation,
    /// After.
    pub policy: Evaluation,
    /// Image by image, in the order of the workspace.
    pub by_image: Vec<ImageComparison>,
    /// What of each change chance may explain.
    #[serde(default)]
    pub intervals: Intervals,
}

/// One image in a comparison.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ImageComparison {
    /// Name of the image.
    pub name: String,
    /// Rewards by seed, before; `None` where a candidate has none.
    pub reference: Vec<Option<f64>>,
    /// Rewards by seed, after.
    pub policy: Vec<Option<f64>>,
}

/// What stands below a table with intervals.
const INTERVALS: &str = "(bootstrap), p of a paired exchange test; better or worse only where the interval excludes zero and \
                         there are 6 photographs";

/// A change in units of a spread σ, such as `+0.25 σ`; "–" where there is no spread, or no change to tell.
pub fn in_sigma(change: f64, spread: f64) -> String {
    let gain = change / spread;
    if gain.is_finite() { format!("{gain:+.2} σ") } else { "–".into() }
}

impl Comparison {
    /// What is averaged over fewer images than were compared, with how many; empty where every row is of all of them.
    pub fn of_fewer(&self) -> Vec<(String, usize)> {
        let rewards = ("Best, Mean, Worst".to_owned(), self.reference.images);
        let metrics = self.reference.metrics.iter().map(|(name, report)| (name.clone(), report.images));
        std::iter::once(rewards).chain(metrics).filter(|(_, images)| *images < self.images).collect()
    }

    /// [`Comparison::of_fewer`] in a line; `None` where every row is of all images.
    pub fn fewer_line(&self) -> Option<String> {
        let fewer = self.of_fewer();
        let counts: BTreeSet<usize> = fewer.iter().map(|(_, images)| *images).collect();
        let named = |count: &usize| {
            let names = fewer.iter().filter(|(_, images)| images == count).map(|(name, _)| name.as_str());
            format!("{} (of {count})", names.collect::<Vec<_>>().join(", "))
        };
        let rows: Vec<String> = counts.iter().map(named).collect();
        let images = self.on.count(self.images);
        (!rows.is_empty()).then(|| format!("not of all {images}: {}; the others lack that figure", rows.join(", ")))
    }

    /// Gains of Best@M, Mean@M and Worst@M in units of the reference's spread, as [`in_sigma`] says them.
    pub fn gains_in_sigma(&self) -> [String; 3] {
        let (a, b) = (&self.reference, &self.policy);
        let gains =
            [b.best_reward() - a.best_reward(), b.mean_reward() - a.mean_reward(), b.worst_reward() - a.worst_reward()];
        gains.map(|gain| in_sigma(gain, a.std))
    }

    /// How a row of fewer images than the others is marked, in every form of the table; empty for a row of all.
    pub fn of_images(&self, images: usize) -> String {
        if images < self.images { format!(" (of {images})") } else { String::new() }
    }

    /// What the intervals are over, such as "2 photographs, the crops of one together".
    pub fn photographs_in_words(&self) -> String {
        let count = self.photographs();
        let crops = if count < self.reference.images { ", the crops of one together" } else { "" };
        format!("{count} photograph{}{crops}", if count == 1 { "" } else { "s" })
    }

    /// How many photographs the compared images are of; one each where that is not known.
    pub fn photographs(&self) -> usize {
        let known = &self.reference.by_image.photographs;
        if known.is_empty() { self.reference.images } else { known.iter().collect::<BTreeSet<_>>().len() }
    }

    /// The interval of a row's change: of Best, Mean, Worst by their place, of a metric by its name.
    fn interval_of(&self, row: std::result::Result<usize, &str>) -> Option<Interval> {
        match row {
            Ok(place) => self.intervals.rewards[place],
            Err(metric) => self.intervals.metrics.get(metric).copied(),
        }
    }

    /// The table a person reads: one line a row, before and after, with what is better beyond noise.
    pub fn to_text(&self) -> String {
        let (a, b) = (&self.reference, &self.policy);
        let mut lines = vec![format!("{} × {} seeds: {} → {}", self.on.count(self.images), self.seeds, self.a, self.b)];
        let told = |row, sigma: f64| match self.interval_of(row) {
            Some(interval) => format!("  {} σ, p {:.3}", interval.in_units_of(sigma), interval.p),
            None => String::new(),
        };
        let head = |name: &str| format!("{name:<16}{:>18}{:>18}{:>10}", "before", "after", "");
        lines.push(head("reward"));
        let m = self.seeds;
        let rewards = [
            ("Best", a.best_reward(), b.best_reward()),
            ("Mean", a.mean_reward(), b.mean_reward()),
            ("Worst", a.worst_reward(), b.worst_reward()),
        ];
        for (place, ((name, before, after), gain)) in rewards.into_iter().zip(self.gains_in_sigma()).enumerate() {
            let (of, told) = (self.of_images(a.images), told(Ok(place), a.std));
            lines.push(format!("{:<16}{before:>18.4}{after:>18.4}{gain:>10}{told}{of}", format!("{name}@{m}")));
        }
        if a.std <= 0.0 {
            let why = if m < 2 { "one seed has no spread" } else { "the seeds before are all alike" };
            lines.push(format!("{:<16}{why}, so no gain is told in σ", ""));
        }
        let of = self.of_images(a.images);
        lines.push(format!("{:<16}{:>18.4}{:>18.4}{of}", "σ over seeds", a.std, b.std));
        lines.push(head("metric"));
        for (name, before) in &a.metrics {
            let Some(after) = b.metrics.get(name) else { continue };
            let is_real = self.interval_of(Err(name)).is_some_and(|interval| interval.is_real());
            let mark = match after.better_than(before) {
                Some(true) if is_real => "better",
                Some(false) if is_real => "worse",
                Some(_) => "–",
                None if before.direction == Direction::Neither => "",
                None => "equal",
            };
            let told = told(Err(name), before.std);
            let cell = |r: &MetricReport| format!("{:.4} ± {:.4}", r.mean, r.std);
            let held_out = if before.held_out { " held out" } else { "" };
            let of = self.of_images(before.images);
            lines.push(format!("{name:<16}{:>18}{:>18}{mark:>10}{told}{held_out}{of}", cell(before), cell(after)));
        }
        lines.push(format!("[ ]: 95 % interval of the change over {} {INTERVALS}", self.photographs_in_words()));
        lines.extend(self.notes().iter().map(ToString::to_string));
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::iqa::{Info, Kind};

    #[test]
    fn before_and_after_are_of_the_images_that_have_a_figure_on_both_sides() {
        let column = Info::new("psnr", Kind::NoReference, Direction::Higher);
        let table = |scores: &[(usize, usize, f64)]| {
            let mut table = ScoreTable::new(vec![false; 2], 2, vec![column.clone()]).unwrap();
            scores.iter().for_each(|&(group, seed, score)| table.set(group, seed, 0, score).unwrap());
            table
        };
        let all = [(0, 0, 1.0), (0, 1, 3.0), (1, 0, 10.0), (1, 1, 30.0)];
        let (a, b) = (table(&all), table(&all[..3]));
        let rewards = |second: f64| Rewards::from_values(2, vec![0.2, 0.4, 0.8, second]).unwrap();
        let (before, after) = Evaluation::both([(&a, &rewards(0.9)), (&b, &rewards(f64::NAN))], |_| true).unwrap();
        assert_eq!((before.images, before.metrics["psnr"].images), (1, 1));
        assert_eq!((before.metrics["psnr"].mean, after.metrics["psnr"].mean), (2.0, 2.0));
        assert_eq!(before, after);
        // Alone, the first side is of both.
        let alone = Evaluation::of(&a, &rewards(0.9), |_| true).unwrap();
        assert_eq!((alone.images, alone.metrics["psnr"].mean), (2, 11.0));
    }

    #[test]
    fn the_frozen_scale_is_a_row_of_its_own() {
        let mut evaluation = evaluation(&[0.5], 0.1);
        let rewards = Rewards::from_values(2, vec![0.2, 0.4, 0.8, f64::NAN, 0.6, 0.8]).unwrap();
        evaluation.add_frozen_scale(&rewards, |_| true);
        let row = &evaluation.metrics[FROZEN];
        assert!((row.mean - 0.5).abs() < 1e-12 && (row.std - 0.1).abs() < 1e-12);
        assert_eq!((row.images, row.held_out), (2, true));
        let by_image: Vec<bool> = evaluation.by_image.metrics[FROZEN].iter().map(Option::is_some).collect();
        assert_eq!(by_image, [true, false, true]);
        evaluation.add_frozen_scale(&rewards, |group| group == 2);
        assert!((evaluation.metrics[FROZEN].mean - 0.7).abs() < 1e-12);
    }

    fn evaluation(rewards: &[f64], std: f64) -> Evaluation {
        let rewards = rewards.to_vec();
        Evaluation {
            m: vec![1],
            best: rewards.clone(),
            mean: rewards.clone(),
            worst: rewards,
            std,
            images: 1,
            metrics: BTreeMap::new(),
            by_image: ByImage::default(),
        }
    }

    fn comparison(reference: Evaluation, policy: Evaluation) -> Comparison {
        let (a, b) = ("reference".into(), "run-1@3".into());
        Comparison {
            on: On::Test,
            images: 1,
            validation_images: 0,
            seeds: 1,
            a,
            b,
            chosen: [Chosen::Name, Chosen::Name],
            trained_on: Vec::new(),
            reference,
            policy,
            by_image: Vec::new(),
            intervals: Intervals::default(),
        }
    }

    #[test]
    fn a_gain_without_a_spread_is_a_dash_and_its_reason() {
        let with_spread = comparison(evaluation(&[0.5], 0.25), evaluation(&[0.25], 0.25)).to_text();
        assert!(with_spread.contains("-1.00 σ") && !with_spread.contains('–'), "{with_spread}");
        for (before, after) in [(0.5, 0.5), (0.5, 0.6)] {
            let text = comparison(evaluation(&[before], 0.0), evaluation(&[after], 0.0)).to_text();
            assert!(text.contains('–') && text.contains("one seed has no spread"), "{text}");
            assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
        }
    }
}
