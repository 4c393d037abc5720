//! Cells coloured by their values, drawn in one go however many there are.

use egui::Color32;

use super::callback::Drawing;
use super::colormap::Colormap;
use super::pipelines::Gpu;
use super::textures::{self, Device};

/// A matrix of self. Lengths are points.
#[derive(Clone, Debug)]
pub struct Cells {
    pub columns: usize,
    /// Row by row, in [0, 1]; NaN where there is none.
    pub values: Vec<f32>,
    /// Width and height from one cell to the next.
    pub pitch: [f32; 2],
    /// Left free between self.
    pub spacing: f32,
    /// Columns before a gap, and its width.
    pub gap: (usize, f32),
    /// Left, top, width and height of the viewport, seen from the first cell's corner.
    pub viewport: [f32; 4],
    pub colormap: Colormap,
    /// Of cells without a value.
    pub absent: Color32,
}

impl Drawing for Cells {
    fn prepare(&self, gpu: &mut Gpu, device: &wgpu::Device, queue: &wgpu::Queue) -> wgpu::BindGroup {
        let on = Device { device, queue };
        gpu.textures.begin();
        // Shaders may take any value for a NaN; a value below 0 stands for none.
        let marked: Vec<f32> = self.values.iter().map(|v| if v.is_nan() { -1.0 } else { *v }).collect();
        let (columns, rows) = (self.columns.max(1), self.values.len() / self.columns.max(1));
        let values = match rows {
            0 => textures::values(on, [1, 1], &[-1.0]),
            rows => textures::values(on, [columns, rows], &marked[..columns * rows]),
        };
        let views = [values, gpu.textures.table(on, self.colormap)];
        let srgb = if gpu.encodes_srgb { 1.0 } else { 0.0 };
        let [r, g, b, _] = self.absent.to_array().map(|v| f32::from(v) / 255.0);
        let ([w, h], [left, top, width, height]) = (self.pitch, self.viewport);
        let (before, gap) = (self.gap.0 as f32, self.gap.1);
        let uniform = [
            w,
            h,
            self.spacing,
            srgb,
            before,
            gap,
            columns as f32,
            rows as f32,
            left,
            top,
            width,
            height,
            r,
            g,
            b,
            1.0,
        ];
        gpu.matrix.bind(device, &uniform, &views)
    }

    fn paint(gpu: &Gpu, pass: &mut wgpu::RenderPass<'_>, bound: &wgpu::BindGroup) {
        gpu.matrix.paint(pass, bound);
    }
}
