//! Latents, and what pictures are drawn under, as files: made when a picture is sampled, so that training on it needs neither
//! encoder nor decoder. Each says by a hash whether its values are whole.

use std::path::Path;

use candle_core::{Device, Tensor};
use serde_json::{Value, json};

use super::condition::Kept;
use crate::fs::hash::hash_bytes;
use crate::nn::tensors::{self, About, Named, Tensors, Width};
use crate::words::words;
use crate::{Error, Result};

words! {
    /// As what latents are kept beside the pictures that they are decoded to.
    pub enum Keep {
        /// Not at all.
        None = "none",
        Bf16 = "bf16",
        F32 = "f32",
    }
}

/// How a latent came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The picture was decoded from it.
    Sampled,
    /// It was encoded from the picture, which was sampled before latents were kept.
    Encoded,
}

impl Origin {
    fn word(self) -> &'static str {
        match self {
            Origin::Sampled => "sampled",
            Origin::Encoded => "encoded",
        }
    }
}

const LATENT: &str = "latent";
const SHA256: &str = "sha256";
const ORIGIN: &str = "made";
const MAPS: &str = "maps";

impl Keep {
    /// The width of the values; `None` where nothing is kept.
    pub fn width(self) -> Option<Width> {
        match self {
            Keep::None => None,
            Keep::Bf16 => Some(Width::Bf16),
            Keep::F32 => Some(Width::F32),
        }
    }
}

/// The file of a latent `[1, C, h, w]`.
pub fn latent_file(latent: &Tensor, width: Width, origin: Origin) -> Result<Vec<u8>> {
    let about = [(ORIGIN.to_owned(), origin.word().into())].into_iter().collect();
    file(about, &[(LATENT.to_owned(), latent)], width)
}

/// The latent in a file's bytes, and how it came about. Errors: it is damaged, or of another shape.
pub fn latent_of(bytes: &[u8], path: &Path, shape: [usize; 4], device: &Device) -> Result<(Tensor, Origin)> {
    let file = Tensors::of(bytes, path)?;
    check(&file, bytes)?;
    let origin = file.about().get(ORIGIN).and_then(Value::as_str);
    let origin = if origin == Some(Origin::Encoded.word()) { Origin::Encoded } else { Origin::Sampled };
    Ok((Tensor::from_vec(file.values(LATENT, &shape)?, &shape, device)?, origin))
}

/// The file of what a picture is drawn under beside its LR image.
pub fn condition_file(kept: &Kept, width: Width) -> Result<Vec<u8>> {
    let maps: Vec<Value> =
        kept.maps.iter().map(|map| map.as_ref().map_or(Value::Null, |(_, per)| json!(per))).collect();
    let placed = kept.maps.iter().enumerate().filter_map(|(i, map)| Some((format!("map.{i}"), &map.as_ref()?.0)));
    let texts = kept.texts.iter().enumerate();
    let texts = texts.flat_map(|(i, [text, away])| [(format!("text.{i}"), text), (format!("away.{i}"), away)]);
    let about = [(MAPS.to_owned(), maps.into())].into_iter().collect();
    file(about, &placed.chain(texts).collect::<Vec<_>>(), width)
}

/// What [`condition_file`] kept. Errors: it is damaged.
pub fn condition_of(bytes: &[u8], path: &Path, device: &Device) -> Result<Kept> {
    let file = Tensors::of(bytes, path)?;
    check(&file, bytes)?;
    let tensor = |name: &str| -> Result<Tensor> {
        let shape = file.shape(name).ok_or_else(|| file.fault(format!("{name:?} is missing")))?;
        Ok(Tensor::from_vec(file.values(name, &shape)?, shape, device)?)
    };
    let maps = file.about().get(MAPS).and_then(Value::as_array);
    let maps = maps.ok_or_else(|| file.fault("does not say which maps it holds"))?;
    let maps = maps.iter().enumerate().map(|(i, per)| match per.as_u64() {
        Some(per) => Ok(Some((tensor(&format!("map.{i}"))?, per as usize))),
        None => Ok(None),
    });
    let texts = (0..).map_while(|i| file.shape(&format!("text.{i}")).map(|_| i));
    let texts = texts.map(|i| Ok([tensor(&format!("text.{i}"))?, tensor(&format!("away.{i}"))?]));
    Ok(Kept { maps: maps.collect::<Result<_>>()?, texts: texts.collect::<Result<_>>()? })
}

