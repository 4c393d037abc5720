//! The map of a metric that has none by itself: what it says of overlapping windows, averaged where they overlap.

use std::sync::Arc;

use super::features::Features;
use super::learned::Judge;
use super::metric::Map;
use crate::Result;
use crate::imaging::{Image, crop};

/// Side of a window in pixels.
const SIDE: usize = 224;

/// What `worse` makes of the score of every window (more is worse), spread over its pixels with a weight that falls off towards its
/// edges. An image no larger than a window has one value.
pub fn map(judge: &impl Judge, image: &Arc<Image>, features: &Features, worse: impl Fn(f64) -> f64) -> Result<Map> {
    let (width, height) = (image.width(), image.height());
    let side = [width, height].map(|n| n.min(SIDE));
    let [lefts, tops] = [(width, side[0]), (height, side[1])].map(|(len, side)| starts(len, side));
    let places: Vec<[usize; 2]> = tops.iter().flat_map(|&y| lefts.iter().map(move |&x| [x, y])).collect();
    let (mut sums, mut weights) = (vec![0.0; width * height], vec![0.0; width * height]);
    let hat = |len: usize| -> Vec<f32> { (0..len).map(|i| (i + 1).min(len - i) as f32 / len as f32).collect() };
    let (across, down) = (hat(side[0]), hat(side[1]));
    for some in places.chunks(judge.batch(side).max(1)) {
        features.checkpoint()?;
        let cut = |&[x, y]: &[usize; 2]| crop::cut(image, x, y, side[0], side[1]).map(Arc::new);
        let windows: Vec<Arc<Image>> = some.iter().map(cut).collect::<Result<_>>()?;
        for (&[x, y], score) in some.iter().zip(judge.judge(&windows, &Features::default())?) {
            let value = worse(score) as f32;
            for (row, &down) in down.iter().enumerate() {
                let at = (y + row) * width + x;
                let pixels = sums[at..].iter_mut().zip(&mut weights[at..]).zip(&across);
                pixels.for_each(|((sum, weight), &across)| {
                    *sum += down * across * value;
                    *weight += down * across;
                });
            }
        }
    }
    let data = sums.iter().zip(&weights).map(|(sum, weight)| sum / weight).collect();
    Ok(Map { width, height, data })
}

/// Where windows begin, half a window apart or less, the last one at the border.
fn starts(len: usize, side: usize) -> Vec<usize> {
    let steps = (len - side).div_ceil((side / 2).max(1));
    (0..=steps).map(|i| (len - side) * i / steps.max(1)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::info::{Direction, Info, Kind};
    use super::*;

    /// Scores the mean of the red channel.
    struct Redness(Info);

    impl Judge for Redness {
        fn info(&self) -> &Info {
            &self.0
        }
        fn batch(&self, _: [usize; 2]) -> usize {
            3
        }
        fn judge(&self, images: &[Arc<Image>], _: &Features) -> Result<Vec<f64>> {
            assert!(images.len() <= 3);
            let mean = |image: &Arc<Image>| {
                let red = image.plane(0);
                red.iter().map(|&v| f64::from(v)).sum::<f64>() / red.len() as f64
            };
            Ok(images.iter().map(mean).collect())
        }
        fn map(&self, _: &Arc<Image>, _: &Features) -> Result<Option<Map>> {
            Ok(None)
        }
    }

    #[test]
    fn windows_cover_all_and_are_worse_where_the_score_is() {
        let judge = Redness(Info::new("redness", Kind::NoReference, Direction::Higher));
        for (width, height) in [(700, 230), (224, 224), (30, 500)] {
            let data = (0..3 * width * height).map(|i| (i % width) as f32 / width as f32).collect();
            let image = Arc::new(Image::new(width, height, data).unwrap());
            let map = map(&judge, &image, &Features::default(), |score| 1.0 - score).unwrap();
            assert_eq!((map.width, map.height, map.data.len()), (width, height, width * height));
            assert!(map.data.iter().all(|v| (0.0..=1.0).contains(v)), "{width}×{height}");
            // Red grows to the right.
            let row = &map.data[..width];
            assert!(row[0] >= row[width - 1] && row.is_sorted_by(|a, b| a + 1e-5 >= *b), "{width}×{height}");
            assert!(width < 300 || row[0] > row[width - 1] + 0.5);
        }
    }
}
