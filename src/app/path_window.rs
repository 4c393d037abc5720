//! The window that asks for a path where no dialog of the system opens, as in a container or over SSH.

use std::path::{Path, PathBuf};

use egui::accesskit::Role;
use egui::{Context, Label, RichText, ScrollArea, Ui};

use super::path_field::{PathField, Wanted};
use super::theme::{self, space};
use super::widgets;
use crate::input::patterns;

/// What is asked for.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// A file or folder that is there.
    Existing(Wanted),
    /// Files that are there, with these endings; also by a pattern.
    Several(&'static [&'static str]),
    /// A file to write and the name that is proposed; without one a folder.
    New(String),
}

/// The window: closed, or asking.
#[derive(Default)]
pub struct PathWindow {
    asked: Option<(String, Kind)>,
    field: PathField,
    /// Files that were taken before the one in the field.
    others: Vec<PathBuf>,
    fault: Option<String>,
    /// The file that is replaced if it is asked for once more.
    unconfirmed: Option<PathBuf>,
}

impl PathWindow {
    /// Opens it, in a folder.
    pub fn open(&mut self, title: &str, kind: Kind, folder: &Path) {
        let begin = match &kind {
            Kind::Existing(_) | Kind::Several(_) => folder.join(""),
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

    /// Draws it if it is open. `Some` once it is over: the paths, none where it was cancelled.
    pub fn show(&mut self, ctx: &Context) -> Option<Vec<PathBuf>> {
        let (title, kind) = self.asked.clone()?;
        let (mut taken, mut another, mut done) = (false, false, false);
        let is_several = matches!(kind, Kind::Several(_));
        let modal = widgets::modal(ctx, "path window").show(ctx, |ui| {
            ui.set_width(620.0_f32.min(ctx.content_rect().width() - 80.0));
            ui.heading(&title);
            let p = theme::palette(ui);
            let text = "No file dialog opens on this system: type the path. Tab completes it, Enter takes it.";
            ui.label(RichText::new(text).color(p.text_weak));
            ui.add_space(space::S);
            self.others_ui(ui);
            let wanted = match &kind {
                Kind::Existing(wanted) => *wanted,
                Kind::Several(endings) => Wanted::File(endings),
                Kind::New(_) => Wanted::File(&[]),
            };
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
                let word = match &kind {
                    Kind::New(name) if name.is_empty() => "Use this folder",
                    Kind::New(_) => "Save",
                    Kind::Existing(_) | Kind::Several(_) => "Open",
                };
                taken = widgets::primary_button(ui, word).clicked() || change.is_entered;
                if is_several {
                    let hint = "Takes this one and asks for more; a pattern such as *.png takes all that fit";
                    another = ui.button("And another").on_hover_text(hint).clicked();
                }
                done = ui.button("Cancel").clicked();
            });
        });
        if done || modal.should_close() {
            self.close();
            return Some(Vec::new());
        }
        if is_several && (taken || another) {
            return self.take_several(another);
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
                return Some(vec![path]);
            }
        }
        None
    }

    /// The files that were taken already, each with a way to put it back.
    fn others_ui(&mut self, ui: &mut Ui) {
        if self.others.is_empty() {
            return;
        }
        let mut dropped = None;
        ScrollArea::vertical().id_salt("taken").max_height(96.0).show(ui, |ui| {
            for (index, path) in self.others.iter().enumerate() {
                ui.horizontal(|ui| {
                    let name = path.display().to_string();
                    let button = ui.small_button("×").on_hover_text("Not this one");
                    widgets::name(&button, Role::Button, &format!("Not {name}"));
                    if button.clicked() {
                        dropped = Some(index);
                    }
                    ui.add(Label::new(name).truncate());
                });
            }
        });
        dropped.map(|index| self.others.remove(index));
        ui.add_space(space::XS);
    }

    /// Takes what the field names, one file or all that fit a pattern; asks for more or is over. Without a name in the field the others
    /// are all.
    fn take_several(&mut self, another: bool) -> Option<Vec<PathBuf>> {
        let path = self.field.path();
        let is_left_empty = !self.others.is_empty() && (self.field.given().is_none() || path.is_dir());
        if !is_left_empty || another {
            match files_of(&path) {
                Ok(files) => {
                    self.others.extend(files.into_iter().filter(|file| !self.others.contains(file)).collect::<Vec<_>>())
                }
                Err(fault) => {
                    self.fault = Some(fault);
                    return None;
                }
            }
        }
        if !another {
            self.close();
            return Some(std::mem::take(&mut self.others));
        }
        let folder = path.parent().unwrap_or(&path).join("");
        (self.field, self.fault) = (PathField::of(&folder).focus(), None);
        None
    }
}

/// The files that a path or a pattern means.
fn files_of(path: &Path) -> Result<Vec<PathBuf>, String> {
    let all = patterns::resolved(&[path.to_owned()]).map_err(|error| error.to_string())?;
    match all.iter().find(|path| !path.is_file()) {
        Some(path) if path.is_dir() => Err(format!("{} is a folder: name a file in it, or all by *", path.display())),
        Some(path) => Err(format!("{} is not there", path.display())),
        None => Ok(all),
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
