//! What sampling takes of memory, held against the budget before the work begins.
//!
//! A picture is drawn in tiles, and what is in memory follows the tile: the network's activations of one tile, a band of
//! predictions as high as a tile and as wide as the picture, and a few bands of rows. The solver's state, which follows the
//! picture, goes to disk where it is too large. None of this changes a pixel; the size of the tiles does, so that it comes
//! from the recipe alone and never from what a machine has free at the moment.

use candle_core::Device;

use super::devices;
use crate::backbones::sampler::Sampler;
use crate::backbones::tiles::{Grid, Tiling};
use crate::backbones::{Backbone, Pass};
use crate::method::recipe::{Activations, Sampling, Training};
use crate::{Error, Result};

const MIB: usize = 1 << 20;
/// A solver's state beyond this goes to disk also where there is memory.
const STATE_BYTES: usize = 512 * MIB;
/// Share of the budget that the activations of a tile may take, one in this many: beside it are bands and state.
const TILE_SHARE: usize = 4;
/// Activations per pixel of a tile that is chosen from the budget. A round number rather than the backbone's own: it is
/// part of the candidates' identity.
const CHOSEN_BYTES_PER_PX: usize = 160;
/// Sides of tiles are multiples of this where they are chosen from the budget.
const SIDE_STEP_PX: usize = 64;
/// f32 values per pixel that a step holds besides the activations: state, condition, prediction and what comes between.
const STEP_VALUES: usize = 8 * 3;
/// Rows that are in work at once at the most: a band, and what the wavelet color fix sees around it.
const WORK_ROWS: usize = 128;

/// The tiles that a recipe asks for: its own, or where it leaves them open 512 px, less where the budget cannot hold that.
pub fn tiling(sampling: &Sampling) -> Tiling {
    let chosen = Tiling::default();
    match (sampling.tile_px, sampling.memory_budget_mib) {
        (0, 0) => chosen,
        (0, mib) => {
            let fits = |side: &usize| side * side * CHOSEN_BYTES_PER_PX <= mib.saturating_mul(MIB) / TILE_SHARE;
            let sides = (1..=chosen.tile_px / SIDE_STEP_PX).rev().map(|n| n * SIDE_STEP_PX);
            let tile_px = sides.into_iter().find(fits).unwrap_or(SIDE_STEP_PX);
            Tiling { tile_px, overlap_px: chosen.overlap_px.min(tile_px / 4) }
        }
        (tile_px, _) => Tiling { tile_px, overlap_px: sampling.tile_overlap_px },
    }
}

/// How a picture is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Seeds at once.
    pub at_once: usize,
    /// A state of more bytes goes to disk.
    pub state_bytes: usize,
}

/// What may be taken.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    bytes: usize,
    source: Source,
    /// Devices that have as much each.
    devices: usize,
}

/// Where the figure comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    /// The recipe.
    Recipe,
    /// What is free.
    Machine,
}

