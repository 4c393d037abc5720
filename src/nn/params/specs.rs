//! Name, shape and start of the weights of a network.

/// Names a weight within [`Params`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ParamId(pub(in crate::nn) usize);

/// How a weight starts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Init {
    Zeros,
    Ones,
    /// Normal with this standard deviation.
    Normal(f32),
}

/// Name, shape and initial distribution of every weight of a network, in order.
#[derive(Clone, Debug, Default)]
pub struct Specs(pub(super) Vec<Spec>);

#[derive(Clone, Debug)]
pub(super) struct Spec {
    pub name: String,
    pub shape: Vec<usize>,
    pub init: Init,
    /// Its stream of random numbers.
    pub stream: u32,
}

impl Specs {
    /// Declares a weight.
    pub fn add(&mut self, name: String, shape: &[usize], init: Init) -> ParamId {
        let stream = self.0.len() as u32;
        self.add_on_stream(name, shape, init, stream)
    }

    /// [`Specs::add`] of a weight that starts the same whatever others there are.
    pub(in crate::nn) fn add_on_stream(&mut self, name: String, shape: &[usize], init: Init, stream: u32) -> ParamId {
        self.0.push(Spec { name, shape: shape.to_vec(), init, stream });
        ParamId(self.0.len() - 1)
    }

    /// Name and shape of every weight, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[usize])> + Clone {
        self.0.iter().map(|spec| (spec.name.as_str(), spec.shape.as_slice()))
    }

    /// Number of values of all weights together.
    pub fn value_count(&self) -> usize {
        self.0.iter().map(|s| s.shape.iter().product::<usize>()).sum()
    }
}
