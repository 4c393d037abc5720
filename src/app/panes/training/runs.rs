//! The runs with their state and best score, and the checkpoints of the selected one.

use egui::accesskit::Role;
use egui::{Align, Color32, Label, Layout, Response, RichText, ScrollArea, Sense, Ui, vec2};

use crate::app::actions::{Action, Cx};
use crate::app::dialogs::Ask;
use crate::app::pane_kind::PaneKind;
use crate::app::theme::{Palette, space};
use crate::app::{format, widgets};
use crate::engine::protocol::{Job, Library, TableOf};
use crate::method::provenance::On;
use crate::workspace::{CheckpointRow, RunId, RunRow, RunState};

/// The colour of a run: the same wherever it is drawn, by its number.
pub fn color_of(p: &Palette, run: RunId) -> Color32 {
    p.series[(run.0.unsigned_abs() as usize).wrapping_sub(1) % p.series.len()]
}

/// Draws the runs, newest first; `shown` are those whose curves are drawn, `selected` the one looked at.
pub fn ui(ui: &mut Ui, cx: &mut Cx, library: &Library, shown: &mut Vec<RunId>, selected: &mut Option<RunId>) {
    ui.horizontal(|ui| {
        widgets::section(ui, "Runs");
        if library.runs.len() > 1 {
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                let is_all = shown.len() == library.runs.len();
                let hint =
                    if is_all { "Draw the curves of the selected run alone" } else { "Draw the curves of all runs" };
                let button = ui.small_button(if is_all { "One" } else { "All" }).on_hover_text(hint);
                widgets::name(&button, Role::Button, "Overlay all runs");
                if button.clicked() {
                    super::overlay(library, shown, *selected);
                }
            });
        }
    });
    let height = (ui.available_height() * 0.45).max(80.0);
    ScrollArea::vertical().id_salt("runs").max_height(height).auto_shrink([false, true]).show(ui, |ui| {
        for run in library.runs.iter().rev() {
            run_ui(ui, cx, library, run, shown, selected);
        }
    });
    ui.add_space(space::S);
    let Some(run) = library.runs.iter().find(|run| Some(run.id) == *selected) else { return };
    ui.separator();
    ui.horizontal(|ui| {
        widgets::section(ui, "Checkpoints");
        ui.label(RichText::new(&run.name).color(cx.palette.text_weak));
    });
    if let Some(partial) = run.partial() {
        let text = format!("Made of groups that were not whole: {partial}");
        ui.add(Label::new(RichText::new(text).small().color(cx.palette.warning)).wrap());
    }
    if let Some(message) = &run.message {
        ui.add(Label::new(RichText::new(message).small().color(cx.palette.warning)).wrap());
    }
    let rows: Vec<&CheckpointRow> = library.checkpoints.iter().filter(|c| c.run == Some(run.id)).collect();
    if rows.is_empty() {
        ui.label(RichText::new("None yet; the recipe's checkpoint interval says when.").color(cx.palette.text_weak));
    }
    ScrollArea::vertical().id_salt("checkpoints").auto_shrink(false).show(ui, |ui| {
        for row in rows.iter().rev() {
            checkpoint_ui(ui, cx, run, row, library.best.contains(&row.id));
        }
    });
}

