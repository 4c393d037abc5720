//! Convolution of NHWC activations by candle's, which knows NCHW only, the same padding on both axes, and transposed
//! convolution only without groups.

use candle_core::{D, Result, Tensor};

use super::super::shape::ConvShape;
use super::planar;

/// Without bias.
pub fn forward(shape: ConvShape, weight: &Tensor, x: &Tensor) -> Result<Tensor> {
    let ConvShape { stride, dilation, groups, .. } = shape;
    if shape.is_pointwise() && groups == 1 {
        return product(x, &matrix(shape, weight)?.t()?);
    }
    let (x, pad) = padded(shape, planar(x)?)?;
    x.conv2d(&oihw(shape, weight)?, pad, stride, dilation, groups)?.permute((0, 2, 3, 1))
}

// Not by candle's autograd, which computes every gradient always, and that of the input by a transposed convolution
// that has only a plain loop for a kernel.
pub fn input_gradient(shape: ConvShape, weight: &Tensor, dy: &Tensor) -> Result<Tensor> {
    let ConvShape { kernel, stride, pad, dilation, groups, .. } = shape;
    if shape.is_pointwise() && groups == 1 {
        return product(dy, &matrix(shape, weight)?);
    }
    let (weight, dy) = (oihw(shape, weight)?, planar(dy)?);
    let [rows, columns] = kernel;
    let centered = pad[0] * 2 + 1 == rows && pad[1] * 2 + 1 == columns && pad[0] == pad[1];
    let dx = if stride == 1 && dilation == 1 && groups == 1 && centered {
        let turned = weight.flip(&[2, 3])?.transpose(0, 1)?.contiguous()?;
        dy.conv2d(&turned, pad[0], 1, 1, 1)?
    } else {
        let one = shape.one_group();
        let group = |g: usize| {
            let weight = weight.narrow(0, g * one.c_out, one.c_out)?.contiguous()?;
            let dy = dy.narrow(1, g * one.c_out, one.c_out)?.contiguous()?;
            cropped(shape, dy.conv_transpose2d(&weight, 0, 0, stride, dilation)?)
        };
        Tensor::cat(&(0..groups).map(group).collect::<Result<Vec<_>>>()?, 1)?
    };
    dx.permute((0, 2, 3, 1))?.contiguous()
}

/// OIHW.
pub fn weight_gradient(shape: ConvShape, x: &Tensor, dy: &Tensor) -> Result<Tensor> {
    let ConvShape { kernel: [rows, columns], stride, dilation, groups, .. } = shape;
    if shape.is_pointwise() && groups == 1 {
        let rows = |t: &Tensor| t.reshape(((), t.dim(D::Minus1)?));
        return rows(dy)?.t()?.contiguous()?.matmul(&rows(x)?);
    }
    let (x, pad) = padded(shape, planar(x)?)?;
    let turned = |t: &Tensor, from, take| t.narrow(1, from, take)?.transpose(0, 1)?.contiguous();
    let (one, dy) = (shape.one_group(), planar(dy)?);
    let group = |g: usize| {
        let (x, dy) = (turned(&x, g * one.c_in, one.c_in)?, turned(&dy, g * one.c_out, one.c_out)?);
        x.conv2d(&dy, pad, dilation, stride, 1)?.transpose(0, 1)?.narrow(2, 0, rows)?.narrow(3, 0, columns)
    };
    Tensor::cat(&(0..groups).map(group).collect::<Result<Vec<_>>>()?, 0)?.contiguous()
}

/// Rows of channels times a matrix `[channels, ·]`.
fn product(x: &Tensor, matrix: &Tensor) -> Result<Tensor> {
    let mut dims = x.dims().to_vec();
    let channels = dims.pop().unwrap_or(1);
    dims.push(matrix.dim(1)?);
    x.reshape(((), channels))?.matmul(&matrix.contiguous()?)?.reshape(dims)
}

/// The weight with its four dimensions; that of a fully connected layer has two.
pub fn oihw(shape: ConvShape, weight: &Tensor) -> Result<Tensor> {
    weight.reshape((shape.c_out, shape.c_in / shape.groups, shape.kernel[0], shape.kernel[1]))
}

/// The weight of a 1×1 convolution, `[c_out, c_in]`.
fn matrix(shape: ConvShape, weight: &Tensor) -> Result<Tensor> {
    weight.reshape((shape.c_out, shape.c_in))
}

/// An NCHW image and how much padding is left to the convolution: all of it where both axes have the same.
fn padded(shape: ConvShape, x: Tensor) -> Result<(Tensor, usize)> {
    let [rows, columns] = shape.pad;
    match rows == columns {
        true => Ok((x, rows)),
        false => Ok((x.pad_with_zeros(2, rows, rows)?.pad_with_zeros(3, columns, columns)?, 0)),
    }
}

/// The gradient of an NCHW image from that of the image with its padding, at the end of which rows and columns that no kernel
/// reached are missing.
fn cropped(shape: ConvShape, dx: Tensor) -> Result<Tensor> {
    let sides = [(2, shape.height, shape.pad[0]), (3, shape.width, shape.pad[1])];
    sides.into_iter().try_fold(dx, |dx, (dim, size, pad)| {
        let missing = (size + pad).saturating_sub(dx.dim(dim)?);
        dx.pad_with_zeros(dim, 0, missing)?.narrow(dim, pad, size)
    })
}
