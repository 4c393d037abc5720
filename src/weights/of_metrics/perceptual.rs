//! Metrics that compare features of networks trained on ImageNet, and those networks.

use super::{FROM_PYIQA, PYIQA};
use crate::weights::part::Size::{Bytes, Unknown};
use crate::weights::part::{Form, Part, Published};

/// LPIPS 0.1, the linear layers over AlexNet.
pub static LPIPS_ALEX: Part = Part {
    id: "lpips-alex",
    title: "LPIPS 0.1, linear layers over AlexNet",
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
    title: "LPIPS 0.1, linear layers over VGG16",
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
    title: "DISTS, α and β over VGG16",
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
