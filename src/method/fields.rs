//! The one table of what each setting means: key, aliases, label, unit, accepted range, explanation, formula.
//!
//! The Recipe pane draws it, `--set key=value` reads it, the documentation prints it. Defaults are not repeated
//! here: [`Field::default_value`] takes them from `Recipe::default()`. A new setting is one line in
//! [`super::recipe`] and one entry here; a test fails if either is missing.

use super::choices::{
    Activations, Augmentation, Events, Mode, Objective, PairNoise, RoundReference, Scope, TimeWeights, Times, Winners,
};
use super::recipe::Recipe;
use super::value::{Accepted, Setting, Value};
use crate::backbones::products::Products;
use crate::backbones::solver::Solver;
use crate::backbones::stored::Keep;
use crate::imaging::color_fix::ColorFix;
use crate::imaging::quantize::Rounding;
use crate::{Error, Result};

/// What a changed setting makes of a run that was begun; [`super::resume`] compares by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bearing {
    /// Another run: other weights, or evaluations that do not compare with those before.
    Run,
    /// Another run, in rounds after the first.
    LaterRounds,
    /// Another run where the product of the settings of this kind changes: how the pairs of a step are split into batches
    /// changes its result by no more than rounding.
    Split,
    /// Nothing but through the run's pairs, which are compared themselves.
    Pairs,
    /// Nothing: memory, pace, what is reported and kept.
    Nothing,
}

/// One setting of the recipe.
#[derive(Debug)]
pub struct Field {
    /// Path in the RON file and for `--set`, such as `training.beta`.
    pub key: &'static str,
    /// What a changed value makes of a run.
    pub bearing: Bearing,
    /// Short names `--set` takes as well.
    pub aliases: &'static [&'static str],
    /// Name on the screen.
    pub label: &'static str,
    /// Unit, empty for pure numbers and words.
    pub unit: &'static str,
    /// Accepted type and range.
    pub accepted: Accepted,
    /// One or two sentences for a tooltip.
    pub doc: &'static str,
    /// The formula it belongs to with the section of the method, empty where there is none.
    pub formula: &'static str,
    get: fn(&Recipe) -> Value,
    put: fn(&mut Recipe, Value) -> bool,
}

impl Field {
    /// The value in this recipe.
    pub fn value(&self, recipe: &Recipe) -> Value {
        (self.get)(recipe)
    }

    /// The value in `Recipe::default()`.
    pub fn default_value(&self) -> Value {
        self.value(&Recipe::default())
    }

    /// The topic of the key, such as `training`.
    pub fn topic(&self) -> &'static str {
        self.key.split('.').next().unwrap_or(self.key)
    }

    /// Whether the value would be accepted; the error names key, value and accepted range.
    pub fn check(&self, value: &Value) -> Result<()> {
        if self.accepted.admits(value) {
            return Ok(());
        }
        if let Some(fault) = self.accepted.fault(value) {
            return Err(Error::invalid(format!("{}: {fault}", self.key)));
        }
        Err(self.refuse(&value.to_string()))
    }

    /// Sets the value in a recipe if it is accepted.
    pub fn assign(&self, recipe: &mut Recipe, value: Value) -> Result<()> {
        self.check(&value)?;
        let text = value.to_string();
        if (self.put)(recipe, value) { Ok(()) } else { Err(self.refuse(&text)) }
    }

    /// Sets the value in a recipe from text if it is accepted.
    pub fn assign_text(&self, recipe: &mut Recipe, text: &str) -> Result<()> {
        let value = self.accepted.parse(text).ok_or_else(|| self.refuse(text))?;
        self.assign(recipe, value)
    }

    /// An accepted value that is not the recipe's.
    #[cfg(test)]
    pub(crate) fn another_value(&self, recipe: &Recipe) -> Value {
        match (self.accepted, self.value(recipe)) {
            (Accepted::Count { max, .. }, Value::Count(v)) => Value::Count(if v < max { v + 1 } else { v - 1 }),
            (_, Value::Number(v)) => Value::Number(if v == 0.0 { 0.5 } else { v / 2.0 }),
            (Accepted::Choice(words), Value::Choice(v)) => {
                Value::Choice(words.iter().find(|word| **word != v).unwrap())
            }
            (_, Value::Text(text)) => Value::Text(text + "x"),
            (_, Value::Names(_)) => Value::Names(vec!["norm".into()]),
            (_, Value::External(_)) => {
                let command = r#"(name:"mine",program:["prog","{image}"],direction:higher,kind:nr)"#;
                Value::External(vec![crate::iqa::External::from_ron(command).unwrap()])
            }
            (_, Value::Weights(mut map)) => {
                map.values_mut().for_each(|weight| *weight += 1.0);
                Value::Weights(map)
            }
            other => panic!("{other:?}"),
        }
    }

    fn refuse(&self, text: &str) -> Error {
        Error::invalid(format!(
            "{}: `{}` is not accepted; accepted is {}",
            self.key,
            text.escape_debug(),
            self.accepted
        ))
    }
}

