//! The window in which it is said what added files are: LR or HR, crops, degradation, held out.

use std::path::PathBuf;

use egui::{Checkbox, ComboBox, Context, DragValue, Grid, Id, Modal, RichText, ScrollArea, Ui};

use super::actions::Action;
use super::format;
use super::state::State;
use super::theme::{self, space};
use super::widgets;
use crate::degrade::PRESETS;
use crate::engine::protocol::{AddImages, Role};
use crate::method::recipe::Data;
use crate::workspace::{Split, SplitChoice};

/// The window: closed, or with a request that is being filled in.
#[derive(Debug, Default)]
pub struct AddWindow {
    request: Option<AddImages>,
    /// The recipe's, where none is chosen.
    degradation: String,
}

impl AddWindow {
    /// Opens it for files and folders, or adds them to those it is open for.
    pub fn open(&mut self, paths: Vec<PathBuf>, state: &State) {
        let data = &state.recipe.edited.data;
        self.degradation.clone_from(&data.degradation);
        let request =
            self.request.get_or_insert_with(|| AddImages { crop_px: data.crop_px, crops: 1, ..AddImages::default() });
        request.paths.extend(paths);
    }

    /// Draws it if it is open.
    pub fn show(&mut self, ctx: &Context, actions: &mut Vec<Action>) {
        let Some(request) = &mut self.request else {
            return;
        };
        let mut done = false;
        let modal = Modal::new(Id::unique("add images")).show(ctx, |ui| {
            ui.set_width(520.0);
            ui.heading(title(request.paths.len()));
            ui.add_space(space::XS);
            paths_ui(ui, &request.paths);
            ui.add_space(space::S);
            options_ui(ui, request, &self.degradation);
            ui.add_space(space::M);
            ui.horizontal(|ui| {
                if widgets::primary_button(ui, "Add to the workspace").clicked() {
                    actions.push(Action::Add(request.clone()));
                    done = true;
                }
                done |= ui.button("Cancel").clicked();
            });
        });
        if done || modal.should_close() {
            self.request = None;
        }
    }
}

fn paths_ui(ui: &mut Ui, paths: &[PathBuf]) {
    let p = theme::palette(ui);
    ScrollArea::vertical().max_height(110.0).auto_shrink([false, true]).show(ui, |ui| {
        for path in paths.iter().take(200) {
            let text = RichText::new(path.display().to_string()).small().color(p.text_weak);
            ui.add(egui::Label::new(text).truncate());
        }
        if paths.len() > 200 {
            ui.weak(format!("and {} more", paths.len() - 200));
        }
    });
}

fn options_ui(ui: &mut Ui, request: &mut AddImages, degradation: &str) {
    Grid::new("add options").num_columns(2).spacing([space::L, space::S]).show(ui, |ui| {
        ui.label("The files are");
        ui.vertical(|ui| {
            ui.radio_value(&mut request.role, None, "what their names say, else HR").on_hover_text(
                "LR in folders such as lr, LR_bicubic/X4, LQ, or called X_LR4; HR beside them in hr, HR, GT, or called X_HR",
            );
            ui.radio_value(&mut request.role, Some(Role::Hr), "HR images: ground truth").on_hover_text(
                "The LR images of its name that an HR resembles get it, before or after; for others LR is made",
            );
            ui.radio_value(&mut request.role, Some(Role::Lr), "LR images: to be super-resolved")
                .on_hover_text("Without HR only the no-reference half of the reward exists");
        });
        ui.end_row();
        ui.label("Sub-folders");
        ui.add(Checkbox::new(&mut request.recursive, "their images too"));
        ui.end_row();
        ui.label("Crops of each image");
        ui.horizontal(|ui| {
            let mut whole = request.crop_px == 0;
            let crops = DragValue::new(&mut request.crops).range(1..=1000);
            ui.add_enabled(!whole, crops).on_hover_text("How many, spread over the image");
            ui.label("of");
            let side = DragValue::new(&mut request.crop_px).range(0..=8192).suffix(" px").speed(8.0);
            ui.add_enabled(!whole, side).on_hover_text("Side of the square HR crops");
            if ui.add(Checkbox::new(&mut whole, "whole images")).changed() {
                request.crop_px = if whole { 0 } else { Data::default().crop_px };
            }
        });
        ui.end_row();
        ui.label("LR is made by");
        // In a row of its own height; what is merely enabled or not takes all there is.
        ui.horizontal(|ui| {
            if request.role == Some(Role::Lr) {
                ui.disable();
            }
            let shown = request.degradation.as_deref().unwrap_or(degradation);
            ComboBox::from_id_salt("degradation").selected_text(shown).show_ui(ui, |ui| {
                for name in PRESETS {
                    ui.selectable_value(&mut request.degradation, Some(name.to_owned()), name);
                }
            });
        });
        ui.end_row();
        ui.label("They are for");
        ComboBox::from_id_salt("split").selected_text(split_title(request.split)).show_ui(ui, |ui| {
            for split in SplitChoice::ALL {
                ui.selectable_value(&mut request.split, split, split_title(split)).on_hover_text(split_hint(split));
            }
        });
        ui.end_row();
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

fn title(paths: usize) -> String {
    match paths {
        1 => "Add a file or folder".into(),
        n => format!("Add {} files or folders", format::count(n)),
    }
}
