//! Published networks, a file a paper: its configuration, the layers with the weights' published names, and the forward pass.
//! Backbones and metrics share them.

pub mod alexnet;
pub mod transformer;
pub mod vgg16;
