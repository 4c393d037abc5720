//! What a person should look at in a run: divergence, spikes, collapse, and a reward that rises while the metrics it does
//! not see fall.

use super::evaluation::{Evaluation, FROZEN, MetricReport};
use crate::iqa::Direction;

/// Steps a spike is compared with.
const WINDOW: usize = 20;
/// A spike lies this many robust deviations above the median of the [`WINDOW`] before it: noise of a batch stays below.
const SPIKE_DEVIATIONS: f64 = 8.0;
/// … and this many times above the median, so that a flat curve has no spikes.
const SPIKE_RATIO: f64 = 2.0;
/// Makes the median absolute deviation of normal values their standard deviation.
const MAD_TO_STD: f64 = 1.4826;
/// Evaluations in a row below the start that count as collapse.
const COLLAPSED: usize = 2;
/// Change, in standard deviations over the seeds, from which a metric or the reward has moved.
const MOVED: f64 = 0.5;

/// Metrics that see whether a picture is still the one that was asked for, by the first letters of their names.
const FIDELITY: [&str; 5] = ["lr_", "psnr", "ssim", "ms_ssim", "cw_ssim"];

/// Something to look at.
#[derive(Clone, Debug, PartialEq)]
pub enum Alarm {
    /// A value that is NaN or infinite.
    NotFinite { what: &'static str, step: u32 },
    /// A value far above those before it.
    Spike { what: &'static str, step: u32, times: f64 },
    /// The validation reward has been below its start for the last evaluations.
    Collapse { step: u32, start: f64, now: f64 },
    /// The reward rose while most metrics that are no part of it fell.
    Hacking { step: u32, fell: Vec<String> },
    /// The reward rose while most of what measures fidelity fell.
    Hallucination { step: u32, fell: Vec<String> },
}

impl Alarm {
    /// One line: what happened, and what may be done.
    pub fn text(&self) -> String {
        match self {
            Alarm::NotFinite { what, step } => {
                format!("{what} is not finite at step {step}: lower the learning rate, or clip the gradient harder")
            }
            Alarm::Spike { what, step, times } => {
                format!("{what} jumped to {times:.1} times its median at step {step}")
            }
            Alarm::Collapse { step, start, now } => format!(
                "collapse: the validation reward is {now:.3} at step {step}, below its start {start:.3}; stop, and use an \
                 earlier checkpoint"
            ),
            Alarm::Hacking { step, fell } => format!(
                "at step {step} the reward is up while {} fell: the policy may be playing the trained metrics",
                fell.join(", ")
            ),
            Alarm::Hallucination { step, fell } => format!(
                "hallucination: at step {step} the reward is up while the pictures leave the truth ({} fell)",
                fell.join(", ")
            ),
        }
    }
}

/// Alarms of the steps, given as (step, value); the last spike of each kind only.
pub fn of_steps(what: &'static str, values: &[(u32, f64)]) -> Vec<Alarm> {
    if let Some((step, _)) = values.iter().find(|(_, v)| !v.is_finite()) {
        return vec![Alarm::NotFinite { what, step: *step }];
    }
    let spike = |at: usize| {
        let mut before: Vec<f64> = values[at - WINDOW..at].iter().map(|(_, v)| *v).collect();
        let median = median_of(&mut before);
        let mut deviations: Vec<f64> = before.iter().map(|v| (v - median).abs()).collect();
        let deviation = MAD_TO_STD * median_of(&mut deviations);
        let (step, value) = values[at];
        let is_spike = value > median + SPIKE_DEVIATIONS * deviation && value > SPIKE_RATIO * median && median > 0.0;
        is_spike.then(|| Alarm::Spike { what, step, times: value / median })
    };
    (WINDOW..values.len()).rev().find_map(spike).into_iter().collect()
}

/// Alarms of the evaluations on the same images, the start first, given as (step, evaluation).
pub fn of_evaluations(evaluations: &[(u32, &Evaluation)]) -> Vec<Alarm> {
    let Some(((_, start), later)) = evaluations.split_first() else { return Vec::new() };
    let Some(&(step, last)) = later.last() else { return Vec::new() };
    let mut alarms = Vec::new();
    let below = later.iter().rev().take_while(|(_, e)| e.mean_reward() < start.mean_reward()).count();
    if below >= COLLAPSED {
        alarms.push(Alarm::Collapse { step, start: start.mean_reward(), now: last.mean_reward() });
    }
    if last.mean_reward() - start.mean_reward() > MOVED * start.std {
        let is_fidelity = |name: &str| FIDELITY.iter().any(|begin| name.starts_with(begin));
        if let Some(fell) = most_that_fell(start, last, |name, metric| metric.held_out && name != FROZEN) {
            alarms.push(Alarm::Hacking { step, fell });
        }
        if let Some(fell) = most_that_fell(start, last, |name, _| is_fidelity(name)) {
            alarms.push(Alarm::Hallucination { step, fell });
        }
    }
    alarms
}

/// Those of some metrics that fell, where they are more than half of them.
fn most_that_fell(
    start: &Evaluation,
    last: &Evaluation,
    counts: impl Fn(&str, &MetricReport) -> bool,
) -> Option<Vec<String>> {
    let change = |(name, metric): (&String, &MetricReport)| {
        let before = start.metrics.get(name)?;
        let change = metric.direction.align(metric.mean - before.mean);
        Some((name.clone(), change / before.std.max(f64::MIN_POSITIVE)))
    };
    let is_quality = |metric: &MetricReport| metric.direction != Direction::Neither;
    let counted = last.metrics.iter().filter(|(name, metric)| is_quality(metric) && counts(name, metric));
    let changes: Vec<(String, f64)> = counted.filter_map(change).collect();
    let fell: Vec<String> = changes.iter().filter(|(_, d)| *d < -MOVED).map(|(name, _)| name.clone()).collect();
    (2 * fell.len() > changes.len()).then_some(fell)
}

fn median_of(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noisy(n: u32) -> Vec<(u32, f64)> {
        (0..n).map(|i| (i + 1, 0.69 + 0.08 * (f64::from(i * 7919 % 13) / 6.0 - 1.0))).collect()
    }

    #[test]
    fn noise_is_no_spike_and_a_jump_is() {
        assert!(of_steps("loss", &noisy(200)).is_empty());
        assert!(of_steps("loss", &noisy(5)).is_empty());
        let mut values = noisy(200);
        values[150].1 = 4.0;
        let [Alarm::Spike { step: 151, times, .. }] = of_steps("loss", &values)[..] else { panic!() };
        assert!(times > 5.0);
        values[20].1 = f64::NAN;
        assert_eq!(of_steps("loss", &values), [Alarm::NotFinite { what: "loss", step: 21 }]);
    }

    fn evaluation(mean: f64, psnr: f64, piqe: f64) -> Evaluation {
        let metric = |mean, direction| MetricReport { mean, std: 0.5, images: 1, direction, held_out: true };
        let metrics = [("psnr", metric(psnr, Direction::Higher)), ("piqe", metric(piqe, Direction::Lower))];
        Evaluation {
            m: vec![1],
            best: vec![mean],
            mean: vec![mean],
            worst: vec![mean],
            std: 0.02,
            images: 1,
            metrics: metrics.map(|(name, metric)| (name.to_owned(), metric)).into(),
            by_image: Default::default(),
        }
    }

    #[test]
    fn what_is_neither_better_nor_worse_does_not_fall() {
        let with_grain = |mean: f64, grain: f64| {
            let mut evaluation = evaluation(mean, 30.0, 20.0);
            let report =
                MetricReport { mean: grain, direction: Direction::Neither, ..evaluation.metrics["psnr"].clone() };
            evaluation.metrics = [("grain".to_owned(), report)].into();
            evaluation
        };
        assert!(of_evaluations(&[(0, &with_grain(0.6, 0.0)), (20, &with_grain(0.65, -9.0))]).is_empty());
    }

    #[test]
    fn collapse_and_hacking_are_told_apart() {
        let start = evaluation(0.6, 30.0, 20.0);
        let (up, down) = (evaluation(0.65, 30.1, 19.0), evaluation(0.55, 29.0, 22.0));
        let hacked = evaluation(0.65, 29.0, 22.0);
        assert!(of_evaluations(&[]).is_empty());
        assert!(of_evaluations(&[(0, &start)]).is_empty());
        assert!(of_evaluations(&[(0, &start), (20, &up)]).is_empty());
        assert!(of_evaluations(&[(0, &start), (20, &down)]).is_empty());
        let collapsed = of_evaluations(&[(0, &start), (20, &down), (40, &down)]);
        assert!(matches!(collapsed[..], [Alarm::Collapse { step: 40, .. }]));
        let playing = of_evaluations(&[(0, &start), (20, &up), (40, &hacked)]);
        let untrue = |step| Alarm::Hallucination { step, fell: vec!["psnr".into()] };
        assert_eq!(playing, [Alarm::Hacking { step: 40, fell: vec!["piqe".into(), "psnr".into()] }, untrue(40)]);
        assert!(playing[0].text().contains("piqe, psnr"));
        // One of two fell: no majority of those held out, but all that see the truth.
        assert_eq!(of_evaluations(&[(0, &start), (20, &evaluation(0.65, 29.0, 19.0))]), [untrue(20)]);
    }
}
