//! CLIP, and the metrics that stand on it.

use super::{FROM_PYIQA, PYIQA, pyiqa};
use crate::weights::part::Size::{About, Bytes, Unknown};
use crate::weights::part::{Form, Part, Published};

const S_LAB: &str = "S-Lab License 1.0 (non-commercial)";

const QUALICLIP_NC: &str = "CC-BY-NC-4.0";

/// CLIP RN50 of OpenAI: CLIP-IQA, and what CLIP-IQA+ stands on.
pub static CLIP_RN50: Part = Part {
    id: "clip-rn50",
    title: "CLIP RN50, OpenAI's weights",
    forms: &[Form::alone(
        &[],
        &[Published::new("RN50.pt", "afeb0e10f9e5a86da6080e35cf09123aca3b358a0c3e3b6c78a7b63bc04b6762", About(244))],
    )],
    get: "from https://openaipublic.azureedge.net/clip/models/\
          afeb0e10f9e5a86da6080e35cf09123aca3b358a0c3e3b6c78a7b63bc04b6762/RN50.pt",
    licence: "MIT",
};

/// The learned prompts of CLIP-IQA+.
pub static CLIP_IQA_PLUS: Part = Part {
    id: "clip-iqa-plus",
    title: "CLIP-IQA+, learned prompts over CLIP RN50",
    forms: &[Form::alone(
        PYIQA,
        &[Published::new(
            "CLIP-IQA+_learned_prompts-603f3273.pth",
            "603f3273b6e8a75b309297c85781170c067c6b474f66818c2f253a46a6534447",
            Unknown,
        )
        .or_named(&["CLIP-IQA%2B_learned_prompts-603f3273.pth"])],
    )],
    get: FROM_PYIQA,
    licence: S_LAB,
};

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

/// A-FINE: its CLIP tower, both terms and the adapter.
pub static AFINE: Part = Part {
    id: "afine",
    title: "A-FINE",
    forms: &[Form::alone(PYIQA, &[Published::new("afine.pth", "", About(611))])],
    get: FROM_PYIQA,
    licence: "Apache-2.0; CLIP: MIT",
};
