//! What a solver carries from step to step: the latents of every picture it draws.
//!
//! A picture within one tile is a tensor on the device. A larger one is in the main memory, or, beyond what may be taken of
//! that, in a file without a name that the system drops with the process; its parts come to the device tile by tile.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};

use candle_core::{Device, Tensor};

use crate::{Error, Result};

/// How much of the main memory solving a picture may take for its state, and where the rest of it goes.
#[derive(Clone, Copy, Debug)]
pub struct StateMemory<'p> {
    /// A solver's state of no more bytes than this stays in memory.
    pub bytes: usize,
    /// Folder for a larger one.
    pub scratch: &'p Path,
}

/// Latents `[items, channels, height, width]`.
pub(super) struct Field {
    shape: [usize; 4],
    store: Store,
}

enum Store {
    /// Read and written by whole pictures.
    Whole(Tensor),
    Memory(Vec<f32>),
    /// Little-endian.
    Scratch(Mutex<File>, PathBuf),
}

/// A part of a field: all channels of some items, rows and columns.
#[derive(Clone, Debug)]
pub(super) struct Window {
    pub items: Range<usize>,
    pub rows: Range<usize>,
    pub columns: Range<usize>,
}

impl Field {
    /// A field that is one tensor.
    pub fn whole(shape: [usize; 4], device: &Device) -> Result<Self> {
        Ok(Self { shape, store: Store::Whole(Tensor::zeros(&shape, candle_core::DType::F32, device)?) })
    }

    /// A field of which parts are read and written; `None` of a folder keeps it in memory.
    pub fn by_parts(shape: [usize; 4], scratch: Option<&Path>) -> Result<Self> {
        let count: usize = shape.iter().product();
        let store = match scratch {
            None => Store::Memory(vec![0.0; count]),
            Some(folder) => {
                let file = tempfile::tempfile_in(folder).and_then(|file| file.set_len(4 * count as u64).map(|()| file));
                Store::Scratch(Mutex::new(file.map_err(|cause| fault(folder, cause))?), folder.to_owned())
            }
        };
        Ok(Self { shape, store })
    }

    /// A part, on the device of a whole field, else in the main memory.
    pub fn window(&self, window: &Window) -> Result<Tensor> {
        let shape = [window.items.len(), self.shape[1], window.rows.len(), window.columns.len()];
        let mut values = vec![0.0; shape.iter().product()];
        let mut lines = values.chunks_exact_mut(window.columns.len().max(1)).zip(self.lines(window));
        match &self.store {
            Store::Whole(tensor) => return Ok(tensor.narrow(0, window.items.start, window.items.len())?),
            Store::Memory(all) => lines.for_each(|(line, at)| line.copy_from_slice(&all[at..at + line.len()])),
            Store::Scratch(file, folder) => {
                let mut file = locked(file);
                let mut bytes = vec![0; 4 * window.columns.len()];
                lines
                    .try_for_each(|(line, at)| {
                        file.seek(SeekFrom::Start(4 * at as u64))?;
                        file.read_exact(&mut bytes)?;
                        line.iter_mut().zip(bytes.as_chunks().0).for_each(|(v, &b)| *v = f32::from_le_bytes(b));
                        Ok(())
                    })
                    .map_err(|cause| fault(folder, cause))?;
            }
        }
        Ok(Tensor::from_vec(values, &shape, &Device::Cpu)?)
    }

    /// Replaces rows, of all items over the whole width.
    pub fn set_rows(&mut self, rows: Range<usize>, values: &Tensor) -> Result<()> {
        if let Store::Whole(tensor) = &mut self.store {
            *tensor = values.clone();
            return Ok(());
        }
        let values = values.flatten_all()?.to_vec1::<f32>()?;
        let window = Window { items: 0..self.shape[0], rows, columns: 0..self.shape[3] };
        let starts: Vec<usize> = self.lines(&window).collect();
        let mut lines = values.chunks_exact(self.shape[3].max(1)).zip(starts);
        match &mut self.store {
            Store::Whole(_) => {}
            Store::Memory(all) => lines.for_each(|(line, at)| all[at..at + line.len()].copy_from_slice(line)),
            Store::Scratch(file, folder) => {
                let mut file = locked(file);
                let mut bytes = Vec::with_capacity(4 * self.shape[3]);
                lines
                    .try_for_each(|(line, at)| {
                        bytes.clear();
                        bytes.extend(line.iter().flat_map(|v| v.to_le_bytes()));
                        file.seek(SeekFrom::Start(4 * at as u64))?;
                        file.write_all(&bytes)
                    })
                    .map_err(|cause| fault(folder, cause))?;
            }
        }
        Ok(())
    }

    /// Where each line of a window begins, in the order of its values.
    fn lines(&self, window: &Window) -> impl Iterator<Item = usize> {
        let [_, channels, height, width] = self.shape;
        let (rows, left) = (window.rows.clone(), window.columns.start);
        let planes = window.items.start * channels..window.items.end * channels;
        planes.flat_map(move |plane| rows.clone().map(move |row| (plane * height + row) * width + left))
    }
}

fn locked(file: &Mutex<File>) -> MutexGuard<'_, File> {
    file.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn fault(folder: &Path, cause: io::Error) -> Error {
    match cause.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Error::DiskFull { path: folder.to_owned() },
        _ => Error::file(folder, format!("the temporary file of a picture beyond memory: {cause}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scratch_file_holds_what_memory_holds() {
        let shape = [2, 3, 5, 7];
        let folder = tempfile::tempdir().unwrap();
        let mut fields = [None, Some(folder.path())].map(|place| Field::by_parts(shape, place).unwrap());
        let values: Vec<f32> = (0..2 * 3 * 2 * 7).map(|i| i as f32 * 0.37 - 3.0).collect();
        let rows = Tensor::from_vec(values, &[2, 3, 2, 7], &Device::Cpu).unwrap();
        let window = Window { items: 1..2, rows: 2..5, columns: 1..6 };
        let [memory, scratch] = fields.each_mut().map(|field| {
            field.set_rows(3..5, &rows).unwrap();
            field.window(&window).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap()
        });
        assert_eq!(memory, scratch);
        // The first plane of the second item: a row of zeros, then the rows that were set.
        assert_eq!(memory[..5], [0.0; 5]);
        assert_eq!(memory[5], 43.0 * 0.37 - 3.0);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "the file has no name");
        assert!(Field::by_parts(shape, Some(&folder.path().join("missing"))).is_err());
    }
}
