//! LIQE: which of five grades a photo of that quality would be called, as a fine-tuned CLIP sees it.
//!
//! Zhang et al., "Blind Image Quality Assessment via Vision-Language Correspondence: A Multitask Learning Perspective", CVPR 2023. Fifteen
//! windows of 224 pixels are looked at; `liqe_mix` asks for scene and distortion too, and sums over them.

use std::sync::Arc;

use candle_core::Device;

use super::features::Features;
use super::info::{Info, text};
use super::learned::{self, Judge, Judged};
use super::metric::{Map, Metric, Scorer};
use super::{shared, windows};
use crate::Result;
use crate::imaging::{Image, crop};
use crate::networks::clip::text::{ENDS, TextTower};
use crate::networks::clip::unit;
use crate::networks::clip::vision::{Config, Vision};
use crate::networks::published::unwrapped;
use crate::nn::kernels::Compute;
use crate::nn::params::{Params, Specs};
use crate::nn::tape::{Tape, Var};
use crate::weights::{Part, Store, registry};

/// LIQE with one set of weights.
#[derive(Debug)]
pub struct Liqe {
    info: Info,
    parts: [&'static Part; 1],
    /// Whether the texts tell scene and distortion too.
    mix: bool,
}

/// Side of a window, and pixels from one to the next.
const WINDOW: usize = 224;
const STEP: usize = 32;
/// Windows that are looked at.
const WINDOWS: usize = 15;

const fn info(name: &'static str, title: &'static str) -> Info {
    Info {
        name: text(name),
        title: text(title),
        range: (1.0, 5.0),
        min_size_px: WINDOW,
        version: text("as pyiqa 0.1.16: logits averaged over windows"),
        crop_policy: text("15 windows of 224 pixels, every n/15-th of those 32 pixels apart"),
        crops: WINDOWS,
        gflop: 132.0,
        map: text("5 − score of windows of 224 pixels, averaged"),
        paper: text("Zhang et al., CVPR 2023"),
        ..Info::LEARNED
    }
}

/// Trained on KonIQ-10k.
pub static LIQE: Liqe = Liqe { info: info("liqe", "LIQE (KonIQ)"), parts: [&registry::LIQE], mix: false };
/// Trained on six sets together.
pub static LIQE_MIX: Liqe = Liqe { info: info("liqe_mix", "LIQE (mix)"), parts: [&registry::LIQE_MIX], mix: true };

/// "bad", "poor", "fair", "good", "perfect".
const GRADES: [&[u32]; 5] = [&[2103], &[3665], &[2849], &[886], &[1878]];
/// "animal", "cityscape", "human", "indoor", "landscape", "night", "plant", "still_life", "others".
const SCENES: [&[u32]; 9] =
    [&[4668], &[40_808], &[2751], &[9546], &[5727], &[930], &[3912], &[1170, 318, 970], &[3326]];
/// "jpeg2000 compression", "jpeg compression", "noise", "blur", "color", "contrast", "overexposure", "underexposure", "spatial",
/// "quantization", "other".
const DISTORTIONS: [&[u32]; 11] = [
    &[73, 11_207, 273, 271, 271, 271, 25_638],
    &[73, 11_207, 25_638],
    &[9307],
    &[27_976],
    &[3140],
    &[18_501],
    &[8649, 13_002, 35_539],
    &[21_675, 87, 35_539],
    &[22_022],
    &[31_540, 3683],
    &[1010],
];

/// "a photo with … quality", or "a photo of a … with … artifacts, which is of … quality": all texts, grade by grade.
fn texts(mix: bool) -> Vec<Vec<u32>> {
    let (begin, end) = (&ENDS[..1], &ENDS[1..]);
    if !mix {
        let text = |grade: &[u32]| [begin, &[320, 1125, 593], grade, &[3027], end].concat();
        return GRADES.into_iter().map(text).collect();
    }
    let of = |grade: &'static [u32], scene: &'static [u32]| {
        DISTORTIONS.into_iter().map(move |distortion| {
            let parts: [&[u32]; 9] = [
                begin,
                &[320, 1125, 539, 320],
                scene,
                &[593],
                distortion,
                &[30_249, 267, 1448, 533, 539],
                grade,
                &[3027],
                end,
            ];
            parts.concat()
        })
    };
    GRADES.into_iter().flat_map(|grade| SCENES.into_iter().flat_map(move |scene| of(grade, scene))).collect()
}

impl Metric for &'static Liqe {
    fn info(&self) -> &Info {
        &self.info
    }

    fn needs(&self) -> &[&'static Part] {
        &self.parts
    }

