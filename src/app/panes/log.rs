//! The log: what the engine said, and what became of the jobs.

use egui::{Label, RichText, ScrollArea, Ui};

use crate::app::actions::{Cx, Pane};
use crate::app::theme::{self, space};
use crate::app::toasts::{level_color, level_mark};
use crate::engine::protocol::Level;

/// The log.
#[derive(Default)]
pub struct LogPane {
    warnings_only: bool,
    filter: String,
}

impl Pane for LogPane {
    fn ui(&mut self, ui: &mut Ui, cx: &mut Cx) {
        cx.state.log.unseen = 0;
        ui.horizontal(|ui| {
            let filter = egui::TextEdit::singleline(&mut self.filter).hint_text("Filter").desired_width(220.0);
            let response = ui.add(filter);
            crate::app::widgets::name(&response, egui::accesskit::Role::TextInput, "Filter the log");
            ui.checkbox(&mut self.warnings_only, "warnings and errors only");
            if ui.button("Copy").on_hover_text("The lines shown").clicked() {
                let lines: Vec<String> = self.lines(cx).map(|l| format!("{} {}", time(l.at_secs), l.text)).collect();
                ui.ctx().copy_text(lines.join("\n"));
            }
        });
        let p = theme::palette(ui);
        let height = ui.text_style_height(&egui::TextStyle::Body);
        let lines: Vec<_> = self.lines(cx).collect();
        if lines.is_empty() {
            ui.weak("Nothing was said yet.");
            return;
        }
        ScrollArea::vertical().auto_shrink(false).stick_to_bottom(true).show_rows(
            ui,
            height,
            lines.len(),
            |ui, rows| {
                for line in &lines[rows] {
                    ui.horizontal(|ui| {
                        ui.spacing_mut().item_spacing.x = space::S;
                        ui.label(RichText::new(time(line.at_secs)).monospace().color(p.text_faint));
                        let color = level_color(p, line.level);
                        ui.label(RichText::new(level_mark(line.level)).color(color));
                        let text = if line.level == Level::Info { p.text } else { color };
                        ui.add(Label::new(RichText::new(&line.text).color(text)).truncate().selectable(true));
                    });
                }
            },
        );
    }
}

impl LogPane {
    fn lines<'a>(&'a self, cx: &'a Cx) -> impl Iterator<Item = &'a crate::app::state::log::Line> {
        let wanted = self.filter.to_lowercase();
        cx.state.log.lines.iter().filter(move |line| {
            (line.level > Level::Info || !self.warnings_only) && line.text.to_lowercase().contains(&wanted)
        })
    }
}

/// Minutes and seconds since the start.
fn time(secs: f64) -> String {
    let secs = secs as u64;
    format!("{:02}:{:02}:{:02}", secs / 3600, secs / 60 % 60, secs % 60)
}
