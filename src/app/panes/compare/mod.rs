//! Two checkpoints side by side: the same LR image and seed before and after, what the scores say of all of them, and
//! who gained and who lost most.

mod changes;
mod choice;
mod plots;
mod shown;
mod table;
mod tools;

use egui::{Align, Frame, Layout, Margin, Panel, ProgressBar, RichText, Ui, vec2};

use crate::app::actions::{Action, Cx, Pane};
use crate::app::commands::CommandId;
use crate::app::state::jobs::Kind;
use crate::app::theme::{self, space};
use crate::app::viewer::{Item, Viewer};
use crate::app::{format, widgets};
use crate::engine::protocol::Source;
use crate::report::Format;

use choice::Choice;
use shown::Shown;

/// Width of the list of changes, in points.
const LIST_WIDTH: f32 = 220.0;
/// Width of the pane from which both plots stand beside the table.
const WIDE: f32 = 980.0;
/// Width below which table and plots take turns.
const NARROW: f32 = 560.0;
/// Room that the pictures keep, in points.
const PICTURES_MIN_HEIGHT: f32 = 190.0;

/// The Compare tab.
#[derive(Default)]
pub struct ComparePane {
    choice: Choice,
    shown: Option<Shown>,
    changes: changes::ChangeList,
    plots: plots::Plots,
    viewer: Viewer,
}

impl Pane for ComparePane {
    fn ui(&mut self, ui: &mut Ui, cx: &mut Cx) {
        if self.empty_ui(ui, cx) {
            self.shown = None;
            return;
        }
        self.choice.follow(cx.state);
        self.shown = Shown::of(self.shown.take(), &self.choice, cx.state);
        tools::ui(ui, cx, &mut self.choice, self.shown.as_ref());
        let is_running = progress_ui(ui, cx);
        let Some(shown) = &mut self.shown else {
            if !is_running {
                invitation_ui(ui, cx, &self.choice);
            }
            return;
        };
        shown.follow(&cx.state.selection);
        let room = ui.available_size();
        let largest = (room.y - PICTURES_MIN_HEIGHT).max(120.0);
        let frame = Frame::new().inner_margin(Margin { top: 8, ..Margin::ZERO });
        Panel::bottom("scores")
            .resizable(true)
            .default_size((room.y * 0.44).clamp(180.0, 380.0).min(largest))
            .size_range(120.0..=largest)
            .frame(frame)
            .show(ui, |ui| scores_ui(ui, cx, shown, &mut self.plots));
        let rest = ui.available_rect_before_wrap();
        let list_width = if rest.width() > 560.0 { LIST_WIDTH } else { 0.0 };
        let (left, right) = rest.split_left_right_at_x(rest.right() - list_width);
        let mut pictures = ui.new_child(egui::UiBuilder::new().max_rect(left.shrink2(vec2(0.0, space::XS))));
        pictures_ui(&mut pictures, cx, shown, &mut self.viewer);
        if list_width > 0.0 {
            let right = right.with_min_x(right.left() + space::M);
            let mut list = ui.new_child(egui::UiBuilder::new().max_rect(right.shrink2(vec2(0.0, space::XS))));
            self.changes.ui(&mut list, cx, shown);
        }
        ui.allocate_rect(rest, egui::Sense::hover());
    }

    fn command(&mut self, id: CommandId, cx: &mut Cx) {
        match id {
            CommandId::CompareSwap => self.choice.swap(),
            CommandId::CompareNextSeed => self.step(cx, 0, 1),
            CommandId::ComparePreviousSeed => self.step(cx, 0, -1),
            CommandId::NextImage => self.step(cx, 1, 0),
            CommandId::PreviousImage => self.step(cx, -1, 0),
            CommandId::ExportReport => self.export(cx, Format::Html),
            CommandId::ExportFigure => self.export(cx, Format::Figure),
            CommandId::ExportCsv => self.export(cx, Format::Csv),
            CommandId::ExportMarkdown => self.export(cx, Format::Markdown),
            CommandId::ExportLatex => self.export(cx, Format::Latex),
            _ => {}
        }
    }
}

