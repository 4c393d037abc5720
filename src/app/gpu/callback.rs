//! The way of a drawing through egui's frame: prepared once, then painted.

use std::sync::OnceLock;

use eframe::egui_wgpu::{CallbackResources, CallbackTrait, ScreenDescriptor};
use egui::PaintCallbackInfo;

use super::pipelines::Gpu;

/// What one of the shaders draws.
pub trait Drawing: Send + Sync + 'static {
    /// Uploads what the shader reads and binds it.
    fn prepare(&self, gpu: &mut Gpu, device: &wgpu::Device, queue: &wgpu::Queue) -> wgpu::BindGroup;

    /// Draws what was bound.
    fn paint(gpu: &Gpu, pass: &mut wgpu::RenderPass<'_>, bound: &wgpu::BindGroup);
}

/// A drawing on its way through a frame.
pub struct Callback<D> {
    drawing: D,
    bound: OnceLock<wgpu::BindGroup>,
}

impl<D: Drawing> Callback<D> {
    /// A drawing to be made in this frame.
    pub fn new(drawing: D) -> Self {
        Self { drawing, bound: OnceLock::new() }
    }
}

impl<D: Drawing> CallbackTrait for Callback<D> {
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
            let _ = self.bound.set(self.drawing.prepare(gpu, device, queue));
        }
        Vec::new()
    }

    fn paint(&self, _: PaintCallbackInfo, pass: &mut wgpu::RenderPass<'static>, resources: &CallbackResources) {
        if let (Some(gpu), Some(bound)) = (resources.get::<Gpu>(), self.bound.get()) {
            D::paint(gpu, pass, bound);
        }
    }
}
