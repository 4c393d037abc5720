//! Runs: started, watched, stopped.
//!
//! * [`quantity`]: what is drawn. [`series`]: curves as they are drawn. [`plots`]: the plots.
//! * [`runs`]: runs and checkpoints, [`table`]: the runs side by side. [`previews`]: a fixed seed over the steps.

mod plots;
mod previews;
mod quantity;
mod runs;
mod series;
mod table;

use egui::{Align, Layout, RichText, Slider, Ui, vec2};

use crate::app::actions::{Cx, Pane};
use crate::app::commands::CommandId;
use crate::app::state::jobs::{Kind, Phase};
use crate::app::state::{Stage, State};
use crate::app::theme::{self, space};
use crate::app::{format, widgets};
use crate::engine::protocol::{Level, Library};
use crate::method::alarms::{self, Alarm};
use crate::method::learning::Verdict;
use crate::workspace::{RunId, Split};

/// Width of the list of runs, in points.
const LIST: f32 = 212.0;

/// The Training tab.
#[derive(Default)]
pub struct TrainingPane {
    plots: plots::Plots,
    previews: previews::Previews,
    table: table::RunTable,
    /// The runs as a table instead of the curves.
    shows_table: bool,
    /// The run that the line over the curves was asked for, and the version of its curves.
    learning: Option<(RunId, u64)>,
    shown: Vec<RunId>,
    selected: Option<RunId>,
    /// Runs that were seen before; a new one is selected.
    known: usize,
    /// Alarms of a run, and the version of its curves they follow from.
    alarms: Option<(RunId, u64, Vec<Alarm>)>,
    /// Alarms that were said, each once.
    said: Vec<(RunId, String)>,
}

impl Pane for TrainingPane {
    fn ui(&mut self, ui: &mut Ui, cx: &mut Cx) {
        let library = cx.state.library.clone();
        let Some(library) = library.filter(|library| !library.runs.is_empty()) else {
            self.empty_ui(ui, cx);
            return;
        };
        if library.runs.len() != self.known {
            self.known = library.runs.len();
            self.shown.retain(|id| library.runs.iter().any(|run| run.id == *id));
            self.selected = library.runs.last().map(|run| run.id);
            self.shown.extend(self.selected.filter(|id| !self.shown.contains(id)));
        }
        self.tools_ui(ui, cx);
        self.learning_ui(ui, cx);
        self.alarms_ui(ui, cx);
        ui.add_space(space::XS);
        if self.shows_table {
            // It has the names, and needs the width for what the recipes differ in.
            self.table.ui(ui, cx, &library, &mut self.selected);
            return;
        }
        let size = ui.available_size();
        ui.horizontal_top(|ui| {
            ui.spacing_mut().item_spacing.x = space::M;
            let list = vec2(LIST.min(size.x * 0.4), size.y);
            ui.allocate_ui_with_layout(list, Layout::top_down(Align::Min), |ui| {
                runs::ui(ui, cx, &library, &mut self.shown, &mut self.selected);
            });
            ui.vertical(|ui| {
                let has_previews = library.set.is_some() && library.images.iter().any(|i| i.split == Split::Validation);
                let below = if has_previews { (size.y * 0.26).clamp(96.0, 260.0) } else { 0.0 };
                let above = vec2(ui.available_width(), size.y - below - space::M);
                ui.allocate_ui(above, |ui| self.plots.ui(ui, cx, &self.shown));
                if let Some(run) = self.selected.filter(|_| has_previews) {
                    ui.separator();
                    self.previews.ui(ui, cx, &library, run);
                }
            });
        });
    }

    fn command(&mut self, id: CommandId, cx: &mut Cx) {
        match (id, &cx.state.library) {
            (CommandId::OverlayRuns, Some(library)) => overlay(library, &mut self.shown, self.selected),
            (CommandId::RunTable, _) => self.shows_table = !self.shows_table,
            _ => {}
        }
    }
}

/// Shows the curves of all runs, or where they are shown those of the selected one alone.
fn overlay(library: &Library, shown: &mut Vec<RunId>, selected: Option<RunId>) {
    let all = library.runs.iter().map(|run| run.id);
    *shown = if shown.len() < library.runs.len() { all.collect() } else { selected.into_iter().collect() };
}

impl TrainingPane {
    /// The run that is looked at.
    pub fn selected(&self) -> Option<RunId> {
        self.selected
    }

    fn empty_ui(&mut self, ui: &mut Ui, cx: &mut Cx) {
        let text = "A run fine-tunes the policy on the pairs of the recipe. Its curves, its checkpoints and previews of \
                    fixed seeds appear here while it goes on.";
        let (text, button) = match cx.state.stage() {
            Stage::Closed => ("Open a workspace first.", None),
            Stage::Empty => (text, Some(CommandId::AddImages)),
            Stage::Images => (text, Some(CommandId::Generate)),
            Stage::Scored | Stage::Trained => (text, Some(CommandId::Train)),
        };
        let title = button.map(|id| crate::app::commands::command(id).title);
        if widgets::empty_state(ui, "↗", "No runs yet", text, title)
            && let Some(id) = button
        {
            cx.run(id);
        }
    }

