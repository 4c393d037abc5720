//! Winners beside losers, and a person's word on them.

pub mod rows;
mod table;

use egui::{Align, Layout, Rect, RichText, Ui, UiBuilder, pos2, vec2};

use crate::app::actions::{Action, Cx, Pane};
use crate::app::commands::CommandId;
use crate::app::state::Stage;
use crate::app::state::rewards::RewardView;
use crate::app::theme::space;
use crate::app::viewer::{Item, Viewer};
use crate::app::{format, widgets};
use crate::engine::protocol::Source;
use crate::iqa::Info;
use crate::method::overrides::{Agreement, Verdict};
use crate::workspace::ImageId;
use rows::{Column, Key, Row, Rows};
use table::Clicked;

/// The Pairs tab.
pub struct PairsPane {
    rows: Rows,
    shows_all: bool,
    column: Column,
    descending: bool,
    selected: Option<Row>,
    /// Its place as of the last frame.
    selected_at: Option<usize>,
    /// The row to bring into view.
    scroll_to: Option<usize>,
    /// Agreement with the reward, and the ranking it belongs to.
    agreement: Option<(std::sync::Weak<RewardView>, Agreement)>,
    viewer: Viewer,
}

impl Default for PairsPane {
    fn default() -> Self {
        Self {
            rows: Rows::default(),
            shows_all: true,
            column: Column::default(),
            descending: true,
            selected: None,
            selected_at: None,
            scroll_to: None,
            agreement: None,
            viewer: Viewer::default(),
        }
    }
}

impl Pane for PairsPane {
    fn ui(&mut self, ui: &mut Ui, cx: &mut Cx) {
        if is_empty(ui, cx) {
            return;
        }
        self.tools_ui(ui, cx);
        let rows = self.current_rows(ui.ctx(), cx);
        if rows.is_empty() {
            let held_out = cx.state.selected_image().is_some_and(|image| image.is_held_out());
            let text = if held_out {
                "This image is held out from training, so it makes no pairs. Choose another one, or show all pairs."
            } else {
                "The candidates of this image are not scored yet. Choose another image, or show all pairs."
            };
            if widgets::empty_state(ui, "⇄", "No pairs of this image", text, Some("Show all pairs")) {
                self.shows_all = true;
            }
            return;
        }
        let room = ui.available_rect_before_wrap();
        // The pictures get what two squares beside each other need, the table the rest, at least a third.
        let height = (room.width() * 0.5 + 66.0).min(room.height() * 0.66);
        let upper = Rect::from_min_size(room.min, vec2(room.width(), height));
        let lower = Rect::from_min_max(pos2(room.left(), upper.bottom() + space::S), room.max);
        if let Some(row) = self.selected {
            let mut child = ui.new_child(UiBuilder::new().max_rect(upper).id_salt("pictures"));
            self.pair_ui(&mut child, cx, &row);
        }
        let mut child = ui.new_child(UiBuilder::new().max_rect(lower).id_salt("table"));
        let order = (self.column, self.descending);
        let clicked = table::ui(&mut child, cx, &rows, self.selected_at, order, self.scroll_to.take());
        match clicked {
            Some(Clicked::Head(column)) if column == self.column => self.descending = !self.descending,
            Some(Clicked::Head(column)) => (self.column, self.descending) = (column, column != Column::Image),
            Some(Clicked::Row(index)) => self.select(&rows, index, false),
            None => {}
        }
        ui.allocate_rect(room, egui::Sense::hover());
    }

    fn command(&mut self, id: CommandId, cx: &mut Cx) {
        match id {
            CommandId::PairNext => self.step(1),
            CommandId::PairPrevious => self.step(-1),
            CommandId::PairExclude => self.judge(cx, Verdict::Exclude),
            CommandId::PairFlip => self.judge(cx, Verdict::Flip),
            CommandId::PairPin => self.judge(cx, Verdict::Pin),
            _ => {}
        }
    }
}

/// Says what to do where there is no pair; true if so.
fn is_empty(ui: &mut Ui, cx: &mut Cx) -> bool {
    let (title, text, button) = match cx.state.stage() {
        Stage::Closed => ("A workspace is being opened", "Its pairs appear here.", None),
        Stage::Empty => {
            let text = "The best and the worst candidates of an image make pairs. It begins with images.";
            ("Pairs", text, Some(("Add images…", CommandId::AddImages)))
        }
        _ if cx.state.rewards.as_ref().is_none_or(|r| r.ranking.summary.pairs == 0) => {
            let text = "Generate draws candidates and scores them. The top N of each image are then paired with the \
                        bottom N, and each pair weighs as much as its rewards differ.";
            ("No pairs yet", text, Some(("Generate", CommandId::Generate)))
        }
        _ => return false,
    };
    if widgets::empty_state(ui, "⇄", title, text, button.map(|(title, _)| title))
        && let Some((_, command)) = button
    {
        cx.run(command);
    }
    true
}

impl PairsPane {
    /// The rows to show now; keeps the selection on its pair, or near where it was.
    fn current_rows(&mut self, ctx: &egui::Context, cx: &Cx) -> std::sync::Arc<Vec<Row>> {
        let Some(rewards) = cx.state.rewards.clone() else { return Default::default() };
        let image = if self.shows_all { None } else { cx.state.selection.image };
        let key = Key { rewards, image, column: self.column, descending: self.descending };
        let (rows, is_new) = self.rows.get(key, ctx);
        if is_new {
            let at = self.selected.and_then(|row| rows.iter().position(|other| other.is_same_pair(&row)));
            let at = at.or_else(|| Some(self.selected_at.unwrap_or(0).min(rows.len().checked_sub(1)?)));
            if at != self.selected_at {
                self.scroll_to = at;
            }
            self.selected_at = at;
            self.selected = at.and_then(|at| rows.get(at).copied());
        }
        rows
    }

