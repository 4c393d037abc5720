//! The window that asks for a path where no dialog of the system opens, as in a container or over SSH.

use std::path::{Path, PathBuf};

use egui::{Context, Id, Modal, RichText};

use super::path_field::{PathField, Wanted};
use super::theme::{self, space};
use super::widgets;

/// What is asked for.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// A file or folder that is there.
    Existing(Wanted),
    /// A file or folder to write; the name that is proposed.
    New(String),
}

/// The window: closed, or asking.
#[derive(Default)]
pub struct PathWindow {
    asked: Option<(String, Kind)>,
    field: PathField,
    fault: Option<String>,
    /// The file that is replaced if it is asked for once more.
    unconfirmed: Option<PathBuf>,
}

impl PathWindow {
    /// Opens it, in a folder.
    pub fn open(&mut self, title: &str, kind: Kind, folder: &Path) {
        let begin = match &kind {
            Kind::Existing(_) => folder.join(""),
            Kind::New(name) => folder.join(name),
        };
        *self = Self { asked: Some((title.to_owned(), kind)), field: PathField::of(&begin).focus(), ..Self::default() };
    }

    /// Closes it.
    pub fn close(&mut self) {
        self.asked = None;
    }

    pub fn is_open(&self) -> bool {
        self.asked.is_some()
    }

    /// Draws it if it is open. `Some` once it is over: the path, or none.
    pub fn show(&mut self, ctx: &Context) -> Option<Option<PathBuf>> {
        let (title, kind) = self.asked.clone()?;
        let (mut taken, mut done) = (false, false);
        let modal = Modal::new(Id::unique("path window")).show(ctx, |ui| {
            ui.set_width(620.0_f32.min(ctx.content_rect().width() - 80.0));
            ui.heading(&title);
            let p = theme::palette(ui);
            let text = "No file dialog opens on this system: type the path. Tab completes it, Enter takes it.";
            ui.label(RichText::new(text).color(p.text_weak));
            ui.add_space(space::S);
            let wanted = if let Kind::Existing(wanted) = kind { wanted } else { Wanted::File(&[]) };
            let change = self.field.show(ui, "Path", wanted, 220.0);
            if change.is_changed {
                (self.fault, self.unconfirmed) = (None, None);
            }
            ui.add_space(space::XS);
            if let Some(fault) = &self.fault {
                ui.label(RichText::new(fault).color(p.error));
            }
            ui.add_space(space::S);
            ui.horizontal(|ui| {
                let word = if matches!(kind, Kind::New(_)) { "Save" } else { "Open" };
                taken = widgets::primary_button(ui, word).clicked() || change.is_entered;
                done = ui.button("Cancel").clicked();
            });
        });
        if done || modal.should_close() {
            self.close();
            return Some(None);
        }
        if !taken {
            return None;
        }
        let path = self.field.path();
        match fault_of(&path, &kind) {
            Some(fault) => self.fault = Some(fault),
            None if matches!(kind, Kind::New(_)) && path.is_file() && self.unconfirmed.as_ref() != Some(&path) => {
                self.fault = Some("A file is there already: Save once more replaces it".into());
                self.unconfirmed = Some(path);
            }
            None => {
                self.close();
                return Some(Some(path));
            }
        }
        None
    }
}

/// Why a path cannot be taken.
fn fault_of(path: &Path, kind: &Kind) -> Option<String> {
    let shown = path.display();
    match kind {
        Kind::Existing(Wanted::Folder) if !path.is_dir() => Some(format!("{shown} is no folder that is there")),
        Kind::Existing(Wanted::File(_)) if !path.exists() => Some(format!("{shown} is not there")),
        Kind::New(_) if path.file_name().is_none() => Some("Say what it is to be called".into()),
        _ => None,
    }
}
