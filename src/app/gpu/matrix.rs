//! Cells coloured by their values, drawn in one go however many there are.

use std::sync::OnceLock;

use eframe::egui_wgpu::{CallbackResources, CallbackTrait, ScreenDescriptor};
use egui::{Color32, PaintCallbackInfo};

use super::Gpu;
use super::colormap::Colormap;
use super::textures::{self, Device};

/// The shader, for the pipeline and for tests.
pub const SHADER: &str = include_str!("../../../shaders/matrix.wgsl");
/// Textures it reads: the values and the colormap's table.
pub(super) const TEXTURES: u32 = 2;

/// A matrix of cells. Lengths are points.
#[derive(Clone, Debug)]
pub struct Cells {
    pub columns: usize,
    /// Row by row, in [0, 1]; NaN where there is none.
    pub values: Vec<f32>,
    /// Width and height from one cell to the next.
    pub pitch: [f32; 2],
    /// Left free between cells.
    pub spacing: f32,
    /// Columns before a gap, and its width.
    pub gap: (usize, f32),
    /// Left, top, width and height of the viewport, seen from the first cell's corner.
    pub viewport: [f32; 4],
    pub colormap: Colormap,
    /// Of cells without a value.
    pub absent: Color32,
}

/// A matrix on its way through a frame.
pub struct Callback {
    cells: Cells,
    bound: OnceLock<wgpu::BindGroup>,
}

impl Callback {
    /// A matrix to be drawn in this frame.
    pub fn new(cells: Cells) -> Self {
        Self { cells, bound: OnceLock::new() }
    }
}

impl Gpu {
    /// Uploads a matrix and binds it.
    pub fn prepare_matrix(&mut self, device: &wgpu::Device, queue: &wgpu::Queue, cells: &Cells) -> wgpu::BindGroup {
        let on = Device { device, queue };
        self.textures.begin();
        // Shaders may take any value for a NaN; a value below 0 stands for none.
        let marked: Vec<f32> = cells.values.iter().map(|v| if v.is_nan() { -1.0 } else { *v }).collect();
        let (columns, rows) = (cells.columns.max(1), cells.values.len() / cells.columns.max(1));
        let values = match rows {
            0 => textures::values(on, [1, 1], &[-1.0]),
            rows => textures::values(on, [columns, rows], &marked[..columns * rows]),
        };
        let views = [values, self.textures.table(on, cells.colormap)];
        let srgb = if self.encodes_srgb { 1.0 } else { 0.0 };
        let [r, g, b, _] = cells.absent.to_array().map(|v| f32::from(v) / 255.0);
        let ([w, h], [left, top, width, height]) = (cells.pitch, cells.viewport);
        let (before, gap) = (cells.gap.0 as f32, cells.gap.1);
        let uniform = [
            w,
            h,
            cells.spacing,
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
        self.matrix.bind(device, &uniform, &views)
    }

    /// Draws a matrix that was prepared.
    pub fn paint_matrix(&self, pass: &mut wgpu::RenderPass<'_>, bound: &wgpu::BindGroup) {
        self.matrix.paint(pass, bound);
    }
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
            let _ = self.bound.set(gpu.prepare_matrix(device, queue, &self.cells));
        }
        Vec::new()
    }

    fn paint(&self, _: PaintCallbackInfo, pass: &mut wgpu::RenderPass<'static>, resources: &CallbackResources) {
        if let (Some(gpu), Some(bound)) = (resources.get::<Gpu>(), self.bound.get()) {
            gpu.paint_matrix(pass, bound);
        }
    }
}
