//! Half size as MATLAB's `imresize(x, 0.5)` makes it: bicubic (a = -0.5), antialiased, edges mirrored.

use super::parallel::{strips_mut, vectorised};
use super::plane::Plane;

/// Weights of the pixels at distance 0.5, 1.5, 2.5 and 3.5 from the centre, on either side: the cubic kernel at half
/// those distances, normalized. Exact in binary.
const WEIGHTS: [f32; 4] = [0.43359375, 0.11328125, -0.03515625, -0.01171875];
/// Pixels needed beyond the edge.
const REACH: usize = 3;

/// The image at half size, rounded up.
pub fn half(image: &Plane) -> Plane {
    let (w, h) = (image.width, image.height);
    let mut out = Plane::zeros(w.div_ceil(2), h.div_ceil(2));
    let width = out.width;
    strips_mut(&mut out.data, width, |rows, out| {
        // The row at full width, after the vertical pass, its even and odd pixels apart so that taps are contiguous.
        let (mut full, mut even, mut odd) = (vec![0.0; w], vec![0.0; width + 3], vec![0.0; width + 3]);
        for (y, out) in rows.zip(out.chunks_exact_mut(width)) {
            let taps: [&[f32]; 8] = std::array::from_fn(|t| image.row(mirrored((2 * y + t) as isize - 3, h)));
            vectorised(|| weigh(taps, &mut full));
            for (i, (even, odd)) in even.iter_mut().zip(&mut odd).enumerate() {
                let x = 2 * i as isize - REACH as isize;
                (*even, *odd) = match x >= 0 && x as usize + 1 < w {
                    true => (full[x as usize], full[x as usize + 1]),
                    false => (full[mirrored(x, w)], full[mirrored(x + 1, w)]),
                };
            }
            let taps =
                std::array::from_fn(|t| if t % 2 == 0 { &even[t / 2..][..width] } else { &odd[t / 2..][..width] });
            vectorised(|| weigh(taps, out));
        }
    });
    out
}

#[inline(always)]
fn weigh(taps: [&[f32]; 8], out: &mut [f32]) {
    let len = out.len();
    let taps = taps.map(|tap| &tap[..len]);
    for (i, out) in out.iter_mut().enumerate() {
        *out = (0..4).map(|t| WEIGHTS[t] * (taps[3 - t][i] + taps[4 + t][i])).sum();
    }
}

/// Index of the pixel that stands at `at` when the image is mirrored at its edges, the edge pixel twice.
pub fn mirrored(at: isize, len: usize) -> usize {
    let len = len as isize;
    let at = at.rem_euclid(2 * len);
    at.min(2 * len - 1 - at) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirrors_with_the_edge_twice() {
        let indices: Vec<_> = (-4..8).map(|at| mirrored(at, 3)).collect();
        assert_eq!(indices, [2, 2, 1, 0, 0, 1, 2, 2, 1, 0, 0, 1]);
        assert_eq!(mirrored(-3, 1), 0);
    }

    #[test]
    fn keeps_constants_and_follows_ramps() {
        let (width, height) = (21, 16);
        let data = (0..width * height).map(|i| (i % width) as f32 + 100.0 * (i / width) as f32).collect();
        let out = half(&Plane { width, height, data });
        assert_eq!((out.width, out.height), (11, 8));
        // Away from the edges a linear ramp is sampled at the centre of each pair of pixels.
        assert!((out.row(3)[4] - (8.5 + 650.0)).abs() < 1e-3);
        let flat = half(&Plane { width: 9, height: 8, data: vec![7.0; 72] });
        assert!(flat.data.iter().all(|v| (v - 7.0).abs() < 1e-5));
    }
}
