//! Files of named tensors: safetensors, read as f32 by the one parser of headers, and written without a second copy of all
//! values in memory.

use std::io::{self, Write};
use std::path::Path;

use candle_core::Tensor;
use serde_json::{Map, Value, json};

use crate::weights::dtype::{Dtype, decode};
use crate::weights::safetensors::Header;
use crate::{Error, Result};

/// The longest header that is read, in bytes: names, shapes and remarks take a fraction of it.
pub const MAX_HEADER_BYTES: u64 = 16 << 20;
/// The one remark of a file of our own: several would be written in random order, and equal tensors would not be equal files.
const ABOUT: &str = "dp2o-studio";
/// The remark beside it, of files for other programs: loaders of PyTorch refuse a file with remarks but without this one.
const FORMAT: &str = "format";
const PYTORCH: &str = "pt";
/// Headers are filled up to a multiple of this.
const ALIGN_BYTES: usize = 8;

/// What a file says of itself.
pub type About = Map<String, Value>;

/// A file that was read.
pub struct Tensors<'b> {
    bytes: &'b [u8],
    header: Header,
    about: About,
    origin: &'b Path,
}

impl<'b> Tensors<'b> {
    /// Reads the names and shapes in a file's bytes; `origin` names it in errors.
    pub fn of(bytes: &'b [u8], origin: &'b Path) -> Result<Self> {
        let header = Header::of(bytes).map_err(|cause| Error::file(origin, cause))?;
        let about = header.remarks.get(ABOUT).and_then(|remark| parsed(remark)).unwrap_or_default();
        Ok(Self { bytes, header, about, origin })
    }

    /// What the file says of itself; empty for one of another program.
    pub fn about(&self) -> &About {
        &self.about
    }

    /// The names, in no order.
    pub fn names(&self) -> Vec<&str> {
        self.header.tensors.keys().map(String::as_str).collect()
    }

    /// The shape of a tensor, if there is one of this name.
    pub fn shape(&self, name: &str) -> Option<Vec<usize>> {
        self.header.tensors.get(name).map(|placed| placed.shape.clone())
    }

    /// Errors: there is a tensor that is not `known`.
    pub fn refuse_unknown(&self, known: impl Fn(&str) -> bool) -> Result<()> {
        match self.names().into_iter().find(|name| !known(name)) {
            Some(other) => Err(self.fault(format!("the weight {other:?} is not one of this network's"))),
            None => Ok(()),
        }
    }

    /// The values of a tensor of f32, f16 or bf16. Errors: it is missing, of another shape or type, or not finite.
    pub fn values(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let values = self.any_values(name, shape)?;
        match values.iter().find(|v| !v.is_finite()) {
            Some(bad) => Err(self.fault(format!("the weight \"{name}\" contains {bad}"))),
            None => Ok(values),
        }
    }

    /// [`Tensors::values`] that need not be finite.
    pub fn any_values(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let placed = self.header.tensors.get(name);
        let placed = placed.ok_or_else(|| self.fault(format!("the weight \"{name}\" is missing")))?;
        if placed.shape != shape {
            return Err(self.fault(format!("the weight \"{name}\" has shape {:?}, not {shape:?}", placed.shape)));
        }
        match placed.dtype {
            Dtype::F32 | Dtype::F16 | Dtype::Bf16 => {
                let mut values = Vec::with_capacity(shape.iter().product());
                // The header is true of these bytes.
                let data = self.bytes.get(placed.begin as usize..placed.end as usize).unwrap_or_default();
                decode(placed.dtype, false, data, &mut values);
                Ok(values)
            }
            other => Err(self.fault(format!("the weight \"{name}\" has type {other:?}; F32, F16 or BF16 is needed"))),
        }
    }

    /// What is wrong with this file, as an error that names it.
    pub fn fault(&self, cause: impl std::fmt::Display) -> Error {
        Error::file(self.origin, cause)
    }
}

