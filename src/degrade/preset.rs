//! Degradation recipes: ranges and probabilities, as Rust values, RON files and named presets.

use crate::imaging::resize::Filter;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// Names that [`Degradation::named`] knows.
pub const PRESETS: [&str; 4] = ["bicubic_x4", "light_x4", "realesrgan_x4", "realesrgan_x4_420"];

/// A recipe: stages in order, then the step to the LR size.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Degradation {
    /// Rounds of degradation, in order; none for a plain resize.
    pub stages: Vec<Stage>,
    /// The step to the LR size.
    pub finish: Finish,
    /// Whether JPEG keeps color at half the resolution (4:2:0).
    #[serde(default)]
    pub halves_chroma: bool,
}

/// One round of blur, resize, noise and compression.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    /// The size a resize factor of 1 means is the HR size divided by this: 1 or the scale.
    pub reduction: usize,
    /// First: the blur.
    pub blur: Blur,
    /// Second: the resize.
    pub resize: ResizeRange,
    /// Third: the noise.
    pub noise: Noise,
    /// Range of JPEG quality, 1 to 100; `None` for no compression.
    pub jpeg: Option<[u8; 2]>,
}

/// How to blur.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Blur {
    /// Probability of blurring at all.
    pub probability: f32,
    /// Range of kernel sides in pixels, both odd; every odd size between is equally likely.
    pub size_px: [usize; 2],
    /// Probability of a sinc filter instead of one of the shapes.
    pub sinc_probability: f32,
    /// Shapes and their relative probabilities.
    pub shapes: Vec<(Shape, f32)>,
    /// Range of standard deviations in pixels.
    pub sigma_px: [f32; 2],
    /// Exponent of generalized Gaussians: below and above 1 equally often.
    pub generalized_beta: [f32; 2],
    /// Exponent of plateau kernels: below and above 1 equally often.
    pub plateau_beta: [f32; 2],
}

/// The family of a blur kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Shape {
    /// Round Gaussian.
    Iso,
    /// Elliptic Gaussian, turned by any angle.
    Aniso,
    /// Round Gaussian with an exponent.
    GeneralizedIso,
    /// Elliptic Gaussian with an exponent.
    GeneralizedAniso,
    /// Round, flat in the middle.
    PlateauIso,
    /// Elliptic, flat in the middle.
    PlateauAniso,
}

/// How to resize within a stage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResizeRange {
    /// Relative probability of enlarging.
    pub up: f32,
    /// Relative probability of shrinking.
    pub down: f32,
    /// Relative probability of keeping the size.
    pub keep: f32,
    /// Smallest (≤ 1) and largest (≥ 1) factor.
    pub factor: [f32; 2],
    /// Equally likely ways to do it.
    pub modes: Vec<ResizeMode>,
}

/// A way to resize.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResizeMode {
    /// The kernel.
    pub filter: Filter,
    /// Whether a shrinking kernel is stretched; PyTorch's `interpolate`, as Real-ESRGAN calls it, does not.
    pub antialias: bool,
}

/// What noise to add: Gaussian or Poisson, in colour or grey.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Noise {
    /// Probability of noise at all.
    pub probability: f32,
    /// Probability that the noise is Gaussian; otherwise it is Poisson.
    pub gaussian_probability: f32,
    /// Range of the Gaussian's standard deviation, in units of 1/255.
    pub sigma_255: [f32; 2],
    /// Range of the factor on Poisson noise.
    pub poisson_scale: [f32; 2],
    /// Probability that all channels get the same noise.
    pub gray_probability: f32,
}

/// How the LR size is reached and the file is made, in one of two orders.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Finish {
    /// Equally likely ways of the last resize.
    pub modes: Vec<ResizeMode>,
    /// Probability of a sinc filter after the last resize.
    pub sinc_probability: f32,
    /// Range of sinc kernel sides in pixels, both odd.
    pub sinc_size_px: [usize; 2],
    /// Range of JPEG quality, 1 to 100; `None` for no compression.
    pub jpeg: Option<[u8; 2]>,
    /// Probability of compressing after the resize and sinc filter; otherwise before.
    pub jpeg_last_probability: f32,
}

