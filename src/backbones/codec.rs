//! Pictures through the autoencoder, one at a time. Its features at full size are what takes the most memory of all, so that
//! larger pictures go in tiles that overlap by far more than a feature sees, and are blended where they do.

use candle_core::Tensor;

use crate::Result;
use crate::backbones::card::Latent;
use crate::backbones::tiles::{Blend, Tiling};
use crate::networks::vae_kl::{Config, Vae};
use crate::nn::params::Params;
use crate::nn::tape::{Tape, Var};

/// Pixels of a picture for a latent, each way.
const FACTOR: usize = 8;
const CHANNELS: usize = 3;

/// The autoencoder with its weights.
pub struct Codec {
    pub net: Vae,
    pub config: Config,
    pub weights: Params,
    pub cut: Cut,
}

/// From which size on pictures are cut, and how.
#[derive(Clone, Copy, Debug)]
pub struct Cut {
    /// Latents of the largest picture that is not.
    pub most: usize,
    /// Latents of a tile's side, and of what it shares with the next at least.
    pub tile: usize,
    pub overlap: usize,
}

impl Default for Cut {
    /// Up to 768² whole; tiles of 512².
    fn default() -> Self {
        Self { most: 96 * 96, tile: 64, overlap: 16 }
    }
}

impl Codec {
    /// The latents of pictures `[B, 3, H, W]` in [0, 1]: the means of their distributions.
    pub fn encode(&self, images: &Tensor) -> Result<Tensor> {
        self.by_parts(images, self.config.latent, |image| Ok(self.distribution_of(image)?[0].clone()))
    }

    /// Means and deviations of the latents' distributions, `[B, 2 · latent, h, w]`.
    pub fn distribution(&self, images: &Tensor) -> Result<Tensor> {
        self.by_parts(images, 2 * self.config.latent, |image| {
            let [mean, log_variance] = self.distribution_of(image)?;
            let deviation = ((log_variance * 0.5)?.exp()? * f64::from(self.config.scale))?;
            Ok(Tensor::cat(&[&mean, &deviation], 1)?)
        })
    }

    /// What `part` makes of pictures, whole or in tiles: `channels` values a latent.
    fn by_parts(&self, images: &Tensor, channels: usize, part: impl Fn(&Tensor) -> Result<Tensor>) -> Result<Tensor> {
        self.each(images, |image, [height, width]| {
            self.by_tiles([height / FACTOR, width / FACTOR], 1, channels, |[top, left, rows, columns]| {
                let rows = image.narrow(2, top * FACTOR, rows * FACTOR)?;
                part(&rows.narrow(3, left * FACTOR, columns * FACTOR)?.contiguous()?)
            })
        })
    }

    /// The pictures of latents, about in [0, 1].
    pub fn decode(&self, latents: &Tensor) -> Result<Tensor> {
        self.each(latents, |latents, size| {
            self.by_tiles(size, FACTOR, CHANNELS, |[top, left, rows, columns]| {
                self.decoded(&latents.narrow(2, top, rows)?.narrow(3, left, columns)?.contiguous()?)
            })
        })
    }

    fn each(&self, all: &Tensor, one: impl Fn(&Tensor, [usize; 2]) -> Result<Tensor>) -> Result<Tensor> {
        let (count, _, height, width) = all.dims4()?;
        let done = (0..count).map(|i| one(&all.narrow(0, i, 1)?, [height, width])).collect::<Result<Vec<_>>>()?;
        match done.as_slice() {
            [one] => Ok(one.clone()),
            several => Ok(Tensor::cat(several, 0)?),
        }
    }

    /// What `part` makes of latents of this height and width, `per` values of `channels` each for each of them: whole, or of tiles
    /// by top, left, height and width.
    fn by_tiles(
        &self,
        [height, width]: [usize; 2],
        per: usize,
        channels: usize,
        part: impl Fn([usize; 4]) -> Result<Tensor>,
    ) -> Result<Tensor> {
        let Cut { most, tile, overlap } = self.cut;
        if height * width <= most {
            return part([0, 0, height, width]);
        }
        let place = Latent { channels, factor: 1, align: per };
        let tiling = Tiling { tile_px: tile * per, overlap_px: overlap * per };
        let grid = tiling.grid([height * per, width * per], &place);
        let mut blend = Blend::new(&grid, 1);
        let mut bands = Vec::new();
        for (tiles, done) in grid.rows_of_tiles() {
            blend.go_to(tiles.start);
            for columns in grid.columns() {
                let tile = [tiles.start, columns.start, tiles.len(), columns.len()].map(|at| at / per);
                blend.add(columns.start, &part(tile)?)?;
            }
            bands.push(blend.rows(done)?);
        }
        Ok(Tensor::cat(&bands, 2)?.to_device(self.weights.device())?)
    }

    /// The means of a picture's latents, scaled, and their log-variances, not scaled.
    fn distribution_of(&self, image: &Tensor) -> Result<[Tensor; 2]> {
        let tape = Tape::inference(self.weights.kernels());
        let image = Var::constant(tape.kernels().unshuffle(&image.affine(2.0, -1.0)?, 1)?);
        let [mean, log_variance] = self.net.encode(&tape, &self.weights, &image)?;
        let (scale, shift) = (f64::from(self.config.scale), f64::from(self.config.shift));
        let mean = tape.kernels().shuffle(mean.tensor(), 1)?.affine(scale, -shift * scale)?;
        Ok([mean, tape.kernels().shuffle(log_variance.tensor(), 1)?])
    }

    fn decoded(&self, latents: &Tensor) -> Result<Tensor> {
        let tape = Tape::inference(self.weights.kernels());
        let (scale, shift) = (f64::from(self.config.scale), f64::from(self.config.shift));
        let latents = tape.kernels().unshuffle(&latents.affine(1.0 / scale, shift)?, 1)?;
        let image = self.net.decode(&tape, &self.weights, &Var::constant(latents))?;
        Ok(tape.kernels().shuffle(image.tensor(), 1)?.affine(0.5, 0.5)?)
    }
}
