//! Winners beside losers, and a person's word on them.

mod blind;
pub mod rows;
mod table;
mod tools;

use std::sync::{Arc, Weak};

use egui::{Align, Label, Layout, Rect, RichText, Ui, UiBuilder, pos2, vec2};

use crate::app::actions::{Action, Cx, Pane};
use crate::app::commands::CommandId;
use crate::app::panes::why;
use crate::app::state::Stage;
use crate::app::state::rewards::RewardView;
use crate::app::theme::space;
use crate::app::viewer::{Item, Viewer};
use crate::app::{format, widgets};
use crate::engine::protocol::Source;
use crate::iqa::Info;
use crate::method::overrides::{Agreement, Verdict};
use crate::workspace::ImageId;
use blind::Blind;
use rows::{Column, Key, Only, Order, Row, Rows};
use table::Clicked;
use tools::Disputed;

/// What the tab shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Shows {
    #[default]
    All,
    OfImage,
    /// Those on which people and the reward disagree.
    Disputed,
    Blind,
}

/// The Pairs tab.
pub struct PairsPane {
    rows: Rows,
    shows: Shows,
    blind: Blind,
    column: Column,
    descending: bool,
    selected: Option<Row>,
    /// Its place as of the last frame.
    selected_at: Option<usize>,
    /// The row to bring into view.
    scroll_to: Option<usize>,
    /// Agreement with the reward, and the ranking it belongs to.
    agreement: Option<(Weak<RewardView>, Agreement)>,
    disputed: Option<Disputed>,
    /// The map of the metric that decided most is on the pictures, which it is; another one was chosen by hand.
    why: Option<String>,
    viewer: Viewer,
}

impl Default for PairsPane {
    fn default() -> Self {
        Self {
            rows: Rows::default(),
            shows: Shows::default(),
            blind: Blind::default(),
            column: Column::default(),
            descending: true,
            selected: None,
            selected_at: None,
            scroll_to: None,
            agreement: None,
            disputed: None,
            why: None,
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
        if self.shows == Shows::Blind {
            return self.blind.ui(ui, cx);
        }
        let rows = self.current_rows(ui.ctx(), cx);
        if rows.is_empty() {
            return self.none_ui(ui, cx);
        }
        let room = ui.available_rect_before_wrap();
        // The pictures get what two squares beside each other need, the table the rest, at least a quarter.
        let height = (room.width() * 0.5 + 110.0).min(room.height() * 0.74);
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
            Some(Clicked::Row(index)) => self.select(cx, &rows, index, false),
            Some(Clicked::Command(index, command)) => {
                self.select(cx, &rows, index, false);
                cx.run(command);
            }
            None => {}
        }
        ui.allocate_rect(room, egui::Sense::hover());
    }

