//! A field for a path, with what there is to complete it by below: for windows that ask for files where no dialog of the system does.
//! Folders are listed on another thread, as one may lie on a disk that sleeps.

use std::path::{MAIN_SEPARATOR, Path, PathBuf, is_separator};
use std::sync::mpsc::{Receiver, channel};

use egui::accesskit::Role;
use egui::text::{CCursor, CCursorRange};
use egui::text_edit::TextEditState;
use egui::{Event, EventFilter, Frame, Key, Modifiers, RichText, ScrollArea, TextEdit, Ui};

use super::theme::{self, RADIUS, space};
use super::widgets;

/// Entries of a folder that are looked at.
const MOST: usize = 20_000;
/// Suggestions that are listed.
const SHOWN: usize = 200;

/// What a path may lead to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    Folder,
    /// Files with these endings, in lower case; all, where there are none.
    File(&'static [&'static str]),
}

/// The field, with the last folder that was listed.
#[derive(Default)]
pub struct PathField {
    pub text: String,
    listed: Option<Listing>,
    coming: Option<(PathBuf, Receiver<Listing>)>,
    /// The suggestion that arrow keys chose.
    at: Option<usize>,
    has_focus: bool,
    focus_next: bool,
}

/// A folder as it was.
struct Listing {
    dir: PathBuf,
    /// Names, and whether each is a folder; folders first.
    entries: Vec<(String, bool)>,
}

/// What became of a field in a frame.
#[derive(Clone, Copy, Debug, Default)]
pub struct Change {
    pub is_changed: bool,
    /// Enter was pressed.
    pub is_entered: bool,
}

impl PathField {
    /// A field that begins with a path.
    pub fn of(path: &Path) -> Self {
        Self { text: path.display().to_string(), ..Self::default() }
    }

    /// Takes the keyboard in the next frame.
    pub fn focus(mut self) -> Self {
        self.focus_next = true;
        self
    }

    /// The path, with the home directory for `~`.
    pub fn path(&self) -> PathBuf {
        expanded(self.text.trim())
    }

    /// The path, if something is typed.
    pub fn given(&self) -> Option<PathBuf> {
        (!self.text.trim().is_empty()).then(|| self.path())
    }

    /// Draws it; suggestions are as high as `height`, and there only while it has the keyboard where that is 0.
    pub fn show(&mut self, ui: &mut Ui, name: &str, wanted: Wanted, height: f32) -> Change {
        let mut change = Change::default();
        let id = ui.make_persistent_id((name, "path"));
        let suggestions = self.suggestions(ui, wanted);
        if self.has_focus {
            self.keys(ui, id, &suggestions, &mut change);
        }
        // Tab completes, and does not go on to the next widget.
        let filter = EventFilter { tab: true, horizontal_arrows: true, vertical_arrows: true, escape: false };
        let edit = TextEdit::singleline(&mut self.text).id(id).desired_width(f32::INFINITY).event_filter(filter);
        let response = ui.add(edit.hint_text("/path/to"));
        widgets::name(&response, Role::TextInput, name);
        if std::mem::take(&mut self.focus_next) {
            response.request_focus();
        }
        if response.changed() {
            (change.is_changed, self.at) = (true, None);
        }
        change.is_entered |= response.lost_focus() && ui.input(|i| i.key_pressed(Key::Enter));
        self.has_focus = response.has_focus();
        if height > 0.0 || self.has_focus {
            let height = if height > 0.0 { height } else { 120.0 };
            if let Some(at) = self.list(ui, name, &suggestions, height) {
                self.take(ui, id, &suggestions[at]);
                change.is_changed = true;
                response.request_focus();
            }
        }
        change
    }

    fn keys(&mut self, ui: &Ui, id: egui::Id, suggestions: &[(String, bool)], change: &mut Change) {
        let pressed = |key| ui.input_mut(|input| input.consume_key(Modifiers::NONE, key));
        if !suggestions.is_empty() && pressed(Key::ArrowDown) {
            self.at = Some(self.at.map_or(0, |at| (at + 1).min(suggestions.len() - 1)));
        }
        if !suggestions.is_empty() && pressed(Key::ArrowUp) {
            self.at = self.at.and_then(|at| at.checked_sub(1));
        }
        if ui.input_mut(|input| {
            let is_tab = input.consume_key(Modifiers::NONE, Key::Tab);
            input.events.retain(|event| !(is_tab && matches!(event, Event::Text(text) if text == "\t")));
            is_tab
        }) && !suggestions.is_empty()
        {
            match self.at {
                Some(at) => self.take(ui, id, &suggestions[at.min(suggestions.len() - 1)]),
                None if suggestions.len() == 1 => self.take(ui, id, &suggestions[0]),
                None => self.complete(ui, id, &common(suggestions)),
            }
            change.is_changed = true;
        }
        if let Some(at) = self.at
            && pressed(Key::Enter)
        {
            self.take(ui, id, &suggestions[at.min(suggestions.len().saturating_sub(1))]);
            change.is_changed = true;
        }
    }

