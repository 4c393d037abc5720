//! Events in, state out.

use super::log::Offer;
use super::*;
use crate::Permit;
use crate::engine::failures::Failures;
use crate::engine::grid::Subject;
use crate::engine::progress::Progress;
use crate::engine::protocol::{Answer, Event, Job, JobId, JobState, Level, Outcome};
use crate::iqa::Direction;

fn step(step: u32) -> crate::workspace::StepRow {
    crate::workspace::StepRow {
        step,
        loss: 0.1,
        implicit_accuracy: 0.5,
        margin: 0.0,
        policy_winner_error: 0.0,
        policy_loser_error: 0.0,
        reference_winner_error: 0.0,
        reference_loser_error: 0.0,
        grad_norm: 1.0,
        learning_rate: 1e-5,
        seconds: 0.1,
        extra: None,
    }
}

#[test]
fn a_resumed_run_forgets_the_steps_that_are_made_again() {
    let mut state = State::new();
    let run = RunId(1);
    for n in [1, 2, 3, 4, 3] {
        state.apply(Event::Step { run, row: step(n) });
    }
    let steps = |state: &State| state.curves[&run].steps.iter().map(|s| s.step).collect::<Vec<_>>();
    assert_eq!(steps(&state), [1, 2, 3]);
    // The ledger's answer may be older than the last events.
    state.curves.get_mut(&run).unwrap().read(0, vec![step(1), step(2)], Vec::new());
    assert_eq!(steps(&state), [1, 2, 3]);
    assert!(state.curves[&run].is_whole);
}

#[test]
fn a_job_is_followed_to_its_end_and_a_failure_is_told() {
    let mut state = State::new();
    let id = JobId(7);
    state.jobs.started(id, &Job::Generate { images: None }, 0.0);
    assert!(state.jobs.current().is_none());
    state.apply(Event::Job { id, state: JobState::Started });
    let progress = Progress { stage: "sampling".into(), unit: "candidates", done: 1, total: 4, ..Default::default() };
    state.apply(Event::Job { id, state: JobState::Progress(progress) });
    assert_eq!(state.jobs.current().unwrap().progress.as_ref().unwrap().share(), 0.25);
    state.apply(Event::Job { id, state: JobState::Failed("out of memory".into()) });
    assert!(state.jobs.current().is_none());
    assert_eq!(state.log.toasts[0].text, "Generate: out of memory");
    assert_eq!(state.log.toasts[0].level, Level::Error);
}

#[test]
fn half_done_is_a_warning_and_a_refusal_offers_to_go_on() {
    let mut state = State::new();
    let (generate, train) = (JobId(1), JobId(2));
    state.jobs.started(generate, &Job::Generate { images: None }, 0.0);
    let failed = Failures { items: 3, causes: vec!["a: truncated".into()] };
    let outcome = Outcome::Generated { candidates: 4, scores: 8, failed };
    state.apply(Event::Job { id: generate, state: JobState::Done(outcome) });
    let said = |state: &State, text: &str| state.log.toasts.iter().any(|t| t.level == Level::Warning && t.text == text);
    assert!(said(&state, "Generate: 1 of 3 failed, first: a: truncated"));
    assert_eq!(state.jobs.last_incomplete(), Some(("Generate", "1 of 3 failed, first: a: truncated")));

    let job = Job::Train { run: None, allow_partial: false };
    state.jobs.started(train, &job, 0.0);
    let refused = JobState::Refused { cause: "a has 2 of 4 seeds".into(), permit: Permit::Partial };
    state.apply(Event::Job { id: train, state: refused });
    assert!(said(&state, "Train: a has 2 of 4 seeds"));
    let again = Offer::Permit(Box::new(Job::Train { run: None, allow_partial: true }), Permit::Partial);
    assert_eq!(state.log.toasts.last().unwrap().offer, Some(again));
}

#[test]
fn answers_nobody_asked_for_change_nothing_and_replaced_questions_are_forgotten() {
    let mut state = State::new();
    let library = Arc::new(Library {
        images: Vec::new(),
        sampled: Vec::new(),
        checkpoints: Vec::new(),
        best: Vec::new(),
        runs: Vec::new(),
        set: None,
    });
    state.apply(Event::Answer { id: QueryId(1), answer: Ok(Answer::Library(library.clone())) });
    assert!(state.library.is_none());
    for id in [2, 3, 4] {
        state.asked.insert(QueryId(id), Asked::Library);
    }
    state.apply(Event::Answer { id: QueryId(3), answer: Ok(Answer::Library(library)) });
    assert!(state.library.is_some());
    assert_eq!(state.asked.keys().collect::<Vec<_>>(), [&QueryId(4)]);
}

#[test]
fn an_edit_that_contradicts_itself_is_held_back_and_named() {
    let mut state = State::new();
    let mut recipe = state.recipe.edited.clone();
    recipe.reward.held_out.push("stlpips".into());
    state.edit_recipe(recipe);
    assert!(state.recipe.fault.as_ref().unwrap().contains("stlpips"));
    assert!(!state.wants.ranking);
    state.edit_recipe(Recipe::default());
    assert!(state.recipe.fault.is_none() && state.wants.ranking_now);
}

#[test]
fn the_last_grid_asked_for_is_kept_and_goes_with_the_workspace() {
    let grid = |subject: Subject| Grid {
        of: GridOf { subject, ..GridOf::default() },
        direction: Direction::Higher,
        seeds: vec![0],
        rows: Vec::new(),
        values: Vec::new(),
        columns: Vec::new(),
        range: [0.0, 1.0],
        max_spread: 0.0,
    };
    let mut state = State::new();
    let (first, second) = (grid(Subject::Reward), grid(Subject::NrHalf));
    state.asked.insert(QueryId(1), Asked::Grid(first.of.clone()));
    state.asked.insert(QueryId(2), Asked::Grid(second.of.clone()));
    let answer = |grid: Grid| Ok(Answer::Grid(Arc::new(grid)));
    state.apply(Event::Answer { id: QueryId(2), answer: answer(second.clone()) });
    // The one before was replaced: nothing waits for it any more, and were it to come it would change nothing.
    assert!(state.asked.is_empty());
    state.apply(Event::Answer { id: QueryId(1), answer: answer(first) });
    assert_eq!(state.grid.as_deref(), Some(&second));
    state.apply(Event::Closed);
    assert!(state.grid.is_none());
}
