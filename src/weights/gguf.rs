//! The header of a GGUF file, versions 2 and 3, checked against the file: every length lies within it, and every tensor.
//!
//! Nothing is taken from the header's word: what is skipped is counted, and no memory is asked for before the file is known to
//! have as much.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::blocks::Blocks;
use super::bytes::Bytes;
use super::dtype::Dtype;
use super::stored::Stored;
use crate::Result;

const MAGIC: &[u8; 4] = b"GGUF";
/// The longest header that is read, in bytes.
const MAX_HEADER_BYTES: u64 = 256 << 20;
/// The longest name of a tensor or a remark.
const MAX_NAME_BYTES: u64 = 1 << 16;
/// The most axes of a tensor.
const MAX_AXES: u32 = 8;
/// How deep lists may lie in lists.
const MAX_DEPTH: usize = 4;
/// Where the publisher of FLUX's files says what shape a tensor had before it was laid out in blocks.
const SHAPES: &str = "comfy.gguf.orig_shape.";

/// Whether a file begins as GGUF does.
pub(super) fn is_gguf(bytes: &Bytes) -> Result<bool> {
    let mut start = [0; 4];
    Ok(bytes.len() >= 4 && {
        bytes.read_at(0, &mut start)?;
        &start == MAGIC
    })
}

/// The tensors of a GGUF file by name.
pub(super) fn tensors(bytes: &Arc<Bytes>) -> Result<BTreeMap<String, Stored>> {
    let mut reader = Reader { bytes, at: 4, buffer: Vec::new(), from: 0 };
    let tensors = header(&mut reader)?;
    tensors.map_err(|cause| bytes.fault(format!("not a readable GGUF file: {cause}")))
}

/// What a step of reading gives: a value, or in words why the file lies; outside of that, why it cannot be read.
type Read<T> = Result<Result<T, String>>;

/// The value of a step, or its cause to whoever asked.
macro_rules! known {
    ($step:expr) => {
        match $step? {
            Ok(value) => value,
            Err(cause) => return Ok(Err(cause)),
        }
    };
}

fn header(reader: &mut Reader) -> Read<BTreeMap<String, Stored>> {
    let version = known!(reader.u32());
    if !(2..=3).contains(&version) {
        return Ok(Err(format!("its version is {version}, and 2 and 3 are known here")));
    }
    let (count, remarks) = (known!(reader.u64()), known!(reader.u64()));
    let mut facts = Facts::default();
    for _ in 0..remarks {
        let name = known!(reader.string());
        let kind = known!(reader.u32());
        known!(facts.take(&name, kind, reader));
    }
    let mut infos = Vec::new();
    for _ in 0..count {
        infos.push(known!(info(reader)));
    }
    let align = facts.align.unwrap_or(32);
    if align == 0 || !align.is_power_of_two() || align > 1 << 16 {
        return Ok(Err(format!("its tensors are aligned to {align} bytes")));
    }
    let data = reader.at.next_multiple_of(align);
    let mut tensors = BTreeMap::new();
    for info in infos {
        let name = info.name.clone();
        let stored = match placed(info, data, &facts, reader.bytes) {
            Ok(stored) => stored,
            Err(cause) => return Ok(Err(format!("the tensor {name:?} {cause}"))),
        };
        if tensors.insert(name.clone(), stored).is_some() {
            return Ok(Err(format!("two tensors are called {name:?}")));
        }
    }
    Ok(Ok(tensors))
}

/// What is read of the remarks.
#[derive(Default)]
struct Facts {
    align: Option<u64>,
    shapes: HashMap<String, Vec<usize>>,
}

impl Facts {
    /// Takes or skips the value of a remark.
    fn take(&mut self, name: &str, kind: u32, reader: &mut Reader) -> Read<()> {
        match (name, kind) {
            ("general.alignment", 4) => self.align = Some(known!(reader.u32()).into()),
            (name, 9) if name.starts_with(SHAPES) => {
                let (of, count) = (known!(reader.u32()), known!(reader.u64()));
                if !matches!(of, 4 | 5) || count > u64::from(MAX_AXES) {
                    return Ok(Err(format!("{name:?} is no shape")));
                }
                let mut shape = Vec::new();
                for _ in 0..count {
                    shape.push(known!(reader.u32()) as usize);
                }
                self.shapes.insert(name[SHAPES.len()..].to_owned(), shape);
            }
            _ => known!(reader.skip_value(kind, 0)),
        }
        Ok(Ok(()))
    }
}

/// A tensor as the header has it.
struct Info {
    name: String,
    /// The first axis is the one whose values lie next to each other.
    axes: Vec<u64>,
    kind: u32,
    offset: u64,
}

fn info(reader: &mut Reader) -> Read<Info> {
    let name = known!(reader.string());
    let count = known!(reader.u32());
    if count > MAX_AXES {
        return Ok(Err(format!("the tensor {name:?} has {count} axes")));
    }
    let mut axes = Vec::new();
    for _ in 0..count {
        axes.push(known!(reader.u64()));
    }
    let (kind, offset) = (known!(reader.u32()), known!(reader.u64()));
    Ok(Ok(Info { name, axes, kind, offset }))
}

