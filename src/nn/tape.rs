//! Records a forward pass and runs its backward pass.
//!
//! A value on the tape knows whether a gradient is wanted for it; an operation none of whose inputs and weights wants one
//! records nothing and keeps nothing. Gradients are freed as soon as they are used. A tape made with
//! [`Tape::inference`] never records: the reference model costs no graph.

use std::cell::RefCell;
use std::sync::Arc;

use candle_core::{Device, Tensor};

use super::kernels::Kernels;
use super::params::{ParamId, Params};
use crate::Result;

/// Turns the gradient of an operation's output into gradients of its inputs and weights.
type Backward = Box<dyn FnOnce(&Tensor, &mut Gradients) -> Result<()>>;

/// A recording of operations.
pub struct Tape {
    kernels: Arc<dyn Kernels>,
    nodes: RefCell<Vec<Option<Backward>>>,
    recording: bool,
    recomputing: bool,
    /// Whether it is of a part that is computed again.
    is_within: bool,
}

/// A tensor on the tape.
#[derive(Clone, Debug)]
pub struct Var {
    tensor: Tensor,
    /// `None`: no gradient is wanted.
    node: Option<usize>,
}

impl Var {
    /// A value no gradient is wanted for.
    pub fn constant(tensor: Tensor) -> Self {
        Self { tensor, node: None }
    }

    /// The value.
    pub fn tensor(&self) -> &Tensor {
        &self.tensor
    }

    /// Whether a gradient is wanted.
    pub fn wants_gradient(&self) -> bool {
        self.node.is_some()
    }

    /// Where its gradient goes.
    pub fn slot(&self) -> Slot {
        Slot(self.node)
    }
}

/// Where the gradient of a value goes: what a backward pass keeps of a value that it does not read.
#[derive(Clone, Copy, Debug)]
pub struct Slot(Option<usize>);

impl Slot {
    /// Whether a gradient is wanted.
    pub fn wants_gradient(self) -> bool {
        self.0.is_some()
    }
}

impl From<&Var> for Slot {
    fn from(var: &Var) -> Self {
        var.slot()
    }
}

/// Gradients collected by a backward pass.
pub struct Gradients {
    kernels: Arc<dyn Kernels>,
    nodes: Vec<Option<Tensor>>,
    params: Vec<Option<Tensor>>,
}

impl Gradients {
    /// None yet.
    pub fn new(kernels: &Arc<dyn Kernels>) -> Self {
        Self { kernels: kernels.clone(), nodes: Vec::new(), params: Vec::new() }
    }

    /// Adds to the gradient of a value; does nothing where none is wanted.
    pub fn add(&mut self, to: impl Into<Slot>, gradient: Tensor) -> Result<()> {
        match to.into().0 {
            Some(node) => add_to(&mut self.nodes, node, gradient, self.kernels.as_ref()),
            None => Ok(()),
        }
    }

    /// Adds to the gradient of a weight.
    pub fn add_param(&mut self, id: ParamId, gradient: Tensor) -> Result<()> {
        add_to(&mut self.params, id.0, gradient, self.kernels.as_ref())
    }

    /// Adds to the gradient of a weight that came out beside others, if it is `wanted`.
    pub fn add_wanted(&mut self, id: ParamId, gradient: Tensor, wanted: bool) -> Result<()> {
        if wanted { self.add_param(id, gradient) } else { Ok(()) }
    }

    /// Adds gradients of weights that were collected apart, on whatever device.
    pub fn add_params(&mut self, others: Gradients, device: &Device) -> Result<()> {
        let others = others.params.into_iter().enumerate().filter_map(|(index, gradient)| Some((index, gradient?)));
        others.into_iter().try_for_each(|(index, gradient)| self.add_param(ParamId(index), gradient.to_device(device)?))
    }

    /// Takes the gradient of a value, if any reached it.
    pub fn take(&mut self, var: &Var) -> Option<Tensor> {
        self.nodes.get_mut(var.node?)?.take()
    }

    /// The gradient of a weight, if any reached it.
    pub fn param(&self, id: ParamId) -> Option<&Tensor> {
        self.params.get(id.0)?.as_ref()
    }

    /// Euclidean norm of the gradients of all weights together.
    pub fn norm(&self) -> Result<f64> {
        self.kernels.norm(&self.params.iter().flatten().collect::<Vec<_>>())
    }

    /// Gradients of all weights, by index.
    pub fn params(&self) -> &[Option<Tensor>] {
        &self.params
    }
}

fn add_to(slots: &mut Vec<Option<Tensor>>, index: usize, gradient: Tensor, kernels: &dyn Kernels) -> Result<()> {
    if slots.len() <= index {
        slots.resize(index + 1, None);
    }
    slots[index] = Some(match slots[index].take() {
        None => gradient,
        Some(sum) => kernels.add(&sum, &gradient)?,
    });
    Ok(())
}

impl Tape {
    /// A tape that records what gradients need.
    pub fn recording(kernels: &Arc<dyn Kernels>) -> Self {
        let (kernels, nodes) = (kernels.clone(), RefCell::default());
        Self { kernels, nodes, recording: true, recomputing: false, is_within: false }
    }

    /// The tape with its segments' activations computed again in the backward pass instead of kept.
    pub fn recomputing(self, recomputing: bool) -> Self {
        Self { recomputing, ..self }
    }

    /// A tape that records nothing.
    pub fn inference(kernels: &Arc<dyn Kernels>) -> Self {
        Self { recording: false, ..Self::recording(kernels) }
    }

