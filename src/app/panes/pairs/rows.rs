//! The pairs as rows in an order, made away from the drawing thread and kept until ranking or order change.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::sync::Arc;

use crossbeam_channel::{Receiver, bounded};
use rayon::prelude::*;

use crate::app::state::judgements::PairKey;
use crate::app::state::rewards::RewardView;
use crate::method::overrides::Verdict;
use crate::method::{blind, hpo};
use crate::workspace::ImageId;

/// Below this many pairs rows are made within the frame.
const AT_ONCE: usize = 4000;

/// A pair with what is shown of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Row {
    pub image: ImageId,
    pub winner: u64,
    pub loser: u64,
    pub r_winner: f64,
    pub r_loser: f64,
    pub gap: f64,
    pub w_intra: f64,
    pub w_inter: f64,
    /// The weight; of an excluded pair the one it would have.
    pub weight: f64,
    pub verdict: Option<Verdict>,
}

impl Row {
    /// The same two candidates, in whichever order.
    pub fn is_same_pair(&self, other: &Row) -> bool {
        self.key() == other.key()
    }

    /// Its image and seeds, whichever of them wins.
    pub fn key(&self) -> PairKey {
        (self.image, self.winner.min(self.loser), self.winner.max(self.loser))
    }
}

/// What rows can be ordered by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Column {
    Image,
    Winner,
    Loser,
    RewardWinner,
    RewardLoser,
    Gap,
    Intra,
    Inter,
    #[default]
    Weight,
    Verdict,
}

impl Column {
    /// All of them, in the order they are shown.
    pub const ALL: [Column; 10] = [
        Column::Image,
        Column::Winner,
        Column::Loser,
        Column::RewardWinner,
        Column::RewardLoser,
        Column::Gap,
        Column::Intra,
        Column::Inter,
        Column::Weight,
        Column::Verdict,
    ];

    fn compare(self, a: &Row, b: &Row) -> Ordering {
        match self {
            Column::Image => a.image.cmp(&b.image),
            Column::Winner => a.winner.cmp(&b.winner),
            Column::Loser => a.loser.cmp(&b.loser),
            Column::RewardWinner => a.r_winner.total_cmp(&b.r_winner),
            Column::RewardLoser => a.r_loser.total_cmp(&b.r_loser),
            Column::Gap => a.gap.total_cmp(&b.gap),
            Column::Intra => a.w_intra.total_cmp(&b.w_intra),
            Column::Inter => a.w_inter.total_cmp(&b.w_inter),
            Column::Weight => a.weight.total_cmp(&b.weight),
            Column::Verdict => (a.verdict.map(|v| v as u8)).cmp(&b.verdict.map(|v| v as u8)),
        }
    }
}

/// Which pairs there are rows of.
#[derive(Clone, Debug, PartialEq)]
pub enum Only {
    All,
    Image(ImageId),
    /// Those on which people and the reward disagree.
    Disputed(Arc<BTreeSet<PairKey>>),
}

/// The order of the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    Up(Column),
    Down(Column),
    /// As pairs are judged blindly with this seed.
    Shuffled(u64),
}

/// What the rows follow from.
#[derive(Clone)]
pub struct Key {
    pub rewards: Arc<RewardView>,
    pub only: Only,
    pub order: Order,
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.rewards, &other.rewards) && self.order == other.order && self.only == other.only
    }
}

/// Rows, and those on their way.
#[derive(Default)]
pub struct Rows {
    known: Option<(Key, Arc<Vec<Row>>)>,
    coming: Option<(Key, Receiver<Vec<Row>>)>,
}

impl Rows {
    /// The rows as they were shown last.
    pub fn last(&self) -> Arc<Vec<Row>> {
        self.known.as_ref().map(|(_, rows)| rows.clone()).unwrap_or_default()
    }

