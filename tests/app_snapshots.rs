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
    fn new(cc: &CreationContext<'_>, tab: PaneKind, is_dark: bool) -> Self {
        let mut studio = made_up::studio(cc, Size { images: 15, seeds: 8, runs: 2, steps: 80 });
        studio.act(Action::Show(tab));
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
    // Drivers round colours and edges differently; text, layout and missing parts differ by far more pixels.
    let options = SnapshotOptions::new().threshold(2.0).max_failed_pixels(2000);
    let mut results = egui_kittest::SnapshotResults::new();
    for (name, tab) in [
        ("seeds", PaneKind::Seeds),
        ("heatmaps", PaneKind::Heatmaps),
        ("pairs", PaneKind::Pairs),
        ("training", PaneKind::Training),
        ("compare", PaneKind::Compare),
    ] {
        for (theme, is_dark) in [("dark", true), ("light", false)] {
            let mut harness =
                Harness::builder().with_size([1280.0, 800.0]).wgpu().build_eframe(|cc| Still::new(cc, tab, is_dark));
            harness.run_steps(30);
            results.add(harness.try_snapshot_options(format!("{name}-{theme}"), &options));
        }
    }
}
