//! Published networks, a file a paper: its configuration, the layers with the weights' published names, and the forward pass.
//! Backbones and metrics share them.

pub mod afine;
pub mod alexnet;
pub mod cfanet;
pub mod clip;
pub mod clip_bpe;
pub mod clip_text;
pub mod controlnet_flux;
pub mod controlnet_sd;
pub mod dbcnn;
mod flux_blocks;
pub mod flux_transformer;
pub mod hyper_iqa;
pub mod inception_resnet_v2;
pub mod maniqa;
pub mod mplug_owl2;
pub mod musiq;
pub mod published;
pub mod ram;
pub mod res_block;
pub mod resnet50;
pub mod swin;
pub mod swin_stages;
pub mod t5_encoder;
pub mod transformer;
pub mod unet_sd;
pub mod vae_kl;
pub mod vgg16;
pub mod vit;
