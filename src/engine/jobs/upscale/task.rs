//! One picture to super-resolve: what it takes and what becomes of it, known before the work begins.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;

use super::best::Best;
use crate::backbones::condition::{Condition, Prompt};
use crate::backbones::field::StateMemory;
use crate::engine::context::Context;
use crate::engine::jobs::prompts::beside;
use crate::engine::jobs::sampling::Batches;
use crate::engine::memory_plan::Plan;
use crate::engine::model::Model;
use crate::engine::plan::Sampling;
use crate::engine::progress::Meter;
use crate::fs::hash;
use crate::imaging::rows::Rows;
use crate::imaging::{Image, SCALE, decode, encode};
use crate::method::recipe::Recipe;
use crate::workspace::prompt_of;
use crate::{Error, Result};

/// Keyword of the text in an output that says how it was made.
const KEYWORD: &str = "dp2o-studio upscale";

/// What all pictures of a call share.
pub struct Shared<'r> {
    pub recipe: &'r Recipe,
    pub model: Model,
    /// Hash of the model's weights.
    pub weights: String,
    /// What the weights are called.
    pub weights_name: String,
    pub sampling: Sampling,
    /// What is said of every picture; `None` is what lies beside each.
    pub prompt: Option<&'r str>,
    pub best_of: bool,
    pub out: &'r Path,
}

/// A picture and its outputs.
pub struct Task {
    pub picture: PathBuf,
    pub outputs: Vec<Output>,
    size: (usize, usize),
    /// What is said of it, where the backbone reads that.
    prompt: String,
    plan: Plan,
    /// Tiles that the network sees for one seed.
    tiles: usize,
}

/// A file that is made.
pub struct Output {
    pub file: PathBuf,
    pub state: State,
    /// The seed, or all of them where the best is taken.
    seeds: Vec<u64>,
    /// How it is made.
    made: String,
}

/// What is at an output's path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Missing,
    /// An output made the same way from the same.
    There,
    /// Something else.
    Other,
}

/// How an output is made: all that its pixels depend on.
#[derive(Serialize)]
struct Made<'a> {
    backbone: &'a str,
    weights: &'a str,
    sampler: &'a str,
    source: &'a str,
    seeds: &'a [u64],
    #[serde(skip_serializing_if = "str::is_empty")]
    prompt: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    best_of: Option<&'a str>,
}

impl Task {
    /// Looks at a picture whose outputs are called `name`. Errors: it cannot be read, or does not fit.
    pub fn new(context: &Context, shared: &Shared, picture: &Path, name: &str) -> Result<Self> {
        let info = decode::probe(picture)?;
        let (width, height) = (info.width, info.height);
        let seeds = shared.recipe.seeds();
        let (outputs, best_of) = if shared.best_of {
            decode::check_x4(width, height)?;
            let best = Best::of(context, shared.recipe, width.min(height) * SCALE)?;
            (vec![(format!("{name}_x4.png"), seeds)], Some(best.reward()))
        } else {
            let one = |seed: u64| (format!("{name}_x4_seed{seed}.png"), vec![seed]);
            (seeds.into_iter().map(one).collect(), None)
        };
        let backbone = shared.model.backbone.as_ref();
        let fastest = || context.models.fastest_pixels(&shared.model);
        let plan = shared.sampling.plan(&shared.model, (width, height), fastest)?;
        let source = hash::hash_file(picture)?;
        let prompt = match (backbone.card().prompt, shared.prompt) {
            (false, _) => String::new(),
            (true, Some(prompt)) => prompt_of(prompt),
            (true, None) => beside(picture)?.unwrap_or_default(),
        };
        let output = |(name, seeds): (String, Vec<u64>)| {
            let made = Made {
                backbone: backbone.card().name,
                weights: &shared.weights,
                sampler: shared.sampling.key.as_str(),
                source: &source,
                prompt: &prompt,
                seeds: &seeds,
                best_of: best_of.as_deref(),
            };
            let made = serde_json::to_string(&made).map_err(Error::invalid)?;
            let file = shared.out.join(name);
            let state = match encode::png_text(&file, KEYWORD) {
                Some(text) if text == made => State::There,
                None if std::fs::symlink_metadata(&file).is_err() => State::Missing,
                _ => State::Other,
            };
            Ok(Output { file, state, seeds, made })
        };
        let outputs = outputs.into_iter().map(output).collect::<Result<_>>()?;
        let sampler = &shared.sampling.sampler;
        let tiles = sampler.grid(backbone, width, height).count() * sampler.evaluations(&backbone.card().process);
        Ok(Self { picture: picture.to_owned(), outputs, size: (width, height), prompt, plan, tiles })
    }

    /// Tiles that the network has yet to see.
    pub fn tiles(&self) -> usize {
        self.tiles * self.missing().map(|output| output.seeds.len()).sum::<usize>()
    }

