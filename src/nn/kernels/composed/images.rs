//! Resampling and the maximum over windows, of candle's operations, on NHWC activations.

use candle_core::{Device, Result, Tensor};

use super::super::resample::Axis;
use super::super::shape::PoolShape;

/// Two products with the axes' matrices.
pub fn resample(x: &Tensor, [rows, columns]: &[Axis; 2]) -> Result<Tensor> {
    let (b, h, w, c) = x.dims4()?;
    let matrix = |axis: &Axis| Tensor::from_vec(axis.matrix(), (1, axis.outputs().len(), axis.inputs()), x.device());
    let y = matrix(rows)?.broadcast_matmul(&x.reshape((b, h, w * c))?)?;
    let out_h = rows.outputs().len();
    let y = matrix(columns)?.broadcast_matmul(&y.reshape((b * out_h, w, c))?)?;
    y.reshape((b, out_h, columns.outputs().len(), c))
}

/// Of every window the value under one tap of the kernel. A tap beyond the border takes the border's, which is in the window
/// too; `indices` are those rows or columns.
struct Tap {
    rows: Tensor,
    columns: Tensor,
}

fn taps(shape: PoolShape, device: &Device) -> Result<Vec<Tap>> {
    let (out_h, out_w) = shape.out_size();
    let indices = |count: usize, tap: usize, size: usize| {
        let index = |i: usize| (i * shape.stride + tap).saturating_sub(shape.pad).min(size - 1) as u32;
        Tensor::from_iter((0..count).map(index), device)
    };
    let all = (0..shape.kernel).flat_map(|y| (0..shape.kernel).map(move |x| (y, x)));
    all.map(|(y, x)| Ok(Tap { rows: indices(out_h, y, shape.height)?, columns: indices(out_w, x, shape.width)? }))
        .collect()
}

impl Tap {
    fn of(&self, x: &Tensor) -> Result<Tensor> {
        x.index_select(&self.rows, 1)?.index_select(&self.columns, 2)
    }

    /// Adds values of the windows to the pixels that they came from.
    fn add_to(&self, dx: &Tensor, d: &Tensor) -> Result<Tensor> {
        let (b, _, w, c) = dx.dims4()?;
        let rows = Tensor::zeros((b, d.dim(1)?, w, c), d.dtype(), d.device())?.index_add(&self.columns, d, 2)?;
        dx.index_add(&self.rows, &rows, 1)
    }
}

pub fn max_pool(shape: PoolShape, x: &Tensor) -> Result<Tensor> {
    let mut taps = taps(shape, x.device())?.into_iter();
    let Some(first) = taps.next() else { candle_core::bail!("a maximum over no values") };
    taps.try_fold(first.of(x)?, |most, tap| most.maximum(&tap.of(x)?))
}

/// Each window's gradient goes to its first largest value.
pub fn max_pool_gradient(shape: PoolShape, x: &Tensor, dy: &Tensor) -> Result<Tensor> {
    let most = max_pool(shape, x)?;
    let (mut dx, mut rest) = (x.zeros_like()?, dy.clone());
    for tap in taps(shape, x.device())? {
        let is_most = tap.of(x)?.eq(&most)?;
        let nothing = rest.zeros_like()?;
        dx = tap.add_to(&dx, &is_most.where_cond(&rest, &nothing)?)?;
        rest = is_most.where_cond(&nothing, &rest)?;
    }
    Ok(dx)
}
