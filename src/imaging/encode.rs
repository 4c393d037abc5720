//! Images to files: lossless 8-bit PNG, always written whole and never in memory whole; JPEG only for pages that are looked
//! at.

use super::Image;
use super::quantize::{Rgb8, to_rgb8};
use super::rows::{Rows, bands};
use crate::fs::atomic::write_atomic_with;
use crate::{Error, Result};
use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, ImageEncoder};
use std::fs::File;
use std::io::{self, BufReader, Write};
use std::path::Path;

/// Most bytes of a PNG chunk of pixels.
const CHUNK: usize = 1 << 20;

/// The bytes of an 8-bit RGB PNG.
pub fn png_bytes(picture: &(impl Rows + ?Sized)) -> Result<Vec<u8>> {
    png(picture, |_| ())
}

/// [`png_bytes`], and the pixels that reading them gives. The rows are asked for once.
pub fn png_and_pixels(picture: &(impl Rows + ?Sized)) -> Result<(Vec<u8>, Rgb8)> {
    let mut bytes = Vec::with_capacity(3 * picture.width() * picture.height());
    let png = png(picture, |rows| bytes.extend_from_slice(rows))?;
    Ok((png, Rgb8 { width: picture.width(), height: picture.height(), bytes }))
}

fn png(picture: &(impl Rows + ?Sized), seen: impl FnMut(&[u8])) -> Result<Vec<u8>> {
    let (mut bytes, mut fault) = (Vec::new(), None);
    match write_rows(&mut bytes, picture, None, &mut fault, seen) {
        Ok(()) => Ok(bytes),
        Err(cause) => Err(fault.unwrap_or_else(|| Error::invalid(format!("cannot encode a PNG: {cause}")))),
    }
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

/// Writes an 8-bit RGB PNG at `path`, all or nothing (see [`write_atomic_with`]). Values are clamped to [0, 1] and rounded;
/// reading the file gives [`super::quantize::quantized`] of the image, exactly.
pub fn write_png(path: impl AsRef<Path>, picture: &(impl Rows + ?Sized)) -> Result<()> {
    write(path.as_ref(), picture, None)
}

/// [`write_png`] with a text beside the pixels, that [`png_text`] finds under its keyword.
pub fn write_png_with_text(
    path: impl AsRef<Path>,
    picture: &(impl Rows + ?Sized),
    keyword: &str,
    text: &str,
) -> Result<()> {
    write(path.as_ref(), picture, Some((keyword, text)))
}

fn write(path: &Path, picture: &(impl Rows + ?Sized), text: Option<(&str, &str)>) -> Result<()> {
    let mut fault = None;
    let written = write_atomic_with(path, |file| write_rows(file, picture, text, &mut fault, |_| ()));
    // What the picture has to say comes before what the writer made of it.
    fault.map_or(written, Err)
}

/// The text under a keyword of a PNG file; `None` where there is none, or no PNG.
pub fn png_text(path: impl AsRef<Path>, keyword: &str) -> Option<String> {
    let reader = png::Decoder::new(BufReader::new(File::open(path).ok()?)).read_info().ok()?;
    let texts = &reader.info().uncompressed_latin1_text;
    texts.iter().find(|chunk| chunk.keyword == keyword).map(|chunk| chunk.text.clone())
}

/// Encodes band by band, with the fast settings: candidates are written by the thousand. An error of the picture itself is
/// put into `fault`; the pixels of each band are `seen`.
fn write_rows(
    to: impl Write,
    picture: &(impl Rows + ?Sized),
    text: Option<(&str, &str)>,
    fault: &mut Option<Error>,
    mut seen: impl FnMut(&[u8]),
) -> io::Result<()> {
    let size = |side: usize| u32::try_from(side).map_err(|_| io::Error::other(format!("{side} px is too large")));
    let to = Lasting { to, failed: None };
    let mut encoder = png::Encoder::new(to, size(picture.width())?, size(picture.height())?);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::Fast);
    encoder.set_filter(png::Filter::Adaptive);
    if let Some((keyword, text)) = text {
        encoder.add_text_chunk(keyword.into(), text.into())?;
    }
    let mut writer = encoder.write_header()?;
    let raw = (3 * picture.width() + 1).saturating_mul(picture.height());
    let mut stream = writer.stream_writer_with_size(raw.clamp(1 << 10, CHUNK))?;
    for rows in bands(0..picture.height()) {
        let band = picture.rows(rows).map_err(|error| {
            let cause = io::Error::other(error.to_string());
            *fault = Some(error);
            cause
        })?;
        let pixels = to_rgb8(&band);
        seen(&pixels);
        stream.write_all(&pixels)?;
    }
    stream.finish()?;
    writer.finish()?;
    Ok(())
}

/// A writer that goes on failing once it failed: the encoder drops an error of the last chunk of pixels.
struct Lasting<W> {
    to: W,
    failed: Option<io::ErrorKind>,
}

impl<W> Lasting<W> {
    fn run<T>(&mut self, action: impl FnOnce(&mut W) -> io::Result<T>) -> io::Result<T> {
        if let Some(kind) = self.failed {
            return Err(kind.into());
        }
        let result = action(&mut self.to);
        self.failed = result.as_ref().err().map(io::Error::kind).filter(|kind| *kind != io::ErrorKind::Interrupted);
        result
    }
}

impl<W: Write> Write for Lasting<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.run(|to| to.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.run(Write::flush)
    }
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
        let (png, pixels) = png_and_pixels(&image).unwrap();
        assert_eq!(png, std::fs::read(&path).unwrap());
        assert_eq!(pixels.image().unwrap(), quantized(&image));
        assert_eq!(png_text(&path, "made"), None);
        assert!(write_png(directory.path().join("no/a.png"), &image).is_err());
        write_png_with_text(&path, &image, "made", "by a test").unwrap();
        assert_eq!(decode::read(&path).unwrap(), quantized(&image));
        assert_eq!(png_text(&path, "made").as_deref(), Some("by a test"));
        assert_eq!(png_text(directory.path(), "made"), None);
    }

    #[test]
    fn a_full_disk_is_an_error_wherever_it_is_met() {
        struct Full(usize);
        impl Write for Full {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                // Once: a smaller write may succeed again.
                self.0 = self.0.checked_sub(1).unwrap_or(usize::MAX);
                if self.0 == usize::MAX { Err(io::ErrorKind::StorageFull.into()) } else { Ok(bytes.len()) }
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let image = Image::new(5, 4, vec![0.5; 60]).unwrap();
        let result = |writes: usize| write_rows(Full(writes), &image, None, &mut None, |_| ());
        let enough = (0..1000).find(|&writes| result(writes).is_ok()).unwrap();
        assert!(enough > 8, "{enough} writes: header, pixels and end are at least three chunks");
        assert!((enough..enough + 3).all(|writes| result(writes).is_ok()));
    }

    #[test]
    fn a_picture_that_fails_leaves_no_file_and_says_why() {
        struct Broken;
        impl Rows for Broken {
            fn width(&self) -> usize {
                8
            }

            fn height(&self) -> usize {
                200
            }

            fn rows(&self, rows: std::ops::Range<usize>) -> Result<Image> {
                if rows.start > 0 {
                    Err(Error::Cancelled)
                } else {
                    Image::new(8, rows.len(), vec![0.0; 24 * rows.len()])
                }
            }
        }
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.png");
        assert!(matches!(write_png(&path, &Broken), Err(Error::Cancelled)));
        assert!(matches!(png_bytes(&Broken), Err(Error::Cancelled)));
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}
