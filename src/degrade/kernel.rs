//! Blur kernels of Real-ESRGAN: Gaussian, generalized Gaussian, plateau, and the sinc filter that leaves ringing.

use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// The largest side of a kernel, in pixels.
pub const MAX_SIZE_PX: usize = 63;

/// A square blur kernel.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Kernel {
    /// Side in pixels, odd.
    pub size_px: usize,
    /// How the weight falls with the distance.
    pub profile: Profile,
}

/// The form of a kernel; with q = rᵀ Σ⁻¹ r, Σ having the standard deviations `sigma_px` along axes turned by
/// `angle_rad`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Profile {
    /// exp(−½ q^β); β = 1 is the Gaussian.
    Gaussian { sigma_px: [f32; 2], angle_rad: f32, beta: f32 },
    /// 1 / (1 + q^β): flat in the middle.
    Plateau { sigma_px: [f32; 2], angle_rad: f32, beta: f32 },
    /// A circular ideal low-pass of this cut-off frequency: ω J₁(ω r) / (2π r).
    Sinc { cutoff_rad_per_px: f32 },
}

impl Kernel {
    /// The weights, row by row, `size_px` × `size_px`, with sum 1. Fails where size or parameters make no kernel.
    pub fn weights(&self) -> Result<Vec<f32>> {
        let size = self.size_px;
        if size.is_multiple_of(2) || size > MAX_SIZE_PX {
            return Err(Error::invalid(format!(
                "a blur kernel of {size} px: the size is odd and at most {MAX_SIZE_PX}"
            )));
        }
        let middle = (size / 2) as f64;
        let mut values = Vec::with_capacity(size * size);
        for y in 0..size {
            for x in 0..size {
                values.push(self.profile.value(x as f64 - middle, y as f64 - middle));
            }
        }
        let total: f64 = values.iter().sum();
        if !total.is_finite() || total.abs() < 1e-12 {
            return Err(Error::invalid(format!("{:?} makes no blur kernel", self.profile)));
        }
        Ok(values.iter().map(|v| (v / total) as f32).collect())
    }
}

impl Profile {
    /// The value at an offset from the centre in pixels, not normalized.
    fn value(&self, x: f64, y: f64) -> f64 {
        match *self {
            Self::Gaussian { sigma_px, angle_rad, beta } => {
                libm::exp(-0.5 * power(distance(x, y, sigma_px, angle_rad), beta))
            }
            Self::Plateau { sigma_px, angle_rad, beta } => {
                1.0 / (1.0 + power(distance(x, y, sigma_px, angle_rad), beta))
            }
            Self::Sinc { cutoff_rad_per_px } => {
                let cutoff = f64::from(cutoff_rad_per_px);
                let radius = (x * x + y * y).sqrt();
                if radius == 0.0 {
                    cutoff * cutoff / (4.0 * std::f64::consts::PI)
                } else {
                    cutoff * libm::j1(cutoff * radius) / (std::f64::consts::TAU * radius)
                }
            }
        }
    }
}

/// q = rᵀ Σ⁻¹ r.
fn distance(x: f64, y: f64, [along, across]: [f32; 2], angle_rad: f32) -> f64 {
    let (sin, cos) = libm::sincos(f64::from(angle_rad));
    let (u, v) = ((cos * x + sin * y) / f64::from(along), (cos * y - sin * x) / f64::from(across));
    u * u + v * v
}

fn power(q: f64, beta: f32) -> f64 {
    if beta == 1.0 { q } else { libm::pow(q, f64::from(beta)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imaging::fixture::array;

    #[test]
    fn kernels_agree_with_scipy() {
        let (sigma_px, angle_rad) = ([2.5, 0.75], 0.5);
        let kernels = [
            ("kernel_gaussian_9", Profile::Gaussian { sigma_px, angle_rad, beta: 1.0 }),
            ("kernel_generalized_9", Profile::Gaussian { sigma_px, angle_rad, beta: 0.625 }),
            ("kernel_plateau_9", Profile::Plateau { sigma_px, angle_rad, beta: 1.5 }),
            ("kernel_sinc_9", Profile::Sinc { cutoff_rad_per_px: 1.25 }),
        ];
        for (name, profile) in kernels {
            let weights = Kernel { size_px: 9, profile }.weights().unwrap();
            for (found, expected) in weights.iter().zip(array(name).1) {
                assert!((found - expected).abs() < 1e-6, "{name}: {found} instead of {expected}");
            }
        }
    }
}
