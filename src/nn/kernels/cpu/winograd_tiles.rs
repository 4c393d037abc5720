//! The tiles of [`winograd`](super::winograd): how they lie over images, their transforms there and back, and the passes that apply
//! these to an image.

use std::ops::Range;

use super::super::shape::ConvShape;
use super::simd::{self, SendPtr, Simd, WithSimd, for_lanes};

/// Values in a transformed tile, and so the number of matrix products.
pub const FREQS: usize = 36;
/// Output pixels along one side of a tile.
const TILE: usize = 4;
/// Most channels for which rows outside the image can be read from [`ZEROS`].
pub const MAX_CHANNELS: usize = 4096;
static ZEROS: [f32; MAX_CHANNELS] = [0.0; MAX_CHANNELS];

/// How the tiles lie over the images.
#[derive(Clone, Copy)]
pub struct Tiling {
    shape: ConvShape,
    tiles_y: usize,
    tiles_x: usize,
}

impl Tiling {
    pub fn new(shape: ConvShape) -> Self {
        let (h, w) = shape.out_size();
        Self { shape, tiles_y: h.div_ceil(TILE), tiles_x: w.div_ceil(TILE) }
    }

    pub fn count(&self) -> usize {
        self.shape.batch * self.tiles_y * self.tiles_x
    }

    /// Image index and output pixel (y, x) of the tile's first pixel.
    fn origin(&self, tile: usize) -> (usize, usize, usize) {
        let per_image = self.tiles_y * self.tiles_x;
        let within = tile % per_image;
        (tile / per_image, within / self.tiles_x * TILE, within % self.tiles_x * TILE)
    }
}

/// Bᵀ applied to six values.
#[inline(always)]
fn b_transposed<S: Simd>(s: S, d: [S::f32s; 6]) -> [S::f32s; 6] {
    let (two, four, five) = (s.splat_f32s(2.0), s.splat_f32s(4.0), s.splat_f32s(-5.0));
    let minus4 = s.splat_f32s(-4.0);
    let even = s.mul_add_e_f32s(minus4, d[2], d[4]);
    let odd = s.mul_add_e_f32s(minus4, d[1], d[3]);
    let even2 = s.sub_f32s(d[4], d[2]);
    let odd2 = s.mul_f32s(two, s.sub_f32s(d[3], d[1]));
    [
        s.mul_add_e_f32s(four, d[0], s.mul_add_e_f32s(five, d[2], d[4])),
        s.add_f32s(even, odd),
        s.sub_f32s(even, odd),
        s.add_f32s(even2, odd2),
        s.sub_f32s(even2, odd2),
        s.mul_add_e_f32s(four, d[1], s.mul_add_e_f32s(five, d[3], d[5])),
    ]
}

/// Aᵀ applied to six values.
#[inline(always)]
fn a_transposed<S: Simd>(s: S, m: [S::f32s; 6]) -> [S::f32s; 4] {
    let (two, four, eight) = (s.splat_f32s(2.0), s.splat_f32s(4.0), s.splat_f32s(8.0));
    let (sum1, diff1) = (s.add_f32s(m[1], m[2]), s.sub_f32s(m[1], m[2]));
    let (sum2, diff2) = (s.add_f32s(m[3], m[4]), s.sub_f32s(m[3], m[4]));
    [
        s.add_f32s(m[0], s.add_f32s(sum1, sum2)),
        s.mul_add_e_f32s(two, diff2, diff1),
        s.mul_add_e_f32s(four, sum2, sum1),
        s.add_f32s(s.mul_add_e_f32s(eight, diff2, diff1), m[5]),
    ]
}

/// A applied to four values.
#[inline(always)]
fn a<S: Simd>(s: S, y: [S::f32s; 4]) -> [S::f32s; 6] {
    let (two, four) = (s.splat_f32s(2.0), s.splat_f32s(4.0));
    let (even, odd) = (s.add_f32s(y[0], y[2]), s.add_f32s(y[1], y[3]));
    let even2 = s.mul_add_e_f32s(four, y[2], y[0]);
    let odd2 = s.mul_f32s(two, s.mul_add_e_f32s(four, y[3], y[1]));
    [y[0], s.add_f32s(even, odd), s.sub_f32s(even, odd), s.add_f32s(even2, odd2), s.sub_f32s(even2, odd2), y[3]]
}