fn run_ui(
    ui: &mut Ui,
    cx: &mut Cx,
    library: &Library,
    run: &RunRow,
    shown: &mut Vec<RunId>,
    selected: &mut Option<RunId>,
) {
    let p = cx.palette;
    let height = ui.spacing().interact_size.y * 1.7;
    let (row, response) = ui.allocate_exact_size(vec2(ui.available_width(), height), Sense::click());
    widgets::name(&response, Role::Row, &run.name);
    if *selected == Some(run.id) {
        ui.painter().rect_filled(row, 4.0, p.selected);
    } else if response.hovered() {
        ui.painter().rect_filled(row, 4.0, p.raised);
    }
    if response.clicked() {
        *selected = Some(run.id);
        if !shown.contains(&run.id) {
            shown.push(run.id);
        }
    }
    menu(&response, cx, &run.name);
    let inside = row.shrink2(vec2(space::XS, 2.0));
    let mut ui = ui.new_child(egui::UiBuilder::new().max_rect(inside).layout(Layout::left_to_right(Align::Center)));
    let mut is_shown = shown.contains(&run.id);
    let swatch = ui.checkbox(&mut is_shown, "").on_hover_text("Draw its curves");
    widgets::name(&swatch, Role::CheckBox, &format!("Show {}", run.name));
    if swatch.changed() {
        shown.retain(|id| *id != run.id);
        if is_shown {
            shown.push(run.id);
        }
    }
    let color = if is_shown { color_of(p, run.id) } else { p.text_faint };
    let (mark, _) = ui.allocate_exact_size(vec2(10.0, 10.0), Sense::hover());
    ui.painter().rect_filled(mark, 3.0, color);
    ui.with_layout(Layout::top_down(Align::Min), |ui| {
        ui.spacing_mut().item_spacing.y = 1.0;
        ui.add(Label::new(RichText::new(&run.name).color(p.text)).truncate().selectable(false));
        let is_best = |c: &&CheckpointRow| c.run == Some(run.id) && library.best.contains(&c.id);
        let best = library.checkpoints.iter().find(is_best).and_then(|c| c.held_out_reward).unwrap_or(f64::NAN);
        let steps = cx.state.curves.get(&run.id).and_then(|c| c.steps.last()).map(|row| row.step);
        let steps = steps.map_or(String::new(), |step| format!(", step {step}"));
        let score = if best.is_nan() { String::new() } else { format!(", best {}", format::reward(best)) };
        let text = RichText::new(format!("{}{steps}{score}", run.state)).small().color(state_color(p, run.state));
        ui.add(Label::new(text).truncate().selectable(false));
    });
}

/// What can be done with a run, by a right click.
pub fn menu(response: &Response, cx: &mut Cx, run: &str) {
    response.context_menu(|ui| {
        if ui.button("Export its steps…").clicked() {
            cx.act(Action::Ask(Ask::ExportTable(TableOf::Run(run.to_owned()))));
            ui.close();
        }
    });
}

fn state_color(p: &Palette, state: RunState) -> Color32 {
    match state {
        RunState::Failed => p.error,
        RunState::Collapsed => p.warning,
        _ => p.text_weak,
    }
}

fn checkpoint_ui(ui: &mut Ui, cx: &mut Cx, run: &RunRow, row: &CheckpointRow, is_best: bool) {
    let p = cx.palette;
    let path = cx.state.opened.as_ref().zip(row.path.as_ref()).map(|(opened, path)| path.under(&opened.root));
    let response = ui.horizontal(|ui| {
        let text = Label::new(RichText::new(format!("step {}", row.step)).color(p.text));
        let size = vec2(52.0, ui.spacing().interact_size.y);
        ui.allocate_ui_with_layout(size, Layout::left_to_right(Align::Center), |ui| {
            ui.set_min_width(size.x);
            ui.add(text)
        });
        let score = row.held_out_reward.map_or_else(|| "–".into(), format::reward);
        let (score, color) = match () {
            () if row.file_missing => ("file missing".into(), p.error),
            () if is_best => (format!("{score} ◆"), p.winner),
            () => (score, p.text_weak),
        };
        ui.label(RichText::new(score).color(color)).on_hover_text(
            "Mean reward when it was evaluated, on the validation images; ◆ the best of the run on those there are now",
        );
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            let compare = ui.small_button("Compare").on_hover_text("Sets it against the reference");
            widgets::name(&compare, Role::Button, &format!("Compare step {}", row.step));
            if compare.clicked() {
                let b = format!("{}@{}", run.name, row.step);
                cx.act(Action::Start(Job::Compare { a: "reference".into(), b, seeds: None, on: On::Test }));
                cx.act(Action::Show(PaneKind::Compare));
            }
        });
    });
    let Some(path) = path else { return };
    let hint = "Right click: copy the path of its file, or export all weights for other programs";
    response.response.interact(Sense::click()).on_hover_text(hint).context_menu(|ui| {
        if ui.button("Copy path").clicked() {
            ui.ctx().copy_text(path.display().to_string());
            ui.close();
        }
        if ui.button("Export weights…").clicked() {
            cx.act(Action::ExportWeights { checkpoint: format!("{}@{}", run.name, row.step) });
            ui.close();
        }
    });
}
