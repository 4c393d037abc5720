//! Pictures on their way from the engine to the screen: a bounded atlas of thumbnails, and some pictures at full size.
//!
//! A pane asks each frame for what it shows; only what was asked for in the last frame is requested, so that scrolling
//! past a thousand thumbnails requests none of them. Textures are uploaded within a budget a frame.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use egui::{ColorImage, Context, Rect, TextureHandle, TextureOptions, Vec2, pos2, vec2};

use crate::engine::protocol::{Picture, Source};
use crate::workspace::ImageId;

mod atlas;

use atlas::Atlas;
pub use atlas::Shown;

/// Bytes uploaded to the graphics card in a frame.
pub const UPLOAD_BUDGET_BYTES: usize = 2 << 20;
/// Bytes of full-size pictures kept.
const FULL_BYTES: usize = 384 << 20;
/// Requests on their way at once: enough to keep the engine busy, few enough that scrolling is followed.
const IN_FLIGHT: usize = 32;
/// Longest sides thumbnails come in, in pixels.
const THUMB_SIDES: [usize; 3] = [64, 128, 256];
/// Pages of each atlas: 1,922, 1,350 and 588 thumbnails at most, 320 MiB of textures together.
const PAGES: [usize; 3] = [2, 6, 12];

/// What to ask for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Request {
    pub source: Source,
    /// Longest side in pixels; `None` is as it is.
    pub max_side_px: Option<usize>,
}

struct Full {
    texture: TextureHandle,
    full_size_px: [usize; 2],
    rgb8: Arc<[u8]>,
    used: u64,
}

/// All pictures.
pub struct Pictures {
    atlases: [Atlas; 3],
    full: HashMap<Source, Full>,
    full_bytes: usize,
    wanted: Vec<Request>,
    wanted_set: HashSet<Request>,
    asked: HashSet<Request>,
    arrived: VecDeque<(Request, Picture)>,
    failed: HashMap<Source, String>,
    clock: u64,
}

impl Default for Pictures {
    fn default() -> Self {
        let atlas = |i: usize| Atlas::new(THUMB_SIDES[i], PAGES[i]);
        Self {
            atlases: [atlas(0), atlas(1), atlas(2)],
            full: HashMap::new(),
            full_bytes: 0,
            wanted: Vec::new(),
            wanted_set: HashSet::new(),
            asked: HashSet::new(),
            arrived: VecDeque::new(),
            failed: HashMap::new(),
            clock: 0,
        }
    }
}

impl Pictures {
    /// A thumbnail for a place of `side_px` physical pixels: the best there is, while a better one is asked for.
    pub fn thumb(&mut self, source: &Source, side_px: f32) -> Option<Shown> {
        let class = THUMB_SIDES.iter().position(|&side| side as f32 >= side_px * 0.9).unwrap_or(THUMB_SIDES.len() - 1);
        if let Some(shown) = self.atlases[class].get(source, self.clock) {
            return Some(shown);
        }
        self.want(source, Some(THUMB_SIDES[class]));
        let clock = self.clock;
        let others = (class + 1..THUMB_SIDES.len()).chain((0..class).rev());
        others.into_iter().find_map(|other| self.atlases[other].get(source, clock))
    }

    /// The picture at full size; a thumbnail stands in for it until it is there.
    pub fn full(&mut self, source: &Source) -> Option<Shown> {
        if let Some(full) = self.full.get_mut(source) {
            full.used = self.clock;
            let uv = Rect::from_min_max(pos2(0.0, 0.0), pos2(1.0, 1.0));
            let size_px = full.texture.size_vec2();
            return Some(Shown { texture: full.texture.id(), uv, size_px, full_size_px: full.full_size_px });
        }
        self.want(source, None);
        let clock = self.clock;
        self.atlases.iter_mut().rev().find_map(|atlas| atlas.get(source, clock))
    }

    /// The pixels of a picture at full size and its width and height; asks for it if it is not there.
    pub fn pixels(&mut self, source: &Source) -> Option<(Arc<[u8]>, [usize; 2])> {
        match self.full.get_mut(source) {
            Some(full) => {
                full.used = self.clock;
                Some((full.rgb8.clone(), full.full_size_px))
            }
            None => {
                self.want(source, None);
                None
            }
        }
    }

