//! The published parts of C-FLUX: FLUX.1-dev in the forms that people have it in, and the ControlNets of DP²O-SR for it.

use super::of_sd2::{DP2O_LICENCE, FROM_DP2O};
use super::part::Size::{About, Unknown};
use super::part::{Form, Part, Published};

const FLUX: &str = "FLUX.1-dev";
const FLUX_HUBS: &[&str] = &["black-forest-labs/FLUX.1-dev"];
const FROM_FLUX: &str = "from https://huggingface.co/black-forest-labs/FLUX.1-dev, once its licence is agreed to there";
const FLUX_LICENCE: &str = "FLUX.1 [dev] Non-Commercial License";

const FLUX_GGUF: &[&str] = &["city96/FLUX.1-dev-gguf"];
const FLUX_FP8: &[&str] = &["Kijai/flux-fp8", "Comfy-Org/flux1-dev"];
const T5_GGUF: &[&str] = &["city96/t5-v1_1-xxl-encoder-gguf"];
const FLUX_TEXTS: &[&str] = &["comfyanonymous/flux_text_encoders"];

/// The transformer of FLUX.1-dev, in diffusers' names (three shards) or in BFL's, there also in 8 bits and in ggml's blocks.
pub static FLUX_TRANSFORMER: Part = Part {
    id: "flux-transformer",
    title: "FLUX.1-dev, transformer",
    forms: &[
        Form {
            folder: FLUX,
            hubs: FLUX_HUBS,
            files: &[
                Published::new("transformer/diffusion_pytorch_model.safetensors.index.json", "", Unknown),
                Published::new("transformer/diffusion_pytorch_model-00001-of-00003.safetensors", "", Unknown),
                Published::new("transformer/diffusion_pytorch_model-00002-of-00003.safetensors", "", Unknown),
                Published::new("transformer/diffusion_pytorch_model-00003-of-00003.safetensors", "", Unknown),
            ],
            size: About(23_803),
        },
        Form::within(FLUX, FLUX_HUBS, &[Published::new("flux1-dev.safetensors", "", About(23_803))]),
        Form::alone(
            FLUX_FP8,
            &[Published::new("flux1-dev-fp8.safetensors", "", About(11900)).or_named(&[
                "FLUX.1-dev/flux1-dev-fp8.safetensors",
                "unet/flux1-dev-fp8.safetensors",
                "diffusion_models/flux1-dev-fp8.safetensors",
            ])],
        ),
        Form::alone(
            FLUX_FP8,
            &[Published::new("flux1-dev-fp8-e4m3fn.safetensors", "", About(11900)).or_named(&[
                "FLUX.1-dev/flux1-dev-fp8-e4m3fn.safetensors",
                "unet/flux1-dev-fp8-e4m3fn.safetensors",
                "diffusion_models/flux1-dev-fp8-e4m3fn.safetensors",
            ])],
        ),
        Form::alone(
            FLUX_FP8,
            &[Published::new("flux1-dev-fp8-e5m2.safetensors", "", About(11900)).or_named(&[
                "FLUX.1-dev/flux1-dev-fp8-e5m2.safetensors",
                "unet/flux1-dev-fp8-e5m2.safetensors",
                "diffusion_models/flux1-dev-fp8-e5m2.safetensors",
            ])],
        ),
        Form::alone(
            FLUX_GGUF,
            &[Published::new("flux1-dev-F16.gguf", "", About(23800)).or_named(&[
                "FLUX.1-dev/flux1-dev-F16.gguf",
                "unet/flux1-dev-F16.gguf",
                "diffusion_models/flux1-dev-F16.gguf",
            ])],
        ),
        Form::alone(
            FLUX_GGUF,
            &[Published::new("flux1-dev-Q8_0.gguf", "", About(12700)).or_named(&[
                "FLUX.1-dev/flux1-dev-Q8_0.gguf",
                "unet/flux1-dev-Q8_0.gguf",
                "diffusion_models/flux1-dev-Q8_0.gguf",
            ])],
        ),
        Form::alone(
            FLUX_GGUF,
            &[Published::new("flux1-dev-Q6_K.gguf", "", About(9860)).or_named(&[
                "FLUX.1-dev/flux1-dev-Q6_K.gguf",
                "unet/flux1-dev-Q6_K.gguf",
                "diffusion_models/flux1-dev-Q6_K.gguf",
            ])],
        ),
        Form::alone(
            FLUX_GGUF,
            &[Published::new("flux1-dev-Q5_K_S.gguf", "", About(8290)).or_named(&[
                "FLUX.1-dev/flux1-dev-Q5_K_S.gguf",
                "unet/flux1-dev-Q5_K_S.gguf",
                "diffusion_models/flux1-dev-Q5_K_S.gguf",
            ])],
        ),
        Form::alone(
            FLUX_GGUF,
            &[Published::new("flux1-dev-Q5_1.gguf", "", About(9010)).or_named(&[
                "FLUX.1-dev/flux1-dev-Q5_1.gguf",
                "unet/flux1-dev-Q5_1.gguf",
                "diffusion_models/flux1-dev-Q5_1.gguf",
            ])],
        ),
        Form::alone(
            FLUX_GGUF,
            &[Published::new("flux1-dev-Q5_0.gguf", "", About(8270)).or_named(&[
                "FLUX.1-dev/flux1-dev-Q5_0.gguf",
                "unet/flux1-dev-Q5_0.gguf",
                "diffusion_models/flux1-dev-Q5_0.gguf",
            ])],
        ),
        Form::alone(
            FLUX_GGUF,
            &[Published::new("flux1-dev-Q4_K_S.gguf", "", About(6810)).or_named(&[
                "FLUX.1-dev/flux1-dev-Q4_K_S.gguf",
                "unet/flux1-dev-Q4_K_S.gguf",
                "diffusion_models/flux1-dev-Q4_K_S.gguf",
            ])],
        ),
        Form::alone(
            FLUX_GGUF,
            &[Published::new("flux1-dev-Q4_1.gguf", "", About(7530)).or_named(&[
                "FLUX.1-dev/flux1-dev-Q4_1.gguf",
                "unet/flux1-dev-Q4_1.gguf",
                "diffusion_models/flux1-dev-Q4_1.gguf",
            ])],
        ),
        Form::alone(
            FLUX_GGUF,
            &[Published::new("flux1-dev-Q4_0.gguf", "", About(6790)).or_named(&[
                "FLUX.1-dev/flux1-dev-Q4_0.gguf",
                "unet/flux1-dev-Q4_0.gguf",
                "diffusion_models/flux1-dev-Q4_0.gguf",
            ])],
        ),
        Form::alone(
            FLUX_GGUF,
            &[Published::new("flux1-dev-Q3_K_S.gguf", "", About(5230)).or_named(&[
                "FLUX.1-dev/flux1-dev-Q3_K_S.gguf",
                "unet/flux1-dev-Q3_K_S.gguf",
                "diffusion_models/flux1-dev-Q3_K_S.gguf",
            ])],
        ),
        Form::alone(
            FLUX_GGUF,
            &[Published::new("flux1-dev-Q2_K.gguf", "", About(4030)).or_named(&[
                "FLUX.1-dev/flux1-dev-Q2_K.gguf",
                "unet/flux1-dev-Q2_K.gguf",
                "diffusion_models/flux1-dev-Q2_K.gguf",
            ])],
        ),
    ],
    get: FROM_FLUX,
    licence: FLUX_LICENCE,
};

