//! Which candidates a recipe means, and how they are drawn.

use rayon::prelude::*;

use super::memory_plan::{self, Budget, Plan};
use super::model::Model;
use super::models::Models;
use crate::backbones::card::Card;
use crate::backbones::condition::{Condition, Prompt};
use crate::backbones::field::StateMemory;
use crate::backbones::products::Products;
use crate::backbones::registry;
use crate::backbones::sampler::Sampler;
use crate::backbones::solve::Solved;
use crate::backbones::stored::{self, Origin};
use crate::backbones::tiles::Tiling;
use crate::fs::hash;
use crate::imaging::Image;
use crate::imaging::color_fix::{ColorFix, Fixed};
use crate::imaging::quantize::{self, Quantized, Rounding, Truncated};
use crate::imaging::rows::Rows;
use crate::method::recipe::{self, Recipe};
use crate::nn::tensors::Width;
use crate::workspace::{CandidateSet, CheckpointId, NewReference, SamplerKey, Workspace};
use crate::{Error, Result};

/// How candidates are made, and the key that tells them from others: the solver, what leads it, and what is done to its
/// output.
#[derive(Clone, Debug)]
pub struct Sampling {
    pub sampler: Sampler,
    pub color_fix: ColorFix,
    pub key: SamplerKey,
    card: &'static Card,
    settings: recipe::Sampling,
}

/// An SR picture as it is saved: color-fixed and not yet rounded.
pub type Drawn<'m> = Box<dyn Rows + 'm>;

impl Sampling {
    /// What a recipe asks for. Errors: a backbone that is not in this program.
    pub fn of(recipe: &Recipe) -> Result<Self> {
        let s = &recipe.sampling;
        let card = registry::card_of(&s.backbone)?;
        let tiling = memory_plan::tiling(s);
        let sampler = Sampler { solver: s.solver, steps: s.steps, tiling, guidance: s.guidance };
        Ok(Self { sampler, color_fix: s.color_fix, key: key_of(card, s, tiling)?, card, settings: s.clone() })
    }

    /// What is said of an image whose prompt is `text`.
    pub fn prompt(&self, text: &str) -> Prompt {
        Prompt { text: text.to_owned(), negative: self.settings.negative_prompt.clone() }
    }

    /// The scale that the network is told, where its guidance is embedded.
    pub fn told(&self) -> Option<f32> {
        self.sampler.guided(self.card).told()
    }

    /// How the picture of an LR image of this size is drawn: at the batch size that is `fastest` on the device (pixels at
    /// once), within the recipe's memory budget or what is free. Errors: not even one tile fits.
    pub fn plan(&self, model: &Model, lr_size: (usize, usize), fastest: impl FnOnce() -> usize) -> Result<Plan> {
        self.plan_beside(model, lr_size, 1, fastest)
    }

    /// [`Sampling::plan`] where so many devices share the memory.
    pub fn plan_beside(
        &self,
        model: &Model,
        lr_size: (usize, usize),
        sharing: usize,
        fastest: impl FnOnce() -> usize,
    ) -> Result<Plan> {
        let budget = Budget::of(&self.settings, model.params.device()).shared_by(sharing);
        budget.plan(&self.sampler, model.backbone.as_ref(), lr_size, fastest)
    }

