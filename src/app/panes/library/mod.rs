//! The LR images of the workspace: found, sorted, marked, added, removed.

mod order;

use std::collections::BTreeSet;
use std::sync::Arc;

use egui::accesskit::Role;
use egui::{Align, Align2, ComboBox, Id, Key, Layout, Modifiers, Rect, Response, RichText, ScrollArea, Sense, Stroke};
use egui::{StrokeKind, TextEdit, TextStyle, Ui, pos2, vec2};

use crate::app::actions::{Action, Cx, Pane};
use crate::app::commands::CommandId;
use crate::app::format;
use crate::app::pane_kind::PaneKind;
use crate::app::state::State;
use crate::app::state::pictures::fit;
use crate::app::theme::{self, space};
use crate::app::widgets;
use crate::backbones::registry;
use crate::engine::protocol::{Job, Library, Source};
use crate::workspace::{ImageId, ImageRow, Split, prompt_of};

use crate::app::state::rewards::RewardView;
use order::{Show, SortBy, sorted};

/// Side of a thumbnail in points.
const THUMB: f32 = 46.0;
/// Height of a row in points.
const ROW: f32 = 58.0;
/// Between the marks of a row.
const GAP: f32 = 9.0;
/// Width of the spread and its bar at the end of a row.
const SIGMA: f32 = 68.0;

/// The images shown, kept until what they follow from changes.
#[derive(Default)]
struct Order {
    library: Option<Arc<Library>>,
    rewards: Option<Arc<RewardView>>,
    settings: (SortBy, bool, Show, String),
    m: usize,
    images: Vec<ImageId>,
}

/// The library.
#[derive(Default)]
pub struct LibraryPane {
    sort_by: SortBy,
    descending: bool,
    show: Show,
    filter: String,
    order: Order,
    scroll_to_selected: bool,
}

impl Pane for LibraryPane {
    fn ui(&mut self, ui: &mut Ui, cx: &mut Cx) {
        if cx.state.opened.is_none() {
            self.no_workspace_ui(ui, cx);
            return;
        }
        if cx.state.images_count() == 0 {
            if cx.state.library.is_some() && !cx.state.jobs.is_active(&[crate::app::state::jobs::Kind::Create]) {
                let text = "Add photographs as HR images and the LR images are made from them, or add LR images. \
                            Dropping files or folders on the window does the same.";
                if widgets::empty_state(ui, "⊕", "No images yet", text, Some("Add images…")) {
                    cx.run(CommandId::AddImages);
                }
            } else {
                widgets::empty_state(ui, "…", "Preparing the images", "They appear as they are added.", None);
            }
            return;
        }
        self.tools_ui(ui, cx);
        self.update_order(cx.state);
        self.list_ui(ui, cx);
    }
}

impl LibraryPane {
    /// The images shown, in the order they are shown.
    pub fn order(&mut self, state: &State) -> Vec<ImageId> {
        self.update_order(state);
        self.order.images.clone()
    }

    /// Brings the selected image into view at the next frame.
    pub fn scroll_to_selected(&mut self) {
        self.scroll_to_selected = true;
    }

    fn no_workspace_ui(&mut self, ui: &mut Ui, cx: &mut Cx) {
        match cx.state.opening.as_ref().map(|dir| dir.display().to_string()) {
            Some(dir) => {
                let text = format!("{dir}\nThe first start prepares the example photographs.");
                widgets::empty_state(ui, "…", "Opening the workspace", &text, None);
            }
            None => {
                let text = "A workspace is a folder that holds images, candidates, scores and runs.";
                if widgets::empty_state(ui, "▣", "No workspace", text, Some("Open the example")) {
                    cx.run(CommandId::OpenExample);
                }
            }
        }
    }

