//! Models, loaded once and kept while they are used.

use std::cell::{OnceCell, RefCell};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::devices::SharedDevice;
use super::model::{Model, Reference};
use super::{batch, devices};
use crate::backbones::products::Products;
use crate::backbones::{Backbone, registry};
use crate::fs::hash::{self, Stamp};
use crate::nn::checkpoint;
use crate::nn::kernels::Compute;
use crate::nn::params::{Params, Specs};
use crate::nn::workers::Worker;
use crate::weights::{Source, Store};
use crate::{Error, Result};

/// A checkpoint's weights, and by what they are known.
#[derive(Clone)]
pub(super) struct Checkpoint {
    pub model: Model,
    /// SHA-256 of the file.
    pub weights_hash: String,
}

/// What the ledger says of a checkpoint's file.
#[derive(Clone, Copy)]
pub(super) struct Recorded<'a> {
    /// RUN@STEP.
    pub name: &'a str,
    pub weights_hash: &'a str,
}

/// Checkpoints kept: a comparison is of two.
const KEPT: usize = 2;

/// What is loaded.
pub(super) struct Models {
    pub device: SharedDevice,
    workers: OnceCell<Vec<Worker>>,
    compute: OnceCell<Compute>,
    /// Where weights are found.
    store: Store,
    /// The last one, by its name and what its products are of.
    reference: Option<(String, Products, Reference)>,
    /// The last checkpoints used, each with the stamp of its file as it was read; the latest last.
    checkpoints: Vec<(PathBuf, Stamp, Checkpoint)>,
    /// Backbones on devices other than the first.
    elsewhere: RefCell<Vec<(Compute, Arc<dyn Backbone>)>>,
    /// [`batch::fastest_pixels`], once it was asked for.
    fastest_pixels: OnceCell<usize>,
}

impl Models {
    /// Nothing is loaded yet, nor the device opened; weights are those that `store` finds.
    pub fn on(device: SharedDevice, store: Store) -> Self {
        let (workers, compute, fastest_pixels) = (OnceCell::new(), OnceCell::new(), OnceCell::new());
        let (checkpoints, elsewhere) = (Vec::new(), RefCell::default());
        Self { device, workers, compute, store, reference: None, checkpoints, elsewhere, fastest_pixels }
    }

    /// Looks for weights elsewhere from now on.
    pub fn look_in(&mut self, store: Store) {
        self.store = store;
    }

    /// The devices that share the work; at least one.
    pub fn workers(&self) -> &[Worker] {
        self.workers.get_or_init(|| self.device.workers())
    }

    /// The first device, and what computes on it.
    pub fn compute(&self) -> &Compute {
        self.compute.get_or_init(|| self.device.compute())
    }

    /// The devices, in words.
    pub fn device_name(&self) -> String {
        devices::name(self.workers())
    }

    /// Pixels through the network at once that are fastest on a device.
    pub fn fastest_pixels(&self, model: &Model) -> usize {
        *self.fastest_pixels.get_or_init(|| {
            let name = self.device_name();
            let measure = || batch::fastest_pixels(model, &name);
            self.workers().first().map_or_else(measure, |first| first.run(measure))
        })
    }

    /// A model for each of the workers: itself where they compute in its memory, a copy elsewhere. Errors: there is no room for a
    /// copy.
    pub fn of_each(&self, model: &Model) -> Result<Vec<Model>> {
        self.workers().iter().map(|worker| self.of_worker(worker, model)).collect()
    }

    fn of_worker(&self, worker: &Worker, model: &Model) -> Result<Model> {
        if worker.compute.device.same_device(model.params.device()) {
            return Ok(model.clone());
        }
        let on = worker.compute.clone().in_precision(model.params.compute().precision);
        let name = model.backbone.card().name;
        let is_it = |(compute, known): &&(Compute, Arc<dyn Backbone>)| {
            known.card().name == name && compute.device.same_device(&on.device) && compute.precision == on.precision
        };
        let known = self.elsewhere.borrow().iter().find(is_it).map(|(_, backbone)| backbone.clone());
        let backbone = match known {
            Some(backbone) => backbone,
            None => {
                let backbone = registry::open(name, &on, &self.store)?;
                self.elsewhere.borrow_mut().push((on.clone(), backbone.clone()));
                backbone
            }
        };
        Ok(Model { backbone, params: Arc::new(model.params.copied_to(&on)?), layers: model.layers.clone() })
    }

    /// Whether a backbone is loaded, in whatever precision.
    pub fn is_open(&self, name: &str) -> bool {
        self.reference.as_ref().is_some_and(|(known, ..)| known == name)
    }

    /// Whether a backbone is loaded.
    pub fn has(&self, name: &str, products: Products) -> bool {
        self.known(name, products).is_some()
    }

    fn known(&self, name: &str, products: Products) -> Option<&Reference> {
        let known = self.reference.as_ref().filter(|(known, of, _)| known == name && *of == products.here());
        known.map(|(.., reference)| reference)
    }

