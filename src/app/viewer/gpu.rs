//! The graphics card's side of the viewer: one pipeline, the textures it read last, one draw for each view.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use eframe::egui_wgpu::{CallbackResources, CallbackTrait, ScreenDescriptor};
use egui::PaintCallbackInfo;
use wgpu::util::{DeviceExt, TextureDataOrder};

use super::colormap::{Colormap, ENTRIES};

/// The shader, for the pipeline and for tests.
pub const SHADER: &str = include_str!("../../../shaders/view.wgsl");
/// Textures kept beyond those of the last draw.
const TEXTURES: usize = 160;

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

/// What is drawn of two pictures.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Show {
    First,
    Second,
    /// Grey where they are alike; the factor amplifies.
    Difference(f32),
    /// The first left of a share of the viewport, the second right of it.
    Wipe(f32),
}

/// A map on top.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Heat {
    /// First less second instead of the one that belongs to the picture.
    pub is_difference: bool,
    /// From 0 to 1.
    pub opacity: f32,
    /// Ends of the scale.
    pub range: [f32; 2],
    pub colormap: Colormap,
}

/// One view.
#[derive(Clone, Debug)]
pub struct Draw {
    pub first: Pixels,
    /// `None` where there is one picture.
    pub second: Option<Pixels>,
    pub maps: [Option<Field>; 2],
    /// Left, top, right, bottom of the viewport in shares of the picture.
    pub part: [f32; 4],
    pub show: Show,
    pub heat: Option<Heat>,
    /// Behind the picture, gamma encoded.
    pub ground: egui::Color32,
}

/// A view on its way through a frame.
pub struct Callback {
    draw: Draw,
    bound: OnceLock<wgpu::BindGroup>,
}