    fn tools_ui(&mut self, ui: &mut Ui, cx: &mut Cx) {
        ui.horizontal(|ui| {
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                ui.menu_button("Add", |ui| {
                    for id in [CommandId::AddImages, CommandId::AddFolder] {
                        if ui.button(crate::app::commands::command(id).title).clicked() {
                            cx.run(id);
                        }
                    }
                })
                .response
                .on_hover_text("Images or a folder; dropping them on the window does the same");
                let search = TextEdit::singleline(&mut self.filter).hint_text("Filter by name");
                let response = ui.add_sized(vec2(ui.available_width(), ui.spacing().interact_size.y), search);
                widgets::name(&response, Role::TextInput, "Filter images");
            });
        });
        ui.horizontal(|ui| {
            let room = ui.available_width() - ui.spacing().interact_size.x - 2.0 * space::S;
            choice_ui(ui, "Which images are listed", 0.55 * room, &mut self.show, &Show::ALL, Show::title);
            choice_ui(ui, "What they are sorted by", 0.45 * room, &mut self.sort_by, &SortBy::ALL, SortBy::title);
            let arrow = if self.descending { "↓" } else { "↑" };
            let response = ui.button(arrow).on_hover_text("Ascending or descending");
            widgets::name(&response, Role::Button, "Sort direction");
            if response.clicked() {
                self.descending = !self.descending;
            }
        });
        ui.add_space(2.0);
    }

    fn update_order(&mut self, state: &State) {
        let settings = (self.sort_by, self.descending, self.show, self.filter.clone());
        let same = |a: &Option<Arc<Library>>, b: &Option<Arc<Library>>| match (a, b) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            (None, None) => true,
            _ => false,
        };
        let same_rewards = match (&self.order.rewards, &state.rewards) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            (None, None) => true,
            _ => false,
        };
        let m = state.recipe.edited.sampling.m;
        if same(&self.order.library, &state.library)
            && same_rewards
            && self.order.settings == settings
            && self.order.m == m
        {
            return;
        }
        let images = sorted(state, &settings);
        self.order = Order { library: state.library.clone(), rewards: state.rewards.clone(), settings, m, images };
    }

    fn list_ui(&mut self, ui: &mut Ui, cx: &mut Cx) {
        let images = std::mem::take(&mut self.order.images);
        let p = cx.palette;
        let shown = images.len();
        let total = cx.state.images_count();
        let selected = cx.state.selection.images.len();
        let mut text = if shown == total { format::counted(total, "image") } else { format!("{shown} of {total}") };
        if selected > 1 {
            text += &format!(", {selected} selected");
        }
        ui.horizontal(|ui| {
            ui.label(RichText::new(text).small().color(p.text_faint));
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                ui.add_space(10.0);
                let rewards = cx.state.rewards.as_ref();
                let max = rewards.map_or(0.0, |rewards| rewards.max_sigma);
                let mean = rewards.map_or("mean R", |rewards| rewards.ranking.mean_name());
                let scale = if max > 0.0 { format!("{mean} · σ, bar to {}", format::reward(max)) } else { format!("{mean} · σ") };
                let label = egui::Label::new(RichText::new(scale).small().color(p.text_faint)).truncate();
                ui.add(label).on_hover_text(
                    "σ: spread of the reward over the seeds of an image, as a number and as a bar up to the widest of all. A decoupled \
                     reward is 0 on average in every image: its mean and spread are told on the frozen scale",
                );
            });
        });
        if images.is_empty() {
            widgets::empty_state(ui, "∅", "Nothing matches", "No image passes the filter.", None);
        }
        ui.spacing_mut().item_spacing.y = 0.0;
        let mut area = ScrollArea::vertical().auto_shrink(false);
        if std::mem::take(&mut self.scroll_to_selected)
            && let Some(at) = images.iter().position(|id| Some(*id) == cx.state.selection.image)
        {
            let room = ui.available_height();
            area = area.vertical_scroll_offset((at as f32 * ROW - (room - ROW) * 0.5).max(0.0));
        }
        area.show_rows(ui, ROW, images.len(), |ui, rows| {
            for index in rows {
                self.row_ui(ui, cx, &images, index);
            }
        });
        self.order.images = images;
    }

    fn row_ui(&mut self, ui: &mut Ui, cx: &mut Cx, images: &[ImageId], index: usize) {
        let id = images[index];
        let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), ROW), Sense::click());
        let Some(image) = cx.state.image(id).cloned() else { return };
        widgets::name(&response, Role::ListItem, &image.name);
        let is_selected = cx.state.selection.images.contains(&id);
        let p = cx.palette;
        let inside = rect.shrink2(vec2(0.0, 1.0));
        if is_selected {
            ui.painter().rect_filled(inside, theme::RADIUS, p.selected);
        } else if response.hovered() {
            ui.painter().rect_filled(inside, theme::RADIUS, p.raised);
        }
        paint_row(ui, cx, inside, &image);
        let response = response.on_hover_ui(|ui| details_ui(ui, cx.state, &image));
        if response.clicked() {
            select(cx.state, images, index, ui.input(|i| i.modifiers));
        }
        if response.double_clicked() {
            cx.act(Action::Show(PaneKind::Seeds));
        }
        if response.secondary_clicked() && !is_selected {
            select(cx.state, images, index, Modifiers::NONE);
        }
        context_menu(&response, cx, &image);
    }
}

