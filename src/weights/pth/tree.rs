//! From the object tree of a pickle to named tensors.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::pickle::{Node, Pickled, Value};
use crate::weights::bytes::Bytes;
use crate::weights::dtype::Dtype;
use crate::weights::stored::Stored;
use crate::weights::zip::Place;

/// Levels of nesting that are followed.
const MAX_DEPTH: usize = 64;
/// Values that are looked at on the way; a tree that shares its branches is looked at once for each way to them.
const MAX_VISITS: usize = 4 << 20;

/// The longest name of a tensor, in bytes.
const MAX_NAME_BYTES: usize = 4096;

/// Keys that training scripts put the whole of a network's weights under.
const WRAPPERS: [&str; 5] = ["params", "params_ema", "state_dict", "model", "model_state_dict"];

/// A container of storages.
pub struct Storages<'f> {
    pub bytes: &'f Arc<Bytes>,
    /// Whether values are big-endian.
    pub swap: bool,
    /// The storage of a key; `None` where there is none of it.
    pub find: &'f dyn Fn(&str) -> Result<Option<Place>, String>,
}

/// Whether a pickle of weights may hold this name of Python. None of them is ever called.
pub fn allows(module: &str, name: &str) -> bool {
    match module {
        "torch._utils" => matches!(
            name,
            "_rebuild_tensor"
                | "_rebuild_tensor_v2"
                | "_rebuild_tensor_v3"
                | "_rebuild_parameter"
                | "_rebuild_parameter_with_state"
        ),
        "torch._tensor" => name == "_rebuild_from_type_v2",
        "torch.nn.parameter" => name == "Parameter",
        "torch.storage" => matches!(name, "UntypedStorage" | "TypedStorage" | "_UntypedStorage"),
        "torch" => {
            name.ends_with("Storage") || matches!(name, "Size" | "device" | "Tensor") || dtype_named(name).is_some()
        }
        "collections" => matches!(name, "OrderedDict" | "defaultdict"),
        "__builtin__" | "builtins" => {
            matches!(name, "set" | "frozenset" | "dict" | "list" | "int" | "float" | "bytearray")
        }
        // Numbers of NumPy, such as a best score beside the weights: kept unread.
        "numpy.core.multiarray" | "numpy._core.multiarray" => name == "scalar",
        "numpy" => name == "dtype",
        "_codecs" => name == "encode",
        _ => false,
    }
}

/// As [`allows`], for TorchScript: the classes of the model are data as well.
pub fn allows_script(module: &str, name: &str) -> bool {
    module == "__torch__"
        || module.starts_with("__torch__.")
        || (module == "torch.jit._pickle" && (name.starts_with("build_") || name == "restore_type_tag"))
        || allows(module, name)
}

/// The tensors of a tree by name.
pub fn tensors(pickled: &Pickled, storages: &Storages) -> Result<BTreeMap<String, Stored>, String> {
    let mut walk = Walk { pickled, storages, found: BTreeMap::new(), visits: 0 };
    let top = walk.unwrapped(pickled.top);
    walk.visit(top, String::new(), 0)?;
    Ok(walk.found)
}

struct Walk<'w> {
    pickled: &'w Pickled,
    storages: &'w Storages<'w>,
    found: BTreeMap<String, Stored>,
    visits: usize,
}

