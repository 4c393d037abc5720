//! Metrics on networks of convolutions.

use super::{FROM_PYIQA, PYIQA, PYIQA_NC};
use crate::weights::part::Size::{About, Bytes, Unknown};
use crate::weights::part::{Form, Part, Published};

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
