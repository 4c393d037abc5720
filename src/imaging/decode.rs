//! Files to images: PNG, JPEG, WebP, TIFF, BMP, whatever a camera or another tool wrote.
//!
//! * The format is told by the content, never by the extension.
//! * 8 and 16 bit, grey, palette and 32-bit float all become RGB in [0, 1]; float values beyond are clamped.
//! * Transparency is composited on white, in the encoded values, as a browser shows it.
//! * EXIF (and TIFF) orientation is applied; colour profiles are not: values are taken as sRGB.
//! * Of an animation, the first frame counts.
//!
//! Everything a file can do wrong ends as one error that names it and the cause: the size is judged from the header
//! before memory is taken, and a decoder that panics on hostile bytes is caught.

use super::{Image, jpeg_marker, quantize::from_u8};
use crate::{Error, Result};
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits};
use rayon::prelude::*;
use std::fmt;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Cursor, Seek};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// The largest image that is read, in megapixels (10⁶ pixels): 1.2 GB as an [`Image`].
pub const MAX_MEGAPIXELS: u64 = 100;

/// The largest file that is read, in bytes.
pub const MAX_FILE_BYTES: u64 = 2 << 30;

/// The file formats that are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Portable Network Graphics, 1 to 16 bits.
    Png,
    /// Baseline and progressive JPEG.
    Jpeg,
    /// Lossy and lossless WebP.
    WebP,
    /// TIFF: grey, RGB and CMYK, not palette.
    Tiff,
    /// Windows bitmap.
    Bmp,
}

impl Format {
    fn from_content(start: &[u8]) -> Result<Self, String> {
        match image::guess_format(start) {
            Ok(ImageFormat::Png) => Ok(Self::Png),
            Ok(ImageFormat::Jpeg) => Ok(Self::Jpeg),
            Ok(ImageFormat::WebP) => Ok(Self::WebP),
            Ok(ImageFormat::Tiff) => Ok(Self::Tiff),
            Ok(ImageFormat::Bmp) => Ok(Self::Bmp),
            Ok(other) => Err(format!("{other:?} images are not supported, only PNG, JPEG, WebP, TIFF and BMP")),
            Err(_) if start.is_empty() => Err("the file is empty".into()),
            Err(_) => Err("not an image: the content is none of PNG, JPEG, WebP, TIFF and BMP".into()),
        }
    }

    fn codec(self) -> ImageFormat {
        match self {
            Self::Png => ImageFormat::Png,
            Self::Jpeg => ImageFormat::Jpeg,
            Self::WebP => ImageFormat::WebP,
            Self::Tiff => ImageFormat::Tiff,
            Self::Bmp => ImageFormat::Bmp,
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Png => "PNG",
            Self::Jpeg => "JPEG",
            Self::WebP => "WebP",
            Self::Tiff => "TIFF",
            Self::Bmp => "BMP",
        })
    }
}

/// What the header of an image file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageInfo {
    /// Width in pixels, with the orientation applied: the width [`read`] gives.
    pub width: usize,
    /// Height in pixels, with the orientation applied.
    pub height: usize,
    /// The format of the content.
    pub format: Format,
    /// Bits per component as decoded: 8, 16 or 32 (float).
    pub bits: u32,
    /// Whether the file holds colour, not grey only.
    pub has_color: bool,
    /// Whether the file holds transparency.
    pub has_alpha: bool,
}

/// Reads an image file.
pub fn read(path: impl AsRef<Path>) -> Result<Image> {
    let path = path.as_ref();
    read_bytes(path).and_then(|bytes| decode(&bytes)).map_err(|cause| Error::file(path, cause))
}

/// Reads the header of an image file: fast, and no proof that the rest is whole.
pub fn probe(path: impl AsRef<Path>) -> Result<ImageInfo> {
    let path = path.as_ref();
    let info = guard(|| {
        let mut reader = open(path)?;
        let format = Format::from_content(reader.fill_buf().map_err(io_cause)?)?;
        let mut decoder = decoder(reader, format)?;
        let (width, height) = decoder.dimensions();
        let color = decoder.color_type();
        let turned = is_turned(decoder.orientation().unwrap_or(Orientation::NoTransforms));
        let (width, height) = if turned { (height, width) } else { (width, height) };
        Ok(ImageInfo {
            width: width as usize,
            height: height as usize,
            format,
            bits: u32::from(color.bits_per_pixel()) / u32::from(color.channel_count()),
            has_color: color.has_color(),
            has_alpha: color.has_alpha(),
        })
    });
    info.map_err(|cause| Error::file(path, cause))
}

/// Decodes the bytes of an image file; the error says the cause without a name.
pub fn decode_bytes(bytes: &[u8]) -> Result<Image> {
    decode(bytes).map_err(Error::Invalid)
}

/// Opens a regular file of acceptable size.
fn open(path: &Path) -> Result<BufReader<File>, String> {
    let metadata = fs::metadata(path).map_err(io_cause)?;
    if !metadata.is_file() {
        return Err("is a directory or a device, not a file".into());
    }
    if metadata.len() > MAX_FILE_BYTES {
        return Err(format!("{} MB is over the limit of {} MB", metadata.len() >> 20, MAX_FILE_BYTES >> 20));
    }
    File::open(path).map(BufReader::new).map_err(io_cause)
}

/// The whole file, once its start looks like an image: a large file of something else costs nothing.
fn read_bytes(path: &Path) -> Result<Vec<u8>, String> {
    let mut reader = open(path)?;
    Format::from_content(reader.fill_buf().map_err(io_cause)?)?;
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut reader, &mut bytes).map_err(io_cause)?;
    Ok(bytes)
}