/// All settings, in the order they are shown.
pub fn fields() -> &'static [Field] {
    FIELDS
}

/// The field of a key or alias. One weight of a metric map is a key of its own (`reward.fr.stlpips`); its metric
/// name is then the second value. The error of an unknown key lists near matches.
pub fn find(key: &str) -> Result<(&'static Field, Option<&str>)> {
    for field in FIELDS {
        if field.key == key || field.aliases.contains(&key) {
            return Ok((field, None));
        }
        let below = key.strip_prefix(field.key).and_then(|k| k.strip_prefix('.'));
        if let (Some(metric), Accepted::Weights) = (below, field.accepted) {
            return Ok((field, Some(metric)));
        }
    }
    let near = near_matches(key);
    let hint = if near.is_empty() {
        "`--help` and the documentation list the settings".to_owned()
    } else {
        format!("did you mean {}?", near.join(", "))
    };
    let key = key.escape_debug();
    Err(Error::invalid(format!("there is no setting `{key}`; {hint}")))
}

/// At most three keys that resemble the text, the nearest first.
fn near_matches(text: &str) -> Vec<&'static str> {
    let text = text.to_lowercase();
    let likeness = |field: &Field| {
        let last = field.key.rsplit('.').next().unwrap_or(field.key);
        let names = [field.key, last].into_iter().chain(field.aliases.iter().copied());
        names.map(|name| strsim::jaro_winkler(&text, name)).fold(0.0, f64::max)
    };
    let mut near: Vec<_> =
        FIELDS.iter().map(|field| (likeness(field), field.key)).filter(|(likeness, _)| *likeness >= 0.82).collect();
    near.sort_by(|a, b| b.0.total_cmp(&a.0));
    near.truncate(3);
    near.into_iter().map(|(_, key)| key).collect()
}

/// Any seed.
const SEED: Accepted = count(0, u64::MAX);
/// Steps, evaluations and the like.
const MANY: u64 = 10_000_000;

const fn count(min: u64, max: u64) -> Accepted {
    Accepted::Count { min, max }
}

const fn number(min: f64, max: f64) -> Accepted {
    Accepted::Number { min, max }
}

const REWARD: &str = "§2 R = b · mean over FR of s̄ + (1 − b) · mean over NR of s̄";
const NORMALIZED: &str = "§2 s̄ = (s − s_min) / (s_max − s_min)";
const REGARDLESS: &str =
    "R′ = R − its projection on the centred scores of the group, or on what the seeds are worth elsewhere";
const PAIRS: &str = "§3 N = ratio · M; top N against bottom N: N² pairs";
const INTRA: &str = "§4 w_intra = 1 + α_intra · (|R_w − R_l| − μ_gap), at least 0";
const INTER: &str = "§4 w_inter = 1 + α_inter · (σ_g − μ_σ), at least 0";
const SPREAD: &str = "§4 effective sample size (Σw)² / Σw²";
const LOSS: &str = "§5 ℓ = −log σ(−(β/2) · d); loss = mean of w · ℓ";
const ANCHORED: &str = "§5 d + λ · max(0, e_θ(w) − e_ref(w)) for d";
const MIXED: &str =
    "r · e(v_ref + κ (v_θ − v_ref)) + (1 − r) · e(v_ref − κ (v_θ − v_ref)), r = ½ + ½ · clip((R − μ_g) / σ_g, ±1)";
const SNR: &str = "min(SNR, 5) / SNR where noise is predicted, / (SNR + 1) for velocities";
const NONE: &str = "";