impl Degradation {
    /// The preset of this name; the error lists the names there are.
    pub fn named(name: &str) -> Result<Self> {
        match name {
            "bicubic_x4" => Ok(Self::bicubic_x4()),
            "light_x4" => Ok(Self::light_x4()),
            "realesrgan_x4" => Ok(Self::realesrgan_x4()),
            "realesrgan_x4_420" => Ok(Self { halves_chroma: true, ..Self::realesrgan_x4() }),
            _ => Err(Error::invalid(format!(
                "no degradation preset is called '{name}'; there are {}",
                PRESETS.join(", ")
            ))),
        }
    }

    /// MATLAB's bicubic ×¼ and nothing else.
    pub fn bicubic_x4() -> Self {
        Self { stages: Vec::new(), finish: Finish::bicubic(None), halves_chroma: false }
    }

    /// A good camera and a careful encoder: a small blur, little noise, JPEG 60 to 95.
    pub fn light_x4() -> Self {
        let stage = Stage {
            reduction: 4,
            blur: Blur {
                probability: 0.8,
                size_px: [7, 13],
                sinc_probability: 0.0,
                shapes: vec![(Shape::Iso, 0.7), (Shape::Aniso, 0.3)],
                sigma_px: [0.2, 1.5],
                generalized_beta: [1.0, 1.0],
                plateau_beta: [1.0, 1.0],
            },
            resize: ResizeRange {
                up: 0.0,
                down: 0.0,
                keep: 1.0,
                factor: [1.0, 1.0],
                modes: [Filter::Area, Filter::Bilinear, Filter::Bicubic].map(antialiased).to_vec(),
            },
            noise: Noise {
                probability: 0.8,
                gaussian_probability: 0.5,
                sigma_255: [0.5, 3.0],
                poisson_scale: [0.02, 0.3],
                gray_probability: 0.4,
            },
            jpeg: None,
        };
        Self { stages: vec![stage], finish: Finish::bicubic(Some([60, 95])), halves_chroma: false }
    }

    /// The ranges published with Real-ESRGAN for its ×4 model (`train_realesrgan_x4plus.yml`).
    ///
    /// Known differences: JPEG compression keeps full chroma resolution (`realesrgan_x4_420` halves it, as the published code
    /// does) and has whole-numbered qualities, bicubic has
    /// a = −½ instead of PyTorch's −¾, "area" weighs partly covered pixels in proportion. The sharpening of the HR image
    /// that goes with it in training is not part of the degradation.
    pub fn realesrgan_x4() -> Self {
        let blur = |probability: f32, largest_sigma_px: f32| Blur {
            probability,
            size_px: [7, 21],
            sinc_probability: 0.1,
            shapes: vec![
                (Shape::Iso, 0.45),
                (Shape::Aniso, 0.25),
                (Shape::GeneralizedIso, 0.12),
                (Shape::GeneralizedAniso, 0.03),
                (Shape::PlateauIso, 0.12),
                (Shape::PlateauAniso, 0.03),
            ],
            sigma_px: [0.2, largest_sigma_px],
            generalized_beta: [0.5, 4.0],
            plateau_beta: [1.0, 2.0],
        };
        let resize = |[up, down, keep]: [f32; 3], factor: [f32; 2]| ResizeRange {
            up,
            down,
            keep,
            factor,
            modes: [Filter::Area, Filter::Bilinear, Filter::Bicubic].map(aliased).to_vec(),
        };
        let noise = |largest_sigma_255: f32, largest_poisson_scale: f32| Noise {
            probability: 1.0,
            gaussian_probability: 0.5,
            sigma_255: [1.0, largest_sigma_255],
            poisson_scale: [0.05, largest_poisson_scale],
            gray_probability: 0.4,
        };
        let first = Stage {
            reduction: 1,
            blur: blur(1.0, 3.0),
            resize: resize([0.2, 0.7, 0.1], [0.15, 1.5]),
            noise: noise(30.0, 3.0),
            jpeg: Some([30, 95]),
        };
        let second = Stage {
            reduction: 4,
            blur: blur(0.8, 1.5),
            resize: resize([0.3, 0.4, 0.3], [0.3, 1.2]),
            noise: noise(25.0, 2.5),
            jpeg: None,
        };
        let finish = Finish {
            modes: [Filter::Area, Filter::Bilinear, Filter::Bicubic].map(aliased).to_vec(),
            sinc_probability: 0.8,
            sinc_size_px: [7, 21],
            jpeg: Some([30, 95]),
            jpeg_last_probability: 0.5,
        };
        Self { stages: vec![first, second], finish, halves_chroma: false }
    }

