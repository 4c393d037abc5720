//! Local maps of metrics that score blocks: overlapping blocks are scored one by one, and a pixel gets the mean of the
//! blocks that cover it.

use rayon::prelude::*;

use super::metric::Map;
use super::nss::Rect;
use super::parallel::is_large;

/// Positions of blocks along one side, `step` apart, the last one flush with the end.
pub fn positions(len: usize, block: usize, step: usize) -> Vec<usize> {
    let last = len - block;
    let mut at: Vec<_> = (0..last).step_by(step).collect();
    at.push(last);
    at
}

/// The map of an image of at least one block each way. `score` gets blocks of `block` × `block` pixels at every
/// `step` pixels; where it has no score (`None`), the pixel is left to other blocks, or 0.
pub fn map(
    (width, height): (usize, usize),
    (block, step): (usize, usize),
    score: impl Fn(Rect) -> Option<f64> + Sync,
) -> Map {
    let (block_w, block_h) = (block.min(width), block.min(height));
    let (xs, ys) = (positions(width, block_w, step), positions(height, block_h, step));
    let row = |&y: &usize| -> Vec<Option<f64>> {
        xs.iter().map(|&x| score(Rect { x, y, width: block_w, height: block_h })).collect()
    };
    let scores: Vec<_> = match is_large(width, height) {
        true => ys.par_iter().map(row).collect(),
        false => ys.iter().map(row).collect(),
    };
    let (mut data, mut covered) = (vec![0.0f32; width * height], vec![0.0f32; width * height]);
    for (&y, row) in ys.iter().zip(&scores) {
        for (&x, score) in xs.iter().zip(row) {
            let Some(score) = score else { continue };
            for line in y..y + block_h {
                let range = line * width + x..line * width + x + block_w;
                data[range.clone()].iter_mut().for_each(|v| *v += *score as f32);
                covered[range].iter_mut().for_each(|v| *v += 1.0);
            }
        }
    }
    data.iter_mut().zip(covered).for_each(|(v, n)| *v /= n.max(1.0));
    Map { width, height, data }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_reach_both_ends() {
        assert_eq!(positions(20, 8, 5), [0, 5, 10, 12]);
        assert_eq!(positions(8, 8, 5), [0]);
        assert_eq!(positions(18, 8, 5), [0, 5, 10]);
    }

    #[test]
    fn a_pixel_is_the_mean_of_its_blocks() {
        let map = map((6, 4), (4, 2), |r| (r.x == 0).then_some(3.0).or(Some(5.0)));
        assert_eq!(map.data[..6], [3.0, 3.0, 4.0, 4.0, 5.0, 5.0]);
    }
}
