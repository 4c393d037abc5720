//! Further parts of metrics: those on CLIP and on other transformers.

use super::part::Size::{About, Bytes, Unknown};
use super::part::{Form, Part, Published};
use super::registry::{FROM_PYIQA, PYIQA};

/// A file of pyiqa's.
const fn pyiqa(id: &'static str, title: &'static str, forms: &'static [Form], licence: &'static str) -> Part {
    Part { id, title, forms, get: FROM_PYIQA, licence }
}

const S_LAB: &str = "S-Lab License 1.0 (non-commercial)";
const QUALICLIP_NC: &str = "CC-BY-NC-4.0";

/// CLIP ViT-L/14 of OpenAI.
pub static CLIP_VIT_L_14: Part = Part {
    id: "clip-vit-l-14",
    title: "CLIP ViT-L/14, OpenAI's weights",
    forms: &[Form::alone(
        &[],
        &[Published::new(
            "ViT-L-14.pt",
            "b8cca3fd41ae0c99ba7e8951adf17d267cdb84cd88be6f7c2e0eca1737a03836",
            About(933),
        )],
    )],
    get: "from https://openaipublic.azureedge.net/clip/models/\
          b8cca3fd41ae0c99ba7e8951adf17d267cdb84cd88be6f7c2e0eca1737a03836/ViT-L-14.pt",
    licence: "MIT",
};

/// The learned words of CLIP-IQA+ for images of 512 pixels, on RN50.
pub static CLIP_IQA_PLUS_RN50_512: Part = pyiqa(
    "clip-iqa-plus-rn50-512",
    "CLIP-IQA+ (RN50, 512), learned prompts",
    &[Form::alone(PYIQA, &[Published::new("CLIPIQA+_RN50_512-89f5d940.pth", "89f5d940", Unknown)])],
    S_LAB,
);

/// The same on ViT-L/14.
pub static CLIP_IQA_PLUS_VIT_L_14_512: Part = pyiqa(
    "clip-iqa-plus-vit-l-14-512",
    "CLIP-IQA+ (ViT-L/14, 512), learned prompts",
    &[Form::alone(PYIQA, &[Published::new("CLIPIQA+_ViTL14_512-e66488f2.pth", "e66488f27a5d", Unknown)])],
    S_LAB,
);

/// QualiCLIP: a whole CLIP RN50 and the vectors of its texts.
pub static QUALICLIP: Part = pyiqa(
    "qualiclip",
    "QualiCLIP",
    &[Form::alone(PYIQA, &[Published::new("QualiCLIP.pth", "5818e085ac4b", Bytes(408_494_502))])],
    QUALICLIP_NC,
);

/// The learned words of QualiCLIP+.
pub static QUALICLIP_PLUS: Part = pyiqa(
    "qualiclip-plus",
    "QualiCLIP+ (KonIQ), learned prompts over QualiCLIP",
    &[Form::alone(PYIQA, &[Published::new("QualiCLIP+_koniq.pth", "450292893e96", Bytes(2_209_627))])],
    QUALICLIP_NC,
);

/// LIQE trained on KonIQ: a whole CLIP ViT-B/32.
pub static LIQE: Part =
    pyiqa("liqe", "LIQE (KonIQ)", &[Form::alone(PYIQA, &[Published::new("liqe_koniq.pt", "", Unknown)])], "MIT");

/// LIQE trained on several sets, with scenes and distortions.
pub static LIQE_MIX: Part =
    pyiqa("liqe-mix", "LIQE (mix)", &[Form::alone(PYIQA, &[Published::new("liqe_mix.pt", "", Unknown)])], "MIT");

/// MANIQA trained on KonIQ.
pub static MANIQA_KONIQ: Part = pyiqa(
    "maniqa-koniq",
    "MANIQA (KonIQ)",
    &[Form::alone(PYIQA, &[Published::new("ckpt_koniq10k.pt", "", About(543))])],
    "Apache-2.0",
);

/// MANIQA trained on KADID.
pub static MANIQA_KADID: Part = pyiqa(
    "maniqa-kadid",
    "MANIQA (KADID)",
    &[Form::alone(PYIQA, &[Published::new("ckpt_kadid10k.pt", "", About(543))])],
    "Apache-2.0",
);

const ONE_ALIGN_HUB: &[&str] = &["q-future/one-align"];

/// Q-Align's model: mPLUG-Owl2 of 8.2 billion weights.
pub static ONE_ALIGN: Part = Part {
    id: "one-align",
    title: "Q-Align (one-align)",
    forms: &[
        Form {
            folder: "one-align",
            hubs: ONE_ALIGN_HUB,
            files: &[
                Published::new("pytorch_model-00001-of-00002.bin", "", Unknown),
                Published::new("pytorch_model-00002-of-00002.bin", "", Unknown),
            ],
            size: About(16_400),
        },
        Form {
            folder: "one-align",
            hubs: ONE_ALIGN_HUB,
            files: &[Published::new("model.safetensors.index.json", "", Unknown)],
            size: About(16_400),
        },
    ],
    get: "from https://huggingface.co/q-future/one-align",
    licence: "S-Lab License 1.0 (non-commercial); Llama 2 Community License",
};
