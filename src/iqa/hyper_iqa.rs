//! HyperIQA: what an image shows decides how it is judged.
//!
//! Su et al., "Blindly Assess Image Quality in the Wild Guided by A Self-Adaptive Hyper Network", CVPR 2020, with pyiqa's weights and
//! crops: 25 of 224 pixels on a grid. The authors take random crops of the image resized to 512×384.

use std::sync::Arc;

use super::features::Features;
use super::grid_crops::{enlarged, places};
use super::info::{Info, text};
use super::learned::{IMAGENET, Judge, Judged, input};
use super::metric::{Map, Metric, Scorer};
use crate::Result;
use crate::imaging::{Image, crop};
use crate::networks::hyper_iqa::{CROP_PX, HyperIqa as Network};
use crate::networks::published::{Published, unwrapped};
use crate::nn::kernels::Compute;
use crate::nn::params::Params;
use crate::nn::tape::{Tape, Var};
use crate::weights::{Part, Store, registry};

/// HyperIQA trained on KonIQ.
pub struct HyperIqa;

const CROPS: usize = SIDE * SIDE;
/// Crops of a row and of a column.
const SIDE: usize = 5;
/// Crops that go through the network at once.
const AT_ONCE: usize = 5;

static INFO: Info = Info {
    name: text("hyperiqa"),
    title: text("HyperIQA (KonIQ)"),
    min_size_px: 32,
    version: text("HyperIQA over ResNet-50, KonIQ"),
    crop_policy: text("5×5 crops of 224 pixels, a smaller image enlarged to 225"),
    crops: CROPS,
    gflop: 215.0,
    map: text("mean over crops at the pixel of what its score lacks to 1"),
    paper: text("Su et al., CVPR 2020"),
    ..Info::LEARNED
};

impl Metric for HyperIqa {
    fn info(&self) -> &Info {
        &INFO
    }

    fn needs(&self) -> &[&'static Part] {
        static PARTS: [&Part; 1] = [&registry::HYPER_IQA];
        &PARTS
    }

    fn open(&self, store: &Store, on: &Compute) -> Result<Box<dyn Scorer>> {
        let source = unwrapped(store.open(&registry::HYPER_IQA)?)?;
        let mut published = Published::default();
        let network = Network::new(&mut published);
        let params = published.open(&source, &["*.num_batches_tracked", "base_model.fc.*"], on)?;
        Ok(Box::new(Judged(Opened { network, params })))
    }
}

/// The network with its weights.
struct Opened {
    network: Network,
    params: Params,
}

/// Left and top of a crop, and its score.
type Seen = ([usize; 2], f64);

impl Opened {
    /// The crops of an image, and the size of what they were taken of.
    fn look(&self, image: &Image, features: &Features) -> Result<(Vec<Seen>, [usize; 2])> {
        let image = enlarged(image, CROP_PX)?;
        let size = [image.width(), image.height()];
        let mut seen = Vec::with_capacity(CROPS);
        for some in places(size, CROP_PX, CROPS).chunks(AT_ONCE) {
            features.checkpoint()?;
            let cut = |&[x, y]: &[usize; 2]| crop::cut(&image, x, y, CROP_PX, CROP_PX).map(Arc::new);
            let crops = some.iter().map(cut).collect::<Result<Vec<_>>>()?;
            let x = Var::constant(input(&crops, IMAGENET, self.params.device())?);
            let tape = Tape::inference(self.params.kernels());
            seen.extend(some.iter().copied().zip(self.network.forward(&tape, &self.params, &x)?));
        }
        Ok((seen, size))
    }
}

impl Judge for Opened {
    fn info(&self) -> &Info {
        &INFO
    }

    fn batch(&self, _: [usize; 2]) -> usize {
        1
    }

    fn judge(&self, images: &[Arc<Image>], features: &Features) -> Result<Vec<f64>> {
        let score = |image: &Arc<Image>| {
            let (seen, _) = self.look(image, features)?;
            Ok(seen.iter().map(|(_, score)| score).sum::<f64>() / seen.len() as f64)
        };
        images.iter().map(score).collect()
    }

    fn map(&self, image: &Arc<Image>, features: &Features) -> Result<Option<Map>> {
        let (seen, [width, height]) = self.look(image, features)?;
        let (across, down) = (image.width(), image.height());
        let columns: Vec<_> = seen.iter().take(SIDE).map(|([x, _], _)| *x).collect();
        let rows: Vec<_> = seen.iter().step_by(SIDE).map(|([_, y], _)| *y).collect();
        let (columns, rows) = (over(&columns, across, width), over(&rows, down, height));
        let mut data = Vec::with_capacity(across * down);
        for rows in &rows {
            data.extend(columns.iter().map(|columns| {
                let crops = rows.iter().flat_map(|row| columns.iter().map(move |column| row * SIDE + column));
                let lacks: f64 = crops.map(|crop| 1.0 - seen[crop].1).sum();
                (lacks / (rows.len() * columns.len()) as f64) as f32
            }));
        }
        Ok(Some(Map { width: across, height: down, data }))
    }
}

/// For each of `pixels` along an axis, the numbers of the crops over it, or of those nearest to it. Crops begin at `places` of an
/// axis of `len` pixels.
fn over(places: &[usize], pixels: usize, len: usize) -> Vec<Vec<usize>> {
    let of_pixel = |pixel: usize| {
        let at = pixel * len / pixels;
        let far = |place: usize| place.saturating_sub(at) + at.saturating_sub(place + CROP_PX - 1);
        let least = places.iter().map(|place| far(*place)).min().unwrap_or_default();
        (0..places.len()).filter(|i| far(places[*i]) == least).collect()
    };
    (0..pixels).map(of_pixel).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pixels_belong_to_the_crops_over_them_or_nearest_to_them() {
        let near = over(&[0, 20], 244, 244);
        assert_eq!([&near[10], &near[100], &near[243]], [&vec![0], &vec![0, 1], &vec![1]]);
        let apart = over(&[0, 300], 1200, 600);
        assert_eq!([&apart[480], &apart[560], &apart[1199]], [&vec![0], &vec![1], &vec![1]]);
    }
}
