//! A picture being solved, by rows of tiles, and what it has come to.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use candle_core::{Device, Tensor};

use super::Backbone;
use super::condition::Condition;
use super::field::{Field, Window};
use super::sampler::Checkpoint;
use super::tiles::{Blend, Grid};
use crate::imaging::Image;
use crate::imaging::rows::{Rows, bands};
use crate::nn::params::Params;
use crate::nn::tape::Tape;
use crate::random::Random;
use crate::{Error, Result};

/// Rows of the noise of some seeds, `[seeds, 3, rows, width]`.
pub(super) fn noise(seeds: &[u64], stream: u32, rows: &Range<usize>, width: usize, device: &Device) -> Result<Tensor> {
    let noise: Vec<f32> =
        seeds.iter().flat_map(|&seed| Random::new(seed, stream).normal_rows(3, rows.clone(), width)).collect();
    Ok(Tensor::from_vec(noise, (seeds.len(), 3, rows.len(), width), device)?)
}

/// A picture being solved.
pub(super) struct Solve<'a, 's> {
    backbone: &'a dyn Backbone,
    params: &'s Params,
    grid: Grid,
    condition: Condition<'a>,
    /// All of the condition, where one tile holds it.
    whole: Option<Tensor>,
    seeds: &'s [u64],
    /// Where the state goes that is too large for memory.
    scratch: Option<&'s Path>,
    /// Tiles that the network has seen, and will have seen.
    done: usize,
    total: usize,
    checkpoint: Checkpoint<'s>,
}

impl<'a, 's> Solve<'a, 's> {
    /// `total` tiles will be seen by the network, over all evaluations.
    #[allow(clippy::too_many_arguments)]
    pub fn new(
        backbone: &'a dyn Backbone,
        params: &'s Params,
        lr: &'a Image,
        grid: Grid,
        seeds: &'s [u64],
        scratch: Option<&'s Path>,
        total: usize,
        checkpoint: Checkpoint<'s>,
    ) -> Result<Self> {
        let condition = Condition::new(lr, grid.size);
        let [height, width] = grid.size;
        let all = || condition.window(&(0..height), &(0..width), seeds.len(), params.device());
        let whole = grid.is_whole().then(all).transpose()?;
        Ok(Self { backbone, params, grid, condition, whole, seeds, scratch, done: 0, total, checkpoint })
    }

    pub fn seeds(&self) -> &'s [u64] {
        self.seeds
    }

    /// Width of the picture with its padding.
    pub fn width(&self) -> usize {
        self.grid.size[1]
    }

    /// A state of zeros.
    pub fn field(&self) -> Result<Field> {
        let shape = [self.seeds.len(), 3, self.grid.size[0], self.grid.size[1]];
        match self.whole {
            Some(_) => Field::whole(shape, self.params.device()),
            None => Field::by_parts(shape, self.scratch),
        }
    }

    /// All columns of some rows, of all pictures.
    fn rows(&self, rows: Range<usize>) -> Window {
        Window { items: 0..self.seeds.len(), rows, columns: 0..self.grid.size[1] }
    }

    /// A state of noise.
    pub fn noise(&self, stream: u32) -> Result<Field> {
        let mut field = self.field()?;
        let [height, width] = self.grid.size;
        let device = self.params.device();
        match self.whole {
            Some(_) => field.set_rows(0..height, &noise(self.seeds, stream, &(0..height), width, device)?)?,
            None => {
                for rows in bands(0..height) {
                    field.set_rows(rows.clone(), &noise(self.seeds, stream, &rows, width, &Device::Cpu)?)?;
                }
            }
        }
        Ok(field)
    }

    /// The prediction at `input` over the whole picture, given to `done` by rows from the top down. What `done` gets lies
    /// above everything that `input` is asked for later.
    pub fn evaluate<S>(
        &mut self,
        time: f32,
        state: &mut S,
        input: impl Fn(&S, &Window) -> Result<Tensor>,
        mut done: impl FnMut(&mut S, &Window, Tensor) -> Result<()>,
    ) -> Result<()> {
        if let Some(condition) = self.whole.clone() {
            let part = self.rows(0..self.grid.size[0]);
            let prediction = self.predict(&input(state, &part)?, time, &condition)?;
            return done(state, &part, prediction);
        }
        let (count, device) = (self.seeds.len(), self.params.device().clone());
        let mut blend = Blend::new(&self.grid, 3 * count);
        for (tiles, finished) in self.grid.rows_of_tiles() {
            blend.go_to(tiles.start);
            for columns in self.grid.columns() {
                let part = Window { items: 0..count, rows: tiles.clone(), columns };
                let x = input(state, &part)?.to_device(&device)?;
                let condition = self.condition.window(&part.rows, &part.columns, count, &device)?;
                blend.add(part.columns.start, &self.predict(&x, time, &condition)?)?;
            }
            for rows in bands(finished) {
                done(state, &self.rows(rows.clone()), blend.rows(rows)?)?;
            }
        }
        Ok(())
    }

    /// The pictures that the state has come to.
    pub fn solved(self, x: Field) -> Solved<'a> {
        let (device, count) = (self.params.device().clone(), self.seeds.len());
        Solved { backbone: self.backbone, condition: self.condition, whole: self.whole, x, device, count }
    }

    /// What the network says of a tile.
    fn predict(&mut self, x: &Tensor, time: f32, condition: &Tensor) -> Result<Tensor> {
        (self.checkpoint)(self.done, self.total)?;
        self.done += 1;
        let times = vec![time; self.seeds.len()];
        Ok(self
            .backbone
            .predict(&Tape::inference(self.params.kernels()), self.params, x, &times, condition)?
            .tensor()
            .clone())
    }
}