impl Callback {
    /// A view to be drawn in this frame.
    pub fn new(draw: Draw) -> Self {
        Self { draw, bound: OnceLock::new() }
    }
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

/// Pipeline and textures, kept in egui's callback resources.
pub struct Gpu {
    pipeline: wgpu::RenderPipeline,
    encodes_srgb: bool,
    textures: HashMap<usize, Kept>,
    clock: u64,
}

impl Gpu {
    /// Makes the pipeline for a target.
    pub fn new(device: &wgpu::Device, target: wgpu::TextureFormat) -> Self {
        let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: Some("viewer"),
            source: wgpu::ShaderSource::Wgsl(SHADER.into()),
        });
        let texture = |binding| wgpu::BindGroupLayoutEntry {
            binding,
            visibility: wgpu::ShaderStages::FRAGMENT,
            ty: wgpu::BindingType::Texture {
                sample_type: wgpu::TextureSampleType::Float { filterable: false },
                view_dimension: wgpu::TextureViewDimension::D2,
                multisampled: false,
            },
            count: None,
        };
        let uniform = wgpu::BindGroupLayoutEntry {
            binding: 0,
            visibility: wgpu::ShaderStages::FRAGMENT,
            ty: wgpu::BindingType::Buffer {
                ty: wgpu::BufferBindingType::Uniform,
                has_dynamic_offset: false,
                min_binding_size: None,
            },
            count: None,
        };
        let entries = [uniform, texture(1), texture(2), texture(3), texture(4), texture(5)];
        let bindings = wgpu::BindGroupLayoutDescriptor { label: Some("viewer"), entries: &entries };
        let bindings = device.create_bind_group_layout(&bindings);
        let layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some("viewer"),
            bind_group_layouts: &[Some(&bindings)],
            immediate_size: 0,
        });
        let pipeline = device.create_render_pipeline(&wgpu::RenderPipelineDescriptor {
            label: Some("viewer"),
            layout: Some(&layout),
            vertex: wgpu::VertexState {
                module: &module,
                entry_point: Some("vertex"),
                compilation_options: Default::default(),
                buffers: &[],
            },
            primitive: wgpu::PrimitiveState::default(),
            depth_stencil: None,
            multisample: wgpu::MultisampleState::default(),
            fragment: Some(wgpu::FragmentState {
                module: &module,
                entry_point: Some("fragment"),
                compilation_options: Default::default(),
                targets: &[Some(target.into())],
            }),
            multiview_mask: None,
            cache: None,
        });
        Self { pipeline, encodes_srgb: target.is_srgb(), textures: HashMap::new(), clock: 0 }
    }

    /// Uploads what a view reads and binds it.
    pub fn prepare(&mut self, device: &wgpu::Device, queue: &wgpu::Queue, draw: &Draw) -> wgpu::BindGroup {
        self.clock += 1;
        let second = draw.second.as_ref().unwrap_or(&draw.first);
        let colormap = draw.heat.map_or_else(Colormap::default, |heat| heat.colormap);
        let views = [
            self.pixels(device, queue, &draw.first),
            self.pixels(device, queue, second),
            self.field(device, queue, draw.maps[0].as_ref()),
            self.field(device, queue, draw.maps[1].as_ref()),
            self.table(device, queue, colormap),
        ];
        self.forget_old();
        let bytes: Vec<u8> = self.uniform(draw).iter().flat_map(|value| value.to_ne_bytes()).collect();
        let buffer = device.create_buffer_init(&wgpu::util::BufferInitDescriptor {
            label: Some("view"),
            contents: &bytes,
            usage: wgpu::BufferUsages::UNIFORM,
        });
        let mut entries = vec![wgpu::BindGroupEntry { binding: 0, resource: buffer.as_entire_binding() }];
        for (binding, view) in (1..).zip(&views) {
            entries.push(wgpu::BindGroupEntry { binding, resource: wgpu::BindingResource::TextureView(view) });
        }
        device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some("view"),
            layout: &self.pipeline.get_bind_group_layout(0),
            entries: &entries,
        })
    }

    /// Draws what was prepared.
    pub fn paint(&self, pass: &mut wgpu::RenderPass<'_>, bound: &wgpu::BindGroup) {
        pass.set_pipeline(&self.pipeline);
        pass.set_bind_group(0, bound, &[]);
        pass.draw(0..3, 0..1);
    }

    fn uniform(&self, draw: &Draw) -> [f32; 16] {
        let [mode, wipe, amplify] = match draw.show {
            Show::First => [0.0, 0.0, 0.0],
            Show::Second => [1.0, 0.0, 0.0],
            Show::Difference(factor) => [2.0, 0.0, factor],
            Show::Wipe(share) => [3.0, share, 0.0],
        };
        let heat = draw.heat.filter(|heat| draw.maps[usize::from(mode == 1.0)].is_some() || heat.is_difference);
        let heat = heat.map_or([0.0; 4], |heat| {
            [if heat.is_difference { 2.0 } else { 1.0 }, heat.opacity, heat.range[0], heat.range[1]]
        });
        let [r, g, b, _] = draw.ground.to_array().map(|v| f32::from(v) / 255.0);
        let (p, q) = (draw.part, heat);
        let srgb = if self.encodes_srgb { 1.0 } else { 0.0 };
        [p[0], p[1], p[2], p[3], mode, wipe, amplify, srgb, q[0], q[1], q[2], q[3], r, g, b, 1.0]
    }

    fn pixels(&mut self, device: &wgpu::Device, queue: &wgpu::Queue, pixels: &Pixels) -> wgpu::TextureView {
        let key = pixels.rgb8.as_ptr() as usize;
        self.keep(
            key,
            || Owner::Pixels(pixels.rgb8.clone()),
            || {
                let rgba: Vec<u8> = pixels.rgb8.chunks_exact(3).flat_map(|c| [c[0], c[1], c[2], 255]).collect();
                upload(device, queue, pixels.size, wgpu::TextureFormat::Rgba8Unorm, &rgba)
            },
        )
    }

    fn field(&mut self, device: &wgpu::Device, queue: &wgpu::Queue, field: Option<&Field>) -> wgpu::TextureView {
        let Some(field) = field else {
            return self.keep(
                0,
                || Owner::Table,
                || upload(device, queue, [1, 1], wgpu::TextureFormat::R32Float, &[0; 4]),
            );
        };
        let key = field.values.as_ptr() as usize;
        self.keep(
            key,
            || Owner::Field(field.values.clone()),
            || {
                let bytes: Vec<u8> = field.values.iter().flat_map(|value| value.to_ne_bytes()).collect();
                upload(device, queue, field.size, wgpu::TextureFormat::R32Float, &bytes)
            },
        )
    }

    fn table(&mut self, device: &wgpu::Device, queue: &wgpu::Queue, map: Colormap) -> wgpu::TextureView {
        // No memory of a picture lies at so low an address.
        let key = 1 + map as usize;
        self.keep(
            key,
            || Owner::Table,
            || {
                let rgba: Vec<u8> = map.table().iter().flat_map(|color| color.to_array()).collect();
                upload(device, queue, [ENTRIES, 1], wgpu::TextureFormat::Rgba8Unorm, &rgba)
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
        let kept = self.textures.entry(key).or_insert_with(|| Kept { _owner: owner(), view: make(), used });
        kept.used = used;
        kept.view.clone()
    }

    fn forget_old(&mut self) {
        while self.textures.len() > TEXTURES {
            let oldest = self.textures.iter().min_by_key(|(_, kept)| kept.used).map(|(key, _)| *key);
            let Some(key) = oldest else { return };
            self.textures.remove(&key);
        }
    }
}

fn upload(
    device: &wgpu::Device,
    queue: &wgpu::Queue,
    size: [usize; 2],
    format: wgpu::TextureFormat,
    bytes: &[u8],
) -> wgpu::TextureView {
    let size = wgpu::Extent3d { width: size[0] as u32, height: size[1] as u32, depth_or_array_layers: 1 };
    let descriptor = wgpu::TextureDescriptor {
        label: Some("viewer"),
        size,
        mip_level_count: 1,
        sample_count: 1,
        dimension: wgpu::TextureDimension::D2,
        format,
        usage: wgpu::TextureUsages::TEXTURE_BINDING | wgpu::TextureUsages::COPY_DST,
        view_formats: &[],
    };
    let texture = device.create_texture_with_data(queue, &descriptor, TextureDataOrder::LayerMajor, bytes);
    texture.create_view(&wgpu::TextureViewDescriptor::default())
}

impl CallbackTrait for Callback {
    fn prepare(
        &self,
        device: &wgpu::Device,
        queue: &wgpu::Queue,
        _: &ScreenDescriptor,
        _: &mut wgpu::CommandEncoder,
        resources: &mut CallbackResources,
    ) -> Vec<wgpu::CommandBuffer> {
        if let Some(gpu) = resources.get_mut::<Gpu>() {
            // A callback is prepared once; a second time would bind the same.
            let _ = self.bound.set(gpu.prepare(device, queue, &self.draw));
        }
        Vec::new()
    }

    fn paint(&self, _: PaintCallbackInfo, pass: &mut wgpu::RenderPass<'static>, resources: &CallbackResources) {
        if let (Some(gpu), Some(bound)) = (resources.get::<Gpu>(), self.bound.get()) {
            gpu.paint(pass, bound);
        }
    }
}
