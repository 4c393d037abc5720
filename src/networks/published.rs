//! Weights as they are computed with, where these are not the published ones but follow from them: a batch normalization at
//! rest is part of the convolution before it, a matrix of several is taken apart, two linear layers in a row are one.
//!
//! What follows is computed in f64 and rounded once. Files are read strictly: a tensor that is missing or not known is an error.

use std::collections::HashMap;
use std::sync::Arc;

use crate::Result;
use crate::nn::kernels::Compute;
use crate::nn::layers::{Conv, Kernel, Linear};
use crate::nn::params::{Init, ParamId, Params, Specs};
use crate::weights::Source;

/// Makes a weight's values of published ones.
type Make = Box<dyn Fn(&Source) -> Result<Vec<f32>>>;

/// The weights of a network: those that are published as they are, and those that follow.
#[derive(Default)]
pub struct Published {
    pub specs: Specs,
    derived: Vec<Derived>,
}

struct Derived {
    name: String,
    /// Names and shapes of what it follows from.
    of: Vec<(String, Vec<usize>)>,
    make: Make,
}

impl Published {
    /// A weight that follows from published tensors of these names and shapes.
    pub fn derive(
        &mut self,
        name: String,
        shape: &[usize],
        of: Vec<(String, Vec<usize>)>,
        make: impl Fn(&Source) -> Result<Vec<f32>> + 'static,
    ) -> ParamId {
        self.derived.push(Derived { name: name.clone(), of, make: Box::new(make) });
        self.specs.add(name, shape, Init::Zeros)
    }

    /// A convolution with the batch normalization at rest that follows it, as one convolution with bias. `kernel.bias` says
    /// whether the published one has a bias, `eps` is what is added to the variance.
    pub fn conv_norm(
        &mut self,
        [conv, norm]: [&str; 2],
        (c_in, c_out): (usize, usize),
        kernel: Kernel,
        eps: f64,
    ) -> Conv {
        let shape = [c_out, c_in / kernel.groups, kernel.size[0], kernel.size[1]];
        let weight = (format!("{conv}.weight"), shape.to_vec());
        let bias = kernel.bias.then(|| (format!("{conv}.bias"), vec![c_out]));
        let statistics =
            ["weight", "bias", "running_mean", "running_var"].map(|part| (format!("{norm}.{part}"), vec![c_out]));
        let norm = Norm { parts: statistics.clone().map(|(name, _)| name), channels: c_out, eps };
        let of_bias = bias.iter().cloned().chain(statistics).collect();
        let folded = |part: &str| format!("{conv}+{part}");
        let (name, of_norm) = (weight.0.clone(), norm.clone());
        let weight = self.derive(folded("weight"), &shape, vec![weight], move |source| {
            let gain = of_norm.gain(source)?;
            let mut values: Vec<f64> = source.floats(&name, &shape)?;
            for (filter, gain) in values.chunks_exact_mut(shape[1..].iter().product::<usize>().max(1)).zip(gain) {
                filter.iter_mut().for_each(|value| *value *= gain);
            }
            Ok(rounded(values))
        });
        let bias = self.derive(folded("bias"), &[c_out], of_bias, move |source| {
            let before: Vec<f64> = match &bias {
                Some((name, shape)) => source.floats(name, shape)?,
                None => vec![0.0; c_out],
            };
            let ([_, shift, mean, _], gain) = (norm.values(source)?, norm.gain(source)?);
            let after = |((before, mean), (gain, shift)): ((f64, f64), (f64, f64))| (before - mean) * gain + shift;
            Ok(rounded(before.into_iter().zip(mean).zip(gain.into_iter().zip(shift)).map(after).collect()))
        });
        let Kernel { size, stride, pad, dilation, groups, .. } = kernel;
        Conv { weight, bias: Some(bias), c_in, c_out, kernel: size, stride, pad, dilation, groups }
    }

    /// A layer of `count` rows, from number `from` on, of a published matrix or 1×1 convolution of this shape and its bias.
    pub fn rows(&mut self, names: [&str; 2], shape: &[usize], from: usize, count: usize) -> Linear {
        let c_in = shape.iter().skip(1).product();
        let shapes = [shape.to_vec(), shape.iter().copied().take(1).collect()];
        let mut part = |i: usize, width: usize, wanted: &[usize]| {
            let (name, shape) = (names[i].to_owned(), shapes[i].clone());
            let of = vec![(name.clone(), shape.clone())];
            self.derive(format!("{name}[{from}..{}]", from + count), wanted, of, move |source| {
                let values = source.floats::<f32>(&name, &shape)?;
                Ok(values.into_iter().skip(from * width).take(count * width).collect())
            })
        };
        let (weight, bias) = (part(0, c_in, &[count, c_in]), part(1, 1, &[count]));
        Linear { weight, bias: Some(bias), c_in, c_out: count }
    }