impl Budget {
    /// The recipe's budget; without one what is free on the device, where the system tells.
    pub fn of(sampling: &Sampling, device: &Device) -> Self {
        match sampling.memory_budget_mib {
            0 => {
                let free = devices::free_bytes(device);
                let bytes = free.map_or(usize::MAX, |bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
                Self { bytes, source: Source::Machine, devices: 1 }
            }
            mib => Self { bytes: mib.saturating_mul(MIB), source: Source::Recipe, devices: 1 },
        }
    }

    /// The share of each of so many devices that compute in the same memory.
    pub fn shared_by(self, devices: usize) -> Self {
        Self { bytes: self.bytes / devices.max(1), devices, ..self }
    }

    /// Seeds of an LR image of this size to draw at once: as many as make up `fastest` pixels, fewer where the budget does
    /// not hold them. Errors: it does not hold one.
    pub fn plan(
        &self,
        sampler: &Sampler,
        backbone: &dyn Backbone,
        (lr_width, lr_height): (usize, usize),
        fastest: impl FnOnce() -> usize,
    ) -> Result<Plan> {
        let grid = sampler.grid(backbone, lr_width, lr_height);
        let items = sampler.guided(backbone.card()).items();
        let need = |count: usize| bytes(&grid, backbone, items, count).saturating_add(12 * lr_width * lr_height);
        if need(1) > self.bytes {
            return Err(self.refusal(&grid, need(1), (lr_width, lr_height)));
        }
        let each = need(2).saturating_sub(need(1)).max(1);
        let fitting = 1 + (self.bytes - need(1)) / each;
        let pixels: usize = grid.size_px().iter().product();
        let at_once = fitting.min(fastest() / (items * pixels).max(1)).max(1);
        Ok(Plan { at_once, state_bytes: STATE_BYTES.min(self.bytes.saturating_sub(need(at_once))) })
    }

    fn refusal(&self, grid: &Grid, need: usize, (width, height): (usize, usize)) -> Error {
        let [need, budget] = [need.div_ceil(MIB), self.bytes / MIB];
        let tile = grid.tile_px().into_iter().fold(0, usize::max);
        let tiles = if grid.is_whole() { "whole".into() } else { format!("in tiles of {tile} px") };
        let each = if self.devices > 1 { format!(" for each of {} devices", self.devices) } else { String::new() };
        let picture = format!("sampling {width}×{height} px {tiles} takes {need} MiB of memory");
        Error::invalid(match self.source {
            Source::Recipe => format!(
                "{picture}, sampling.memory_budget_mib is {budget}{each}; raise it, or set sampling.tile_px to less than {tile}"
            ),
            Source::Machine => {
                format!(
                    "{picture}, {budget} MiB are free{each}; free some, or set sampling.tile_px to less than {tile}"
                )
            }
        })
    }
}

/// A step that does not fit, and what fits.
#[derive(Debug, PartialEq)]
pub struct Doubt {
    /// Pairs that fit through the network at once; at least one, though that may not.
    pub at_once: usize,
    pub text: String,
}

/// Why a training step may not fit into the memory that is free on a device, or into its share where so many compute in it, by the largest of its pairs; `None` where it does,
/// or where that cannot be told.
pub fn doubt_of_step(
    settings: &Training,
    backbone: &dyn Backbone,
    (device, sharing): (&Device, usize),
    [height, width]: [usize; 2],
) -> Option<Doubt> {
    let pass = pass_of(settings);
    let free = usize::try_from(devices::free_bytes(device)?).ok()? / sharing.max(1);
    let pair = backbone.footprint([height, width], pass).saturating_mul(2);
    let (need, pairs) = (pair.saturating_mul(settings.batch_pairs), settings.batch_pairs);
    let other = if pass == Pass::Keep { "; training.activations = recompute takes less" } else { "" };
    (need > free).then(|| {
        let at_once = (free / pair.max(1)).clamp(1, pairs);
        let [need, free] = [need.div_ceil(MIB), free / MIB];
        let each = if sharing > 1 { format!(" for each of {sharing} devices") } else { String::new() };
        let text = format!(
            "a step of {pairs} pairs of {width}×{height} px takes about {need} MiB, {free} MiB are free{each}: {at_once} go through \
             the network at once{other}"
        );
        Doubt { at_once, text }
    })
}

/// What training does with activations.
pub fn pass_of(settings: &Training) -> Pass {
    match settings.activations {
        Activations::Keep => Pass::Keep,
        Activations::Recompute => Pass::Recompute,
    }
}

/// Bytes that `count` pictures take at their peak, with so many items each in the network, without the state where there are
/// tiles.
fn bytes(grid: &Grid, backbone: &dyn Backbone, items: usize, count: usize) -> usize {
    let (tile_px, [height, width]) = (grid.tile_px(), grid.size_px());
    let step = tile_px[0].saturating_mul(tile_px[1]).saturating_mul(4 * STEP_VALUES);
    let tile = backbone.footprint(tile_px, Pass::Sample).saturating_mul(items).saturating_add(step);
    let bands = if grid.is_whole() { 0 } else { 4 * STEP_VALUES * WORK_ROWS.min(height) * width };
    let blend = if grid.is_whole() { 0 } else { grid.blend_bytes() };
    tile.saturating_add(bands).saturating_add(blend).saturating_mul(count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backbones::mini::Mini;
    use crate::backbones::sampler::Solver;

    fn settings(tile_px: usize, memory_budget_mib: usize) -> Sampling {
        Sampling { tile_px, memory_budget_mib, ..Sampling::default() }
    }

    fn plan(settings: &Sampling, lr_size: (usize, usize)) -> Result<Plan> {
        let sampler = Sampler { solver: Solver::Heun, steps: 2, tiling: tiling(settings), guidance: 1.0 };
        Budget {
            bytes: if settings.memory_budget_mib == 0 { usize::MAX } else { settings.memory_budget_mib * MIB },
            source: Source::Recipe,
            devices: 1,
        }
        .plan(&sampler, &Mini::new(), lr_size, || 1 << 20)
    }

    #[test]
    fn tiles_are_the_default_unless_the_budget_cannot_hold_them() {
        assert_eq!(tiling(&settings(0, 0)), Tiling::default());
        assert_eq!(tiling(&settings(0, 160)), Tiling::default());
        assert_eq!(tiling(&settings(0, 159)), Tiling { tile_px: 448, overlap_px: 64 });
        assert_eq!(tiling(&settings(0, 1)), Tiling { tile_px: 64, overlap_px: 16 });
        assert_eq!(tiling(&settings(300, 1)), Tiling { tile_px: 300, overlap_px: 32 });
    }

    #[test]
    fn what_does_not_fit_is_refused_with_need_and_budget() {
        let error = plan(&settings(512, 64), (4000, 3000)).unwrap_err().to_string();
        for word in ["4000×3000 px", "tiles of 512 px", " MiB of memory", "memory_budget_mib is 64", "tile_px"] {
            assert!(error.contains(word), "{error}");
        }
        let budget = Budget { bytes: 64 * MIB, source: Source::Recipe, devices: 1 }.shared_by(2);
        let sampler = Sampler { solver: Solver::Heun, steps: 2, tiling: tiling(&settings(512, 64)), guidance: 1.0 };
        let shared = budget.plan(&sampler, &Mini::new(), (4000, 3000), || 1).unwrap_err().to_string();
        assert!(shared.contains("memory_budget_mib is 32 for each of 2 devices"), "{shared}");
        let need: usize = error.split(" takes ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
        assert!(plan(&settings(512, need), (4000, 3000)).is_ok());
        assert!(plan(&settings(512, need - 1), (4000, 3000)).is_err());
        assert!(plan(&settings(0, 0), (25_000, 25_000)).is_ok(), "no budget, no limit on a device of its own");
    }

    #[test]
    fn a_step_beyond_memory_is_said_and_what_takes_less() {
        let doubt = |activations, batch_pairs| {
            let settings = Training { activations, batch_pairs, ..Training::default() };
            doubt_of_step(&settings, &Mini::new(), (&Device::Cpu, 1), [192, 128])
        };
        assert_eq!(doubt(Activations::Keep, 1), None);
        let said = [Activations::Keep, Activations::Recompute].map(|activations| doubt(activations, 60_000).unwrap());
        assert!(said[0].text.contains("60000 pairs of 128×192 px") && said[0].text.contains("recompute"), "{said:?}");
        assert!(!said[1].text.contains("recompute"), "{said:?}");
        // What is recomputed lets more through.
        assert!(said[0].at_once >= 1 && said[0].at_once < said[1].at_once && said[1].at_once < 60_000, "{said:?}");
    }

    #[test]
    fn a_batch_is_as_large_as_is_fast_and_fits() {
        // 128×128 px: 64 of them are the fastest million.
        assert_eq!(plan(&settings(0, 0), (32, 32)).unwrap().at_once, 64);
        let few = plan(&settings(0, 64), (32, 32)).unwrap().at_once;
        assert!((2..64).contains(&few), "{few}");
        assert_eq!(plan(&settings(0, 0), (1000, 1000)).unwrap(), Plan { at_once: 1, state_bytes: STATE_BYTES });
    }
}
