//! A ranking with what the panes ask of it by image.

use std::collections::HashMap;
use std::sync::Arc;

use crate::engine::ranking::{Part, Ranking};
use crate::method::hpo;
use crate::workspace::ImageId;

/// Where an image stands in a ranking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub held_out: bool,
    /// Its group in the tables of its part.
    pub group: usize,
}

/// An image at a glance.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GroupStats {
    /// Candidates with a reward.
    pub scored: usize,
    /// Mean reward; NaN without any.
    pub mean: f64,
    /// σ_g: standard deviation of the reward; NaN with fewer than two.
    pub sigma: f64,
}

/// A ranking and its index by image.
#[derive(Debug)]
pub struct RewardView {
    pub ranking: Arc<Ranking>,
    places: HashMap<ImageId, Place>,
    stats: HashMap<ImageId, GroupStats>,
    /// The largest σ_g, for bars.
    pub max_sigma: f64,
}

impl RewardView {
    /// Indexes a ranking.
    pub fn new(ranking: Arc<Ranking>) -> Self {
        let mut places = HashMap::new();
        let mut stats = HashMap::new();
        let mut max_sigma = 0.0f64;
        let scores = &ranking.scores;
        for (held_out, part, rewards) in
            [(false, &scores.train, &ranking.rewards), (true, &scores.held_out, &ranking.held_out)]
        {
            for (group, &image) in part.images.iter().enumerate() {
                places.insert(image, Place { held_out, group });
                let values = rewards.group(group);
                let (sum, scored) =
                    values.iter().filter(|r| !r.is_nan()).fold((0.0, 0usize), |(s, n), r| (s + r, n + 1));
                let mean = if scored > 0 { sum / scored as f64 } else { f64::NAN };
                let sigma = if scored > 1 { hpo::sigma(values) } else { f64::NAN };
                max_sigma = max_sigma.max(sigma);
                stats.insert(image, GroupStats { scored, mean, sigma });
            }
        }
        Self { ranking, places, stats, max_sigma }
    }

    /// Where an image stands.
    pub fn place(&self, image: ImageId) -> Option<Place> {
        self.places.get(&image).copied()
    }

    /// An image at a glance.
    pub fn stats(&self, image: ImageId) -> Option<GroupStats> {
        self.stats.get(&image).copied()
    }

    /// The tables an image belongs to.
    pub fn part(&self, place: Place) -> &Part {
        if place.held_out { &self.ranking.scores.held_out } else { &self.ranking.scores.train }
    }

    /// Rewards of an image's candidates by column, NaN where absent.
    pub fn rewards(&self, place: Place) -> &[f64] {
        if place.held_out { self.ranking.held_out.group(place.group) } else { self.ranking.rewards.group(place.group) }
    }

    /// FR and NR half of a candidate's reward, NaN where absent.
    pub fn halves_of(&self, place: Place, column: usize) -> [f64; 2] {
        let rewards = if place.held_out { &self.ranking.held_out } else { &self.ranking.rewards };
        let value = |values: &[f64]| values.get(column).copied().unwrap_or(f64::NAN);
        [value(rewards.fr(place.group)), value(rewards.nr(place.group))]
    }

    /// Column of a seed in all tables.
    pub fn column_of_seed(&self, seed: u64) -> Option<usize> {
        self.ranking.scores.seeds.iter().position(|&s| s == seed)
    }

    /// Columns of the winners and of the losers, best first; none for held-out images, which make no pairs.
    pub fn winners_losers(&self, place: Place) -> (&[u16], &[u16]) {
        if place.held_out {
            return (&[], &[]);
        }
        (self.ranking.curation.winners(place.group), self.ranking.curation.losers(place.group))
    }

    /// Columns from best to worst reward, those without a reward last.
    pub fn order(&self, place: Place) -> Vec<u16> {
        let rewards = self.rewards(place);
        let mut order = vec![0; rewards.len()];
        crate::method::curation::rank(rewards, &mut order);
        order
    }
}
