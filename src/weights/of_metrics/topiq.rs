//! TOPIQ, with and without a reference, and for the looks of pictures.

use super::{FROM_PYIQA, PYIQA, PYIQA_NC};
use crate::weights::part::Size::About;
use crate::weights::part::{Form, Part, Published};

/// TOPIQ-FR trained on KADID, pyiqa's `topiq_fr`.
pub static TOPIQ_FR: Part = Part {
    id: "topiq-fr",
    title: "TOPIQ-FR (KADID)",
    forms: &[Form::alone(
        PYIQA,
        &[Published::new(
            "cfanet_fr_kadid_res50-2c4cc61d.pth",
            "2c4cc61d1377b16d3ae85e19b7c0bb46ab70f285aada61a42692ef7908765c5e",
            About(145),
        )],
    )],
    get: FROM_PYIQA,
    licence: PYIQA_NC,
};

/// TOPIQ-FR trained on PIPAL.
pub static TOPIQ_FR_PIPAL: Part = Part {
    id: "topiq-fr-pipal",
    title: "TOPIQ-FR (PIPAL)",
    forms: &[Form::alone(
        PYIQA,
        &[Published::new(
            "cfanet_fr_pipal_res50-69bbe5ba.pth",
            "69bbe5ba7a5a890343a717fa88ae422ed2c440f1821f99f038a73eaef7d532d3",
            About(145),
        )],
    )],
    get: FROM_PYIQA,
    licence: PYIQA_NC,
};

/// TOPIQ-NR trained on KonIQ, pyiqa's `topiq_nr`.
pub static TOPIQ_NR: Part = Part {
    id: "topiq-nr",
    title: "TOPIQ-NR (KonIQ)",
    forms: &[Form::alone(
        PYIQA,
        &[Published::new(
            "cfanet_nr_koniq_res50-9a73138b.pth",
            "9a73138beb3748dd6a83365610ac88fa1cd53225342c77fc9ed44a3be461354c",
            About(181),
        )],
    )],
    get: FROM_PYIQA,
    licence: PYIQA_NC,
};

/// TOPIQ-NR trained on SPAQ.
pub static TOPIQ_NR_SPAQ: Part = Part {
    id: "topiq-nr-spaq",
    title: "TOPIQ-NR (SPAQ)",
    forms: &[Form::alone(PYIQA, &[Published::new("cfanet_nr_spaq_res50-a7f799ac.pth", "a7f799ac6d04", About(181))])],
    get: FROM_PYIQA,
    licence: PYIQA_NC,
};

/// TOPIQ-NR trained on FLIVE.
pub static TOPIQ_NR_FLIVE: Part = Part {
    id: "topiq-nr-flive",
    title: "TOPIQ-NR (FLIVE)",
    forms: &[Form::alone(PYIQA, &[Published::new("cfanet_nr_flive_res50-ded1c74e.pth", "ded1c74e765d", About(181))])],
    get: FROM_PYIQA,
    licence: PYIQA_NC,
};

/// TOPIQ-IAA over Swin.
pub static TOPIQ_IAA: Part = Part {
    id: "topiq-iaa",
    title: "TOPIQ-IAA (AVA)",
    forms: &[Form::alone(
        PYIQA,
        &[Published::new(
            "cfanet_iaa_ava_swin-393b41b4.pth",
            "393b41b49c41bf0ffa43ab7e13b26f374e211085f5fe2eba3408e89c8b67f935",
            About(508),
        )],
    )],
    get: FROM_PYIQA,
    licence: PYIQA_NC,
};

/// TOPIQ-IAA over ResNet-50.
pub static TOPIQ_IAA_RES50: Part = Part {
    id: "topiq-iaa-res50",
    title: "TOPIQ-IAA (AVA, ResNet-50)",
    forms: &[Form::alone(
        PYIQA,
        &[Published::new(
            "cfanet_iaa_ava_res50-3cd62bb3.pth",
            "3cd62bb33f9933ed7c6e3d5e79129e81c898eba78b7a2af516a0b0b974616975",
            About(294),
        )],
    )],
    get: FROM_PYIQA,
    licence: PYIQA_NC,
};