impl ComparePane {
    /// Says what to do where there is nothing to compare; true if so.
    fn empty_ui(&self, ui: &mut Ui, cx: &mut Cx) -> bool {
        let Some(library) = &cx.state.library else {
            widgets::empty_state(ui, "◨", "Compare", "Checkpoints of the workspace are compared here.", None);
            return true;
        };
        if library.images.is_empty() {
            let text = "Two checkpoints are compared on held-out images: at the same LR image, with the same seeds.";
            if widgets::empty_state(ui, "◨", "No images yet", text, Some("Add images…")) {
                cx.run(CommandId::AddImages);
            }
            return true;
        }
        if !library.images.iter().any(|image| image.is_held_out()) {
            let text = "Checkpoints are compared on images that were never trained on. Select some in the library and \
                        press H to hold them out.";
            widgets::empty_state(ui, "◨", "No image is held out", text, None);
            return true;
        }
        if !library.checkpoints.iter().any(|checkpoint| checkpoint.run.is_some()) {
            let is_training = cx.state.jobs.is_active(&[Kind::Train, Kind::Run]);
            let (title, text) = match is_training {
                true => (
                    "No checkpoint yet",
                    "The run has begun; its first checkpoint can be compared as soon as it is saved.",
                ),
                false => (
                    "No trained checkpoint yet",
                    "Training saves checkpoints; any two of them, or one and the \
                          reference, are compared here.",
                ),
            };
            let can_train = (crate::app::commands::command(CommandId::Train).enabled)(cx.state).is_ok();
            let (button, next) = match can_train {
                true => ("Train", CommandId::Train),
                false => ("Generate", CommandId::Generate),
            };
            let button = (!is_training).then_some(button);
            if widgets::empty_state(ui, "◨", title, text, button) {
                cx.run(next);
            }
            return true;
        }
        false
    }

    /// Goes to another image or seed of the comparison.
    fn step(&mut self, cx: &mut Cx, images: isize, seeds: isize) {
        if let Some(shown) = &mut self.shown {
            shown.step(images, seeds);
            shown.select(&mut cx.state.selection);
        }
    }

    fn export(&self, cx: &mut Cx, format: Format) {
        if let Some(shown) = &self.shown {
            cx.act(Action::ExportComparison { compared: shown.compared.clone(), format });
        }
    }

    /// Whether a comparison is shown, so that "next image" means its images.
    pub fn has_shown(&self) -> bool {
        self.shown.is_some()
    }
}

/// What the job does while it runs, with a way to stop it; true if one runs.
fn progress_ui(ui: &mut Ui, cx: &mut Cx) -> bool {
    let job = cx.state.jobs.active().find(|job| matches!(job.kind, Kind::Compare | Kind::Run)).cloned();
    let Some(job) = job else { return false };
    let p = cx.palette;
    ui.add_space(space::XS);
    widgets::card(ui, |ui| {
        ui.horizontal(|ui| {
            let progress = cx.state.progress_of(&job);
            ui.spinner();
            let text = match &progress {
                Some(progress) => {
                    format!("{}  {} / {} {}", progress.stage, progress.done, progress.total, progress.unit)
                }
                None => format!("{}…", job.kind.title()),
            };
            ui.add(egui::Label::new(RichText::new(text).color(p.text)).truncate());
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                let stop = ui.button("Stop").on_hover_text("What was sampled and scored is kept");
                if stop.clicked() {
                    cx.act(Action::CancelJob(job.id));
                }
                if let Some(progress) = progress {
                    if let Some(secs) = progress.eta_secs {
                        ui.label(RichText::new(format!("{} left", format::duration(secs))).color(p.text_weak));
                    }
                    let bar = ProgressBar::new(progress.share() as f32).desired_height(8.0).fill(p.accent);
                    ui.add_sized(vec2(ui.available_width().clamp(40.0, 160.0), 10.0), bar);
                }
            });
        });
    });
    true
}

/// Checkpoints are chosen that were not compared yet.
fn invitation_ui(ui: &mut Ui, cx: &mut Cx, choice: &Choice) {
    let is_in = |image: &&crate::workspace::ImageRow| image.split.is_in(choice.on);
    let images = cx.state.library.as_ref().map_or(0, |library| library.images.iter().filter(is_in).count());
    let seeds = cx.state.recipe.edited.training.eval_seeds;
    let title = format!("{} → {}", choice.a, choice.b);
    if choice.a == choice.b {
        let text = "Both sides are the same checkpoint: choose another one above.";
        widgets::empty_state(ui, "◨", &title, text, None);
        return;
    }
    let text = format!(
        "Samples and scores what is missing on {} with {}, then shows pictures, curves and a table. What is there \
         already is not made again.",
        choice.on.count(images),
        format::counted(seeds, "seed"),
    );
    if widgets::empty_state(ui, "◨", &title, &text, Some("Compare")) {
        cx.act(Action::Start(choice.job()));
    }
}

