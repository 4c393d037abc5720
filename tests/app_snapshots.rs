//! Pictures of every tab in both themes, compared with those in `tests/snapshots/` where there is a graphics adapter.
//! After a change that is meant to be seen:
//!
//!     UPDATE_SNAPSHOTS=1 cargo test --release --test app_snapshots

mod adapter;
mod made_up;

use dp2o_studio::app::Studio;
use dp2o_studio::app::actions::Action;
use dp2o_studio::app::commands::CommandId;
use dp2o_studio::app::pane_kind::PaneKind;
use eframe::{App, CreationContext, Frame};
use egui::Ui;
use egui_kittest::{Harness, SnapshotOptions};
use made_up::Size;

/// The studio with what an engine would have answered.
struct Still(Studio);

impl Still {
    fn new(cc: &CreationContext<'_>, tab: PaneKind, command: Option<CommandId>, is_dark: bool) -> Self {
        let mut studio = made_up::studio(cc, Size { images: 15, seeds: 8, runs: 2, steps: 80 });
        studio.act(Action::Show(tab));
        command.into_iter().for_each(|command| studio.act(Action::Command(command)));
        if !is_dark {
            studio.act(Action::Command(CommandId::ToggleTheme));
        }
        Self(studio)
    }
}

impl App for Still {
    fn ui(&mut self, ui: &mut Ui, frame: &mut Frame) {
        made_up::answer(&mut self.0);
        self.0.state.pictures.upload(ui.ctx());
        self.0.ui(ui, frame);
    }
}

#[test]
fn every_tab_looks_as_it_did_in_both_themes() {
    if adapter::adapter().is_none() {
        eprintln!("SKIPPED: there is no graphics adapter");
        return;
    }
    // Drivers round colours and edges differently, by less than the threshold. A wrong digit is some thirty pixels, in the
    // smallest and faintest type thirteen ("ln 3" for "ln 2"); the same driver makes the same picture, to the pixel.
    let options = SnapshotOptions::new().threshold(2.0).max_failed_pixels(4);
    let mut results = egui_kittest::SnapshotResults::new();
    for (name, tab, command) in [
        ("seeds", PaneKind::Seeds, None),
        ("heatmaps", PaneKind::Heatmaps, None),
        ("rewards", PaneKind::Heatmaps, Some(CommandId::ShowRewards)),
        ("fr-nr", PaneKind::Heatmaps, Some(CommandId::ShowFrNr)),
        ("correlation", PaneKind::Heatmaps, Some(CommandId::ShowCorrelation)),
        ("pairs", PaneKind::Pairs, None),
        ("training", PaneKind::Training, None),
        ("compare", PaneKind::Compare, None),
    ] {
        for (theme, is_dark) in [("dark", true), ("light", false)] {
            let mut harness = Harness::builder()
                .with_size([1280.0, 800.0])
                .wgpu()
                .build_eframe(|cc| Still::new(cc, tab, command, is_dark));
            harness.run_steps(30);
            results.add(harness.try_snapshot_options(format!("{name}-{theme}"), &options));
        }
    }
}
