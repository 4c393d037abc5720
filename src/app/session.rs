//! What is remembered from one start to the next: the workspace, how things look, edits that no job has saved yet.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use eframe::Storage;
use serde::{Deserialize, Serialize};

use super::layout;
use super::theme::{DEFAULT_FONT_SIZE, FONT_SIZES};
use crate::engine::devices::Choice;
use crate::weights::terms;

/// Names the studio to the system, and its directory below the user's data directory.
pub const APP_ID: &str = "dp2o-studio";

/// A session of another version is forgotten.
const KEY: &str = "session_v1";
/// Workspaces listed as recent.
const RECENT: usize = 10;
/// Zoom factors that can be used.
const ZOOM: std::ops::RangeInclusive<f32> = 0.6..=3.0;

/// What is remembered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Session {
    /// Workspaces opened, the last one first.
    pub recent: Vec<PathBuf>,
    pub is_dark: bool,
    /// Size of body text in points.
    pub font_size: f32,
    pub zoom: f32,
    /// The recipe as edited, RON, where the workspace does not hold it yet.
    pub unsaved_recipe: Option<String>,
    /// Width of the window, in points, that the arrangement of the panes was made for.
    pub width: f32,
    /// Side of a cell of the Seeds grid in points; 0 fits all candidates of an image.
    pub cell_points: f32,
    /// Who judges pairs blindly.
    pub rater: String,
    /// Terms of published weights that were confirmed on this machine.
    pub licences: BTreeSet<String>,
    /// What to compute on, where no option says so.
    pub device: Choice,
}

impl Default for Session {
    fn default() -> Self {
        Self {
            recent: Vec::new(),
            is_dark: true,
            font_size: DEFAULT_FONT_SIZE,
            zoom: 1.0,
            unsaved_recipe: None,
            width: layout::DEFAULT_WIDTH,
            cell_points: 0.0,
            rater: String::new(),
            licences: BTreeSet::new(),
            device: Choice::Best,
        }
    }
}

impl Session {
    /// The session of the last start, or a new one.
    pub fn load(storage: Option<&dyn Storage>) -> Self {
        let text = storage.and_then(|storage| storage.get_string(KEY));
        let mut session: Self = text.and_then(|text| ron::from_str(&text).ok()).unwrap_or_default();
        if storage.is_some() {
            session.licences.extend(terms::confirmed());
        }
        session.set_font_size(session.font_size);
        session.set_zoom(session.zoom);
        session.cell_points = if session.cell_points.is_finite() { session.cell_points } else { 0.0 };
        session
    }

    /// Keeps the session.
    pub fn save(&self, storage: &mut dyn Storage) {
        if let Ok(text) = ron::to_string(self) {
            storage.set_string(KEY, text);
        }
    }

    /// A workspace was opened.
    pub fn opened(&mut self, root: &Path) {
        self.recent.retain(|known| known != root);
        self.recent.insert(0, root.to_owned());
        self.recent.truncate(RECENT);
    }

    /// Sets the font size, within its limits.
    pub fn set_font_size(&mut self, points: f32) {
        let points = if points.is_finite() { points } else { DEFAULT_FONT_SIZE };
        self.font_size = points.round().clamp(*FONT_SIZES.start(), *FONT_SIZES.end());
    }

    /// Sets the zoom factor, within its limits.
    pub fn set_zoom(&mut self, factor: f32) {
        let factor = if factor.is_finite() { factor } else { 1.0 };
        self.zoom = ((factor * 10.0).round() / 10.0).clamp(*ZOOM.start(), *ZOOM.end());
    }
}

/// Where the example workspace lies: in the user's data directory, beside the session.
pub fn example_dir() -> PathBuf {
    eframe::storage_dir(APP_ID).map_or_else(|| PathBuf::from("dp2o-example"), |dir| dir.join("example"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonsense_in_the_session_file_is_set_right() {
        let text = "(recent:[], font_size: 400.0, zoom: NaN)";
        let mut session: Session = ron::from_str(text).unwrap();
        session.set_font_size(session.font_size);
        session.set_zoom(session.zoom);
        assert_eq!((session.font_size, session.zoom), (20.0, 1.0));
    }

    #[test]
    fn the_last_workspace_comes_first_and_once() {
        let mut session = Session::default();
        for name in ["a", "b", "a"] {
            session.opened(Path::new(name));
        }
        assert_eq!(session.recent, [PathBuf::from("a"), PathBuf::from("b")]);
    }
}
