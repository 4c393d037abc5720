//! What a person said about single pairs, and how often the reward agrees.
//!
//! An override belongs to two candidates of a group and is stored in the order in which the pair was shown, so it
//! keeps its meaning when the reward is changed later and ranks the two the other way round.

use serde::{Deserialize, Serialize};

use super::reward::Rewards;
use crate::{Error, Result};

/// A person's word on a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The two are not trained on as a pair, in whichever order.
    Exclude,
    /// The loser is the better one: where the two are chosen as a pair, it is trained as the winner.
    Flip,
    /// The pair is trained on as it stands, even where the ratio or the ranking would no longer choose it.
    Pin,
}

/// A verdict on a pair as it was shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PairOverride {
    pub group: usize,
    pub winner: u16,
    pub loser: u16,
    pub verdict: Verdict,
}

impl PairOverride {
    /// (winner, loser) as the person holds it; `None` for an excluded pair.
    pub fn preferred(&self) -> Option<(u16, u16)> {
        match self.verdict {
            Verdict::Exclude => None,
            Verdict::Flip => Some((self.loser, self.winner)),
            Verdict::Pin => Some((self.winner, self.loser)),
        }
    }

    fn place(&self) -> (usize, u16, u16) {
        place(self.group, self.winner, self.loser)
    }
}

fn place(group: usize, a: u16, b: u16) -> (usize, u16, u16) {
    (group, a.min(b), a.max(b))
}

/// All overrides, at most one for two candidates.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// Sorted by group, then by the two seeds in ascending order.
    sorted: Vec<PairOverride>,
}

impl Overrides {
    /// Adds a verdict and returns the one it replaces. Errors: winner and loser are the same candidate.
    pub fn set(&mut self, new: PairOverride) -> Result<Option<PairOverride>> {
        if new.winner == new.loser {
            return Err(Error::invalid(format!(
                "seed {} of image {} cannot be paired with itself",
                new.winner, new.group
            )));
        }
        match self.search(new.place()) {
            Ok(at) => Ok(Some(std::mem::replace(&mut self.sorted[at], new))),
            Err(at) => {
                self.sorted.insert(at, new);
                Ok(None)
            }
        }
    }

    /// Takes back the verdict on two candidates, in whichever order.
    pub fn remove(&mut self, group: usize, a: u16, b: u16) -> Option<PairOverride> {
        let at = self.search(place(group, a, b)).ok()?;
        Some(self.sorted.remove(at))
    }

    /// All verdicts, by group.
    pub fn all(&self) -> &[PairOverride] {
        &self.sorted
    }

    /// The verdicts on a group.
    pub fn of_group(&self, group: usize) -> GroupOverrides<'_> {
        let start = self.sorted.partition_point(|o| o.group < group);
        let end = self.sorted.partition_point(|o| o.group <= group);
        GroupOverrides(&self.sorted[start..end])
    }

    /// How often the reward ranks two candidates as the person does, over flipped and pinned pairs whose
    /// candidates both have a reward. Equal rewards count one half.
    pub fn agreement(&self, rewards: &Rewards) -> Agreement {
        let mut sum = Agreement::default();
        for known in &self.sorted {
            let Some((winner, loser)) = known.preferred() else {
                continue;
            };
            let reward = |seed: u16| rewards.get(known.group, seed.into());
            if let (Some(winner), Some(loser)) = (reward(winner), reward(loser)) {
                sum.judged += 1;
                sum.agreeing += match winner.total_cmp(&loser) {
                    std::cmp::Ordering::Greater => 1.0,
                    std::cmp::Ordering::Equal => 0.5,
                    std::cmp::Ordering::Less => 0.0,
                };
            }
        }
        sum
    }

    fn search(&self, place: (usize, u16, u16)) -> Result<usize, usize> {
        self.sorted.binary_search_by_key(&place, PairOverride::place)
    }
}

/// The verdicts on one group.
#[derive(Clone, Copy, Debug)]
pub struct GroupOverrides<'a>(&'a [PairOverride]);

impl<'a> GroupOverrides<'a> {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The verdict on two candidates, in whichever order they are given.
    pub fn on(&self, a: u16, b: u16) -> Option<&'a PairOverride> {
        let wanted = (a.min(b), a.max(b));
        let seeds = |o: &PairOverride| (o.winner.min(o.loser), o.winner.max(o.loser));
        let at = self.0.binary_search_by_key(&wanted, seeds).ok()?;
        Some(&self.0[at])
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &'a PairOverride> {
        self.0.iter()
    }
}

/// Agreement of a person with the reward.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Agreement {
    /// Pairs on which the reward agrees; halves come from equal rewards.
    pub agreeing: f64,
    /// Pairs judged.
    pub judged: usize,
}

impl Agreement {
    /// Share of the judged pairs, `None` where nothing was judged.
    pub fn share(&self) -> Option<f64> {
        (self.judged > 0).then(|| self.agreeing / self.judged as f64)
    }
}
