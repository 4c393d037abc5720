//! MANIQA: quality patch by patch, weighted by how much each patch matters.
//!
//! Yang et al., "MANIQA: Multi-dimension Attention Network for No-Reference Image Quality Assessment", CVPR workshops 2022. As pyiqa has it:
//! one weighted mean over the patches of all crops of a grid. What SR papers report is the PIPAL model; pyiqa's plain `maniqa` is
//! the KonIQ one.

use std::sync::Arc;

use candle_core::Device;

use super::features::Features;
use super::grid_crops::{enlarged, places};
use super::info::{Info, text};
use super::learned::{self, Judge, Judged};
use super::metric::{Map, Metric, Scorer};
use super::shared;
use crate::Result;
use crate::imaging::{Image, crop};
use crate::networks::maniqa::Opened as Network;
use crate::networks::published::unwrapped;
use crate::networks::vit::{GRID, IMAGE_PX};
use crate::nn::kernels::Compute;
use crate::weights::{Part, Store, registry};

/// MANIQA with one set of weights.
#[derive(Debug)]
pub struct Maniqa {
    info: Info,
    parts: [&'static Part; 1],
    /// Belongs to the file, and is not in it.
    scale: f32,
}

const CROP_GFLOP: f64 = 303.0;

impl Maniqa {
    const fn new(
        name: &'static str,
        title: &'static str,
        policy: &'static str,
        crops: usize,
        part: &'static Part,
        scale: f32,
    ) -> Self {
        let info = Info {
            name: text(name),
            title: text(title),
            min_size_px: IMAGE_PX,
            version: text("as pyiqa 0.1.16: one weighted mean over the patches of all crops"),
            crop_policy: text(policy),
            crops,
            gflop: CROP_GFLOP * crops as f64,
            map: text("1 − score of each patch of 8 pixels, weighted mean over crops"),
            paper: text("Yang et al., CVPR workshops 2022"),
            ..Info::LEARNED
        };
        Self { info, parts: [part], scale }
    }

    /// PIPAL's weights with another number of crops: other scores.
    pub const fn pipal(name: &'static str, title: &'static str, policy: &'static str, crops: usize) -> Self {
        Self::new(name, title, policy, crops, &registry::MANIQA_PIPAL, 0.13)
    }

    /// KonIQ's weights, likewise.
    pub const fn koniq(name: &'static str, title: &'static str, policy: &'static str, crops: usize) -> Self {
        Self::new(name, title, policy, crops, &registry::MANIQA_KONIQ, 0.8)
    }
}

const TWENTY: &str = "the first 20 of 5×5 crops of 224 pixels";

/// Trained on PIPAL: what SR papers report as MANIQA.
pub static MANIQA_PIPAL: Maniqa = Maniqa::pipal("maniqa-pipal", "MANIQA (PIPAL)", TWENTY, 20);
/// The same with fewer crops, to look at candidates before the scores that are kept are made.
pub static MANIQA_PIPAL_4: Maniqa =
    Maniqa::pipal("maniqa-pipal-4crops", "MANIQA (PIPAL), 4 crops", "2×2 crops of 224 pixels", 4);
/// Trained on KonIQ-10k: pyiqa's `maniqa`.
pub static MANIQA: Maniqa = Maniqa::koniq("maniqa", "MANIQA (KonIQ)", TWENTY, 20);
/// Trained on KADID-10k.
pub static MANIQA_KADID: Maniqa =
    Maniqa::new("maniqa-kadid", "MANIQA (KADID)", TWENTY, 20, &registry::MANIQA_KADID, 0.8);

impl Metric for &'static Maniqa {
    fn info(&self) -> &Info {
        &self.info
    }

    fn needs(&self) -> &[&'static Part] {
        &self.parts
    }

    fn open(&self, store: &Store, on: &Compute) -> Result<Box<dyn Scorer>> {
        let source = unwrapped(store.open(self.parts[0])?)?;
        let name = shared::name(self.parts[0], &source, on);
        let network = shared::network(name.as_deref(), || Network::new(&source, self.scale, on))?;
        Ok(Box::new(Judged(Opened { metric: self, network })))
    }
}

struct Opened {
    metric: &'static Maniqa,
    network: Arc<Network>,
}

/// A crop that was looked at: where it is, and score and weight of its patches.
struct Seen {
    place: [usize; 2],
    scores: Vec<f32>,
    weights: Vec<f32>,
}

impl Opened {
    /// The crops of an image, and the size of what they were taken of.
    fn look(&self, image: &Image, features: &Features) -> Result<(Vec<Seen>, [usize; 2])> {
        let compute = self.network.params().compute();
        let image = enlarged(image, IMAGE_PX)?;
        let size = [image.width(), image.height()];
        let places = places(size, IMAGE_PX, self.metric.info.crops);
        let mut seen = Vec::with_capacity(places.len());
        for some in places.chunks(compute.at_once(1, 4)) {
            features.checkpoint()?;
            let cut = |&[x, y]: &[usize; 2]| crop::cut(&image, x, y, IMAGE_PX, IMAGE_PX).map(Arc::new);
            let crops = some.iter().map(cut).collect::<Result<Vec<_>>>()?;
            let x = learned::input(&crops, learned::SYMMETRIC, &compute.device)?;
            let [scores, weights] = self.network.forward(x)?.map(|values| values.to_device(&Device::Cpu));
            let (scores, weights) = (scores?.to_vec2::<f32>()?, weights?.to_vec2::<f32>()?);
            for ((&place, scores), weights) in some.iter().zip(scores).zip(weights) {
                seen.push(Seen { place, scores, weights });
            }
        }
        Ok((seen, size))
    }
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
            let (seen, _) = self.look(image, features)?;
            let each = seen.iter().flat_map(|seen| seen.scores.iter().zip(&seen.weights));
            let (sum, weight) = each
                .fold((0.0, 0.0), |(sum, weight), (&s, &w)| (sum + f64::from(s) * f64::from(w), weight + f64::from(w)));
            Ok(sum / (weight + 1e-8))
        };
        images.iter().map(score).collect()
    }

    fn map(&self, image: &Arc<Image>, features: &Features) -> Result<Option<Map>> {
        let (seen, [width, height]) = self.look(image, features)?;
        let (mut sums, mut weights) = (vec![0.0f32; width * height], vec![0.0f32; width * height]);
        let patch = IMAGE_PX / GRID;
        for Seen { place: [x, y], scores, weights: of_patch } in &seen {
            for row in 0..IMAGE_PX {
                let at = (y + row) * width + x;
                let pixels = sums[at..].iter_mut().zip(&mut weights[at..]).take(IMAGE_PX);
                for (column, (sum, weight)) in pixels.enumerate() {
                    let i = row / patch * GRID + column / patch;
                    *sum += (1.0 - scores[i]) * of_patch[i];
                    *weight += of_patch[i];
                }
            }
        }
        // What no crop covers is as good as the mean: nothing is known of it.
        let mean = sums.iter().sum::<f32>() / weights.iter().sum::<f32>().max(1e-8);
        let data = sums.iter().zip(&weights).map(|(sum, &weight)| if weight > 0.0 { sum / weight } else { mean });
        let (data, [w, h]) = (data.collect::<Vec<f32>>(), [image.width(), image.height()]);
        // An enlarged image's map goes back to the image's size.
        let nearest = |x: usize, y: usize| data[(y * height / h) * width + x * width / w];
        let data = (0..w * h).map(|i| nearest(i % w, i / w)).collect();
        Ok(Some(Map { width: w, height: h, data }))
    }
}
