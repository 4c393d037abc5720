//! The window in which a metric is added: found by a few letters, in groups by whether it can be used, with what it costs and
//! under which terms its weights are. Terms that restrict something are confirmed before first use, once on a machine.

use std::collections::BTreeSet;

use egui::accesskit::Role;
use egui::{Align, Button, Context, Label, Layout, RichText, ScrollArea, TextEdit, Ui, vec2};

use super::metrics::info_ui;
use crate::app::actions::Cx;
use crate::app::commands::CommandId;
use crate::app::format::holds_words;
use crate::app::theme::{self, space};
use crate::app::weights_window::{self, Known};
use crate::app::widgets;
use crate::engine::{metrics, parts};
use crate::iqa::{Direction, Info, Kind};
use crate::method::recipe::Recipe;
use crate::weights::terms;

/// What the metric is to be added to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The half of the reward of this kind.
    Reward(Kind),
    /// The metrics that report and are not trained on.
    HeldOut,
}

/// The window: closed, or a search in progress.
#[derive(Debug, Default)]
pub struct Chooser {
    purpose: Option<Purpose>,
    query: String,
    /// The metric whose terms are to be confirmed.
    unconfirmed: Option<String>,
}

/// A metric that can be added, or could.
struct Choice {
    info: Info,
    group: Group,
    /// Why it cannot be added, a line each.
    why_not: Vec<String>,
    /// Terms of the weights that the person brings.
    terms: Vec<String>,
    /// Those of them that restrict what the weights may be used for: what is to be confirmed.
    restricting: Vec<String>,
}

/// Where a choice is listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Group {
    Available,
    HeldOut,
    NeedsWeights,
    TooLarge,
}

impl Group {
    const ALL: [Self; 4] = [Self::Available, Self::HeldOut, Self::NeedsWeights, Self::TooLarge];

    fn title(self) -> &'static str {
        match self {
            Self::Available => "Available",
            Self::HeldOut => "Held out now: adding one trains on it",
            Self::NeedsWeights => "Needs weights",
            Self::TooLarge => "Needs larger crops",
        }
    }
}

impl Chooser {
    /// Opens it.
    pub fn open(&mut self, purpose: Purpose) {
        *self = Self { purpose: Some(purpose), ..Self::default() };
    }