impl Walk<'_> {
    /// What lies under the one key of [`WRAPPERS`] that there is, down to where there is none or several.
    fn unwrapped(&self, mut value: Value) -> Value {
        for _ in 0..MAX_DEPTH {
            let Some(Node::Dict(items)) = self.pickled.node(value) else { break };
            let is_wrapper = |key: Value| self.pickled.text(key).is_some_and(|key| WRAPPERS.contains(&key));
            let is_dict = |value: Value| matches!(self.pickled.node(value), Some(Node::Dict(_)));
            let mut wrapped = items.iter().filter(|(key, value)| is_wrapper(*key) && is_dict(*value));
            match (wrapped.next(), wrapped.next()) {
                (Some((_, inner)), None) => value = *inner,
                _ => break,
            }
        }
        value
    }

    fn visit(&mut self, value: Value, name: String, depth: usize) -> Result<(), String> {
        self.visits += 1;
        if depth > MAX_DEPTH || self.visits > MAX_VISITS || name.len() > MAX_NAME_BYTES {
            return Err("it is nested deeper than weights are".into());
        }
        let pickled = self.pickled;
        let Some(node) = pickled.node(value) else { return Ok(()) };
        match node {
            Node::Dict(items) => self.entries(items, &name, depth),
            Node::Tuple(items) | Node::List(items) => items
                .iter()
                .enumerate()
                .try_for_each(|(i, item)| self.visit(*item, below(&name, &i.to_string()), depth + 1)),
            Node::Made { callee, arguments, state, items } => {
                if let Some(stored) = self.tensor(*callee, *arguments, &name, 0)? {
                    let name = if name.is_empty() { "tensor".into() } else { name };
                    return match self.found.insert(name.clone(), stored) {
                        None => Ok(()),
                        Some(_) => Err(format!("two tensors are called {name:?}")),
                    };
                }
                // An object of TorchScript: its attributes are its state.
                if let Some(state) = state {
                    self.visit(*state, name.clone(), depth + 1)?;
                }
                self.entries(items, &name, depth)
            }
            _ => Ok(()),
        }
    }

    fn entries(&mut self, items: &[(Value, Value)], name: &str, depth: usize) -> Result<(), String> {
        // A key that is set twice counts as it was set last.
        let mut last: BTreeMap<String, Value> = BTreeMap::new();
        for (key, value) in items {
            match *key {
                Value::Int(n) => drop(last.insert(n.to_string(), *value)),
                key => match self.pickled.text(key) {
                    Some(key) if key.len() > MAX_NAME_BYTES => {
                        return Err("a name in it is longer than names are".into());
                    }
                    Some(key) => drop(last.insert(key.to_owned(), *value)),
                    None => {}
                },
            }
        }
        last.into_iter().try_for_each(|(key, value)| self.visit(value, below(name, &key), depth + 1))
    }

    /// The tensor that a call makes; `None` where it makes none.
    fn tensor(&self, callee: Value, arguments: Value, name: &str, depth: usize) -> Result<Option<Stored>, String> {
        let Some((module, callee)) = self.pickled.global(callee) else { return Ok(None) };
        let arguments = self.pickled.items(arguments).unwrap_or_default();
        let fault = |cause: &str| Err(format!("the tensor {name:?} {cause}"));
        match (module, callee) {
            ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2" | "_rebuild_tensor_v3") => {
                let &[storage, offset, shape, strides, ref rest @ ..] = arguments else {
                    return fault("is not described whole");
                };
                let dtype = match rest {
                    [_, _, dtype, ..] if callee == "_rebuild_tensor_v3" => Some(*dtype),
                    _ => None,
                };
                self.view(storage, offset, shape, strides, dtype).map(Some).or_else(|cause| fault(&cause))
            }
            ("torch._utils", _) | ("torch.nn.parameter", "Parameter") => self.inner(arguments.first(), name, depth),
            // (function, class, arguments, state): the tensor that the function makes of the arguments.
            ("torch._tensor", _) => match arguments {
                [function, _, arguments, ..] if depth < MAX_DEPTH => {
                    self.tensor(*function, *arguments, name, depth + 1)
                }
                _ => fault("is not described whole"),
            },
            _ => Ok(None),
        }
    }

    /// The tensor that a parameter is of.
    fn inner(&self, data: Option<&Value>, name: &str, depth: usize) -> Result<Option<Stored>, String> {
        match data.and_then(|data| self.pickled.node(*data)) {
            Some(Node::Made { callee, arguments, .. }) if depth < MAX_DEPTH => {
                self.tensor(*callee, *arguments, name, depth + 1)
            }
            _ => Err(format!("the parameter {name:?} holds no tensor")),
        }
    }

    fn view(
        &self,
        storage: Value,
        offset: Value,
        shape: Value,
        strides: Value,
        dtype: Option<Value>,
    ) -> Result<Stored, String> {
        let pickled = self.pickled;
        let Some(Node::Persistent(id)) = pickled.node(storage) else { return Err("has no storage".into()) };
        let Some(&[kind, class, key, _, count, ref rest @ ..]) = pickled.items(*id) else {
            return Err("has a storage that is not described whole".into());
        };
        let (Some("storage"), Some((_, class)), Some(key)) =
            (pickled.text(kind), pickled.global(class), pickled.text(key))
        else {
            return Err("has a storage that is not described whole".into());
        };
        let untyped = matches!(class, "UntypedStorage" | "_UntypedStorage");
        let dtype = match dtype {
            Some(dtype) => pickled.global(dtype).and_then(|(_, name)| dtype_named(name)),
            None if untyped => Some(Dtype::U8),
            None => dtype_of_class(class),
        };
        let dtype = dtype.ok_or_else(|| format!("is of numbers that cannot be read ({})", class.escape_debug()))?;
        let (first, bytes) = (self.storages.find)(key)?.ok_or_else(|| format!("has its storage {key:?} missing"))?;
        let size = dtype.size() as u64;
        let declared = count_of(count)?.checked_mul(if untyped { 1 } else { size }).ok_or("is larger than its file")?;
        if declared > bytes {
            return Err(format!("has a storage of {bytes} bytes that should have {declared}"));
        }
        // What a storage of a legacy file is a part of another's: (key, first value, values).
        let (mut skip, mut values) = (0, declared / size);
        if let Some(Value::Node(_)) = rest.first() {
            let view = rest.first().and_then(|view| pickled.items(*view));
            let Some(&[_, from, count, ..]) = view else {
                return Err("has a storage that is not described whole".into());
            };
            (skip, values) = (count_of(from)?, count_of(count)?);
            if skip.checked_add(values).and_then(|end| end.checked_mul(size)).is_none_or(|end| end > bytes) {
                return Err("is beyond its storage".into());
            }
        }
        let sizes = |value: Value| -> Result<Vec<usize>, String> {
            let value = self.size_argument(value);
            let items = pickled.items(value).ok_or("has a shape that is none")?;
            let side =
                |item: &Value| usize::try_from(count_of(*item)?).map_err(|_| "has a shape beyond bounds".to_owned());
            items.iter().map(side).collect()
        };
        let (shape, strides) = (sizes(shape)?, sizes(strides)?);
        if shape.len() != strides.len() || shape.len() > 16 {
            return Err("has a shape that does not fit its strides".into());
        }
        let offset = count_of(offset)?;
        let rest = values.checked_sub(offset).ok_or("begins beyond its storage")?;
        Stored::extent(dtype, &shape, Some(&strides), rest)?;
        let offset =
            skip.checked_add(offset).and_then(|values| values.checked_mul(size)).ok_or("is beyond its storage")?;
        Ok(Stored {
            bytes: self.storages.bytes.clone(),
            dtype,
            swap: self.storages.swap,
            shape,
            strides: Some(strides),
            offset: first + offset,
            rolled: 0,
            factor: 1.0,
        })
    }

    /// The tuple of a `torch.Size`, and anything else as it is.
    fn size_argument(&self, value: Value) -> Value {
        match self.pickled.node(value) {
            Some(Node::Made { arguments, .. }) => {
                self.pickled.items(*arguments).and_then(|arguments| arguments.first()).copied().unwrap_or(value)
            }
            _ => value,
        }
    }
}

