//! Crops: where a large photograph is cut into the pieces that are sampled and trained on.

use super::border::symmetric;
use super::draw::{Draws, Purpose};
use super::{Image, SCALE, color::luma};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// A square part of an image, in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Crop {
    /// Column of the left edge.
    pub x: usize,
    /// Row of the top edge.
    pub y: usize,
    /// Width and height.
    pub size_px: usize,
}

impl Crop {
    /// The pixels two crops of one size share.
    fn overlap(&self, other: &Crop) -> usize {
        let along = |a: usize, b: usize| self.size_px.saturating_sub(a.abs_diff(b));
        along(self.x, other.x) * along(self.y, other.y)
    }

    /// The same part of the image that is [`SCALE`] times smaller.
    pub fn of_lr(&self) -> Crop {
        Crop { x: self.x / SCALE, y: self.y / SCALE, size_px: self.size_px / SCALE }
    }
}

/// The image continued to the right and below by mirroring until its sides are multiples of `multiple`.
pub fn padded(image: &Image, multiple: usize) -> Result<Image> {
    let [width, height] = [image.width(), image.height()].map(|side| side.next_multiple_of(multiple));
    let mut data = Vec::with_capacity(3 * width * height);
    for channel in 0..3 {
        let plane = image.plane(channel);
        for y in 0..height {
            let row = &plane[symmetric(y as isize, image.height()) * image.width()..][..image.width()];
            data.extend((0..width).map(|x| row[symmetric(x as isize, image.width())]));
        }
    }
    Image::new(width, height, data)
}

/// Cuts out the rectangle at (`x`, `y`); fails where it is empty or not inside the image.
pub fn cut(image: &Image, x: usize, y: usize, width: usize, height: usize) -> Result<Image> {
    let inside = |at: usize, length: usize, side: usize| at.checked_add(length).is_some_and(|end| end <= side);
    if !inside(x, width, image.width()) || !inside(y, height, image.height()) {
        return Err(Error::invalid(format!(
            "a crop of {width}×{height} px at ({x}, {y}) is not inside {}×{} px",
            image.width(),
            image.height()
        )));
    }
    let mut data = Vec::with_capacity(3 * width * height);
    for channel in 0..3 {
        for row in image.plane(channel).chunks_exact(image.width()).skip(y).take(height) {
            data.extend_from_slice(&row[x..x + width]);
        }
    }
    Image::new(width, height, data)
}

/// Cuts out a square crop.
pub fn apply(image: &Image, crop: Crop) -> Result<Image> {
    cut(image, crop.x, crop.y, crop.size_px, crop.size_px)
}

/// The image without the rows and columns at the right and bottom that keep its sides from being multiples of
/// `multiple` (MATLAB's `modcrop`); fails where nothing would be left.
pub fn trim(image: &Image, multiple: usize) -> Result<Image> {
    let floor = |side: usize| side - side % multiple.max(1);
    let (width, height) = (floor(image.width()), floor(image.height()));
    if width == 0 || height == 0 {
        return Err(Error::invalid(format!("{}×{} px is smaller than {multiple} px", image.width(), image.height())));
    }
    cut(image, 0, 0, width, height)
}

/// The centre crop, at a position that [`SCALE`] divides.
pub fn center(image: &Image, size_px: usize) -> Result<Crop> {
    check(image, size_px)?;
    let at = |side: usize| (side - size_px) / 2 / SCALE * SCALE;
    Ok(Crop { x: at(image.width()), y: at(image.height()), size_px })
}

/// Up to `count` crops with something in them, chosen at random by `seed`; fewer where the image has fewer positions.
///
/// Positions are multiples of [`SCALE`], so that [`Crop::of_lr`] is exact. Crops do not overlap as long as that is
/// possible among the places tried, and the more textured half of those is used first: sky teaches nothing. Fails where
/// `size_px` is 0, no multiple of [`SCALE`], or larger than the image.
pub fn crops(image: &Image, size_px: usize, count: usize, seed: u64) -> Result<Vec<Crop>> {
    check(image, size_px)?;
    let mut left = textured_first(image, size_px, count, &mut Draws::new(seed, Purpose::Crop));
    let mut chosen: Vec<Crop> = Vec::with_capacity(count);
    left.retain(|candidate| {
        let take = chosen.len() < count && chosen.iter().all(|c| c.overlap(candidate) == 0);
        if take {
            chosen.push(*candidate);
        }
        !take
    });
    // Where nothing free is left: what shares the least with the others, the textured first among equals.
    while chosen.len() < count {
        let shared = |candidate: &Crop| chosen.iter().map(|c| c.overlap(candidate)).sum::<usize>();
        let Some((next, _)) = left.iter().enumerate().min_by_key(|(_, candidate)| shared(candidate)) else {
            break;
        };
        chosen.push(left.remove(next));
    }
    Ok(chosen)
}

fn check(image: &Image, size_px: usize) -> Result<()> {
    if size_px == 0 || !size_px.is_multiple_of(SCALE) {
        return Err(Error::invalid(format!("a crop size of {size_px} px is not a multiple of {SCALE}")));
    }
    if size_px > image.width() || size_px > image.height() {
        let (width, height) = (image.width(), image.height());
        let hint = "take smaller crops, or the whole image (0)";
        return Err(Error::invalid(format!("crops of {size_px} px do not fit into {width}×{height} px; {hint}")));
    }
    Ok(())
}