    /// Refuses what cannot be drawn from or carried out, naming the field.
    pub fn validate(&self) -> Result<()> {
        self.stages.iter().try_for_each(Stage::validate)?;
        let finish = &self.finish;
        probability("finish.sinc_probability", finish.sinc_probability)?;
        probability("finish.jpeg_last_probability", finish.jpeg_last_probability)?;
        kernel_sizes("finish.sinc_size_px", finish.sinc_size_px)?;
        jpeg("finish.jpeg", finish.jpeg)?;
        require(!finish.modes.is_empty(), "finish.modes", "is empty")
    }
}

impl Stage {
    fn validate(&self) -> Result<()> {
        let Self { reduction, blur, resize, noise, jpeg: quality } = self;
        require([1, 4].contains(reduction), "reduction", "is neither 1 nor 4")?;
        probability("blur.probability", blur.probability)?;
        probability("blur.sinc_probability", blur.sinc_probability)?;
        kernel_sizes("blur.size_px", blur.size_px)?;
        weights("blur.shapes", blur.shapes.iter().map(|s| s.1))?;
        range("blur.sigma_px", blur.sigma_px, [0.01, 100.0])?;
        range("blur.generalized_beta", blur.generalized_beta, [0.1, 100.0])?;
        range("blur.plateau_beta", blur.plateau_beta, [0.1, 100.0])?;
        weights("resize.up, down, keep", [resize.up, resize.down, resize.keep])?;
        range("resize.factor", resize.factor, [0.01, 8.0])?;
        require(resize.factor[0] <= 1.0 && resize.factor[1] >= 1.0, "resize.factor", "does not contain 1")?;
        require(!resize.modes.is_empty(), "resize.modes", "is empty")?;
        probability("noise.probability", noise.probability)?;
        probability("noise.gaussian_probability", noise.gaussian_probability)?;
        probability("noise.gray_probability", noise.gray_probability)?;
        range("noise.sigma_255", noise.sigma_255, [0.0, 255.0])?;
        range("noise.poisson_scale", noise.poisson_scale, [0.0, 100.0])?;
        jpeg("jpeg", *quality)
    }
}

impl Finish {
    fn bicubic(jpeg: Option<[u8; 2]>) -> Self {
        Self {
            modes: vec![antialiased(Filter::Bicubic)],
            sinc_probability: 0.0,
            sinc_size_px: [7, 21],
            jpeg,
            jpeg_last_probability: 1.0,
        }
    }
}

fn antialiased(filter: Filter) -> ResizeMode {
    ResizeMode { filter, antialias: true }
}

fn aliased(filter: Filter) -> ResizeMode {
    ResizeMode { filter, antialias: false }
}

fn require(holds: bool, field: &str, what: &str) -> Result<()> {
    if holds { Ok(()) } else { Err(Error::invalid(format!("degradation: {field} {what}"))) }
}

fn probability(field: &str, value: f32) -> Result<()> {
    require((0.0..=1.0).contains(&value), field, "is not a probability between 0 and 1")
}

fn range(field: &str, [low, high]: [f32; 2], [least, most]: [f32; 2]) -> Result<()> {
    let what = format!("is not a range within {least} to {most}");
    require(least <= low && low <= high && high <= most, field, &what)
}

fn weights(field: &str, weights: impl IntoIterator<Item = f32>) -> Result<()> {
    let mut total = 0.0;
    for weight in weights {
        require(weight >= 0.0 && weight.is_finite(), field, "has a negative or infinite probability")?;
        total += weight;
    }
    require(total > 0.0 && total.is_finite(), field, "has no positive probability")
}

fn kernel_sizes(field: &str, [low, high]: [usize; 2]) -> Result<()> {
    let odd = low % 2 == 1 && high % 2 == 1;
    require(odd && low <= high && high <= super::kernel::MAX_SIZE_PX, field, "is not a range of odd sizes up to 63")
}

fn jpeg(field: &str, quality: Option<[u8; 2]>) -> Result<()> {
    let fits = quality.is_none_or(|[low, high]| 1 <= low && low <= high && high <= 100);
    require(fits, field, "is not a range within 1 to 100")
}
