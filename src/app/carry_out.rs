//! What the studio does about actions and commands.

use std::path::Path;
use std::sync::Arc;

use egui::Context;

use super::actions::Action;
use super::commands::CommandId;
use super::dialogs::Ask;
use super::format;
use super::history::Edit;
use super::layout;
use super::pane_kind::PaneKind;
use super::state::log::Offer;
use super::studio::{Studio, theme_of};
use super::theme;
use crate::engine::protocol::{Job, JobId, Level};
use crate::imaging::output;
use crate::method::overrides::Verdict;
use crate::method::presets;
use crate::method::provenance::On;
use crate::method::recipe::Recipe;
use crate::workspace::{ImageId, ImageRow, Judgement, PairOverride, Split, SplitChoice, same_source};

impl Studio {
    /// Carries out what was noted, and what that notes in turn.
    pub(super) fn carry_out(&mut self, ctx: &Context) {
        // Commands note actions; none notes itself, the bound is for a mistake here.
        for _ in 0..8 {
            if self.actions.is_empty() {
                return;
            }
            for action in std::mem::take(&mut self.actions) {
                self.carry_out_one(action, ctx);
            }
        }
    }

    fn carry_out_one(&mut self, action: Action, ctx: &Context) {
        match action {
            Action::Command(id) => self.run_command(id, ctx),
            Action::Start(job) => {
                self.save_recipe();
                self.start_job(job);
            }
            Action::CancelJob(id) => self.carry_out_cancel(id),
            Action::EditRecipe { recipe, what } => self.edit_recipe(*recipe, what),
            Action::EndGesture => self.history.end_gesture(),
            Action::TakePreset(name) => self.take_preset(&name),
            Action::Judge { image, winner, loser, verdict } => self.judge(image, winner, loser, verdict),
            Action::JudgeBlindly(judgement) => {
                self.record_blindly(&judgement, false);
                self.history.push(Edit::Judgement { judgement });
            }
            Action::SetSplit { images, split } => self.set_split(&images, split),
            Action::SetPrompt { images, prompt } => self.set_prompt(&images, prompt),
            Action::Remove(images) => {
                let edit = Edit::Removed { images: images.clone() };
                self.state.log.offer(self.state.now_secs, edit.name(), Offer::Undo);
                self.history.push(edit);
                self.start_job(Job::SetRemoved { images, removed: true });
            }
            Action::OfferToAdd(paths) => self.offer_to_add(paths),
            Action::OfferCandidates(dir) => self.offer_candidates(dir),
            Action::CandidatesSide { path, is_hr } => self.incoming.set_side(path, is_hr),
            Action::Ask(ask) => self.dialogs.open(ask),
            Action::ModelFile { path, is_adapter } => self.model_window.chosen(path, is_adapter),
            Action::Add(request) => self.start_job(Job::Add(request)),
            Action::OpenWorkspace(dir) => self.open_workspace(&dir),
            Action::CreateWorkspace { dir, example } => self.create_workspace(&dir, example),
            Action::LoadRecipe(path) => self.load_recipe(&path),
            Action::SaveRecipe(path) => self.save_recipe_as(&path),
            Action::ExportComparison { compared, format } => {
                self.dialogs.open(Ask::ExportComparison { compared, format });
            }
            Action::ExportWeights { checkpoint } => {
                self.dialogs.open(Ask::ExportWeights { checkpoint });
            }
            Action::Show(kind) => self.show(kind),
            Action::ShowCandidate(kind) => {
                match kind {
                    PaneKind::Heatmaps => self.panes.heatmaps.show_maps(),
                    PaneKind::Pairs => self.panes.pairs.show_image(),
                    _ => {}
                }
                self.show(kind);
            }
            Action::Say(level, text) => self.say(level, text),
        }
        ctx.request_repaint();
    }

    /// Replaces the recipe as edited, as one step of undo with others of the same gesture.
    pub(super) fn edit_recipe(&mut self, recipe: Recipe, what: String) {
        self.edit_recipe_by(recipe, what, None);
    }

