//! Adding images: LR as given with or without HR, or made from HR by a degradation; whole or in crops; files, folders,
//! lists of pairs, shipped photographs.
//!
//! [`collect`] finds the files; [`names`] says what their paths tell; [`plan`] decides which LR belongs to which HR, by
//! [`likeness`]; [`write`] puts them into the workspace. Nothing is written before all is decided.

mod choice;
mod collect;
mod compare;
mod incoming;
mod likeness;
mod names;
mod pairs_file;
mod plan;
mod preview;
mod sides;
mod write;

pub use collect::Collected;
pub use names::Place;
pub use preview::preview;

#[cfg(test)]
mod tests;

use super::leaks;
use super::prompts::Listed;
use super::splits::Splits;
use crate::degrade::Degradation;
use crate::engine::added::Added;
use crate::engine::context::Context;
use crate::engine::failures::Failures;
use crate::engine::progress::Meter;
use crate::engine::protocol::{AddImages, Change, Level, Outcome, Role};
use crate::fs::hash;
use crate::imaging::decode;
use crate::imaging::fingerprint::fingerprint;
use crate::method::recipe::Data;
use crate::workspace::SplitChoice;
use crate::{Error, Result, example};
use incoming::Incoming;
use likeness::BOUND;
use pairs_file::PairOfFiles;
use plan::Plan;
use sides::{File, Side};
use write::{Options, Writer};

/// Adds files, folders and pairs; what cannot be read or is doubtful is reported and left out.
pub fn add(context: &mut Context, request: &AddImages) -> Result<Outcome> {
    context.workspace()?;
    let degradation = request.degradation.clone().unwrap_or_else(|| context.recipe.data.degradation.clone());
    Degradation::named(&degradation)?;
    let options = Options {
        split: request.split,
        crop_px: request.crop_px,
        crops: request.crops.max(1),
        degradation: degradation.clone(),
        prompts: request.prompts.as_deref().map(Listed::read).transpose()?.unwrap_or_default(),
    };
    let pairs = request.pairs.as_deref().map(pairs_file::read).transpose()?.unwrap_or_default();
    let collected = Collected::of(&request.paths, request.recursive);
    let mut added = Added {
        degradation,
        passed_over: collected.passed_over(),
        failed: Failures {
            items: collected.files.len() + collected.refused.len() + 2 * pairs.len(),
            causes: collected.refused.iter().map(Error::to_string).collect(),
        },
        ..Added::default()
    };
    if added.failed.items == 0 {
        let passed =
            added.details(5).into_iter().map(|detail| format!("; {} {}", detail.heading, detail.lines.join(", ")));
        return Err(Error::invalid(format!("nothing to add: no image files there{}", passed.collect::<String>())));
    }
    let files = plan::files(collected.files, request.role);
    say_roles(&files, request, &mut added);
    let plan = plan::plan(context, &files)?;
    let before = Splits::of(context)?;
    carry_out(context, &options, &files, plan, &mut added)?;
    add_pairs(context, &options, &pairs, request.trust_pairs, &mut added)?;
    if request.degradation.is_some() && added.pairs > 0 && added.made == 0 {
        let note = format!("{} was not used: the LR images were given", added.degradation);
        added.notes.push(note);
    }
    context.changed(Change::Images);
    leaks::warn(context, &before.come_since(context)?)?;
    before.say_others(context, [])?;
    Ok(Outcome::Added(Box::new(added)))
}

/// Says which files are LR because their names say so.
fn say_roles(files: &[File], request: &AddImages, added: &mut Added) {
    let lr: Vec<&File> = files.iter().filter(|file| file.role == Role::Lr).collect();
    if let (None, Some(first)) = (request.role, lr.first()) {
        let (count, name) = (lr.len(), first.path.display());
        added
            .notes
            .push(format!("{count} taken as LR by their names or folders, such as {name}; --role hr says otherwise"));
    }
}

