//! The bars around the panes: on top what is open and what runs, at the bottom what was said last.

use egui::{Align, Button, Frame, Label, Layout, Margin, Panel, ProgressBar, RichText, ScrollArea, Ui, vec2};

use super::actions::{Action, Cx};
use super::commands::{self, CommandId, Menu};
use super::format;
use super::session::Session;
use super::state::State;
use super::state::jobs::{JobEntry, Phase};
use super::theme::{self, STATUS_HEIGHT, TOP_BAR_HEIGHT, space};
use super::toasts::{level_color, level_mark};
use super::widgets;
use crate::engine::devices::Choice;
use crate::engine::protocol::{Job, Level};

/// Draws the bar on top.
pub fn top_bar(ui: &mut Ui, cx: &mut Cx, session: &Session) {
    let frame = Frame::new().fill(cx.palette.backdrop).inner_margin(Margin::symmetric(10, 0));
    Panel::top("top bar").exact_size(TOP_BAR_HEIGHT).frame(frame).show(ui, |ui| {
        ui.horizontal_centered(|ui| {
            menus(ui, cx, session);
            ui.add_space(space::S);
            // What is done comes first; the names before it are cut off where there is no room for both.
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                job_ui(ui, cx);
                ui.add_space(space::S);
                ui.with_layout(Layout::left_to_right(Align::Center), |ui| workspace_ui(ui, cx));
            });
        });
    });
}

fn menus(ui: &mut Ui, cx: &mut Cx, session: &Session) {
    ui.scope(|ui| {
        ui.spacing_mut().item_spacing.x = 0.0;
        ui.spacing_mut().button_padding.x = 8.0;
        let inactive = &mut ui.visuals_mut().widgets.inactive;
        inactive.weak_bg_fill = egui::Color32::TRANSPARENT;
        inactive.bg_stroke = egui::Stroke::NONE;
        for menu in [Menu::File, Menu::Edit, Menu::Run, Menu::View, Menu::Help] {
            ui.menu_button(menu.title(), |ui| {
                ui.set_min_width(300.0);
                // The longest is whole in the smallest window; with large letters it scrolls.
                ui.spacing_mut().item_spacing.y = 1.0;
                let room = ui.ctx().content_rect().height() - TOP_BAR_HEIGHT - space::L;
                ScrollArea::vertical().max_height(room).min_scrolled_height(room).show(ui, |ui| {
                    commands::all().iter().filter(|c| c.menu == menu).for_each(|command| command_item(ui, cx, command));
                });
                if menu == Menu::Run {
                    ui.separator();
                    devices_ui(ui, cx);
                }
                if menu == Menu::File {
                    ui.separator();
                    for menu in [Menu::Import, Menu::Export] {
                        ui.menu_button(menu.title(), |ui| {
                            ui.set_min_width(300.0);
                            let of_menu = commands::all().iter().filter(|c| c.menu == menu);
                            of_menu.for_each(|command| command_item(ui, cx, command));
                        });
                    }
                }
                if menu == Menu::File && !session.recent.is_empty() {
                    ui.separator();
                    ui.menu_button("Recent workspaces", |ui| {
                        for root in &session.recent {
                            if ui.button(root.display().to_string()).clicked() {
                                cx.act(Action::OpenWorkspace(root.clone()));
                            }
                        }
                    });
                }
            });
        }
    });
}

/// What to compute on; what the program was not built for is named as such.
fn devices_ui(ui: &mut Ui, cx: &mut Cx) {
    let Some(opened) = cx.state.opened.clone() else { return };
    ui.menu_button("Compute on", |ui| {
        for choice in &opened.devices {
            let title = match choice {
                Choice::Best => "Automatic".to_owned(),
                Choice::Cpu => "CPU".to_owned(),
                Choice::Cuda(number) => format!("CUDA {number}"),
                Choice::Metal(number) => format!("Metal {number}"),
                Choice::Cpus(count) => format!("CPU as {count} devices"),
                Choice::Cudas(numbers) => {
                    let numbers: Vec<String> = numbers.iter().map(usize::to_string).collect();
                    format!("CUDA {} together", numbers.join(", "))
                }
            };
            if ui.radio(cx.state.device == *choice, title).clicked() {
                cx.act(Action::Start(Job::ComputeOn(choice.clone())));
                ui.close();
            }
        }
        if !opened.devices.iter().any(|choice| matches!(choice, Choice::Cuda(_) | Choice::Cudas(_) | Choice::Metal(_)))
        {
            let why = match cfg!(any(feature = "cuda", feature = "metal")) {
                true => "No GPU was found.",
                false => "This program was built without CUDA and Metal.",
            };
            ui.weak(why);
        }
    });
}

