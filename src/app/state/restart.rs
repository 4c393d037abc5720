//! Whether training under the edited recipe leaves an unfinished run behind: to be said before it is started.

use super::State;
use crate::method::recipe::Recipe;
use crate::method::resume;
use crate::workspace::RunRow;

impl State {
    /// Compares the edited recipe with those of the runs anew.
    pub(super) fn note_restart(&mut self) {
        let runs = self.library.as_ref().map_or(&[][..], |library| &library.runs);
        self.restart = restart(runs, &self.recipe.edited);
    }
}

/// Of each round only the settings are looked at; whether the pairs are the same, the engine says when it begins.
fn restart(runs: &[RunRow], edited: &Recipe) -> Option<String> {
    let rounds = runs.iter().map(|run| run.round).max()?;
    (0..=rounds).find_map(|round| {
        let mut left = None;
        for run in runs.iter().rev().filter(|run| run.round == round) {
            let Ok(began) = Recipe::from_ron_unchecked(&run.recipe) else { continue };
            let keys = resume::differences(&began, edited, round);
            if keys.is_empty() {
                return None;
            }
            if !run.state.is_final() && left.is_none() {
                let why = resume::in_words(&keys, &began, edited);
                left = Some(format!("{} is unfinished; training would begin a new run, as {why}", run.name));
            }
        }
        left
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::{RunId, RunState};

    fn run(number: i64, state: RunState, recipe: &Recipe) -> RunRow {
        RunRow {
            id: RunId(number),
            name: format!("run-{number}"),
            dir: format!("run-{number}"),
            recipe: recipe.to_ron().unwrap(),
            seed: 0,
            state,
            message: None,
            parent: None,
            round: 0,
            started_at_secs: 0,
            ended_at_secs: None,
            pairs_hash: None,
        }
    }

    #[test]
    fn an_unfinished_run_is_named_with_what_differs() {
        let began = Recipe::default();
        let mut edited = began.clone();
        let runs = [run(1, RunState::Paused, &began)];
        assert_eq!(restart(&runs, &edited), None);
        edited.set("training.activations", "recompute").unwrap();
        edited.set("m", "8").unwrap();
        assert_eq!(restart(&runs, &edited), None, "memory and pairs are not the run's settings");
        edited.set("beta", "5").unwrap();
        let text = restart(&runs, &edited).unwrap();
        assert!(text.contains("run-1") && text.contains("training.beta is 5, not 60000"), "{text}");
        // What was trained to its end is not left behind; nor is anything where a run of these settings is there.
        assert_eq!(restart(&[run(1, RunState::Done, &began)], &edited), None);
        let with_same = [run(1, RunState::Paused, &began), run(2, RunState::Paused, &edited)];
        assert_eq!(restart(&with_same, &edited), None);
    }
}
