//! JPEG compression and back, in memory.

use crate::imaging::quantize::to_rgb8;
use crate::imaging::{Image, decode::decode_bytes};
use crate::{Error, Result};
use image::ExtendedColorType;
use image::codecs::jpeg::JpegEncoder;

/// What the image looks like after being stored as a JPEG of this quality (1 to 100), chroma at full resolution.
pub fn round_trip(image: &Image, quality: u8) -> Result<Image> {
    let failed = |cause: &dyn std::fmt::Display| Error::invalid(format!("cannot compress to JPEG: {cause}"));
    let side = |side: usize| u16::try_from(side).map_err(|_| failed(&format!("{side} px is too large")));
    let (width, height) = (side(image.width())?, side(image.height())?);
    let mut bytes = Vec::new();
    JpegEncoder::new_with_quality(&mut bytes, quality)
        .encode(&to_rgb8(image), width.into(), height.into(), ExtendedColorType::Rgb8)
        .map_err(|cause| failed(&cause))?;
    decode_bytes(&bytes)
}