    fn command(&mut self, id: CommandId, cx: &mut Cx) {
        match id {
            CommandId::PairBlind => {
                self.shows = if self.shows == Shows::Blind { Shows::All } else { Shows::Blind };
            }
            _ if self.shows == Shows::Blind => {
                if let Some(choice) = blind::choice_of(id) {
                    self.blind.answer(cx, choice);
                }
            }
            CommandId::PairNext => self.step(cx, 1),
            CommandId::PairPrevious => self.step(cx, -1),
            CommandId::PairExclude => self.judge(cx, Verdict::Exclude),
            CommandId::PairFlip => self.judge(cx, Verdict::Flip),
            CommandId::PairPin => self.judge(cx, Verdict::Pin),
            CommandId::PairWhy => self.toggle_why(cx),
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
    /// Who judges.
    pub fn rater(&self) -> &str {
        &self.blind.rater
    }

    /// Takes up what [`PairsPane::rater`] said.
    pub fn set_rater(&mut self, rater: String) {
        self.blind.rater = rater;
    }

    /// Turns to the pairs of the selected image.
    pub fn show_image(&mut self) {
        self.shows = Shows::OfImage;
    }

    /// The rows to show now; keeps the selection on its pair, or near where it was.
    fn current_rows(&mut self, ctx: &egui::Context, cx: &Cx) -> Arc<Vec<Row>> {
        let Some(rewards) = cx.state.rewards.clone() else { return Default::default() };
        let only = match (self.shows, cx.state.selection.image) {
            (Shows::OfImage, Some(image)) => Only::Image(image),
            (Shows::Disputed, _) => Only::Disputed(self.disputed(cx, &rewards)),
            _ => Only::All,
        };
        let order = if self.descending { Order::Down(self.column) } else { Order::Up(self.column) };
        let (rows, is_new) = self.rows.get(Key { rewards, only, order }, ctx);
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

    fn none_ui(&mut self, ui: &mut Ui, cx: &Cx) {
        let held_out = cx.state.selected_image().is_some_and(|image| image.is_held_out());
        let (title, text) = match (self.shows, held_out) {
            (Shows::Disputed, _) => (
                "Nothing is disputed",
                "Pairs on which a blind judgement prefers what the reward ranks lower stand here, to be flipped or excluded.",
            ),
            (_, true) => (
                "No pairs of this image",
                "This image is held out from training, so it makes no pairs. Choose another one, or show all pairs.",
            ),
            (_, false) => (
                "No pairs of this image",
                "The candidates of this image are not scored yet. Choose another image, or show all pairs.",
            ),
        };
        if widgets::empty_state(ui, "⇄", title, text, Some("Show all pairs")) {
            self.shows = Shows::All;
        }
    }

    /// Goes to a pair; its image and its winner are then selected in all panes.
    fn select(&mut self, cx: &mut Cx, rows: &[Row], index: usize, scroll: bool) {
        if let Some(row) = rows.get(index) {
            (self.selected, self.selected_at) = (Some(*row), Some(index));
            cx.state.selection.candidate(row.image, row.winner);
            if scroll {
                self.scroll_to = Some(index);
            }
        }
    }

    fn step(&mut self, cx: &mut Cx, by: isize) {
        let rows = self.rows.last();
        let last = rows.len().saturating_sub(1);
        let next = self.selected_at.map_or(0, |at| at.saturating_add_signed(by).min(last));
        self.select(cx, &rows, next, true);
    }

    /// Records the rater's verdict on the selected pair; the same verdict again takes it back.
    fn judge(&mut self, cx: &mut Cx, verdict: Verdict) {
        let Some(row) = self.selected else { return };
        let judgements = &cx.state.judgements;
        let is_mine = judgements.verdict_of(self.rater(), &row.key()).is_some();
        let known = judgements.counting(&row.key(), row.verdict);
        let verdict = (known != Some(verdict) || !is_mine).then_some(verdict);
        cx.act(Action::Judge { image: row.image, winner: row.winner, loser: row.loser, verdict });
    }

    /// Shows the map of the metric that decided most, or takes it away.
    fn toggle_why(&mut self, cx: &Cx) {
        if self.why.take().is_some() {
            (self.viewer.heat.metric, self.viewer.heat.is_difference) = (None, false);
        } else if let Some(row) = self.selected {
            let parts = why::parts(cx, row.image, row.winner, row.loser);
            self.explain(why::decider(&parts));
        }
    }

    fn explain(&mut self, metric: Option<&str>) {
        self.why = metric.map(str::to_owned);
        (self.viewer.heat.metric, self.viewer.heat.is_difference) = (self.why.clone(), true);
    }

    fn pair_ui(&mut self, ui: &mut Ui, cx: &mut Cx, row: &Row) {
        let p = cx.palette;
        ui.horizontal(|ui| {
            for (title, key, verdict, command) in [
                ("Exclude", "X", Verdict::Exclude, CommandId::PairExclude),
                ("Flip", "F", Verdict::Flip, CommandId::PairFlip),
                ("Pin", "P", Verdict::Pin, CommandId::PairPin),
            ] {
                let is_set = cx.state.judgements.counting(&row.key(), row.verdict) == Some(verdict);
                let response = ui.selectable_label(is_set, title).on_hover_text(format!("Key {key}"));
                if response.clicked() {
                    cx.run(command);
                }
                widgets::key_cap(ui, key);
            }
            ui.separator();
            let hint =
                "The map of the metric that decided most, winner less loser: blue where the winner has less error";
            if ui.selectable_label(self.why.is_some(), "Why?").on_hover_text(hint).clicked() {
                cx.run(CommandId::PairWhy);
            }
            widgets::key_cap(ui, "W");
            let at = self.selected_at.map_or(0, |at| at + 1);
            let gap = format::reward(row.gap);
            let text = format!("pair {}   gap {gap}   w {}", format::count(at), format::reward(row.weight));
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                ui.add(Label::new(RichText::new(text).small().color(p.text_weak)).truncate());
            });
        });
        let parts = why::parts(cx, row.image, row.winner, row.loser);
        if self.why.is_some() && self.why == self.viewer.heat.metric && self.why.as_deref() != why::decider(&parts) {
            // What decided the pair before need not have decided this one.
            self.explain(why::decider(&parts));
        }
        if let Some(metric) = why::ui(ui, cx, &parts, self.viewer.heat.metric.as_deref()) {
            self.viewer.toggle_map(metric);
            self.why = None;
        }
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
