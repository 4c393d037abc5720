//! One or two pictures with a map on top.

use super::callback::Drawing;
use super::colormap::Colormap;
use super::pipelines::Gpu;
use super::textures::Device;
pub use super::textures::{Field, Pixels};

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

impl Drawing for Draw {
    fn prepare(&self, gpu: &mut Gpu, device: &wgpu::Device, queue: &wgpu::Queue) -> wgpu::BindGroup {
        let on = Device { device, queue };
        gpu.textures.begin();
        let second = self.second.as_ref().unwrap_or(&self.first);
        let colormap = self.heat.map_or_else(Colormap::default, |heat| heat.colormap);
        let views = [
            gpu.textures.pixels(on, &self.first),
            gpu.textures.pixels(on, second),
            gpu.textures.field(on, self.maps[0].as_ref()),
            gpu.textures.field(on, self.maps[1].as_ref()),
            gpu.textures.table(on, colormap),
        ];
        gpu.view.bind(device, &self.uniform(gpu.encodes_srgb), &views)
    }

    fn paint(gpu: &Gpu, pass: &mut wgpu::RenderPass<'_>, bound: &wgpu::BindGroup) {
        gpu.view.paint(pass, bound);
    }
}

impl Draw {
    fn uniform(&self, encodes_srgb: bool) -> [f32; 16] {
        let [mode, wipe, amplify] = match self.show {
            Show::First => [0.0, 0.0, 0.0],
            Show::Second => [1.0, 0.0, 0.0],
            Show::Difference(factor) => [2.0, 0.0, factor],
            Show::Wipe(share) => [3.0, share, 0.0],
        };
        let heat = self.heat.filter(|heat| self.maps[usize::from(mode == 1.0)].is_some() || heat.is_difference);
        let heat = heat.map_or([0.0; 4], |heat| {
            [if heat.is_difference { 2.0 } else { 1.0 }, heat.opacity, heat.range[0], heat.range[1]]
        });
        let [r, g, b, _] = self.ground.to_array().map(|v| f32::from(v) / 255.0);
        let (p, q) = (self.part, heat);
        let srgb = if encodes_srgb { 1.0 } else { 0.0 };
        [p[0], p[1], p[2], p[3], mode, wipe, amplify, srgb, q[0], q[1], q[2], q[3], r, g, b, 1.0]
    }
}
