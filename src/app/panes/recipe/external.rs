//! The commands that a recipe names as metrics: what there is, and a form for one more.

use egui::accesskit::Role;
use egui::{Button, Id, RichText, TextEdit, Ui};

use super::label_ui;
use crate::app::{theme, widgets};
use crate::iqa::external::fault_of;
use crate::iqa::{Direction, External, Kind};
use crate::method::fields::Field;
use crate::method::recipe::Recipe;
use crate::method::value::Value;

/// What is typed of a command that is not there yet.
#[derive(Clone, Default)]
struct Draft {
    name: String,
    line: String,
    is_lower: bool,
    is_fr: bool,
}

impl Draft {
    /// The command, or what is wrong with it.
    fn command(&self, known: &[External]) -> Result<External, String> {
        let program = External::parts(&self.line).ok_or("a quotation mark is not closed")?;
        if program.is_empty() {
            return Err("names no program".into());
        }
        let command = External {
            name: self.name.trim().to_owned(),
            program,
            direction: if self.is_lower { Direction::Lower } else { Direction::Higher },
            kind: if self.is_fr { Kind::FullReference } else { Kind::NoReference },
            ..External::default()
        };
        let all: Vec<External> = known.iter().chain([&command]).cloned().collect();
        fault_of(&all).map_or(Ok(command), Err)
    }
}

/// The commands of a recipe; true if they were changed.
pub fn ui(ui: &mut Ui, field: &Field, recipe: &mut Recipe, preset: &Recipe) -> bool {
    let Value::External(mut commands) = field.value(recipe) else { return false };
    let before = commands.clone();
    if label_ui(ui, field, recipe, preset, ui.available_width()) {
        return true;
    }
    commands.retain(|command| !row_ui(ui, command));
    if let Some(command) = form_ui(ui, &commands) {
        commands.push(command);
    }
    commands != before && field.assign(recipe, Value::External(commands)).is_ok()
}

/// One command; true if it is to be removed.
fn row_ui(ui: &mut Ui, command: &External) -> bool {
    let p = theme::palette(ui);
    let mut removed = false;
    ui.horizontal(|ui| {
        ui.add_space(10.0);
        let close = ui.add(Button::new(RichText::new("×").color(p.text_faint)).frame(false));
        widgets::name(&close, Role::Button, &format!("Remove {}", command.name));
        removed = close.on_hover_text("Take the command out").clicked();
        ui.label(format!("{} {}", command.name, command.direction.arrow()));
        let line = if command.is_imported() { "scores imported".into() } else { command.template() };
        let line = RichText::new(line).small().monospace().color(p.text_weak);
        let about = format!("{}, {}", command.kind.adjective(), command.direction.phrase());
        ui.add(egui::Label::new(line).truncate()).on_hover_text(about);
    });
    removed
}

/// A form for one more command; what was added.
fn form_ui(ui: &mut Ui, known: &[External]) -> Option<External> {
    let id = Id::unique("draft of a command");
    let mut draft: Draft = ui.data(|data| data.get_temp(id)).unwrap_or_default();
    let mut added = None;
    ui.horizontal(|ui| {
        ui.add_space(10.0);
        let name = TextEdit::singleline(&mut draft.name).hint_text("name");
        widgets::name(&ui.add_sized([64.0, 20.0], name), Role::TextInput, "Name of a command");
        let line = TextEdit::singleline(&mut draft.line).hint_text("/path/to/program {image}");
        let line = ui.add_sized([ui.available_width(), 20.0], line).on_hover_text(
            "Started for each image with the path of a PNG file in place of {image}, or for several with {images}; {reference} \
             is the HR image. It prints one number a line",
        );
        widgets::name(&line, Role::TextInput, "Command");
    });
    let command = draft.command(known);
    ui.horizontal(|ui| {
        ui.add_space(10.0);
        ui.selectable_value(&mut draft.is_lower, false, "↑").on_hover_text(Direction::Higher.phrase());
        ui.selectable_value(&mut draft.is_lower, true, "↓").on_hover_text(Direction::Lower.phrase());
        ui.selectable_value(&mut draft.is_fr, false, "NR").on_hover_text(Kind::NoReference.adjective());
        ui.selectable_value(&mut draft.is_fr, true, "FR").on_hover_text(Kind::FullReference.adjective());
        let add = ui.add_enabled(command.is_ok(), Button::new("Add"));
        let fault = command.as_ref().err().cloned().unwrap_or_default();
        if add.on_disabled_hover_text(fault).clicked() {
            added = command.ok();
        }
    });
    // Once added it is typed no more.
    let draft = if added.is_some() { Draft::default() } else { draft };
    ui.data_mut(|data| data.insert_temp(id, draft));
    added
}