fn command_item(ui: &mut Ui, cx: &mut Cx, command: &commands::Command) {
    let refusal = (command.enabled)(cx.state).err();
    let mut button = Button::new(command.title);
    if let Some(shortcut) = command.shortcuts.first() {
        button = button.shortcut_text(format::shortcut(ui.ctx(), shortcut));
    }
    let mut response = ui.add_enabled(refusal.is_none(), button);
    if let Some(refusal) = refusal {
        response = response.on_disabled_hover_text(refusal);
    } else if !command.hint.is_empty() {
        response = response.on_hover_text(command.hint);
    }
    if response.clicked() {
        cx.run(command.id);
    }
}

fn workspace_ui(ui: &mut Ui, cx: &mut Cx) {
    let p = cx.palette;
    ui.spacing_mut().item_spacing.x = space::S;
    ui.separator();
    let Some(opened) = cx.state.opened.clone() else {
        match &cx.state.opening {
            Some(dir) => {
                ui.spinner();
                ui.label(RichText::new(format!("Opening {}", dir.display())).color(p.text_weak));
            }
            None => drop(ui.label(RichText::new("No workspace").color(p.text_weak))),
        }
        return;
    };
    let name =
        opened.root.file_name().map_or_else(|| opened.root.display().to_string(), |n| n.to_string_lossy().into());
    let title = RichText::new(format::short(&name, 28)).font(theme::strong(14.0)).color(p.text);
    ui.add(Label::new(title).truncate()).on_hover_text(format!("Workspace {}", opened.root.display()));
    if let Some(holder) = &opened.held_by {
        let hint = format!("{holder} writes this workspace. It opens for writing here as soon as that ends.");
        widgets::badge(ui, "read only", p.warning).on_hover_text(hint);
    }
    let weak = |text: String| RichText::new(text).color(p.text_weak);
    let checkpoint = checkpoint_in_use(cx.state);
    let recipe = &cx.state.recipe.edited;
    let backbone = if recipe.imported().is_some() { "imported" } else { recipe.sampling.backbone.as_str() };
    ui.add(Label::new(weak(format!("{backbone} · {checkpoint}"))).truncate())
        .on_hover_text("Backbone, and the checkpoint whose candidates are shown");
    ui.add(Label::new(weak(format::short(&opened.device, 30))).truncate())
        .on_hover_text(format!("Computing on {}", opened.device));
}

fn checkpoint_in_use(state: &State) -> String {
    let name = || {
        let library = state.library.as_ref()?;
        let set = library.set.as_ref()?;
        Some(library.checkpoints.iter().find(|c| c.id == set.checkpoint)?.name.clone())
    };
    name().unwrap_or_else(|| "reference".into())
}

/// The job in progress, or the two things one does next. Drawn from right to left.
fn job_ui(ui: &mut Ui, cx: &mut Cx) {
    let shown = cx.state.jobs.current().filter(|job| !job.kind.is_quiet() || job.progress.is_some()).cloned();
    let Some(job) = shown else {
        for id in [CommandId::Compare, CommandId::Train, CommandId::Generate] {
            next_step_button(ui, cx, id);
        }
        if let Some((title, line)) = cx.state.jobs.last_incomplete() {
            widgets::badge(ui, &format!("{title}: incomplete"), cx.palette.warning).on_hover_text(line);
        }
        return;
    };
    if ui.button("Cancel").on_hover_text("Stops within one step; what was done is kept").clicked() {
        cx.run(CommandId::Cancel);
    }
    let is_paused = job.phase == Phase::Paused;
    let (text, hint) =
        if is_paused { ("Resume", "Goes on where it was held") } else { ("Pause", "Holds within one step") };
    if ui.button(text).on_hover_text(hint).clicked() {
        cx.run(CommandId::PauseResume);
    }
    progress_ui(ui, cx, &job);
    let waiting = cx.state.jobs.active().filter(|j| j.phase == Phase::Waiting && !j.kind.is_quiet()).count();
    if waiting > 0 {
        widgets::badge(ui, &format!("+{waiting} waiting"), cx.palette.text_weak);
    }
}

