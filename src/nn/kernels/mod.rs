//! CPU kernels on plain f32 slices. Images are channels-last (NHWC): every inner loop runs over contiguous
//! channels, whatever the image size.

pub mod attention;
pub mod conv;
pub mod elementwise;
pub mod gemm;
pub mod im2col;
pub mod math;
pub mod norm;
pub mod rows;
pub mod scratch;
pub mod simd;
pub mod winograd;
