//! What the graphics card draws beside egui's own shapes, by the shaders in `shaders/`.
//!
//! * [`view`]: one or two pictures with a metric's map on top. [`matrix`]: cells coloured by their values.
//! * [`colormap`]: the colours of both. [`callback`], `pipeline`, `pipelines` and `textures`: what both are made of.

pub mod callback;
pub mod colormap;
pub mod matrix;
mod pipeline;
mod pipelines;
mod textures;
pub mod view;

use eframe::egui_wgpu::RenderState;

pub use pipelines::Gpu;

/// Makes the pipelines where they are not made yet; false without a graphics device.
pub fn make_ready(gpu: Option<&RenderState>) -> bool {
    let Some(gpu) = gpu else { return false };
    let is_known = gpu.renderer.read().callback_resources.get::<Gpu>().is_some();
    if !is_known {
        let made = Gpu::new(&gpu.device, gpu.target_format);
        gpu.renderer.write().callback_resources.insert(made);
    }
    true
}
