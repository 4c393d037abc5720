//! Guidance outside of the network: how far a prediction is led towards its prompt.

use candle_core::Tensor;

use super::card::{Card, Guidance};
use super::condition::{Condition, Shown};
use super::{Backbone, Query};
use crate::Result;
use crate::nn::params::Params;
use crate::nn::tape::Tape;

/// The guidance of a sampling.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Guided {
    Not,
    /// `u + scale · (c − u)`, where c is the prediction and u the one under the negative prompt.
    Away(f64),
    /// The network is told the scale.
    Told(f32),
}

impl Guided {
    /// By a scale, of which 1 leaves a prediction as it is unless the network is told.
    pub fn by(card: &Card, scale: f64) -> Self {
        match card.guidance {
            Guidance::ClassifierFree if scale != 1.0 => Self::Away(scale),
            Guidance::Embedded => Self::Told(scale as f32),
            _ => Self::Not,
        }
    }

    /// Items that go through the network for each picture.
    pub fn items(self) -> usize {
        if matches!(self, Self::Away(_)) { 2 } else { 1 }
    }

    /// What training uses of it: what the network is told. It learns a prediction, not where that is led.
    pub fn told(self) -> Option<f32> {
        if let Self::Told(scale) = self { Some(scale) } else { None }
    }

    /// What the network is shown: for guidance away from the negative prompt that one's items, then the prompt's.
    pub fn shown(self, condition: &Condition, shown: Shown) -> Result<Shown> {
        match self {
            Self::Away(_) => Shown::stacked(&[&condition.led_away(&shown)?, &shown]),
            _ => Ok(shown),
        }
    }

    /// The guided prediction at `x_t`, all at one time; `shown` is what [`Guided::shown`] gave.
    pub fn predict(
        self,
        backbone: &dyn Backbone,
        adapter: &Params,
        x_t: &Tensor,
        time: f32,
        shown: &Shown,
    ) -> Result<Tensor> {
        let x = if self.items() == 2 { Tensor::cat(&[x_t, x_t], 0)? } else { x_t.clone() };
        let times = vec![time; x.dim(0)?];
        let query = Query::new(&x, &times, shown).guided(self.told());
        let y = backbone.predict(&Tape::inference(adapter.kernels()), adapter, &query)?.tensor().clone();
        let Self::Away(scale) = self else { return Ok(y) };
        let count = x_t.dim(0)?;
        let (away, towards) = (y.narrow(0, 0, count)?, y.narrow(0, count, count)?);
        Ok((&away + ((towards - &away)? * scale)?)?)
    }
}