    /// Takes the recipe of a preset; undo brings back the one before with its name.
    fn take_preset(&mut self, name: &str) {
        let Ok(recipe) = presets::preset(name) else { return };
        let names = [self.state.recipe.preset_name.clone(), name.to_owned()];
        self.history.end_gesture();
        self.edit_recipe_by(recipe, format!("preset {name}"), Some(names));
        self.history.end_gesture();
    }

    fn edit_recipe_by(&mut self, recipe: Recipe, what: String, presets: Option<[String; 2]>) {
        let before = Box::new(self.state.recipe.edited.clone());
        if let Some([_, name]) = &presets {
            self.state.set_preset(name);
        }
        if *before == recipe && presets.as_ref().is_none_or(|[old, new]| old == new) {
            return;
        }
        if !self.history.would_join(&what) {
            self.state.recipe.before_edit = Some(before.clone());
        }
        self.history.push(Edit::Recipe { before, after: Box::new(recipe.clone()), what, presets });
        self.state.edit_recipe(recipe);
        self.edited_secs = Some(self.state.now_secs);
    }

    /// Records a verdict of the rater, or takes it back.
    fn judge(&mut self, image: ImageId, winner_seed: u64, loser_seed: u64, verdict: Option<Verdict>) {
        let (rater, kind) = (self.panes.pairs.rater().to_owned(), verdict.unwrap_or(Verdict::Exclude).into());
        let said = PairOverride { image, winner_seed, loser_seed, kind, rater };
        let before = self.state.judgements.verdict_of(&said.rater, &said.pair()).cloned().map(Box::new);
        self.record(&said, verdict.is_none());
        self.history.push(Edit::Verdict { verdict: Box::new(said), is_taken_back: verdict.is_none(), before });
    }

    /// Known at once; the workspace has it a moment later.
    fn record(&mut self, verdict: &PairOverride, is_taken_back: bool) {
        let Some(set) = self.state.library.as_ref().and_then(|library| library.set.clone()) else { return };
        self.state.judgements = Arc::new(self.state.judgements.with_verdict(verdict, is_taken_back));
        self.start_job(Job::Judge { set, verdict: Box::new(verdict.clone()), is_taken_back });
    }

    /// Shown at once; the workspace has it a moment later.
    fn record_blindly(&mut self, judgement: &Judgement, is_taken_back: bool) {
        let Some(set) = self.state.library.as_ref().and_then(|library| library.set.clone()) else { return };
        self.state.judgements = Arc::new(self.state.judgements.edited(judgement, is_taken_back));
        self.start_job(Job::JudgeBlindly { set, judgement: Box::new(judgement.clone()), is_taken_back });
    }

    pub(super) fn undo(&mut self) {
        match self.history.undo() {
            Some(edit) => self.revert(edit, true),
            None => self.say(Level::Info, "There is nothing to undo"),
        }
    }

    pub(super) fn redo(&mut self) {
        match self.history.redo() {
            Some(edit) => self.revert(edit, false),
            None => self.say(Level::Info, "There is nothing to redo"),
        }
    }

    fn revert(&mut self, edit: Edit, undo: bool) {
        let name = edit.name();
        match edit {
            Edit::Recipe { before, after, presets, .. } => {
                if let Some([old, new]) = &presets {
                    self.state.set_preset(if undo { old } else { new });
                }
                // What it brought and took away is said of an edit, not of its undoing.
                self.state.recipe.before_edit = None;
                self.state.edit_recipe(if undo { *before } else { *after });
                self.edited_secs = Some(self.state.now_secs);
            }
            Edit::Verdict { verdict, is_taken_back, before } => match (undo, before) {
                (true, Some(before)) => self.record(&before, false),
                (true, None) => self.record(&verdict, true),
                (false, _) => self.record(&verdict, is_taken_back),
            },
            Edit::Judgement { judgement } => self.record_blindly(&judgement, undo),
            Edit::Split { before, after } => {
                let again = |(image, before): (_, _)| (image, if undo { before } else { after });
                self.start_job(Job::SetSplits(before.into_iter().map(again).collect()));
            }
            Edit::Prompt { before, after } => {
                let again = |(image, before): (_, _)| (image, if undo { before } else { after.clone() });
                self.start_job(Job::SetPrompts(before.into_iter().map(again).collect()));
            }
            Edit::Removed { images } => self.start_job(Job::SetRemoved { images, removed: !undo }),
        }
        self.say(Level::Info, format!("{}: {name}", if undo { "Undone" } else { "Redone" }));
    }