    /// The SR pictures of `seeds`. Large ones are computed as their rows are asked for, from a state that `memory` has.
    pub fn draw<'m>(
        &self,
        model: &'m Model,
        condition: &'m Condition<'m>,
        seeds: &[u64],
        memory: StateMemory,
        checkpoint: &mut dyn FnMut(usize, usize) -> Result<()>,
    ) -> Result<Vec<Drawn<'m>>> {
        self.pictures(self.solve(model, condition, seeds, memory, checkpoint)?, condition)
    }

    /// [`Sampling::draw`], and the files of their latents, where these are kept.
    pub fn draw_and_keep<'m>(
        &self,
        model: &'m Model,
        condition: &'m Condition<'m>,
        seeds: &[u64],
        memory: StateMemory,
        checkpoint: &mut dyn FnMut(usize, usize) -> Result<()>,
    ) -> Result<(Vec<Drawn<'m>>, Vec<Vec<u8>>)> {
        let solved = self.solve(model, condition, seeds, memory, checkpoint)?;
        let file = |index: usize, width| stored::latent_file(&solved.latent(index)?, width, Origin::Sampled);
        let files = self.kept_width().map(|width| (0..seeds.len()).map(|index| file(index, width)).collect());
        let files = files.transpose()?.unwrap_or_default();
        Ok((self.pictures(solved, condition)?, files))
    }

    fn solve<'m>(
        &self,
        model: &'m Model,
        condition: &'m Condition<'m>,
        seeds: &[u64],
        memory: StateMemory,
        checkpoint: &mut dyn FnMut(usize, usize) -> Result<()>,
    ) -> Result<Solved<'m>> {
        self.sampler.solve(model.backbone.as_ref(), &model.params, condition, seeds, memory, checkpoint)
    }

    /// The pictures that were solved, as they are saved.
    fn pictures<'m>(&self, solved: Solved<'m>, condition: &'m Condition<'m>) -> Result<Vec<Drawn<'m>>> {
        let lr = condition.lr();
        if solved.is_whole() {
            let fix = |image: Image| Ok(self.rounded(self.color_fix.apply(&self.as_decoded(image), lr)?));
            return solved.images()?.into_par_iter().map(fix).collect();
        }
        let pictures = solved.pictures().into_iter();
        if self.settings.rounding == Rounding::Official {
            return pictures.map(|p| Ok(self.rounded(Fixed::new(self.color_fix, Quantized(p), lr)?))).collect();
        }
        pictures.map(|picture| Ok(self.rounded(Fixed::new(self.color_fix, picture, lr)?))).collect()
    }

    /// A decoded picture as its colours are fixed.
    fn as_decoded(&self, image: Image) -> Image {
        if self.settings.rounding == Rounding::Official { quantize::quantized(&image) } else { image }
    }

    fn rounded<'m>(&self, picture: impl Rows + 'm) -> Drawn<'m> {
        match self.settings.rounding {
            Rounding::Nearest => Box::new(picture),
            // Without a fix the scripts save what was decoded.
            Rounding::Official if self.color_fix == ColorFix::Off => Box::new(picture),
            Rounding::Truncate | Rounding::Official => Box::new(Truncated(picture)),
        }
    }

    /// As what latents are kept; `None` where they are not, or are the pictures themselves.
    pub fn kept_width(&self) -> Option<Width> {
        self.settings.latents.width().filter(|_| self.card.keeps_latents)
    }
}

/// Names everything that a candidate's pixels follow from besides weights, LR image, prompt and seed: so that no candidate is
/// taken for one that was made otherwise. What the backbone does not use is left out.
fn key_of(card: &Card, s: &recipe::Sampling, tiling: Tiling) -> Result<SamplerKey> {
    let is_used = |key: &str| card.why_unused(key).is_none();
    let mut key = format!("{}/{}", s.solver.word(), s.steps);
    if s.color_fix != ColorFix::Off {
        key.push_str(&format!("+{}", s.color_fix.word()));
    }
    key.push_str(match s.rounding {
        Rounding::Nearest => "",
        Rounding::Truncate => "+trunc",
        Rounding::Official => "+official",
    });
    if s.tile_px > 0 || tiling != Tiling::default() {
        key.push_str(&format!("+tile{}.{}", tiling.tile_px, tiling.overlap_px));
    }
    if is_used("sampling.guidance") {
        key.push_str(&format!("+g{}", s.guidance));
    }
    if is_used("sampling.negative_prompt") && !s.negative_prompt.is_empty() {
        key.push_str(&format!("+n{:.16}", hash::hash_bytes(s.negative_prompt.as_bytes())));
    }
    // By what is computed: without bf16 here, candidates are those of f32.
    if is_used("sampling.precision") && s.precision.here() != Products::F32 {
        key.push_str(&format!("+{}", s.precision.word()));
    }
    let most = if card.prompt { SamplerKey::MAX_BYTES_BEFORE_PROMPT } else { SamplerKey::MAX_BYTES };
    if key.len() > most {
        key = format!("{}/{}+{:.32}", s.solver.word(), s.steps, hash::hash_bytes(key.as_bytes()));
    }
    let key = SamplerKey::new(key)?;
    if card.prompt { key.reading_prompts() } else { Ok(key) }
}