/// Where a tensor lies; `data` is where the tensors begin. Errors, as what the tensor does.
fn placed(info: Info, data: u64, facts: &Facts, bytes: &Arc<Bytes>) -> Result<Stored, String> {
    let Info { name, axes, kind, offset } = info;
    let dtype = dtype_of(kind).ok_or_else(|| {
        let hint = "; get Q8_0, Q6_K, Q5_K, Q5_0, Q4_K, Q4_0 or 16 bits";
        format!("has format number {kind}, which cannot be read{hint}")
    })?;
    let uncountable = || format!("has axes {axes:?}, which cannot be counted");
    let count = axes.iter().try_fold(1u64, |n, &side| n.checked_mul(side)).ok_or_else(uncountable)?;
    let row = axes.first().copied().unwrap_or(1);
    let size = dtype
        .bytes_of(count)
        .filter(|_| row % dtype.block() as u64 == 0)
        .ok_or_else(|| format!("has rows of {row} values, which are not whole blocks of {}", dtype.block()))?;
    let begin = data.checked_add(offset).ok_or("begins beyond every file")?;
    if begin.checked_add(size).is_none_or(|end| end > bytes.len()) {
        return Err(format!(
            "goes beyond the end of the file, which is truncated: it has {} bytes; get it anew",
            bytes.len()
        ));
    }
    let sides = axes.iter().rev().map(|&side| usize::try_from(side).map_err(|_| uncountable()));
    let mut shape: Vec<usize> = sides.collect::<Result<_, _>>()?;
    if let Some(before) = facts.shapes.get(&name) {
        let values = before.iter().try_fold(1u64, |n, &side| n.checked_mul(side as u64));
        if values != Some(count) {
            return Err(format!("of shape {shape:?} cannot have had the shape {before:?}"));
        }
        // A row that is not whole blocks would be no row any more.
        if before.last().is_some_and(|&row| row % dtype.block() == 0) {
            shape = before.clone();
        }
    }
    Ok(Stored::plain(bytes.clone(), dtype, shape, begin))
}

fn dtype_of(kind: u32) -> Option<Dtype> {
    Some(match kind {
        0 => Dtype::F32,
        1 => Dtype::F16,
        2 => Dtype::Blocks(Blocks::Q4_0),
        3 => Dtype::Blocks(Blocks::Q4_1),
        6 => Dtype::Blocks(Blocks::Q5_0),
        7 => Dtype::Blocks(Blocks::Q5_1),
        8 => Dtype::Blocks(Blocks::Q8_0),
        10 => Dtype::Blocks(Blocks::Q2_K),
        11 => Dtype::Blocks(Blocks::Q3_K),
        12 => Dtype::Blocks(Blocks::Q4_K),
        13 => Dtype::Blocks(Blocks::Q5_K),
        14 => Dtype::Blocks(Blocks::Q6_K),
        24 => Dtype::I8,
        25 => Dtype::I16,
        26 => Dtype::I32,
        27 => Dtype::I64,
        28 => Dtype::F64,
        30 => Dtype::Bf16,
        _ => return None,
    })
}

/// Bytes read at once.
const CHUNK: u64 = 1 << 20;

/// Reads a file from its beginning on.
struct Reader<'b> {
    bytes: &'b Arc<Bytes>,
    at: u64,
    /// Bytes of the file from `from` on.
    buffer: Vec<u8>,
    from: u64,
}

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Read<[u8; N]> {
        Ok(known!(self.slice(N as u64)).first_chunk::<N>().copied().ok_or_else(|| "the file is truncated".to_owned()))
    }

    /// The next bytes, few of them.
    fn slice(&mut self, len: u64) -> Read<&[u8]> {
        let begin = self.at;
        known!(self.skip(len));
        let is_held = begin >= self.from && begin + len <= self.from + self.buffer.len() as u64;
        if !is_held {
            let chunk = len.max(CHUNK).min(self.bytes.len() - begin);
            (self.buffer, self.from) = (self.bytes.range(begin, chunk)?, begin);
        }
        let start = (begin - self.from) as usize;
        Ok(Ok(&self.buffer[start..start + len as usize]))
    }

    fn skip(&mut self, len: u64) -> Read<()> {
        let end = self.at.checked_add(len).filter(|&end| end <= self.bytes.len());
        Ok(match end {
            Some(end) if end > MAX_HEADER_BYTES => Err(format!("its header is over {MAX_HEADER_BYTES} bytes")),
            Some(end) => {
                self.at = end;
                Ok(())
            }
            None => Err("the file is truncated".into()),
        })
    }

    fn u32(&mut self) -> Read<u32> {
        Ok(Ok(u32::from_le_bytes(known!(self.take()))))
    }

    fn u64(&mut self) -> Read<u64> {
        Ok(Ok(u64::from_le_bytes(known!(self.take()))))
    }

    fn string(&mut self) -> Read<String> {
        let len = known!(self.u64());
        if len > MAX_NAME_BYTES {
            return Ok(Err(format!("a name in it has {len} bytes")));
        }
        let name = known!(self.slice(len)).to_vec();
        Ok(String::from_utf8(name).map_err(|_| "a name in it is no text".to_owned()))
    }

    fn skip_value(&mut self, kind: u32, depth: usize) -> Read<()> {
        let size = |kind: u32| match kind {
            0 | 1 | 7 => Some(1),
            2 | 3 => Some(2),
            4..=6 => Some(4),
            10..=12 => Some(8),
            _ => None,
        };
        match (kind, size(kind)) {
            (_, Some(size)) => self.skip(size),
            (8, _) => {
                let len = known!(self.u64());
                self.skip(len)
            }
            (9, _) if depth < MAX_DEPTH => {
                let (of, count) = (known!(self.u32()), known!(self.u64()));
                if let Some(size) = size(of) {
                    return match count.checked_mul(size) {
                        Some(len) => self.skip(len),
                        None => Ok(Err("the file is truncated".into())),
                    };
                }
                // Each has at least eight bytes, so that a count that lies ends with the file.
                for _ in 0..count {
                    known!(self.skip_value(of, depth + 1));
                }
                Ok(Ok(()))
            }
            _ => Ok(Err(format!("a remark in it is of kind {kind}"))),
        }
    }
}