    /// Draws it if it is open; adds what was chosen to the recipe and returns its name.
    pub fn show(&mut self, ctx: &Context, cx: &mut Cx, recipe: &mut Recipe) -> Option<String> {
        let purpose = self.purpose?;
        let weights = cx.state.weights.clone();
        let choices = choices(recipe, purpose, weights.as_ref());
        let enter = ctx.input_mut(|input| input.consume_key(egui::Modifiers::NONE, egui::Key::Enter));
        let mut chosen: Option<String> = None;
        let mut shows_weights = false;
        let modal = widgets::modal(ctx, "metric chooser").show(ctx, |ui| {
            ui.set_width(680.0_f32.min(ctx.content_rect().width() - 80.0));
            ui.heading(match purpose {
                Purpose::Reward(kind) => format!("Add a {} metric to the reward", kind.adjective()),
                Purpose::HeldOut => "Hold a metric out".to_owned(),
            });
            ui.add_space(space::XS);
            let search = TextEdit::singleline(&mut self.query).hint_text("Find a metric").desired_width(f32::INFINITY);
            let search = ui.add(search.margin(vec2(10.0, 8.0)));
            widgets::name(&search, Role::TextInput, "Find a metric");
            if self.unconfirmed.is_none() {
                search.request_focus();
            }
            ui.add_space(space::XS);
            let found: Vec<&Choice> = choices.iter().filter(|choice| choice.fits(&self.query)).collect();
            let height = (ctx.content_rect().height() - 300.0).max(160.0);
            ScrollArea::vertical().max_height(height).min_scrolled_height(height).auto_shrink([false, false]).show(
                ui,
                |ui| {
                    // Beside the bar, not under it.
                    ui.set_width(ui.available_width() - 10.0);
                    if found.is_empty() {
                        ui.weak("No metric of that name that is not listed already.");
                    }
                    for group in Group::ALL {
                        let some: Vec<_> = found.iter().filter(|choice| choice.group == group).collect();
                        if some.is_empty() {
                            continue;
                        }
                        ui.add_space(space::XS);
                        let heading = RichText::new(format!("{} · {}", group.title(), some.len()));
                        ui.label(heading.font(theme::strong(12.5)).color(cx.palette.text_weak));
                        for choice in some {
                            if row_ui(ui, choice) && choice.why_not.is_empty() {
                                chosen = Some(choice.info.name.to_string());
                            }
                        }
                    }
                },
            );
            if enter && let Some(first) = found.iter().find(|choice| choice.why_not.is_empty()) {
                chosen = Some(first.info.name.to_string());
            }
            let confirmed = self.terms_ui(ui, &choices, cx);
            if confirmed.is_some() {
                chosen = confirmed;
            }
            ui.add_space(space::S);
            ui.horizontal(|ui| {
                shows_weights =
                    ui.button("Published weights…").on_hover_text("What is missing, and how to get it").clicked();
                ui.weak("Seconds are those of two cores at 512 px; a GPU takes a small part of it.");
                ui.with_layout(Layout::right_to_left(Align::Center), |ui| ui.button("Close").clicked()).inner
            })
            .inner
        });
        if shows_weights {
            cx.run(CommandId::ShowWeights);
        }
        // Terms that were not read here yet come between.
        let asked = chosen.as_ref().and_then(|name| choices.iter().find(|choice| choice.info.name == *name));
        if let Some(choice) = asked.filter(|choice| !choice.unread(&cx.state.licences).is_empty()) {
            self.unconfirmed = Some(choice.info.name.to_string());
            return None;
        }
        if modal.inner || modal.should_close() || shows_weights || chosen.is_some() {
            self.purpose = None;
        }
        add(recipe, purpose, chosen?)
    }

    /// Shows the terms of a metric that was chosen; its name once they are confirmed.
    fn terms_ui(&mut self, ui: &mut Ui, choices: &[Choice], cx: &mut Cx) -> Option<String> {
        let name = self.unconfirmed.clone()?;
        let choice = choices.iter().find(|choice| choice.info.name == name)?;
        let p = cx.palette;
        let mut confirmed = None;
        ui.add_space(space::S);
        egui::Frame::new()
            .fill(p.warning.gamma_multiply(0.12))
            .corner_radius(theme::RADIUS)
            .inner_margin(space::S)
            .show(ui, |ui| {
                ui.label(
                    RichText::new(format!("The weights of {} are under these terms", choice.info.title))
                        .font(theme::strong(13.0)),
                );
                for terms in &choice.terms {
                    ui.add(Label::new(terms.as_str()).wrap());
                }
                ui.horizontal(|ui| {
                    let use_it = widgets::primary_button(ui, "I have read them: use it");
                    if use_it.on_hover_text("Remembered on this machine").clicked() {
                        cx.state.licences.extend(choice.terms.iter().cloned());
                        confirmed = Some(name.clone());
                    }
                    if ui.button("Back").clicked() {
                        self.unconfirmed = None;
                    }
                });
            });
        confirmed
    }
}

impl Choice {
    fn fits(&self, query: &str) -> bool {
        holds_words(&format!("{} {} {}", self.info.title, self.info.name, self.info.paper), query)
    }

    /// Terms that were not confirmed on this machine.
    fn unread(&self, read: &BTreeSet<String>) -> Vec<&String> {
        self.restricting.iter().filter(|terms| !read.contains(*terms)).collect()
    }
}

