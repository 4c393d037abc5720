//! Q-Align: a language model is shown the image and asked how it would rate it; the score follows from how likely it is to answer
//! excellent, good, fair, poor or bad.
//!
//! Wu et al., "Q-Align: Teaching LMMs for Visual Scoring via Discrete Text-Defined Levels", ICML 2024, with the weights of `one-align`. The
//! question is given as LLaMA's numbers of tokens, begun by its first one, as the model was trained. On a CPU 16-bit weights take 16.4 GB
//! and a picture minutes: it is meant for a GPU. It has no map: the answer is one word about the whole picture, and windows would be
//! pictures of their own at the full price each.

use std::sync::Arc;

use candle_core::{DType, Device, Tensor};

use super::features::Features;
use super::info::{Info, text};
use super::learned::{self, Judge, Judged};
use super::metric::{Map, Metric, Scorer};
use crate::Result;
use crate::imaging::Image;
use crate::imaging::quantize::to_u8;
use crate::networks::mplug_owl2::{Asked, Config, PATCH, Question};
use crate::nn::kernels::resample::{Axis, Interpolation};
use crate::nn::kernels::{Compute, Precision};
use crate::nn::tape::{Tape, Var};
use crate::weights::{Part, Store, registry};

/// Q-Align with one question.
#[derive(Debug)]
pub struct QAlign {
    info: Info,
    /// How "quality" or "aesthetic" is written.
    asked: &'static [u32],
}

const fn info(name: &'static str, title: &'static str) -> Info {
    Info {
        name: text(name),
        title: text(title),
        range: (1.0, 5.0),
        min_size_px: 32,
        version: text("one-align, pyiqa 0.1.16's question begun by the first token, 16-bit weights"),
        crop_policy: text("padded to a square, brought to 448 pixels"),
        gflop: 2000.0,
        paper: text("Wu et al., ICML 2024"),
        ..Info::LEARNED
    }
}

/// How it would rate the quality.
pub static QUALITY: QAlign = QAlign { info: info("qalign", "Q-Align (quality)"), asked: &[11_029] };
/// How it would rate the aesthetic.
pub static AESTHETIC: QAlign =
    QAlign { info: info("qalign_aesthetic", "Q-Align (aesthetic)"), asked: &[263, 342, 29_882, 7492] };

/// "USER: How would you rate the … of this image?" and a new line.
const BEFORE: [&[u32]; 2] = [&[1, 3148, 1001, 29_901, 1128, 723, 366, 6554, 278], &[310, 445, 1967, 29_973, 13]];
/// A new line, "ASSISTANT: The … of the image is".
const AFTER: [&[u32]; 2] = [&[29_871, 13, 22_933, 9047, 13_566, 29_901, 450], &[310, 278, 1967, 338]];
/// "excellent", "good", "fair", "poor", "bad".
const ANSWERS: [u32; 5] = [15_129, 1781, 6534, 6460, 4319];
/// What the image is padded with: CLIP's mean, in bytes.
const PADDING: [f32; 3] = [122.0 / 255.0, 116.0 / 255.0, 104.0 / 255.0];

static PARTS: [&Part; 1] = [&registry::ONE_ALIGN];

impl Metric for &'static QAlign {
    fn info(&self) -> &Info {
        &self.info
    }

    fn needs(&self) -> &[&'static Part] {
        &PARTS
    }

    fn open(&self, store: &Store, on: &Compute) -> Result<Box<dyn Scorer>> {
        let words = |[first, last]: [&[u32]; 2]| [first, self.asked, last].concat();
        let question = Question { before: words(BEFORE), after: words(AFTER), answers: ANSWERS };
        let on = on.clone().in_precision(Precision { frozen: DType::F16, ..on.precision });
        let asked = Asked::open(&store.open(PARTS[0])?, Config::ONE_ALIGN, question, &on)?;
        Ok(Box::new(Judged(Opened { metric: self, asked })))
    }
}

struct Opened {
    metric: &'static QAlign,
    asked: Asked,
}

/// The score of logits of the answers, the best first: 5 to 1.
pub fn score(logits: &[f32]) -> f64 {
    learned::expected_grade(&logits.iter().rev().copied().collect::<Vec<f32>>())
}

/// In the middle of a square of one colour, brought to `side` pixels as PIL does: an axis at a time, each rounded to bytes.
fn prepared(image: &Image, side: usize) -> Result<Image> {
    let (width, height) = (image.width(), image.height());
    let square = width.max(height);
    let (left, top) = ((square - width) / 2, (square - height) / 2);
    let mut data = Vec::with_capacity(3 * square * square);
    for (c, padding) in PADDING.into_iter().enumerate() {
        let mut plane = vec![padding; square * square];
        for (row, pixels) in image.plane(c).chunks_exact(width).enumerate() {
            plane[(top + row) * square + left..][..width].copy_from_slice(pixels);
        }
        data.extend(plane);
    }
    let tape = Tape::inference(&Compute::cpu().kernels);
    let bytes = |values: Vec<f32>| values.into_iter().map(|v| f32::from(to_u8(v)) / 255.0).collect::<Vec<f32>>();
    let axis = |to: usize| Axis::interpolate(square, to, Interpolation::Bicubic(-0.5), true);
    let whole = Axis::interpolate(square, square, Interpolation::Bilinear, false);
    let rows = Axis::interpolate(side, side, Interpolation::Bilinear, false);
    let planes = Var::constant(Tensor::from_vec(bytes(data), (3, square, square, 1), &Device::Cpu)?);
    let across = tape.resample(&planes, [whole, axis(side)])?.tensor().flatten_all()?.to_vec1()?;
    let across = Var::constant(Tensor::from_vec(bytes(across), (3, square, side, 1), &Device::Cpu)?);
    let down = tape.resample(&across, [axis(side), rows])?.tensor().flatten_all()?.to_vec1()?;
    Image::new(side, side, bytes(down))
}

impl Judge for Opened {
    fn info(&self) -> &Info {
        &self.metric.info
    }

    fn batch(&self, _: [usize; 2]) -> usize {
        self.asked.params().compute().at_once(1, 4)
    }

    fn judge(&self, images: &[Arc<Image>], _: &Features) -> Result<Vec<f64>> {
        let side = Config::ONE_ALIGN.grid * PATCH;
        let images = images.iter().map(|image| prepared(image, side).map(Arc::new)).collect::<Result<Vec<_>>>()?;
        let x = learned::input(&images, learned::CLIP, self.asked.params().device())?;
        Ok(self.asked.forward(x)?.iter().map(|logits| score(logits)).collect())
    }

    fn map(&self, _: &Arc<Image>, _: &Features) -> Result<Option<Map>> {
        Ok(None)
    }
}