/// Does what was decided, in the order of the files.
fn carry_out(
    context: &mut Context,
    options: &Options,
    files: &[File],
    mut plan: Plan,
    added: &mut Added,
) -> Result<()> {
    let context = &*context;
    let mut meter = Meter::new("adding", "files", files.len());
    for (index, file) in files.iter().enumerate() {
        context.checkpoint()?;
        let name = file.path.display();
        let known = added.known.len();
        let mut writer = Writer { context, options, added: &mut *added };
        let partner = plan.hr_of.remove(&index);
        let done = match (plan.refused.remove(&index), file.role) {
            (Some(cause), _) => Err(Error::file(&file.path, cause)),
            (None, Role::Lr) => lr(&mut writer, files, index, partner.as_ref()),
            (None, Role::Hr) => hr(&mut writer, files, index, &plan),
        };
        if let (Err(error), Some(Side::File(hr))) = (&done, &partner)
            && !error.ends_job()
        {
            added.failed.add(format_args!("{}: its LR was not added", files[*hr].path.display()));
        }
        match (done, plan.alone.remove(&index), file.role) {
            (Ok(()), None, _) => {}
            (Ok(()), Some(_), _) if added.known.len() > known => {}
            (Ok(()), Some(reason), Role::Lr) => added.lr_alone.push(format!("{name}: {reason}")),
            (Ok(()), Some(reason), Role::Hr) => added.hr_alone.push(format!("{name}: {reason}")),
            (Err(error), ..) if error.ends_job() => return Err(error),
            (Err(error), ..) => added.failed.add(write::of_file(&file.path)(error)),
        }
        context.advance(&mut meter, 1);
    }
    added.lr_alone.append(&mut plan.waiting);
    Ok(())
}

fn lr(writer: &mut Writer, files: &[File], index: usize, hr: Option<&Side>) -> Result<()> {
    let lr = Incoming::read(writer.context, &files[index].path)?;
    match hr {
        None => writer.lr(&lr),
        Some(Side::File(hr)) => writer.pair(&lr, &Incoming::read(writer.context, &files[*hr].path)?),
        Some(Side::Here(here)) => writer.lr_of(&lr, here),
    }
}

fn hr(writer: &mut Writer, files: &[File], index: usize, plan: &Plan) -> Result<()> {
    let path = &files[index].path;
    let waiting = plan.waiting_for.get(&index);
    if waiting.is_none() && plan.taken.contains(&index) {
        return Ok(());
    }
    let hr = Incoming::read(writer.context, path)?;
    if let Some(waiting) = waiting {
        return waiting.iter().try_for_each(|here| writer.hr_of(here, &hr));
    }
    // Where its LR was given, it is here already.
    let images = writer.context.workspace()?.ledger().images_of_files(&[&hr.hash])?;
    if images.iter().any(|row| !row.removed && row.hr_source_hash.as_ref() == Some(&hr.hash)) {
        writer.added.known.push(hr.source);
        return Ok(());
    }
    writer.hr(&hr)
}

/// Adds the pairs of a list; their content is checked too, unless it is to be trusted.
fn add_pairs(
    context: &mut Context,
    options: &Options,
    pairs: &[PairOfFiles],
    trust: bool,
    added: &mut Added,
) -> Result<()> {
    let context = &*context;
    let mut meter = Meter::new("adding", "pairs", pairs.len());
    for pair in pairs {
        context.checkpoint()?;
        let done = read_pair(context, pair).and_then(|(lr, hr)| {
            check_pair(&lr, &hr, trust, added)?;
            Writer { context, options, added: &mut *added }.pair(&lr, &hr).map_err(write::of_file(&pair.lr))
        });
        match done {
            Ok(()) => {}
            Err(error) if error.ends_job() => return Err(error),
            Err(error) => added.failed.add(error),
        }
        context.advance(&mut meter, 1);
    }
    Ok(())
}

fn read_pair(context: &Context, pair: &PairOfFiles) -> Result<(Incoming, Incoming)> {
    Ok((Incoming::read(context, &pair.lr)?, Incoming::read(context, &pair.hr)?))
}