/// The terms of what a recipe uses and was not chosen here, as that of a preset or of somebody else: shown until they are
/// confirmed.
pub fn unread_ui(ui: &mut Ui, cx: &mut Cx) {
    let weights = cx.state.weights.clone();
    let parts = parts::of(&cx.state.recipe.edited);
    let here: Vec<_> =
        parts.into_iter().filter(|part| weights_window::lacking(weights.as_ref(), &[*part]).is_empty()).collect();
    let unread: Vec<String> =
        terms::restricting(&here).into_iter().filter(|terms| !cx.state.licences.contains(terms)).collect();
    if weights.is_none() || unread.is_empty() {
        return;
    }
    let p = cx.palette;
    ui.add_space(space::XS);
    egui::Frame::new().fill(p.warning.gamma_multiply(0.12)).corner_radius(theme::RADIUS).inner_margin(space::S).show(
        ui,
        |ui| {
            ui.label(RichText::new("Terms of the weights in use").small().font(theme::strong(12.5)));
            for terms in &unread {
                ui.add(Label::new(RichText::new(terms).small()).wrap());
            }
            if ui.small_button("I have read them").on_hover_text("Remembered on this machine").clicked() {
                cx.state.licences.extend(unread);
            }
        },
    );
}

/// The metrics that are not listed yet where one is to be added.
fn choices(recipe: &Recipe, purpose: Purpose, known: Known) -> Vec<Choice> {
    let reward = &recipe.reward;
    let is_in_reward = |name: &str| reward.fr.contains_key(name) || reward.nr.contains_key(name);
    let is_held_out = |name: &str| reward.held_out.iter().any(|held_out| held_out == name);
    let crop_px = recipe.data.crop_px;
    let wanted = |info: &Info| match purpose {
        Purpose::Reward(kind) => info.kind == kind && info.direction != Direction::Neither && !is_in_reward(&info.name),
        Purpose::HeldOut => !is_in_reward(&info.name) && !is_held_out(&info.name),
    };
    let choice = |info: Info| {
        let parts = parts::of_metric(&info.name);
        let fits = crop_px == 0 || crop_px >= info.min_size_px;
        let lacking = weights_window::lacking(known, &parts);
        let (group, why_not) = match (lacking.is_empty(), fits) {
            (false, _) => (Group::NeedsWeights, lacking),
            (true, false) => (Group::TooLarge, vec![format!("Needs {} px, crops have {crop_px}", info.min_size_px)]),
            (true, true) if is_held_out(&info.name) => (Group::HeldOut, Vec::new()),
            (true, true) => (Group::Available, Vec::new()),
        };
        let (terms, restricting) = (terms::of(&parts), terms::restricting(&parts));
        Choice { info, group, why_not, terms, restricting }
    };
    metrics::all(recipe).into_iter().filter(wanted).map(choice).collect()
}

/// Puts the metric where it was asked for.
fn add(recipe: &mut Recipe, purpose: Purpose, name: String) -> Option<String> {
    match purpose {
        Purpose::Reward(kind) => {
            // A metric that is trained on is not held out any more.
            recipe.reward.held_out.retain(|held_out| *held_out != name);
            let half = if kind == Kind::FullReference { &mut recipe.reward.fr } else { &mut recipe.reward.nr };
            half.insert(name.clone(), 1.0);
        }
        Purpose::HeldOut => recipe.reward.held_out.push(name.clone()),
    }
    Some(name)
}

