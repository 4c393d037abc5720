//! The published parts of metrics, by family.

mod clip;
mod convolutional;
mod perceptual;
mod topiq;
mod transformers;

use super::part::{Form, Part};

pub use clip::*;
pub use convolutional::*;
pub use perceptual::*;
pub use topiq::*;
pub use transformers::*;

const PYIQA: &[&str] = &["chaofengc/IQA-PyTorch-Weights"];
const FROM_PYIQA: &str = "from https://huggingface.co/chaofengc/IQA-PyTorch-Weights";
const PYIQA_NC: &str = "non-commercial (CC-BY-NC-SA-4.0, as pyiqa's weights)";

/// A file of pyiqa's.
const fn pyiqa(id: &'static str, title: &'static str, forms: &'static [Form], licence: &'static str) -> Part {
    Part { id, title, forms, get: FROM_PYIQA, licence }
}