/// Table and plots.
fn scores_ui(ui: &mut Ui, cx: &mut Cx, shown: &mut Shown, plots: &mut plots::Plots) {
    let room = ui.available_rect_before_wrap();
    let is_wide = room.width() >= WIDE;
    let table_share = if is_wide { 0.40 } else { 0.60 };
    let (left, right) = room.split_left_right_at_fraction(table_share);
    if room.width() >= NARROW {
        let mut side = ui.new_child(egui::UiBuilder::new().max_rect(left.with_max_x(left.right() - space::M)));
        table::ui(&mut side, cx.palette, shown);
    }
    if is_wide {
        let (middle, last) = right.split_left_right_at_fraction(0.5);
        for (rect, which) in [(middle, plots::Which::Curves), (last, plots::Which::Scatter)] {
            let mut side = ui.new_child(egui::UiBuilder::new().max_rect(rect.with_min_x(rect.left() + space::M)));
            plots.title_ui(&mut side, which);
            plots.ui(&mut side, cx, shown, which);
        }
    } else if room.width() < NARROW {
        let mut all = ui.new_child(egui::UiBuilder::new().max_rect(room));
        if let Some(which) = plots.tabs_or_table_ui(&mut all) {
            plots.ui(&mut all, cx, shown, which);
        } else {
            table::ui(&mut all, cx.palette, shown);
        }
    } else {
        let mut side = ui.new_child(egui::UiBuilder::new().max_rect(right));
        plots.tabs_ui(&mut side);
        let which = plots.which;
        plots.ui(&mut side, cx, shown, which);
    }
    ui.allocate_rect(room, egui::Sense::hover());
}

/// The candidate before and after.
fn pictures_ui(ui: &mut Ui, cx: &mut Cx, shown: &mut Shown, viewer: &mut Viewer) {
    candidate_ui(ui, cx, shown);
    let Some((image, seed)) = shown.candidate() else { return };
    let p = cx.palette;
    let comparison = &shown.compared.report.comparison;
    let names = [(&comparison.a, p.text_weak), (&comparison.b, p.accent)];
    let sets = shown.compared.sets.iter().cloned();
    let item = |(set, (name, color)): (_, (&String, _))| {
        Item::new(Source::Candidate { set, image, seed }, format::short(name, 26), color)
    };
    let items: Vec<Item> = sets.zip(names).map(item).collect();
    let metrics = super::pairs::metrics_of(cx, image);
    viewer.ui(ui, cx, &items, &metrics);
}

/// Which candidate it is, what it gained, and the way to its neighbours.
fn candidate_ui(ui: &mut Ui, cx: &mut Cx, shown: &mut Shown) {
    let p = cx.palette;
    let size = vec2(ui.available_width(), ui.spacing().interact_size.y);
    let (mut images, mut seeds) = (0, 0);
    ui.allocate_ui_with_layout(size, Layout::right_to_left(Align::Center), |ui| {
        if let Some([before, after]) = shown.rewards() {
            let gain = after - before;
            let color = if gain > 0.0 {
                p.winner
            } else if gain < 0.0 {
                p.loser
            } else {
                p.text_weak
            };
            let text = format!("R {} → {}", format::reward(before), format::reward(after));
            let figure = ui.label(RichText::new(shown::signed(gain)).font(theme::strong(14.0)).color(color));
            figure.on_hover_text(format!("Reward before and after: {text}"));
            if size.x > 480.0 {
                ui.label(RichText::new(text).color(p.text_weak)).on_hover_text("Reward before and after");
            }
        }
        ui.with_layout(Layout::left_to_right(Align::Center), |ui| {
            ui.spacing_mut().item_spacing.x = space::XS;
            images -= isize::from(step_button(ui, "◀", "Previous image", "["));
            images += isize::from(step_button(ui, "▶", "Next image", "]"));
            let name = shown.image_name().to_owned();
            let (image, of) = shown.image_number();
            let title = RichText::new(format::short(&name, 22)).font(theme::strong(14.0));
            ui.label(title).on_hover_text(format!("{name}\nimage {image} of {of}"));
            ui.add_space(space::S);
            seeds -= isize::from(step_button(ui, "◀", "Previous seed", ","));
            seeds += isize::from(step_button(ui, "▶", "Next seed", "."));
            let seed = shown.candidate().map_or(String::new(), |(_, seed)| format!("seed {seed}"));
            ui.add(egui::Label::new(RichText::new(seed).color(p.text_weak)).truncate());
        });
    });
    if images != 0 || seeds != 0 {
        shown.step(images, seeds);
        shown.select(&mut cx.state.selection);
    }
}

fn step_button(ui: &mut Ui, sign: &str, what: &str, key: &str) -> bool {
    let response = ui.button(sign).on_hover_text(format!("{what}  {key}"));
    widgets::name(&response, egui::accesskit::Role::Button, what);
    response.clicked()
}