/// Builds one entry; the path of the struct field is the key.
macro_rules! field {
    ($topic:ident . $name:ident, $bearing:ident, $aliases:expr, $label:literal, $unit:literal, $accepted:expr, $formula:expr,
     $doc:literal) => {
        Field {
            key: concat!(stringify!($topic), ".", stringify!($name)),
            bearing: Bearing::$bearing,
            aliases: &$aliases,
            label: $label,
            unit: $unit,
            accepted: $accepted,
            doc: $doc,
            formula: $formula,
            get: |recipe| recipe.$topic.$name.to_value(),
            put: |recipe, value| match Setting::from_value(value) {
                Some(value) => {
                    recipe.$topic.$name = value;
                    true
                }
                None => false,
            },
        }
    };
}

#[rustfmt::skip]
static FIELDS: &[Field] = &[
    field!(data.crop_px, Pairs, ["crop"], "Crop", "px of HR", count(0, 8192), NONE,
        "Side of the square crops that are trained on. 0 uses whole images."),
    field!(data.crops, Pairs, ["crops"], "Training crops", "crops", count(1, 1_000_000), NONE,
        "Crops taken from the training photographs; each becomes one LR image with a group of its own."),
    field!(data.held_out_crops, Pairs, [], "Held-out crops", "crops", count(1, 1_000_000), NONE,
        "Crops taken from the held-out photographs, for validation and test only."),
    field!(data.degradation, Pairs, ["degrade"], "Degradation", "", Accepted::Text { optional: false }, NONE,
        "Preset that makes LR from HR where only HR is given."),
    field!(data.unverified_weights, Nothing, ["unverified_weights"], "Unverified weights", "", Accepted::Names, NONE,
        "SHA-256 (12 digits or more) of files of weights that are used although they are not known to be the published ones; \
         every score and checkpoint made with them says so. `weights check FILE` prints it."),

    field!(sampling.backbone, Run, ["backbone"], "Backbone", "", Accepted::Text { optional: false }, NONE,
        "Generative super-resolution model that is sampled and fine-tuned."),
    field!(sampling.imported, Run, ["imported"], "Imported candidates", "", Accepted::Text { optional: true }, NONE,
        "Name of imported candidates that are the reference's, in place of those that the backbone samples here; empty for its own. \
         More of them cannot be sampled here, nor anything trained on them."),
    field!(sampling.m, Pairs, ["m", "seeds"], "Seeds M", "seeds", count(2, 1024), "§1 M outputs with M seeds",
        "Candidates drawn for each LR image. The paper uses up to 64."),
    field!(sampling.first_seed, Run, [], "First seed", "", SEED, NONE,
        "The M seeds are this number and the ones after it. Another number gives other candidates."),
    field!(sampling.steps, Run, ["sampling_steps"], "Sampling steps", "steps", count(1, 1000), NONE,
        "Integration steps from noise to image. The paper: 50 for C-SD2, 25 for C-FLUX."),
    field!(sampling.solver, Run, ["sampling.method"], "Solver", "", Accepted::Choice(Solver::WORDS), NONE,
        "How noise becomes an image. Flow backbones: euler, or heun, which evaluates the model twice a step and errs less \
         at the same number of steps. Diffusion backbones: ddim (deterministic) or ddpm (noise at every step)."),
    field!(sampling.guidance, Run, ["guidance"], "Guidance", "", number(0.0, 100.0), NONE,
        "How far predictions are led towards the prompt; 1 is none, unless the scale is an input of the network. The paper: 3.5 \
         for C-SD2, 2.5 for C-FLUX."),
    field!(sampling.negative_prompt, Run, [], "Negative prompt", "", Accepted::Text { optional: true }, NONE,
        "What guidance leads away from, for backbones with a text encoder."),
    field!(sampling.color_fix, Run, ["sampling.colour_fix"], "Colour fix", "", Accepted::Choice(ColorFix::WORDS), NONE,
        "Aligns the output's colour to the LR image."),
    field!(sampling.rounding, Run, [], "8 bits by", "", Accepted::Choice(Rounding::WORDS), NONE,
        "How values become the 8 bits of a file: to the nearest; truncated, half a level darker on average; or as the official scripts do: \
         to the nearest before their colour fix, and truncated after it."),
    field!(sampling.latents, Run, ["latents"], "Latents kept", "", Accepted::Choice(Keep::WORDS), NONE,
        "Each candidate's latent and what its image is drawn under are kept beside the picture, so that training needs neither \
         encoder nor decoder: as bf16, f32 (twice the size) or not at all, and then pictures are encoded at every step."),
    field!(sampling.precision, Run, ["precision"], "Precision", "", Accepted::Choice(Products::WORDS), NONE,
        "What products with the network that is not trained are of, in sampling and training; on a GPU those with what is trained \
         too. bf16: half the memory and, where the processor has AMX, faster; each factor is off by at most 2⁻⁹ of itself, and \
         candidates are others. With neither AMX nor AVX-512 BF16 f32 is computed all the same."),
    field!(sampling.tile_px, Run, ["tile"], "Tile", "px of output", count(0, 16_384), NONE,
        "Side of the tiles an image is sampled in. 0 takes 512, less where the memory budget cannot hold that."),
    field!(sampling.tile_overlap_px, Run, [], "Tile overlap", "px of output", count(0, 4096), NONE,
        "Width in which neighbouring tiles are blended; at most half a tile."),
    field!(sampling.memory_budget_mib, Nothing, [], "Memory budget", "MiB", count(0, 16_777_216), NONE,
        "Memory that sampling may take: bounds the seeds at once and, where the tile is open, its side. 0 takes what is free."),

    field!(reward.fr, Run, ["fr"], "FR metrics", "weight", Accepted::Weights, REWARD,
        "Full-reference metrics and their relative weights within the FR half. Weight 0 scores without counting."),
    field!(reward.nr, Run, ["nr"], "NR metrics", "weight", Accepted::Weights, REWARD,
        "No-reference metrics and their relative weights within the NR half. Weight 0 scores without counting."),
    field!(reward.fr_balance, Run, ["balance", "fr_balance"], "FR/NR balance b", "", number(0.0, 1.0), REWARD,
        "Share of the FR half. 1 over-smooths, 0 hallucinates; the paper: 0.5. Without HR only the NR half exists."),
    field!(reward.scope, Run, ["scope"], "Normalization", "", Accepted::Choice(Scope::WORDS), NORMALIZED,
        "frozen: bounds of the reference's candidates over the whole set, so rewards compare across checkpoints. per_group: bounds \
         of each group. decoupled: each metric in standard deviations of its group, so that none decides by its range alone. \
         robust: frozen, but the 2 % and 98 % quantiles, so that one failed picture squeezes nothing. fixed: bounds of your own. \
         Comparisons also say the frozen scale; decoupled checkpoints are judged by it."),
    field!(reward.bounds, Run, ["bounds"], "Bounds", "", Accepted::Text { optional: true }, NORMALIZED,
        "Lowest and highest raw score of each metric for the normalization fixed, such as stlpips:0.1..0.6, niqe:2..12."),
    field!(reward.regardless, Run, ["regardless"], "Regardless of", "", Accepted::Names, REGARDLESS,
        "Metrics that pairs are ranked regardless of: what of R merely follows them within a group is taken out before ranking, as \
         if all candidates scored alike. `seed`: what a seed's noise is worth in the other images of the same size, so that pairs \
         teach what it has made of this one. `grain` keeps training from teaching grain or smoothing. Checkpoints are judged by R."),
    field!(reward.held_out, Nothing, ["held_out"], "Held-out metrics", "", Accepted::Names, NONE,
        "Scored and reported, never trained on: they show whether an improvement is real."),

    field!(metrics.border_px, Run, ["border"], "Border left out", "px", count(0, 256), NONE,
        "Pixels at each side that no metric sees. Papers on super-resolution often leave out as many as the scale, 4. Scores with \
         another border are others."),
    field!(metrics.external, Run, ["external"], "Commands", "", Accepted::External, NONE,
        "Programs of your own that score images, under names that the reward and the held-out metrics may use. Each is started \
         with paths of PNG files and prints one number a line. A command is asked about before it runs on a machine."),

    field!(curation.ratio, Pairs, ["ratio"], "Selection ratio N/M", "", Accepted::Positive { max: 0.5 }, PAIRS,
        "Share of a group taken from the top and from the bottom; N is at least 1 and at most M/2. Small models want \
         coverage (1/4), large ones contrast (1/16)."),

    field!(hpo.alpha_intra, Pairs, ["alpha_intra"], "α intra", "", number(0.0, 1000.0), INTRA,
        "How much more a pair with a wide gap counts within its group. 1 is the paper, 0 plain Diff-DPO."),
    field!(hpo.alpha_inter, Pairs, ["alpha_inter"], "α inter", "", number(0.0, 1000.0), INTER,
        "How much more a group with a wide spread counts. 1 is the paper, 0 plain Diff-DPO."),

    field!(hpo.effective_share, Pairs, ["ess"], "Effective share", "of pairs", number(0.0, 1.0), SPREAD,
        "Both strengths are multiplied by one factor until the weights are worth this share of equally weighted pairs, on whatever \
         scale the reward is; 0.8 weighs mildly, 0.4 hard. 0 takes the strengths as they are."),

    field!(training.objective, Run, ["objective"], "Objective", "", Accepted::Choice(Objective::WORDS), LOSS,
        "dpo: the paper's. ipo: (−(β/2)·d − ½)², a margin to reach, which stops pulling there (arXiv 2310.12036). nft: no pairs; \
         towards a candidate by its probability of being good, away by the rest (DiffusionNFT, arXiv 2509.16117). group: dpo with \
         each candidate's advantage in its group for ±1 (GDPO-SR, arXiv 2603.16769). sft: e_θ on winners alone, the control."),
    field!(training.beta, Run, ["beta"], "β", "", Accepted::Positive { max: 1e9 }, LOSS,
        "Strength of the tie to the reference: higher stays closer. Convention of Diff-DPO (β/2, its default 5000); \
         diffusers' SD script writes β for β/2, so its 2500 is 5000 here."),
    field!(training.anchor, Run, ["anchor"], "Anchor λ", "", number(0.0, 1000.0), ANCHORED,
        "Holds the winners: their error above the reference's counts λ times more, so that d cannot fall by both getting worse \
         (DPO-Positive, arXiv 2402.13228). 0 is the paper."),
    field!(training.mixture, Run, ["mixture"], "Mixture κ", "", Accepted::Positive { max: 100.0 }, MIXED,
        "How far nft's implicit positive and negative policies lie from the reference, in units of what the policy has moved: \
         smaller moves faster. DiffusionNFT calls it β and uses 0.1 to 1."),
    field!(training.times, Run, ["times"], "Times", "", Accepted::Choice(Times::WORDS), NONE,
        "Which times are trained at. backbone: as it was trained. uniform: every share of noise alike. noisy: rather much noise, \
         where structure is decided. clean: rather little, where texture is."),
    field!(training.time_weights, Run, ["time_weights"], "Weight of times", "", Accepted::Choice(TimeWeights::WORDS), SNR,
        "equal: every time alike, as the paper. min_snr: nearly clean times no more than others (arXiv 2303.09556)."),
    field!(training.noise, Run, ["noise"], "Noise", "", Accepted::Choice(PairNoise::WORDS), NONE,
        "drawn: anew for each pair and step, as the paper. winner: the noise that the winner's picture began with, so that it is \
         trained along the way it came (noise-tracked pairs: PNAPO, arXiv 2605.09433)."),
    field!(training.winners, Run, ["winners"], "Winners", "", Accepted::Choice(Winners::WORDS), NONE,
        "best: the candidates that won, as the paper. truth: the HR image in the place of each, against the losers that were picked: \
         the policy is led from what it draws to what is there (self-play: SPIN-Diffusion, arXiv 2402.10210)."),
    field!(training.learning_rate, Run, ["lr", "learning_rate"], "Learning rate", "", Accepted::Positive { max: 1.0 }, NONE,
        "AdamW step size after warm-up. The paper: 2e-5."),
    field!(training.warmup_steps, Run, ["warmup"], "Warm-up", "steps", count(0, MANY), NONE,
        "Steps in which the learning rate rises from 0."),
    field!(training.steps, Run, ["steps"], "Training steps", "steps", count(1, MANY), NONE,
        "Optimizer steps of a round. The paper: 1000."),
    field!(training.batch_pairs, Split, ["batch"], "Batch", "pairs", count(1, 65_536), LOSS,
        "Pairs that go through the network at once."),
    field!(training.accumulation, Split, ["accumulation"], "Accumulation", "batches", count(1, 65_536), LOSS,
        "Batches whose gradients are averaged into one optimizer step. The paper: 1024 pairs a step in all."),
    field!(training.activations, Nothing, ["activations"], "Activations", "", Accepted::Choice(Activations::WORDS), NONE,
        "keep: as fast as can be. recompute: each block's are computed again in the backward pass, which costs a quarter \
         more time and a fraction of the memory. `info --bench` measures both."),
    field!(training.augmentation, Run, ["augmentation"], "Augmentation", "", Accepted::Choice(Augmentation::WORDS), NONE,
        "turns: each pair in one of the eight ways a square can be turned and mirrored, drawn anew each time. Helps where \
         groups are few. none: as sampled, as in the paper."),
    field!(training.grad_clip, Run, ["grad_clip"], "Gradient clip", "norm", number(0.0, 1e9), NONE,
        "Longest gradient; a longer one is scaled down to it. 0 never clips."),
    field!(training.weight_decay, Run, [], "Weight decay", "", number(0.0, 10.0), NONE,
        "AdamW's decoupled weight decay."),
    field!(training.ema_decay, Run, ["ema"], "EMA decay", "per step", number(0.0, 0.999_999), NONE,
        "Exponential moving average of the policy's weights, which is then what is evaluated and kept. 0 is none."),
    field!(training.mode, Run, ["mode"], "Weights trained", "", Accepted::Choice(Mode::WORDS), NONE,
        "full: every trainable weight of the backbone. lora: low-rank additions only."),
    field!(training.lora_rank, Run, ["lora_rank"], "LoRA rank", "", count(1, 4096), NONE,
        "Rank of the additions in mode lora."),
    field!(training.lora_alpha, Run, ["lora_alpha"], "LoRA alpha", "", Accepted::Positive { max: 1e6 }, NONE,
        "The additions are scaled by alpha / rank."),
    field!(training.frozen, Run, ["frozen"], "Frozen weights", "", Accepted::Names, "§6 only the ControlNet is trained",
        "Weights whose names begin so stay as they are, such as `output` of mini. None by default."),
    field!(training.seed, Run, ["seed"], "Training seed", "", SEED, NONE,
        "Seeds the order of the pairs, the noise ε and the timesteps t."),
    field!(training.eval_every, Nothing, ["eval_every"], "Evaluate every", "steps", count(0, MANY), NONE,
        "Steps between evaluations on the validation images. 0 evaluates only at the end."),
    field!(training.eval_seeds, Run, ["eval_seeds"], "Evaluation seeds", "seeds", count(1, 1024), NONE,
        "Fixed seeds drawn for each image at an evaluation."),
    field!(training.early_stop_evaluations, Run, ["early_stop"], "Stop on collapse", "evaluations", count(0, MANY), NONE,
        "Stops after this many evaluations in a row with the validation reward below its start. 0 never stops."),
    field!(training.checkpoint_every, Nothing, ["checkpoint_every"], "Checkpoint every", "steps", count(0, MANY), NONE,
        "Steps between checkpoints. 0 keeps only the best and the last."),
    field!(training.state_every_steps, Nothing, ["state_every_steps"], "Save state every", "steps", count(0, MANY), NONE,
        "Steps after which the training state is written, which a killed run goes on from: four values for each weight that \
         is trained. Checkpoints, pause and cancel write it too. 0 leaves it to the seconds."),
    field!(training.state_every_secs, Nothing, ["state_every_secs"], "Save state after", "s", count(0, 86_400), NONE,
        "Seconds after which the training state is written: what a kill may cost. 0 leaves it to the steps and the \
         checkpoints."),
    field!(training.events, Nothing, ["events"], "Event files", "", Accepted::Choice(Events::WORDS), NONE,
        "The curves of a run as TensorBoard reads them, written as it goes: `tensorboard --logdir WORKSPACE/runs`. off writes none."),
    field!(training.rounds, Nothing, ["rounds"], "Rounds", "rounds", count(1, 1000), NONE,
        "1 trains offline, as the paper. More re-sample from the current policy and go on."),
    field!(training.round_reference, LaterRounds, [], "Reference of a round", "", Accepted::Choice(RoundReference::WORDS), NONE,
        "From the second round on, π_ref is the original model or the policy the last round ended with."),
    field!(training.pool_rounds, LaterRounds, ["pool"], "Rounds pooled", "rounds", count(1, 1000), NONE,
        "How many rounds' pairs are trained on together: those of the newest candidates and of the rounds just before. Older pairs          are of a policy that is no more, and age out. 1 trains on the newest alone."),
];
