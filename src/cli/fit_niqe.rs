//! `fit-niqe` (hidden): makes the pristine model of a NIQE with small blocks, such as `assets/iqa/niqe_b32.safetensors`.

use std::path::PathBuf;

use safetensors::Dtype;
use safetensors::tensor::TensorView;

use super::out::say;
use crate::imaging::{decode, output};
use crate::iqa::niqe_fit;
use crate::{Error, Result};

#[derive(clap::Args)]
pub struct Arguments {
    /// Side of a block in pixels.
    #[arg(long)]
    block: usize,
    /// The safetensors file to write.
    #[arg(long)]
    out: PathBuf,
    /// Pristine photographs.
    #[arg(required = true)]
    photographs: Vec<PathBuf>,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let Arguments { block, out, photographs } = arguments;
    output::check([out.as_path()])?;
    let images = photographs.iter().map(decode::read).collect::<Result<Vec<_>>>()?;
    let fit = niqe_fit::fit(&images, *block)?;
    let bytes = |values: &[f64]| values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
    let (mean, cov) = (bytes(&fit.pristine.mean), bytes(&fit.pristine.covariance));
    let n = fit.pristine.mean.len();
    let view = |shape, data| TensorView::new(Dtype::F64, shape, data).map_err(|cause| Error::file(out, cause));
    let tensors = [("mean", view(vec![n], &mean)?), ("cov", view(vec![n, n], &cov)?)];
    let bytes = safetensors::serialize(tensors, None).map_err(|cause| Error::file(out, cause))?;
    output::write(out, &bytes)?;
    say!("{}: {} sharp blocks of {} photographs", out.display(), fit.blocks, images.len());
    Ok(())
}
