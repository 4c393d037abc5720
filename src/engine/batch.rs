//! How many pixels go through a network at once: what is fastest on the device, measured once and remembered.

use std::collections::BTreeMap;
use std::time::Instant;

use candle_core::Tensor;

use super::model::Model;
use crate::Result;
use crate::backbones::Query;
use crate::backbones::condition::Prompt;
use crate::backbones::guidance::Guided;
use crate::fs::places;
use crate::imaging::{Image, SCALE};
use crate::nn::tape::Tape;
use crate::random::Random;

/// Side of the images measured with.
const SIDE_PX: usize = 128;
/// Most images tried at once.
const MOST: usize = 256;
/// A batch twice as large must be this much faster per image to be worth its memory.
const WORTH: f64 = 0.98;
/// Values of a network from which on nothing is measured.
const LARGE: usize = 100_000_000;
/// Pixels at once of such a network on a device of its own: eight pictures of 512×512.
const LARGE_PIXELS: usize = 8 * 512 * 512;
/// What is taken where nothing can be measured.
const FALLBACK: usize = 4;

/// Pixels at once that are fastest for `model` on the device of this name. Found in the cache, or measured and put there.
pub fn fastest_pixels(model: &Model, device: &str) -> usize {
    if is_large(model) {
        // Whatever the batch, all its layers are at work; and to find out would take minutes.
        return model.params.compute().at_once(0, LARGE_PIXELS);
    }
    let key = format!("{} on {device}", model.backbone.card().name);
    let path = places::cache_dir().map(|dir| dir.join("batch.json"));
    let mut known: BTreeMap<String, usize> = path
        .as_ref()
        .and_then(|path| std::fs::read(path).ok())
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .unwrap_or_default();
    if let Some(&pixels) = known.get(&key)
        && (SIDE_PX * SIDE_PX..=MOST * SIDE_PX * SIDE_PX).contains(&pixels)
    {
        return pixels;
    }
    let pixels = fastest_count(&measured(model)) * SIDE_PX * SIDE_PX;
    known.insert(key, pixels);
    // A cache that cannot be written is measured again next time.
    if let (Some(path), Ok(bytes)) = (path, serde_json::to_vec_pretty(&known))
        && let Some(dir) = path.parent()
        && std::fs::create_dir_all(dir).is_ok()
    {
        let _ = std::fs::write(path, bytes);
    }
    pixels
}

/// Whether a network is so large that nothing is measured to find out how it is best used.
pub fn is_large(model: &Model) -> bool {
    model.backbone.card().memory.network >= LARGE
}

/// Batch sizes, doubling, and the seconds an image takes in each; ends where a larger one does not pay, or fails.
pub fn measured(model: &Model) -> Vec<(usize, f64)> {
    let mut all: Vec<(usize, f64)> = Vec::new();
    let mut count = FALLBACK;
    while count <= MOST {
        let Ok(seconds) = seconds_per_image(model, count) else { break };
        let last = all.last().copied();
        all.push((count, seconds));
        if last.is_some_and(|(_, before)| seconds > before * WORTH) {
            break;
        }
        count *= 2;
    }
    all
}

/// The smallest batch that is about as fast as the fastest.
pub fn fastest_count(measured: &[(usize, f64)]) -> usize {
    let best = measured.iter().map(|&(_, seconds)| seconds).fold(f64::INFINITY, f64::min);
    measured.iter().find(|(_, seconds)| seconds * WORTH <= best).map_or(FALLBACK, |&(count, _)| count)
}

fn seconds_per_image(model: &Model, count: usize) -> Result<f64> {
    let lr_side = SIDE_PX / SCALE;
    let lr = Image::new(lr_side, lr_side, vec![0.5; 3 * lr_side * lr_side])?;
    let device = model.params.device();
    let shown = model.backbone.condition(&lr, &Prompt::default())?.whole(count, device)?;
    let latent = model.backbone.card().latent;
    let [height, width] = latent.size([SIDE_PX; 2]);
    let values = Random::new(0, 0).normal_image(latent.channels * count, height, width);
    let x = Tensor::from_vec(values, (count, latent.channels, height, width), device)?;
    let (times, told) = (vec![0.5; count], Guided::by(model.backbone.card(), 1.0).told());
    let evaluate = || -> Result<f64> {
        let began = Instant::now();
        let tape = Tape::inference(model.params.kernels());
        let y = model.backbone.predict(&tape, &model.params, &Query::new(&x, &times, &shown).guided(told))?;
        // A device works while the program goes on: only a value that came back ends the measurement.
        y.tensor().flatten_all()?.get(0)?.to_scalar::<f32>()?;
        Ok(began.elapsed().as_secs_f64())
    };
    evaluate()?;
    let mut times = [evaluate()?, evaluate()?, evaluate()?];
    times.sort_by(f64::total_cmp);
    Ok(times[0] / count as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_batch_that_is_fast_enough_is_taken() {
        assert_eq!(fastest_count(&[(4, 2.0), (8, 1.5), (16, 1.49), (32, 1.6)]), 8);
        assert_eq!(fastest_count(&[(4, 2.0), (8, 1.5), (16, 1.0)]), 16);
        assert_eq!(fastest_count(&[]), FALLBACK);
    }
}