    fn select(&mut self, rows: &[Row], index: usize, scroll: bool) {
        if let Some(row) = rows.get(index) {
            (self.selected, self.selected_at) = (Some(*row), Some(index));
            if scroll {
                self.scroll_to = Some(index);
            }
        }
    }

    fn step(&mut self, by: isize) {
        let rows = self.rows.last();
        let last = rows.len().saturating_sub(1);
        let next = self.selected_at.map_or(0, |at| at.saturating_add_signed(by).min(last));
        self.select(&rows, next, true);
    }

    /// Records a verdict on the selected pair; the same verdict again takes it back.
    fn judge(&mut self, cx: &mut Cx, verdict: Verdict) {
        let Some(row) = self.selected else { return };
        let verdict = (row.verdict != Some(verdict)).then_some(verdict);
        cx.act(Action::Judge { image: row.image, winner: row.winner, loser: row.loser, verdict });
    }

    fn tools_ui(&mut self, ui: &mut Ui, cx: &mut Cx) {
        let line = vec2(ui.available_width(), ui.spacing().interact_size.y);
        let agreement = self.agreement(cx);
        ui.allocate_ui_with_layout(line, Layout::right_to_left(Align::Center), |ui| {
            if ui.button("Export…").on_hover_text("w/ and l/ folders with JSONL and CSV").clicked() {
                cx.run(CommandId::ExportPairs);
            }
            let (text, hint) = match agreement.and_then(|a| Some((a.share()?, a))) {
                Some((share, a)) => (
                    format!("reward agrees {:.0} % of {}", share * 100.0, format::counted(a.judged, "verdict")),
                    "Pinned and flipped pairs on which the reward ranks the two as you do",
                ),
                None => ("no verdicts yet".into(), "X excludes, F flips, P pins, U undoes; training follows"),
            };
            ui.label(RichText::new(text).small().color(cx.palette.text_weak)).on_hover_text(hint);
            ui.with_layout(Layout::left_to_right(Align::Center), |ui| {
                let pairs = cx.state.rewards.as_ref().map_or(0, |r| r.ranking.summary.pairs);
                ui.selectable_value(&mut self.shows_all, true, "All pairs");
                ui.selectable_value(&mut self.shows_all, false, "Of this image");
                ui.label(RichText::new(format::count(pairs)).small().color(cx.palette.text_faint));
            });
        });
    }

    fn agreement(&mut self, cx: &Cx) -> Option<Agreement> {
        let rewards = cx.state.rewards.as_ref()?;
        if let Some((of, known)) = &self.agreement
            && std::ptr::eq(of.as_ptr(), std::sync::Arc::as_ptr(rewards))
        {
            return Some(*known);
        }
        let ranking = &rewards.ranking;
        let agreement = ranking.scores.overrides.agreement(&ranking.rewards);
        self.agreement = Some((std::sync::Arc::downgrade(rewards), agreement));
        Some(agreement)
    }

    fn pair_ui(&mut self, ui: &mut Ui, cx: &mut Cx, row: &Row) {
        let p = cx.palette;
        ui.horizontal(|ui| {
            for (title, key, verdict, command) in [
                ("Exclude", "X", Verdict::Exclude, CommandId::PairExclude),
                ("Flip", "F", Verdict::Flip, CommandId::PairFlip),
                ("Pin", "P", Verdict::Pin, CommandId::PairPin),
            ] {
                let is_set = row.verdict == Some(verdict);
                let response = ui.selectable_label(is_set, title).on_hover_text(format!("Key {key}"));
                if response.clicked() {
                    cx.run(command);
                }
                widgets::key_cap(ui, key);
            }
            let at = self.selected_at.map_or(0, |at| at + 1);
            let gap = format::reward(row.gap);
            let text = format!("pair {}   gap {gap}   w {}", format::count(at), format::reward(row.weight));
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                ui.label(RichText::new(text).small().color(p.text_weak));
            });
        });
        let Some(set) = cx.state.library.as_ref().and_then(|library| library.set.clone()) else { return };
        let source = |seed| Source::Candidate { set: set.clone(), image: row.image, seed };
        let label = |word: &str, seed, reward| format!("{word}  seed {seed}  R {}", format::reward(reward));
        let items = [
            Item::new(source(row.winner), label("▲ winner", row.winner, row.r_winner), p.winner),
            Item::new(source(row.loser), label("▼ loser", row.loser, row.r_loser), p.loser),
        ];
        let metrics = metrics_of(cx, row.image);
        self.viewer.ui(ui, cx, &items, &metrics);
    }
}

/// The metrics whose maps can be shown for an image.
pub fn metrics_of(cx: &Cx, image: ImageId) -> Vec<String> {
    let has_hr = cx.state.image(image).is_some_and(|image| image.hr_path.is_some());
    let Some(rewards) = &cx.state.rewards else { return Vec::new() };
    let columns = rewards.ranking.scores.train.table.columns().iter();
    let has_map = |column: &&Info| !column.map.is_empty() && (has_hr || !column.is_fr());
    columns.filter(has_map).map(|column| column.name.to_string()).collect()
}