/// One of several, within a width: a combo alone would be as wide as its text where there is room.
fn choice_ui<T: Copy + PartialEq>(
    ui: &mut Ui,
    hint: &str,
    width: f32,
    chosen: &mut T,
    all: &[T],
    title: fn(T) -> &'static str,
) {
    ui.allocate_ui(vec2(width, ui.spacing().interact_size.y), |ui| {
        let combo = ComboBox::from_id_salt(hint).width(width).truncate().selected_text(title(*chosen));
        let shown = combo.show_ui(ui, |ui| {
            for option in all {
                ui.selectable_value(chosen, *option, title(*option));
            }
        });
        shown.response.on_hover_text(hint);
    });
}

fn context_menu(response: &Response, cx: &mut Cx, image: &ImageRow) {
    response.context_menu(|ui| {
        for id in [
            CommandId::GenerateSelected,
            CommandId::ToggleHeldOut,
            CommandId::ForValidation,
            CommandId::ForTest,
            CommandId::RemoveImages,
        ] {
            let command = crate::app::commands::command(id);
            let enabled = (command.enabled)(cx.state).is_ok();
            if ui.add_enabled(enabled, egui::Button::new(command.title)).clicked() {
                cx.run(id);
            }
        }
        if reads_prompts(cx.state) {
            ui.separator();
            prompt_ui(ui, cx, image);
        }
    });
}

/// Whether the recipe's backbone reads what is said of images.
fn reads_prompts(state: &State) -> bool {
    registry::card_of(&state.recipe.edited.sampling.backbone).is_ok_and(|card| card.prompt)
}

/// The prompt of the selected images, as it is typed; Enter takes it.
fn prompt_ui(ui: &mut Ui, cx: &mut Cx, image: &ImageRow) {
    let typed = Id::unique(("prompt", image.id.0));
    let mut text = ui.data(|data| data.get_temp(typed)).unwrap_or_else(|| image.prompt.clone());
    let edit = TextEdit::singleline(&mut text).hint_text("what is to be seen").desired_width(220.0);
    let response = ui.add(edit).on_hover_text("Prompt of the selected images; Enter takes it");
    widgets::name(&response, Role::TextInput, "Prompt");
    if response.lost_focus() && ui.input(|input| input.key_pressed(Key::Enter)) {
        let images = cx.state.selection.images.iter().copied().collect();
        cx.act(Action::SetPrompt { images, prompt: prompt_of(&text) });
        ui.data_mut(|data| data.remove::<String>(typed));
        ui.close();
    } else if response.changed() {
        ui.data_mut(|data| data.insert_temp(typed, text));
    }
    let command = crate::app::commands::command(CommandId::TagImages);
    let button = ui.add_enabled((command.enabled)(cx.state).is_ok(), egui::Button::new(command.title));
    if button.on_hover_text("What RAM sees on the selected images, in place of their prompts").clicked() {
        let images = cx.state.selection.images.iter().copied().collect();
        cx.act(Action::Start(Job::Tag { images: Some(images) }));
        ui.data_mut(|data| data.remove::<String>(typed));
        ui.close();
    }
}

