//! What is to be added or imported, at a glance: counts, what is wrong, and small pictures of the first files.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::imported::ImportPreview;
use super::jobs;
use super::protocol::{AddImages, ImportCandidates};
use crate::Result;
use crate::imaging::{decode, quantize, resize};
use crate::workspace::Workspace;

/// Longest side of a small picture.
const THUMB_PX: usize = 112;
/// Rows of small pictures.
const ROWS: usize = 4;
/// Larger files are not decoded for that.
const MOST_PX: usize = 24_000_000;

/// A small picture of a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Thumb {
    pub path: PathBuf,
    pub width: usize,
    pub height: usize,
    /// `height · width` RGB triples, 8 bits each.
    pub rgb8: Arc<[u8]>,
    /// Size of the file's picture, in pixels.
    pub full_size: [usize; 2],
}

impl Thumb {
    /// Of a file; `None` where it cannot be read, or is large.
    fn of(path: &Path) -> Option<Self> {
        let info = decode::probe(path).ok().filter(|info| info.width * info.height <= MOST_PX)?;
        let full_size = [info.width, info.height];
        let image = decode::read(path).ok()?;
        let scale = (THUMB_PX as f64 / full_size[0].max(full_size[1]) as f64).min(1.0);
        let [width, height] = full_size.map(|side| ((side as f64 * scale).round() as usize).max(1));
        let small = resize::resize(&image, width, height, resize::Filter::Area).ok()?;
        Some(Self { path: path.to_owned(), width, height, rgb8: quantize::to_rgb8(&small).into(), full_size })
    }
}

/// What adding would find.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AddPreview {
    /// LR and HR files that go together by name and size.
    pub pairs: Vec<[PathBuf; 2]>,
    pub lr_alone: Vec<PathBuf>,
    pub hr_alone: Vec<PathBuf>,
    /// What is wrong or left out, a line each.
    pub faults: Vec<String>,
    /// The first of them: LR and HR side by side, where there are both.
    pub thumbs: Vec<Vec<Thumb>>,
}

/// What a preview is of.
#[derive(Clone, Debug, PartialEq)]
pub enum Incoming {
    Images(AddImages),
    Candidates(ImportCandidates),
}

/// What would be found of it.
#[derive(Clone, Debug, PartialEq)]
pub enum Preview {
    Images(AddPreview),
    Candidates(ImportPreview),
}

/// Looks at what is to come in. Errors: there is nothing of it, or it cannot be read.
pub(super) fn preview(workspace: &Workspace, incoming: &Incoming) -> Result<Preview> {
    Ok(match incoming {
        Incoming::Images(request) => {
            let mut found = jobs::preview_images(request)?;
            let pairs = found.pairs.iter().map(|pair| pair.to_vec());
            let alone = found.hr_alone.iter().chain(&found.lr_alone).map(|path| vec![path.clone()]);
            let rows: Vec<Vec<PathBuf>> = pairs.chain(alone).take(ROWS).collect();
            found.thumbs = rows.iter().map(|row| thumbs(row)).collect();
            Preview::Images(found)
        }
        Incoming::Candidates(request) => {
            let mut found = jobs::preview_candidates(workspace, request)?;
            found.thumbs = found.shares.iter().take(ROWS).map(|share| thumbs(&share.files)).collect();
            Preview::Candidates(found)
        }
    })
}

fn thumbs(paths: &[PathBuf]) -> Vec<Thumb> {
    let mut seen = HashSet::new();
    paths.iter().filter(|path| seen.insert(*path)).filter_map(|path| Thumb::of(path)).collect()
}
