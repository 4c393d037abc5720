//! How exactly a network that is not trained is computed with, by name.

use candle_core::DType;

use crate::nn::kernels::{Precision, cpu};
use crate::words::words;

words! {
    /// What products with the frozen weights of the network that predicts are of.
    pub enum Products {
        /// As the files have them, in 32 bits.
        F32 = "f32",
        /// Weights and what they are multiplied with rounded to bf16, sums in 32 bits.
        Bf16 = "bf16",
    }
}

impl Products {
    /// What it comes to on this machine: bf16 only where the processor multiplies such.
    pub fn here(self) -> Self {
        if cpu::multiplies_bf16() { self } else { Self::F32 }
    }

    /// In what frozen weights are kept and multiplied.
    pub fn precision(self) -> Precision {
        match self.here() {
            Self::F32 => Precision::default(),
            Self::Bf16 => Precision { frozen: DType::BF16, products: DType::BF16 },
        }
    }
}