/// One metric in two lines; whether it was clicked.
fn row_ui(ui: &mut Ui, choice: &Choice) -> bool {
    let p = theme::palette(ui);
    let info = &choice.info;
    let is_usable = choice.why_not.is_empty();
    let color = if is_usable { p.text } else { p.text_faint };
    let below = match choice.why_not.as_slice() {
        [] => terms_of(choice),
        causes => causes.join("; "),
    };
    let height = 2.0 * ui.spacing().interact_size.y + 2.0;
    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), height), egui::Sense::click());
    let response = response.on_hover_ui(|ui| info_ui(ui, info, None));
    widgets::name(&response, Role::Button, &format!("Add {}", info.name));
    if response.hovered() && is_usable {
        ui.painter().rect_filled(rect, theme::RADIUS, p.hovered);
    }
    let inside = rect.shrink2(vec2(space::S, 1.0));
    let builder = egui::UiBuilder::new().max_rect(inside).layout(Layout::top_down(Align::Min));
    ui.scope_builder(builder, |ui| {
        ui.spacing_mut().item_spacing.y = 0.0;
        ui.horizontal(|ui| {
            let title = format!("{} {}", info.title, info.direction.arrow());
            ui.add(Label::new(RichText::new(title).color(color)).selectable(false));
            ui.add(
                Label::new(RichText::new(info.name.as_ref()).monospace().small().color(p.text_faint)).selectable(false),
            );
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                ui.add(Label::new(RichText::new(info.cost()).small().color(p.text_weak)).selectable(false));
            });
        });
        let below = RichText::new(below).small().color(if is_usable { p.text_faint } else { p.text_weak });
        ui.add(Label::new(below).selectable(false).truncate());
    });
    response.clicked()
}

/// What is said below the name of a metric that can be used.
fn terms_of(choice: &Choice) -> String {
    let info = &choice.info;
    let kind = info.kind.adjective();
    let crops = if info.crops > 1 { format!(", {} crops", info.crops) } else { String::new() };
    let terms = match (choice.terms.as_slice(), info.licence.as_ref()) {
        ([], "") => "no weights".to_owned(),
        ([], licence) => format!("weights: {licence}"),
        (terms, _) => format!("weights: {}", terms.join("; ")),
    };
    format!("{kind}{crops}, from {} px · {terms}", info.min_size_px)
}

/// The button that opens the window; `None` until it is pressed.
pub fn button(ui: &mut Ui, purpose: Purpose) -> Option<Purpose> {
    let button = ui.add(Button::new("+ metric"));
    let what = match purpose {
        Purpose::Reward(Kind::FullReference) => "Add a full-reference metric",
        Purpose::Reward(Kind::NoReference) => "Add a no-reference metric",
        Purpose::HeldOut => "Hold a metric out",
    };
    widgets::name(&button, Role::Button, what);
    button.on_hover_text(what).clicked().then_some(purpose)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::weights::{PartReport, Store};

    #[test]
    fn choices_are_grouped_and_found_by_letters() {
        let mut recipe = Recipe::default();
        recipe.data.crop_px = 96;
        let parts = Arc::new(PartReport::of_all(&Store::of_folders(&[], false), &parts::known()));
        let choices = choices(&recipe, Purpose::Reward(Kind::FullReference), Some(&parts));
        let group = |name: &str| choices.iter().find(|choice| choice.info.name == *name).map(|choice| choice.group);
        assert_eq!(group("psnry"), Some(Group::Available));
        assert_eq!(group("psnr"), Some(Group::HeldOut));
        assert_eq!(group("lpips"), Some(Group::NeedsWeights));
        // In the reward already, or of the other kind.
        assert_eq!([group("stlpips"), group("piqe")], [None, None]);
        let lpips = choices.iter().find(|choice| choice.info.name == "lpips").unwrap();
        assert!(lpips.fits("lpi alex") && lpips.fits("") && !lpips.fits("topiq"));
        assert!(!lpips.why_not.is_empty() && lpips.unread(&BTreeSet::new()).is_empty());
        let topiq = choices.iter().find(|choice| choice.info.name == "topiq_fr").unwrap();
        assert!(!topiq.unread(&BTreeSet::new()).is_empty());
        assert!(topiq.unread(&topiq.terms.iter().cloned().collect()).is_empty());
        // What was held out and is trained on now is held out no more.
        add(&mut recipe, Purpose::Reward(Kind::FullReference), "psnr".into());
        assert!(recipe.reward.fr.contains_key("psnr") && !recipe.reward.held_out.contains(&"psnr".to_owned()));
    }
}