/// The VAE of FLUX.1-dev, in diffusers' names or in BFL's.
pub static FLUX_VAE: Part = Part {
    id: "flux-vae",
    title: "FLUX.1-dev, VAE",
    forms: &[
        Form::within(FLUX, FLUX_HUBS, &[Published::new("vae/diffusion_pytorch_model.safetensors", "", About(168))]),
        Form::within(FLUX, FLUX_HUBS, &[Published::new("ae.safetensors", "", About(335))]),
    ],
    get: FROM_FLUX,
    licence: FLUX_LICENCE,
};

/// The CLIP-L text encoder of FLUX.1-dev.
pub static FLUX_CLIP: Part = Part {
    id: "flux-clip",
    title: "FLUX.1-dev, CLIP-L text encoder",
    forms: &[
        Form::within(FLUX, FLUX_HUBS, &[Published::new("text_encoder/model.safetensors", "", About(246))]),
        Form::alone(
            FLUX_TEXTS,
            &[Published::new("clip_l.safetensors", "", About(246)).or_named(&[
                "FLUX.1-dev/clip_l.safetensors",
                "text_encoders/clip_l.safetensors",
                "clip/clip_l.safetensors",
            ])],
        ),
    ],
    get: FROM_FLUX,
    licence: FLUX_LICENCE,
};

