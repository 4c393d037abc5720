//! The parts known here, with the hashes, sizes and terms that their publishers give.
//!
//! A hash is the whole SHA-256 where it is published; torchvision publishes its first eight digits, in the file's name. A file
//! without a published hash can be used, but as unverified.

use super::part::Part;
use crate::{Error, Result};

pub use super::of_flux::*;
pub use super::of_metrics::*;
pub use super::of_sd2::*;
pub use super::of_tagger::*;

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
    &CLIP_IQA_PLUS_RN50_512,
    &CLIP_VIT_L_14,
    &CLIP_IQA_PLUS_VIT_L_14_512,
    &QUALICLIP,
    &QUALICLIP_PLUS,
    &MANIQA_PIPAL,
    &MANIQA_KONIQ,
    &MANIQA_KADID,
    &AFINE,
    &LIQE,
    &LIQE_MIX,
    &ONE_ALIGN,
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
    &RAM,
    &DAPE,
    &RAM_DAPE,
    &RAM_TAGS,
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
