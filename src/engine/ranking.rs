//! From the ledger's rows to the method's tables: scores, rewards, ranking, pairs, weights.

use std::collections::HashMap;
use std::sync::Arc;

use crate::Result;
use crate::method::attribution::Attribution;
use crate::method::bounds::{Bounds, MinMax};
use crate::method::curation::Curation;
use crate::method::hpo;
use crate::method::overrides::{Overrides, PairOverride};
use crate::method::provenance::On;
use crate::method::recipe::{Recipe, Reward, Scope};
use crate::method::regardless;
use crate::method::reward::{RewardPlan, Rewards};
use crate::method::scores::ScoreTable;
use crate::method::seed_effect;
use crate::method::summary::{PairChange, Summary};
use crate::weights::Store;
use crate::workspace::{CandidateSet, ImageId, ImageRow, Workspace};

use super::metrics::MetricSet;

/// Bins of the histograms in [`Ranking::summary`].
const BINS: usize = 40;

/// Scores of candidates as read from the ledger: what stays the same while a slider moves.
#[derive(Clone, Debug)]
pub struct Scores {
    /// The candidates.
    pub set: CandidateSet,
    /// Seeds, in the order of the tables' columns.
    pub seeds: Vec<u64>,
    /// The images trained on, one group each.
    pub train: Part,
    /// The held-out images read.
    pub held_out: Part,
    /// The frozen reward bounds; `None` before they are frozen.
    pub frozen: Option<Frozen>,
    /// A person's verdicts; groups are indices into `train`.
    pub overrides: Overrides,
}

/// Bounds that no longer move.
#[derive(Clone, Debug, Default)]
pub struct Frozen {
    /// Minimum and maximum of each metric.
    pub extremes: Bounds,
    /// The quantiles in the same form; they lack metrics that were frozen before quantiles were kept.
    pub quantiles: Bounds,
}

/// Images and their scores.
#[derive(Clone, Debug)]
pub struct Part {
    /// The images, one group each.
    pub images: Vec<ImageId>,
    /// Of each image, which start noise its seeds stand for: pictures of one size have the same.
    pub noise: Vec<usize>,
    /// Raw scores, group × metric × seed.
    pub table: ScoreTable,
}