/// The candidates of a checkpoint that a recipe means.
pub fn candidates_of(checkpoint: CheckpointId, recipe: &Recipe) -> Result<CandidateSet> {
    Ok(CandidateSet { checkpoint, sampler: Sampling::of(recipe)?.key })
}

/// The reference model of a recipe, known to the ledger, and its candidates.
pub fn reference(models: &mut Models, workspace: &Workspace, recipe: &Recipe) -> Result<(CandidateSet, Model)> {
    let backbone = recipe.sampling.backbone.clone();
    let reference = models.reference(&backbone, recipe.sampling.precision)?;
    let new = NewReference { backbone, weights_hash: reference.weights_hash };
    Ok((candidates_of(workspace.ledger().ensure_reference(&new)?, recipe)?, reference.model))
}

/// The imported candidates that take the reference's place; `None` where the recipe names none. Errors: there are none of that name.
pub fn imported_reference(workspace: &Workspace, recipe: &Recipe) -> Result<Option<CandidateSet>> {
    let Some(name) = recipe.imported() else { return Ok(None) };
    match workspace.ledger().imported(name)? {
        Some(row) => Ok(Some(row.imported_set())),
        None => Err(Error::invalid(format!(
            "sampling.imported: there are no imported candidates called {}; `dp2o-studio import WS candidates DIR --as NAME` makes some",
            name.escape_debug()
        ))),
    }
}

/// What is said of what needs the network that made imported candidates.
pub fn not_here(name: &str, what: &str) -> Error {
    Error::invalid(format!(
        "{what}: the candidates `{name}` were imported, and the network that made them is not here; `--set sampling.imported=` goes \
         back to the backbone's own"
    ))
}

/// The seeds of a recipe's candidates; of imported ones as many of those there are.
pub fn seeds_of(workspace: &Workspace, set: &CandidateSet, recipe: &Recipe) -> Result<Vec<u64>> {
    if !set.sampler.is_imported() {
        return Ok(recipe.seeds());
    }
    Ok(chosen_seeds(&workspace.ledger().seeds_of(set)?, recipe))
}

/// Those of the seeds of imported candidates that a recipe means.
pub fn chosen_seeds(all: &[u64], recipe: &Recipe) -> Vec<u64> {
    let sampling = &recipe.sampling;
    all.iter().copied().filter(|seed| *seed >= sampling.first_seed).take(sampling.m).collect()
}

