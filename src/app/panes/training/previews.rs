//! Candidates of a fixed seed over the steps of a run, each beside the reference's: one slider moves all of them.

use egui::{Align, Label, Layout, Rect, RichText, ScrollArea, Sense, Slider, TextStyle, Ui, pos2, vec2};

use crate::app::actions::Cx;
use crate::app::panes::seeds::paint_picture;
use crate::app::theme::space;
use crate::app::{format, widgets};
use crate::engine::protocol::{Library, Source};
use crate::workspace::{CandidateSet, CheckpointId, ImageId, RunId, Split};

const GAP: f32 = 4.0;

/// The previews of a run.
#[derive(Default)]
pub struct Previews {
    /// Place among the evaluated checkpoints; `None` follows the newest.
    at: Option<usize>,
}

impl Previews {
    /// Draws the previews in one row, all at the step of the slider.
    pub fn ui(&mut self, ui: &mut Ui, cx: &mut Cx, library: &Library, run: RunId) {
        let Some(set) = &library.set else { return };
        let steps = evaluated(library, set.checkpoint, run);
        let last = steps.len() - 1;
        let mut at = self.at.unwrap_or(last).min(last);
        let (step, checkpoint) = steps[at];
        ui.horizontal(|ui| {
            widgets::section(ui, "Previews");
            let hint = "Left as the reference draws it, right as the checkpoint of the step does: the same seed on the validation images, as each evaluated checkpoint draws them";
            let text = RichText::new(if step == 0 { "reference".into() } else { format!("reference | step {step}") });
            ui.label(text.color(cx.palette.text_weak)).on_hover_text(hint);
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                ui.spacing_mut().slider_width = (ui.available_width() - space::L).clamp(60.0, 320.0);
                let slider = Slider::new(&mut at, 0..=last).show_value(false);
                // One checkpoint leaves nothing to choose.
                if last > 0 && widgets::slider(ui, slider, "Step of the previews").changed() {
                    self.at = (at < last).then_some(at);
                }
            });
        });
        let set = CandidateSet { checkpoint, sampler: set.sampler.clone() };
        let Some(seed) = cx.state.recipe.edited.seeds().first().copied() else { return };
        let before = CandidateSet { checkpoint: steps[0].1, sampler: set.sampler.clone() };
        let shown_sets = if step == 0 { vec![before] } else { vec![before, set] };
        let images: Vec<(ImageId, String)> =
            library.images.iter().filter(|i| i.split == Split::Validation).map(|i| (i.id, i.name.clone())).collect();
        let side = (ui.available_height() - 22.0).clamp(48.0, 256.0);
        ScrollArea::horizontal().id_salt("previews").auto_shrink(false).show_viewport(ui, |ui, view| {
            let each = shown_sets.len() as f32 * (side + GAP) + space::S;
            ui.set_width(images.len() as f32 * each);
            let (row, _) = ui.allocate_exact_size(vec2(images.len() as f32 * each, side + 18.0), Sense::hover());
            let first = (view.left() / each).floor().max(0.0) as usize;
            let shown = (view.width() / each).ceil() as usize + 1;
            for (place, (image, name)) in images.iter().enumerate().skip(first).take(shown) {
                let left = row.left() + place as f32 * each;
                for (column, set) in shown_sets.iter().enumerate() {
                    let min = pos2(left + column as f32 * (side + GAP), row.top());
                    let square = Rect::from_min_size(min, vec2(side, side));
                    let source = Source::Candidate { set: set.clone(), image: *image, seed };
                    paint_picture(ui, cx, &source, square);
                    let label = if column == 0 { "reference".into() } else { format!("step {step}") };
                    label_ui(ui, cx, square, &label);
                    let response = ui.interact(square, ui.scope_id().with((image.0, column)), Sense::click());
                    if response.on_hover_text(format!("{name}, seed {seed}, {label}")).clicked() {
                        cx.state.selection.image = Some(*image);
                        cx.state.selection.seed = Some(seed);
                    }
                }
                let text = RichText::new(format::short(name, 24)).small().color(cx.palette.text_weak);
                let caption = Rect::from_min_size(pos2(left, row.top() + side + 2.0), vec2(each - space::S, 16.0));
                ui.put(caption, Label::new(text).truncate().halign(Align::Min));
            }
        });
    }
}

/// What a picture is of, in its corner.
fn label_ui(ui: &Ui, cx: &Cx, square: Rect, text: &str) {
    let font = TextStyle::Small.resolve(ui.style());
    let galley = ui.painter().layout_no_wrap(text.to_owned(), font, cx.palette.on_scrim);
    let at = Rect::from_min_size(square.left_top() + vec2(3.0, 3.0), galley.size());
    ui.painter().rect_filled(at.expand2(vec2(3.0, 1.0)), 3.0, cx.palette.scrim);
    ui.painter().galley(at.min, galley, cx.palette.on_scrim);
}

/// The reference, then the evaluated checkpoints of a run by step.
fn evaluated(library: &Library, reference: CheckpointId, run: RunId) -> Vec<(u32, CheckpointId)> {
    let of_run = library.checkpoints.iter().filter(|c| c.run == Some(run) && c.held_out_reward.is_some());
    std::iter::once((0, reference)).chain(of_run.map(|c| (c.step, c.id))).collect()
}
