//! What trains weights: AdamW, the clip of long gradients, and the moving average. Of weights that are not trained it holds
//! nothing.

use super::adamw::{AdamW, Settings};
use super::params::{ParamId, Params};
use super::state::{Part, Saved, State};
use super::tape::Gradients;
use super::tensors::Named;
use crate::{Error, Result};

/// The weights that are trained among those of a network, and what trains them.
pub struct Optimizer {
    /// Places of the trained weights among all.
    ids: Vec<ParamId>,
    weights: Params,
    adamw: AdamW,
    /// Exponential moving average of the weights.
    average: Option<Params>,
}

/// The numbers of one step.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    pub learning_rate: f64,
    /// A longer gradient is shortened to this.
    pub longest: f64,
    /// Decay of the moving average.
    pub decay: f64,
}

/// What could not be restored from a state of an earlier version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// The moving average was of other values; it begins anew at the weights.
    Average,
}

impl Optimizer {
    /// Trains those weights of `params` that a gradient is wanted for, in place; `averaged` keeps their average.
    pub fn new(params: &Params, settings: Settings, averaged: bool) -> Result<Self> {
        let (ids, weights) = params.trained();
        let adamw = AdamW::new(settings, weights.kernels(), weights.iter().map(|(_, t)| t))?;
        let average = averaged.then(|| weights.duplicate().map(|copy| copy.trainable(false))).transpose()?;
        Ok(Self { ids, weights, adamw, average })
    }

    /// The trained weights alone.
    pub fn weights(&self) -> &Params {
        &self.weights
    }

    /// The moving average of the trained weights, if there is one.
    pub fn average(&self) -> Option<&Params> {
        self.average.as_ref()
    }

    /// Places of the trained weights among those of the network.
    pub fn ids(&self) -> &[ParamId] {
        &self.ids
    }

    /// One step, by gradients of the network's weights; returns the gradient's norm before it was shortened. Nothing is
    /// changed where that is not finite.
    pub fn step(&mut self, gradients: &Gradients, pace: Pace) -> Result<f64> {
        self.step_if(gradients, pace, || Ok(()))
    }

    /// [`Optimizer::step`], where `agreed` lets it. It is asked once the norm is there: all that a device had queued is done by
    /// then, and reading values of before is not waited for.
    pub fn step_if(&mut self, gradients: &Gradients, pace: Pace, agreed: impl FnOnce() -> Result<()>) -> Result<f64> {
        let norm = gradients.norm()?;
        agreed()?;
        if !norm.is_finite() {
            return Err(Error::Diverged(format!("the gradient's norm is {norm}")));
        }
        let scale = if norm > pace.longest { pace.longest / norm } else { 1.0 };
        let gradients = self.ids.iter().map(|&id| gradients.param(id));
        let pairs = self.weights.iter().map(|(_, tensor)| tensor).zip(gradients);
        self.adamw.step(pairs, pace.learning_rate, scale)?;
        self.weights.touch();
        if let Some(average) = &mut self.average {
            average.average_with(&self.weights, pace.decay)?;
        }
        Ok(norm)
    }

    /// Adds all that [`Optimizer::restore`] takes to a state.
    pub fn save<'s>(&'s self, state: &mut State<'s>) {
        state.about.insert("optimizer_step".into(), self.adamw.steps_taken().into());
        for (name, tensor) in self.weights.iter() {
            state.tensors.push(Named::of(Part::Trained.name(name), tensor));
        }
        for ((name, tensor), moments) in self.weights.iter().zip(self.adamw.moments()) {
            for (part, values) in [Part::First, Part::Second].into_iter().zip(moments) {
                state.tensors.push(Named { name: part.name(name), shape: tensor.dims().to_vec(), values });
            }
        }
        for (name, tensor) in self.average.iter().flat_map(Params::iter) {
            state.tensors.push(Named::of(Part::Average.name(name), tensor));
        }
    }

    /// Goes on from a saved state. Errors: it belongs to other settings; then nothing is changed.
    pub fn restore(&mut self, saved: &Saved) -> Result<Option<Lost>> {
        let names = self.weights.specs().iter().map(|(name, _)| name);
        let mut parts = vec![Part::Trained, Part::First, Part::Second];
        let is_average_lost = self.average.is_some() && saved.is_of_other_average(names.clone());
        if self.average.is_some() && !is_average_lost {
            parts.push(Part::Average);
        }
        saved.require(names, &parts, self.average.is_some())?;
        let of = |part: Part| -> Result<Vec<Vec<f32>>> {
            self.weights.specs().iter().map(|(name, shape)| saved.values(part, name, shape)).collect()
        };
        let (trained, first, second) = (of(Part::Trained)?, of(Part::First)?, of(Part::Second)?);
        let average = match parts.last() {
            Some(Part::Average) => of(Part::Average)?,
            _ => trained.clone(),
        };
        let moments = first.into_iter().zip(second).map(|(a, b)| [a, b]).collect();
        self.adamw.restore(saved.number("optimizer_step")?, moments)?;
        self.weights.set_values(trained)?;
        if let Some(weights) = &mut self.average {
            weights.set_values(average)?;
        }
        Ok(is_average_lost.then_some(Lost::Average))
    }
}