fn below(name: &str, key: &str) -> String {
    if name.is_empty() { key.into() } else { format!("{name}.{key}") }
}

fn count_of(value: Value) -> Result<u64, String> {
    match value {
        Value::Int(n) => u64::try_from(n).map_err(|_| "has a size below zero".into()),
        _ => Err("has a size that is no number".into()),
    }
}

/// Bytes of one value of a class of storages.
pub fn element_size(class: &str) -> Option<u64> {
    match class {
        "UntypedStorage" | "_UntypedStorage" => Some(1),
        class => dtype_of_class(class).map(|dtype| dtype.size() as u64),
    }
}

fn dtype_of_class(class: &str) -> Option<Dtype> {
    Some(match class {
        "FloatStorage" => Dtype::F32,
        "HalfStorage" => Dtype::F16,
        "BFloat16Storage" => Dtype::Bf16,
        "DoubleStorage" => Dtype::F64,
        "LongStorage" => Dtype::I64,
        "IntStorage" => Dtype::I32,
        "ShortStorage" => Dtype::I16,
        "CharStorage" => Dtype::I8,
        "ByteStorage" => Dtype::U8,
        "BoolStorage" => Dtype::Bool,
        _ => return None,
    })
}

fn dtype_named(name: &str) -> Option<Dtype> {
    Some(match name {
        "float32" => Dtype::F32,
        "float16" => Dtype::F16,
        "bfloat16" => Dtype::Bf16,
        "float64" => Dtype::F64,
        "int64" => Dtype::I64,
        "int32" => Dtype::I32,
        "int16" => Dtype::I16,
        "int8" => Dtype::I8,
        "uint8" => Dtype::U8,
        "bool" => Dtype::Bool,
        _ => return None,
    })
}
