//! What several metrics compute of one image, computed once.
//!
//! LPIPS, DISTS and others look at the same network's features of the same pictures. A group's [`Features`] keep those of the
//! reference for as long as the group is scored; those of candidates are kept [`within`](Features::within) their batch only,
//! for they are many times as large as the images.

use std::any::Any;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use super::lr::LowRes;
use crate::imaging::Image;
use crate::{Error, Result};

/// Features by network and image, shared by the metrics of a group. Also says whether anybody still waits for the scores.
#[derive(Default)]
pub struct Features<'o> {
    outer: Option<&'o Features<'o>>,
    kept: Mutex<Vec<Kept>>,
    stop: Arc<AtomicBool>,
    low_res: Option<Arc<LowRes>>,
}

struct Kept {
    network: String,
    image: Arc<Image>,
    value: Arc<dyn Any + Send + Sync>,
}

impl Features<'_> {
    /// None yet; once `stop` is set, nobody waits for the scores any more.
    pub fn until(stop: Arc<AtomicBool>) -> Self {
        Self { stop, ..Self::default() }
    }

    /// Features that see these, and are forgotten with what is returned.
    pub fn within(&self) -> Features<'_> {
        let (stop, low_res) = (self.stop.clone(), self.low_res.clone());
        Features { outer: Some(self), kept: Mutex::default(), stop, low_res }
    }

    /// Features of candidates of an LR image, for metrics that look at it.
    pub fn of_lr(self, low_res: LowRes) -> Self {
        Self { low_res: Some(Arc::new(low_res)), ..self }
    }

    /// The LR image that the candidates were made from, where it is known.
    pub fn low_res(&self) -> Option<&Arc<LowRes>> {
        self.low_res.as_ref()
    }

    /// Fails once nobody waits for the scores any more. Work of seconds asks between its parts.
    pub fn checkpoint(&self) -> Result<()> {
        if self.stop.load(Ordering::Relaxed) { Err(Error::Cancelled) } else { Ok(()) }
    }

    /// What `network` makes of each image: `compute` is called once with the images of which that is not known yet, and
    /// gives one value for each. The name has to tell networks apart, and weights, and how the images are brought into them.
    ///
    /// No lock is held while it computes: two threads that ask for the same at the same time both compute it.
    pub fn of<T: Any + Send + Sync>(
        &self,
        network: &str,
        images: &[Arc<Image>],
        compute: impl FnOnce(&[Arc<Image>]) -> Result<Vec<T>>,
    ) -> Result<Vec<Arc<T>>> {
        let mut known: Vec<Option<Arc<T>>> = images.iter().map(|image| self.known(network, image)).collect();
        let missing: Vec<Arc<Image>> =
            images.iter().zip(&known).filter(|(_, known)| known.is_none()).map(|(image, _)| image.clone()).collect();
        if !missing.is_empty() {
            let mut made = compute(&missing)?.into_iter().map(Arc::new);
            let mut kept = self.kept.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            for (image, slot) in images.iter().zip(&mut known).filter(|(_, slot)| slot.is_none()) {
                let value = made.next().ok_or_else(|| Error::invalid(format!("{network} gave too few features")))?;
                kept.push(Kept { network: network.to_owned(), image: image.clone(), value: value.clone() });
                *slot = Some(value);
            }
        }
        Ok(known.into_iter().flatten().collect())
    }

    fn known<T: Any + Send + Sync>(&self, network: &str, image: &Arc<Image>) -> Option<Arc<T>> {
        let here = || {
            let kept = self.kept.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            let found = kept.iter().find(|kept| Arc::ptr_eq(&kept.image, image) && kept.network == network);
            found.and_then(|kept| kept.value.clone().downcast().ok())
        };
        here().or_else(|| self.outer?.known(network, image))
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    fn image(value: f32) -> Arc<Image> {
        Arc::new(Image::new(1, 1, vec![value; 3]).unwrap())
    }

    #[test]
    fn each_image_is_computed_once_a_network_and_forgotten_with_its_batch() {
        let group = Features::default();
        let computed = RefCell::new(Vec::new());
        let ask = |features: &Features, network: &str, images: &[Arc<Image>]| -> Vec<f32> {
            let made = features.of(network, images, |missing| {
                computed.borrow_mut().push((network.to_owned(), missing.len()));
                Ok(missing.iter().map(|image| image.data()[0]).collect())
            });
            made.unwrap().iter().map(|value: &Arc<f32>| **value).collect()
        };
        let took = |what: &[(&str, usize)]| {
            let what: Vec<_> = what.iter().map(|(name, n)| ((*name).to_owned(), *n)).collect();
            assert_eq!(computed.take(), what);
        };
        let (reference, a, b) = (image(1.0), image(2.0), image(3.0));
        assert_eq!(ask(&group, "vgg", std::slice::from_ref(&reference)), [1.0]);
        took(&[("vgg", 1)]);
        {
            let batch = group.within();
            // Mixed with what is known, in the order asked for.
            assert_eq!(ask(&batch, "vgg", &[a.clone(), reference.clone(), b.clone()]), [2.0, 1.0, 3.0]);
            assert_eq!(ask(&batch, "vgg", std::slice::from_ref(&b)), [3.0]);
            assert_eq!(ask(&batch, "alex", std::slice::from_ref(&b)), [3.0]);
            took(&[("vgg", 2), ("alex", 1)]);
        }
        // An equal image is another image: it is told by where it is, not by its pixels.
        assert_eq!(ask(&group.within(), "vgg", &[a, image(1.0)]), [2.0, 1.0]);
        took(&[("vgg", 2)]);
        assert_eq!(group.kept.lock().unwrap().len(), 1);
        let short = group.of("vgg", &[b], |_| Ok(Vec::<f32>::new()));
        assert!(short.is_err());
    }

    #[test]
    fn nobody_waits_once_it_is_stopped() {
        let stop = Arc::new(AtomicBool::new(false));
        let group = Features::until(stop.clone());
        assert!(group.within().checkpoint().is_ok());
        stop.store(true, Ordering::Relaxed);
        assert!(matches!(group.within().checkpoint(), Err(Error::Cancelled)));
    }
}
