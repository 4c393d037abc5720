//! A picture being solved, by rows of tiles, and what it has come to.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use candle_core::{Device, Tensor};

use super::Backbone;
use super::condition::{Condition, Shown};
use super::field::{Field, Window};
use super::guidance::Guided;
use super::sampler::CONTROL;
use super::tiles::{Blend, Grid};
use crate::imaging::Image;
use crate::imaging::rows::{Rows, bands};
use crate::nn::params::Params;
use crate::random::Random;
use crate::{Error, Result};

/// Runs before the network sees a tile, with the number of tiles done and the total over all evaluations; its error stops
/// the sampling.
pub type Checkpoint<'c> = &'c mut dyn FnMut(usize, usize) -> Result<()>;

/// A picture being solved.
pub(super) struct Solve<'a, 's> {
    backbone: &'a dyn Backbone,
    params: &'s Params,
    grid: Grid,
    guided: Guided,
    condition: &'a Condition<'a>,
    /// All that the network is shown, where one tile holds it.
    whole: Option<Shown>,
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
        condition: &'a Condition<'a>,
        (grid, guided): (Grid, Guided),
        seeds: &'s [u64],
        scratch: Option<&'s Path>,
        total: usize,
        checkpoint: Checkpoint<'s>,
    ) -> Result<Self> {
        let mut solve =
            Self { backbone, params, grid, guided, condition, whole: None, seeds, scratch, done: 0, total, checkpoint };
        if solve.grid.is_whole() {
            let [height, width] = condition.size();
            solve.whole = Some(solve.shown(&(0..height), &(0..width))?);
        }
        Ok(solve)
    }

    /// What the network is shown of a part, drawn with the noise of each seed.
    fn shown(&self, rows: &Range<usize>, columns: &Range<usize>) -> Result<Shown> {
        let device = self.params.device();
        let mut shown = self.condition.window(rows, columns, self.seeds.len(), device)?;
        let channels = self.backbone.card().control_noise;
        if channels > 0 {
            let noise = Source { channels, ..self.source() }.rows(CONTROL, rows, device)?;
            shown = shown.drawn_with(noise.narrow(3, columns.start, columns.len())?.contiguous()?);
        }
        self.guided.shown(self.condition, shown)
    }

    /// Height and width of what the network sees at once.
    pub fn tile(&self) -> [usize; 2] {
        self.grid.tile
    }

    /// A state of zeros.
    pub fn field(&self) -> Result<Field> {
        let shape = [self.seeds.len(), self.grid.latent.channels, self.grid.size[0], self.grid.size[1]];
        match self.whole {
            Some(_) => Field::whole(shape, self.params.device()),
            None => Field::by_parts(shape, self.scratch),
        }
    }

    /// All columns of some rows, of all pictures.
    fn rows(&self, rows: Range<usize>) -> Window {
        Window { items: 0..self.seeds.len(), rows, columns: 0..self.grid.size[1] }
    }

    /// Where its noise comes from.
    pub fn source(&self) -> Source<'s> {
        Source { seeds: self.seeds, channels: self.grid.latent.channels, width: self.grid.size[1] }
    }

    /// A state of noise.
    pub fn noise(&self, stream: u32) -> Result<Field> {
        let (mut field, source) = (self.field()?, self.source());
        let height = self.grid.size[0];
        match self.whole {
            Some(_) => field.set_rows(0..height, &source.rows(stream, &(0..height), self.params.device())?)?,
            None => {
                for rows in bands(0..height) {
                    field.set_rows(rows.clone(), &source.rows(stream, &rows, &Device::Cpu)?)?;
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
        if let Some(shown) = self.whole.clone() {
            let part = self.rows(0..self.grid.size[0]);
            let prediction = self.predict(&input(state, &part)?, time, &shown)?;
            return done(state, &part, prediction);
        }
        let (count, device) = (self.seeds.len(), self.params.device().clone());
        let mut blend = Blend::new(&self.grid, count);
        for (tiles, finished) in self.grid.rows_of_tiles() {
            blend.go_to(tiles.start);
            for columns in self.grid.columns() {
                let part = Window { items: 0..count, rows: tiles.clone(), columns };
                let x = input(state, &part)?.to_device(&device)?;
                let shown = self.shown(&part.rows, &part.columns)?;
                blend.add(part.columns.start, &self.predict(&x, time, &shown)?)?;
            }
            for rows in bands(finished) {
                done(state, &self.rows(rows.clone()), blend.rows(rows)?)?;
            }
        }
        Ok(())
    }

    /// The pictures that the state has come to.
    pub fn solved(self, x: Field) -> Solved<'a> {
        let latent = self.grid.latent;
        Solved {
            backbone: self.backbone,
            condition: self.condition,
            by_rows: self.whole.is_none() && latent.factor == 1,
            x,
            device: self.params.device().clone(),
            count: self.seeds.len(),
        }
    }

    /// What the network says of a tile.
    fn predict(&mut self, x: &Tensor, time: f32, shown: &Shown) -> Result<Tensor> {
        (self.checkpoint)(self.done, self.total)?;
        self.done += 1;
        self.guided.predict(self.backbone, self.params, x, time, shown)
    }
}

/// The noise of some seeds.
#[derive(Clone, Copy)]
pub(super) struct Source<'s> {
    pub seeds: &'s [u64],
    pub channels: usize,
    pub width: usize,
}

