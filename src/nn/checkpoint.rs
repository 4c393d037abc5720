//! Checkpoints: what was trained, as a small file that can be passed on.
//!
//! A safetensors file holds the weights that are not the backbone's released ones; in LoRA mode the factors alone,
//! `NAME.lora_a` and `NAME.lora_b`, those of a second round `NAME.lora_a.2` and so on. Where it does not hold all weights, a
//! remark says by its SHA-256 to what it adds, and it is refused on anything else. Loading merges.

use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::lora::{self, Layer, Lora};
use super::params::{ParamId, Params, Specs};
use super::tensors::{self, About, MAX_HEADER_BYTES, Named, Tensors};
use crate::{Error, Result, input};

/// Factors of more values than this many times the weights' own are merged.
const MOST_FACTORS: usize = 2;
/// Remarks.
const BACKBONE: &str = "backbone";
const BASE: &str = "base";
const LORA: &str = "lora";

/// The weights that a backbone's adapter comes with: what checkpoints add to.
#[derive(Clone, Copy)]
pub struct Released<'r> {
    pub backbone: &'r str,
    pub weights: &'r Params,
    /// Of the weights' file, in lower-case hexadecimal.
    pub sha256: &'r str,
}

/// Weights, and how they came from those released.
#[derive(Clone)]
pub struct Checkpoint {
    pub weights: Params,
    /// The factors that were added to those released, in their order; `None` where more than that was done.
    pub layers: Option<Vec<Layer>>,
}

/// What a file says of a layer.
#[derive(Serialize, Deserialize)]
struct Shape {
    rank: usize,
    alpha: f64,
}

/// The bytes of a checkpoint's file. Errors: it is no file, or larger than one of these weights can be.
pub fn read_file(specs: &Specs, path: &Path) -> Result<Vec<u8>> {
    input::read(path, MAX_HEADER_BYTES + (4 * MOST_FACTORS * specs.value_count()) as u64)
}

impl Released<'_> {
    /// The checkpoint in a file's bytes; `origin` names it in errors.
    pub fn read(&self, bytes: &[u8], origin: &Path) -> Result<Checkpoint> {
        let file = Tensors::of(bytes, origin)?;
        let (specs, compute) = (self.weights.specs(), self.weights.compute());
        let text = |key: &str| file.about().get(key).and_then(Value::as_str);
        if let Some(other) = text(BACKBONE).filter(|name| *name != self.backbone) {
            return Err(file.fault(format!("weights of the backbone {other:?}, not of {}", self.backbone)));
        }
        let Some(base) = text(BASE) else {
            file.refuse_unknown(|name| specs.iter().any(|(known, _)| known == name))?;
            let weights = Params::read(specs, compute, |name, shape| file.values(name, shape))?;
            return Ok(Checkpoint { weights, layers: None });
        };
        if base != self.sha256 {
            return Err(file.fault(format!(
                "adds to the weights of SHA-256 {base:.12}…, and those of {} here are {:.12}…; it goes with those it was \
                 trained from",
                self.backbone, self.sha256
            )));
        }
        match file.about().get(LORA) {
            Some(layers) => self.read_layers(&file, layers),
            None => self.read_replaced(&file),
        }
    }

    /// Some of the weights in place of those released.
    fn read_replaced(&self, file: &Tensors) -> Result<Checkpoint> {
        let specs = self.weights.specs();
        file.refuse_unknown(|name| specs.iter().any(|(known, _)| known == name))?;
        let there = specs.iter().enumerate().filter(|(_, (name, _))| file.shape(name).is_some());
        let (mut ids, mut tensors) = (Vec::new(), Vec::new());
        for (index, (name, shape)) in there {
            ids.push(ParamId(index));
            tensors.push(self.weights.tensor(file.values(name, shape)?, shape)?);
        }
        Ok(Checkpoint { weights: self.weights.with_tensors(&ids, tensors), layers: None })
    }

    fn read_layers(&self, file: &Tensors, layers: &Value) -> Result<Checkpoint> {
        let shapes: Vec<Shape> = Deserialize::deserialize(layers)
            .map_err(|e| file.fault(format!("what it says of its LoRA layers cannot be read: {e}")))?;
        let mut checkpoint = Checkpoint { weights: self.weights.clone(), layers: None };
        let (mut known, mut read) = (0, Vec::new());
        for (index, shape) in shapes.iter().enumerate() {
            let layer = self.read_layer(file, index, shape)?;
            known += layer.factors.len();
            checkpoint.weights = layer.onto(&checkpoint.weights)?;
            read.push(layer);
        }
        if known != file.names().len() {
            return Err(file.fault("holds other tensors than the factors of the layers that it names"));
        }
        Ok(Checkpoint { layers: Some(read), ..checkpoint })
    }

    fn read_layer(&self, file: &Tensors, index: usize, shape: &Shape) -> Result<Layer> {
        let specs = self.weights.specs();
        let suffix = suffix(index);
        let is_adapted = |name: &str| file.shape(&format!("{}{suffix}", lora::factor_a(name))).is_some();
        let lora = Lora::new(specs, shape.rank, shape.alpha, is_adapted).map_err(|e| file.fault(e))?;
        let factors = Params::read(lora.specs(), self.weights.compute(), |name, shape| {
            file.values(&format!("{name}{suffix}"), shape)
        })?;
        Ok(Layer { lora: Arc::new(lora), factors })
    }

    /// The file of weights that came from those released by `layers`, if by them alone. It holds the layers, or those
    /// weights that are not the released ones themselves.
    pub fn file_of(&self, weights: &Params, layers: Option<&[Layer]>, mut about: About) -> Result<Vec<u8>> {
        let most = MOST_FACTORS * weights.specs().value_count();
        let size = |layers: &[Layer]| layers.iter().map(|l| l.factors.specs().value_count()).sum::<usize>();
        let layers = layers.filter(|layers| !layers.is_empty() && size(layers) <= most);
        about.insert(BACKBONE.into(), self.backbone.into());
        let all = weights.tensors()?;
        let tensors: Vec<Named> = match layers {
            Some(layers) => {
                let shapes = layers.iter().map(|l| Shape { rank: l.lora.rank(), alpha: l.lora.alpha() });
                let shapes = serde_json::to_value(shapes.collect::<Vec<_>>()).map_err(Error::invalid)?;
                about.insert(LORA.into(), shapes);
                layers.iter().enumerate().flat_map(|(index, layer)| named(layer, &suffix(index))).collect()
            }
            None => {
                let is_own = |index: usize| !weights.shares(ParamId(index), self.weights);
                let own = all.iter().enumerate().filter(|(index, _)| is_own(*index));
                own.map(|(_, (name, tensor))| Named::of(*name, tensor)).collect()
            }
        };
        if layers.is_some() || tensors.len() < weights.len() {
            about.insert(BASE.into(), self.sha256.into());
        }
        let mut bytes = Vec::new();
        tensors::write(&mut bytes, &about, tensors, false).map_err(Error::invalid)?;
        Ok(bytes)
    }
}