/// Selects an image; with Ctrl one more or one less, with Shift all up to it.
fn select(state: &mut State, images: &[ImageId], index: usize, modifiers: Modifiers) {
    let id = images[index];
    let selection = &mut state.selection;
    if modifiers.command {
        if !selection.images.remove(&id) {
            selection.images.insert(id);
        }
    } else if modifiers.shift {
        let from = images.iter().position(|other| Some(*other) == selection.image).unwrap_or(index);
        selection.images = images[from.min(index)..=from.max(index)].iter().copied().collect();
        return;
    } else {
        selection.images = BTreeSet::from([id]);
    }
    selection.image = Some(id);
    selection.seed = None;
}

fn paint_row(ui: &Ui, cx: &mut Cx, rect: Rect, image: &ImageRow) {
    let p = cx.palette;
    let thumb = Rect::from_min_size(pos2(rect.left() + 5.0, rect.center().y - THUMB * 0.5), vec2(THUMB, THUMB));
    ui.painter().rect_filled(thumb, 4.0, p.well);
    let side = THUMB * ui.ctx().pixels_per_point();
    if let Some(shown) = cx.state.pictures.thumb(&Source::Lr(image.id), side) {
        let at = Rect::from_center_size(thumb.center(), fit(shown.size_px, thumb.size()));
        let picture = egui::epaint::RectShape::filled(at, 4.0, egui::Color32::WHITE);
        ui.painter().add(picture.with_texture(shown.texture, shown.uv));
    }
    let body = TextStyle::Body.resolve(ui.style());
    let small = TextStyle::Small.resolve(ui.style());
    let left = thumb.right() + space::S;
    let right = rect.right() - 10.0;
    let stats = cx.state.rewards.as_ref().and_then(|rewards| rewards.stats(image.id));
    let mean = stats.map_or(f64::NAN, |s| s.mean);
    let figure = 48.0;
    let top = Rect::from_min_max(pos2(left, rect.top() + 8.0), pos2(right - figure - 4.0, rect.center().y + 1.0));
    widgets::paint_text(ui, top, Align2::LEFT_CENTER, &image.name, body.clone(), p.text);
    let reward = Rect::from_min_max(pos2(right - figure, top.top()), pos2(right, top.bottom()));
    let color = if mean.is_finite() { p.text } else { p.text_faint };
    widgets::paint_text(ui, reward, Align2::RIGHT_CENTER, &format::reward(mean), body, color);

    let bottom = Rect::from_min_max(pos2(left, rect.center().y + 3.0), pos2(right, rect.bottom() - 7.0));
    let (done, m) = (cx.state.sampled(image.id) as usize, cx.state.recipe.edited.sampling.m);
    // A recipe of fewer seeds than there are has all of its own.
    let seeds = format!("{}/{m}", done.min(m));
    let seeds_color = if done >= m { p.text_weak } else { p.text_faint };
    let sigma = stats.map_or(f64::NAN, |s| s.sigma);
    let end = if sigma.is_finite() { right - SIGMA } else { right };
    let mut x = bottom.left();
    for mark in marks(image, (&seeds, seeds_color), p, |texts| {
        let width = |text: &str| ui.painter().layout_no_wrap(text.to_owned(), small.clone(), p.text).size().x;
        x + texts.iter().map(|text| width(text) + GAP).sum::<f32>() <= end
    }) {
        let (text, color) = mark;
        let galley = ui.painter().layout_no_wrap(text.to_owned(), small.clone(), color);
        let at = pos2(x, bottom.center().y - galley.size().y * 0.5);
        x += galley.size().x + GAP;
        ui.painter().galley(at, galley, color);
    }
    if !image.prompt.is_empty() && reads_prompts(cx.state) {
        let room = Rect::from_min_max(pos2(x, bottom.top()), pos2(right - SIGMA, bottom.bottom()));
        widgets::paint_text(ui, room, Align2::LEFT_CENTER, &image.prompt, small.clone(), p.text_faint);
    }
    if sigma.is_finite() {
        let max = cx.state.rewards.as_ref().map_or(0.0, |r| r.max_sigma);
        let number = Rect::from_min_max(pos2(right - 34.0, bottom.top()), bottom.max);
        widgets::paint_text(ui, number, Align2::RIGHT_CENTER, &format::reward(sigma), small, p.text_weak);
        let bar = Rect::from_center_size(pos2(number.left() - 17.0, bottom.center().y), vec2(26.0, 4.0));
        widgets::paint_bar(ui, bar, (sigma / max.max(1e-12)) as f32, p.accent);
    }
    let line = Stroke::new(1.0, p.line);
    ui.painter().rect_stroke(thumb, 4.0, line, StrokeKind::Inside);
}