/// Width and height of the LR image.
fn size_px(row: &ImageRow) -> [u32; 2] {
    [row.lr_width_px, row.lr_height_px]
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

impl GroupStats {
    fn of(rewards: &[f64]) -> Self {
        let (sum, scored) = rewards.iter().filter(|r| !r.is_nan()).fold((0.0, 0usize), |(s, n), r| (s + r, n + 1));
        let mean = if scored > 0 { sum / scored as f64 } else { f64::NAN };
        Self { scored, mean, sigma: if scored > 1 { hpo::sigma(rewards) } else { f64::NAN } }
    }
}

/// Everything that follows from scores and a recipe.
#[derive(Clone, Debug)]
pub struct Ranking {
    /// What it follows from.
    pub scores: Arc<Scores>,
    /// The bounds used: those of the reward's scale, frozen or as they would be frozen now; of a scale without bounds the frozen ones.
    pub bounds: Bounds,
    /// How the rewards come about; `None` where there are none.
    pub plan: Option<RewardPlan>,
    /// Rewards of the images trained on.
    pub rewards: Rewards,
    /// Their ranking, pairs and weights.
    pub curation: Curation,
    /// The pairs at a glance.
    pub summary: Summary,
    /// Rewards of the held-out images, on the scale of the others.
    pub held_out: Rewards,
    /// The same on the frozen scale, where the recipe's is another and the frozen one is known.
    frozen: Option<Rewards>,
    is_judged_as_frozen: bool,
    /// The groups at a glance: of the images trained on, and of the held-out ones. On the frozen scale where the reward of every
    /// group is 0 on average.
    pub stats: [Vec<GroupStats>; 2],
    /// Why there are no rewards, where there are none.
    pub missing: Option<String>,
    /// What of the recipe does nothing with these images, and why.
    pub without_effect: Option<String>,
    /// What an edit changed, where the recipe before it was named.
    pub change: Option<PairChange>,
    /// The pairs at a glance under the recipe before the edit.
    pub before: Option<Summary>,
}

impl Scores {
    /// Reads what the ledger knows of the candidates `set` under the recipe: of all images trained on, and of the held-out
    /// images `on`. What metrics are opened with is in `store`.
    pub fn read(
        workspace: &Workspace,
        set: &CandidateSet,
        recipe: &Recipe,
        seeds: Vec<u64>,
        on: On,
        store: &Store,
    ) -> Result<Self> {
        let ledger = workspace.ledger();
        let metrics = MetricSet::of(recipe, store)?;
        let column_of: HashMap<u64, usize> = seeds.iter().enumerate().map(|(i, &s)| (s, i)).collect();
        let (mut held_out, train): (Vec<ImageRow>, Vec<ImageRow>) =
            ledger.images()?.into_iter().partition(ImageRow::is_held_out);
        held_out.retain(|image| image.split.is_in(on));
        let part = |rows: &[ImageRow]| -> Result<Part> {
            let has_hr = rows.iter().map(|row| row.hr_path.is_some()).collect();
            let table = ScoreTable::new(has_hr, seeds.len(), metrics.columns.clone())?;
            let mut sizes: Vec<[u32; 2]> = rows.iter().map(size_px).collect();
            sizes.sort_unstable();
            sizes.dedup();
            let noise = rows.iter().map(|row| sizes.partition_point(|size| *size < size_px(row))).collect();
            Ok(Part { images: rows.iter().map(|row| row.id).collect(), noise, table })
        };
        let mut parts = [part(&train)?, part(&held_out)?];
        let mut place: HashMap<ImageId, (usize, usize)> = HashMap::new();
        for (p, part) in parts.iter().enumerate() {
            place.extend(part.images.iter().enumerate().map(|(group, &id)| (id, (p, group))));
        }
        let rows = ledger.scores(set, &metrics.keys)?;
        for (index, candidate) in rows.candidates().iter().enumerate() {
            let (Some(&(part, group)), Some(&seed)) = (place.get(&candidate.image), column_of.get(&candidate.seed))
            else {
                continue;
            };
            let table = &mut parts[part].table;
            for (metric, &score) in rows.row(index).iter().enumerate() {
                if score.is_finite() && (table.has_hr(group) || !metrics.columns[metric].is_fr()) {
                    table.set(group, seed, metric, score)?;
                }
            }
        }
        let [train, held_out] = parts;
        let mut overrides = Overrides::default();
        let group_of = |id| train.images.iter().position(|&image| image == id);
        for row in ledger.overrides(set)? {
            let seed = |s: u64| column_of.get(&s).and_then(|&c| u16::try_from(c).ok());
            if let (Some(group), Some(winner), Some(loser)) =
                (group_of(row.image), seed(row.winner_seed), seed(row.loser_seed))
            {
                overrides.set(PairOverride { group, winner, loser, verdict: row.kind.into() })?;
            }
        }
        let known: Vec<_> = ledger.bounds()?.into_iter().filter(|b| metrics.keys.contains(&b.metric)).collect();
        let frozen = (!known.is_empty()).then(|| {
            let mut frozen = Frozen::default();
            for b in known {
                if let Some([min, max]) = b.quantiles {
                    frozen.quantiles.0.insert(b.metric.metric.clone(), MinMax { min, max });
                }
                frozen.extremes.0.insert(b.metric.metric, MinMax { min: b.min, max: b.max });
            }
            frozen
        });
        Ok(Self { set: set.clone(), seeds, train, held_out, frozen, overrides })
    }

    /// Whether a metric counts that has no frozen bounds.
    pub fn lacks_bounds(&self, recipe: &Recipe) -> bool {
        let table = self.basis();
        // Without any HR the FR metrics have no scores to fit bounds on, nor need they any.
        let counts =
            |name: &str| table.has_any_hr() || table.column_of(name).is_none_or(|c| !table.columns()[c].is_fr());
        let of_scope = |frozen: &Frozen, name: &str| match recipe.reward.scope {
            Scope::Robust => frozen.quantiles.get(name),
            _ => frozen.extremes.get(name),
        };
        let known = |name: &str| self.frozen.as_ref().is_some_and(|frozen| of_scope(frozen, name).is_some());
        recipe.reward.scope.needs_frozen() && !recipe.trained_metrics().iter().all(|name| known(name) || !counts(name))
    }

    /// What bounds are fitted on: the images trained on; where there are none, as of candidates that are only compared, the others.
    fn basis(&self) -> &ScoreTable {
        if self.train.images.is_empty() { &self.held_out.table } else { &self.train.table }
    }

    /// The frozen bounds, completed by what would be frozen now.
    pub fn bounds(&self) -> Bounds {
        let mut bounds = Bounds::fit(self.basis());
        bounds.0.extend(self.frozen.iter().flat_map(|frozen| frozen.extremes.0.clone()));
        bounds
    }

    /// The frozen quantiles, completed in the same way.
    pub fn quantiles(&self) -> Bounds {
        let mut bounds = Bounds::fit_quantiles(self.basis());
        bounds.0.extend(self.frozen.iter().flat_map(|frozen| frozen.quantiles.0.clone()));
        bounds
    }

    /// The bounds that a reward is normalized by; of those that need none, the frozen ones.
    fn bounds_of(&self, reward: &Reward) -> Result<Bounds> {
        match reward.scope {
            Scope::Robust => Ok(self.quantiles()),
            Scope::Fixed => Bounds::typed(&reward.bounds),
            Scope::Frozen | Scope::PerGroup | Scope::Decoupled => Ok(self.bounds()),
        }
    }

    /// Rewards of the images trained on and of the held-out ones, and the plan they were computed by.
    fn rewards(&self, reward: &Reward, bounds: &Bounds) -> Result<(RewardPlan, [Rewards; 2])> {
        let plan = RewardPlan::new(self.basis(), reward, bounds)?;
        let of = |part: &Part| {
            let mut rewards = Rewards::default();
            rewards.compute(&part.table, &plan);
            rewards
        };
        let both = [of(&self.train), of(&self.held_out)];
        Ok((plan, both))
    }

    /// Ranks, pairs and weighs under a recipe.
    pub fn rank(self: &Arc<Self>, recipe: &Recipe) -> Result<Ranking> {
        let mut ranking = Ranking {
            scores: self.clone(),
            bounds: self.bounds_of(&recipe.reward)?,
            plan: None,
            rewards: Rewards::default(),
            curation: Curation::default(),
            summary: Summary::default(),
            held_out: Rewards::default(),
            frozen: None,
            is_judged_as_frozen: recipe.reward.scope.is_judged_as_frozen(),
            stats: Default::default(),
            missing: None,
            without_effect: None,
            change: None,
            before: None,
        };
        let mut hpo = recipe.hpo.clone();
        let mut trained_on_frozen = None;
        match self.rewards(&recipe.reward, &ranking.bounds) {
            Ok((plan, [rewards, held_out])) => {
                (ranking.rewards, ranking.held_out) = (rewards, held_out);
                if recipe.reward.scope != Scope::Frozen {
                    let frozen = Reward { scope: Scope::Frozen, ..recipe.reward.clone() };
                    // Without bounds there is no such scale: a policy's candidates of a workspace that froze none.
                    if let Ok((_, [of_train, held_out])) = self.rewards(&frozen, &self.bounds()) {
                        if recipe.reward.scope.weighs_as_frozen() {
                            hpo = hpo.times(hpo::as_frozen(&ranking.rewards, &of_train));
                        }
                        (ranking.frozen, trained_on_frozen) = (Some(held_out), Some(of_train));
                    }
                }
                let table = &self.train.table;
                let columns: Vec<usize> =
                    recipe.reward.regardless_scores().filter_map(|name| table.column_of(name)).collect();
                let noise = recipe.reward.is_regardless_of_seeds().then_some(&self.train.noise[..]);
                regardless::take_out(&mut ranking.rewards, table, &columns, noise);
                let why = noise.and_then(seed_effect::why_unknown);
                ranking.without_effect = why.map(|why| format!("reward.regardless=seed: {why}"));
                ranking.plan = Some(plan);
            }
            Err(error) => {
                let none = |part: &Part| {
                    let seeds = self.seeds.len();
                    Rewards::from_values(seeds, vec![f64::NAN; part.images.len() * seeds])
                };
                (ranking.rewards, ranking.held_out) = (none(&self.train)?, none(&self.held_out)?);
                ranking.missing = Some(error.to_string());
            }
        }
        let Ranking { rewards, curation, .. } = &mut ranking;
        curation.update(rewards, &recipe.curation, &hpo, &self.overrides)?;
        if hpo.effective_share > 0.0 && recipe.why_idle("hpo.effective_share").is_none() {
            let factor = hpo::factor_for(hpo.effective_share, curation, rewards, &hpo);
            curation.update(rewards, &recipe.curation, &hpo.times(factor), &self.overrides)?;
        }
        let glance = |rewards: &Rewards, part: &Part| {
            (0..part.images.len()).map(|group| GroupStats::of(rewards.group(group))).collect()
        };
        let at_a_glance = match &trained_on_frozen {
            Some(of_train) if ranking.is_judged_as_frozen => [of_train, ranking.judged()],
            _ => [&ranking.rewards, &ranking.held_out],
        };
        ranking.stats = [glance(at_a_glance[0], &self.train), glance(at_a_glance[1], &self.held_out)];
        ranking.summary = Summary::of(&ranking.curation, &ranking.rewards, BINS);
        Ok(ranking)
    }
}

impl Ranking {
    /// Rewards of the held-out images by which checkpoints are judged.
    pub fn judged(&self) -> &Rewards {
        self.frozen.as_ref().filter(|_| self.is_judged_as_frozen).unwrap_or(&self.held_out)
    }

    /// What the mean of a group at a glance is of.
    pub fn mean_name(&self) -> &'static str {
        if self.is_judged_as_frozen && self.frozen.is_some() { "frozen R" } else { "mean R" }
    }

    /// The same on the frozen scale, where that is known and another.
    pub fn also_frozen(&self) -> Option<&Rewards> {
        self.frozen.as_ref().filter(|_| !self.is_judged_as_frozen)
    }

    /// Which metric decides it, under the recipe that it was made with. Errors: there are no rewards.
    pub fn attribution(&self, recipe: &Recipe) -> Result<Attribution> {
        let table = &self.scores.train.table;
        let plan = RewardPlan::new(table, &recipe.reward, &self.bounds)?;
        let attribution = Attribution::of(table, &plan, &recipe.reward, &self.rewards, &self.curation);
        Ok(attribution.with_seeds(table, &self.scores.train.noise))
    }
}