impl Source<'_> {
    /// Some rows of a stream, `[seeds, channels, rows, width]`.
    pub fn rows(&self, stream: u32, rows: &Range<usize>, device: &Device) -> Result<Tensor> {
        let of = |&seed: &u64| Random::new(seed, stream).normal_rows(self.channels, rows.clone(), self.width);
        let noise: Vec<f32> = self.seeds.iter().flat_map(of).collect();
        Ok(Tensor::from_vec(noise, (self.seeds.len(), self.channels, rows.len(), self.width), device)?)
    }
}

/// Pictures that were solved, not yet decoded.
pub struct Solved<'a> {
    backbone: &'a dyn Backbone,
    condition: &'a Condition<'a>,
    /// Whether parts of a picture can be had without the rest, and are worth it.
    by_rows: bool,
    x: Field,
    device: Device,
    count: usize,
}

impl<'a> Solved<'a> {
    /// Whether the pictures are best had whole: one tile holds them, or they cannot be decoded by parts.
    pub fn is_whole(&self) -> bool {
        !self.by_rows
    }

    /// The pictures, whole, in the order of their seeds.
    pub fn images(&self) -> Result<Vec<Image>> {
        let rows = 0..self.condition.px()[0];
        let shown = self.shown(&rows)?;
        (0..self.count).map(|index| self.rows(index, &rows, &shown)).collect()
    }

    /// The latent of a picture with its padding, `[1, C, h, w]` in the main memory.
    pub fn latent(&self, index: usize) -> Result<Tensor> {
        let [height, width] = self.condition.size();
        let window = Window { items: index..index + 1, rows: 0..height, columns: 0..width };
        Ok(self.x.window(&window)?.to_device(&Device::Cpu)?)
    }

    /// A picture each, that decodes its rows when it is asked for them. They share the state, which goes with the last.
    pub fn pictures(self) -> Vec<Picture<'a>> {
        let solved = Arc::new(self);
        (0..solved.count).map(|index| Picture { solved: solved.clone(), index }).collect()
    }

    /// The latents' rows that rows of a picture are decoded from: where not every row can be had by itself, all.
    fn latents(&self, rows: &Range<usize>) -> Range<usize> {
        if self.by_rows { rows.clone() } else { 0..self.condition.size()[0] }
    }

    fn shown(&self, rows: &Range<usize>) -> Result<Shown> {
        self.condition.window(&self.latents(rows), &(0..self.condition.size()[1]), 1, &self.device)
    }

    /// Rows of a picture, of which `shown` is what the backbone is shown.
    fn rows(&self, index: usize, rows: &Range<usize>, shown: &Shown) -> Result<Image> {
        let latents = self.latents(rows);
        let first = rows.start - latents.start;
        let window = Window { items: index..index + 1, rows: latents, columns: 0..self.condition.size()[1] };
        let decoded = self.backbone.decode(&self.x.window(&window)?.to_device(&self.device)?, shown)?;
        let width = self.condition.px()[1];
        let part = decoded.narrow(2, first, rows.len())?.narrow(3, 0, width)?;
        image(width, rows.len(), &part.contiguous()?)
    }
}

/// One picture of several that were solved together.
pub struct Picture<'a> {
    solved: Arc<Solved<'a>>,
    index: usize,
}

impl Rows for Picture<'_> {
    fn width(&self) -> usize {
        self.solved.condition.px()[1]
    }

    fn height(&self) -> usize {
        self.solved.condition.px()[0]
    }

    fn rows(&self, rows: Range<usize>) -> Result<Image> {
        self.solved.rows(self.index, &rows, &self.solved.shown(&rows)?)
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
