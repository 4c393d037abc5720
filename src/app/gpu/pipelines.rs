//! The pipelines of both shaders, made once for a target, and the textures they read.

use super::pipeline::Pipeline;
use super::textures::Textures;

const VIEW: &str = include_str!("../../../shaders/view.wgsl");
/// Two pictures, their maps, the colormap's table.
const VIEW_TEXTURES: u32 = 5;
const MATRIX: &str = include_str!("../../../shaders/matrix.wgsl");
/// The values and the colormap's table.
const MATRIX_TEXTURES: u32 = 2;

/// Pipelines and textures, kept in egui's callback resources.
pub struct Gpu {
    pub(super) view: Pipeline,
    pub(super) matrix: Pipeline,
    pub(super) textures: Textures,
    pub(super) encodes_srgb: bool,
}

impl Gpu {
    /// Makes the pipelines for a target.
    pub fn new(device: &wgpu::Device, target: wgpu::TextureFormat) -> Self {
        Self {
            view: Pipeline::new(device, target, "view", VIEW, VIEW_TEXTURES),
            matrix: Pipeline::new(device, target, "matrix", MATRIX, MATRIX_TEXTURES),
            textures: Textures::default(),
            encodes_srgb: target.is_srgb(),
        }
    }
}