fn named<'l>(layer: &'l Layer, suffix: &str) -> Vec<Named<'l>> {
    layer.factors.iter().map(|(name, tensor)| Named::of(format!("{name}{suffix}"), tensor)).collect()
}

/// What tells the factors of a layer from those of the layers below it.
fn suffix(index: usize) -> String {
    if index == 0 { String::new() } else { format!(".{}", index + 1) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::kernels::Compute;
    use crate::nn::params::Init;

    fn specs() -> Arc<Specs> {
        let mut specs = Specs::default();
        specs.add("a.weight".into(), &[4, 3, 2], Init::Normal(1.0));
        specs.add("a.bias".into(), &[4], Init::Normal(1.0));
        specs.add("b.weight".into(), &[3, 4], Init::Normal(1.0));
        Arc::new(specs)
    }

    fn weights(seed: u64) -> Params {
        Params::init(&specs(), seed, &Compute::cpu()).unwrap()
    }

    fn released(weights: &Params) -> Released<'_> {
        Released { backbone: "tiny", weights, sha256: "0123456789abcdef" }
    }

    fn layer(seed: u64, wanted: impl Fn(&str) -> bool) -> Layer {
        let lora = Lora::new(&specs(), 2, 3.0, wanted).unwrap();
        let mut factors = Params::init(lora.specs(), seed, &Compute::cpu()).unwrap();
        let values: Vec<f32> = (0..lora.specs().value_count()).map(|i| (i as f32 + seed as f32).sin()).collect();
        factors.set_flat(&values).unwrap();
        Layer { lora: Arc::new(lora), factors }
    }

    fn about() -> About {
        [("run".to_owned(), "run-1".into())].into_iter().collect()
    }

    fn refusal(released: &Released, bytes: &[u8]) -> String {
        let error = released.read(bytes, "x.safetensors".as_ref()).err().expect("refused").to_string();
        assert!(error.starts_with("x.safetensors: ") && error.lines().count() == 1, "{error}");
        error
    }

    #[test]
    fn all_weights_are_a_file_that_stands_by_itself() {
        let (base, trained) = (weights(1), weights(2));
        let bytes = released(&base).file_of(&trained, None, about()).unwrap();
        assert!(
            bytes
                == trained
                    .to_safetensors(false, &{
                        let mut about = about();
                        about.insert("backbone".into(), "tiny".into());
                        about
                    })
                    .unwrap()
        );
        // On whatever weights.
        let other = Released { sha256: "other", ..released(&base) };
        let read = other.read(&bytes, "x".as_ref()).unwrap();
        assert!(read.weights.to_flat().unwrap() == trained.to_flat().unwrap() && read.layers.is_none());
        assert!(refusal(&Released { backbone: "large", ..other }, &bytes).contains("\"tiny\", not of large"));
    }

    #[test]
    fn frozen_weights_are_not_in_the_file_and_are_those_released() {
        let base = weights(1);
        let trained = base.to_train(|name| name == "b.weight").unwrap();
        trained.get(ParamId(2)).slice_set(weights(2).get(ParamId(2)), 0, 0).unwrap();
        let bytes = released(&base).file_of(&trained, None, about()).unwrap();
        assert_eq!(Tensors::of(&bytes, "x".as_ref()).unwrap().names(), ["b.weight"]);
        let read = released(&base).read(&bytes, "x".as_ref()).unwrap().weights;
        assert!(read.to_flat().unwrap() == trained.to_flat().unwrap());
        assert!(read.shares(ParamId(0), &base) && !read.shares(ParamId(2), &base));
        let error = refusal(&Released { sha256: "fedcba9876543210", ..released(&base) }, &bytes);
        assert!(error.contains("SHA-256 0123456789ab…") && error.contains("fedcba987654…"), "{error}");
    }

    #[test]
    fn low_rank_factors_of_every_round_are_kept_as_factors_and_merged_on_load() {
        let base = weights(1);
        let (first, second) = (layer(1, |_| true), layer(2, |name| name != "a.weight"));
        let after_one = first.onto(&base).unwrap();
        let after_two = second.onto(&after_one).unwrap();
        let bytes = released(&base).file_of(&after_two, Some(&[first.clone(), second]), about()).unwrap();
        let file = Tensors::of(&bytes, "x".as_ref()).unwrap();
        let mut names = file.names();
        names.sort_unstable();
        let expected = [
            "a.weight.lora_a",
            "a.weight.lora_b",
            "b.weight.lora_a",
            "b.weight.lora_a.2",
            "b.weight.lora_b",
            "b.weight.lora_b.2",
        ];
        assert_eq!(names, expected);
        assert_eq!(file.about()["lora"], serde_json::json!([{"rank": 2, "alpha": 3.0}, {"rank": 2, "alpha": 3.0}]));
        assert_eq!(file.about()["base"], "0123456789abcdef");
        let read = released(&base).read(&bytes, "x".as_ref()).unwrap();
        assert!(read.weights.to_flat().unwrap() == after_two.to_flat().unwrap(), "merged otherwise than in training");
        assert_eq!(read.layers.map(|layers| layers.len()), Some(2));
        assert!(read.weights.shares(ParamId(1), &base), "a bias was copied");
        refusal(&Released { sha256: "other", ..released(&base) }, &bytes);
        // More factors than weights: merged.
        let many = vec![first; 4];
        let merged = many.iter().try_fold(base.clone(), |weights, layer| layer.onto(&weights)).unwrap();
        let bytes = released(&base).file_of(&merged, Some(&many), about()).unwrap();
        let read = released(&base).read(&bytes, "x".as_ref()).unwrap();
        assert!(read.layers.is_none() && read.weights.to_flat().unwrap() == merged.to_flat().unwrap());
    }

    #[test]
    fn a_file_that_says_what_is_not_so_is_refused() {
        let base = weights(1);
        let layer = layer(1, |_| true);
        let file = |remark: serde_json::Value, tensors: &[(&str, &str)]| {
            let named = |(name, factor): &(&str, &str)| {
                let (_, tensor) = layer.factors.iter().find(|(known, _)| known == factor).unwrap();
                Named::of(*name, tensor)
            };
            let mut bytes = Vec::new();
            let tensors = tensors.iter().map(named).collect();
            tensors::write(&mut bytes, remark.as_object().unwrap(), tensors, false).unwrap();
            bytes
        };
        let base_of = "0123456789abcdef";
        let (a, b) = (("b.weight.lora_a", "b.weight.lora_a"), ("b.weight.lora_b", "b.weight.lora_b"));
        let lora = |rank: i64| serde_json::json!({"base": base_of, "lora": [{"rank": rank, "alpha": 1.0}]});
        assert!(released(&base).read(&file(lora(2), &[a, b]), "x".as_ref()).is_ok());
        for (bytes, cause) in [
            (file(lora(2), &[a]), "\"b.weight.lora_b\" is missing"),
            (file(lora(1), &[a, b]), "shape [2, 4], not [1, 4]"),
            (file(lora(0), &[a, b]), "trains nothing"),
            (file(lora(-1), &[a, b]), "cannot be read"),
            (file(lora(2), &[a, b, ("c.lora_a", "b.weight.lora_a")]), "holds other tensors"),
            (file(lora(2), &[]), "no weight that LoRA adapts"),
            (file(serde_json::json!({"base": base_of}), &[a, b]), "is not one of this network's"),
            (file(serde_json::json!({}), &[a, b]), "is not one of this network's"),
        ] {
            let error = refusal(&released(&base), &bytes);
            assert!(error.contains(cause), "{error}");
        }
    }
}