    /// The names that go on from what is typed.
    fn suggestions(&mut self, ui: &Ui, wanted: Wanted) -> Vec<(String, bool)> {
        let (dir, begun) = self.parts();
        let dir = expanded(&dir);
        if let Some((_, coming)) = &self.coming
            && let Ok(listing) = coming.try_recv()
        {
            (self.listed, self.coming) = (Some(listing), None);
        }
        let is_known = self.listed.as_ref().is_some_and(|listing| listing.dir == dir);
        if !is_known && self.coming.as_ref().is_none_or(|(asked, _)| *asked != dir) {
            let (sender, receiver) = channel();
            let (asked, ctx) = (dir.clone(), ui.ctx().clone());
            let list = move || {
                let _ = sender.send(Listing::of(asked));
                ctx.request_repaint();
            };
            // Where no thread can be had, nothing is suggested.
            let _ = std::thread::Builder::new().name("listing".into()).spawn(list);
            self.coming = Some((dir.clone(), receiver));
        }
        let Some(listing) = self.listed.as_ref().filter(|listing| listing.dir == dir) else { return Vec::new() };
        let begun = begun.to_lowercase();
        let is_wanted = |(name, is_dir): &&(String, bool)| {
            let lower = name.to_lowercase();
            let ends =
                |wanted: &[&str]| wanted.is_empty() || lower.rsplit('.').next().is_some_and(|e| wanted.contains(&e));
            let fits = *is_dir || matches!(wanted, Wanted::File(endings) if ends(endings));
            fits && lower.starts_with(&begun) && (begun.starts_with('.') || !name.starts_with('.'))
        };
        listing.entries.iter().filter(is_wanted).take(SHOWN).cloned().collect()
    }

    fn list(&self, ui: &mut Ui, name: &str, suggestions: &[(String, bool)], height: f32) -> Option<usize> {
        let p = theme::palette(ui);
        let mut taken = None;
        Frame::new().fill(p.well).corner_radius(RADIUS).inner_margin(space::XS).show(ui, |ui| {
            ui.set_width(ui.available_width());
            ScrollArea::vertical()
                .id_salt((name, "suggestions"))
                .max_height(height)
                .min_scrolled_height(height)
                .auto_shrink([false, false])
                .show(ui, |ui| {
                    if suggestions.is_empty() {
                        ui.label(RichText::new("Nothing of that name is there").small().color(p.text_faint));
                    }
                    for (index, (entry, is_dir)) in suggestions.iter().enumerate() {
                        let text = if *is_dir { format!("{entry}{MAIN_SEPARATOR}") } else { entry.clone() };
                        let color = if *is_dir { p.text } else { p.text_weak };
                        let response = ui.selectable_label(self.at == Some(index), RichText::new(text).color(color));
                        if response.clicked() {
                            taken = Some(index);
                        }
                        if self.at == Some(index)
                            && ui.input(|i| i.key_pressed(Key::ArrowDown) || i.key_pressed(Key::ArrowUp))
                        {
                            response.scroll_to_me(None);
                        }
                    }
                });
        });
        taken
    }

    /// The folder that is typed, and the beginning of a name in it.
    fn parts(&self) -> (String, String) {
        let text = self.text.trim_start();
        let end = text.rfind(is_separator).map_or(0, |at| at + 1);
        (text[..end].to_owned(), text[end..].to_owned())
    }

    fn take(&mut self, ui: &Ui, id: egui::Id, (name, is_dir): &(String, bool)) {
        let end = if *is_dir { MAIN_SEPARATOR.to_string() } else { String::new() };
        self.complete(ui, id, &format!("{name}{end}"));
    }

    fn complete(&mut self, ui: &Ui, id: egui::Id, name: &str) {
        self.text = self.parts().0 + name;
        self.at = None;
        let mut state = TextEditState::load(ui.ctx(), id).unwrap_or_default();
        let end = CCursor::new(self.text.chars().count());
        state.cursor.set_char_range(Some(CCursorRange::one(end)));
        state.store(ui.ctx(), id);
    }
}

impl Listing {
    fn of(dir: PathBuf) -> Self {
        let at = if dir.as_os_str().is_empty() { Path::new(".") } else { &dir };
        let entries = std::fs::read_dir(at).into_iter().flatten().flatten().take(MOST);
        let entry = |entry: std::fs::DirEntry| Some((entry.file_name().into_string().ok()?, entry.path().is_dir()));
        let mut entries: Vec<(String, bool)> = entries.filter_map(entry).collect();
        entries.sort_by_key(|(name, is_dir)| (!is_dir, name.to_lowercase()));
        Self { dir, entries }
    }
}

/// What all names begin with, at least what is typed already.
fn common(names: &[(String, bool)]) -> String {
    let Some(((first, _), others)) = names.split_first() else { return String::new() };
    let shared =
        |end: &usize| others.iter().all(|(name, _)| name.get(..*end).is_some_and(|begin| begin == &first[..*end]));
    let ends = first.char_indices().map(|(at, c)| at + c.len_utf8());
    ends.take_while(shared).last().map_or(String::new(), |end| first[..end].to_owned())
}

fn expanded(text: &str) -> PathBuf {
    let home = || directories::BaseDirs::new().map(|dirs| dirs.home_dir().to_owned());
    match text.strip_prefix('~') {
        Some(rest) if rest.is_empty() || rest.starts_with(is_separator) => {
            home().map_or_else(|| text.into(), |home| home.join(rest.trim_start_matches(is_separator)))
        }
        _ => text.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_completed_as_far_as_they_agree() {
        let names = |all: &[&str]| all.iter().map(|name| ((*name).to_owned(), false)).collect::<Vec<_>>();
        assert_eq!(common(&names(&["run-1", "run-2", "rune"])), "run");
        assert_eq!(common(&names(&["größe", "grün"])), "gr");
        assert_eq!(common(&names(&["a", "b"])), "");
        let field = PathField { text: "/a/b/ru".into(), ..PathField::default() };
        assert_eq!(field.parts(), ("/a/b/".to_owned(), "ru".to_owned()));
        assert_ne!(expanded("~/x"), Path::new("~/x"));
        assert_eq!(expanded("~x"), Path::new("~x"));
    }
}
