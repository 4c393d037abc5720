//! A network with weights.

use std::sync::Arc;

use crate::backbones::Backbone;
use crate::nn::checkpoint::{Checkpoint, Released};
use crate::nn::lora::Layer;
use crate::nn::params::Params;

/// A backbone and the values of its adapter.
#[derive(Clone)]
pub(super) struct Model {
    pub backbone: Arc<dyn Backbone>,
    pub params: Arc<Params>,
    /// The factors that led here from the released weights; `None` where more than factors did.
    pub layers: Option<Arc<[Layer]>>,
}

impl Model {
    /// A backbone with the weights of a checkpoint.
    pub fn of(backbone: &Arc<dyn Backbone>, checkpoint: Checkpoint) -> Self {
        let Checkpoint { weights, layers } = checkpoint;
        Self { backbone: backbone.clone(), params: Arc::new(weights), layers: layers.map(Into::into) }
    }
}

/// A reference model and the hash that names its weights.
#[derive(Clone)]
pub(super) struct Reference {
    pub model: Model,
    pub weights_hash: String,
}

impl Reference {
    /// What checkpoints of its backbone add to.
    pub fn released(&self) -> Released<'_> {
        let Model { backbone, params, .. } = &self.model;
        Released { backbone: backbone.card().name, weights: params, sha256: &self.weights_hash }
    }
}
