//! The published parts of the tag model, which says what is to be seen on an image.

use super::part::Size::{About, Unknown};
use super::part::{Form, Part, Published};

const FROM_RAM: &str = "as https://github.com/xinyu1205/recognize-anything says";

/// RAM over Swin-L. Its file holds a model that writes sentences too.
pub static RAM: Part = Part {
    id: "ram",
    title: "RAM, the tag model (Swin-L)",
    forms: &[Form::alone(&[], &[Published::new("ram_swin_large_14m.pth", "", About(5_600))])],
    get: FROM_RAM,
    licence: "Apache-2.0",
};

/// DAPE: what changes RAM for degraded images.
pub static DAPE: Part = Part {
    id: "dape",
    title: "DAPE, the tag model's changes for degraded images",
    forms: &[Form::alone(&[], &[Published::new("DAPE.pth", "", Unknown)])],
    get: "as https://github.com/cswry/SeeSR says",
    licence: "see https://github.com/cswry/SeeSR",
};

/// Both in one, as this program writes them.
pub static RAM_DAPE: Part = Part {
    id: "ram-dape",
    title: "RAM with DAPE's changes, converted",
    forms: &[Form::alone(&[], &[Published::new("ram-dape.safetensors", "", About(850))])],
    get: "by `dp2o-studio tag --convert`, which makes it of ram and dape",
    licence: "Apache-2.0; DAPE: see https://github.com/cswry/SeeSR",
};

/// The tags that RAM knows, and how likely each has to be: `ram/data` of its repository.
pub static RAM_TAGS: Part = Part {
    id: "ram-tags",
    title: "RAM's tags and their thresholds",
    forms: &[Form {
        folder: "ram",
        hubs: &[],
        files: &[
            Published::new("ram_tag_list.txt", "", Unknown),
            Published::new("ram_tag_list_threshold.txt", "", Unknown),
        ],
        size: Unknown,
    }],
    get: "from ram/data of https://github.com/xinyu1205/recognize-anything",
    licence: "Apache-2.0",
};
