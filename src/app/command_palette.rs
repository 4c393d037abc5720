//! The command palette (Ctrl+K) and the sheet of shortcuts (?), both read from the table of [`super::commands`].

use egui::{Align, Align2, Context, Frame, Id, Key, Layout, Modal, RichText, ScrollArea, Sense, TextEdit, Ui, vec2};

use super::commands::{self, Command, CommandId, Menu};
use super::format;
use super::state::State;
use super::theme::{self, space};
use super::widgets;

/// Rows visible at once.
const VISIBLE_ROWS: f32 = 11.0;

/// The palette: closed, or a search in progress.
#[derive(Debug, Default)]
pub struct CommandPalette {
    is_open: bool,
    query: String,
    at: usize,
    /// It was not drawn yet.
    is_new: bool,
}

impl CommandPalette {
    /// Opens it, or closes it. What was typed in the frame of the key belongs to it.
    pub fn toggle(&mut self, ctx: &Context) {
        let is_open = !self.is_open;
        let query = if is_open { typed(ctx) } else { String::new() };
        *self = Self { is_open, query, is_new: is_open, ..Self::default() };
    }

    /// Whether it is open.
    pub fn is_open(&self) -> bool {
        self.is_open
    }

    /// Draws it; returns the chosen command.
    pub fn show(&mut self, ctx: &Context, state: &State) -> Option<CommandId> {
        if !self.is_open {
            return None;
        }
        if std::mem::take(&mut self.is_new) {
            // The field has the keyboard from the next frame on.
            self.query += &typed(ctx);
        }
        let (up, down, enter) = ctx.input_mut(|input| {
            let mut key = |key| input.consume_key(egui::Modifiers::NONE, key);
            (key(Key::ArrowUp), key(Key::ArrowDown), key(Key::Enter))
        });
        let moved = up || down;
        let mut chosen = None;
        let area = Modal::default_area(Id::unique("command palette")).anchor(Align2::CENTER_TOP, vec2(0.0, 90.0));
        let modal = Modal::new(Id::unique("command palette")).area(area).show(ctx, |ui| {
            ui.set_width(560.0);
            let hint = "Type a command";
            let field = TextEdit::singleline(&mut self.query)
                .hint_text(hint)
                .desired_width(f32::INFINITY)
                .margin(vec2(10.0, 8.0))
                .show(ui)
                .response;
            widgets::name(&field, egui::accesskit::Role::TextInput, "Search commands");
            field.request_focus();
            if field.changed() {
                self.at = 0;
            }
            // Of what is typed by now: Enter may have come in the same frame.
            let matches = search(&self.query);
            let at = self.at.saturating_add(usize::from(down)).saturating_sub(usize::from(up));
            self.at = at.min(matches.len().saturating_sub(1));
            ui.add_space(space::XS);
            let row = ui.spacing().interact_size.y + 6.0;
            ui.spacing_mut().item_spacing.y = 0.0;
            // All of it also where the window was lower before: it takes what it needs and no more.
            let area = ScrollArea::vertical().max_height(row * VISIBLE_ROWS).min_scrolled_height(row * VISIBLE_ROWS);
            area.auto_shrink([false, true]).show(ui, |ui| {
                if matches.is_empty() {
                    ui.weak("No command of that name.");
                }
                for (index, command) in matches.iter().enumerate() {
                    let is_at = index == self.at;
                    let response = row_ui(ui, command, state, is_at, row);
                    if is_at && moved {
                        response.scroll_to_me(None);
                    }
                    if response.clicked() || (enter && is_at) {
                        chosen = Some(command.id);
                    }
                }
            });
        });
        if modal.should_close() || chosen.is_some() {
            self.is_open = false;
        }
        chosen
    }
}

/// What was typed in this frame.
fn typed(ctx: &Context) -> String {
    ctx.input(|input| {
        let text = input.events.iter().filter_map(|event| match event {
            egui::Event::Text(text) => Some(text.as_str()),
            _ => None,
        });
        text.collect()
    })
}

