//! The recipe: every setting of a run, from the number of seeds to the learning rate, as one value.
//!
//! The structs here hold the values and the defaults. What a setting means (label, unit, range, formula) is in
//! the table of [`super::fields`], which the studio's Recipe pane, `--set key=value` and the docs all read.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use super::choices::{
    Activations, Augmentation, Events, Mode, Objective, PairNoise, RoundReference, Scope, TimeWeights, Times, Winners,
};
use super::seed_effect;
use crate::backbones::products::Products;
use crate::backbones::solver::Solver;
use crate::backbones::stored::Keep;
use crate::imaging::color_fix::ColorFix;
use crate::imaging::quantize::Rounding;
use crate::iqa::{Direction, External, Info, Kind};
use crate::{Error, Result};

/// All settings of a run. `Recipe::default()` are the defaults shown in the studio.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Recipe {
    pub data: Data,
    pub sampling: Sampling,
    pub reward: Reward,
    pub metrics: Metrics,
    pub curation: Curation,
    pub hpo: Hpo,
    pub training: Training,
}

/// Which part of the photographs is used, and how LR images come about where only HR is given.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Data {
    pub crop_px: usize,
    pub crops: usize,
    pub held_out_crops: usize,
    pub degradation: String,
    pub unverified_weights: Vec<String>,
}

/// Sampling the candidates (method §1).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sampling {
    pub backbone: String,
    pub imported: String,
    pub m: usize,
    pub first_seed: u64,
    pub steps: usize,
    /// Recipes written before had it as `method`.
    #[serde(alias = "method")]
    pub solver: Solver,
    pub guidance: f64,
    pub negative_prompt: String,
    /// Recipes written before had it as `colour_fix`.
    #[serde(alias = "colour_fix")]
    pub color_fix: ColorFix,
    pub rounding: Rounding,
    pub latents: Keep,
    pub precision: Products,
    pub tile_px: usize,
    pub tile_overlap_px: usize,
    pub memory_budget_mib: usize,
}

/// The hybrid perceptual reward (method §2).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Reward {
    pub fr: BTreeMap<String, f64>,
    pub nr: BTreeMap<String, f64>,
    pub fr_balance: f64,
    pub scope: Scope,
    pub bounds: String,
    pub regardless: Vec<String>,
    pub held_out: Vec<String>,
}

/// Metrics beside those of the program.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Metrics {
    pub border_px: usize,
    pub external: Vec<External>,
}

/// Choosing winners and losers (method §3).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Curation {
    pub ratio: f64,
}

/// Hierarchical preference optimization (method §4).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Hpo {
    pub alpha_intra: f64,
    pub alpha_inter: f64,
    pub effective_share: f64,
}

/// Fine-tuning with the Diffusion-DPO loss (method §5).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Training {
    pub objective: Objective,
    pub beta: f64,
    pub anchor: f64,
    pub mixture: f64,
    pub times: Times,
    pub time_weights: TimeWeights,
    pub noise: PairNoise,
    pub winners: Winners,
    pub learning_rate: f64,
    pub warmup_steps: usize,
    pub steps: usize,
    pub batch_pairs: usize,
    pub accumulation: usize,
    pub activations: Activations,
    pub augmentation: Augmentation,
    pub grad_clip: f64,
    pub weight_decay: f64,
    pub ema_decay: f64,
    pub mode: Mode,
    pub lora_rank: usize,
    pub lora_alpha: f64,
    pub frozen: Vec<String>,
    pub seed: u64,
    pub eval_every: usize,
    pub eval_seeds: usize,
    pub early_stop_evaluations: usize,
    pub checkpoint_every: usize,
    pub state_every_steps: usize,
    pub state_every_secs: usize,
    pub events: Events,
    pub rounds: usize,
    pub round_reference: RoundReference,
    pub pool_rounds: usize,
}

impl Default for Data {
    fn default() -> Self {
        // 192 px is the least that every metric is defined on: NIQE needs two of its 96-px blocks a side, MS-SSIM 161 px.
        Self {
            crop_px: 192,
            crops: 63,
            held_out_crops: 12,
            degradation: "bicubic_x4".into(),
            unverified_weights: Vec::new(),
        }
    }
}

impl Default for Sampling {
    fn default() -> Self {
        Self {
            backbone: "mini".into(),
            imported: String::new(),
            m: 16,
            first_seed: 0,
            // Measured on `mini` by ST-LPIPS: best at 8 steps of Heun; 7 cost less than 1 % of it, 10 of Euler 14 %.
            steps: 7,
            solver: Solver::Heun,
            guidance: 1.0,
            negative_prompt: String::new(),
            color_fix: ColorFix::Off,
            rounding: Rounding::Nearest,
            latents: Keep::Bf16,
            precision: Products::F32,
            tile_px: 0,
            tile_overlap_px: 32,
            memory_budget_mib: 0,
        }
    }
}

impl Default for Reward {
    /// ST-LPIPS and MS-SSIM against NIQE and BRISQUE. On photographs outside of every reported figure this let the spread
    /// over seeds fall; with one FR or one NR metric less it stayed or rose.
    fn default() -> Self {
        let weights = |all: &[(&str, f64)]| all.iter().map(|(name, weight)| ((*name).to_owned(), *weight)).collect();
        Self {
            fr: weights(&[("stlpips", 1.0), ("ms_ssim", 1.0)]),
            nr: weights(&[("niqe", 1.0), ("brisque", 1.0)]),
            fr_balance: 0.5,
            scope: Scope::Frozen,
            bounds: String::new(),
            regardless: Vec::new(),
            held_out: ["psnr", "ssim", "piqe"].map(str::to_owned).into(),
        }
    }
}

