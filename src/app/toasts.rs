//! Short messages in the lower left corner, over the list of images and not over what is worked on; they leave by themselves.

use egui::{Align2, Area, Color32, Context, Frame, Id, Label, Margin, Order, RichText, Stroke, vec2};

use super::actions::Action;
use super::commands::CommandId;
use super::format;
use super::state::State;
use super::state::log::{Offer, Toast};
use super::theme::{self, Palette, STATUS_HEIGHT, space};
use crate::engine::protocol::Level;

/// Width of a message, in points.
const WIDTH: f32 = 268.0;

/// The colour of a level.
pub fn level_color(p: &Palette, level: Level) -> Color32 {
    match level {
        Level::Info => p.accent,
        Level::Warning => p.warning,
        Level::Error => p.error,
    }
}

/// The mark of a level, for those who do not see its colour.
pub fn level_mark(level: Level) -> &'static str {
    match level {
        Level::Info => "●",
        Level::Warning => "⚠",
        Level::Error => "✗",
    }
}

/// Draws the toasts; they may be clicked away.
pub fn show(ctx: &Context, state: &mut State, actions: &mut Vec<Action>) {
    state.log.expire(state.now_secs);
    if state.log.toasts.is_empty() {
        return;
    }
    ctx.request_repaint_after_secs(0.25);
    let mut dismissed = None;
    let area = Area::new(Id::unique("toasts")).order(Order::Foreground);
    area.anchor(Align2::LEFT_BOTTOM, vec2(space::M, -(STATUS_HEIGHT + space::M))).show(ctx, |ui| {
        ui.set_max_width(WIDTH);
        for (index, toast) in state.log.toasts.iter().enumerate().rev() {
            if toast_ui(ui, toast, actions) {
                dismissed = Some(index);
            }
        }
    });
    if let Some(index) = dismissed {
        state.log.toasts.remove(index);
    }
}

/// Draws a toast; true if it is done with.
fn toast_ui(ui: &mut egui::Ui, toast: &Toast, actions: &mut Vec<Action>) -> bool {
    let p = theme::palette(ui);
    let color = level_color(p, toast.level);
    let mut done = false;
    let frame = Frame::popup(ui.style()).fill(p.raised).stroke(Stroke::new(1.0, p.line_strong));
    frame.inner_margin(Margin::symmetric(12, 9)).show(ui, |ui| {
        ui.set_max_width(WIDTH - 24.0);
        ui.horizontal_top(|ui| {
            ui.colored_label(color, level_mark(toast.level));
            ui.vertical(|ui| {
                if toast.level != Level::Info {
                    // One width for all that stay until they are dismissed.
                    ui.set_min_width(ui.available_width());
                }
                ui.add(Label::new(RichText::new(&toast.text).color(p.text)).wrap());
                if toast.more > 0 {
                    let text = format!("and {} more in the log", format::count(toast.more));
                    ui.label(RichText::new(text).small().color(p.text_weak));
                }
                if toast.level == Level::Info && toast.offer.is_none() {
                    return;
                }
                ui.horizontal(|ui| {
                    match &toast.offer {
                        Some(Offer::Permit(job, permit)) if ui.small_button(permit.title()).clicked() => {
                            actions.push(Action::Start((**job).clone()));
                            done = true;
                        }
                        Some(Offer::Undo) if ui.small_button("Undo").clicked() => {
                            actions.push(Action::Command(CommandId::Undo));
                            done = true;
                        }
                        Some(Offer::ShowLog) if ui.small_button("Show the log").clicked() => {
                            actions.push(Action::Show(super::pane_kind::PaneKind::Log));
                            done = true;
                        }
                        _ => {}
                    }
                    done |= ui.small_button("Dismiss").clicked();
                });
            });
        });
    });
    done
}
