//! Is it learning? A run in one line: what the reward gained, whether that is more than chance, and what truth it cost.

use super::alarms::{self, Alarm};
use super::evaluation::Evaluation;
use super::intervals::{ENOUGH, Interval};
use crate::iqa::{grain, info};

/// What a run has come to on its validation images, from its start to its last evaluation.
#[derive(Clone, Debug, PartialEq)]
pub struct Learning {
    /// Seeds an image.
    pub m: usize,
    /// Gain of Mean@M in units of σ over seeds at the start; `None` without a spread.
    pub gain_in_sigma: Option<f64>,
    /// What of that gain chance may explain, in reward; `None` with fewer than two photographs.
    pub interval: Option<Interval>,
    /// σ over seeds at the start.
    pub sigma: f64,
    /// A metric of fidelity, and its change in its own unit.
    pub truth: Option<(String, f64)>,
    /// Change of the fine detail against HR, in dB.
    pub grain: Option<f64>,
    /// The reward was gained at the cost of the truth.
    pub hallucinates: bool,
}

/// How sure it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Learning,
    Worse,
    WithinNoise,
    TooFewPhotographs,
}

impl Verdict {
    /// In words.
    pub fn title(self) -> &'static str {
        match self {
            Verdict::Learning => "Learning",
            Verdict::Worse => "Getting worse",
            Verdict::WithinNoise => "No change beyond noise",
            Verdict::TooFewPhotographs => "Too few validation photographs to tell",
        }
    }
}

impl Learning {
    /// From the start of a run and its last evaluation on the same images.
    pub fn between(start: &Evaluation, last: &Evaluation, step: u32) -> Self {
        let gain = (last.mean_reward() - start.mean_reward()) / start.std;
        let truths = ["lr_psnr", "psnr", "ms_ssim", "ssim"].into_iter();
        let change = |name: &str| Some(last.metrics.get(name)?.mean - start.metrics.get(name)?.mean);
        Self {
            m: last.m.last().copied().unwrap_or(0),
            gain_in_sigma: gain.is_finite().then_some(gain),
            interval: Interval::between(
                &start.by_image.rewards[1],
                &last.by_image.rewards[1],
                &start.by_image.photographs,
            ),
            sigma: start.std,
            grain: change(grain::NAME),
            truth: truths.into_iter().find_map(|name| Some((name.to_owned(), change(name)?))),
            hallucinates: alarms::of_evaluations(&[(0, start), (step, last)])
                .iter()
                .any(|alarm| matches!(alarm, Alarm::Hallucination { .. })),
        }
    }

    /// How sure it is.
    pub fn verdict(&self) -> Verdict {
        match self.interval {
            Some(interval) if interval.is_real() && interval.change > 0.0 => Verdict::Learning,
            Some(interval) if interval.is_real() => Verdict::Worse,
            Some(interval) if interval.photographs >= ENOUGH => Verdict::WithinNoise,
            _ => Verdict::TooFewPhotographs,
        }
    }

    /// The line, such as "Learning: Mean@16 +1.6 σ [+1.3, +1.9]; PSNR −0.9 dB; hallucination alarm".
    pub fn line(&self) -> String {
        let gain = self.gain_in_sigma.map_or("–".into(), |gain| format!("{gain:+.1} σ"));
        let mut line = format!("{}: Mean@{} {gain}", self.verdict().title(), self.m);
        if let Some(interval) = self.interval.filter(|_| self.sigma > 0.0) {
            line += &format!(" [{:+.1}, {:+.1}]", interval.low / self.sigma, interval.high / self.sigma);
        }
        if let Some((name, change)) = &self.truth {
            let unit = info::unit(name);
            let figure = if unit.is_empty() { format!("{change:+.4}") } else { format!("{change:+.1} {unit}") };
            line += &format!("; {} {figure}", name.to_uppercase().replace('_', "-"));
        }
        if let Some(change) = self.grain {
            line += &format!("; grain {change:+.1} dB");
        }
        if self.hallucinates {
            line += "; hallucination alarm";
        }
        line.replace('-', "−").replace("LR−", "LR-").replace("MS−", "MS-")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::iqa::Direction;
    use crate::method::evaluation::MetricReport;

    fn evaluation(images: usize, gain: f64, psnr: f64) -> Evaluation {
        let psnr = MetricReport { mean: psnr, std: 0.5, images, direction: Direction::Higher, held_out: true };
        let mut evaluation = Evaluation {
            m: vec![1, 16],
            mean: vec![0.5 + gain; 2],
            best: vec![0.6; 2],
            worst: vec![0.4; 2],
            std: 0.1,
            images,
            metrics: [("psnr".to_owned(), psnr)].into(),
            by_image: Default::default(),
        };
        let off = |i: usize| gain * (1.0 + 0.1 * (i as f64 - (images as f64 - 1.0) / 2.0));
        evaluation.by_image.rewards[1] = (0..images).map(|i| Some(0.5 + off(i))).collect();
        evaluation
    }

    #[test]
    fn the_line_says_gain_interval_truth_and_alarm() {
        let start = evaluation(8, 0.0, 30.0);
        let learning = Learning::between(&start, &evaluation(8, 0.16, 29.1), 60);
        assert_eq!(learning.line(), "Learning: Mean@16 +1.6 σ [+1.3, +1.9]; PSNR −0.9 dB; hallucination alarm");
        let worse = Learning::between(&start, &evaluation(8, -0.16, 30.0), 60);
        assert_eq!(worse.line(), "Getting worse: Mean@16 −1.6 σ [−1.9, −1.3]; PSNR +0.0 dB");
        let grainy = |grain: f64| {
            let mut evaluation = evaluation(8, 0.0, 30.0);
            let report =
                MetricReport { mean: grain, direction: Direction::Neither, ..evaluation.metrics["psnr"].clone() };
            evaluation.metrics.insert("grain".into(), report);
            evaluation
        };
        let line = Learning::between(&grainy(-1.5), &grainy(-0.3), 60).line();
        assert!(line.ends_with("; PSNR +0.0 dB; grain +1.2 dB"), "{line}");
    }

    #[test]
    fn what_cannot_be_told_is_not_called_learning() {
        let few = Learning::between(&evaluation(3, 0.0, 30.0), &evaluation(3, 0.16, 30.0), 60);
        assert_eq!((few.verdict(), few.interval.unwrap().images), (Verdict::TooFewPhotographs, 3));
        let mut last = evaluation(8, 0.01, 30.0);
        last.by_image.rewards[1] = (0..8).map(|i| Some(0.5 + if i % 2 == 0 { 0.1 } else { -0.08 })).collect();
        let noise = Learning::between(&evaluation(8, 0.0, 30.0), &last, 60);
        assert_eq!(noise.verdict(), Verdict::WithinNoise);
        assert!(noise.line().starts_with("No change beyond noise: Mean@16 +0.1 σ"), "{}", noise.line());
        // Of evaluations that earlier versions made nothing is known by image.
        let old = Evaluation { by_image: Default::default(), ..evaluation(8, 0.0, 30.0) };
        assert_eq!(Learning::between(&old, &last, 60).verdict(), Verdict::TooFewPhotographs);
    }
}