    /// A published 1×1 convolution whose outputs are multiplied with `scale`.
    pub fn scaled(&mut self, conv: &str, (c_in, c_out): (usize, usize), scale: f64) -> Conv {
        let mut part = |part: &str, shape: Vec<usize>| {
            let name = format!("{conv}.{part}");
            let of = vec![(name.clone(), shape.clone())];
            self.derive(format!("{name}·{scale}"), &shape.clone(), of, move |source| {
                let values = source.floats::<f64>(&name, &shape)?;
                Ok(rounded(values.into_iter().map(|value| value * scale).collect()))
            })
        };
        let (weight, bias) = (part("weight", vec![c_out, c_in, 1, 1]), Some(part("bias", vec![c_out])));
        let Kernel { size, stride, pad, dilation, groups, .. } = Kernel::square(1);
        Conv { weight, bias, c_in, c_out, kernel: size, stride, pad, dilation, groups }
    }

    /// Rows `from..from + width` of the published 1×1 convolution `first`, `[rows, c_in]`, and then the whole of `second`,
    /// `[c_out, width]`, as one layer.
    pub fn composed(
        &mut self,
        first: &str,
        [rows, c_in]: [usize; 2],
        from: usize,
        second: &str,
        [c_out, width]: [usize; 2],
    ) -> Linear {
        let shapes = [vec![rows, c_in, 1, 1], vec![rows], vec![c_out, width, 1, 1], vec![c_out]];
        let names = [first, second].map(|layer| ["weight", "bias"].map(|part| format!("{layer}.{part}")));
        let names: [String; 4] = {
            let [[a, b], [c, d]] = names;
            [a, b, c, d]
        };
        let of: Vec<_> = names.iter().cloned().zip(shapes.iter().cloned()).collect();
        let (read, of_weight) = (of.clone(), of.clone());
        let weight = self.derive(format!("{first}·{second}.weight"), &[c_out, c_in], of_weight, move |source| {
            let inner: Vec<f64> = source.floats(&read[0].0, &read[0].1)?;
            let outer: Vec<f64> = source.floats(&read[2].0, &read[2].1)?;
            let mut product = vec![0.0; c_out * c_in];
            for (row, outer) in product.chunks_exact_mut(c_in).zip(outer.chunks_exact(width)) {
                for (inner, factor) in inner[from * c_in..].chunks_exact(c_in).zip(outer) {
                    row.iter_mut().zip(inner).for_each(|(sum, value)| *sum += factor * value);
                }
            }
            Ok(rounded(product))
        });
        let of_bias = of[1..].to_vec();
        let bias = self.derive(format!("{first}·{second}.bias"), &[c_out], of_bias, move |source| {
            let inner: Vec<f64> = source.floats(&of[1].0, &of[1].1)?;
            let outer: Vec<f64> = source.floats(&of[2].0, &of[2].1)?;
            let bias: Vec<f64> = source.floats(&of[3].0, &of[3].1)?;
            let dot = |row: &[f64]| row.iter().zip(&inner[from..]).map(|(a, b)| a * b).sum::<f64>();
            Ok(rounded(outer.chunks_exact(width).zip(bias).map(|(row, bias)| dot(row) + bias).collect()))
        });
        Linear { weight, bias: Some(bias), c_in, c_out }
    }

    /// Reads everything. Errors name the file and the tensors that are missing, of another shape, or neither of this network nor
    /// among `allowed` ([`Source::check`]).
    pub fn open(self, source: &Source, allowed: &[&str], on: &Compute) -> Result<Params> {
        let is_derived = |name: &str| self.derived.iter().any(|derived| derived.name == name);
        let plain = self.specs.iter().filter(|(name, _)| !is_derived(name));
        let of = self.derived.iter().flat_map(|derived| &derived.of);
        let of = of.map(|(name, shape)| (name.as_str(), shape.as_slice()));
        source.check(plain.chain(of), allowed)?;
        let make: HashMap<&str, &Make> =
            self.derived.iter().map(|derived| (derived.name.as_str(), &derived.make)).collect();
        let specs = Arc::new(self.specs.clone());
        Params::from_values(&specs, on, |name, shape| match make.get(name) {
            Some(make) => make(source),
            None => source.floats(name, shape),
        })
    }
}

/// A published batch normalization.
#[derive(Clone)]
struct Norm {
    /// The names of weight, bias, mean and variance.
    parts: [String; 4],
    channels: usize,
    eps: f64,
}

impl Norm {
    fn values(&self, source: &Source) -> Result<[Vec<f64>; 4]> {
        let read = |i: usize| source.floats(&self.parts[i], &[self.channels]);
        Ok([read(0)?, read(1)?, read(2)?, read(3)?])
    }

    /// What a channel is multiplied with.
    fn gain(&self, source: &Source) -> Result<Vec<f64>> {
        let [weight, _, _, variance] = self.values(source)?;
        Ok(weight.into_iter().zip(variance).map(|(weight, variance)| weight / (variance + self.eps).sqrt()).collect())
    }
}

fn rounded(values: Vec<f64>) -> Vec<f32> {
    values.into_iter().map(|value| value as f32).collect()
}

/// The tensors of a published file, however it wraps them: below `params`, and with `module.` before every name.
pub fn unwrapped(source: Source) -> Result<Source> {
    source.below("params.")?.below("module.")
}
