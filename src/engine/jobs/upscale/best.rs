//! The best of several outputs by the no-reference reward, with one picture in memory.

use std::sync::Arc;

use crate::engine::context::Context;
use crate::engine::metrics::{self, Open};
use crate::imaging::Image;
use crate::iqa::Features;
use crate::iqa::lr::LowRes;
use crate::method::bounds::Bounds;
use crate::method::recipe::{Recipe, Reward, Scope};
use crate::method::reward::{RewardPlan, Rewards};
use crate::method::scores::ScoreTable;
use crate::{Error, Result};

/// Scores of the outputs of one picture.
pub struct Best {
    reward: Reward,
    metrics: Open,
    /// Of each output, in the order of the metrics.
    scores: Vec<Vec<f64>>,
}

impl Best {
    /// For outputs whose shorter side is `side_px`. Metrics that need larger images are left out. Errors: none is left.
    pub fn of(context: &Context, recipe: &Recipe, side_px: usize) -> Result<Self> {
        let mut judged = recipe.clone();
        // Only what is judged by is opened, and pictures are no crops.
        judged.data.crop_px = 0;
        judged.reward = Reward { scope: Scope::PerGroup, fr_balance: 0.0, held_out: Vec::new(), ..judged.reward };
        judged.reward.fr.clear();
        let defined = |name: &str| metrics::info(recipe, name).is_some_and(|info| info.min_size_px <= side_px);
        judged.reward.nr.retain(|name, weight| *weight > 0.0 && defined(name));
        if judged.reward.nr.is_empty() {
            return Err(Error::invalid(format!("no no-reference metric of the recipe is defined on {side_px} px")));
        }
        let metrics = context.open_metrics(&judged)?;
        Ok(Self { reward: judged.reward, metrics, scores: Vec::new() })
    }

    /// The metrics and their weights, as one text.
    pub fn reward(&self) -> String {
        self.reward.nr.iter().map(|(name, weight)| format!("{name}={weight}")).collect::<Vec<_>>().join(" ")
    }

    /// Scores one more output of an LR image.
    pub fn add(&mut self, image: &Arc<Image>, lr: &Image) -> Result<()> {
        let features = Features::default().of_lr(LowRes { image: Arc::new(lr.clone()), made_by: None });
        let scorers = self.metrics.scorers.iter();
        let scores = scorers.map(|scorer| scorer.bind(None, &features)?.score(image, &features));
        self.scores.push(scores.collect::<Result<_>>()?);
        Ok(())
    }

    /// Index of the output with the highest reward among those so far. One more may change it for another that was there
    /// before: scores are normalized within the group.
    pub fn index(&self) -> Result<usize> {
        let columns = self.metrics.set.columns.clone();
        let mut table = ScoreTable::new(vec![false], self.scores.len(), columns)?;
        for (output, scores) in self.scores.iter().enumerate() {
            for (column, &score) in scores.iter().enumerate() {
                table.set(0, output, column, score)?;
            }
        }
        let mut rewards = Rewards::default();
        rewards.compute(&table, &RewardPlan::new(&table, &self.reward, &Bounds::default())?);
        let best = rewards.group(0).iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
        Ok(best.map_or(0, |(index, _)| index))
    }
}
