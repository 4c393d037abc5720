//! What each command of the table does.

use egui::{Context, ViewportCommand};

use super::actions::Action;
use super::commands::{self, CommandId};
use super::dialogs::Ask;
use super::pane_kind::PaneKind;
use super::session::example_dir;
use super::studio::Studio;
use crate::engine::protocol::{Job, Level, PairsLayout, TableOf};
use crate::workspace::Split;

impl Studio {
    /// Runs a command if it is enabled, or says why not.
    pub(super) fn run_command(&mut self, id: CommandId, ctx: &Context) {
        let command = commands::command(id);
        match (command.enabled)(&self.state) {
            Ok(()) => self.dispatch(id, ctx),
            Err(reason) => self.say(Level::Info, format!("{}: {reason}", command.title.trim_end_matches('…'))),
        }
    }

    fn dispatch(&mut self, id: CommandId, ctx: &Context) {
        match id {
            CommandId::NewWorkspace => self.dialogs.open(Ask::NewWorkspace),
            CommandId::OpenWorkspace => self.dialogs.open(Ask::OpenWorkspace),
            CommandId::OpenExample => self.act(Action::CreateWorkspace { dir: example_dir(), example: true }),
            CommandId::AddImages => self.dialogs.open(Ask::Images),
            CommandId::AddFolder => self.dialogs.open(Ask::ImageFolder),
            CommandId::ImportCandidates => self.dialogs.open(Ask::Candidates),
            CommandId::ImportTable => self.dialogs.open(Ask::ImportTable),
            CommandId::ExportPairs => self.dialogs.open(Ask::ExportPairs(PairsLayout::Folders)),
            CommandId::ExportPairsHf => self.dialogs.open(Ask::ExportPairs(PairsLayout::HuggingFace)),
            CommandId::ExportPairsDpo => self.dialogs.open(Ask::ExportPairs(PairsLayout::DiffusionDpo)),
            CommandId::ExportScores => self.dialogs.open(Ask::ExportTable(TableOf::Scores)),
            CommandId::ExportPairTable => {
                self.dialogs.open(Ask::ExportTable(TableOf::Pairs { allow_partial: false }));
            }
            CommandId::ExportVerdicts => self.dialogs.open(Ask::ExportTable(TableOf::Verdicts)),
            CommandId::ExportRun => {
                let selected = self.panes.training.selected();
                let run = self.state.library.as_ref().and_then(|library| {
                    let selected = library.runs.iter().find(|run| Some(run.id) == selected);
                    selected.or(library.runs.last())
                });
                if let Some(name) = run.map(|run| run.name.clone()) {
                    self.dialogs.open(Ask::ExportTable(TableOf::Run(name)));
                }
            }
            CommandId::Quit => ctx.send_viewport_cmd(ViewportCommand::Close),
            CommandId::Undo | CommandId::PairUndo => self.undo(),
            CommandId::Redo => self.redo(),
            CommandId::ToggleHeldOut => self.toggle_held_out(),
            CommandId::ForValidation => self.hold_out_for(Split::Validation),
            CommandId::ForTest => self.hold_out_for(Split::Test),
            CommandId::RemoveImages => self.remove_selected(),
            CommandId::PreviousImage => self.step_image(-1),
            CommandId::NextImage => self.step_image(1),
            CommandId::ResetRecipe => self.reset_recipe(),
            CommandId::LoadRecipe => self.dialogs.open(Ask::LoadRecipe),
            CommandId::SaveRecipe => self.dialogs.open(Ask::SaveRecipe),
            CommandId::Generate => self.act(Action::Start(Job::Generate { images: None })),
            CommandId::GenerateSelected => self.generate_selected(),
            CommandId::Curate => self.act(Action::Start(Job::Curate { allow_partial: false })),
            CommandId::Train => self.train(),
            CommandId::Compare => self.compare_last(),
            CommandId::RunAll => self.act(Action::Start(Job::Run { compare: true, allow_partial: false })),
            CommandId::PauseResume => self.toggle_pause(),
            CommandId::Cancel => self.cancel_current(),
            CommandId::ShowLibrary => self.show(PaneKind::Library),
            CommandId::ShowSeeds => self.show(PaneKind::Seeds),
            CommandId::ShowHeatmaps => self.show(PaneKind::Heatmaps),
            CommandId::ShowMatrix
            | CommandId::ShowMaps
            | CommandId::ShowRewards
            | CommandId::ShowFrNr
            | CommandId::ShowCorrelation => self.heatmaps_command(id),
            CommandId::ShowPairs => self.show(PaneKind::Pairs),
            CommandId::ShowTraining => self.show(PaneKind::Training),
            CommandId::ShowCompare => self.show(PaneKind::Compare),
            CommandId::ShowRecipe => self.show(PaneKind::Recipe),
            CommandId::ShowWeights => self.show_weights(),
            CommandId::CheckModel => self.check_model(),
            CommandId::TagImages => self.act(Action::Start(Job::Tag { images: None })),
            CommandId::ToggleLog => self.toggle_log(),
            CommandId::LargerCells => self.scale_cells(1.15),
            CommandId::SmallerCells => self.scale_cells(1.0 / 1.15),
            CommandId::OverlayRuns | CommandId::RunTable => self.training_command(id),
            CommandId::ToggleTheme => self.toggle_theme(ctx),
            CommandId::LargerFont => self.change_font(ctx, 1.0),
            CommandId::SmallerFont => self.change_font(ctx, -1.0),
            CommandId::ZoomIn => self.zoom(ctx, 0.1),
            CommandId::ZoomOut => self.zoom(ctx, -0.1),
            CommandId::ZoomReset => self.zoom(ctx, 0.0),
            CommandId::ResetLayout => self.reset_layout(),
            CommandId::PairNext
            | CommandId::PairPrevious
            | CommandId::PairExclude
            | CommandId::PairFlip
            | CommandId::PairPin
            | CommandId::PairWhy
            | CommandId::PairBlind
            | CommandId::BlindLeft
            | CommandId::BlindRight
            | CommandId::BlindUnsure
            | CommandId::BlindBothBad => self.pane_command(id),
            CommandId::CompareSwap
            | CommandId::CompareNextSeed
            | CommandId::ComparePreviousSeed
            | CommandId::ExportReport
            | CommandId::ExportFigure
            | CommandId::ExportCsv
            | CommandId::ExportMarkdown
            | CommandId::ExportLatex => self.compare_command(id),
            CommandId::CommandPalette => self.command_palette.toggle(ctx),
            CommandId::ShortcutSheet => self.shows_shortcuts = !self.shows_shortcuts,
        }
    }
}
