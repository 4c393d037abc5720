//! Pairs judged without knowing which is which: sides and order shuffled by a seed, no names, no rewards.

use egui::accesskit::Role;
use egui::{Align, DragValue, Grid, Key, Layout, RichText, ScrollArea, TextEdit, Ui, vec2};

use super::rows::{self, Only, Order, Row, Rows};
use crate::app::actions::{Action, Cx};
use crate::app::commands::CommandId;
use crate::app::state::judgements::Kappa;
use crate::app::theme::{self, space};
use crate::app::viewer::{Item, Viewer};
use crate::app::{format, widgets};
use crate::engine::protocol::Source;
use crate::method::agreement::{Choice, wilson};
use crate::method::blind;
use crate::method::overrides::{Agreement, Verdict};
use crate::workspace::Judgement;

/// The answers: word, key, what it is called, command.
const ANSWERS: [(Choice, &str, &str, CommandId); 4] = [
    (Choice::Left, "1", "A is better", CommandId::BlindLeft),
    (Choice::Unsure, "3", "Unsure", CommandId::BlindUnsure),
    (Choice::BothBad, "4", "Both bad", CommandId::BlindBothBad),
    (Choice::Right, "2", "B is better", CommandId::BlindRight),
];

/// The blind test.
pub struct Blind {
    rows: Rows,
    viewer: Viewer,
    pub rater: String,
    /// Seed of order and sides.
    shuffle: u64,
    shows_results: bool,
    /// The pair that is looked at, as of the last frame.
    current: Option<Judgement>,
}

impl Default for Blind {
    fn default() -> Self {
        Self {
            rows: Rows::default(),
            viewer: Viewer::default(),
            rater: String::new(),
            shuffle: 1,
            shows_results: false,
            current: None,
        }
    }
}

impl Blind {
    /// Draws the next pair that the rater has not judged.
    pub fn ui(&mut self, ui: &mut Ui, cx: &mut Cx) {
        let Some(rewards) = cx.state.rewards.clone() else { return };
        let key = rows::Key { rewards, only: Only::All, order: Order::Shuffled(self.shuffle) };
        let (rows, _) = self.rows.get(key, ui.ctx());
        self.head_ui(ui, cx, rows.len());
        if self.shows_results {
            self.results_ui(ui, cx);
            self.current = None;
            return;
        }
        let judgements = cx.state.judgements.clone();
        let is_open =
            |row: &&Row| row.verdict != Some(Verdict::Exclude) && !judgements.is_judged(&self.rater, &row.key());
        let mut open = rows.iter().filter(is_open);
        let Some(row) = open.next() else {
            self.current = None;
            let text = "Another rater, or another shuffle, begins anew. The results say how far all agree.";
            if widgets::empty_state(ui, "✓", "Every pair is judged", text, Some("Results")) {
                self.shows_results = true;
            }
            return;
        };
        let judgement = self.judgement_of(row);
        if let Some(next) = open.next() {
            // Ready before it is looked at.
            for source in sources(cx, &self.judgement_of(next)).into_iter().flatten() {
                cx.state.pictures.full(&source);
            }
        }
        if let [Some(left), Some(right)] = sources(cx, &judgement) {
            let room = ui.available_rect_before_wrap();
            let foot = ui.spacing().interact_size.y + space::M;
            let (views, answers) = room.split_top_bottom_at_y(room.bottom() - foot);
            let items = [Item::new(left, "A", cx.palette.on_scrim), Item::new(right, "B", cx.palette.on_scrim)];
            let mut child = ui.new_child(egui::UiBuilder::new().max_rect(views).id_salt("blind"));
            self.viewer.ui(&mut child, cx, &items, &[]);
            let answers = answers.with_min_y(answers.top() + space::S);
            let mut child = ui.new_child(egui::UiBuilder::new().max_rect(answers).id_salt("answers"));
            answers_ui(&mut child, cx);
            ui.allocate_rect(room, egui::Sense::hover());
        }
        self.current = Some(judgement);
        if let Some(choice) = arrow(ui).filter(|_| cx.state.is_writable()) {
            self.answer(cx, choice);
        }
    }

