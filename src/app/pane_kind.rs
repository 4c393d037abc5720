//! The names of the panes, which layout, commands and actions know without knowing a pane.

use serde::{Deserialize, Serialize};

/// Names a pane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum PaneKind {
    Library,
    Recipe,
    Seeds,
    Heatmaps,
    Pairs,
    Training,
    Compare,
    Log,
}

impl PaneKind {
    /// All of them.
    pub const ALL: [PaneKind; 8] = [
        PaneKind::Library,
        PaneKind::Recipe,
        PaneKind::Seeds,
        PaneKind::Heatmaps,
        PaneKind::Pairs,
        PaneKind::Training,
        PaneKind::Compare,
        PaneKind::Log,
    ];

    /// Those in the middle, in order.
    pub const TABS: [PaneKind; 5] =
        [PaneKind::Seeds, PaneKind::Heatmaps, PaneKind::Pairs, PaneKind::Training, PaneKind::Compare];

    /// Its name on the screen.
    pub fn title(self) -> &'static str {
        match self {
            PaneKind::Library => "Library",
            PaneKind::Recipe => "Recipe",
            PaneKind::Seeds => "Seeds",
            PaneKind::Heatmaps => "Heatmaps",
            PaneKind::Pairs => "Pairs",
            PaneKind::Training => "Training",
            PaneKind::Compare => "Compare",
            PaneKind::Log => "Log",
        }
    }
}