/// What a file says of itself, by its header.
pub(super) fn about_of(header: &Value) -> Option<About> {
    parsed(header.get("__metadata__")?.get(ABOUT)?.as_str()?)
}

fn parsed(remark: &str) -> Option<About> {
    serde_json::from_str(remark).ok()
}

/// Little-endian f32 values; a rest of fewer than 4 bytes is left out.
pub(super) fn f32s(bytes: &[u8]) -> Vec<f32> {
    let mut values = Vec::with_capacity(bytes.len() / 4);
    decode(Dtype::F32, false, bytes, &mut values);
    values
}

/// A tensor about to be written.
pub struct Named<'t> {
    pub name: String,
    pub shape: Vec<usize>,
    pub values: Values<'t>,
}

/// Where the values of a tensor are.
#[derive(Clone, Copy)]
pub enum Values<'t> {
    /// On any device.
    Tensor(&'t Tensor),
    /// In memory.
    Slice(&'t [f32]),
}

impl<'t> Named<'t> {
    /// A tensor under this name.
    pub fn of(name: impl Into<String>, tensor: &'t Tensor) -> Self {
        Self { name: name.into(), shape: tensor.dims().to_vec(), values: Values::Tensor(tensor) }
    }

    fn write(&self, out: &mut dyn Write, width: Width) -> io::Result<()> {
        match self.values {
            Values::Slice(values) => write_values(out, values, width),
            Values::Tensor(tensor) => {
                let values = tensor.flatten_all().and_then(|t| t.to_vec1::<f32>()).map_err(io::Error::other)?;
                write_values(out, &values, width)
            }
        }
    }
}

/// As what values are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    F32,
    F16,
    Bf16,
}

impl Width {
    /// The name of the type in a header, and the bytes of a value.
    fn in_header(self) -> (&'static str, usize) {
        match self {
            Width::F32 => ("F32", 4),
            Width::F16 => ("F16", 2),
            Width::Bf16 => ("BF16", 2),
        }
    }
}

fn write_values(out: &mut dyn Write, values: &[f32], width: Width) -> io::Result<()> {
    let mut bytes = Vec::with_capacity(4 << 12);
    for values in values.chunks(1 << 12) {
        bytes.clear();
        match width {
            Width::F32 => values.iter().for_each(|v| bytes.extend(v.to_le_bytes())),
            Width::F16 => values.iter().for_each(|&v| bytes.extend(half::f16::from_f32(v).to_le_bytes())),
            Width::Bf16 => values.iter().for_each(|&v| bytes.extend(half::bf16::from_f32(v).to_le_bytes())),
        }
        out.write_all(&bytes)?;
    }
    Ok(())
}

/// Writes tensors as f32 or (`half`) f16, in the order of their names: the same tensors are the same bytes.
pub fn write(out: &mut dyn Write, about: &About, tensors: Vec<Named>, half: bool) -> io::Result<()> {
    write_as(out, about, tensors, if half { Width::F16 } else { Width::F32 })
}

/// Like [`write`], as values of any width.
pub fn write_as(out: &mut dyn Write, about: &About, tensors: Vec<Named>, width: Width) -> io::Result<()> {
    write_with_trailer(out, about, tensors, width, None)
}