/// Pictures that were solved, not yet decoded.
pub struct Solved<'a> {
    backbone: &'a dyn Backbone,
    condition: Condition<'a>,
    /// All of the condition, where one tile holds it.
    whole: Option<Tensor>,
    x: Field,
    device: Device,
    count: usize,
}

impl<'a> Solved<'a> {
    /// Whether the pictures are small: one tile holds them.
    pub fn is_whole(&self) -> bool {
        self.whole.is_some()
    }

    /// The pictures, whole, in the order of their seeds.
    pub fn images(&self) -> Result<Vec<Image>> {
        let [height, width] = self.condition.unpadded();
        let rows = 0..if self.is_whole() { self.condition.size[0] } else { height };
        let images = self.decoded(0..self.count, &rows)?;
        let images = images.narrow(2, 0, height)?.narrow(3, 0, width)?.contiguous()?;
        (0..self.count).map(|i| image(width, height, &images.get(i)?)).collect()
    }

    /// A picture each, that decodes its rows when it is asked for them. They share the state, which goes with the last.
    pub fn pictures(self) -> Vec<Picture<'a>> {
        let solved = Arc::new(self);
        (0..solved.count).map(|index| Picture { solved: solved.clone(), index }).collect()
    }

    /// Rows of some pictures over the padded width; a whole field gives all of them.
    fn decoded(&self, items: Range<usize>, rows: &Range<usize>) -> Result<Tensor> {
        let columns = 0..self.condition.size[1];
        let clean = self.x.window(&Window { items: items.clone(), rows: rows.clone(), columns: columns.clone() })?;
        let condition = match &self.whole {
            Some(condition) => condition.clone(),
            None => self.condition.window(rows, &columns, items.len(), &self.device)?,
        };
        self.backbone.decode(&clean.to_device(&self.device)?, &condition)
    }
}

/// One picture of several that were solved together.
pub struct Picture<'a> {
    solved: Arc<Solved<'a>>,
    index: usize,
}

impl Rows for Picture<'_> {
    fn width(&self) -> usize {
        self.solved.condition.unpadded()[1]
    }

    fn height(&self) -> usize {
        self.solved.condition.unpadded()[0]
    }

    fn rows(&self, rows: Range<usize>) -> Result<Image> {
        let width = self.width();
        if self.solved.is_whole() {
            let all = self.solved.decoded(0..self.solved.count, &(0..self.height()))?.get(self.index)?;
            let part = all.narrow(1, rows.start, rows.len())?.narrow(2, 0, width)?;
            return image(width, rows.len(), &part.contiguous()?);
        }
        let part = self.solved.decoded(self.index..self.index + 1, &rows)?.narrow(3, 0, width)?;
        image(width, rows.len(), &part.contiguous()?)
    }
}

/// Errors: a value that is not finite.
fn image(width: usize, height: usize, values: &Tensor) -> Result<Image> {
    let values = values.flatten_all()?.to_vec1::<f32>()?;
    if values.iter().any(|v| !v.is_finite()) {
        return Err(Error::Diverged("the backbone's output is not finite; its weights may be damaged".into()));
    }
    Image::new(width, height, values)
}