    /// The reference of a backbone's name, its frozen network computed as `products` says. Errors: a backbone that is not in this
    /// program.
    pub fn reference(&mut self, name: &str, products: Products) -> Result<Reference> {
        if let Some(reference) = self.known(name, products) {
            return Ok(reference.clone());
        }
        // Two large networks at once are more than many machines have.
        self.reference = None;
        self.checkpoints.clear();
        self.elsewhere.borrow_mut().clear();
        let on = match products.here() {
            Products::F32 => self.compute().clone(),
            Products::Bf16 => self.compute().clone().in_precision(products.precision()),
        };
        let backbone = registry::open(name, &on, &self.store)?;
        let (params, weights_hash) = (Arc::new(backbone.reference()?), backbone.weights_hash());
        let model = Model { backbone, params, layers: Some(Arc::new([])) };
        let reference = Reference { model, weights_hash };
        self.reference = Some((name.to_owned(), products.here(), reference.clone()));
        Ok(reference)
    }

    /// The weights of a checkpoint file for the network of a backbone. Errors: the file is no such checkpoint, or other weights
    /// than those `recorded`.
    pub fn checkpoint(
        &mut self,
        (backbone, products): (&str, Products),
        path: &Path,
        recorded: Option<Recorded>,
    ) -> Result<Checkpoint> {
        let stamp = || std::fs::metadata(path).ok().and_then(|file| Stamp::of(&file));
        // Checkpoints compute with the frozen network of the backbone that is open.
        let is_open = self.has(backbone, products);
        let known = stamp().and_then(|stamp| {
            let is_it = |kept: &&(PathBuf, Stamp, Checkpoint)| {
                kept.0 == path && kept.1 == stamp && kept.2.model.backbone.card().name == backbone && is_open
            };
            self.checkpoints.iter().find(is_it).map(|kept| kept.2.clone())
        });
        if let Some(checkpoint) = known {
            verify(path, &checkpoint.weights_hash, recorded)?;
            return Ok(checkpoint);
        }
        let reference = self.reference(backbone, products)?;
        let before = stamp();
        let bytes = checkpoint::read_file(reference.model.params.specs(), path)?;
        let weights_hash = hash::hash_bytes(&bytes);
        verify(path, &weights_hash, recorded)?;
        let model = Model::of(&reference.model.backbone, reference.released().read(&bytes, path)?);
        let checkpoint = Checkpoint { model, weights_hash };
        self.checkpoints.retain(|(known, ..)| known != path);
        if let (Some(before), Some(after)) = (before, stamp())
            && before == after
        {
            self.checkpoints.push((path.to_owned(), after, checkpoint.clone()));
            let excess = self.checkpoints.len().saturating_sub(KEPT);
            self.checkpoints.drain(..excess);
        }
        Ok(checkpoint)
    }
}

/// An adapter in tensors of any floating-point type, as it is trained and sampled: f32.
pub(super) fn read_adapter(specs: &Arc<Specs>, source: &Source, compute: &Compute) -> Result<Params> {
    Params::to_be_trained(specs, source, compute)
}

fn verify(path: &Path, found: &str, recorded: Option<Recorded>) -> Result<()> {
    match recorded {
        Some(Recorded { name, weights_hash }) if weights_hash != found => Err(Error::file(
            path,
            format!(
                "not the weights of {name}: their SHA-256 is {found:.12}…, recorded is {weights_hash:.12}…; bring back the file \
                 that the run saved, or choose another checkpoint"
            ),
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::devices::Choice;
    use std::fs::File;
    use std::time::{Duration, SystemTime};

    /// A weights file of `mini`, written over an older one and as if that had been a minute ago.
    fn write(path: &Path, params: &Params) -> String {
        std::fs::write(path, params.to_safetensors(false, &Default::default()).unwrap()).unwrap();
        let then = SystemTime::now() - Duration::from_secs(60);
        File::options().write(true).open(path).unwrap().set_modified(then).unwrap();
        hash::hash_file(path).unwrap()
    }

    #[test]
    fn weights_are_those_recorded_or_an_error_also_once_they_were_loaded() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("step-000003.safetensors");
        let mut models = Models::on(SharedDevice::new(Choice::Cpu), Store::of_machine(&[], false));
        let specs = models.reference("mini", Products::F32).unwrap().model.backbone.adapter().clone();
        let fresh = |seed| Params::init(&specs, seed, &Compute::cpu()).unwrap();
        let (first, second) = (fresh(1), fresh(2));
        let hash = write(&path, &first);
        let recorded = Recorded { name: "run-1@3", weights_hash: &hash };
        let mut load = |recorded| models.checkpoint(("mini", Products::F32), &path, recorded);
        let loaded = load(Some(recorded)).unwrap();
        assert!(loaded.model.params.to_flat().unwrap() == first.to_flat().unwrap());
        let again = load(Some(recorded)).unwrap();
        assert!(Arc::ptr_eq(&loaded.model.params, &again.model.params), "loaded twice");
        // Another file of the same size in its place: never the old one from memory, nor the new one under the old name.
        let other = write(&path, &second);
        let error = load(Some(recorded)).err().unwrap().to_string();
        for part in ["step-000003.safetensors", "run-1@3", &hash[..12], &other[..12]] {
            assert!(error.contains(part), "{error}");
        }
        assert_eq!(error.lines().count(), 1);
        let found = load(None).unwrap();
        assert_eq!(found.weights_hash, other);
        assert!(found.model.params.to_flat().unwrap() == second.to_flat().unwrap());
        assert!(load(Some(recorded)).is_err(), "known, but not as that");
        write(&path, &first);
        assert!(load(Some(recorded)).is_ok());
    }
}