/// Like [`write`], followed by a tensor of so many bytes, whose content the caller writes.
pub(super) fn write_with_trailer(
    out: &mut dyn Write,
    about: &About,
    mut tensors: Vec<Named>,
    width: Width,
    trailer: Option<(&str, usize)>,
) -> io::Result<()> {
    tensors.sort_by(|a, b| a.name.cmp(&b.name));
    let (dtype, bytes) = width.in_header();
    let (mut about, mut remark) = (about.clone(), Map::new());
    let format = about.get(FORMAT).is_some_and(|format| format == PYTORCH).then(|| about.remove(FORMAT)).flatten();
    remark.insert(ABOUT.into(), Value::Object(about).to_string().into());
    remark.extend(format.map(|format| (FORMAT.to_owned(), format)));
    let remark = Value::Object(remark);
    // By hand and not of a JSON object, which would be sorted by name: the remark comes first.
    let mut header = format!("{{\"__metadata__\":{remark}");
    let mut end = 0;
    let mut put = |name: &str, dtype: &str, shape: &[usize], bytes: usize| {
        let begin = end;
        end += bytes;
        let (name, shape) = (json!(name), json!(shape));
        let entry = format!(",{name}:{{\"dtype\":\"{dtype}\",\"shape\":{shape},\"data_offsets\":[{begin},{end}]}}");
        header.push_str(&entry);
    };
    for tensor in &tensors {
        put(&tensor.name, dtype, &tensor.shape, bytes * tensor.shape.iter().product::<usize>());
    }
    if let Some((name, bytes)) = trailer {
        put(name, "U8", &[bytes], bytes);
    }
    header.push('}');
    let padding = header.len().next_multiple_of(ALIGN_BYTES) - header.len();
    header.extend(std::iter::repeat_n(' ', padding));
    out.write_all(&(header.len() as u64).to_le_bytes())?;
    out.write_all(header.as_bytes())?;
    tensors.iter().try_for_each(|tensor| tensor.write(out, width))
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;
    use safetensors::Dtype;
    use safetensors::tensor::TensorView;

    /// Weights are known by the hash of their file: it must be the one that the safetensors crate makes.
    #[test]
    fn files_are_those_of_the_safetensors_crate() {
        let tensors = [("b", vec![2, 3]), ("a\"\n", vec![1]), ("a", vec![]), ("none", vec![0, 4])]
            .map(|(name, shape): (_, Vec<usize>)| (name, Tensor::rand(-2f32, 2.0, shape, &Device::Cpu).unwrap()));
        let about = json!({"step": "3", "base": "é", "lora": [{"rank": 2, "alpha": 1.5}]});
        for (width, dtype) in [(Width::F32, Dtype::F32), (Width::F16, Dtype::F16), (Width::Bf16, Dtype::BF16)] {
            let data: Vec<(_, Vec<u8>)> = tensors
                .iter()
                .map(|(name, tensor)| {
                    let mut bytes = Vec::new();
                    write_values(&mut bytes, &tensor.flatten_all().unwrap().to_vec1().unwrap(), width).unwrap();
                    (*name, bytes)
                })
                .collect();
            let views = tensors.iter().zip(&data).map(|((name, tensor), (_, bytes))| {
                (*name, TensorView::new(dtype, tensor.dims().to_vec(), bytes).unwrap())
            });
            let remark = [(ABOUT.to_owned(), about.to_string())].into();
            let expected = safetensors::serialize(views, Some(remark)).unwrap();
            let mut written = Vec::new();
            let named = tensors.iter().map(|(name, tensor)| Named::of(*name, tensor)).collect();
            write_as(&mut written, about.as_object().unwrap(), named, width).unwrap();
            assert_eq!(String::from_utf8_lossy(&written), String::from_utf8_lossy(&expected));
            assert!(written == expected);
            let read = Tensors::of(&written, "a file".as_ref()).unwrap();
            assert_eq!(read.about(), about.as_object().unwrap());
        }
        let for_others = json!({"format": "pt", "step": "3"});
        let mut written = Vec::new();
        write(&mut written, for_others.as_object().unwrap(), vec![Named::of("b", &tensors[0].1)], false).unwrap();
        let (_, header) = safetensors::SafeTensors::read_metadata(&written).unwrap();
        assert_eq!(header.metadata().as_ref().unwrap()["format"], "pt");
        assert_eq!(
            Tensors::of(&written, "a file".as_ref()).unwrap().about(),
            json!({"step": "3"}).as_object().unwrap()
        );
    }
}
