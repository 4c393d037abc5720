//! LR and HR of the picture that is looked at: in its place while a key is held, or in views of their own.

use egui::{Key, Ui};

use super::Item;
use crate::app::actions::Cx;
use crate::engine::protocol::Source;
use crate::workspace::ImageId;

/// What a candidate is measured by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Truth {
    /// What it was made of.
    Lr,
    /// What it should be.
    Hr,
}

impl Truth {
    pub const ALL: [Truth; 2] = [Truth::Lr, Truth::Hr];

    /// Its name on the screen.
    pub fn title(self) -> &'static str {
        match self {
            Truth::Lr => "LR",
            Truth::Hr => "HR",
        }
    }

    /// While it is held, the picture is in the place of the others.
    pub fn key(self) -> Key {
        match self {
            Truth::Lr => Key::L,
            Truth::Hr => Key::G,
        }
    }
}

/// LR and, where there is one, HR of an image.
pub fn items(cx: &Cx, image: ImageId) -> Vec<(Truth, Item)> {
    let has_hr = cx.state.image(image).is_some_and(|row| row.hr_path.is_some());
    let item = |truth: Truth| {
        let source = if truth == Truth::Lr { Source::Lr(image) } else { Source::Hr(image) };
        (truth, Item::new(source, truth.title(), cx.palette.on_scrim))
    };
    Truth::ALL.into_iter().filter(|truth| *truth == Truth::Lr || has_hr).map(item).collect()
}

/// Whose key is held.
pub fn held(ui: &Ui) -> Option<Truth> {
    let is_down = |truth: &Truth| ui.input(|i| i.key_down(truth.key()) && i.modifiers.is_none());
    if ui.ctx().text_edit_focused() { None } else { Truth::ALL.into_iter().find(is_down) }
}
