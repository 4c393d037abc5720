//! Backbones and weights, loaded once and kept while they are used.

use std::cell::OnceCell;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::Device;

use super::batch;
use crate::backbones::{Backbone, mini};
use crate::nn::params::Params;
use crate::workspace::hash;
use crate::{Error, Result};

/// A network with weights.
#[derive(Clone)]
pub(super) struct Model {
    pub backbone: Arc<dyn Backbone>,
    pub params: Arc<Params>,
}

/// A reference model and the hash that names its weights.
#[derive(Clone)]
pub(super) struct Reference {
    pub model: Model,
    pub weights_hash: String,
}

/// What is loaded.
pub(super) struct Models {
    device: Device,
    reference: Option<(String, Reference)>,
    /// The last checkpoint used.
    checkpoint: Option<(PathBuf, Model)>,
    /// [`batch::fastest_pixels`], once it was asked for.
    fastest_pixels: OnceCell<usize>,
}

impl Default for Models {
    fn default() -> Self {
        Self { device: best_device(), reference: None, checkpoint: None, fastest_pixels: OnceCell::new() }
    }
}

/// The first CUDA or Metal device if the program was built for it and there is one, else the CPU.
pub fn best_device() -> Device {
    Device::cuda_if_available(0)
        .ok()
        .filter(|d| !d.is_cpu())
        .or_else(|| Device::metal_if_available(0).ok())
        .unwrap_or(Device::Cpu)
}

impl Models {
    /// The device, in words; kept with every score.
    pub fn device_name(&self) -> String {
        match &self.device {
            Device::Cpu => format!("CPU ({} threads)", rayon::current_num_threads()),
            Device::Cuda(_) => "CUDA 0".into(),
            Device::Metal(_) => "Metal 0".into(),
        }
    }

    /// Pixels through the network at once that are fastest on the device.
    pub fn fastest_pixels(&self, model: &Model) -> usize {
        *self.fastest_pixels.get_or_init(|| batch::fastest_pixels(model, &self.device_name()))
    }

    /// The reference of a backbone's name. Errors: a backbone whose weights are not shipped.
    pub fn reference(&mut self, name: &str) -> Result<Reference> {
        if let Some((known, reference)) = &self.reference
            && known == name
        {
            return Ok(reference.clone());
        }
        if name != "mini" {
            return Err(Error::invalid(format!(
                "sampling.backbone: `{name}` is not built in; this version has `mini`. The presets sd2-paper and flux-paper \
                 document the paper's settings"
            )));
        }
        let backbone: Arc<dyn Backbone> = Arc::new(mini::Mini::new());
        let params = Params::from_safetensors(
            backbone.specs(),
            mini::WEIGHTS,
            Path::new("assets/mini.safetensors"),
            &self.device,
        )?;
        let model = Model { backbone, params: Arc::new(params) };
        let reference = Reference { model, weights_hash: hash::hash_bytes(mini::WEIGHTS) };
        self.reference = Some((name.to_owned(), reference.clone()));
        Ok(reference)
    }

    /// The weights of a checkpoint file for the network of a backbone.
    pub fn checkpoint(&mut self, backbone: &str, path: &Path) -> Result<Model> {
        if let Some((known, model)) = &self.checkpoint
            && known == path
        {
            return Ok(model.clone());
        }
        let backbone = self.reference(backbone)?.model.backbone;
        let params = Arc::new(Params::load(backbone.specs(), path, &self.device)?);
        let model = Model { backbone, params };
        self.checkpoint = Some((path.to_owned(), model.clone()));
        Ok(model)
    }
}
