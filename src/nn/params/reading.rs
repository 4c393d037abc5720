//! Where weights come from: a seed, a file, values of whatever holds them.

use std::path::Path;
use std::sync::Arc;

use candle_core::{DType, Tensor};
use rayon::prelude::*;

use super::at_hand::AtHand;
use super::specs::Spec;
use super::weight::narrow;
use super::{Init, Params, Specs, Weight};
use crate::nn::kernels::Compute;
use crate::nn::tensors::{MAX_HEADER_BYTES, Tensors};
use crate::random::Random;
use crate::weights::Source;
use crate::weights::dtype::Dtype;
use crate::{Result, input};

impl Params {
    /// Fresh weights, a function of the seed alone.
    pub fn init(specs: &Arc<Specs>, seed: u64, compute: &Compute) -> Result<Self> {
        let tensor = |spec: &Spec| {
            let len = spec.shape.iter().product();
            let values = match spec.init {
                Init::Zeros => vec![0.0; len],
                Init::Ones => vec![1.0; len],
                Init::Normal(std) => {
                    let mut values = Random::new(seed, spec.stream).normal_image(1, 1, len);
                    values.iter_mut().for_each(|v| *v *= std);
                    values
                }
            };
            Ok(Tensor::from_vec(values, spec.shape.as_slice(), &compute.device)?)
        };
        let tensors = specs.0.iter().map(tensor).collect::<Result<_>>()?;
        Ok(Self::from_tensors(specs.clone(), compute, tensors))
    }

    /// Reads f32 or f16 safetensors; `origin` names them in errors.
    pub fn from_safetensors(specs: &Arc<Specs>, bytes: &[u8], origin: &Path, compute: &Compute) -> Result<Self> {
        let file = Tensors::of(bytes, origin)?;
        file.refuse_unknown(|name| specs.0.iter().any(|spec| spec.name == name))?;
        Self::read(specs, compute, |name, shape| file.values(name, shape))
    }

    /// Weights of the values that `values` has for each name and shape.
    pub(in crate::nn) fn read(
        specs: &Arc<Specs>,
        compute: &Compute,
        values: impl Fn(&str, &[usize]) -> Result<Vec<f32>>,
    ) -> Result<Self> {
        let tensor = |spec: &Spec| {
            Ok(Tensor::from_vec(values(&spec.name, &spec.shape)?, spec.shape.as_slice(), &compute.device)?)
        };
        let tensors = specs.0.iter().map(tensor).collect::<Result<_>>()?;
        Ok(Self::from_tensors(specs.clone(), compute, tensors))
    }

    /// From named tensors, which may be of any floating-point type, for a network that is never trained: in the precision of such.
    /// Errors: one is missing or has another shape; what else there is is not looked at.
    pub fn from_source(specs: &Arc<Specs>, source: &Source, compute: &Compute) -> Result<Self> {
        Self::in_type(specs, source, compute, compute.precision.frozen)
    }

    /// As [`Params::from_source`], for weights that are trained: f32.
    pub fn to_be_trained(specs: &Arc<Specs>, source: &Source, compute: &Compute) -> Result<Self> {
        Self::in_type(specs, source, compute, DType::F32)
    }

    /// As [`Params::from_source`], each matrix in the type of its file, packed ones as they lie there; where another precision than
    /// f32 is asked for, all that have 16 bits or more are in that.
    pub fn as_stored(specs: &Arc<Specs>, source: &Source, compute: &Compute) -> Result<Self> {
        let (asked, device) = (compute.precision.frozen, &compute.device);
        let weight = |spec: &Spec| {
            let Spec { name, shape, .. } = spec;
            if shape.len() >= 2
                && let Some(packed) = source.packed(name, shape, device)?
            {
                return Weight::of_packed(packed, device);
            }
            let own = match source.dtype(name) {
                Some(Dtype::F16) => DType::F16,
                Some(Dtype::Bf16) => DType::BF16,
                _ => DType::F32,
            };
            let dtype = match asked {
                _ if shape.len() < 2 => DType::F32,
                DType::F32 => own,
                asked => asked,
            };
            Ok(Weight::new(source.tensor(name, shape, dtype, device)?, false))
        };
        let weights = specs.0.par_iter().map(weight).collect::<Result<_>>()?;
        Ok(Self { specs: specs.clone(), compute: compute.clone(), weights })
    }

    /// As [`Params::from_source`] with matrices in `dtype`, which on the CPU can be [let go of](Params::let_go) and are then read again:
    /// a step of training takes longer than reading, and there is little memory beside what is trained.
    pub fn at_hand(specs: &Arc<Specs>, source: &Arc<Source>, compute: &Compute, dtype: DType) -> Result<Self> {
        if !compute.device.is_cpu() {
            return Self::in_type(specs, source, compute, dtype);
        }
        let weight = |spec: &Spec| match spec.shape.len() {
            0 | 1 => {
                let tensor = source.tensor(&spec.name, &spec.shape, DType::F32, &compute.device)?;
                Ok(Weight::new(tensor, false))
            }
            _ => Weight::at_hand(AtHand::new(source, (&spec.name, &spec.shape), dtype, &compute.device)),
        };
        let weights = specs.0.iter().map(weight).collect::<Result<_>>()?;
        let params = Self { specs: specs.clone(), compute: compute.clone(), weights };
        params.bring(|_| true)?;
        Ok(params)
    }