/// What is said of an image in a few words, in the longest form that `fits`: an HR image is the rule, and goes first.
fn marks<'t>(
    image: &ImageRow,
    seeds: (&'t str, egui::Color32),
    p: &theme::Palette,
    fits: impl Fn(&[&str]) -> bool,
) -> Vec<(&'t str, egui::Color32)> {
    let hr = match image.hr_path {
        None => Some(("no HR", p.warning)),
        Some(_) => Some(("HR", p.text_faint)),
    };
    let split = |is_short: bool| match image.split {
        Split::Train => None,
        Split::Validation => Some((if is_short { "● val" } else { "● validation" }, p.held_out)),
        Split::Test => Some(("● test", p.held_out)),
    };
    let gone = image.file_missing.then_some(("⚠ file gone", p.error));
    let unusual = hr.filter(|_| image.hr_path.is_none());
    let forms = [(hr, split(false)), (unusual, split(false)), (unusual, split(true))];
    let all = forms.map(|(hr, split)| [Some(seeds), hr, split, gone].into_iter().flatten().collect::<Vec<_>>());
    let is_fit = |marks: &&Vec<(&str, egui::Color32)>| fits(&marks.iter().map(|(text, _)| *text).collect::<Vec<_>>());
    let chosen = all.iter().find(is_fit).or(all.last()).cloned();
    chosen.unwrap_or_default()
}

fn details_ui(ui: &mut Ui, state: &State, image: &ImageRow) {
    let p = theme::palette(ui);
    ui.set_max_width(360.0);
    ui.label(RichText::new(&image.name).font(theme::strong(14.0)));
    let mut line = |text: String| {
        ui.add(egui::Label::new(RichText::new(text).small().color(p.text_weak)).wrap());
    };
    line(format!("LR {} × {} px from {}", image.lr_width_px, image.lr_height_px, image.source));
    if !image.variant.is_empty() {
        line(image.variant.clone());
    }
    if let Some(stats) = state.rewards.as_ref().and_then(|rewards| rewards.stats(image.id)) {
        let (mean, sigma) = (format::reward(stats.mean), format::reward(stats.sigma));
        line(format!("{} scored, mean reward {mean}, spread σ {sigma}", format::counted(stats.scored, "candidate")));
    }
    if !image.prompt.is_empty() {
        line(format!("Prompt: {}", image.prompt));
    }
    let rule = if image.split_by_rule { ", by rule" } else { "" };
    line(match image.split {
        Split::Train => "Used for training".into(),
        Split::Validation => format!("Held out for validation{rule}: chooses the checkpoint of a run"),
        Split::Test => format!("Held out for test{rule}: what is reported"),
    });
}