/// The T5-XXL encoder of FLUX.1-dev.
pub static FLUX_T5: Part = Part {
    id: "flux-t5",
    title: "FLUX.1-dev, T5-XXL encoder",
    forms: &[
        Form {
            folder: FLUX,
            hubs: FLUX_HUBS,
            files: &[
                Published::new("text_encoder_2/model.safetensors.index.json", "", Unknown),
                Published::new("text_encoder_2/model-00001-of-00002.safetensors", "", Unknown),
                Published::new("text_encoder_2/model-00002-of-00002.safetensors", "", Unknown),
            ],
            size: About(9_525),
        },
        Form::alone(
            FLUX_TEXTS,
            &[Published::new("t5xxl_fp16.safetensors", "", About(9790)).or_named(&[
                "FLUX.1-dev/t5xxl_fp16.safetensors",
                "text_encoders/t5xxl_fp16.safetensors",
                "clip/t5xxl_fp16.safetensors",
            ])],
        ),
        Form::alone(
            FLUX_TEXTS,
            &[Published::new("t5xxl_fp8_e4m3fn.safetensors", "", About(4890)).or_named(&[
                "FLUX.1-dev/t5xxl_fp8_e4m3fn.safetensors",
                "text_encoders/t5xxl_fp8_e4m3fn.safetensors",
                "clip/t5xxl_fp8_e4m3fn.safetensors",
            ])],
        ),
        Form::alone(
            FLUX_TEXTS,
            &[Published::new("t5xxl_fp8_e4m3fn_scaled.safetensors", "", About(5160)).or_named(&[
                "FLUX.1-dev/t5xxl_fp8_e4m3fn_scaled.safetensors",
                "text_encoders/t5xxl_fp8_e4m3fn_scaled.safetensors",
                "clip/t5xxl_fp8_e4m3fn_scaled.safetensors",
            ])],
        ),
        Form::alone(
            T5_GGUF,
            &[Published::new("t5-v1_1-xxl-encoder-f16.gguf", "", About(9530)).or_named(&[
                "FLUX.1-dev/t5-v1_1-xxl-encoder-f16.gguf",
                "text_encoders/t5-v1_1-xxl-encoder-f16.gguf",
                "clip/t5-v1_1-xxl-encoder-f16.gguf",
            ])],
        ),
        Form::alone(
            T5_GGUF,
            &[Published::new("t5-v1_1-xxl-encoder-Q8_0.gguf", "", About(5060)).or_named(&[
                "FLUX.1-dev/t5-v1_1-xxl-encoder-Q8_0.gguf",
                "text_encoders/t5-v1_1-xxl-encoder-Q8_0.gguf",
                "clip/t5-v1_1-xxl-encoder-Q8_0.gguf",
            ])],
        ),
        Form::alone(
            T5_GGUF,
            &[Published::new("t5-v1_1-xxl-encoder-Q6_K.gguf", "", About(3910)).or_named(&[
                "FLUX.1-dev/t5-v1_1-xxl-encoder-Q6_K.gguf",
                "text_encoders/t5-v1_1-xxl-encoder-Q6_K.gguf",
                "clip/t5-v1_1-xxl-encoder-Q6_K.gguf",
            ])],
        ),
        Form::alone(
            T5_GGUF,
            &[Published::new("t5-v1_1-xxl-encoder-Q5_K_M.gguf", "", About(3390)).or_named(&[
                "FLUX.1-dev/t5-v1_1-xxl-encoder-Q5_K_M.gguf",
                "text_encoders/t5-v1_1-xxl-encoder-Q5_K_M.gguf",
                "clip/t5-v1_1-xxl-encoder-Q5_K_M.gguf",
            ])],
        ),
        Form::alone(
            T5_GGUF,
            &[Published::new("t5-v1_1-xxl-encoder-Q5_K_S.gguf", "", About(3290)).or_named(&[
                "FLUX.1-dev/t5-v1_1-xxl-encoder-Q5_K_S.gguf",
                "text_encoders/t5-v1_1-xxl-encoder-Q5_K_S.gguf",
                "clip/t5-v1_1-xxl-encoder-Q5_K_S.gguf",
            ])],
        ),
        Form::alone(
            T5_GGUF,
            &[Published::new("t5-v1_1-xxl-encoder-Q4_K_M.gguf", "", About(2900)).or_named(&[
                "FLUX.1-dev/t5-v1_1-xxl-encoder-Q4_K_M.gguf",
                "text_encoders/t5-v1_1-xxl-encoder-Q4_K_M.gguf",
                "clip/t5-v1_1-xxl-encoder-Q4_K_M.gguf",
            ])],
        ),
        Form::alone(
            T5_GGUF,
            &[Published::new("t5-v1_1-xxl-encoder-Q4_K_S.gguf", "", About(2740)).or_named(&[
                "FLUX.1-dev/t5-v1_1-xxl-encoder-Q4_K_S.gguf",
                "text_encoders/t5-v1_1-xxl-encoder-Q4_K_S.gguf",
                "clip/t5-v1_1-xxl-encoder-Q4_K_S.gguf",
            ])],
        ),
    ],
    get: FROM_FLUX,
    licence: FLUX_LICENCE,
};