    fn load_recipe(&mut self, path: &Path) {
        match Recipe::load(path) {
            Ok(recipe) => self.edit_recipe(recipe, format!("recipe {}", path.display())),
            Err(error) => self.say(Level::Error, error.to_string()),
        }
    }

    fn save_recipe_as(&mut self, path: &Path) {
        let path = path.with_extension("ron");
        let written = self.state.recipe.edited.to_ron();
        let written = written.and_then(|text| output::write(&path, text.as_bytes()));
        match written {
            Ok(()) => self.say(Level::Info, format!("Recipe saved as {}", path.display())),
            Err(error) => self.say(Level::Error, error.to_string()),
        }
    }

    pub(super) fn reset_recipe(&mut self) {
        let (preset, name) = (self.state.recipe.preset.clone(), self.state.recipe.preset_name.clone());
        self.edit_recipe(preset, format!("reset to {name}"));
        self.history.end_gesture();
    }

    pub(super) fn toggle_held_out(&mut self) {
        let images: Vec<ImageId> = self.state.selection.images.iter().copied().collect();
        let is_held_out = |id: &ImageId| self.state.image(*id).is_some_and(ImageRow::is_held_out);
        let split = if images.iter().all(is_held_out) { SplitChoice::default() } else { SplitChoice::ByRule };
        // What is held out already stays what it is.
        let images = images.into_iter().filter(|id| is_held_out(id) != split.is_held_out()).collect();
        self.act(Action::SetSplit { images, split });
    }

    /// Fixes what the selected images are for.
    pub(super) fn hold_out_for(&mut self, split: Split) {
        let images = self.state.selection.images.iter().copied().collect();
        self.act(Action::SetSplit { images, split: SplitChoice::Fixed(split) });
    }

    fn set_split(&mut self, images: &[ImageId], split: SplitChoice) {
        let Some(library) = &self.state.library else { return };
        // With all of their sources, so that undo brings back what was.
        let groups = same_source(library.images.iter().map(ImageRow::hashes));
        let of_one = |group: &Vec<usize>| group.iter().any(|&at| images.contains(&library.images[at].id));
        let with_them = groups.into_iter().filter(of_one).flatten().map(|at| &library.images[at]);
        let before: Vec<_> = with_them.filter(|i| i.choice() != split).map(|i| (i.id, i.choice())).collect();
        let others = before.iter().filter(|(id, _)| !images.contains(id)).count();
        if others > 0 {
            let text = format!("{} of the same photograph with them", format::counted(others, "other image"));
            self.say(Level::Info, text);
        }
        self.start_job(Job::SetSplits(before.iter().map(|(id, _)| (*id, split)).collect()));
        self.history.push(Edit::Split { before, after: split });
    }

    fn set_prompt(&mut self, images: &[ImageId], prompt: String) {
        let all = images.iter().filter_map(|id| self.state.image(*id));
        let before: Vec<_> = all.filter(|image| image.prompt != prompt).map(|i| (i.id, i.prompt.clone())).collect();
        if !before.is_empty() {
            self.start_job(Job::SetPrompts(before.iter().map(|(id, _)| (*id, prompt.clone())).collect()));
            self.history.push(Edit::Prompt { before, after: prompt });
        }
    }