    /// Takes an answer on the pair that is looked at; the next frame shows another one.
    pub fn answer(&mut self, cx: &mut Cx, choice: Choice) {
        if let Some(judgement) = self.current.take() {
            cx.act(Action::JudgeBlindly(Box::new(Judgement { choice, ..judgement })));
        }
    }

    /// The pair as it is shown, unsure as yet.
    fn judgement_of(&self, row: &Row) -> Judgement {
        let (image, a, b) = row.key();
        let (_, is_swapped) = blind::place(self.shuffle, image.0, [a, b]);
        let seeds = if is_swapped { [b, a] } else { [a, b] };
        let (rater, shuffle) = (self.rater.clone(), self.shuffle);
        Judgement { image, seeds, choice: Choice::Unsure, rater, shuffle, decided_at_secs: 0 }
    }

    /// Who judges.
    pub fn rater_ui(&mut self, ui: &mut Ui) {
        ui.label(RichText::new("Rater").color(theme::palette(ui).text_weak));
        let edit = ui.add(TextEdit::singleline(&mut self.rater).desired_width(96.0).hint_text("your name"));
        widgets::name(&edit, Role::TextInput, "Rater");
        edit.on_hover_text("Kept with every verdict and judgement; two raters' agreement is measured by κ");
    }

    fn head_ui(&mut self, ui: &mut Ui, cx: &mut Cx, pairs: usize) {
        let line = vec2(ui.available_width(), ui.spacing().interact_size.y);
        ui.allocate_ui_with_layout(line, Layout::left_to_right(Align::Center), |ui| {
            let weak = |text: &str| RichText::new(text).color(cx.palette.text_weak);
            self.rater_ui(ui);
            ui.label(weak("shuffle"));
            let drag = ui.add(DragValue::new(&mut self.shuffle).speed(0.05));
            widgets::name(&drag, Role::SpinButton, "Shuffle");
            drag.on_hover_text("Seed of the order and the sides: with the same one all raters see the same pairs");
            let judged = cx.state.judgements.count(&self.rater);
            let text = format!("{} of {} judged", format::count(judged), format::count(pairs));
            ui.label(RichText::new(text).small().color(cx.palette.text_faint));
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                let hint = "How far raters agree with the reward and with each other; hidden while judging";
                ui.toggle_value(&mut self.shows_results, "Results").on_hover_text(hint);
                let undo = ui.add_enabled(judged > 0, egui::Button::new("Undo"));
                if undo.on_hover_text("Takes the last one back  U").clicked() {
                    cx.run(CommandId::PairUndo);
                }
            });
        });
    }

    fn results_ui(&self, ui: &mut Ui, cx: &mut Cx) {
        let p = cx.palette;
        let Some(view) = cx.state.rewards.clone() else { return };
        let judgements = cx.state.judgements.clone();
        if judgements.is_empty() {
            let text = "Each answer counts: how often the reward ranks the two as you do, with its interval.";
            widgets::empty_state(ui, "A|B", "Nothing was judged yet", text, None);
            return;
        }
        let mut raters: Vec<&str> = judgements.all().iter().map(|judgement| judgement.rater.as_str()).collect();
        raters.sort_unstable();
        raters.dedup();
        ScrollArea::vertical().auto_shrink(false).show(ui, |ui| {
            ui.add_space(space::M);
            let title = |text: &str| RichText::new(text).font(theme::strong(13.0)).color(p.text);
            ui.label(title("With the reward"));
            Grid::new("agreement").num_columns(4).spacing([24.0, 5.0]).show(ui, |ui| {
                for head in ["", "reward agrees", "unsure", "both bad"] {
                    ui.label(RichText::new(head).small().color(p.text_faint));
                }
                ui.end_row();
                let all = (raters.len() > 1).then_some(None);
                for rater in raters.iter().map(|rater| Some(*rater)).chain(all) {
                    ui.label(rater.map_or("all", shown_name));
                    ui.label(agreement_text(judgements.agreement(&view, rater)).unwrap_or_else(|| "–".into()));
                    ui.label(judgements.said(Choice::Unsure, rater).to_string());
                    ui.label(judgements.said(Choice::BothBad, rater).to_string());
                    ui.end_row();
                }
            });
            let text = "Shares of the pairs on which one was preferred, with 95 % intervals (Wilson)";
            ui.label(RichText::new(text).small().color(p.text_faint));
            ui.add_space(space::L);
            ui.label(title("With each other"));
            for known in judgements.kappas() {
                ui.label(kappa_text(&known));
            }
            for known in judgements.kappas_of_verdicts() {
                ui.label(kappa_text(&known) + ", verdicts with the rewards in view");
            }
            let text = "Cohen's κ of the pairs both judged: 1 always alike, 0 as often as by chance";
            ui.label(RichText::new(text).small().color(p.text_faint));
        });
    }
}

