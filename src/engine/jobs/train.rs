//! Fine-tuning: which run goes on or begins, and its rounds.
//!
//! Training again with the same settings and pairs goes on where it was; anything else is a new run, and none is ever
//! overwritten. Where a new one begins although another is unfinished, that is said first.

use std::collections::{BTreeSet, VecDeque};

use super::pairs::Line;
use super::round::{Ended, Round};
use super::{candidates, checkpoints, curate, latents, pairs, same_run};
use crate::engine::context::Context;
use crate::engine::damage;
use crate::engine::model::Model;
use crate::engine::protocol::{Change, Level, Outcome};
use crate::method::provenance::On;
use crate::method::recipe::{Recipe, RoundReference};
use crate::workspace::{
    CandidateSet, CheckpointId, ImageId, ImageRow, NewRun, PARTIAL, RunId, RunRow, RunState, files,
};
use crate::{Error, Result};

/// How a run comes to its name.
#[derive(Clone, Copy)]
enum Name<'a> {
    /// The user said it: this run or none.
    Asked(&'a str),
    /// Whatever is free; of later rounds after the first one's.
    Free(Option<&'a str>),
}

/// Trains; `name` asks for a run of that name.
pub fn train(context: &mut Context, name: Option<&str>, allow_partial: bool) -> Result<Outcome> {
    let Trained { run, ended, .. } = rounds(context, name, allow_partial)?;
    Ok(Outcome::Trained { run: run.name, steps: ended.steps, state: ended.state })
}

/// What was trained.
pub struct Trained {
    /// The last round's run.
    pub run: RunRow,
    /// Pairs of the first round.
    pub pairs: usize,
    pub ended: Ended,
}

/// Trains all rounds.
pub fn rounds(context: &mut Context, name: Option<&str>, allow_partial: bool) -> Result<Trained> {
    say_what_is_not_evaluated(context)?;
    let (mut set, original) = context.reference("nothing can be trained")?;
    let curate::Curated { mut ranking, mut partial } = curate::curate(context, allow_partial)?;
    let pairs = ranking.curation.pairs().len();
    let (mut reference, mut start, mut start_id) = (original.clone(), original.clone(), set.checkpoint);
    let (mut parent, mut base) = (None, None::<String>);
    let (mut pool, mut by) = (Pool::default(), "reference".to_owned());
    let settings = context.recipe.training.clone();
    // Before anything is trained: the name, with the longest number of a round.
    if let Some(name) = name {
        files::check_run_name(&name_of(name, settings.rounds.saturating_sub(1) as u32))?;
    }
    let mut round = 0;
    loop {
        let name = name.map_or(Name::Free(base.as_deref()), Name::Asked);
        let newest = pairs::of(context.workspace()?, &ranking, settings.objective)?;
        pool.add(Drawn { set: set.clone(), by: by.clone(), lines: newest }, settings.pool_rounds);
        let run = run_for(context, name, round, parent, &pairs::to_text(&pool.lines())?, partial.take())?;
        base.get_or_insert_with(|| run.name.clone());
        let ended = one(context, &run, round, &pool, &reference, (&start, start_id))?;
        round += 1;
        if ended.state != RunState::Done || round as usize >= settings.rounds {
            return Ok(Trained { run, pairs, ended });
        }
        let policy = checkpoints::load(context, &run.name)?;
        policy.say_choice(context);
        (parent, start_id) = (Some(run.id), policy.id);
        if settings.round_reference == RoundReference::Last {
            reference = policy.model()?.clone();
        }
        by = policy.name.clone();
        set = CandidateSet { checkpoint: policy.id, sampler: set.sampler };
        resample(context, &set, policy.model()?, round)?;
        ranking = curate::of(context, &set)?;
        start = policy.model()?.clone();
    }
}

/// Candidates of one round and their pairs.
struct Drawn {
    set: CandidateSet,
    /// The checkpoint that drew them, by name.
    by: String,
    lines: Vec<Line>,
}

/// What a round is trained on: its candidates and those of the rounds before it, the newest first.
#[derive(Default)]
struct Pool(VecDeque<Drawn>);

impl Pool {
    /// Takes in the newest candidates; what is then older than `rounds` ages out.
    fn add(&mut self, newest: Drawn, rounds: usize) {
        self.0.push_front(newest);
        self.0.truncate(rounds.max(1));
    }

    fn sets(&self) -> Vec<CandidateSet> {
        self.0.iter().map(|drawn| drawn.set.clone()).collect()
    }

    /// The pairs with their ages.
    fn lines(&self) -> Vec<Line> {
        let aged = |(age, drawn): (usize, &Drawn)| {
            drawn.lines.iter().map(move |line| Line { age: age as u32, ..line.clone() }).collect::<Vec<_>>()
        };
        self.0.iter().enumerate().flat_map(aged).collect()
    }
}

/// Without validation images nothing is evaluated as a run trains.
fn say_what_is_not_evaluated(context: &Context) -> Result<()> {
    let ledger = context.workspace()?.ledger();
    if ledger.images_on(On::Validation)?.is_empty() && !ledger.images_on(On::Test)?.is_empty() {
        let text =
            "no image is held out for validation: nothing is evaluated as it trains, and the last checkpoint counts";
        context.log(Level::Info, text);
    }
    Ok(())
}

fn name_of(base: &str, round: u32) -> String {
    if round == 0 { base.to_owned() } else { format!("{base}.{}", round + 1) }
}

/// New candidates of the training images from the policy of the round before.
fn resample(context: &Context, set: &CandidateSet, policy: &Model, round: u32) -> Result<()> {
    let images: Vec<_> = context.workspace()?.ledger().images()?.into_iter().filter(|i| !i.is_held_out()).collect();
    // Pairs of a round are never made of less than what was asked for.
    let stage = format!("round {}", round + 1);
    candidates::fill(context, set, policy, &context.recipe, &images, &stage)?.failed.check_in(&stage)
}

/// The run to train: of the name asked for, or the newest of this round under its parent, if it is the same run; else a new
/// one, called after the first round's where nobody asked for a name.
fn run_for(
    context: &Context,
    name: Name,
    round: u32,
    parent: Option<RunId>,
    lines: &str,
    partial: Option<String>,
) -> Result<RunRow> {
    let workspace = context.workspace()?;
    let ledger = workspace.ledger();
    let is_of_round = |run: &RunRow| run.round == round && (round == 0 || run.parent == parent);
    let known = match name {
        Name::Asked(name) => ledger.run_by_name(&name_of(name, round))?.into_iter().collect(),
        Name::Free(_) => ledger.runs()?.into_iter().filter(is_of_round).rev().collect::<Vec<_>>(),
    };
    let mut others = Vec::new();
    for run in known {
        match same_run::why_another(context, &run, (round, parent), lines)? {
            None => {
                same_run::mend_pairs(context, &run, lines)?;
                return Ok(run);
            }
            Some(why) => others.push((run, why)),
        }
    }
    if let (Name::Asked(_), Some((run, why))) = (name, others.first()) {
        return Err(Error::invalid(format!(
            "the run `{}` is another: {why}; runs are never overwritten: choose another name",
            run.name
        )));
    }
    let name = match name {
        Name::Asked(name) => name_of(name, round),
        Name::Free(None) => ledger.free_run_name("run")?,
        Name::Free(Some(base)) => match name_of(base, round) {
            name if ledger.run_by_name(&name)?.is_none() => name,
            taken => ledger.free_run_name(&taken)?,
        },
    };
    if let Some((run, why)) = same_run::left_unfinished(context, round, others)? {
        let made = ledger.steps_since(run.id, 0)?.len();
        let text =
            format!("{} stays as it is, unfinished at step {made}, and {name} begins at step 0: {why}", run.name);
        context.log(Level::Warning, text);
    }
    let recipe = recipe_copy(&context.recipe, partial)?;
    let seed = context.recipe.training.seed;
    let id = workspace.begin_run(&NewRun { name, recipe, seed, parent, round }, lines.as_bytes())?;
    context.changed(Change::Runs);
    ledger.run(id)
}

/// The recipe as a run keeps it; first a comment, where the run is made of groups that are not whole.
fn recipe_copy(recipe: &Recipe, partial: Option<String>) -> Result<String> {
    let note = partial.map(|note| format!("{PARTIAL}{note}\n")).unwrap_or_default();
    Ok(note + &recipe.to_ron()?)
}

fn one(
    context: &mut Context,
    run: &RunRow,
    round: u32,
    pool: &Pool,
    reference: &Model,
    start: (&Model, CheckpointId),
) -> Result<Ended> {
    if run.state.is_final() {
        let steps = context.workspace()?.ledger().steps_since(run.id, 0)?.len() as u32;
        let why = run.message.as_deref().map(|m| format!(": {m}")).unwrap_or_default();
        context.log(Level::Info, format!("{} is {} already{why}", run.name, run.state.as_str()));
        return Ok(Ended { steps, state: run.state });
    }
    let precision = context.recipe.sampling.precision;
    let released = context.released(reference.backbone.card().name, precision)?;
    let workspace = context.workspace()?;
    let lines = pairs::read(&workspace.path(&workspace.pairs_file(run)?))?;
    let sets = pool.sets();
    context.prepare(reference.backbone.as_ref(), &[])?;
    let ended = loop {
        let released = &released;
        let round = Round { context, run, round, released, reference, start: start.0, start_id: start.1 };
        match latents::loader(context, &sets, reference, &lines).and_then(|loader| round.train(loader)) {
            Err(error) if latents::discard_damaged(context, &error)? => continue,
            Err(Error::File { .. } | Error::Invalid(_)) if made_again(context, pool, start.0, &lines)? => continue,
            ended => break ended,
        }
    };
    context.changed(Change::Runs);
    ended
}

/// Samples again what a run needs and is gone or damaged, from the models that made it, `newest` the newest candidates; says
/// whether there was any.
fn made_again(context: &mut Context, pool: &Pool, newest: &Model, lines: &[Line]) -> Result<bool> {
    let mut was_any = false;
    for (age, drawn) in pool.0.iter().enumerate() {
        let of_age: Vec<&Line> = lines.iter().filter(|line| line.age as usize == age).collect();
        let missing = missing_of(context, &drawn.set, &of_age)?;
        if missing.is_empty() {
            continue;
        }
        // Loaded only where there is something to draw.
        let model = match age {
            0 => newest.clone(),
            _ => checkpoints::load(context, &drawn.by)?.model()?.clone(),
        };
        let stage = "damaged candidates";
        candidates::fill(context, &drawn.set, &model, &context.recipe, &missing, stage)?.failed.check_in(stage)?;
        was_any = true;
    }
    Ok(was_any)
}

/// The images of pairs, where candidates of them are gone or damaged: these are discarded, and the images are to be drawn again.
fn missing_of(context: &Context, set: &CandidateSet, lines: &[&Line]) -> Result<Vec<ImageRow>> {
    let ledger = context.workspace()?.ledger();
    let ids: BTreeSet<ImageId> = lines.iter().map(|line| ImageId(line.image)).collect();
    let ids: Vec<ImageId> = ids.into_iter().collect();
    for &image in &ids {
        for candidate in ledger.group(set, image)? {
            damage::discard(context, &candidate)?;
        }
    }
    match ledger.missing_candidates(set, &ids, &context.recipe.seeds())?.is_empty() {
        true => Ok(Vec::new()),
        false => ids.iter().map(|&id| ledger.image(id)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::SamplerKey;

    #[test]
    fn pairs_age_with_the_rounds_and_leave_the_pool() {
        let mut pool = Pool::default();
        for round in 0..3 {
            let line = Line {
                image: round,
                winner: 1,
                loser: 2,
                weight: 1.0,
                advantages: None,
                age: 0,
                prompt: String::new(),
            };
            let set = CandidateSet { checkpoint: CheckpointId(round), sampler: SamplerKey::imported() };
            pool.add(Drawn { set, by: format!("run@{round}"), lines: vec![line] }, 2);
        }
        let pooled: Vec<_> = pool.lines().iter().map(|line| (line.image, line.age)).collect();
        assert_eq!(pooled, [(2, 0), (1, 1)]);
        assert_eq!(
            pool.sets().iter().map(|set| set.checkpoint).collect::<Vec<_>>(),
            [CheckpointId(2), CheckpointId(1)]
        );
        // What is not aged is written as before there were pools.
        let text = pairs::to_text(&pool.lines()).unwrap();
        assert!(
            text.lines().next().is_some_and(|line| !line.contains("\"age\"")) && text.contains("\"age\":1"),
            "{text}"
        );
    }
}