fn file(mut about: About, tensors: &[(String, &Tensor)], width: Width) -> Result<Vec<u8>> {
    let write = |about: &About| -> Result<Vec<u8>> {
        let (mut bytes, named) = (Vec::new(), tensors.iter().map(|(name, tensor)| Named::of(name, tensor)).collect());
        tensors::write_as(&mut bytes, about, named, width).map_err(Error::invalid)?;
        Ok(bytes)
    };
    about.insert(SHA256.into(), hash_bytes(values_of(&write(&about)?)).into());
    write(&about)
}

/// Errors: the values are others than those that were written.
fn check(file: &Tensors, bytes: &[u8]) -> Result<()> {
    match file.about().get(SHA256).and_then(Value::as_str) {
        Some(sha256) if sha256 == hash_bytes(values_of(bytes)) => Ok(()),
        _ => Err(file.fault("damaged: its values are not those that were written")),
    }
}

/// What follows the header.
fn values_of(bytes: &[u8]) -> &[u8] {
    let length = bytes.first_chunk::<8>().map_or(0, |length| u64::from_le_bytes(*length));
    usize::try_from(length).ok().and_then(|length| bytes.get(8usize.saturating_add(length)..)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backbones::card::Latent;
    use crate::backbones::condition::Condition;
    use crate::imaging::fixture::picture;

    fn noise(shape: &[usize]) -> Tensor {
        Tensor::randn(0f32, 1.0, shape, &Device::Cpu).unwrap()
    }

    fn flat(tensor: &Tensor) -> Vec<f32> {
        tensor.flatten_all().unwrap().to_vec1().unwrap()
    }

    #[test]
    fn a_latent_comes_back_as_it_was_kept_and_a_changed_byte_is_noticed() {
        let (latent, path) = (noise(&[1, 4, 6, 5]), Path::new("7.latent.safetensors"));
        for (width, exact) in [(Width::F32, true), (Width::Bf16, false)] {
            let mut bytes = latent_file(&latent, width, Origin::Encoded).unwrap();
            let (read, origin) = latent_of(&bytes, path, [1, 4, 6, 5], &Device::Cpu).unwrap();
            assert_eq!(origin, Origin::Encoded);
            let worst = flat(&read).iter().zip(flat(&latent)).fold(0f32, |w, (a, b)| w.max((a - b).abs() / b.abs()));
            assert!(if exact { worst == 0.0 } else { (1e-4..4e-3).contains(&worst) }, "{worst}");
            assert!(latent_of(&bytes, path, [1, 4, 5, 6], &Device::Cpu).is_err());
            let last = bytes.len() - 1;
            bytes[last] ^= 1;
            let error = latent_of(&bytes, path, [1, 4, 6, 5], &Device::Cpu).unwrap_err().to_string();
            assert!(error.starts_with("7.latent.safetensors: damaged"), "{error}");
            assert!(latent_of(&bytes[..last], path, [1, 4, 6, 5], &Device::Cpu).is_err());
        }
    }

    #[test]
    fn a_condition_comes_back_with_its_parts_in_order() {
        let lr = picture(6, 5, 1);
        let latent = Latent { channels: 4, factor: 8, align: 16 };
        let map = noise(&[1, 2, 8, 8]);
        let condition = Condition::new(&lr, latent).with_enlarged().with_map(map, 2).with_enlarged();
        let condition =
            condition.with_text(noise(&[1, 3, 4]), noise(&[1, 3, 4])).with_text(noise(&[1, 2]), noise(&[1, 2]));
        assert!(!condition.kept().is_lr_alone());
        assert!(Condition::new(&lr, latent).with_enlarged().kept().is_lr_alone());
        let bytes = condition_file(&condition.kept(), Width::F32).unwrap();
        let kept = condition_of(&bytes, Path::new("condition"), &Device::Cpu).unwrap();
        let again = Condition::of_kept(&lr, latent, kept.clone()).unwrap();
        let of = |condition: &Condition| {
            let shown = condition.whole(2, &Device::Cpu).unwrap();
            let away = condition.led_away(&shown).unwrap();
            let maps = [0, 1, 2].map(|i| flat(shown.map(i).unwrap()));
            (maps, [&shown, &away].map(|shown| [0, 1].map(|i| flat(shown.text(i).unwrap()))))
        };
        assert!(of(&condition) == of(&again));
        let other = picture(12, 5, 1);
        assert!(Condition::of_kept(&other, latent, kept).is_err());
    }
}