    pub(super) fn remove_selected(&mut self) {
        let images = self.state.selection.images.iter().copied().collect();
        self.act(Action::Remove(images));
    }

    pub(super) fn generate_selected(&mut self) {
        let images: Vec<ImageId> = self.state.selection.images.iter().copied().collect();
        self.act(Action::Start(Job::Generate { images: (!images.is_empty()).then_some(images) }));
    }

    /// Goes to another image, in the order the library shows them, or the comparison in front.
    pub(super) fn step_image(&mut self, by: isize) {
        if self.front == PaneKind::Compare && self.panes.compare.has_shown() {
            let id = if by < 0 { CommandId::PreviousImage } else { CommandId::NextImage };
            return self.pane_command(id);
        }
        let order = self.panes.library.order(&self.state);
        let at = order.iter().position(|id| Some(*id) == self.state.selection.image);
        let next = match at {
            Some(at) => at.saturating_add_signed(by).min(order.len().saturating_sub(1)),
            None => 0,
        };
        if let Some(&image) = order.get(next) {
            self.state.selection.image = Some(image);
            self.state.selection.images = [image].into();
            self.panes.library.scroll_to_selected();
        }
    }

    pub(super) fn train(&mut self) {
        self.show(PaneKind::Training);
        self.act(Action::Start(Job::Train { run: None, allow_partial: false }));
    }

    pub(super) fn training_command(&mut self, id: CommandId) {
        self.show(PaneKind::Training);
        self.front = PaneKind::Training;
        self.pane_command(id);
    }

    pub(super) fn compare_last(&mut self) {
        let run = self.state.library.as_ref().and_then(|library| {
            let imported = || library.others_imported().last().map(|row| row.import_name());
            library.runs.last().map(|run| run.name.clone()).or_else(imported)
        });
        if let Some(run) = run {
            self.show(PaneKind::Compare);
            self.act(Action::Start(Job::Compare { a: "reference".into(), b: run, seeds: None, on: On::Test }));
        }
    }

    pub(super) fn toggle_pause(&mut self) {
        let Some(id) = self.state.jobs.current().map(|job| job.id) else { return };
        if let Err(error) = self.client.set_paused(id, !self.state.is_paused()) {
            self.say(Level::Error, error.to_string());
        }
    }

    fn carry_out_cancel(&mut self, id: JobId) {
        if let Err(error) = self.client.cancel(id) {
            self.say(Level::Error, error.to_string());
        }
    }

    pub(super) fn cancel_current(&mut self) {
        let id = self.state.jobs.current().or_else(|| self.state.jobs.active().next()).map(|job| job.id);
        let Some(id) = id else { return };
        self.carry_out_cancel(id);
    }

    pub(super) fn show(&mut self, kind: PaneKind) {
        layout::show(&mut self.tree, kind);
    }

    pub(super) fn toggle_log(&mut self) {
        layout::toggle(&mut self.tree, PaneKind::Log);
    }

    pub(super) fn reset_layout(&mut self) {
        (self.tree, self.session.width) = (layout::default_tree(), layout::DEFAULT_WIDTH);
    }

    pub(super) fn scale_cells(&mut self, factor: f32) {
        let points = self.panes.seeds.cell_points() * factor;
        self.panes.seeds.set_cell_points(points);
    }

    pub(super) fn toggle_theme(&mut self, ctx: &Context) {
        self.session.is_dark = !self.session.is_dark;
        ctx.set_theme(theme_of(self.session.is_dark));
    }

    pub(super) fn change_font(&mut self, ctx: &Context, by: f32) {
        self.session.set_font_size(self.session.font_size + by);
        theme::install(ctx, self.session.font_size);
    }

    /// Changes the zoom; 0 resets it.
    pub(super) fn zoom(&mut self, ctx: &Context, by: f32) {
        self.session.set_zoom(if by == 0.0 { 1.0 } else { self.session.zoom + by });
        ctx.set_zoom_factor(self.session.zoom);
    }
}
