//! What is said of candidates that are imported: their name, where image and seed stand in the names of files, LR and HR.

use std::path::{Path, PathBuf};

use egui::accesskit::Role;
use egui::{Align, Layout, RichText, TextEdit, Ui};

use super::images::split_ui;
use super::row;
use crate::app::actions::Action;
use crate::app::dialogs::Ask;
use crate::app::path_field::{PathField, Wanted};
use crate::app::state::State;
use crate::app::theme;
use crate::app::widgets;
use crate::engine::protocol::ImportCandidates;
use crate::workspace::{SplitChoice, files};

/// The form.
#[derive(Default)]
pub struct CandidatesForm {
    pub dir: PathField,
    name: String,
    pattern: String,
    lr: PathField,
    hr: PathField,
    split: SplitChoice,
}

impl CandidatesForm {
    /// Names a folder, and the candidates after it.
    pub fn set_dir(&mut self, dir: &Path, state: &State) {
        self.dir = PathField::of(dir);
        let plain = |c: char| if c.is_ascii_alphanumeric() || "._".contains(c) { c } else { '-' };
        let name: String = dir.file_name().unwrap_or_default().to_string_lossy().chars().map(plain).take(40).collect();
        let name = name.trim_start_matches(['.', '-']).to_owned();
        let is_known = |name: &str| {
            state.library.as_ref().is_some_and(|l| l.checkpoints.iter().any(|c| c.name.eq_ignore_ascii_case(name)))
        };
        self.name = if is_known(&name) { format!("{name}-2") } else { name };
    }

    pub fn set_side(&mut self, path: PathBuf, is_hr: bool) {
        *if is_hr { &mut self.hr } else { &mut self.lr } = PathField::of(&path);
    }

    /// What is asked for.
    pub fn request(&self) -> ImportCandidates {
        let pattern = self.pattern.trim();
        ImportCandidates {
            dir: self.dir.path(),
            name: self.name.trim().to_owned(),
            pattern: (!pattern.is_empty()).then(|| pattern.to_owned()),
            lr: self.lr.given(),
            hr: self.hr.given(),
            split: self.split,
        }
    }

    /// Why they cannot be imported yet.
    pub fn fault(&self) -> Option<String> {
        files::check_import_name(self.name.trim()).err().map(|error| error.to_string())
    }

    /// Draws the rows.
    pub fn ui(&mut self, ui: &mut Ui, actions: &mut Vec<Action>) {
        row(ui, "Folder", |ui| {
            side_ui(ui, &mut self.dir, "Folder of the candidates", Ask::Candidates, actions);
        });
        row(ui, "Name", |ui| {
            let response = ui.add(TextEdit::singleline(&mut self.name).desired_width(230.0));
            widgets::name(&response, Role::TextInput, "Name of the candidates");
            response.on_hover_text("What they are called by in Compare and on the command line");
        });
        row(ui, "Pattern", |ui| {
            let hint = "found out; such as {image}_{seed}.png";
            let response = ui.add(TextEdit::singleline(&mut self.pattern).hint_text(hint).desired_width(f32::INFINITY));
            widgets::name(&response, Role::TextInput, "Pattern of their names");
            response.on_hover_text(
                "Where {image}, {seed} and perhaps {step} stand in the names; * is anything within a name",
            );
        });
        row(ui, "LR", |ui| {
            let ask = Ask::CandidatesSide { is_hr: false };
            side_ui(ui, &mut self.lr, "Folder of their LR images", ask, actions);
        });
        row(ui, "HR", |ui| {
            let ask = Ask::CandidatesSide { is_hr: true };
            side_ui(ui, &mut self.hr, "Folder of their HR images", ask, actions);
        });
        row(ui, "", |ui| {
            let text = "Where these are not in the workspace yet. They are found by their names.";
            ui.label(RichText::new(text).small().color(theme::palette(ui).text_faint));
        });
        row(ui, "For", |ui| split_ui(ui, &mut self.split));
    }
}

fn side_ui(ui: &mut Ui, field: &mut PathField, name: &str, ask: Ask, actions: &mut Vec<Action>) {
    let line = egui::vec2(ui.available_width(), 0.0);
    // The button first, as what it takes is known only then, and a field that is too wide widens the next row.
    ui.allocate_ui_with_layout(line, Layout::right_to_left(Align::Min), |ui| {
        if ui.button("Choose…").clicked() {
            actions.push(Action::Ask(ask));
        }
        ui.vertical(|ui| field.show(ui, name, Wanted::Folder, 0.0));
    });
}