    /// The rows for a key, or the last known until those are made. True with rows that are new since the last call.
    pub fn get(&mut self, key: Key, wake: &egui::Context) -> (Arc<Vec<Row>>, bool) {
        let mut is_new = false;
        if let Some((made, rows)) = self.coming.take() {
            match rows.try_recv() {
                Ok(rows) => {
                    self.known = Some((made, Arc::new(rows)));
                    is_new = true;
                }
                Err(crossbeam_channel::TryRecvError::Empty) => self.coming = Some((made, rows)),
                Err(crossbeam_channel::TryRecvError::Disconnected) => {}
            }
        }
        let is_known = self.known.as_ref().is_some_and(|(known, _)| *known == key);
        if !is_known && self.coming.is_none() {
            let curation = &key.rewards.ranking.curation;
            let pairs = match &key.only {
                Only::All => curation.pairs().len(),
                Only::Image(image) => key.rewards.place(*image).map_or(0, |at| curation.pairs_of(at.group).len()),
                Only::Disputed(_) => curation.pairs().len(),
            };
            if pairs <= AT_ONCE {
                let rows = make(&key);
                self.known = Some((key, Arc::new(rows)));
                is_new = true;
            } else {
                let (sender, receiver) = bounded(1);
                self.coming = Some((key.clone(), receiver));
                let wake = wake.clone();
                rayon::spawn(move || {
                    // Fails only when the pane is gone.
                    let _ = sender.send(make(&key));
                    wake.request_repaint();
                });
            }
        }
        (self.last(), is_new)
    }
}

/// The rows in their order: the pairs of the ranking and the excluded ones.
pub fn make(key: &Key) -> Vec<Row> {
    let groups = match &key.only {
        Only::All | Only::Disputed(_) => 0..key.rewards.ranking.curation.len(),
        Only::Image(image) => match key.rewards.place(*image).filter(|place| !place.held_out) {
            Some(place) => place.group..place.group + 1,
            None => 0..0,
        },
    };
    let mut rows: Vec<Row> = groups.into_par_iter().flat_map_iter(|group| rows_of(&key.rewards, group)).collect();
    if let Only::Disputed(pairs) = &key.only {
        rows.retain(|row| pairs.contains(&row.key()));
    }
    match key.order {
        Order::Up(column) => rows.par_sort_by(|a, b| column.compare(a, b)),
        Order::Down(column) => rows.par_sort_by(|a, b| column.compare(a, b).reverse()),
        Order::Shuffled(seed) => rows.par_sort_by_cached_key(|row| {
            let (image, a, b) = row.key();
            (blind::place(seed, image.0, [a, b]).0, row.key())
        }),
    }
    rows
}

fn rows_of(view: &RewardView, group: usize) -> Vec<Row> {
    let ranking = &view.ranking;
    let (curation, scores) = (&ranking.curation, &ranking.scores);
    let (Some(known), Some(&image)) = (curation.groups().get(group), scores.train.images.get(group)) else {
        return Vec::new();
    };
    let overrides = scores.overrides.of_group(group);
    let rewards = ranking.rewards.group(group);
    let reward = |column: u16| rewards.get(usize::from(column)).copied().unwrap_or(f64::NAN);
    let seed = |column: u16| scores.seeds.get(usize::from(column)).copied().unwrap_or_default();
    let row = |winner: u16, loser: u16, verdict: Option<Verdict>| {
        let (r_winner, r_loser) = (reward(winner), reward(loser));
        let gap = (r_winner - r_loser).abs();
        let w_intra = hpo::w_intra(gap, known.mean_gap, curation.hpo().alpha_intra);
        let (winner, loser) = (seed(winner), seed(loser));
        let (w_inter, weight) = (known.w_inter, w_intra * known.w_inter);
        Row { image, winner, loser, r_winner, r_loser, gap, w_intra, w_inter, weight, verdict }
    };
    let chosen = curation.pairs_of(group).iter();
    let mut rows: Vec<Row> = chosen
        .map(|pair| row(pair.winner, pair.loser, overrides.on(pair.winner, pair.loser).map(|o| o.verdict)))
        .collect();
    let excluded = overrides.iter().filter(|o| o.verdict == Verdict::Exclude);
    rows.extend(excluded.map(|o| row(o.winner, o.loser, Some(Verdict::Exclude))));
    rows
}