fn progress_ui(ui: &mut Ui, cx: &Cx, job: &JobEntry) {
    let p = cx.palette;
    let Some(progress) = cx.state.progress_of(job) else {
        ui.spinner();
        ui.label(RichText::new(format!("{}…", job.kind.title())).color(p.text_weak));
        return;
    };
    let eta = match progress.eta_secs {
        _ if job.phase == Phase::Paused => "paused".into(),
        Some(secs) => format!("{} left", format::duration(secs)),
        None => String::new(),
    };
    let rate = format::rate(progress.rate, progress.unit);
    ui.add(Label::new(RichText::new(format!("{rate}   {eta}")).color(p.text_weak)).selectable(false));
    let fill = if job.phase == Phase::Paused { p.warning } else { p.accent };
    let bar = ProgressBar::new(progress.share() as f32).desired_width(150.0).desired_height(8.0).fill(fill);
    ui.add_sized(vec2(150.0, 10.0), bar);
    let text = match progress.total {
        0 => progress.stage.to_string(),
        total => {
            format!("{} {}/{}", progress.stage, format::count(progress.done as usize), format::count(total as usize))
        }
    };
    ui.add(Label::new(RichText::new(text).color(p.text)).selectable(false).truncate());
}

fn next_step_button(ui: &mut Ui, cx: &mut Cx, id: CommandId) {
    let command = commands::command(id);
    let title = match id {
        CommandId::Compare => "Compare",
        _ => command.title,
    };
    let refusal = (command.enabled)(cx.state).err();
    let is_next = refusal.is_none() && next_step(cx.state) == Some(id);
    let response = ui.add_enabled_ui(refusal.is_none(), |ui| {
        if is_next { widgets::primary_button(ui, title) } else { ui.button(title) }
    });
    let shortcut = command.shortcuts.first().map(|s| format::shortcut(ui.ctx(), s)).unwrap_or_default();
    let response = response.inner.on_hover_text(format!("{}  {shortcut}", command.hint));
    if let Some(refusal) = refusal {
        response.on_disabled_hover_text(refusal);
    } else if response.clicked() {
        cx.run(id);
    }
}

/// What a newcomer does next.
fn next_step(state: &State) -> Option<CommandId> {
    let (done, total) = state.candidates_done();
    if total == 0 {
        return None;
    }
    if done < total {
        return Some(CommandId::Generate);
    }
    let has_runs = state.library.as_ref().is_some_and(|l| !l.runs.is_empty());
    Some(if has_runs { CommandId::Compare } else { CommandId::Train })
}

/// Draws the line at the bottom.
pub fn status_bar(ui: &mut Ui, cx: &mut Cx) {
    let p = cx.palette;
    let frame = Frame::new().fill(p.backdrop).inner_margin(Margin::symmetric(12, 0));
    Panel::bottom("status bar").exact_size(STATUS_HEIGHT).frame(frame).show_separator_line(false).show(ui, |ui| {
        ui.horizontal_centered(|ui| {
            ui.spacing_mut().item_spacing.x = space::S;
            ui.spacing_mut().button_padding.y = 0.0;
            let unseen = cx.state.log.unseen;
            let log = if unseen > 0 { format!("Log ({unseen})") } else { "Log".into() };
            let color = if unseen > 0 { p.warning } else { p.text_weak };
            if ui.add(Button::new(RichText::new(log).small().color(color)).frame(false)).clicked() {
                cx.run(CommandId::ToggleLog);
            }
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                counts_ui(ui, cx.state);
                ui.with_layout(Layout::left_to_right(Align::Center), |ui| last_line_ui(ui, cx.state));
            });
        });
    });
}

fn last_line_ui(ui: &mut Ui, state: &State) {
    let p = theme::palette(ui);
    if let Some(line) = state.log.lines.back() {
        if line.level > Level::Info {
            ui.label(RichText::new(level_mark(line.level)).small().color(level_color(p, line.level)));
        }
        let first = line.text.lines().next().unwrap_or_default();
        ui.add(Label::new(RichText::new(first).small().color(p.text_weak)).truncate());
    }
}

fn counts_ui(ui: &mut Ui, state: &State) {
    let p = theme::palette(ui);
    let small = |text: String| RichText::new(text).small().color(p.text_weak);
    if state.opened.is_none() {
        return;
    }
    let (done, total) = state.candidates_done();
    if let Some(rewards) = &state.rewards {
        let summary = &rewards.ranking.summary;
        ui.label(small(format::counted(summary.pairs, "pair")));
        ui.label(small("·".into()));
    }
    if total > 0 {
        ui.label(small(format!("{} / {} candidates", format::count(done), format::count(total))));
        ui.label(small("·".into()));
    }
    ui.label(small(format::counted(state.images_count(), "image")));
}
