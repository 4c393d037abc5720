//! A-FINE: how natural an image is, how faithful it is to the reference, and both together, the reference itself not being taken for
//! perfect.
//!
//! Chen et al., "Toward Generalized Image Quality Assessment: Relaxing the Perfect Reference Quality Assumption", CVPR 2025. One pass of the
//! tower gives all of it: the metrics here share it. As the authors, and unlike pyiqa, images whose sides are no multiples of 32 are
//! brought to the next ones; where pyiqa takes an image, scores are its.

use std::sync::Arc;

use candle_core::Tensor;

use super::features::Features;
use super::info::{Direction, Info, Kind, text};
use super::learned::{self, Compare, Compared, Judge, Judged};
use super::metric::{Map, Metric, Scorer};
use super::{shared, windows};
use crate::imaging::Image;
use crate::networks::afine::{Afine as Network, Look};
use crate::nn::kernels::Compute;
use crate::nn::kernels::resample::Interpolation;
use crate::nn::tape::{Tape, Var};
use crate::weights::{Part, Store, registry};
use crate::{Error, Result};

/// One of A-FINE's numbers.
#[derive(Debug)]
pub struct Afine {
    info: Info,
    term: Term,
}

/// Which number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Term {
    Naturalness,
    Fidelity,
    Both,
    /// Both, on a scale of 0 to 100.
    Scaled,
}

static PARTS: [&Part; 1] = [&registry::AFINE];
/// Side of a patch: images are brought to multiples of it.
const PATCH: usize = 32;
/// What brings both terms together to 0 to 100: middle and width of a logistic curve.
const SCALE: [f64; 2] = [-1.9710, 2.3734];

const fn info(name: &'static str, title: &'static str, kind: Kind, range: (f64, f64), map: &'static str) -> Info {
    Info {
        name: text(name),
        title: text(title),
        kind,
        direction: Direction::Lower,
        range,
        min_size_px: 64,
        version: text("as pyiqa 0.1.16; other sides than multiples of 32 as the authors"),
        gflop: 48.0,
        map: text(map),
        paper: text("Chen et al., CVPR 2025"),
        ..Info::LEARNED
    }
}

const CELLS: &str = "1 − cosine of the tokens with the reference's, of each cell of 32 pixels";

/// How natural an image is.
pub static NATURALNESS: Afine = Afine {
    info: info("afine_nr", "A-FINE-NR", Kind::NoReference, (-2.0, 2.0), "score of windows of 224 pixels, averaged"),
    term: Term::Naturalness,
};
/// How faithful it is.
pub static FIDELITY: Afine =
    Afine { info: info("afine_fr", "A-FINE-FR", Kind::FullReference, (-2.0, 2.0), CELLS), term: Term::Fidelity };
/// Both together.
pub static BOTH: Afine =
    Afine { info: info("afine_all", "A-FINE", Kind::FullReference, (-4.0, 4.0), CELLS), term: Term::Both };
/// Both together, on a scale of 0 to 100.
pub static SCALED: Afine = Afine {
    info: info("afine_all_scale", "A-FINE (0 to 100)", Kind::FullReference, (0.0, 100.0), CELLS),
    term: Term::Scaled,
};

impl Metric for &'static Afine {
    fn info(&self) -> &Info {
        &self.info
    }

    fn needs(&self) -> &[&'static Part] {
        &PARTS
    }

    fn open(&self, store: &Store, on: &Compute) -> Result<Box<dyn Scorer>> {
        let source = store.open(&registry::AFINE)?;
        let name = shared::name(&registry::AFINE, &source, on);
        let network = shared::network(name.as_deref(), || Network::open(source, on))?;
        let opened = Opened { metric: self, network, name };
        Ok(match self.term {
            Term::Naturalness => Box::new(Judged(opened)),
            _ => Box::new(Compared(opened)),
        })
    }
}

struct Opened {
    metric: &'static Afine,
    network: Arc<Network>,
    name: Option<String>,
}

impl Opened {
    fn looks(&self, images: &[Arc<Image>], features: &Features) -> Result<Vec<Arc<Look>>> {
        let compute = |images: &[Arc<Image>]| {
            let on = self.network.params().compute();
            let bring = |scale: [[f32; 3]; 2]| -> Result<Tensor> {
                let x = Var::constant(learned::input(images, scale, &on.device)?);
                let (_, height, width, _) = x.tensor().dims4()?;
                let whole = [height, width].map(|n| n.next_multiple_of(PATCH));
                if whole == [height, width] {
                    return Ok(x.tensor().clone());
                }
                let how = Interpolation::Bicubic(-0.75);
                Ok(Tape::inference(&on.kernels).interpolate(&x, whole, how, false)?.tensor().clone())
            };
            self.network.look(&bring([[0.0; 3], [1.0; 3]])?, bring(learned::CLIP)?)
        };
        match &self.name {
            Some(name) => features.of(name, images, compute),
            None => Ok(compute(images)?.into_iter().map(Arc::new).collect()),
        }
    }

    fn in_batch(&self, [width, height]: [usize; 2]) -> usize {
        learned::batch_of(width * height, 1 << 20, self.network.params().compute())
    }
}

impl Judge for Opened {
    fn info(&self) -> &Info {
        &self.metric.info
    }

    fn batch(&self, px: [usize; 2]) -> usize {
        self.in_batch(px)
    }

    fn judge(&self, images: &[Arc<Image>], features: &Features) -> Result<Vec<f64>> {
        Ok(self.looks(images, features)?.iter().map(|look| look.natural).collect())
    }

    fn map(&self, image: &Arc<Image>, features: &Features) -> Result<Option<Map>> {
        windows::map(self, image, features, |score| score).map(Some)
    }
}

impl Compare for Opened {
    type Reference = Arc<Look>;

    fn info(&self) -> &Info {
        &self.metric.info
    }

    fn batch(&self, px: [usize; 2]) -> usize {
        self.in_batch(px)
    }

    fn reference(&self, image: &Arc<Image>, features: &Features) -> Result<Arc<Look>> {
        let looks = self.looks(std::slice::from_ref(image), features)?;
        looks.into_iter().next().ok_or_else(|| Error::invalid("there are no features"))
    }

    fn compare(&self, reference: &Arc<Look>, images: &[Arc<Image>], features: &Features) -> Result<Vec<f64>> {
        let score = |look: &Arc<Look>| match self.metric.term {
            Term::Naturalness => look.natural,
            Term::Fidelity => self.network.fidelity(look, reference),
            Term::Both => self.network.together(look, reference),
            Term::Scaled => {
                let [middle, width] = SCALE;
                100.0 / (1.0 + (-(self.network.together(look, reference) - middle) / width).exp())
            }
        };
        Ok(self.looks(images, features)?.iter().map(score).collect())
    }

    fn map(&self, reference: &Arc<Look>, image: &Arc<Image>, features: &Features) -> Result<Option<Map>> {
        let look = Compare::reference(self, image, features)?;
        let grid = [image.height(), image.width()].map(|n| n.div_ceil(PATCH));
        learned::of_cells(self.network.apart(&look, reference), grid, image).map(Some)
    }
}
