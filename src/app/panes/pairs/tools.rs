//! Which pairs are shown, and how far the reward agrees with what was said of them.

use std::collections::BTreeSet;
use std::sync::{Arc, Weak};

use egui::{Align, Label, Layout, RichText, Ui, vec2};

use super::{PairsPane, Shows, blind};
use crate::app::actions::Cx;
use crate::app::commands::CommandId;
use crate::app::format;
use crate::app::state::judgements::{Judgements, PairKey};
use crate::app::state::rewards::RewardView;
use crate::method::overrides::Agreement;

/// Width of the rater's name and what stands before it, in points.
const RATER: f32 = 146.0;

/// The disputed pairs, and what they follow from.
pub(super) struct Disputed {
    rewards: Weak<RewardView>,
    judgements: Weak<Judgements>,
    pairs: Arc<BTreeSet<PairKey>>,
}

impl PairsPane {
    /// The pairs on which someone prefers what the reward ranks lower.
    pub(super) fn disputed(&mut self, cx: &Cx, rewards: &Arc<RewardView>) -> Arc<BTreeSet<PairKey>> {
        let judgements = &cx.state.judgements;
        if let Some(known) = &self.disputed
            && std::ptr::eq(known.rewards.as_ptr(), Arc::as_ptr(rewards))
            && std::ptr::eq(known.judgements.as_ptr(), Arc::as_ptr(judgements))
        {
            return known.pairs.clone();
        }
        let pairs = Arc::new(judgements.disputed(rewards));
        let (rewards, judgements) = (Arc::downgrade(rewards), Arc::downgrade(judgements));
        self.disputed = Some(Disputed { rewards, judgements, pairs: pairs.clone() });
        pairs
    }

    pub(super) fn tools_ui(&mut self, ui: &mut Ui, cx: &mut Cx) {
        let line = vec2(ui.available_width(), ui.spacing().interact_size.y);
        let agreement = self.agreement(cx);
        ui.allocate_ui_with_layout(line, Layout::left_to_right(Align::Center), |ui| {
            for (shows, title, hint) in [
                (Shows::All, "All", "All pairs that would be trained on, and the excluded ones"),
                (Shows::OfImage, "This image", "Pairs of the selected image"),
                (Shows::Disputed, "Disputed", "Pairs on which a blind judgement disagrees with the reward"),
                (Shows::Blind, "Blind A/B", "Judge pairs without names or rewards, on shuffled sides  A"),
            ] {
                ui.selectable_value(&mut self.shows, shows, title).on_hover_text(hint);
            }
            if self.shows != Shows::Blind {
                let pairs = format::count(self.rows.last().len());
                ui.label(RichText::new(pairs).small().color(cx.palette.text_faint));
            }
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                if ui.button("Export…").on_hover_text("w/ and l/ folders with JSONL and CSV").clicked() {
                    cx.run(CommandId::ExportPairs);
                }
                if self.shows == Shows::Blind {
                    return;
                }
                // Who judges alone needs no name; the blind test asks for it.
                if !self.blind.rater.is_empty() || cx.state.judgements.has_names() {
                    ui.allocate_ui_with_layout(vec2(RATER, line.y), Layout::left_to_right(Align::Center), |ui| {
                        self.blind.rater_ui(ui);
                    });
                }
                let (text, hint) = match agreement.and_then(blind::agreement_text) {
                    Some(text) => (
                        format!("reward agrees {text}"),
                        "Pinned and flipped pairs on which the reward ranks the two as you do, with a 95 % interval",
                    ),
                    None => ("no verdicts yet".into(), "X excludes, F flips, P pins, U undoes; training follows"),
                };
                let text = RichText::new(text).small().color(cx.palette.text_weak);
                ui.add(Label::new(text).truncate()).on_hover_text(hint);
            });
        });
    }

    fn agreement(&mut self, cx: &Cx) -> Option<Agreement> {
        let rewards = cx.state.rewards.as_ref()?;
        if let Some((of, known)) = &self.agreement
            && std::ptr::eq(of.as_ptr(), Arc::as_ptr(rewards))
        {
            return Some(*known);
        }
        let ranking = &rewards.ranking;
        let agreement = ranking.scores.overrides.agreement(&ranking.rewards);
        self.agreement = Some((Arc::downgrade(rewards), agreement));
        Some(agreement)
    }
}
