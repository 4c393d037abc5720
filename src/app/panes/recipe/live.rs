//! What the recipe makes of the pairs, live while it is edited.

use egui::{Align, Frame, Layout, Margin, RichText, Ui, vec2};

use crate::app::actions::Cx;
use crate::app::theme::{self, space};
use crate::app::widgets::Beside;
use crate::app::{format, widgets};
use crate::method::summary::{Histogram, Summary};

/// Room of the pane from which both rows of histograms are shown; the settings come first where there is less.
const ROOMY: f32 = 760.0;

/// Whether there is room for the histograms of w_intra and w_inter too.
fn is_roomy(ui: &Ui) -> bool {
    ui.clip_rect().height() >= ROOMY
}

/// Height that is kept for it, in points.
pub fn height(ui: &Ui, cx: &Cx) -> f32 {
    let line = ui.text_style_height(&egui::TextStyle::Body) + ui.spacing().item_spacing.y;
    let rows = if is_roomy(ui) { 2.0 } else { 1.0 };
    let of_warning = |text: RichText| {
        let text = egui::WidgetText::from(text);
        let laid = text.into_galley(ui, Some(egui::TextWrapMode::Wrap), ui.available_width(), egui::TextStyle::Small);
        laid.size().y + space::XS
    };
    rows * 80.0 + 2.0 * line + 36.0 + warnings(ui, cx).into_iter().map(of_warning).sum::<f32>()
}

/// What in the recipe does nothing, or cannot be ranked by.
fn warnings(ui: &Ui, cx: &Cx) -> Vec<RichText> {
    let Some(rewards) = &cx.state.rewards else { return Vec::new() };
    let lines = rewards.ranking.missing.iter().chain(&rewards.ranking.without_effect);
    lines.map(|line| RichText::new(line).small().color(theme::palette(ui).warning)).collect()
}

/// Draws it.
pub fn ui(ui: &mut Ui, cx: &Cx) {
    let p = cx.palette;
    ui.separator();
    let Some(rewards) = &cx.state.rewards else {
        ui.horizontal(|ui| widgets::section(ui, "Pairs"));
        let text = match &cx.state.ranking_fault {
            Some(cause) if cx.state.stage() > crate::app::state::Stage::Empty => format!("None yet: {cause}"),
            _ => "None yet. Histograms of gap and weights appear with the first scores.".into(),
        };
        ui.add(egui::Label::new(RichText::new(text).color(p.text_weak)).wrap());
        return;
    };
    let ranking = &rewards.ranking;
    let summary = &ranking.summary;
    let frozen = ranking.scores.frozen.is_some();
    ui.horizontal(|ui| {
        widgets::section(ui, &format::counted(summary.pairs, "pair"));
        let groups = format!("in {}", format::counted(summary.groups_with_pairs, "group"));
        ui.label(RichText::new(groups).color(p.text_weak));
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            let (text, hint) = if frozen {
                ("scale fixed", "The reward bounds are frozen: a reward means the same for every checkpoint (method §2)")
            } else {
                (
                    "scale still moves",
                    "Bounds open: R is measured from the worst to the best score so far of each metric, so a new score beyond \
                     them moves all rewards, and with them pairs and weights. The first training freezes the bounds (method §2)",
                )
            };
            ui.label(RichText::new(text).small().color(p.text_faint)).on_hover_text(hint);
        });
    });
    ui.horizontal(|ui| {
        let share = if summary.pairs > 0 { summary.effective_pairs / summary.pairs as f64 } else { 0.0 };
        let text =
            format!("effective {} ({:.0} %)", format::count(summary.effective_pairs.round() as usize), share * 100.0);
        ui.label(RichText::new(text).color(p.text_weak))
            .on_hover_text("Effective sample size (Σw)² / Σw²: as many equally weighted pairs would say as much");
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| change_ui(ui, cx));
    });
    let width = (ui.available_width() - space::S) * 0.5;
    ui.spacing_mut().item_spacing = vec2(space::S, space::XS);
    let before = ranking.before.as_ref();
    let histogram = |ui: &mut Ui, title: &str, text: &str, of: fn(&Summary) -> &Histogram, mark, color| {
        let beside = Beside { before: before.map(of), mark };
        widgets::histogram(ui, title, text, of(summary), color, width, beside);
    };
    Frame::new().inner_margin(Margin::ZERO).show(ui, |ui| {
        ui.horizontal(|ui| {
            let gap = "Gap in reward between winner and loser";
            histogram(ui, "gap |R_w − R_l|", gap, |s| &s.gap, None, p.series[5]);
            histogram(
                ui,
                "w = w_intra · w_inter",
                "Weight of the pairs in the loss; at the mark a pair counts once (method §5)",
                |s| &s.weight,
                Some(1.0),
                p.accent,
            );
        });
        if !is_roomy(ui) {
            return;
        }
        ui.horizontal(|ui| {
            let intra = "Weight within the group: 1 + α_intra · (gap − μ_gap) (method §4)";
            histogram(ui, "w_intra", intra, |s| &s.w_intra, Some(1.0), p.series[2]);
            let inter = "Weight of the groups: 1 + α_inter · (σ_g − μ_σ) (method §4)";
            histogram(ui, "w_inter, by group", inter, |s| &s.w_inter, Some(1.0), p.series[4]);
        });
    });
    for text in warnings(ui, cx) {
        ui.add(egui::Label::new(text).wrap());
    }
}

fn change_ui(ui: &mut Ui, cx: &Cx) {
    let p = cx.palette;
    let change = cx.state.rewards.as_ref().and_then(|rewards| rewards.ranking.change);
    let Some(change) = change else { return };
    let text = match (change.added, change.removed) {
        (0, 0) => RichText::new("same pairs").color(p.text_faint),
        (added, removed) => {
            RichText::new(format!("+{} −{}", format::count(added), format::count(removed))).color(p.changed)
        }
    };
    ui.label(text).on_hover_text("Pairs that the last edit of the recipe brought and took away");
}