/// G applied to three values.
#[inline(always)]
fn g<S: Simd>(s: S, w: [S::f32s; 3]) -> [S::f32s; 6] {
    let scale = |v, by: f32| s.mul_f32s(v, s.splat_f32s(by));
    let outer = scale(s.add_f32s(w[0], w[2]), -1.0 / 6.0);
    let inner = scale(w[1], 1.0 / 6.0);
    let outer2 = s.add_f32s(scale(w[0], 1.0 / 24.0), scale(w[2], 1.0 / 6.0));
    let inner2 = scale(w[1], 1.0 / 12.0);
    [
        scale(w[0], 0.25),
        s.sub_f32s(outer, inner),
        s.add_f32s(outer, inner),
        s.add_f32s(outer2, inner2),
        s.sub_f32s(outer2, inner2),
        w[2],
    ]
}

/// Gᵀ applied to six values.
#[inline(always)]
fn g_transposed<S: Simd>(s: S, u: [S::f32s; 6]) -> [S::f32s; 3] {
    let scale = |v, by: f32| s.mul_f32s(v, s.splat_f32s(by));
    let (sum1, diff1) = (s.add_f32s(u[1], u[2]), s.sub_f32s(u[2], u[1]));
    let (sum2, diff2) = (s.add_f32s(u[3], u[4]), s.sub_f32s(u[3], u[4]));
    let outer = scale(sum1, -1.0 / 6.0);
    [
        s.add_f32s(s.add_f32s(scale(u[0], 0.25), outer), scale(sum2, 1.0 / 24.0)),
        s.add_f32s(scale(diff1, 1.0 / 6.0), scale(diff2, 1.0 / 12.0)),
        s.add_f32s(s.add_f32s(u[5], outer), scale(sum2, 1.0 / 6.0)),
    ]
}

/// Defines a function that applies a one-dimensional transform to the columns, then to the rows of a tile. (Closures
/// would not inherit the vector instructions of the function that calls them.)
macro_rules! both_sides {
    ($name:ident, $transform:ident, $from:literal, $to:literal) => {
        #[inline(always)]
        pub fn $name<S: Simd>(s: S, d: [[S::f32s; $from]; $from]) -> [[S::f32s; $to]; $to] {
            let zero = s.splat_f32s(0.0);
            let mut columns = [[zero; $to]; $from];
            for j in 0..$from {
                let mut column = [zero; $from];
                for i in 0..$from {
                    column[i] = d[i][j];
                }
                columns[j] = $transform(s, column);
            }
            let mut out = [[zero; $to]; $to];
            for i in 0..$to {
                let mut row = [zero; $from];
                for j in 0..$from {
                    row[j] = columns[j][i];
                }
                out[i] = $transform(s, row);
            }
            out
        }
    };
}
both_sides!(input_tile, b_transposed, 6, 6);
both_sides!(output_tile, a_transposed, 6, 4);
both_sides!(gradient_tile, a, 4, 6);
both_sides!(weight_tile, g, 3, 6);
both_sides!(weight_gradient_tile, g_transposed, 6, 3);

type Mask<S> = Option<pulp::MemMask<<S as Simd>::m32s>>;

/// One vector from each of the `N × N` rows that lie `stride` values apart.
#[inline(always)]
pub unsafe fn load_rows<S: Simd, const N: usize>(
    s: S,
    ptr: *const f32,
    stride: usize,
    mask: Mask<S>,
) -> [[S::f32s; N]; N] {
    let mut tile = [[s.splat_f32s(0.0); N]; N];
    for (f, value) in tile.as_flattened_mut().iter_mut().enumerate() {
        *value = unsafe { simd::load_masked(s, ptr.add(f * stride), mask) };
    }
    tile
}

/// One vector to each of the `N × N` rows that lie `stride` values apart.
#[inline(always)]
pub unsafe fn store_rows<S: Simd, const N: usize>(
    s: S,
    ptr: *mut f32,
    stride: usize,
    tile: [[S::f32s; N]; N],
    mask: Mask<S>,
) {
    for (f, &value) in tile.as_flattened().iter().enumerate() {
        unsafe { simd::store_masked(s, ptr.add(f * stride), value, mask) };
    }
}

/// One vector from each of the `N × N` pixels, `c` values into it.
#[inline(always)]
unsafe fn load_pixels<S: Simd, const N: usize>(
    s: S,
    pixels: &[[*const f32; N]; N],
    c: usize,
    mask: Mask<S>,
) -> [[S::f32s; N]; N] {
    let mut tile = [[s.splat_f32s(0.0); N]; N];
    for (value, pixel) in tile.as_flattened_mut().iter_mut().zip(pixels.as_flattened()) {
        *value = unsafe { simd::load_masked(s, pixel.add(c), mask) };
    }
    tile
}