    /// Each at once in the type that it is kept in, matrices in `dtype`, on all threads: such networks have gigabytes.
    fn in_type(specs: &Arc<Specs>, source: &Source, compute: &Compute, dtype: DType) -> Result<Self> {
        let tensor = |spec: &Spec| {
            let dtype = if spec.shape.len() < 2 { DType::F32 } else { dtype };
            source.tensor(&spec.name, &spec.shape, dtype, &compute.device)
        };
        let tensors = specs.0.par_iter().map(tensor).collect::<Result<_>>()?;
        Ok(Self::from_tensors(specs.clone(), compute, tensors))
    }

    /// As [`Params::from_source`], of the values that `values` makes of a name and a shape: where what is computed with is not what
    /// is published, but follows from it.
    pub fn from_values(
        specs: &Arc<Specs>,
        compute: &Compute,
        values: impl Fn(&str, &[usize]) -> Result<Vec<f32>>,
    ) -> Result<Self> {
        // One by one, so that no more than one of them exists in 32 bits.
        let tensor = |spec: &Spec| {
            let values = values(&spec.name, &spec.shape)?;
            let tensor = Tensor::from_vec(values, spec.shape.as_slice(), &compute.device)?;
            narrow(&spec.name, tensor, compute.precision.frozen)
        };
        let tensors = specs.0.iter().map(tensor).collect::<Result<_>>()?;
        Ok(Self::from_tensors(specs.clone(), compute, tensors))
    }

    /// Reads a safetensors file, of a size that these weights can have.
    pub fn load(specs: &Arc<Specs>, path: &Path, compute: &Compute) -> Result<Self> {
        Self::from_safetensors(specs, &Self::read_file(specs, path)?, path, compute)
    }

    /// The bytes of a weights file. Errors: it is no file, or larger than the weights of these specs can be.
    pub fn read_file(specs: &Specs, path: &Path) -> Result<Vec<u8>> {
        input::read(path, MAX_HEADER_BYTES + 4 * specs.value_count() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use safetensors::Dtype;
    use safetensors::tensor::TensorView;

    #[test]
    fn a_file_that_is_not_these_weights_is_one_line_of_error() {
        let mut specs = Specs::default();
        specs.add("a".into(), &[2, 2], Init::Ones);
        let specs = Arc::new(specs);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("w.safetensors");
        let error = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            Params::load(&specs, &path, &Compute::cpu()).err().map(|e| e.to_string())
        };
        let file = |named: &[(&str, &[usize], Dtype, &[u8])]| {
            let views = named
                .iter()
                .map(|(name, shape, dtype, data)| (*name, TensorView::new(*dtype, shape.to_vec(), data).unwrap()));
            safetensors::serialize(views, None).unwrap()
        };
        let values = |v: [f32; 4]| v.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
        let good = values([1.0, 2.0, 3.0, 4.0]);
        assert_eq!(error(&file(&[("a", &[2, 2], Dtype::F32, &good)])), None);
        let half_infinity = [0, 0x7C].repeat(4);
        for (bytes, cause) in [
            (file(&[("a", &[4], Dtype::F32, &good)]), "shape [4], not [2, 2]"),
            (file(&[("b\n", &[2, 2], Dtype::F32, &good)]), "\"b\\n\" is not one of"),
            (file(&[("a", &[2, 2], Dtype::F32, &good), ("b", &[2, 2], Dtype::F32, &good)]), "\"b\" is not one of"),
            (file(&[]), "\"a\" is missing"),
            (file(&[("a", &[2, 2], Dtype::F32, &values([1.0, f32::NAN, 0.0, 0.0]))]), "contains NaN"),
            (file(&[("a", &[2, 2], Dtype::F16, &half_infinity)]), "contains inf"),
            (file(&[("a", &[2, 2], Dtype::I32, &good)]), "type I32"),
            (vec![0; MAX_HEADER_BYTES as usize + 17], "over the limit"),
            (b"PK".to_vec(), "not a readable safetensors file"),
            (Vec::new(), "not a readable safetensors file"),
        ] {
            let error = error(&bytes).unwrap_or_else(|| panic!("{cause}: accepted"));
            assert!(error.starts_with(&path.display().to_string()) && error.contains(cause), "{error}");
            assert_eq!(error.lines().count(), 1, "{error}");
        }
        let folder = Params::load(&specs, dir.path(), &Compute::cpu()).err().unwrap().to_string();
        assert!(folder.contains("is a directory"), "{folder}");
    }
}
