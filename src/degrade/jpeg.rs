//! JPEG compression and back, in memory.

use image::ExtendedColorType;
use image::codecs::jpeg::JpegEncoder;
use jpeg_encoder::{ColorType, Encoder, SamplingFactor};

use crate::imaging::quantize::to_rgb8;
use crate::imaging::{Image, decode::decode_bytes};
use crate::{Error, Result};

/// What the image looks like after being stored as a JPEG of this quality (1 to 100), chroma at full resolution or, as most
/// programs write it, at half (4:2:0).
pub fn round_trip(image: &Image, quality: u8, halves_chroma: bool) -> Result<Image> {
    let failed = |cause: &dyn std::fmt::Display| Error::invalid(format!("cannot compress to JPEG: {cause}"));
    let side = |side: usize| u16::try_from(side).map_err(|_| failed(&format!("{side} px is too large")));
    let (width, height) = (side(image.width())?, side(image.height())?);
    let (pixels, mut bytes) = (to_rgb8(image), Vec::new());
    if halves_chroma {
        let mut encoder = Encoder::new(&mut bytes, quality);
        encoder.set_sampling_factor(SamplingFactor::R_4_2_0);
        encoder.encode(&pixels, width, height, ColorType::Rgb).map_err(|cause| failed(&cause))?;
    } else {
        JpegEncoder::new_with_quality(&mut bytes, quality)
            .encode(&pixels, width.into(), height.into(), ExtendedColorType::Rgb8)
            .map_err(|cause| failed(&cause))?;
    }
    decode_bytes(&bytes)
}
