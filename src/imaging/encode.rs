//! Images to files: lossless 8-bit PNG, always written whole; JPEG only for pages that are looked at.

use super::{Image, atomic::write_atomic, quantize::to_rgb8};
use crate::{Error, Result};
use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder};
use std::path::Path;

/// The bytes of an 8-bit RGB PNG. The fast settings: candidates are written by the thousand.
pub fn png_bytes(image: &Image) -> Result<Vec<u8>> {
    let size = |side: usize| u32::try_from(side).map_err(|_| Error::invalid(format!("{side} px is too large for PNG")));
    let (width, height) = (size(image.width())?, size(image.height())?);
    let mut bytes = Vec::new();
    PngEncoder::new_with_quality(&mut bytes, CompressionType::Fast, FilterType::Adaptive)
        .write_image(&to_rgb8(image), width, height, ExtendedColorType::Rgb8)
        .map_err(|cause| Error::invalid(format!("cannot encode a PNG: {cause}")))?;
    Ok(bytes)
}

/// The bytes of a JPEG of a quality from 1 to 100. Never for anything that is scored.
pub fn jpeg_bytes(image: &Image, quality: u8) -> Result<Vec<u8>> {
    let size =
        |side: usize| u32::try_from(side).map_err(|_| Error::invalid(format!("{side} px is too large for JPEG")));
    let (width, height) = (size(image.width())?, size(image.height())?);
    let mut bytes = Vec::new();
    JpegEncoder::new_with_quality(&mut bytes, quality.clamp(1, 100))
        .write_image(&to_rgb8(image), width, height, ExtendedColorType::Rgb8)
        .map_err(|cause| Error::invalid(format!("cannot encode a JPEG: {cause}")))?;
    Ok(bytes)
}

/// Writes an 8-bit RGB PNG at `path`, all or nothing (see [`write_atomic`]). Values are clamped to [0, 1] and rounded;
/// reading the file gives [`super::quantize::quantized`] of the image, exactly.
pub fn write_png(path: impl AsRef<Path>, image: &Image) -> Result<()> {
    let bytes = png_bytes(image).map_err(|cause| Error::file(&path, cause))?;
    write_atomic(path, &bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imaging::{decode, quantize::quantized};

    #[test]
    fn reading_back_gives_the_quantized_image() {
        let data = (0..3 * 37 * 23).map(|i| (i as f32 * 0.377).sin() * 0.7 + 0.5).collect();
        let image = Image::new(37, 23, data).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.png");
        write_png(&path, &image).unwrap();
        assert_eq!(decode::read(&path).unwrap(), quantized(&image));
        assert!(write_png(directory.path().join("no/a.png"), &image).is_err());
    }
}
