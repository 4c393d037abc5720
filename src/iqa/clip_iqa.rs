//! CLIP-IQA and CLIP-IQA+: whether an image is nearer to "good" or to "bad" in CLIP's space, with words given or learned.
//!
//! Wang et al., "Exploring CLIP for Assessing the Look and Feel of Images", AAAI 2023. As pyiqa has them: `clipiqa` is the mean over
//! five pairs of words (the authors' own demonstration uses one pair, with other scores).

use candle_core::Tensor;

use super::clip::{Model, Opening, around, context};
use super::info::{Info, text};
use super::learned::Judged;
use super::metric::{Metric, Scorer};
use crate::networks::clip::text::ENDS;
use crate::networks::published::unwrapped;
use crate::nn::kernels::Compute;
use crate::weights::{Part, Store, registry};
use crate::{Error, Result};

/// CLIP-IQA with one kind of texts.
#[derive(Debug)]
pub struct ClipIqa {
    info: Info,
    /// OpenAI's file, and that of the learned words.
    parts: &'static [&'static Part],
    model: Model,
    /// What the file calls the learned words.
    words: &'static str,
    positions: bool,
}

const fn info(name: &'static str, title: &'static str, version: &'static str) -> Info {
    Info {
        name: text(name),
        title: text(title),
        min_size_px: 32,
        version: text(version),
        gflop: 64.0,
        map: text("1 − how likely \"good\" is of each cell of 32 pixels alone"),
        paper: text("Wang et al., AAAI 2023"),
        ..Info::LEARNED
    }
}

/// [`info`] of the largest tower.
const fn info_vit(name: &'static str, title: &'static str, version: &'static str) -> Info {
    Info {
        name: text(name),
        title: text(title),
        min_size_px: 32,
        version: text(version),
        gflop: 977.0,
        map: text("1 − score of windows of 224 pixels, averaged"),
        paper: text("Wang et al., AAAI 2023"),
        ..Info::LEARNED
    }
}

/// With pyiqa's five pairs of words.
pub static CLIP_IQA: ClipIqa = ClipIqa {
    info: info("clipiqa", "CLIP-IQA", "as pyiqa 0.1.16: RN50, five pairs of words, no positions"),
    parts: &[&registry::CLIP_RN50],
    model: Model::Rn50,
    words: "",
    positions: false,
};

/// With learned words.
pub static CLIP_IQA_PLUS: ClipIqa = ClipIqa {
    info: info("clipiqa+", "CLIP-IQA+", "as pyiqa 0.1.16: RN50, learned words, no positions"),
    parts: &[&registry::CLIP_RN50, &registry::CLIP_IQA_PLUS],
    model: Model::Rn50,
    words: "ctx",
    positions: false,
};

/// The variant trained on images of 512 pixels.
pub static CLIP_IQA_PLUS_512: ClipIqa = ClipIqa {
    info: info("clipiqa+_rn50_512", "CLIP-IQA+ (RN50, 512)", "as pyiqa 0.1.16: RN50, learned words, positions"),
    parts: &[&registry::CLIP_RN50, &registry::CLIP_IQA_PLUS_RN50_512],
    model: Model::Rn50,
    words: "prompt_learner.ctx",
    positions: true,
};

/// The variant trained on images of 512 pixels, on ViT-L/14.
pub static CLIP_IQA_PLUS_VIT_512: ClipIqa = ClipIqa {
    info: info_vit(
        "clipiqa+_vitL14_512",
        "CLIP-IQA+ (ViT-L/14, 512)",
        "as pyiqa 0.1.16: ViT-L/14, learned words, positions",
    ),
    parts: &[&registry::CLIP_VIT_L_14, &registry::CLIP_IQA_PLUS_VIT_L_14_512],
    model: Model::VitL14,
    words: "prompt_learner.ctx",
    positions: true,
};

/// "Good image", "bad image"; "Sharp image", "blurry image"; "sharp edges", "blurry edges"; "High resolution image", "low resolution
/// image"; "Noise-free image", "noisy image".
const WORDS: [&[u32]; 10] = [
    &[886, 2867],
    &[2103, 2867],
    &[8157, 2867],
    &[21_977, 2867],
    &[8157, 20_938],
    &[21_977, 20_938],
    &[1400, 9977, 2867],
    &[1042, 9977, 2867],
    &[9307, 268, 1139, 2867],
    &[33_495, 2867],
];

/// "Good photo..", "Bad photo..": two dots are one token.
const CLASSES: [&[u32]; 2] = [&[886, 1125, 852], &[2103, 1125, 852]];

impl Metric for &'static ClipIqa {
    fn info(&self) -> &Info {
        &self.info
    }

    fn needs(&self) -> &[&'static Part] {
        self.parts
    }

    fn open(&self, store: &Store, on: &Compute) -> Result<Box<dyn Scorer>> {
        let clip = Opening::new(self.model, self.parts[0], store, on)?;
        let tower = clip.text()?;
        let texts = match self.parts.get(1) {
            None => tower.encode(&WORDS.map(|words| [&ENDS[..1], words, &ENDS[1..]].concat()))?,
            Some(part) => tower.encode_rows(&self.learned(store, part, &tower, on)?)?,
        };
        drop(tower);
        Ok(Box::new(Judged(clip.judge(&self.info, &texts, self.positions, 1.0)?)))
    }
}

impl ClipIqa {
    fn learned(
        &self,
        store: &Store,
        part: &'static Part,
        tower: &crate::networks::clip::text::TextTower,
        on: &Compute,
    ) -> Result<Vec<Tensor>> {
        let source = unwrapped(store.open(part)?)?;
        // A file may hold the one tensor without a name.
        let name = match source.len() {
            1 => source.iter().next().map(|(name, _, _)| name.to_owned()),
            _ => Some(self.words.to_owned()),
        };
        let name = name.ok_or_else(|| Error::file(source.origin(), "there are no weights in it"))?;
        // What begins and ends the texts is in some files too, as CLIP has it.
        let allowed = [name.as_str(), "prompt_learner.token_prefix", "prompt_learner.token_suffix"];
        source.check([], &allowed)?;
        around(tower, &context(&source, &name, CLASSES.len(), tower.width(), on)?, &CLASSES)
    }
}