/// "anna and ben: κ = 0.62 over 12 pairs".
fn kappa_text(known: &Kappa) -> String {
    let [a, b] = &known.raters;
    let kappa = known.kappa.map_or("–".into(), |kappa| format!("{kappa:.2}").replace('-', "−"));
    let pairs = format::counted(known.pairs, "pair");
    format!("{} and {}: κ = {kappa} over {pairs}", shown_name(a), shown_name(b))
}

/// A rater's name, or what stands for none.
fn shown_name(rater: &str) -> &str {
    if rater.is_empty() { "without a name" } else { rater }
}

/// "75 % [47, 91] of 12 verdicts"; `None` where nothing was judged.
pub fn agreement_text(agreement: Agreement) -> Option<String> {
    let (share, [low, high]) = (agreement.share()?, wilson(agreement.agreeing, agreement.judged)?);
    let [share, low, high] = [share, low, high].map(|share| format!("{:.0}", share * 100.0));
    Some(format!("{share} % [{low}, {high}] of {}", format::counted(agreement.judged, "verdict")))
}

/// Where the pictures of a pair are, left and right.
fn sources(cx: &Cx, judgement: &Judgement) -> [Option<Source>; 2] {
    let set = cx.state.library.as_ref().and_then(|library| library.set.clone());
    judgement.seeds.map(|seed| Some(Source::Candidate { set: set.clone()?, image: judgement.image, seed }))
}

fn answers_ui(ui: &mut Ui, cx: &mut Cx) {
    let width = (ui.available_width() - 3.0 * space::S) / 4.0;
    ui.horizontal(|ui| {
        ui.spacing_mut().item_spacing.x = space::S;
        for (_, key, title, command) in ANSWERS {
            let button = egui::Button::new(title).shortcut_text(key).min_size(vec2(width, 0.0));
            if ui.add(button).clicked() {
                cx.run(command);
            }
        }
    });
}

/// What an arrow key answers: left and right the better side, down unsure, up both bad.
fn arrow(ui: &Ui) -> Option<Choice> {
    let keys = [
        (Key::ArrowLeft, Choice::Left),
        (Key::ArrowRight, Choice::Right),
        (Key::ArrowDown, Choice::Unsure),
        (Key::ArrowUp, Choice::BothBad),
    ];
    let pressed = |(key, _): &(Key, Choice)| ui.input(|i| i.key_pressed(*key) && i.modifiers.is_none());
    let is_free = !ui.ctx().egui_wants_keyboard_input();
    keys.into_iter().find(|key| is_free && pressed(key)).map(|(_, choice)| choice)
}

/// What a command of the blind test answers.
pub fn choice_of(id: CommandId) -> Option<Choice> {
    ANSWERS.into_iter().find(|(.., command)| *command == id).map(|(choice, ..)| choice)
}
