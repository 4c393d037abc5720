//! Fits the pristine model of a NIQE with small blocks to photographs and writes it as safetensors:
//!
//! ```text
//! cargo run --release --example fit_niqe -- 32 assets/iqa/niqe_b32.safetensors photos/*.jpg
//! ```

use std::path::Path;

use dp2o_studio::imaging::Image;
use dp2o_studio::iqa::niqe_fit;
use dp2o_studio::{Error, Result};
use safetensors::Dtype;
use safetensors::tensor::TensorView;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [block_px, out, photographs @ ..] = arguments.as_slice() else {
        return Err(Error::invalid("usage: fit_niqe BLOCK_PX OUT PHOTOGRAPH…"));
    };
    let block_px: usize = block_px.parse().map_err(|_| Error::invalid("BLOCK_PX is a number of pixels"))?;
    let images = photographs.iter().map(|path| load(Path::new(path))).collect::<Result<Vec<_>>>()?;
    let fit = niqe_fit::fit(&images, block_px)?;

    let bytes = |values: &[f64]| values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
    let (mean, cov) = (bytes(&fit.pristine.mean), bytes(&fit.pristine.covariance));
    let n = fit.pristine.mean.len();
    let view = |shape, data| TensorView::new(Dtype::F64, shape, data).map_err(|cause| Error::file(out, cause));
    let tensors = [("mean", view(vec![n], &mean)?), ("cov", view(vec![n, n], &cov)?)];
    safetensors::serialize_to_file(tensors, None, Path::new(out)).map_err(|cause| Error::file(out, cause))?;
    println!("{out}: {} sharp blocks of {} photographs", fit.blocks, images.len());
    Ok(())
}

fn load(path: &Path) -> Result<Image> {
    let rgb = image::open(path).map_err(|cause| Error::file(path, cause))?.to_rgb8();
    let (width, height) = (rgb.width() as usize, rgb.height() as usize);
    let plane = |c: usize| rgb.as_raw().iter().skip(c).step_by(3).map(|&v| v as f32 / 255.0);
    Image::new(width, height, (0..3).flat_map(plane).collect())
}