    fn open(&self, store: &Store, on: &Compute) -> Result<Box<dyn Scorer>> {
        let source = store.open(self.parts[0])?;
        let name = shared::name(self.parts[0], &source, on);
        let source = unwrapped(source)?.below("clip_model.")?;
        let network = shared::network(name.as_deref(), || {
            let mut specs = Specs::default();
            let vision = Vision::new(&mut specs, Config::VIT_B_32);
            const TEXT: [&str; 6] = [
                "positional_embedding",
                "text_projection",
                "logit_scale",
                "transformer.*",
                "token_embedding.weight",
                "ln_final.*",
            ];
            source.check(specs.iter(), &TEXT)?;
            let params = Params::from_source(&Arc::new(specs), &source, on)?;
            let tower = TextTower::open(&source, 512, Config::VIT_B_32.out, on)?;
            let texts = unit(&tower.encode(&texts(self.mix))?)?;
            on.tap("text_features", &texts);
            let texts = texts.to_device(&Device::Cpu)?.to_vec2()?;
            let scale = source.floats::<f64>("logit_scale", &[])?.first().map_or(1.0, |scale| scale.exp());
            Ok(Network { vision, params, texts, scale })
        })?;
        Ok(Box::new(Judged(Opened { metric: self, network })))
    }
}

/// The image tower, the texts' vectors of length 1, and what cosines are multiplied with.
struct Network {
    vision: Vision,
    params: Params,
    texts: Vec<Vec<f32>>,
    scale: f64,
}

struct Opened {
    metric: &'static Liqe,
    network: Arc<Network>,
}

impl Network {
    /// The logits of every text, the mean over windows.
    fn logits(&self, windows: &[Arc<Image>]) -> Result<Vec<f64>> {
        let (tape, params) = (Tape::inference(self.params.kernels()), &self.params);
        let x = learned::input(windows, learned::CLIP, params.device())?;
        let vectors = self.vision.forward(&tape, params, &Var::constant(x))?;
        params.compute().tap("clip_model.visual", &vectors);
        let vectors = vectors.to_device(&Device::Cpu)?.to_vec2::<f32>()?;
        let mut sum = vec![0.0; self.texts.len()];
        for vector in &vectors {
            let length = vector.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>().sqrt();
            for (sum, text) in sum.iter_mut().zip(&self.texts) {
                let dot = text.iter().zip(vector).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>();
                *sum += self.scale * dot / length / vectors.len() as f64;
            }
        }
        Ok(sum)
    }

    /// The grade to expect, 1 to 5.
    fn grade(&self, logits: &[f64]) -> f64 {
        let highest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let shares: Vec<f64> = logits.iter().map(|logit| (logit - highest).exp()).collect();
        let each = shares.len() / GRADES.len();
        let weighted = shares.iter().enumerate().map(|(i, share)| (i / each + 1) as f64 * share).sum::<f64>();
        weighted / shares.iter().sum::<f64>()
    }
}

/// Left and top of the windows that are looked at.
fn places([width, height]: [usize; 2]) -> Vec<[usize; 2]> {
    let starts = |len: usize| (0..=len.saturating_sub(WINDOW)).step_by(STEP);
    let all: Vec<_> = starts(height).flat_map(|y| starts(width).map(move |x| [x, y])).collect();
    let step = (all.len() / WINDOWS.min(all.len()).max(1)).max(1);
    all.into_iter().step_by(step).take(WINDOWS).collect()
}

impl Judge for Opened {
    fn info(&self) -> &Info {
        &self.metric.info
    }

    fn batch(&self, _: [usize; 2]) -> usize {
        1
    }

    fn judge(&self, images: &[Arc<Image>], features: &Features) -> Result<Vec<f64>> {
        let score = |image: &Arc<Image>| {
            features.checkpoint()?;
            let cut = |[x, y]: [usize; 2]| crop::cut(image, x, y, WINDOW, WINDOW).map(Arc::new);
            let windows = places([image.width(), image.height()]).into_iter().map(cut).collect::<Result<Vec<_>>>()?;
            Ok(self.network.grade(&self.network.logits(&windows)?))
        };
        images.iter().map(score).collect()
    }

    fn map(&self, image: &Arc<Image>, features: &Features) -> Result<Option<Map>> {
        windows::map(self, image, features, |score| 5.0 - score).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_those_of_the_tokenizer() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/iqa/learned/clip_token_ids.json");
        let ids: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        let plain: Vec<_> = texts(false).iter().map(|text| serde_json::json!(text)).collect();
        for want in ids["liqe"].as_object().unwrap().values() {
            assert!(plain.contains(want), "{want}");
        }
        let mix = texts(true);
        assert_eq!(mix.len(), 495);
        let parts = &ids["liqe_mix_parts"];
        assert_eq!(serde_json::json!(mix.first()), parts["first"]);
        assert_eq!(serde_json::json!(mix.last()), parts["last"]);
        assert_eq!(serde_json::json!(mix.iter().map(Vec::len).max()), parts["longest"]);
    }

    #[test]
    fn windows_are_every_so_many_of_all() {
        assert_eq!(places([224, 224]), [[0, 0]]);
        assert_eq!(places([288, 256]).len(), 6);
        let many = places([512, 512]);
        assert_eq!((many.len(), many[1]), (15, [192, 0]));
    }
}
