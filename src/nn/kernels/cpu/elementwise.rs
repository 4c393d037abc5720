//! Sums, and the moves of values between layouts.

use rayon::prelude::*;

/// Values handled by one thread at once.
const BLOCK: usize = 32 << 10;

/// `sum += x`.
pub fn add_assign(sum: &mut [f32], x: &[f32]) {
    sum.par_chunks_mut(BLOCK).zip(x.par_chunks(BLOCK)).for_each(|(sum, x)| {
        sum.iter_mut().zip(x).for_each(|(s, x)| *s += x);
    });
}

/// Σ x², summed in f64.
pub fn sum_of_squares(x: &[f32]) -> f64 {
    let block = |x: &[f32]| {
        let (lanes, tail) = x.as_chunks::<16>();
        let mut sums = [0.0f32; 16];
        for lane in lanes {
            sums.iter_mut().zip(lane).for_each(|(s, v)| *s += v * v);
        }
        sums.iter().chain([&tail.iter().map(|v| v * v).sum()]).map(|&s| s as f64).sum::<f64>()
    };
    // Collected in order, so that the result does not depend on the number of threads.
    x.par_chunks(BLOCK / 8).map(block).collect::<Vec<_>>().into_iter().sum()
}

/// Nearest upsampling by 2: `[rows, width, channels]` to `[2·rows, 2·width, channels]`, `rows` over all images.
pub fn upsample2(x: &[f32], width: usize, channels: usize, y: &mut [f32]) {
    let row = width * channels;
    y.par_chunks_exact_mut(4 * row).zip(x.par_chunks_exact(row)).for_each(|(y, x)| {
        let (upper, lower) = y.split_at_mut(2 * row);
        for (y, x) in upper.chunks_exact_mut(2 * channels).zip(x.chunks_exact(channels)) {
            y[..channels].copy_from_slice(x);
            y[channels..].copy_from_slice(x);
        }
        lower.copy_from_slice(upper);
    });
}

/// The adjoint of [`upsample2`]: each input value collects the gradients of its four copies.
pub fn upsample2_gradient(dy: &[f32], width: usize, channels: usize, dx: &mut [f32]) {
    let row = width * channels;
    dx.par_chunks_exact_mut(row).zip(dy.par_chunks_exact(4 * row)).for_each(|(dx, dy)| {
        let (upper, lower) = dy.split_at(2 * row);
        let pairs = upper.chunks_exact(2 * channels).zip(lower.chunks_exact(2 * channels));
        for (dx, (u, l)) in dx.chunks_exact_mut(channels).zip(pairs) {
            for (c, dx) in dx.iter_mut().enumerate() {
                *dx = (u[c] + u[channels + c]) + (l[c] + l[channels + c]);
            }
        }
    });
}

/// Rows and columns exchanged: `[images, rows, columns]` to `[images, columns, rows]`.
pub fn transpose(x: &[f32], rows: usize, columns: usize, y: &mut [f32]) {
    /// Side of the squares that are turned at once: their lines stay in L1.
    const SIDE: usize = 16;
    let size = (rows * columns).max(1);
    y.par_chunks_exact_mut(size).zip(x.par_chunks_exact(size)).for_each(|(y, x)| {
        y.par_chunks_mut(SIDE * rows).enumerate().for_each(|(block, y)| {
            for top in (0..rows).step_by(SIDE) {
                for (column, y) in y.chunks_exact_mut(rows).enumerate() {
                    let x = x[top * columns + block * SIDE + column..].iter().step_by(columns);
                    y[top..(top + SIDE).min(rows)].iter_mut().zip(x).for_each(|(y, x)| *y = *x);
                }
            }
        });
    });
}

/// The rows with these numbers of each image, `[images, count, width]` to `[images, numbers, width]`.
pub fn rows(x: &[f32], (count, width): (usize, usize), numbers: &[u32], y: &mut [f32]) {
    let each = (BLOCK / width).max(1);
    for (y, x) in y.chunks_exact_mut(numbers.len() * width).zip(x.chunks_exact(count * width)) {
        y.par_chunks_mut(each * width).zip(numbers.par_chunks(each)).for_each(|(y, numbers)| {
            for (y, &number) in y.chunks_exact_mut(width).zip(numbers) {
                y.copy_from_slice(&x[number as usize * width..][..width]);
            }
        });
    }
}