    fn tools_ui(&mut self, ui: &mut Ui, cx: &mut Cx) {
        ui.horizontal(|ui| {
            controls_ui(ui, cx);
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                ui.toggle_value(&mut self.shows_table, "Table")
                    .on_hover_text("All runs side by side with what their recipes differ in");
                ui.toggle_value(&mut self.plots.is_log, "log y")
                    .on_hover_text("Logarithmic loss, gradient norm and learning rate");
                ui.spacing_mut().slider_width = 96.0;
                let slider = Slider::new(&mut self.plots.smoothing, 0.0..=0.99).fixed_decimals(2);
                widgets::slider(ui, slider, "Smoothing")
                    .on_hover_text("Weight of the past in a moving average; evaluations are not smoothed");
                ui.label(RichText::new("Smoothing").color(cx.palette.text_weak));
            });
        });
    }

    /// Whether the selected run is learning, in one line.
    fn learning_ui(&mut self, ui: &mut Ui, cx: &mut Cx) {
        let Some(run) = self.selected else { return };
        let curves = cx.state.curves_of(run);
        let (version, has_both) = (curves.version, curves.start_and_last().is_some());
        if !has_both {
            return;
        }
        if self.learning != Some((run, version)) {
            self.learning = Some((run, version));
            cx.state.wants.learning.insert(run);
        }
        let Some(learning) = cx.state.learning.get(&run) else { return };
        let p = cx.palette;
        let color = match learning.verdict() {
            Verdict::Learning if !learning.hallucinates => p.winner,
            Verdict::Learning => p.warning,
            Verdict::Worse => p.loser,
            Verdict::WithinNoise | Verdict::TooFewPhotographs => p.text_weak,
        };
        let text = RichText::new(learning.line()).font(theme::strong(13.5)).color(color);
        let of =
            learning.interval.map_or("images of one validation photograph, which gives no interval".into(), |known| {
                let [images, photographs] = [(known.images, "validation image"), (known.photographs, "photograph")]
                    .map(|(n, of)| format::counted(n, of));
                format!("{images} of {photographs}")
            });
        let hint = format!(
            "From the start of the run to its last evaluation, on {of}. In brackets the 95 % interval of the gain over \
             photographs; σ is the spread over seeds at the start."
        );
        ui.add(egui::Label::new(text).truncate()).on_hover_text(hint);
    }

    /// What should be looked at in the selected run; said once as a toast too.
    fn alarms_ui(&mut self, ui: &mut Ui, cx: &mut Cx) {
        let Some(run) = self.selected else { return };
        let version = cx.state.curves_of(run).version;
        if self.alarms.as_ref().is_none_or(|(of, v, _)| (*of, *v) != (run, version)) {
            self.alarms = Some((run, version, alarms_of(cx.state, run)));
        }
        let Some((_, _, alarms)) = &self.alarms else { return };
        let is_training = cx.state.jobs.is_active(&[Kind::Train, Kind::Run]);
        for alarm in alarms {
            let text = alarm.text();
            let color = if matches!(alarm, Alarm::Spike { .. }) { cx.palette.warning } else { cx.palette.error };
            ui.label(RichText::new(format!("⚠ {text}")).color(color));
            let said = (run, text);
            if is_training && !self.said.contains(&said) {
                cx.act(crate::app::actions::Action::Say(Level::Warning, said.1.clone()));
                self.said.push(said);
            }
        }
    }
}

/// Start, pause, resume, stop.
fn controls_ui(ui: &mut Ui, cx: &mut Cx) {
    let job = cx.state.jobs.active().find(|job| matches!(job.kind, Kind::Train | Kind::Run));
    let Some(phase) = job.map(|job| job.phase.clone()) else {
        let hint = "Goes on with the run of these settings and pairs, or begins a new one: no run is overwritten";
        if widgets::primary_button(ui, "Train").on_hover_text(hint).clicked() {
            cx.run(CommandId::Train);
        }
        if let Some(text) = &cx.state.restart {
            let label = egui::Label::new(RichText::new("begins a new run").small().color(cx.palette.warning));
            ui.add(label).on_hover_text(text);
        }
        return;
    };
    let is_paused = phase == Phase::Paused;
    if ui.button(if is_paused { "Resume run" } else { "Pause run" }).clicked() {
        cx.run(CommandId::PauseResume);
    }
    if ui.button("Stop run").on_hover_text("Within one step; the run can be resumed with Train").clicked() {
        cx.run(CommandId::Cancel);
    }
}

fn alarms_of(state: &State, run: RunId) -> Vec<Alarm> {
    let Some(curves) = state.curves.get(&run) else { return Vec::new() };
    let losses: Vec<(u32, f64)> = curves.steps.iter().map(|row| (row.step, row.loss)).collect();
    let norms: Vec<(u32, f64)> = curves.steps.iter().map(|row| (row.step, row.grad_norm)).collect();
    let evaluations: Vec<_> = curves.comparable().map(|e| (e.step, &e.report)).collect();
    // Without the start on the same images there is nothing to fall below.
    let has_start = evaluations.first().is_some_and(|(step, _)| *step == 0);
    let mut all = if has_start { alarms::of_evaluations(&evaluations) } else { Vec::new() };
    all.extend(alarms::of_steps("the loss", &losses));
    all.extend(alarms::of_steps("the gradient norm", &norms));
    all
}
