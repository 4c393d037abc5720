//! Undo and redo of what a person decides: the recipe, verdicts on pairs, marks on images, removals.

use crate::method::recipe::Recipe;
use crate::workspace::{ImageId, Judgement, OverrideKind, PairOverride, Split, SplitChoice};

/// Steps kept.
const STEPS: usize = 500;

/// A decision that can be taken back.
#[derive(Clone, Debug, PartialEq)]
pub enum Edit {
    Recipe {
        before: Box<Recipe>,
        after: Box<Recipe>,
        /// The setting that was changed, or another word for the edit.
        what: String,
        /// Names of the presets that differences were and are marked against, where a preset was taken.
        presets: Option<[String; 2]>,
    },
    /// A rater's verdict on a pair, or that it was taken back, and what the rater said of the two before.
    Verdict { verdict: Box<PairOverride>, is_taken_back: bool, before: Option<Box<PairOverride>> },
    /// What a rater said of two candidates blindly.
    Judgement { judgement: Box<Judgement> },
    /// What images are for, with what each of them was for before.
    Split { before: Vec<(ImageId, SplitChoice)>, after: SplitChoice },
    /// What is said of images, with what was said of each before.
    Prompt { before: Vec<(ImageId, String)>, after: String },
    /// Images that were removed from view.
    Removed { images: Vec<ImageId> },
}

impl Edit {
    /// What is undone or redone, in words.
    pub fn name(&self) -> String {
        let images = |ids: &[ImageId]| super::format::counted(ids.len(), "image");
        match self {
            Edit::Recipe { what, .. } => what.clone(),
            Edit::Verdict { is_taken_back: true, .. } => "verdict taken back".into(),
            Edit::Verdict { verdict, .. } => match verdict.kind {
                OverrideKind::Exclude => "pair excluded".into(),
                OverrideKind::Flip => "pair flipped".into(),
                OverrideKind::Pin => "pair pinned".into(),
            },
            Edit::Judgement { .. } => "blind judgement".into(),
            Edit::Split { before, after } => {
                let images = super::format::counted(before.len(), "image");
                match after {
                    SplitChoice::ByRule => format!("{images} held out"),
                    SplitChoice::Fixed(Split::Train) => format!("{images} put back to training"),
                    SplitChoice::Fixed(split) => format!("{images} {}", split.phrase()),
                }
            }
            Edit::Prompt { before, .. } => {
                format!("prompt of {} changed", super::format::counted(before.len(), "image"))
            }
            Edit::Removed { images: ids } => format!("{} removed", images(ids)),
        }
    }
}

/// What was done and what was undone.
#[derive(Debug, Default)]
pub struct History {
    undo: Vec<Edit>,
    redo: Vec<Edit>,
    /// An edit of the recipe goes on: more of the same joins it.
    is_gesture_open: bool,
}

impl History {
    /// Notes an edit. An edit of the same setting within one gesture joins the one before.
    pub fn push(&mut self, edit: Edit) {
        self.redo.clear();
        if let (true, Some(Edit::Recipe { what, after, .. }), Edit::Recipe { what: same, after: newer, .. }) =
            (self.is_gesture_open, self.undo.last_mut(), &edit)
            && what == same
        {
            *after = newer.clone();
            return;
        }
        self.is_gesture_open = matches!(edit, Edit::Recipe { .. });
        if self.undo.len() >= STEPS {
            self.undo.remove(0);
        }
        self.undo.push(edit);
    }

    /// Whether an edit of this setting would join the one before.
    pub fn would_join(&self, setting: &str) -> bool {
        let same = |edit: &Edit| matches!(edit, Edit::Recipe { what, .. } if what == setting);
        self.is_gesture_open && self.undo.last().is_some_and(same)
    }

    /// The hand let go.
    pub fn end_gesture(&mut self) {
        self.is_gesture_open = false;
    }

    /// The edit to take back now.
    pub fn undo(&mut self) -> Option<Edit> {
        self.end_gesture();
        let edit = self.undo.pop()?;
        self.redo.push(edit.clone());
        Some(edit)
    }

    /// The edit to make again now.
    pub fn redo(&mut self) -> Option<Edit> {
        self.end_gesture();
        let edit = self.redo.pop()?;
        self.undo.push(edit.clone());
        Some(edit)
    }

    /// What [`History::undo`] would take back.
    pub fn next_undo(&self) -> Option<&Edit> {
        self.undo.last()
    }

    /// What [`History::redo`] would make again.
    pub fn next_redo(&self) -> Option<&Edit> {
        self.redo.last()
    }

    /// Forgets everything: another workspace was opened.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edit(from: f64, to: f64, what: &str) -> Edit {
        let recipe = |alpha: f64| {
            let mut recipe = Recipe::default();
            recipe.hpo.alpha_intra = alpha;
            Box::new(recipe)
        };
        Edit::Recipe { before: recipe(from), after: recipe(to), what: what.into(), presets: None }
    }

    #[test]
    fn a_dragged_slider_is_one_step() {
        let mut history = History::default();
        history.push(edit(1.0, 1.1, "α intra"));
        history.push(edit(1.1, 1.7, "α intra"));
        history.end_gesture();
        history.push(edit(1.7, 2.0, "α intra"));
        assert_eq!(history.undo(), Some(edit(1.7, 2.0, "α intra")));
        assert_eq!(history.undo(), Some(edit(1.0, 1.7, "α intra")));
        assert_eq!(history.undo(), None);
        assert_eq!(history.redo(), Some(edit(1.0, 1.7, "α intra")));
        history.push(edit(1.7, 3.0, "β"));
        assert_eq!(history.redo(), None);
    }
}
