//! What was recognised of what comes in: counts, small pictures of the first, and what is wrong.

use std::collections::HashMap;
use std::path::PathBuf;

use egui::{ColorImage, Label, RichText, ScrollArea, TextureHandle, TextureOptions, Ui, vec2};

use crate::app::format;
use crate::app::state::State;
use crate::app::theme::{self, space};
use crate::app::widgets;
use crate::engine::imported::ImportPreview;
use crate::engine::previews::{AddPreview, Incoming, Preview, Thumb};

/// Height of a row of pictures.
const ROW: f32 = 72.0;

/// The pictures that were drawn.
#[derive(Default)]
pub struct Found {
    textures: HashMap<PathBuf, TextureHandle>,
}

impl Found {
    /// Draws what is known of a request.
    pub fn ui(&mut self, ui: &mut Ui, state: &State, request: &Incoming, is_asked: bool) {
        let p = theme::palette(ui);
        widgets::section(ui, "Recognised");
        ui.add_space(space::XS);
        let known = state.preview.as_ref().filter(|(of, _)| of == request);
        match known.map(|(_, found)| found) {
            None => {
                ui.horizontal(|ui| {
                    if is_asked {
                        ui.spinner();
                    }
                    ui.label(RichText::new("Looking at the files").color(p.text_weak));
                });
            }
            Some(Err(cause)) => drop(ui.add(Label::new(RichText::new(cause).color(p.error)).wrap())),
            Some(Ok(found)) => {
                let (lines, thumbs, faults) = match found.as_ref() {
                    Preview::Images(found) => (of_images(found), &found.thumbs, &found.faults),
                    Preview::Candidates(found) => (of_candidates(found), &found.thumbs, &found.faults),
                };
                lines.into_iter().for_each(|line| drop(ui.add(Label::new(line).wrap())));
                ui.add_space(space::S);
                if thumbs.iter().all(|row| row.len() <= 1) {
                    ui.horizontal_wrapped(|ui| thumbs.iter().flatten().for_each(|thumb| self.thumb_ui(ui, thumb)));
                } else {
                    for row in thumbs.iter().filter(|row| !row.is_empty()) {
                        ui.horizontal(|ui| row.iter().for_each(|thumb| self.thumb_ui(ui, thumb)));
                    }
                }
                faults_ui(ui, faults);
            }
        }
    }

    fn thumb_ui(&mut self, ui: &mut Ui, thumb: &Thumb) {
        let texture = self.textures.entry(thumb.path.clone()).or_insert_with(|| {
            let image = ColorImage::from_rgb([thumb.width, thumb.height], &thumb.rgb8);
            ui.ctx().load_texture("incoming", image, TextureOptions::LINEAR)
        });
        let [width, height] = [thumb.width as f32, thumb.height as f32];
        let scale = (ROW / height).min(ROW * 1.5 / width);
        let size = vec2(width * scale, height * scale);
        let response = ui.add(egui::Image::new((texture.id(), size)));
        let [w, h] = thumb.full_size;
        let name = thumb.path.file_name().unwrap_or_default().to_string_lossy();
        widgets::name(&response, egui::accesskit::Role::Image, &name);
        response.on_hover_text(format!("{}\n{w}×{h} px", thumb.path.display()));
    }
}

fn of_images(found: &AddPreview) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = |count: usize, text: &str| {
        if count > 0 {
            lines.push(format!("{} {text}", format::count(count)));
        }
    };
    line(found.pairs.len(), "pairs of LR and HR by their names; the contents are compared when they are added");
    line(found.hr_alone.len(), "HR alone: their LR is made");
    line(found.lr_alone.len(), "LR alone: no-reference metrics only");
    lines
}

fn of_candidates(found: &ImportPreview) -> Vec<String> {
    let ImportPreview { pattern, files, images, seeds, steps, lr, hr, .. } = found;
    let mut lines = vec![
        format!("{} candidates of {}", format::count(*files), format::counted(*images, "image")),
        format!("{} by the pattern {pattern}", format::counted(*seeds, "seed")),
    ];
    if !steps.is_empty() {
        let shown: Vec<String> = steps.iter().take(6).map(u32::to_string).collect();
        lines.push(format!("{}: {}", format::counted(steps.len(), "step"), shown.join(", ")));
    }
    if lr + hr > 0 {
        lines.push(format!("{lr} LR and {hr} HR images come in with them"));
    }
    lines
}

fn faults_ui(ui: &mut Ui, faults: &[String]) {
    let p = theme::palette(ui);
    if faults.is_empty() {
        return;
    }
    ui.add_space(space::S);
    ui.label(RichText::new("⚠ What is wrong").color(p.warning));
    ScrollArea::vertical().id_salt("incoming faults").max_height(96.0).show(ui, |ui| {
        for fault in faults.iter().take(200) {
            ui.add(Label::new(RichText::new(fault).small().color(p.text_weak)).wrap());
        }
    });
}
