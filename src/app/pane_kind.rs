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

/// What the Heatmaps tab shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HeatmapView {
    /// Seeds × metrics of an image.
    #[default]
    Matrix,
    /// Metrics over the picture.
    Maps,
    /// One number of every candidate, image × seed.
    Images,
    /// FR half against NR half.
    Scatter,
    /// Which metrics rank alike, and which decide.
    Correlation,
}

impl HeatmapView {
    /// All of them, in order.
    pub const ALL: [HeatmapView; 5] =
        [HeatmapView::Matrix, HeatmapView::Maps, HeatmapView::Images, HeatmapView::Scatter, HeatmapView::Correlation];

    /// Its name on the screen.
    pub fn title(self) -> &'static str {
        match self {
            HeatmapView::Matrix => "Matrix",
            HeatmapView::Maps => "Maps",
            HeatmapView::Images => "Images × seeds",
            HeatmapView::Scatter => "FR × NR",
            HeatmapView::Correlation => "Correlation",
        }
    }

    /// What it answers.
    pub fn hint(self) -> &'static str {
        match self {
            HeatmapView::Matrix => "Seeds × metrics: normalized scores and rewards",
            HeatmapView::Maps => "Where in the picture a metric sees errors",
            HeatmapView::Images => "The rewards of all candidates at once, or one metric of them",
            HeatmapView::Correlation => "Which metrics rank the seeds of an image alike, and which decide",
            HeatmapView::Scatter => "Where full-reference and no-reference metrics disagree",
        }
    }
}
