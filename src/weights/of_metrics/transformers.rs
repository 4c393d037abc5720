//! Metrics that are transformers of their own.

use super::{FROM_PYIQA, PYIQA, pyiqa};
use crate::weights::part::Size::{About, Bytes, Unknown};
use crate::weights::part::{Form, Part, Published};

const FROM_EITHER: &str = "from https://huggingface.co/chaofengc/IQA-PyTorch-Weights; or its authors', the .npz, from \
                           https://github.com/google-research/google-research/tree/master/musiq";

/// MUSIQ trained on KonIQ.
pub static MUSIQ: Part = Part {
    id: "musiq",
    title: "MUSIQ (KonIQ)",
    forms: &[
        Form::alone(
            PYIQA,
            &[Published::new(
                "musiq_koniq_ckpt-e95806b9.pth",
                "e95806b9eae5f3814c410f574ba8e552362bd5bc63d758ed5b97860f5d6185aa",
                Bytes(108_610_983),
            )],
        ),
        Form::alone(&[], &[Published::new("koniq_ckpt.npz", "", About(163))]),
    ],
    get: FROM_EITHER,
    licence: "Apache-2.0",
};

/// MUSIQ trained on AVA.
pub static MUSIQ_AVA: Part = Part {
    id: "musiq-ava",
    title: "MUSIQ (AVA)",
    forms: &[
        Form::alone(
            PYIQA,
            &[Published::new(
                "musiq_ava_ckpt-e8d3f067.pth",
                "e8d3f0671965dfe4301a1f7a4aedc8f49be8fed33b82dd5d116a9eb3ce2bd16b",
                About(109),
            )],
        ),
        Form::alone(&[], &[Published::new("ava_ckpt.npz", "", About(163))]),
    ],
    get: FROM_EITHER,
    licence: "Apache-2.0",
};

/// MUSIQ trained on SPAQ.
pub static MUSIQ_SPAQ: Part = Part {
    id: "musiq-spaq",
    title: "MUSIQ (SPAQ)",
    forms: &[
        Form::alone(PYIQA, &[Published::new("musiq_spaq_ckpt-358bb6af.pth", "358bb6af", About(109))]),
        Form::alone(&[], &[Published::new("spaq_ckpt.npz", "", About(163))]),
    ],
    get: FROM_EITHER,
    licence: "Apache-2.0",
};

/// MUSIQ trained on PaQ-2-PiQ.
pub static MUSIQ_PAQ2PIQ: Part = Part {
    id: "musiq-paq2piq",
    title: "MUSIQ (PaQ-2-PiQ)",
    forms: &[
        Form::alone(PYIQA, &[Published::new("musiq_paq2piq_ckpt-364c0c84.pth", "364c0c84", About(109))]),
        Form::alone(&[], &[Published::new("paq2piq_ckpt.npz", "", About(163))]),
    ],
    get: FROM_EITHER,
    licence: "Apache-2.0",
};

/// MANIQA trained on PIPAL: what SR papers report as MANIQA.
pub static MANIQA_PIPAL: Part = Part {
    id: "maniqa-pipal",
    title: "MANIQA (PIPAL)",
    forms: &[Form::alone(
        PYIQA,
        &[Published::new(
            "MANIQA_PIPAL-ae6d356b.pth",
            "ae6d356bcd583ae3c1ca81d84817cf96d662073896c7e40fceddb305ddc2f155",
            About(543),
        )],
    )],
    get: FROM_PYIQA,
    licence: "Apache-2.0",
};

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
        // However many shards it is cut into.
        Form {
            folder: "one-align",
            hubs: ONE_ALIGN_HUB,
            files: &[Published::new("pytorch_model.bin.index.json", "", Unknown)],
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