    /// What is said of a picture of which something is missing.
    pub fn prompt(&self, shared: &Shared) -> Option<Prompt> {
        self.missing().next().map(|_| shared.sampling.prompt(&self.prompt))
    }

    fn missing(&self) -> impl Iterator<Item = &Output> {
        self.outputs.iter().filter(|output| output.state != State::There)
    }

    /// Makes what is not there. Errors name the picture.
    pub fn make(&self, context: &Context, shared: &Shared, meter: &mut Meter) -> Result<()> {
        if self.missing().next().is_none() {
            return Ok(());
        }
        self.make_missing(context, shared, meter).map_err(|error| match error {
            Error::Diverged(cause) => Error::file(&self.picture, format!("{cause} ({})", shared.weights_name)),
            Error::Invalid(_) | Error::Tensor(_) => Error::file(&self.picture, error),
            error => error,
        })
    }

    fn make_missing(&self, context: &Context, shared: &Shared, meter: &mut Meter) -> Result<()> {
        let lr = context.read_picture(&self.picture)?;
        if (lr.width(), lr.height()) != self.size {
            return Err(Error::file(&self.picture, "was changed while it was worked on"));
        }
        let prompt = shared.sampling.prompt(&self.prompt);
        context.voice.say_unread(shared.model.backbone.as_ref(), &self.picture.display(), &prompt)?;
        let condition = shared.model.backbone.condition(&lr, &prompt)?;
        let batches = Batches::default();
        let mut drawing = Drawing { context, shared, condition: &condition, meter, plan: self.plan, batches };
        if shared.best_of {
            return self.missing().try_for_each(|output| {
                let best = drawing.best(&output.seeds)?;
                encode::write_png_with_text(&output.file, best.as_ref(), KEYWORD, &output.made)
            });
        }
        let missing: Vec<&Output> = self.missing().collect();
        // Where not the best is taken, each output has one seed.
        let seeds: Vec<u64> = missing.iter().flat_map(|output| output.seeds.iter().copied()).collect();
        let mut outputs = missing.iter();
        drawing.all(&seeds, &mut |picture| match outputs.next() {
            Some(output) => encode::write_png_with_text(&output.file, picture, KEYWORD, &output.made),
            None => Ok(()),
        })
    }
}

/// Draws pictures of one LR image.
struct Drawing<'a> {
    context: &'a Context,
    shared: &'a Shared<'a>,
    condition: &'a Condition<'a>,
    meter: &'a mut Meter,
    plan: Plan,
    batches: Batches,
}

impl Drawing<'_> {
    /// Draws seeds, as many at once as fit, and gives each picture to `take`.
    fn all(&mut self, seeds: &[u64], take: &mut dyn FnMut(&dyn Rows) -> Result<()>) -> Result<()> {
        let mut rest = seeds;
        while !rest.is_empty() {
            let batch = self.batches.first_of(rest, self.plan.at_once);
            let drawn = self.each(batch, take);
            if self.batches.unless_out_of_memory(&self.context.voice, batch.len(), drawn)?.is_some() {
                rest = &rest[batch.len()..];
            }
        }
        Ok(())
    }

    /// Draws a batch of seeds, and gives each picture to `take`.
    fn each(&mut self, seeds: &[u64], take: &mut dyn FnMut(&dyn Rows) -> Result<()>) -> Result<()> {
        let memory = StateMemory { bytes: self.plan.state_bytes, scratch: self.shared.out };
        let mut seen = 0;
        let mut checkpoint = |done: usize, _| {
            self.context.advance(self.meter, (done - seen) * seeds.len());
            seen = done;
            self.context.checkpoint()
        };
        let pictures = self.shared.sampling.draw(&self.shared.model, self.condition, seeds, memory, &mut checkpoint)?;
        self.context.advance(self.meter, seeds.len());
        pictures.iter().try_for_each(|picture| take(picture.as_ref()))
    }

    /// The best of some seeds. The best so far is kept; where it turns out to be an earlier one after all, that is drawn
    /// again.
    fn best(&mut self, seeds: &[u64]) -> Result<Arc<Image>> {
        let lr = self.condition.lr();
        let mut best = Best::of(self.context, self.shared.recipe, lr.width().min(lr.height()) * SCALE)?;
        let mut kept: Option<(usize, Arc<Image>)> = None;
        let mut index = 0;
        self.all(seeds, &mut |picture| {
            let image = Arc::new(picture.whole()?);
            best.add(&image, lr)?;
            if best.index()? == index {
                kept = Some((index, image));
            }
            index += 1;
            Ok(())
        })?;
        let winner = best.index()?;
        match kept {
            Some((index, image)) if index == winner => Ok(image),
            _ => {
                let mut again = None;
                self.each(&seeds[winner..winner + 1], &mut |picture| {
                    again = Some(Arc::new(picture.whole()?));
                    Ok(())
                })?;
                again.ok_or_else(|| Error::invalid("there is no seed to take the best of"))
            }
        }
    }
}
