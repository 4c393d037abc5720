//! What is said of images that are added: LR or HR, crops, degradation, what they are for.

use egui::{Checkbox, ComboBox, DragValue, Ui};

use super::row;
use crate::degrade::PRESETS;
use crate::engine::protocol::{AddImages, Role};
use crate::method::recipe::Data;
use crate::workspace::{Split, SplitChoice};

/// Draws the rows.
pub fn options_ui(ui: &mut Ui, request: &mut AddImages, degradation: &str) {
    row(ui, "They are", |ui| {
        ui.radio_value(&mut request.role, None, "what their names say, else HR").on_hover_text(
            "LR in folders such as lr, LR_bicubic/X4, LQ, or called X_LR4; HR beside them in hr, HR, GT, or called X_HR",
        );
        ui.radio_value(&mut request.role, Some(Role::Hr), "HR images: ground truth").on_hover_text(
            "The LR images of its name that an HR resembles get it, before or after; for others LR is made",
        );
        ui.radio_value(&mut request.role, Some(Role::Lr), "LR images: to be super-resolved")
            .on_hover_text("Without HR only the no-reference half of the reward exists");
    });
    row(ui, "For", |ui| split_ui(ui, &mut request.split));
    row(ui, "Crops", |ui| {
        let mut whole = request.crop_px == 0;
        ui.horizontal(|ui| {
            ui.radio_value(&mut whole, true, "whole images");
            ui.radio_value(&mut whole, false, "crops");
        });
        if whole != (request.crop_px == 0) {
            request.crop_px = if whole { 0 } else { Data::default().crop_px };
        }
        ui.horizontal(|ui| {
            let crops = DragValue::new(&mut request.crops).range(1..=1000);
            ui.add_enabled(!whole, crops).on_hover_text("How many, spread over the image");
            ui.label("of");
            let side = DragValue::new(&mut request.crop_px).range(0..=8192).suffix(" px of HR").speed(8.0);
            ui.add_enabled(!whole, side).on_hover_text("Side of the square crops");
        });
    });
    row(ui, "LR made by", |ui| {
        ui.add_enabled_ui(request.role != Some(Role::Lr), |ui| {
            let shown = request.degradation.as_deref().unwrap_or(degradation);
            ComboBox::from_id_salt("degradation").selected_text(shown).show_ui(ui, |ui| {
                for name in PRESETS {
                    ui.selectable_value(&mut request.degradation, Some(name.to_owned()), name);
                }
            });
        });
    });
    row(ui, "Sub-folders", |ui| {
        ui.add(Checkbox::new(&mut request.recursive, "their images too"));
    });
}

/// What they are for.
pub fn split_ui(ui: &mut Ui, split: &mut SplitChoice) {
    ComboBox::from_id_salt("split").selected_text(split_title(*split)).width(230.0).show_ui(ui, |ui| {
        for choice in SplitChoice::ALL {
            ui.selectable_value(split, choice, split_title(choice)).on_hover_text(split_hint(choice));
        }
    });
}

fn split_title(split: SplitChoice) -> &'static str {
    match split {
        SplitChoice::ByRule => "evaluation: validation or test by rule",
        SplitChoice::Fixed(Split::Train) => "training",
        SplitChoice::Fixed(Split::Validation) => "evaluation: validation",
        SplitChoice::Fixed(Split::Test) => "evaluation: test",
    }
}

fn split_hint(split: SplitChoice) -> &'static str {
    match split {
        SplitChoice::ByRule => "Never trained on; about every third photograph is for validation, the others for test",
        SplitChoice::Fixed(Split::Train) => "Pairs are made of them",
        SplitChoice::Fixed(Split::Validation) => "Never trained on; they choose the checkpoint of a run",
        SplitChoice::Fixed(Split::Test) => "Never trained on, and nothing is chosen by them: what is reported",
    }
}
