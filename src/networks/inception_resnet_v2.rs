//! The convolutions of Inception-ResNet-v2 (Szegedy et al., "Inception-v4, Inception-ResNet and the Impact of Residual Connections on
//! Learning", AAAI 2017) under timm's names. Batch normalizations are folded into the convolutions, and the scales of the
//! residuals into the layers that make them.

use crate::Result;
use crate::networks::published::Published;
use crate::nn::layers::{Conv, Kernel};
use crate::nn::ops::sampling::Window;
use crate::nn::params::Params;
use crate::nn::tape::{Tape, Var};

/// Added to the variances.
const EPSILON: f64 = 1e-3;
/// The pooling of the stem and of the reductions.
const HALVING: Window = Window { size: 3, stride: 2, pad: 0 };

/// Number within its block, channels in and out, and what it looks at. A convolution that halves an image has no padding.
type Unit = (&'static str, (usize, usize), Kernel);

const fn kernel(rows: usize, columns: usize) -> Kernel {
    Kernel { size: [rows, columns], pad: [rows / 2, columns / 2], bias: false, ..Kernel::square(1) }
}

const fn square(size: usize) -> Kernel {
    kernel(size, size)
}

/// Without padding, with a stride.
const fn valid(size: usize, stride: usize) -> Kernel {
    Kernel { pad: [0; 2], stride, ..square(size) }
}

const STEM: [Unit; 5] = [
    ("conv2d_1a", (3, 32), valid(3, 2)),
    ("conv2d_2a", (32, 32), valid(3, 1)),
    ("conv2d_2b", (32, 64), square(3)),
    ("conv2d_3b", (64, 80), square(1)),
    ("conv2d_4a", (80, 192), valid(3, 1)),
];
const MIXED_5B: [&[Unit]; 4] = [
    &[("branch0", (192, 96), square(1))],
    &[("branch1.0", (192, 48), square(1)), ("branch1.1", (48, 64), square(5))],
    &[("branch2.0", (192, 64), square(1)), ("branch2.1", (64, 96), square(3)), ("branch2.2", (96, 96), square(3))],
    &[("branch3.1", (192, 64), square(1))],
];
const BLOCK35: [&[Unit]; 3] = [
    &[("branch0", (320, 32), square(1))],
    &[("branch1.0", (320, 32), square(1)), ("branch1.1", (32, 32), square(3))],
    &[("branch2.0", (320, 32), square(1)), ("branch2.1", (32, 48), square(3)), ("branch2.2", (48, 64), square(3))],
];
const MIXED_6A: [&[Unit]; 2] = [
    &[("branch0", (320, 384), valid(3, 2))],
    &[
        ("branch1.0", (320, 256), square(1)),
        ("branch1.1", (256, 256), square(3)),
        ("branch1.2", (256, 384), valid(3, 2)),
    ],
];
const BLOCK17: [&[Unit]; 2] = [
    &[("branch0", (1088, 192), square(1))],
    &[
        ("branch1.0", (1088, 128), square(1)),
        ("branch1.1", (128, 160), kernel(1, 7)),
        ("branch1.2", (160, 192), kernel(7, 1)),
    ],
];
const MIXED_7A: [&[Unit]; 3] = [
    &[("branch0.0", (1088, 256), square(1)), ("branch0.1", (256, 384), valid(3, 2))],
    &[("branch1.0", (1088, 256), square(1)), ("branch1.1", (256, 288), valid(3, 2))],
    &[
        ("branch2.0", (1088, 256), square(1)),
        ("branch2.1", (256, 288), square(3)),
        ("branch2.2", (288, 320), valid(3, 2)),
    ],
];
const BLOCK8: [&[Unit]; 2] = [
    &[("branch0", (2080, 192), square(1))],
    &[
        ("branch1.0", (2080, 192), square(1)),
        ("branch1.1", (192, 224), kernel(1, 3)),
        ("branch1.2", (224, 256), kernel(3, 1)),
    ],
];

/// The structure.
#[derive(Clone, Debug)]
pub struct InceptionResnetV2 {
    stem: Vec<Conv>,
    mixed_5b: Branches,
    blocks35: Vec<Residual>,
    mixed_6a: Branches,
    blocks17: Vec<Residual>,
    mixed_7a: Branches,
    blocks8: Vec<Residual>,
    last: Conv,
}

/// Sequences of convolutions side by side.
type Branches = Vec<Vec<Conv>>;

/// What branches add to their input.
#[derive(Clone, Debug)]
struct Residual {
    branches: Branches,
    /// With the scale of the residual in it.
    out: Conv,
    /// Whether a ReLU follows.
    relu: bool,
}

impl InceptionResnetV2 {
    /// Channels of the features.
    pub const CHANNELS: usize = 1536;

    /// Declares the weights; `prefix` comes before every name.
    pub fn new(published: &mut Published, prefix: &str) -> Self {
        let stem = STEM.iter().map(|unit| conv(published, prefix, unit)).collect();
        let mixed_5b = branches(published, &format!("{prefix}mixed_5b."), &MIXED_5B);
        let mut residuals = |name: &str, units: &[&[Unit]], channels, scale, count: usize| -> Vec<Residual> {
            let name = |i: usize| format!("{prefix}{name}.{i}.");
            (0..count).map(|i| Residual::new(published, &name(i), units, channels, scale, true)).collect()
        };
        let blocks35 = residuals("repeat", &BLOCK35, (128, 320), 0.17, 10);
        let blocks17 = residuals("repeat_1", &BLOCK17, (384, 1088), 0.10, 20);
        let mut blocks8 = residuals("repeat_2", &BLOCK8, (448, 2080), 0.20, 9);
        let block8 = format!("{prefix}block8.");
        blocks8.push(Residual::new(published, &block8, &BLOCK8, (448, 2080), 1.0, false));
        let mixed_6a = branches(published, &format!("{prefix}mixed_6a."), &MIXED_6A);
        let mixed_7a = branches(published, &format!("{prefix}mixed_7a."), &MIXED_7A);
        let last = conv(published, prefix, &("conv2d_7b", (2080, Self::CHANNELS), square(1)));
        Self { stem, mixed_5b, blocks35, mixed_6a, blocks17, mixed_7a, blocks8, last }
    }

    /// The features of images of 75 pixels or more, `[batch, height, width, 1536]`.
    pub fn forward(&self, tape: &Tape, params: &Params, x: &Var) -> Result<Var> {
        let pool = |x: &Var| tape.max_pool(x, HALVING, false);
        let mut x = x.clone();
        for (i, conv) in self.stem.iter().enumerate() {
            x = tape.conv2d_relu(params, conv, &x)?;
            if i == 2 || i == 4 {
                x = pool(&x)?;
            }
        }
        let averages = tape.average_pool(&x, Window { size: 3, stride: 1, pad: 1 }, false)?;
        let mut joined = Vec::new();
        for (i, branch) in self.mixed_5b.iter().enumerate() {
            joined.push(sequence(tape, params, branch, if i == 3 { &averages } else { &x })?);
        }
        x = side_by_side(tape, &joined)?;
        x = residual(tape, params, &self.blocks35, x)?;
        x = reduced(tape, params, &self.mixed_6a, &x)?;
        x = residual(tape, params, &self.blocks17, x)?;
        x = reduced(tape, params, &self.mixed_7a, &x)?;
        x = residual(tape, params, &self.blocks8, x)?;
        tape.conv2d_relu(params, &self.last, &x)
    }
}

impl Residual {
    fn new(
        published: &mut Published,
        name: &str,
        units: &[&[Unit]],
        channels: (usize, usize),
        scale: f64,
        relu: bool,
    ) -> Self {
        let branches = branches(published, name, units);
        Self { branches, out: published.scaled(&format!("{name}conv2d"), channels, scale), relu }
    }

    fn forward(&self, tape: &Tape, params: &Params, x: &Var) -> Result<Var> {
        let parts: Vec<Var> =
            self.branches.iter().map(|branch| sequence(tape, params, branch, x)).collect::<Result<_>>()?;
        let parts = side_by_side(tape, &parts)?;
        match self.relu {
            true => tape.conv2d_sum_relu(params, &self.out, &parts, Some(x)),
            false => tape.conv2d(params, &self.out, &parts, Some(x)),
        }
    }
}

fn conv(published: &mut Published, prefix: &str, (name, channels, kernel): &Unit) -> Conv {
    published.conv_norm([&format!("{prefix}{name}.conv"), &format!("{prefix}{name}.bn")], *channels, *kernel, EPSILON)
}

fn branches(published: &mut Published, prefix: &str, units: &[&[Unit]]) -> Branches {
    units.iter().map(|branch| branch.iter().map(|unit| conv(published, prefix, unit)).collect()).collect()
}

fn sequence(tape: &Tape, params: &Params, convs: &[Conv], x: &Var) -> Result<Var> {
    convs.iter().try_fold(x.clone(), |x, conv| tape.conv2d_relu(params, conv, &x))
}

fn side_by_side(tape: &Tape, parts: &[Var]) -> Result<Var> {
    tape.join(&parts.iter().collect::<Vec<_>>(), 3)
}

fn residual(tape: &Tape, params: &Params, blocks: &[Residual], x: Var) -> Result<Var> {
    blocks.iter().try_fold(x, |x, block| block.forward(tape, params, &x))
}

/// The branches' features and the largest of each window, side by side.
fn reduced(tape: &Tape, params: &Params, branches: &Branches, x: &Var) -> Result<Var> {
    let parts = branches.iter().map(|branch| sequence(tape, params, branch, x));
    let parts: Vec<Var> = parts.chain([tape.max_pool(x, HALVING, false)]).collect::<Result<_>>()?;
    side_by_side(tape, &parts)
}