fn decode(bytes: &[u8]) -> Result<Image, String> {
    guard(|| {
        let format = Format::from_content(bytes)?;
        let mut decoder = decoder(Cursor::new(bytes), format)?;
        if format == Format::Jpeg && !jpeg_marker::is_complete(bytes) {
            return Err("the JPEG is truncated: its end is missing".into());
        }
        // A damaged orientation is no reason to refuse the pixels.
        let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
        let mut pixels = DynamicImage::from_decoder(decoder).map_err(|e| image_cause(format, e))?;
        pixels.apply_orientation(orientation);
        planar(pixels)
    })
}

/// The decoder of the format, with a header read and an acceptable size.
fn decoder<'a>(reader: impl BufRead + Seek + 'a, format: Format) -> Result<impl ImageDecoder + 'a, String> {
    let mut limits = Limits::no_limits();
    // The largest pixel is RGBA of 32-bit floats.
    limits.max_alloc = Some(MAX_MEGAPIXELS * 1_000_000 * 16);
    let mut reader = ImageReader::with_format(reader, format.codec());
    reader.limits(limits);
    let decoder = reader.into_decoder().map_err(|e| image_cause(format, e))?;
    let (width, height) = decoder.dimensions();
    if width == 0 || height == 0 {
        return Err(format!("the {format} has no pixels: {width}×{height}"));
    }
    let pixels = u64::from(width) * u64::from(height);
    if pixels > MAX_MEGAPIXELS * 1_000_000 {
        let megapixels = pixels as f64 / 1e6;
        return Err(format!(
            "{width}×{height} px is {megapixels:.1} megapixels, over the limit of {MAX_MEGAPIXELS} megapixels"
        ));
    }
    Ok(decoder)
}

/// Runs a decoder; a panic inside one becomes a cause.
fn guard<T>(decode: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(decode)).unwrap_or_else(|_| Err("damaged: the decoder gave up on it".into()))
}

fn io_cause(error: std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "no such file".into(),
        std::io::ErrorKind::UnexpectedEof => "the file is truncated".into(),
        _ => format!("cannot be read: {error}"),
    }
}

/// What is wrong with an image, in one line; some decoders' messages have more.
fn image_cause(format: Format, error: ImageError) -> String {
    let cause = match error {
        ImageError::IoError(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            format!("the {format} is truncated")
        }
        ImageError::IoError(error) => format!("the {format} cannot be read: {error}"),
        ImageError::Limits(_) => format!("the {format} is over the limit of {MAX_MEGAPIXELS} megapixels"),
        ImageError::Unsupported(error) => format!("this kind of {format} is not supported: {error}"),
        error => format!("the {format} is damaged or truncated: {error}"),
    };
    cause.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Whether an orientation swaps width and height.
fn is_turned(orientation: Orientation) -> bool {
    matches!(
        orientation,
        Orientation::Rotate90 | Orientation::Rotate270 | Orientation::Rotate90FlipH | Orientation::Rotate270FlipH
    )
}

/// Any pixel type as planar RGB in [0, 1].
fn planar(pixels: DynamicImage) -> Result<Image, String> {
    let (width, height) = (pixels.width() as usize, pixels.height() as usize);
    let byte = from_u8;
    let word = |v: u16| v as f32 / 65535.0;
    // `clamp` would keep NaN; `max` takes it to 0.
    #[allow(clippy::manual_clamp)]
    let float = |v: f32| v.max(0.0).min(1.0);
    let data = match &pixels {
        DynamicImage::ImageLuma8(p) => planes::<_, 1>(p, width, byte),
        DynamicImage::ImageLumaA8(p) => planes::<_, 2>(p, width, byte),
        DynamicImage::ImageRgb8(p) => planes::<_, 3>(p, width, byte),
        DynamicImage::ImageRgba8(p) => planes::<_, 4>(p, width, byte),
        DynamicImage::ImageLuma16(p) => planes::<_, 1>(p, width, word),
        DynamicImage::ImageLumaA16(p) => planes::<_, 2>(p, width, word),
        DynamicImage::ImageRgb16(p) => planes::<_, 3>(p, width, word),
        DynamicImage::ImageRgba16(p) => planes::<_, 4>(p, width, word),
        DynamicImage::ImageRgb32F(p) => planes::<_, 3>(p, width, float),
        DynamicImage::ImageRgba32F(p) => planes::<_, 4>(p, width, float),
        other => return Err(format!("pixels of type {:?} are not supported", other.color())),
    };
    Image::new(width, height, data).map_err(|e| e.to_string())
}

/// Interleaved components to three planes: grey repeated, alpha composited on white.
fn planes<T: Copy + Sync, const CHANNELS: usize>(
    pixels: &[T],
    width: usize,
    unit: impl Fn(T) -> f32 + Sync,
) -> Vec<f32> {
    let count = pixels.len() / CHANNELS;
    let mut data = vec![0.0; 3 * count];
    for (channel, plane) in data.chunks_exact_mut(count.max(1)).enumerate() {
        let source = if CHANNELS < 3 { 0 } else { channel };
        plane.par_chunks_mut(width).zip(pixels.par_chunks(width * CHANNELS)).for_each(|(values, pixels)| {
            for (value, pixel) in values.iter_mut().zip(pixels.chunks_exact(CHANNELS)) {
                let color = unit(pixel[source]);
                *value = if CHANNELS.is_multiple_of(2) {
                    let alpha = unit(pixel[CHANNELS - 1]);
                    color * alpha + (1.0 - alpha)
                } else {
                    color
                };
            }
        });
    }
    data
}

#[cfg(test)]
#[path = "decode_tests.rs"]
mod tests;
