//! A comparison candidate by candidate: who gained, who lost, and the same comparison read the other way round.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use super::evaluation::{Comparison, ImageComparison};

/// One candidate before and after: the same LR image, the same seed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// Index into [`Comparison::by_image`].
    pub image: usize,
    /// Column of the seed, `0..M`.
    pub seed: usize,
    /// Reward before.
    pub before: f64,
    /// Reward after.
    pub after: f64,
}

impl Change {
    /// What was gained, in reward.
    pub fn gain(&self) -> f64 {
        self.after - self.before
    }

    /// The same candidate, read the other way round.
    pub fn swapped(self) -> Self {
        Self { before: self.after, after: self.before, ..self }
    }
}

impl Comparison {
    /// Every candidate with a finite reward on both sides, the most improved first, the most worsened last; equal gains
    /// stay in the order of images and seeds.
    pub fn changes(&self) -> Vec<Change> {
        let of_image = |(image, known): (usize, &ImageComparison)| {
            let pairs = known.reference.iter().zip(&known.policy).enumerate();
            let changes = pairs.filter_map(move |(seed, (before, after))| {
                let change = Change { image, seed, before: (*before)?, after: (*after)? };
                change.gain().is_finite().then_some(change)
            });
            changes.collect::<Vec<_>>()
        };
        let mut changes: Vec<Change> = self.by_image.iter().enumerate().flat_map(of_image).collect();
        changes.sort_by(|a, b| b.gain().partial_cmp(&a.gain()).unwrap_or(Ordering::Equal));
        changes
    }

    /// The same comparison with before and after exchanged.
    pub fn swapped(&self) -> Self {
        let swap = |image: &ImageComparison| ImageComparison {
            name: image.name.clone(),
            reference: image.policy.clone(),
            policy: image.reference.clone(),
        };
        let [a, b] = self.chosen.clone();
        Self {
            on: self.on,
            images: self.images,
            validation_images: self.validation_images,
            seeds: self.seeds,
            chosen: [b, a],
            trained_on: self.trained_on.clone(),
            a: self.b.clone(),
            b: self.a.clone(),
            reference: self.policy.clone(),
            policy: self.reference.clone(),
            intervals: self.intervals.swapped(),
            by_image: self.by_image.iter().map(swap).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::method::evaluation::Evaluation;
    use crate::method::provenance::{Chosen, On};
    use std::collections::BTreeMap;

    fn comparison() -> Comparison {
        let evaluation = |mean: f64| Evaluation {
            m: vec![1, 2],
            best: vec![mean; 2],
            mean: vec![mean; 2],
            worst: vec![mean; 2],
            std: 0.1,
            images: 2,
            metrics: BTreeMap::new(),
            by_image: Default::default(),
        };
        let image = |name: &str, reference: [Option<f64>; 2], policy: [Option<f64>; 2]| ImageComparison {
            name: name.into(),
            reference: reference.into(),
            policy: policy.into(),
        };
        Comparison {
            on: On::Test,
            images: 2,
            validation_images: 0,
            seeds: 2,
            a: "reference".into(),
            b: "run@3".into(),
            chosen: [Chosen::Name, Chosen::Last { why: "x".into() }],
            trained_on: Vec::new(),
            reference: evaluation(0.4),
            policy: evaluation(0.5),
            by_image: vec![
                image("x", [Some(0.5), None], [Some(0.4), Some(0.9)]),
                image("y", [Some(0.2), Some(f64::NAN)], [Some(0.6), Some(0.5)]),
            ],
            intervals: Default::default(),
        }
    }

    #[test]
    fn gains_come_in_order_and_absent_rewards_take_no_part() {
        let changes = comparison().changes();
        let places: Vec<_> = changes.iter().map(|c| (c.image, c.seed)).collect();
        assert_eq!(places, [(1, 0), (0, 0)]);
        assert!((changes[0].gain() - 0.4).abs() < 1e-12 && (changes[1].gain() + 0.1).abs() < 1e-12);
    }

    #[test]
    fn swapping_turns_every_gain_into_a_loss() {
        let original = comparison();
        let swapped = original.swapped();
        assert_eq!((swapped.a.as_str(), swapped.policy.std), ("run@3", original.reference.std));
        let back: Vec<Change> = swapped.changes().into_iter().rev().map(Change::swapped).collect();
        assert_eq!(back, original.changes());
    }
}
