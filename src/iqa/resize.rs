//! Half size as MATLAB's `imresize(x, 0.5)` makes it: [`cubic`] stretched to twice its width, edges mirrored. The same as
//! [`imaging::resize`](crate::imaging::resize) but for rounding, and fast for this one ratio.

use super::parallel::{strips_mut, vectorised};
use super::plane::Plane;
use crate::imaging::border::symmetric;
use crate::imaging::resize::cubic;

/// Weights of the pixels at distance 0.5, 1.5, 2.5 and 3.5 from the centre, on either side: the cubic kernel at half
/// those distances, normalized. Exact in binary.
const WEIGHTS: [f32; 4] = [weight(0.5), weight(1.5), weight(2.5), weight(3.5)];

const fn weight(distance: f64) -> f32 {
    (cubic(distance / 2.0) / 2.0) as f32
}

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
            let taps: [&[f32]; 8] = std::array::from_fn(|t| image.row(symmetric((2 * y + t) as isize - 3, h)));
            vectorised(|| weigh(taps, &mut full));
            for (i, (even, odd)) in even.iter_mut().zip(&mut odd).enumerate() {
                let x = 2 * i as isize - REACH as isize;
                (*even, *odd) = match x >= 0 && x as usize + 1 < w {
                    true => (full[x as usize], full[x as usize + 1]),
                    false => (full[symmetric(x, w)], full[symmetric(x + 1, w)]),
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

#[cfg(test)]
mod tests {
    use super::*;

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
