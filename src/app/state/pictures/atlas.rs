//! Thumbnails of one size packed into few textures, the least recently drawn replaced by new ones.
//!
//! Each texture change is a draw call of its own; a grid of thumbnails from one page is one.

use std::collections::HashMap;

use egui::{Color32, ColorImage, Context, Rect, TextureHandle, TextureId, TextureOptions, Vec2, pos2, vec2};

use crate::engine::protocol::Source;

/// Side of a page in pixels.
const PAGE_PX: usize = 2048;

/// A picture that can be drawn now.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shown {
    pub texture: TextureId,
    pub uv: Rect,
    /// Its size in pixels, shrunk or not.
    pub size_px: Vec2,
    /// Size of the file's picture in pixels.
    pub full_size_px: [usize; 2],
}

struct Slot {
    source: Source,
    size_px: [usize; 2],
    full_size_px: [usize; 2],
    used: u64,
}

/// Pages of equal slots.
pub struct Atlas {
    side_px: usize,
    max_pages: usize,
    pages: Vec<TextureHandle>,
    slots: Vec<Slot>,
    by_source: HashMap<Source, usize>,
}

impl Atlas {
    /// An empty atlas for pictures of up to `side_px`.
    pub fn new(side_px: usize, max_pages: usize) -> Self {
        Self { side_px, max_pages, pages: Vec::new(), slots: Vec::new(), by_source: HashMap::new() }
    }

    /// A border of one pixel repeats the edge, so that no neighbour shows through when the picture is scaled.
    fn slot_px(&self) -> usize {
        self.side_px + 2
    }

    fn slots_a_row(&self) -> usize {
        PAGE_PX / self.slot_px()
    }

    fn slots_a_page(&self) -> usize {
        self.slots_a_row() * self.slots_a_row()
    }

    /// Page and corner of a slot's picture.
    fn place(&self, slot: usize) -> (usize, [usize; 2]) {
        let (page, at) = (slot / self.slots_a_page(), slot % self.slots_a_page());
        let corner = [at % self.slots_a_row(), at / self.slots_a_row()].map(|n| n * self.slot_px() + 1);
        (page, corner)
    }

    /// A thumbnail that is there; `clock` marks it as used.
    pub fn get(&mut self, source: &Source, clock: u64) -> Option<Shown> {
        let index = *self.by_source.get(source)?;
        let (page, corner) = self.place(index);
        let slot = self.slots.get_mut(index)?;
        slot.used = clock;
        let size = vec2(slot.size_px[0] as f32, slot.size_px[1] as f32);
        let min = pos2(corner[0] as f32, corner[1] as f32);
        let uv = Rect::from_min_size(min, size);
        let scale = 1.0 / PAGE_PX as f32;
        let uv = Rect::from_min_max((uv.min.to_vec2() * scale).to_pos2(), (uv.max.to_vec2() * scale).to_pos2());
        Some(Shown { texture: self.pages.get(page)?.id(), uv, size_px: size, full_size_px: slot.full_size_px })
    }

    /// Puts a thumbnail in a free slot, or in that of the one drawn longest ago.
    pub fn put(&mut self, ctx: &Context, source: &Source, image: ColorImage, full_size_px: [usize; 2], clock: u64) {
        let size_px = image.size;
        if size_px[0] > self.side_px || size_px[1] > self.side_px {
            return;
        }
        let index = match self.by_source.get(source) {
            Some(&index) => index,
            None => self.free_slot(),
        };
        let (page, corner) = self.place(index);
        while self.pages.len() <= page {
            let blank = ColorImage::filled([PAGE_PX, PAGE_PX], Color32::TRANSPARENT);
            self.pages.push(ctx.load_texture(format!("atlas {}", self.side_px), blank, TextureOptions::LINEAR));
        }
        self.pages[page].set_partial([corner[0] - 1, corner[1] - 1], bordered(&image), TextureOptions::LINEAR);
        let slot = Slot { source: source.clone(), size_px, full_size_px, used: clock };
        match self.slots.get_mut(index) {
            Some(old) => {
                self.by_source.remove(&old.source);
                *old = slot;
            }
            None => self.slots.push(slot),
        }
        self.by_source.insert(source.clone(), index);
    }

    fn free_slot(&self) -> usize {
        if self.slots.len() < self.max_pages * self.slots_a_page() {
            return self.slots.len();
        }
        let oldest = self.slots.iter().enumerate().min_by_key(|(_, slot)| slot.used);
        oldest.map_or(0, |(index, _)| index)
    }

    /// Bytes of its textures.
    pub fn bytes(&self) -> usize {
        self.pages.len() * PAGE_PX * PAGE_PX * 4
    }
}

/// The image with its edge repeated once all around.
fn bordered(image: &ColorImage) -> ColorImage {
    let [width, height] = image.size;
    let mut pixels = Vec::with_capacity((width + 2) * (height + 2));
    for y in 0..height + 2 {
        let row = y.saturating_sub(1).min(height - 1) * width;
        for x in 0..width + 2 {
            pixels.push(image.pixels[row + x.saturating_sub(1).min(width - 1)]);
        }
    }
    ColorImage::new([width + 2, height + 2], pixels)
}