/// Commands whose title or menu holds every word, those whose title begins with the text first.
fn search(query: &str) -> Vec<&'static Command> {
    let query = query.trim().to_lowercase();
    let words: Vec<&str> = query.split_whitespace().collect();
    let text = |c: &Command| format!("{} {} {}", c.title, c.menu.title(), c.hint);
    let mut found: Vec<&Command> = commands::all()
        .iter()
        .filter(|c| c.id != CommandId::CommandPalette && format::holds_words(&text(c), &query))
        .collect();
    let rank = |c: &Command| {
        let title = c.title.to_lowercase();
        if title.starts_with(&query) {
            0
        } else if words.iter().all(|word| title.contains(word)) {
            1
        } else {
            2
        }
    };
    found.sort_by_key(|c| rank(c));
    found
}

fn row_ui(ui: &mut Ui, command: &Command, state: &State, is_at: bool, height: f32) -> egui::Response {
    let p = theme::palette(ui);
    let refusal = (command.enabled)(state).err();
    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), height), Sense::click());
    widgets::name(&response, egui::accesskit::Role::Button, command.title);
    if is_at || response.hovered() {
        ui.painter().rect_filled(rect, theme::RADIUS, if is_at { p.selected } else { p.hovered });
    }
    let inside = rect.shrink2(vec2(space::S, 0.0));
    ui.scope_builder(egui::UiBuilder::new().max_rect(inside).layout(Layout::left_to_right(Align::Center)), |ui| {
        let color = if refusal.is_some() { p.text_faint } else { p.text };
        ui.add(egui::Label::new(RichText::new(command.title).color(color)).selectable(false));
        let aside = refusal.unwrap_or(command.hint);
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            match command.shortcuts.first() {
                Some(shortcut) => widgets::key_cap(ui, &format::shortcut(ui.ctx(), shortcut)),
                None => ui.weak(command.menu.title()),
            };
            let label = egui::Label::new(RichText::new(aside).small().color(p.text_faint)).selectable(false);
            ui.add(label.truncate());
        });
    });
    response
}

/// Draws the sheet of shortcuts; false once it is to be closed.
pub fn shortcut_sheet(ctx: &Context) -> bool {
    let modal = widgets::modal(ctx, "shortcut sheet").show(ctx, |ui| {
        ui.set_width(1140.0_f32.min(ctx.content_rect().width() - 80.0));
        ui.horizontal(|ui| {
            ui.heading("Keyboard shortcuts");
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| ui.weak("Esc closes"));
        });
        ui.add_space(space::S);
        ScrollArea::vertical().max_height(660.0).min_scrolled_height(660.0).show(ui, |ui| {
            ui.columns(COLUMNS.len(), |columns| {
                for (column, menus) in columns.iter_mut().zip(COLUMNS) {
                    menus.iter().for_each(|menu| section(column, *menu));
                }
            });
            let text = "Over pictures: hold Space or B for the other one, L for LR, G for HR. In grids: arrows select, Enter opens, \
                        Esc goes back. Tab reaches everything else.";
            ui.add(egui::Label::new(RichText::new(text).color(theme::palette(ui).text_weak)).wrap());
        });
    });
    !modal.should_close()
}

/// What stands in each column of the sheet.
const COLUMNS: [&[Menu]; 4] =
    [&[Menu::File, Menu::Export, Menu::Run], &[Menu::Edit, Menu::Compare, Menu::Help], &[Menu::Pairs], &[Menu::View]];

fn section(ui: &mut Ui, menu: Menu) {
    let p = theme::palette(ui);
    ui.label(RichText::new(menu.title()).font(theme::strong(ui.text_style_height(&egui::TextStyle::Body) * 0.8)));
    Frame::new().fill(p.raised).corner_radius(theme::RADIUS_LARGE).inner_margin(space::S).show(ui, |ui| {
        ui.set_width(ui.available_width());
        for command in commands::all().iter().filter(|c| c.menu == menu && !c.shortcuts.is_empty()) {
            ui.horizontal(|ui| {
                ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                    for shortcut in command.shortcuts.iter().rev() {
                        widgets::key_cap(ui, &format::shortcut(ui.ctx(), shortcut));
                    }
                    ui.with_layout(Layout::left_to_right(Align::Center), |ui| {
                        ui.add(egui::Label::new(command.title).truncate());
                    });
                });
            });
        }
    });
    ui.add_space(space::M);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_palette_finds_by_words_and_prefers_titles() {
        assert_eq!(search("train")[0].id, CommandId::Train);
        assert_eq!(search("dark")[0].id, CommandId::ToggleTheme);
        assert!(search("weather").is_empty());
        assert!(search("").len() > 30);
    }
}
