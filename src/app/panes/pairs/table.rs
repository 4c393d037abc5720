//! The rows as a table of which only the visible ones are drawn; a click on a head orders by it.

use egui::accesskit::Role;
use egui::{Align2, Rect, ScrollArea, Sense, TextStyle, Ui, pos2, vec2};

use super::rows::{Column, Row};
use crate::app::actions::Cx;
use crate::app::commands::{self, CommandId};
use crate::app::{format, widgets};
use crate::method::overrides::Verdict;

/// Height of a row, in points.
const ROW: f32 = 21.0;

/// What a click did.
pub enum Clicked {
    Head(Column),
    Row(usize),
    /// A command on the pair of a row.
    Command(usize, CommandId),
}

/// A column's title, what it means, and its width as a share of the table.
fn head(column: Column) -> (&'static str, &'static str, f32) {
    match column {
        Column::Image => ("Image", "The LR image", 0.17),
        Column::Winner => ("Winner", "Seed of the winner", 0.09),
        Column::Loser => ("Loser", "Seed of the loser", 0.08),
        Column::RewardWinner => ("R_w", "Reward of the winner", 0.08),
        Column::RewardLoser => ("R_l", "Reward of the loser", 0.08),
        Column::Gap => ("Gap", "|R_w − R_l|", 0.08),
        Column::Intra => ("w_intra", "1 + α_intra · (gap − μ_gap), §4", 0.10),
        Column::Inter => ("w_inter", "1 + α_inter · (σ_g − μ_σ), §4", 0.10),
        Column::Weight => ("w", "w_intra · w_inter: how much the pair counts in training", 0.10),
        Column::Verdict => ("Verdict", "Your word on the pair", 0.12),
    }
}

/// The sign and the word of a verdict.
pub fn verdict_text(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Exclude => "excluded",
        Verdict::Flip => "flipped",
        Verdict::Pin => "pinned",
    }
}

/// Draws the table. `scroll_to` brings a row into view.
pub fn ui(
    ui: &mut Ui,
    cx: &Cx,
    rows: &[Row],
    selected: Option<usize>,
    order: (Column, bool),
    scroll_to: Option<usize>,
) -> Option<Clicked> {
    let mut clicked = None;
    let width = ui.available_width() - 10.0;
    let (heads, _) = ui.allocate_exact_size(vec2(width, ROW), Sense::hover());
    let font = TextStyle::Small.resolve(ui.style());
    for (column, cell) in cells(heads) {
        let (title, hint, _) = head(column);
        let response = ui.interact(cell, ui.scope_id().with(title), Sense::click());
        widgets::name(&response, Role::ColumnHeader, title);
        let is_order = order.0 == column;
        let text = match (is_order, order.1) {
            (true, true) => format!("{title} ▼"),
            (true, false) => format!("{title} ▲"),
            _ => title.to_owned(),
        };
        let color = if is_order || response.hovered() { cx.palette.text } else { cx.palette.text_weak };
        widgets::paint_text(ui, cell.shrink2(vec2(2.0, 0.0)), align(column), &text, font.clone(), color);
        if response.on_hover_text(hint).clicked() {
            clicked = Some(Clicked::Head(column));
        }
    }
    ui.painter().hline(heads.x_range(), heads.bottom(), egui::Stroke::new(1.0, cx.palette.line));
    ui.spacing_mut().item_spacing.y = 0.0;
    let mut area = ScrollArea::vertical().auto_shrink(false);
    if let Some(row) = scroll_to {
        let room = ui.available_height();
        area = area.vertical_scroll_offset((row as f32 * ROW - room * 0.4).max(0.0));
    }
    area.show_rows(ui, ROW, rows.len(), |ui, visible| {
        for index in visible {
            let Some(row) = rows.get(index) else { break };
            let (line, response) = ui.allocate_exact_size(vec2(width, ROW), Sense::click());
            let name = format!("Pair {} over {}", row.winner, row.loser);
            widgets::name(&response, Role::Row, &name);
            if selected == Some(index) {
                ui.painter().rect_filled(line, 4.0, cx.palette.selected);
            } else if response.hovered() {
                ui.painter().rect_filled(line, 4.0, cx.palette.hovered);
            }
            row_ui(ui, cx, row, line);
            if response.clicked() || response.secondary_clicked() {
                clicked = Some(Clicked::Row(index));
            }
            response.context_menu(|ui| {
                let verdicts = [CommandId::PairExclude, CommandId::PairFlip, CommandId::PairPin, CommandId::PairWhy];
                for id in verdicts.into_iter().chain([CommandId::ShowSeeds]) {
                    let command = commands::command(id);
                    let keys = command.shortcuts.first().map(|keys| format::shortcut(ui.ctx(), keys));
                    let title = if id == CommandId::ShowSeeds { "Candidates of its image" } else { command.title };
                    let enabled = (command.enabled)(cx.state).is_ok();
                    let button = egui::Button::new(title).shortcut_text(keys.unwrap_or_default());
                    if ui.add_enabled(enabled, button).clicked() {
                        clicked = Some(Clicked::Command(index, id));
                    }
                }
            });
        }
    });
    clicked
}

fn row_ui(ui: &Ui, cx: &Cx, row: &Row, line: Rect) {
    let p = cx.palette;
    let font = TextStyle::Small.resolve(ui.style());
    let verdict = cx.state.judgements.counting(&row.key(), row.verdict);
    let is_excluded = verdict == Some(Verdict::Exclude);
    let plain = if is_excluded { p.text_faint } else { p.text };
    for (column, cell) in cells(line) {
        let (text, color) = match column {
            Column::Image => {
                let name = cx.state.image(row.image).map_or("–", |image| image.name.as_str());
                (name.to_owned(), plain)
            }
            Column::Winner => (row.winner.to_string(), if is_excluded { p.text_faint } else { p.winner }),
            Column::Loser => (row.loser.to_string(), if is_excluded { p.text_faint } else { p.loser }),
            Column::RewardWinner => (format::reward(row.r_winner), plain),
            Column::RewardLoser => (format::reward(row.r_loser), plain),
            Column::Gap => (format::reward(row.gap), plain),
            Column::Intra => (format::reward(row.w_intra), plain),
            Column::Inter => (format::reward(row.w_inter), plain),
            Column::Weight => (format::reward(row.weight), plain),
            Column::Verdict => match verdict {
                None => continue,
                Some(verdict) => {
                    let color = if verdict == Verdict::Exclude { p.loser } else { p.changed };
                    (verdict_text(verdict).to_owned(), color)
                }
            },
        };
        widgets::paint_text(ui, cell.shrink2(vec2(2.0, 0.0)), align(column), &text, font.clone(), color);
        if is_excluded && column == Column::Weight {
            let y = line.center().y;
            ui.painter().hline(cell.right() - 40.0..=cell.right() - 4.0, y, egui::Stroke::new(1.0, p.text_faint));
        }
    }
}

fn align(column: Column) -> Align2 {
    match column {
        Column::Image | Column::Verdict => Align2::LEFT_CENTER,
        _ => Align2::RIGHT_CENTER,
    }
}

fn cells(line: Rect) -> impl Iterator<Item = (Column, Rect)> {
    let mut left = line.left();
    Column::ALL.into_iter().map(move |column| {
        let width = line.width() * head(column).2;
        // Words stand clear of the figures before them.
        let indent = if column == Column::Verdict { 10.0 } else { 0.0 };
        let cell = Rect::from_min_max(pos2(left + indent, line.top()), pos2(left + width, line.bottom()));
        left += width;
        (column, cell)
    })
}