/// Rows of `a` and `b` side by side: `[pixels, ca]` and `[pixels, cb]` to `[pixels, ca + cb]`.
pub fn concat(a: &[f32], ca: usize, b: &[f32], cb: usize, y: &mut [f32]) {
    let rows = (BLOCK / (ca + cb)).max(1);
    let parts = a.par_chunks(rows * ca).zip(b.par_chunks(rows * cb));
    y.par_chunks_mut(rows * (ca + cb)).zip(parts).for_each(|(y, (a, b))| {
        for (y, (a, b)) in y.chunks_exact_mut(ca + cb).zip(a.chunks_exact(ca).zip(b.chunks_exact(cb))) {
            y[..ca].copy_from_slice(a);
            y[ca..].copy_from_slice(b);
        }
    });
}

/// The columns `from..from + take` of `[pixels, channels]`.
pub fn columns(x: &[f32], channels: usize, from: usize, take: usize, y: &mut [f32]) {
    let rows = (BLOCK / channels).max(1);
    y.par_chunks_mut(rows * take).zip(x.par_chunks(rows * channels)).for_each(|(y, x)| {
        for (y, x) in y.chunks_exact_mut(take).zip(x.chunks_exact(channels)) {
            y.copy_from_slice(&x[from..from + take]);
        }
    });
}

/// Puts `[pixels, take]` into the columns from `from` on of `[pixels, channels]`: the inverse of [`columns`].
pub fn set_columns(part: &[f32], take: usize, x: &mut [f32], channels: usize, from: usize) {
    let rows = (BLOCK / channels).max(1);
    x.par_chunks_mut(rows * channels).zip(part.par_chunks(rows * take)).for_each(|(x, part)| {
        for (x, part) in x.chunks_exact_mut(channels).zip(part.chunks_exact(take)) {
            x[from..from + take].copy_from_slice(part);
        }
    });
}

/// Planar images `[batch, channels, s·height, s·width]` to pixels of `channels·s²` values, `[batch, height, width, ·]`, in
/// the channel order of PyTorch's `pixel_unshuffle`.
pub fn unshuffle(x: &[f32], channels: usize, (height, width): (usize, usize), s: usize, y: &mut [f32]) {
    let depth = channels * s * s;
    y.par_chunks_exact_mut(width * depth).enumerate().for_each(|(row, y)| {
        let (image, row) = (row / height, row % height);
        for c in 0..channels {
            for i in 0..s {
                let x = &x[((image * channels + c) * height * s + row * s + i) * width * s..][..width * s];
                for (y, x) in y.chunks_exact_mut(depth).zip(x.chunks_exact(s)) {
                    y[(c * s + i) * s..][..s].copy_from_slice(x);
                }
            }
        }
    });
}

/// The inverse (and adjoint) of [`unshuffle`]: PyTorch's `pixel_shuffle`.
pub fn shuffle(x: &[f32], channels: usize, (height, width): (usize, usize), s: usize, y: &mut [f32]) {
    let depth = channels * s * s;
    y.par_chunks_exact_mut(width * s).enumerate().for_each(|(line, y)| {
        let (image, line) = (line / (channels * height * s), line % (channels * height * s));
        let (c, line) = (line / (height * s), line % (height * s));
        let x = &x[(image * height + line / s) * width * depth..][..width * depth];
        for (y, x) in y.chunks_exact_mut(s).zip(x.chunks_exact(depth)) {
            y.copy_from_slice(&x[(c * s + line % s) * s..][..s]);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_and_columns_are_exchanged_at_every_size() {
        for (images, rows, columns) in [(1, 1, 1), (2, 5, 3), (3, 16, 33), (1, 100, 17), (2, 1, 40), (1, 40, 1)] {
            let x: Vec<f32> = (0..images * rows * columns).map(|i| i as f32).collect();
            let mut y = vec![f32::NAN; x.len()];
            transpose(&x, rows, columns, &mut y);
            for (i, y) in y.iter().enumerate() {
                let (image, column, row) = (i / (rows * columns), i / rows % columns, i % rows);
                assert_eq!(*y, x[(image * rows + row) * columns + column], "{rows} × {columns}");
            }
        }
    }

    #[test]
    fn rows_are_those_with_the_numbers_in_every_image() {
        let (images, count, width) = (2, 5, 3);
        let x: Vec<f32> = (0..images * count * width).map(|i| i as f32).collect();
        let numbers = [4, 0, 0, 3, 1, 2, 4];
        let mut y = vec![f32::NAN; images * numbers.len() * width];
        rows(&x, (count, width), &numbers, &mut y);
        for (i, row) in y.chunks_exact(width).enumerate() {
            let from = i / numbers.len() * count + numbers[i % numbers.len()] as usize;
            assert_eq!(row, &x[from * width..][..width], "row {i}");
        }
    }
}