impl Default for Curation {
    fn default() -> Self {
        Self { ratio: 0.25 }
    }
}

impl Default for Hpo {
    fn default() -> Self {
        Self { alpha_intra: 1.0, alpha_inter: 1.0, effective_share: 0.0 }
    }
}

impl Default for Training {
    fn default() -> Self {
        Self {
            objective: Objective::Dpo,
            beta: 60_000.0,
            anchor: 0.0,
            mixture: 1.0,
            times: Times::Backbone,
            time_weights: TimeWeights::Equal,
            noise: PairNoise::Drawn,
            winners: Winners::Best,
            learning_rate: 1e-5,
            warmup_steps: 10,
            steps: 30,
            batch_pairs: 16,
            accumulation: 1,
            activations: Activations::Keep,
            augmentation: Augmentation::Turns,
            grad_clip: 1.0,
            weight_decay: 0.01,
            ema_decay: 0.9,
            mode: Mode::Full,
            lora_rank: 16,
            lora_alpha: 16.0,
            frozen: Vec::new(),
            seed: 0,
            eval_every: 15,
            eval_seeds: 16,
            early_stop_evaluations: 3,
            checkpoint_every: 15,
            state_every_steps: 0,
            state_every_secs: 120,
            events: Events::Tensorboard,
            rounds: 1,
            round_reference: RoundReference::Original,
            pool_rounds: 1,
        }
    }
}

impl Training {
    /// Pairs that one optimizer step averages over: `batch_pairs · accumulation`.
    pub fn pairs_per_step(&self) -> usize {
        self.batch_pairs.saturating_mul(self.accumulation)
    }
}

impl Reward {
    /// The metrics among what pairs are ranked regardless of.
    pub fn regardless_scores(&self) -> impl Iterator<Item = &String> {
        self.regardless.iter().filter(|name| *name != seed_effect::SEED)
    }

    /// Whether pairs are ranked regardless of what a seed does to every image.
    pub fn is_regardless_of_seeds(&self) -> bool {
        self.regardless.iter().any(|name| name == seed_effect::SEED)
    }
}

impl Recipe {
    /// The imported candidates that take the place of the backbone's own, by name, if any do.
    pub fn imported(&self) -> Option<&str> {
        Some(self.sampling.imported.as_str()).filter(|name| !name.is_empty())
    }

    /// The seeds of a group's candidates.
    pub fn seeds(&self) -> Vec<u64> {
        self.seeds_of(self.sampling.m)
    }

    /// The first `count` seeds, which may be more than a group's.
    pub fn seeds_of(&self, count: usize) -> Vec<u64> {
        (0..count as u64).map(|i| self.sampling.first_seed.wrapping_add(i)).collect()
    }

    /// Metrics that make up the reward: those with a weight above zero, FR first.
    pub fn trained_metrics(&self) -> Vec<&str> {
        let reward = &self.reward;
        let used = reward.fr.iter().chain(&reward.nr);
        used.filter(|(_, weight)| **weight > 0.0).map(|(name, _)| name.as_str()).collect()
    }

    /// Every metric to score, once: those of the reward (also at weight 0, so that a slider can bring them back), the
    /// held-out ones, and those that the reward takes no heed of.
    pub fn scored_metrics(&self) -> Vec<&str> {
        let reward = &self.reward;
        let trained = reward.fr.keys().chain(reward.nr.keys());
        let mut all: Vec<&str> = trained.chain(&reward.held_out).map(String::as_str).collect();
        for name in reward.regardless_scores() {
            if !all.contains(&name.as_str()) {
                all.push(name);
            }
        }
        all
    }

    /// Checks the named metrics against the registry behind `lookup`: each must exist, be of the half it is
    /// listed in, and be defined on images of `data.crop_px` (unless that is 0, whole images).
    pub fn check_metrics(&self, lookup: &dyn Fn(&str) -> Option<Info>) -> Result<()> {
        let reward = &self.reward;
        let fr = reward.fr.keys().map(|name| (name, "reward.fr", Some(Kind::FullReference)));
        let nr = reward.nr.keys().map(|name| (name, "reward.nr", Some(Kind::NoReference)));
        let held_out = reward.held_out.iter().map(|name| (name, "reward.held_out", None));
        let regardless = reward.regardless_scores().map(|name| (name, "reward.regardless", None));
        for (name, key, kind) in fr.chain(nr).chain(held_out).chain(regardless) {
            let info = lookup(name).ok_or_else(|| Error::invalid(format!("{key}: there is no metric `{name}`")))?;
            if kind.is_some_and(|kind| kind != info.kind) {
                let kind = info.kind.adjective();
                return Err(Error::invalid(format!("{key}: `{name}` is a {kind} metric")));
            }
            if kind.is_some() && info.direction == Direction::Neither {
                return Err(Error::invalid(format!(
                    "{key}: `{name}` is reported and never rewarded: {}; list it in reward.held_out",
                    info.direction.phrase()
                )));
            }
            let crop_px = self.data.crop_px;
            if crop_px > 0 && crop_px < info.min_size_px {
                return Err(Error::invalid(format!(
                    "{key}: `{name}` needs at least {} px, data.crop_px is {crop_px}; take larger crops or another metric",
                    info.min_size_px
                )));
            }
        }
        Ok(())
    }
}
