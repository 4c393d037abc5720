//! The textures read last, found again by the memory they were made of.

use std::collections::HashMap;
use std::sync::Arc;

use wgpu::util::{DeviceExt, TextureDataOrder};

use super::colormap::{Colormap, ENTRIES};

/// Textures kept beyond those of the last draw.
const KEPT: usize = 160;

/// Pixels to draw: `height · width` RGB triples, 8 bits each.
#[derive(Clone, Debug)]
pub struct Pixels {
    pub size: [usize; 2],
    pub rgb8: Arc<[u8]>,
}

/// A map to draw: `height · width` values.
#[derive(Clone, Debug)]
pub struct Field {
    pub size: [usize; 2],
    pub values: Arc<[f32]>,
}

/// A device and its queue.
#[derive(Clone, Copy)]
pub struct Device<'a> {
    pub device: &'a wgpu::Device,
    pub queue: &'a wgpu::Queue,
}

#[expect(dead_code, reason = "held, never read")]
enum Owner {
    Pixels(Arc<[u8]>),
    Field(Arc<[f32]>),
    Table,
}

struct Kept {
    /// Holds the memory, so that no other picture can come to lie at the address it is found by.
    _owner: Owner,
    view: wgpu::TextureView,
    used: u64,
}

/// The textures read last.
#[derive(Default)]
pub struct Textures {
    kept: HashMap<usize, Kept>,
    clock: u64,
}

impl Textures {
    /// Begins a draw; lets go of what was not read for long.
    pub fn begin(&mut self) {
        self.clock += 1;
        while self.kept.len() > KEPT {
            let oldest = self.kept.iter().min_by_key(|(_, kept)| kept.used).map(|(key, _)| *key);
            let Some(key) = oldest else { return };
            self.kept.remove(&key);
        }
    }

    /// A picture.
    pub fn pixels(&mut self, on: Device<'_>, pixels: &Pixels) -> wgpu::TextureView {
        let key = pixels.rgb8.as_ptr() as usize;
        self.keep(
            key,
            || Owner::Pixels(pixels.rgb8.clone()),
            || {
                let rgba: Vec<u8> = pixels.rgb8.chunks_exact(3).flat_map(|c| [c[0], c[1], c[2], 255]).collect();
                upload(on, pixels.size, wgpu::TextureFormat::Rgba8Unorm, &rgba)
            },
        )
    }

    /// A map; one value of 0 where there is none.
    pub fn field(&mut self, on: Device<'_>, field: Option<&Field>) -> wgpu::TextureView {
        let Some(field) = field else {
            return self.keep(0, || Owner::Table, || values(on, [1, 1], &[0.0]));
        };
        let key = field.values.as_ptr() as usize;
        self.keep(key, || Owner::Field(field.values.clone()), || values(on, field.size, &field.values))
    }

    /// The table of a colormap.
    pub fn table(&mut self, on: Device<'_>, map: Colormap) -> wgpu::TextureView {
        // No memory of a picture lies at so low an address.
        let key = 1 + map as usize;
        self.keep(
            key,
            || Owner::Table,
            || {
                let rgba: Vec<u8> = map.table().iter().flat_map(|color| color.to_array()).collect();
                upload(on, [ENTRIES, 1], wgpu::TextureFormat::Rgba8Unorm, &rgba)
            },
        )
    }

    fn keep(
        &mut self,
        key: usize,
        owner: impl FnOnce() -> Owner,
        make: impl FnOnce() -> wgpu::TextureView,
    ) -> wgpu::TextureView {
        let used = self.clock;
        let kept = self.kept.entry(key).or_insert_with(|| Kept { _owner: owner(), view: make(), used });
        kept.used = used;
        kept.view.clone()
    }
}

/// A new texture of `width · height` values.
pub fn values(on: Device<'_>, size: [usize; 2], values: &[f32]) -> wgpu::TextureView {
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_ne_bytes()).collect();
    upload(on, size, wgpu::TextureFormat::R32Float, &bytes)
}

fn upload(on: Device<'_>, size: [usize; 2], format: wgpu::TextureFormat, bytes: &[u8]) -> wgpu::TextureView {
    let size = wgpu::Extent3d { width: size[0] as u32, height: size[1] as u32, depth_or_array_layers: 1 };
    let descriptor = wgpu::TextureDescriptor {
        label: None,
        size,
        mip_level_count: 1,
        sample_count: 1,
        dimension: wgpu::TextureDimension::D2,
        format,
        usage: wgpu::TextureUsages::TEXTURE_BINDING | wgpu::TextureUsages::COPY_DST,
        view_formats: &[],
    };
    let texture = on.device.create_texture_with_data(on.queue, &descriptor, TextureDataOrder::LayerMajor, bytes);
    texture.create_view(&wgpu::TextureViewDescriptor::default())
}