/// The candidates that [`reference`] would name, by what the ledger knows; `None` before anything was sampled.
pub fn known_reference(workspace: &Workspace, recipe: &Recipe) -> Result<Option<CandidateSet>> {
    if let Some(imported) = imported_reference(workspace, recipe)? {
        return Ok(Some(imported));
    }
    let sampler = Sampling::of(recipe)?.key;
    let checkpoints = workspace.ledger().checkpoints()?;
    let reference = checkpoints.into_iter().rfind(|c| c.run.is_none() && c.backbone == recipe.sampling.backbone);
    Ok(reference.map(|c| CandidateSet { checkpoint: c.id, sampler }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backbones::card::{Guidance, Memory};
    use crate::backbones::mini;
    use crate::engine::devices::{Choice, SharedDevice};
    use crate::method::fields::{self, Bearing};
    use crate::random::Random;
    use crate::weights::Store;

    /// A backbone that uses every setting there is.
    static ALL: Card = Card {
        name: "all",
        guidance: Guidance::ClassifierFree,
        prompt: true,
        memory: Memory { network: 1, ..mini::CARD.memory },
        ..mini::CARD
    };

    fn with(settings: &[(&str, &str)]) -> Recipe {
        let mut recipe = Recipe::default();
        settings.iter().for_each(|(key, value)| recipe.set(key, value).unwrap());
        recipe
    }

    fn key(card: &Card, recipe: &Recipe) -> String {
        key_of(card, &recipe.sampling, memory_plan::tiling(&recipe.sampling)).unwrap().to_string()
    }

    #[test]
    fn every_setting_of_sampling_is_part_of_the_candidates_identity_or_changes_no_pixel() {
        // The set of candidates names the weights, and each candidate its seed.
        let named_elsewhere = ["sampling.backbone", "sampling.imported", "sampling.m", "sampling.first_seed"];
        // Proven below.
        let changes_no_pixel = ["sampling.memory_budget_mib", "sampling.latents"];
        let base = with(&[("tile", "128")]);
        // Where it comes to the same, candidates are the same.
        let comes_to_f32 = |key: &str| key == "sampling.precision" && Products::Bf16.here() == Products::F32;
        for field in fields::fields().iter().filter(|field| field.topic() == "sampling") {
            let mut other = base.clone();
            field.assign(&mut other, field.another_value(&base)).unwrap();
            let [of_all, of_mini] = [&ALL, &mini::CARD].map(|card| key(card, &base) != key(card, &other));
            if named_elsewhere.contains(&field.key) || changes_no_pixel.contains(&field.key) || comes_to_f32(field.key)
            {
                assert!(!of_all, "{} is named twice", field.key);
                continue;
            }
            assert!(of_all, "{} changes pixels, but not the key", field.key);
            assert_eq!(field.bearing, Bearing::Run, "{}", field.key);
            // The default solver is of mini's process; any other value of an unused setting is refused.
            assert!(of_mini || other.validate().is_err(), "{} is neither in the key nor refused", field.key);
        }
    }

    #[test]
    fn keys_of_earlier_workspaces_stay() {
        for (settings, expected) in [
            (&[][..], "heun/7"),
            (&[("sampling.method", "euler"), ("sampling_steps", "10")], "euler/10"),
            (&[("sampling.colour_fix", "adain")], "heun/7+adain"),
            (&[("sampling.color_fix", "wavelet"), ("tile", "256")], "heun/7+wavelet+tile256.32"),
            (&[("sampling.memory_budget_mib", "4096")], "heun/7"),
            // Not enough for the default tile of 512 px.
            (&[("sampling.memory_budget_mib", "64")], "heun/7+tile320.64"),
        ] {
            assert_eq!(Sampling::of(&with(settings)).unwrap().key.as_str(), expected);
        }
        let long = with(&[("guidance", "1e-90"), ("sampling.negative_prompt", "blur"), ("tile", "256")]);
        let key = key(&ALL, &long);
        assert!(key.len() + 16 <= SamplerKey::MAX_BYTES && key.starts_with("heun/7+") && key.ends_with("+p"), "{key}");
    }

    #[test]
    fn the_memory_budget_changes_no_pixel() {
        let mut models = Models::on(SharedDevice::new(Choice::Cpu), Store::of_machine(&[], false));
        let model = models.reference("mini", Products::F32).unwrap().model;
        let noise = Random::new(3, 3).normal_image(3, 20, 24);
        let lr = Image::new(24, 20, noise.iter().map(|v| (0.5 + 0.2 * v).clamp(0.0, 1.0)).collect()).unwrap();
        let (pixels, scratch) = (16 * lr.width() * lr.height(), tempfile::tempdir().unwrap());
        let condition = model.backbone.condition(&lr, &Prompt::default()).unwrap();
        let draw = |mib: &str| {
            let settings = [("sampling_steps", "2"), ("sampling.memory_budget_mib", mib), ("tile", "64")];
            let sampling = Sampling::of(&with(&settings)).unwrap();
            let plan = sampling.plan(&model, (lr.width(), lr.height()), || 3 * pixels).unwrap();
            let memory = StateMemory { bytes: plan.state_bytes, scratch: scratch.path() };
            let images = [5, 6, 7].chunks(plan.at_once).flat_map(|seeds| {
                let drawn = sampling.draw(&model, &condition, seeds, memory, &mut |_, _| Ok(())).unwrap();
                drawn.iter().map(|picture| picture.whole().unwrap()).collect::<Vec<_>>()
            });
            (plan.at_once, images.collect::<Vec<_>>())
        };
        let ((one, a), (all, b)) = (draw("2"), draw("0"));
        assert_eq!((one, all), (1, 3));
        assert!(a == b, "seeds drawn one by one and together differ");
    }
}