/// Fails where HR is not four times as large as LR, or does not resemble it and is not trusted to.
fn check_pair(lr: &Incoming, hr: &Incoming, trust: bool, added: &mut Added) -> Result<()> {
    let [lr_px, hr_px] = [&lr.image, &hr.image].map(|image| [image.width(), image.height()]);
    if !compare::fits(lr_px, hr_px) {
        let [[lw, lh], [hw, hh]] = [lr_px, hr_px];
        let cause = format!("{hw}×{hh} px is not 4 times the {lw}×{lh} px of {}", lr.source);
        return Err(Error::file(&hr.source, cause));
    }
    let looks = (likeness::Look::of_lr(&lr.image), likeness::Look::of_hr(&hr.image)?);
    let likeness = likeness::likeness(&[(&looks.0, &looks.1)]).unwrap_or(0.0);
    match (likeness >= BOUND, trust) {
        (true, _) => Ok(()),
        (false, true) => {
            added.trusted.push(format!("{} and {}: alike by {likeness:.2}", lr.source, hr.source));
            Ok(())
        }
        (false, false) => {
            let cause = format!(
                "it does not resemble {}: by {likeness:.2}, where {BOUND:.2} are needed; --trust-pairs takes it",
                hr.source
            );
            Err(Error::file(&lr.source, cause))
        }
    }
}

/// The task of adding the shipped photographs.
pub const EXAMPLE: &str = "example";

/// What adding the shipped photographs takes: going on with it must not depend on a recipe that changed meanwhile.
pub fn example_task(data: &Data) -> Result<String> {
    serde_json::to_string(data).map_err(Error::invalid)
}

/// Adds crops of the shipped photographs, as many as the recipe says, shared evenly among the photographs.
pub fn add_example(context: &mut Context) -> Result<Outcome> {
    let data = context.recipe.data.clone();
    context.workspace()?.ledger().begin_task(EXAMPLE, &example_task(&data)?)?;
    photographs(context, &data)
}

/// Goes on with adding the shipped photographs where that was cut off.
pub fn complete_example(context: &mut Context) -> Result<Outcome> {
    let Some(about) = context.workspace()?.ledger().incomplete_task(EXAMPLE)? else { return Ok(Outcome::None) };
    let data: Data = serde_json::from_str(&about).map_err(Error::invalid)?;
    context.log(Level::Info, "the shipped photographs were added only in part: the others are added now");
    photographs(context, &data)
}

fn photographs(context: &mut Context, data: &Data) -> Result<Outcome> {
    let photos = example::photos();
    let mut meter = Meter::new("adding", "photographs", photos.len());
    let mut added = Added { degradation: data.degradation.clone(), ..Added::default() };
    for held_out in [false, true] {
        let some: Vec<_> = photos.iter().filter(|photo| photo.held_out == held_out).collect();
        let total = if held_out { data.held_out_crops } else { data.crops };
        for (index, photo) in some.iter().enumerate() {
            context.checkpoint()?;
            let share = (total * (index + 1) / some.len()) - (total * index / some.len());
            let image = decode::decode_bytes(photo.bytes)?;
            let incoming = Incoming {
                name: photo.name.into(),
                source: format!("shipped photograph {}", photo.file_name),
                hash: hash::hash_bytes(photo.bytes),
                fingerprint: fingerprint(&image)?,
                image,
            };
            if share > 0 {
                let degradation = data.degradation.clone();
                let split = if held_out { SplitChoice::ByRule } else { SplitChoice::default() };
                let prompts = Listed::default();
                let options = Options { split, crop_px: data.crop_px, crops: share, degradation, prompts };
                Writer { context, options: &options, added: &mut added }.hr(&incoming)?;
            }
            context.advance(&mut meter, 1);
        }
    }
    context.workspace()?.ledger().complete_task(EXAMPLE)?;
    context.changed(Change::Images);
    Ok(Outcome::Added(Box::new(added)))
}
