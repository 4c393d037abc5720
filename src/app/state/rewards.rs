//! A ranking with what the panes ask of it by image.

use std::collections::HashMap;
use std::sync::Arc;

use crate::engine::ranking::{GroupStats, Part, Ranking};
use crate::workspace::ImageId;

/// Where an image stands in a ranking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub held_out: bool,
    /// Its group in the tables of its part.
    pub group: usize,
}

/// A ranking and its index by image.
#[derive(Debug)]
pub struct RewardView {
    pub ranking: Arc<Ranking>,
    places: Arc<HashMap<ImageId, Place>>,
    /// The largest σ_g, for bars.
    pub max_sigma: f64,
}

impl RewardView {
    /// Indexes a ranking; of the same scores as `before`, as while a slider moves, its images stand where they stood.
    pub fn new(ranking: Arc<Ranking>, before: Option<&RewardView>) -> Self {
        let scores = &ranking.scores;
        let places = match before.filter(|before| Arc::ptr_eq(&before.ranking.scores, scores)) {
            Some(before) => before.places.clone(),
            None => {
                let of = |held_out: bool, part: &Part| -> Vec<(ImageId, Place)> {
                    let images = part.images.iter().enumerate();
                    images.map(|(group, &image)| (image, Place { held_out, group })).collect()
                };
                Arc::new([of(false, &scores.train), of(true, &scores.held_out)].concat().into_iter().collect())
            }
        };
        let max_sigma = ranking.stats.iter().flatten().map(|stats| stats.sigma).fold(0.0, f64::max);
        Self { ranking, places, max_sigma }
    }

    /// Where an image stands.
    pub fn place(&self, image: ImageId) -> Option<Place> {
        self.places.get(&image).copied()
    }

    /// An image at a glance.
    pub fn stats(&self, image: ImageId) -> Option<GroupStats> {
        let place = self.place(image)?;
        self.ranking.stats[usize::from(place.held_out)].get(place.group).copied()
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