    /// What computes.
    pub fn kernels(&self) -> &Arc<dyn Kernels> {
        &self.kernels
    }

    /// Whether the gradient of a weight will be wanted.
    pub fn trains(&self, params: &Params, id: ParamId) -> bool {
        self.recording && params.weight(id).is_trainable()
    }

    /// An input whose gradient is wanted.
    pub fn leaf(&self, tensor: Tensor) -> Var {
        if !self.recording {
            return Var::constant(tensor);
        }
        let mut nodes = self.nodes.borrow_mut();
        nodes.push(None);
        Var { tensor, node: Some(nodes.len() - 1) }
    }

    /// Puts the result of an operation on the tape. `backward` is only made, and what it keeps only kept, when a gradient
    /// is `wanted` for one of the operation's inputs or weights.
    pub fn push<F>(&self, tensor: Tensor, wanted: bool, backward: impl FnOnce() -> F) -> Var
    where
        F: FnOnce(&Tensor, &mut Gradients) -> Result<()> + 'static,
    {
        if !(self.recording && wanted) {
            return Var::constant(tensor);
        }
        let mut nodes = self.nodes.borrow_mut();
        nodes.push(Some(Box::new(backward())));
        Var { tensor, node: Some(nodes.len() - 1) }
    }

    /// A part of a network whose insides nothing else reads: [`Tape::checkpoint`] on a tape that recomputes, `body` alone on
    /// any other.
    pub fn segment<F>(&self, inputs: &[&Var], params: &Params, body: F) -> Result<Var>
    where
        F: Fn(&Tape, &[Var]) -> Result<Var> + 'static,
    {
        if self.recording && self.recomputing {
            return self.checkpoint(inputs, params, body);
        }
        let inputs: Vec<Var> = inputs.iter().map(|&v| v.clone()).collect();
        body(self, &inputs)
    }

    /// `x`, and in the backward pass `then` once the gradients of all that came after it are there.
    pub fn after_backward(&self, x: &Var, then: impl FnOnce() + 'static) -> Var {
        self.push(x.tensor.clone(), x.wants_gradient(), || {
            let x = x.slot();
            move |dy: &Tensor, sink: &mut Gradients| {
                then();
                sink.add(x, dy.clone())
            }
        })
    }

    /// A part that is quickly computed and keeps much: [`Tape::checkpoint`], but where a part around it is one already.
    pub fn again<F>(&self, inputs: &[&Var], params: &Params, body: F) -> Result<Var>
    where
        F: Fn(&Tape, &[Var]) -> Result<Var> + 'static,
    {
        if self.recording && !self.is_within {
            return self.checkpoint(inputs, params, body);
        }
        let inputs: Vec<Var> = inputs.iter().map(|&v| v.clone()).collect();
        body(self, &inputs)
    }

    /// Runs `body` without keeping anything, and runs it again when its gradient is needed: memory for time (Chen et al.,
    /// "Training Deep Nets with Sublinear Memory Cost", arXiv 1604.06174). All values on the tape that `body` reads must
    /// come in through `inputs`.
    pub fn checkpoint<F>(&self, inputs: &[&Var], params: &Params, body: F) -> Result<Var>
    where
        F: Fn(&Tape, &[Var]) -> Result<Var> + 'static,
    {
        let wanted = (self.recording && params.is_any_trainable()) || inputs.iter().any(|v| v.wants_gradient());
        let inputs: Vec<Var> = inputs.iter().map(|&v| v.clone()).collect();
        let constants: Vec<Var> = inputs.iter().map(|v| Var::constant(v.tensor.clone())).collect();
        let result = body(&Tape::inference(&self.kernels), &constants)?;
        let kernels = self.kernels.clone();
        Ok(self.push(result.tensor, wanted, || {
            move |dy: &Tensor, sink: &mut Gradients| {
                let tape = Tape { is_within: true, ..Tape::recording(&kernels) };
                let again = |v: &Var| match v.wants_gradient() {
                    true => tape.leaf(v.tensor.clone()),
                    false => v.clone(),
                };
                let leaves: Vec<Var> = inputs.iter().map(again).collect();
                let result = body(&tape, &leaves)?;
                let mut inner = Gradients { params: std::mem::take(&mut sink.params), ..Gradients::new(&kernels) };
                tape.backward_into(&result, dy.clone(), &mut inner)?;
                sink.params = std::mem::take(&mut inner.params);
                for (input, leaf) in inputs.iter().zip(&leaves) {
                    if let Some(gradient) = inner.take(leaf) {
                        sink.add(input, gradient)?;
                    }
                }
                Ok(())
            }
        }))
    }

    /// Gradients of everything on the tape, given the gradient of `output`.
    pub fn backward(self, output: &Var, gradient: Tensor) -> Result<Gradients> {
        let mut gradients = Gradients::new(&self.kernels);
        self.backward_into(output, gradient, &mut gradients)?;
        Ok(gradients)
    }

    /// [`Tape::backward`] that adds to gradients collected before (of other tapes: only those of weights carry over).
    pub fn backward_into(self, output: &Var, gradient: Tensor, gradients: &mut Gradients) -> Result<()> {
        gradients.nodes.clear();
        gradients.add(output, gradient)?;
        for (index, backward) in self.nodes.into_inner().into_iter().enumerate().rev() {
            if let Some(backward) = backward
                && let Some(gradient) = gradients.nodes.get_mut(index).and_then(Option::take)
            {
                backward(&gradient, gradients)?;
            }
        }
        Ok(())
    }
}
