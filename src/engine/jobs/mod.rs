//! The jobs, one file each.

mod add;
mod candidates;
mod check_model;
mod checkpoints;
mod compare;
mod curate;
mod evaluate;
mod events;
mod export;
mod export_pairs;
mod groups;
mod images;
mod import;
mod imported;
mod latents;
mod leaks;
mod open;
mod paired;
mod pairs;
mod prompts;
mod report;
mod round;
mod run;
mod run_table;
mod same_run;
mod sampling;
mod saving;
mod scoring;
mod seen;
mod sheet;
mod splits;
mod states;
mod tables;
mod tags;
mod train;
mod upscale;

pub(super) use add::preview as preview_images;
pub(super) use add::{Collected, Place};
pub(super) use import::preview as preview_candidates;

use super::context::Context;
use super::protocol::{Job, Outcome};
use super::{damage, external, parts, reading};
use crate::Result;
use crate::backbones::tagger;

/// Runs a job to its end.
pub(super) fn run(context: &mut Context, job: Job) -> Result<Outcome> {
    let computes = matches!(
        job,
        Job::Sample { .. }
            | Job::Score
            | Job::Generate { .. }
            | Job::Train { .. }
            | Job::Compare { .. }
            | Job::Run { .. }
    );
    if computes {
        context.check_parts()?;
        context.say_memory();
    }
    let read = match &job {
        _ if computes => parts::of(&context.recipe),
        Job::CheckModel(request) => parts::of(&request.recipe),
        Job::Upscale(request) if !request.best_of => parts::of_backbone(&request.recipe.sampling.backbone).to_vec(),
        Job::Upscale(request) => parts::of(&request.recipe),
        Job::Tag { .. } | Job::ConvertTagger { .. } => tagger::parts(&context.store()).to_vec(),
        _ => Vec::new(),
    };
    if !read.is_empty() {
        reading::hash(context, &read)?;
    }
    match job {
        Job::Create { dir, recipe, example } => open::create(context, &dir, *recipe, example),
        Job::Open { dir, or_look } => open::open(context, &dir, or_look),
        Job::Repair { dir } => open::repair(context, &dir),
        Job::SetRecipe(recipe) => context.set_recipe(*recipe).map(|()| Outcome::None),
        Job::TryRecipe(recipe) => context.try_recipe(*recipe).map(|()| Outcome::None),
        Job::Add(images) => add::add(context, &images),
        Job::AddExample => add::add_example(context),
        Job::SetSplits(choices) => images::set_splits(context, &choices),
        Job::SetPrompts(prompts) => images::set_prompts(context, &prompts),
        Job::Tag { images } => tags::tag(context, images.as_deref()),
        Job::ConvertTagger { path } => tags::convert(context, &path),
        Job::SetRemoved { images, removed } => images::set_removed(context, &images, removed),
        Job::Judge { set, verdict, is_taken_back } => images::judge(context, &set, &verdict, is_taken_back),
        Job::JudgeBlindly { set, judgement, is_taken_back } => {
            images::judge_blindly(context, &set, &judgement, is_taken_back)
        }
        Job::DiscardDamaged => damage::discard_suspects(context).map(|()| Outcome::None),
        Job::Sample { images } => sampling::sample(context, images.as_deref()),
        Job::Score => scoring::score(context),
        Job::Generate { images } => run::generate(context, images.as_deref()),
        Job::Curate { allow_partial } => {
            Ok(Outcome::Curated(Box::new(curate::curate(context, allow_partial)?.ranking.summary)))
        }
        Job::Train { run, allow_partial } => train::train(context, run.as_deref(), allow_partial),
        Job::Compare { a, b, seeds, on } => compare::compare(context, [&a, &b], seeds, on),
        Job::Run { compare, allow_partial } => run::run(context, compare, allow_partial),
        Job::CheckModel(request) => check_model::check_model(context, &request),
        Job::Upscale(upscale) => upscale::upscale(context, &upscale),
        Job::ExportPairs { dir, layout, allow_partial, overwrite } => {
            export_pairs::pairs(context, &dir, layout, allow_partial, overwrite)
        }
        Job::ExportWeights { checkpoint, path, form, overwrite } => {
            export::weights(context, &checkpoint, &path, form, overwrite)
        }
        Job::ExportTable { of, form, path, overwrite } => tables::export(context, &of, form, &path, overwrite),
        Job::ImportScores { path } => import::scores(context, &path),
        Job::ImportCandidates(request) => import::candidates(context, &request),
        Job::ImportTable { path } => import::table(context, &path),
        Job::ImportVerdicts { path } => import::verdicts(context, &path),
        Job::ExportComparison { compared, format, path } => report::export(context, &compared, format, &path),
        Job::ComputeOn(choice) => context.compute_on(choice).map(|()| Outcome::None),
        Job::AllowExternal { then } => {
            external::allow(&context.recipe.metrics.external)?;
            then.map_or(Ok(Outcome::None), |job| run(context, *job))
        }
    }
}