/// `v[f][tile][c] = (Bᵀ d B)[f]` for the input tiles.
pub struct InputTransform<'a> {
    pub tiling: Tiling,
    pub src: &'a [f32],
    pub tiles: Range<usize>,
    pub v: SendPtr<f32>,
    pub freq_stride: usize,
}

impl WithSimd for InputTransform<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, s: S) {
        let ConvShape { height, width, c_in, pad: [pad, _], .. } = self.tiling.shape;
        let first = self.tiles.start;
        for tile in self.tiles {
            let (image, oy, ox) = self.tiling.origin(tile);
            let pixels: [[*const f32; 6]; 6] = std::array::from_fn(|i| {
                std::array::from_fn(|j| {
                    let (y, x) = ((oy + i).wrapping_sub(pad), (ox + j).wrapping_sub(pad));
                    match y < height && x < width {
                        true => self.src[((image * height + y) * width + x) * c_in..].as_ptr(),
                        false => ZEROS.as_ptr(),
                    }
                })
            });
            let v = unsafe { self.v.add((tile - first) * c_in) };
            for_lanes!(s, c_in, |c, mask| {
                unsafe {
                    let d = load_pixels(s, &pixels, c, mask);
                    store_rows(s, v.add(c), self.freq_stride, input_tile(s, d), mask);
                }
            });
        }
    }
}

/// `m[f][tile][c] = (A dy Aᵀ)[f]` for the tiles of the output gradient.
pub struct GradientTransform<'a> {
    pub tiling: Tiling,
    pub dy: &'a [f32],
    pub tiles: Range<usize>,
    pub m: SendPtr<f32>,
    pub freq_stride: usize,
}

impl WithSimd for GradientTransform<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, s: S) {
        let (height, width) = self.tiling.shape.out_size();
        let channels = self.tiling.shape.c_out;
        let first = self.tiles.start;
        for tile in self.tiles {
            let (image, oy, ox) = self.tiling.origin(tile);
            let pixels: [[*const f32; 4]; 4] = std::array::from_fn(|i| {
                std::array::from_fn(|j| match oy + i < height && ox + j < width {
                    true => self.dy[((image * height + oy + i) * width + ox + j) * channels..].as_ptr(),
                    false => ZEROS.as_ptr(),
                })
            });
            let m = unsafe { self.m.add((tile - first) * channels) };
            for_lanes!(s, channels, |c, mask| {
                unsafe {
                    let d = load_pixels(s, &pixels, c, mask);
                    store_rows(s, m.add(c), self.freq_stride, gradient_tile(s, d), mask);
                }
            });
        }
    }
}

/// `y = Aᵀ m A + bias + residual` for the tiles, written to the NHWC output.
pub struct OutputTransform<'a> {
    pub tiling: Tiling,
    /// Output channels that `m` has.
    pub columns: Range<usize>,
    pub bias: Option<&'a [f32]>,
    pub residual: Option<&'a [f32]>,
    pub tiles: Range<usize>,
    pub m: SendPtr<f32>,
    pub freq_stride: usize,
    pub out: SendPtr<f32>,
}

impl WithSimd for OutputTransform<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, s: S) {
        let (height, width) = self.tiling.shape.out_size();
        let channels = self.tiling.shape.c_out;
        let bias = &self.bias.unwrap_or(&ZEROS[..channels])[self.columns.clone()];
        let (first, columns) = (self.tiles.start, self.columns.len());
        for tile in self.tiles {
            let (image, oy, ox) = self.tiling.origin(tile);
            let m = unsafe { self.m.add((tile - first) * columns) };
            for_lanes!(s, columns, |c, mask| {
                unsafe {
                    let d = load_rows(s, m.add(c), self.freq_stride, mask);
                    let y = output_tile(s, d);
                    let bias = simd::load_masked(s, bias.as_ptr().add(c), mask);
                    for (i, row) in y.iter().enumerate().take(height - oy) {
                        for (j, &value) in row.iter().enumerate().take(width - ox) {
                            let pixel = (image * height + oy + i) * width + ox + j;
                            let at = pixel * channels + self.columns.start + c;
                            let mut value = s.add_f32s(value, bias);
                            if let Some(residual) = self.residual {
                                value = s.add_f32s(value, simd::load_masked(s, residual.as_ptr().add(at), mask));
                            }
                            simd::store_masked(s, self.out.add(at), value, mask);
                        }
                    }
                }
            });
        }
    }
}
