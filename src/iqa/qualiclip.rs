//! QualiCLIP: CLIP trained to know degraded images from their origins without anybody's opinion, asked seven pairs of words.
//!
//! Agnolucci et al., "Quality-Aware Image-Text Alignment for Opinion-Unaware Image Quality Assessment", arXiv 2403.11176. QualiCLIP+ has
//! learned words instead.

use candle_core::DType;

use super::clip::{Model, Opening, around, context};
use super::info::{Info, text};
use super::learned::Judged;
use super::metric::{Metric, Scorer};
use crate::Result;
use crate::networks::published::unwrapped;
use crate::nn::kernels::Compute;
use crate::weights::{Part, Store, registry};

/// QualiCLIP, with or without learned words.
#[derive(Debug)]
pub struct QualiClip {
    info: Info,
    /// The tower's file, and that of the learned words.
    parts: &'static [&'static Part],
}

const fn info(name: &'static str, title: &'static str) -> Info {
    Info {
        name: text(name),
        title: text(title),
        min_size_px: 32,
        version: text("as pyiqa 0.1.16: no positions, temperature 2"),
        gflop: 64.0,
        map: text("1 − how likely \"good\" is of each cell of 32 pixels alone"),
        paper: text("Agnolucci et al., 2024"),
        ..Info::LEARNED
    }
}

/// With the words that it was trained with.
pub static QUALICLIP: QualiClip = QualiClip { info: info("qualiclip", "QualiCLIP"), parts: &[&registry::QUALICLIP] };
/// With words learned on KonIQ.
pub static QUALICLIP_PLUS: QualiClip = QualiClip {
    info: info("qualiclip+", "QualiCLIP+ (KonIQ)"),
    parts: &[&registry::QUALICLIP, &registry::QUALICLIP_PLUS],
};

const PAIRS: usize = 7;
const WIDTH: usize = 512;
const OUT: usize = 1024;
/// What logits are divided by.
const TEMPERATURE: f64 = 2.0;

/// "Good photo.", "Bad photo."; "Sharp image.", "Blurry image."; "Sharp edges.", "Blurry edges."; "High-resolution image.",
/// "Low-resolution image."; "Noise-free image.", "Noisy image."; "High-quality image.", "Low-quality image."; "Good picture.", "Bad
/// picture."
const CLASSES: [&[u32]; 2 * PAIRS] = [
    &[886, 1125, 269],
    &[2103, 1125, 269],
    &[8157, 2867, 269],
    &[21_977, 2867, 269],
    &[8157, 20_938, 269],
    &[21_977, 20_938, 269],
    &[1400, 268, 9977, 2867, 269],
    &[1042, 268, 9977, 2867, 269],
    &[9307, 268, 1139, 2867, 269],
    &[33_495, 2867, 269],
    &[1400, 268, 3027, 2867, 269],
    &[1042, 268, 3027, 2867, 269],
    &[886, 1674, 269],
    &[2103, 1674, 269],
];

impl Metric for &'static QualiClip {
    fn info(&self) -> &Info {
        &self.info
    }

    fn needs(&self) -> &[&'static Part] {
        self.parts
    }

    fn open(&self, store: &Store, on: &Compute) -> Result<Box<dyn Scorer>> {
        let source =
            store.open(self.parts[0])?.renamed(|name| Some(name.trim_start_matches("clip_model.").to_owned()))?;
        let texts = match self.parts.get(1) {
            None => source.tensor("prompts_features", &[2 * PAIRS, OUT], DType::F32, &on.device)?,
            Some(part) => {
                let words = unwrapped(store.open(part)?)?;
                let name = "prompt_learner.ctx";
                words.check([], &[name, "prompt_learner.token_prefix", "prompt_learner.token_suffix"])?;
                let tower = Opening::of(Model::Rn50, self.parts[0], source.clone(), on).text()?;
                tower.encode_rows(&around(&tower, &context(&words, name, 2 * PAIRS, WIDTH, on)?, &CLASSES)?)?
            }
        };
        let clip = Opening::of(Model::Rn50, self.parts[0], source, on);
        Ok(Box::new(Judged(clip.judge(&self.info, &texts, false, TEMPERATURE)?)))
    }
}
