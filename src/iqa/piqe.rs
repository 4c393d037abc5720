//! PIQE: the share of active 16×16 blocks that show artefacts or noise.
//!
//! Venkatanath et al., "Blind image quality evaluation using perception based features", NCC 2015, in the form of
//! MATLAB's `piqe` and pyiqa. Details that are only in the implementations: luma is scaled so that its maximum is 255;
//! an image whose side is not a multiple of 16 is mirrored at its end by the remainder and then cut to whole blocks; the
//! "surround" of a block's two centre columns (8 and 9 of 1 to 16) is what is left without columns 8 and 10.

use super::blocks;
use super::info::{Direction, Info, text};
use super::metric::{Map, NoReference, Nr};
use super::mscn::{Border, coefficients};
use super::nss::Rect;
use super::parallel::strips;
use super::plane::{Plane, unit_luma};
use crate::Result;
use crate::imaging::Image;
use crate::imaging::border::symmetric;

/// Side of a block in pixels.
const BLOCK: usize = 16;
/// Variance of the coefficients above which a block is active.
const ACTIVITY: f64 = 0.1;
/// Values in a segment of a block's edge, and the deviation below which it is an artefact.
const SEGMENT: usize = 6;
const SEGMENT_DEVIATION: f64 = 0.1;
/// Columns of a block: its centre, and those that are not surround.
const CENTRE: [usize; 2] = [7, 8];
const NOT_SURROUND: [usize; 2] = [7, 9];
/// Steps of the local map.
const MAP_STEP_PX: usize = 4;

/// Perception-based image quality evaluator.
pub static PIQE: Nr<Piqe> = Nr(Piqe);

/// See [`PIQE`].
#[derive(Clone, Copy)]
pub struct Piqe;

static INFO: Info = Info {
    name: text("piqe"),
    title: text("PIQE"),
    direction: Direction::Lower,
    range: (0.0, 100.0),
    min_size_px: BLOCK,
    version: text("y scaled to max 255 and rounded, 16 px blocks"),
    crop_policy: text("mirrored by size mod 16, then whole 16 px blocks"),
    map: text("mean distortion of the 16 px blocks around the pixel"),
    paper: text("Venkatanath et al., NCC 2015"),
    ..Info::OF_PIXELS
};

impl NoReference for Piqe {
    fn info(&self) -> &Info {
        &INFO
    }

    fn score(&self, image: &Image) -> Result<f64> {
        let luma = scaled_luma(image);
        let padded = |len: usize| len + len % BLOCK;
        let mscn = coefficients(&extended(&luma, padded(luma.width), padded(luma.height)), Border::Replicate);
        let (columns, rows) = (mscn.width / BLOCK, mscn.height / BLOCK);
        let parts = strips(mscn.width, rows * BLOCK, |strip| {
            let (mut active, mut distortion) = (0.0, 0.0);
            for y in strip.step_by(BLOCK) {
                for column in 0..columns {
                    if let Some(block) = distortion_of(&mscn, column * BLOCK, y) {
                        active += 1.0;
                        distortion += block;
                    }
                }
            }
            (active, distortion)
        });
        let (active, distortion) = parts.iter().fold((0.0, 0.0), |(a, d), part| (a + part.0, d + part.1));
        Ok(100.0 * (distortion + 1.0) / (active + 1.0))
    }

    fn map(&self, image: &Image) -> Result<Map> {
        let mscn = coefficients(&scaled_luma(image), Border::Replicate);
        let score = |Rect { x, y, .. }: Rect| Some(distortion_of(&mscn, x, y).unwrap_or(0.0));
        Ok(blocks::map((image.width(), image.height()), (BLOCK, MAP_STEP_PX), score))
    }
}

/// Luma scaled so that its maximum is 255, rounded; black stays black.
fn scaled_luma(image: &Image) -> Plane {
    let mut luma = unit_luma(image);
    let max = luma.data.iter().copied().fold(0.0, f32::max).max(f32::MIN_POSITIVE);
    luma.data.iter_mut().for_each(|v| *v = (*v / max * 255.0).round_ties_even());
    luma
}

/// The image continued at the right and bottom by its mirror image.
fn extended(plane: &Plane, width: usize, height: usize) -> Plane {
    let columns: Vec<_> = (0..width).map(|x| symmetric(x as isize, plane.width)).collect();
    let rows = (0..height).map(|y| plane.row(symmetric(y as isize, plane.height)));
    Plane { width, height, data: rows.flat_map(|row| columns.iter().map(|&x| row[x])).collect() }
}

/// How distorted an active block is, in [0, 1] for the most part; `None` if it is not active.
fn distortion_of(mscn: &Plane, x: usize, y: usize) -> Option<f64> {
    let row = |i: usize| &mscn.row(y + i)[x..x + BLOCK];
    let variance = deviation((0..BLOCK).flat_map(|i| row(i).iter().copied())).powi(2);
    if variance <= ACTIVITY {
        return None;
    }
    let column = |j: usize| (0..BLOCK).map(move |i| row(i)[j]);
    let edges = [row(0).to_vec(), row(BLOCK - 1).to_vec(), column(0).collect(), column(BLOCK - 1).collect()];
    let mut segments = edges.iter().flat_map(|edge| edge.windows(SEGMENT));
    let artefact = segments.any(|segment| deviation(segment.iter().copied()) < SEGMENT_DEVIATION);

    let sigma = variance.sqrt();
    let centre = deviation(CENTRE.into_iter().flat_map(column));
    let surround = deviation((0..BLOCK).filter(|j| !NOT_SURROUND.contains(j)).flat_map(column));
    let ratio = if surround > 0.0 { centre / surround } else { 0.0 };
    let noise = sigma > 2.0 * (sigma - ratio).abs() / sigma.max(ratio);

    Some(if artefact { 1.0 - variance } else { 0.0 } + if noise { variance } else { 0.0 })
}

/// Sample standard deviation (divided by n - 1).
fn deviation(values: impl Iterator<Item = f32> + Clone) -> f64 {
    let (count, sum) = values.clone().fold((0.0, 0.0), |(n, sum), v| (n + 1.0, sum + v as f64));
    let mean = sum / count;
    let squares: f64 = values.map(|v| (v as f64 - mean).powi(2)).sum();
    (squares / (count - 1.0)).sqrt()
}
