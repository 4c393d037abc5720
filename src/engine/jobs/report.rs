//! A comparison as a file: its numbers are those that were compared, its pictures those of the workspace.

use std::path::Path;

use super::sheet;
use crate::engine::context::Context;
use crate::engine::damage;
use crate::engine::failures::Failures;
use crate::engine::progress::Meter;
use crate::engine::protocol::{Compared, Outcome};
use crate::imaging::{decode, encode, output};
use crate::method::changes::Change;
use crate::report::{BlindPair, Format, Pictures, Shown, blind, csv, figure, html, latex, markdown};
use crate::workspace::{CandidateSet, RelPath};
use crate::{Error, Result};

/// Candidates shown in a page at either end of the list.
const SHOWN: usize = 6;
/// Of these, at most so many of one image: six seeds of one photograph say less than three photographs.
const OF_ONE_IMAGE: usize = 2;

/// Writes a comparison; what was at `path` is replaced.
pub fn export(context: &Context, compared: &Compared, format: Format, path: &Path) -> Result<Outcome> {
    output::check([path])?;
    let report = &compared.report;
    let bytes = match format {
        Format::Csv => csv::table(report).into_bytes(),
        Format::SeedsCsv => csv::seeds(report).into_bytes(),
        Format::Markdown => markdown::table(report).into_bytes(),
        Format::Latex => latex::table(report).into_bytes(),
        Format::Figure => encode::png_bytes(&figure::render(report, &sheet::sheet(context, compared)?)?)?,
        Format::Html => {
            let improved = shown(report.changes.iter().take_while(|c| c.gain() > 0.0));
            let worsened = shown(report.changes.iter().rev().take_while(|c| c.gain() < 0.0));
            let drawn = blind::drawn(&report.changes);
            let count = improved.len() + worsened.len() + drawn.len();
            let mut meter = Meter::new("reading pictures", "candidates", count);
            let mut read = |change: Change| pictures(context, compared, change, &mut meter);
            let shown = Shown {
                improved: improved.into_iter().map(&mut read).collect::<Result<_>>()?,
                worsened: worsened.into_iter().map(&mut read).collect::<Result<_>>()?,
                blind: drawn
                    .into_iter()
                    .map(|(change, before_is_a)| Ok(BlindPair { pictures: read(change)?, before_is_a }))
                    .collect::<Result<_>>()?,
            };
            html::page(report, &shown)?.into_bytes()
        }
    };
    output::write(path, &bytes)?;
    Ok(Outcome::Written { files: vec![path.to_owned()], failed: Failures::default() })
}

/// The first of a list, few of each image.
fn shown<'a>(changes: impl Iterator<Item = &'a Change>) -> Vec<Change> {
    let mut kept: Vec<Change> = Vec::new();
    for change in changes {
        if kept.len() == SHOWN {
            break;
        }
        if kept.iter().filter(|other| other.image == change.image).count() < OF_ONE_IMAGE {
            kept.push(*change);
        }
    }
    kept
}

fn pictures(context: &Context, compared: &Compared, change: Change, meter: &mut Meter) -> Result<Pictures> {
    context.checkpoint()?;
    let workspace = context.workspace()?;
    let gone = || Error::invalid("this comparison is of another workspace, or its images were removed");
    let id = compared.images.get(change.image).copied().ok_or_else(gone)?;
    let seed = compared.seed(change.seed).ok_or_else(gone)?;
    let image = workspace.ledger().image(id)?;
    let read = |path: &RelPath| decode::read(workspace.path(path));
    let candidate = |set: &CandidateSet| {
        let group = workspace.ledger().group(set, id)?;
        let found = group.into_iter().find(|candidate| candidate.seed == seed);
        let found = found.ok_or_else(|| Error::invalid(format!("{}: seed {seed} is not sampled", image.name)))?;
        damage::read(context, &found)
    };
    let [before, after] = &compared.sets;
    let pictures = Pictures {
        change,
        lr: read(&image.lr_path)?,
        hr: image.hr_path.as_ref().map(read).transpose()?,
        before: candidate(before)?,
        after: candidate(after)?,
    };
    context.advance(meter, 1);
    Ok(pictures)
}