/// Random distinct positions in random order, those with more than the median texture before the others.
fn textured_first(image: &Image, size_px: usize, count: usize, draws: &mut Draws) -> Vec<Crop> {
    let (columns, rows) = ((image.width() - size_px) / SCALE + 1, (image.height() - size_px) / SCALE + 1);
    let tried = (64 * count).min(columns * rows);
    let mut places: Vec<usize> = if tried * 4 > columns * rows {
        let mut all: Vec<usize> = (0..columns * rows).collect();
        draws.shuffle(&mut all);
        all
    } else {
        (0..tried).map(|_| draws.index(columns * rows)).collect()
    };
    places.truncate(tried);
    let mut seen = std::collections::HashSet::new();
    places.retain(|place| seen.insert(*place));

    let texture = Texture::new(image);
    let candidates: Vec<(f64, Crop)> = places
        .iter()
        .map(|place| Crop { x: place % columns * SCALE, y: place / columns * SCALE, size_px })
        .map(|crop| (texture.of(crop), crop))
        .collect();
    let mut levels: Vec<f64> = candidates.iter().map(|c| c.0).collect();
    levels.sort_by(f64::total_cmp);
    let median = levels.get(levels.len() / 2).copied().unwrap_or(0.0);
    let (textured, plain): (Vec<_>, Vec<_>) = candidates.into_iter().partition(|c| c.0 >= median);
    textured.into_iter().chain(plain).map(|c| c.1).collect()
}

/// Sums of local contrast over rectangles, from a summed-area table.
struct Texture {
    stride: usize,
    sums: Vec<f64>,
}

impl Texture {
    fn new(image: &Image) -> Self {
        // A ceiling, so that one hard edge does not outweigh texture all over.
        const CEILING: f32 = 0.1;
        let (width, height) = (image.width(), image.height());
        let luma = luma(image);
        let stride = width + 1;
        let mut sums = vec![0.0; stride * (height + 1)];
        for y in 0..height {
            let row = &luma[y * width..(y + 1) * width];
            let below = &luma[(y + 1).min(height - 1) * width..][..width];
            let mut line = 0.0;
            for x in 0..width {
                let gradient = (row[(x + 1).min(width - 1)] - row[x]).abs() + (below[x] - row[x]).abs();
                line += f64::from(gradient.min(CEILING));
                sums[(y + 1) * stride + x + 1] = sums[y * stride + x + 1] + line;
            }
        }
        Self { stride, sums }
    }

    fn of(&self, crop: Crop) -> f64 {
        let at = |x: usize, y: usize| self.sums[y * self.stride + x];
        let (right, bottom) = (crop.x + crop.size_px, crop.y + crop.size_px);
        at(right, bottom) - at(crop.x, bottom) - at(right, crop.y) + at(crop.x, crop.y)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Flat on the left half, a checkerboard on the right.
    fn half_textured(width: usize, height: usize) -> Image {
        let value = |x: usize, y: usize| if x < width / 2 { 0.5 } else { ((x + y) % 2) as f32 };
        let plane: Vec<f32> = (0..height).flat_map(|y| (0..width).map(move |x| value(x, y))).collect();
        Image::new(width, height, plane.repeat(3)).unwrap()
    }

    #[test]
    fn crops_are_aligned_apart_and_on_texture() {
        let image = half_textured(256, 128);
        for seed in 0..30 {
            let crops = crops(&image, 32, 4, seed).unwrap();
            assert_eq!(crops.len(), 4);
            for (i, crop) in crops.iter().enumerate() {
                assert!(crop.x % SCALE == 0 && crop.y % SCALE == 0);
                assert!(crop.x + 32 > 128, "seed {seed}: a flat crop at {}", crop.x);
                assert!(crops[..i].iter().all(|c| c.overlap(crop) == 0), "seed {seed}: {crops:?}");
                assert_eq!(apply(&image, *crop).unwrap().width(), 32);
            }
        }
        assert_eq!(crops(&image, 32, 4, 1).unwrap(), crops(&image, 32, 4, 1).unwrap());
        assert_ne!(crops(&image, 32, 4, 1).unwrap(), crops(&image, 32, 4, 2).unwrap());
    }

    #[test]
    fn a_small_image_gives_overlapping_or_fewer_distinct_crops() {
        let image = half_textured(40, 32);
        let found = crops(&image, 32, 10, 0).unwrap();
        assert_eq!(found.len(), 3);
        assert!(found[0] != found[1] && found[1] != found[2] && found[0] != found[2]);
        assert_eq!(crops(&image, 32, 0, 0).unwrap(), []);
        for size in [0, 30, 36] {
            assert!(crops(&image, size, 1, 0).is_err(), "{size}");
        }
        assert_eq!(center(&image, 32).unwrap(), Crop { x: 4, y: 0, size_px: 32 });
    }

    #[test]
    fn cutting_keeps_the_pixels_and_refuses_the_outside() {
        let data: Vec<f32> = (0..3 * 7 * 5).map(|v| v as f32).collect();
        let image = Image::new(7, 5, data).unwrap();
        let part = cut(&image, 2, 1, 3, 2).unwrap();
        assert_eq!(part.plane(0), [9.0, 10.0, 11.0, 16.0, 17.0, 18.0]);
        assert_eq!(part.plane(2)[0], 79.0);
        assert!(cut(&image, 5, 0, 3, 1).is_err());
        assert!(cut(&image, usize::MAX, 0, 3, 1).is_err());
        assert!(cut(&image, 0, 0, 0, 1).is_err());
        let trimmed = trim(&image, 4).unwrap();
        assert_eq!((trimmed.width(), trimmed.height()), (4, 4));
        assert!(trim(&part, 4).is_err());
    }
}