    /// The color of a pixel of a picture that is there at full size.
    pub fn pixel(&self, source: &Source, x: usize, y: usize) -> Option<[u8; 3]> {
        let full = self.full.get(source)?;
        let [width, height] = full.full_size_px;
        let at = (x < width && y < height).then_some((y * width + x) * 3)?;
        full.rgb8.get(at..at + 3)?.try_into().ok()
    }

    /// Why a picture cannot be shown.
    pub fn failure(&self, source: &Source) -> Option<&str> {
        self.failed.get(source).map(String::as_str)
    }

    fn want(&mut self, source: &Source, max_side_px: Option<usize>) {
        let request = Request { source: source.clone(), max_side_px };
        let is_known = self.asked.contains(&request) || self.failed.contains_key(source);
        if !is_known && self.wanted_set.insert(request.clone()) {
            self.wanted.push(request);
        }
    }

    /// What to ask the engine for, in the order it was drawn; the rest is forgotten, to be wanted again if it is still
    /// looked at.
    pub fn take_requests(&mut self) -> Vec<Request> {
        let room = IN_FLIGHT.saturating_sub(self.asked.len());
        let mut wanted = std::mem::take(&mut self.wanted);
        self.wanted_set.clear();
        wanted.truncate(room);
        self.asked.extend(wanted.iter().cloned());
        wanted
    }

    /// A question could not be asked.
    pub fn not_asked(&mut self, request: &Request) {
        self.asked.remove(request);
    }

    /// An answer came.
    pub fn answered(&mut self, request: Request, answer: Result<Picture, String>) {
        match answer {
            Ok(picture) => self.arrived.push_back((request, picture)),
            Err(cause) => {
                self.asked.remove(&request);
                self.failed.insert(request.source, cause);
            }
        }
    }

    /// Uploads what arrived, within the budget; true if some of it is left for the next frame.
    pub fn upload(&mut self, ctx: &Context) -> bool {
        self.clock += 1;
        let mut spent = 0;
        while spent < UPLOAD_BUDGET_BYTES
            && let Some((request, picture)) = self.arrived.pop_front()
        {
            let size = [picture.width, picture.height];
            // A truncated picture cannot come; were one to, it would be refused by egui with a panic.
            if size[0] * size[1] * 3 != picture.rgb8.len() || size.contains(&0) {
                continue;
            }
            let image = ColorImage::from_rgb(size, &picture.rgb8);
            spent += image.pixels.len() * 4;
            self.asked.remove(&request);
            match request.max_side_px.and_then(|side| THUMB_SIDES.iter().position(|&s| s == side)) {
                Some(class) => {
                    self.atlases[class].put(ctx, &request.source, image, picture.full_size, self.clock);
                }
                None => self.put_full(ctx, request.source, image, picture),
            }
        }
        !self.arrived.is_empty()
    }

    fn put_full(&mut self, ctx: &Context, source: Source, image: ColorImage, picture: Picture) {
        let options = TextureOptions { magnification: egui::TextureFilter::Nearest, ..TextureOptions::LINEAR };
        let texture = ctx.load_texture("picture", image, options);
        let full = Full { texture, full_size_px: picture.full_size, rgb8: picture.rgb8, used: self.clock };
        self.full_bytes += full.rgb8.len() / 3 * 7;
        self.full.insert(source, full);
        while self.full_bytes > FULL_BYTES && self.full.len() > 2 {
            let oldest = self.full.iter().min_by_key(|(_, full)| full.used).map(|(source, _)| source.clone());
            let Some(dropped) = oldest.and_then(|source| self.full.remove(&source)) else {
                return;
            };
            self.full_bytes -= dropped.rgb8.len() / 3 * 7;
        }
    }

    /// Candidates of an image were sampled: what was not there may be now.
    pub fn candidates_changed(&mut self, image: ImageId) {
        self.failed.retain(|source, _| source.image() != image);
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        *self = Self { clock: self.clock, ..Self::default() };
    }

    /// Bytes of texture memory in use.
    pub fn bytes(&self) -> usize {
        self.full_bytes + self.atlases.iter().map(Atlas::bytes).sum::<usize>()
    }
}

/// The largest size with the picture's proportions that fits.
pub fn fit(size: Vec2, room: Vec2) -> Vec2 {
    let scale = (room.x / size.x.max(1.0)).min(room.y / size.y.max(1.0));
    vec2(size.x * scale, size.y * scale)
}