/// Both tokenizers of FLUX.1-dev.
pub static FLUX_TOKENIZERS: Part = Part {
    id: "flux-tokenizers",
    title: "FLUX.1-dev, tokenizers",
    forms: &[Form {
        folder: FLUX,
        hubs: FLUX_HUBS,
        files: &[
            Published::new("tokenizer/vocab.json", "", Unknown),
            Published::new("tokenizer/merges.txt", "", Unknown),
            Published::new("tokenizer_2/tokenizer.json", "", Unknown),
        ],
        size: About(3),
    }],
    get: FROM_FLUX,
    licence: FLUX_LICENCE,
};

/// The ControlNet of C-FLUX: π_ref.
pub static C_FLUX: Part = Part {
    id: "c-flux",
    title: "C-FLUX, ControlNet before DPO",
    forms: &[Form::within(
        "c-flux",
        &[],
        &[Published::new("model.safetensors", "", About(5_769)).or_named(&["diffusion_pytorch_model.safetensors"])],
    )],
    get: FROM_DP2O,
    licence: DP2O_LICENCE,
};

/// The ControlNet of DP²O-FLUX, trained by the authors.
pub static DP2O_FLUX: Part = Part {
    id: "dp2o-flux",
    title: "DP²O-FLUX, ControlNet after DPO",
    forms: &[Form::within("dp2o-flux", &[], &[Published::new("model.safetensors", "", About(5_769))])],
    get: FROM_DP2O,
    licence: DP2O_LICENCE,
};

/// All that C-FLUX samples with.
pub static C_FLUX_PARTS: &[&Part] = &[&FLUX_TRANSFORMER, &FLUX_VAE, &FLUX_CLIP, &FLUX_T5, &FLUX_TOKENIZERS, &C_FLUX];
