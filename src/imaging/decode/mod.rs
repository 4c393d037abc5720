//! Files to images: PNG, JPEG, WebP, TIFF, BMP, whatever a camera or another tool wrote.
//!
//! * The format is told by the content, never by the extension.
//! * 8 and 16 bit, grey, palette, CMYK and 32-bit float all become RGB in [0, 1]. Float values beyond are scaled from the
//!   range that the file declares, or refused.
//! * Colours become sRGB: ICC profiles, and the `gAMA`, `cHRM` and `cICP` chunks of PNG, are applied. Where that changes
//!   less than a step of 8 bits, nothing is touched.
//! * Transparency is composited on white, in the encoded values, as a browser shows it.
//! * EXIF (and TIFF) orientation is applied. Of an animation, the first frame counts.
//!
//! What was done to a picture beyond reading it is told by [`Note`]s. Everything a file can do wrong ends as one error
//! that names it and the cause: the size is judged from the header before memory is taken, and a decoder that panics on
//! hostile bytes is caught.

mod jpeg;
mod jpeg_marker;
mod layout;
mod planes;
mod png;
mod profile;
mod tiff;
mod webp;
mod whole;

use std::fmt;
use std::fs::File;
use std::io::{BufRead, BufReader, Cursor, Seek};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use image::ImageFormat;
use image::metadata::Orientation;

use self::layout::Layout;
use self::planes::Planes;
use self::profile::Space;
use super::{Image, SCALE};
use crate::{Error, Result, input, memory};

/// The largest image that is read, in megapixels (10⁶ pixels): 1.2 GB as an [`Image`].
pub const MAX_MEGAPIXELS: u64 = 100;

/// The largest file that is read, in bytes.
pub const MAX_FILE_BYTES: u64 = 2 << 30;

/// The largest profile or other data beside the pixels that is read, in bytes.
const MAX_METADATA_BYTES: usize = 64 << 20;

/// Images that take less memory are read without asking how much there is.
const SMALL_BYTES: u64 = 64 << 20;

/// File name extensions taken from folders, in lower case; files named one by one are tried whatever they are called.
pub const EXTENSIONS: [&str; 9] = ["png", "jpg", "jpeg", "jpe", "jfif", "webp", "tif", "tiff", "bmp"];

/// The file formats that are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Portable Network Graphics, 1 to 16 bits.
    Png,
    /// Baseline and progressive JPEG.
    Jpeg,
    /// Lossy and lossless WebP.
    WebP,
    /// TIFF and BigTIFF: grey, RGB and CMYK, not palette.
    Tiff,
    /// Windows bitmap.
    Bmp,
}

impl Format {
    fn from_content(start: &[u8]) -> Result<Self, String> {
        if start.starts_with(b"II\x2B\0") || start.starts_with(b"MM\0\x2B") {
            return Ok(Self::Tiff);
        }
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

/// What reading did to a picture, for the person whose picture it is.
#[derive(Clone, Debug, PartialEq)]
pub enum Note {
    /// The colours were converted to sRGB; from what, such as `its colour profile "Display P3"`.
    Converted(String),
    /// There is a colour profile, but it cannot be used.
    ProfileUnreadable,
    /// CMYK without a profile to convert it by.
    PlainCmyk,
    /// Some pixels were transparent: white shows through them now, and the transparency is gone.
    Flattened,
    /// Float values were scaled from this declared range to [0, 1].
    Scaled {
        /// What became 0.
        low: f32,
        /// What became 1.
        high: f32,
    },
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Converted(from) => write!(f, "converted to sRGB from {from}"),
            Self::ProfileUnreadable => f.write_str("its colour profile cannot be read; taken as sRGB"),
            Self::PlainCmyk => f.write_str("CMYK without a usable colour profile; converted by the plain formula"),
            Self::Flattened => f.write_str("its transparency was laid on white"),
            Self::Scaled { low, high } => {
                write!(f, "its values were scaled from their declared range, {low} to {high}")
            }
        }
    }
}

/// An image and what reading did to it.
#[derive(Clone, Debug, PartialEq)]
pub struct Decoded {
    /// The pixels.
    pub image: Image,
    /// What to tell the person whose picture it is; mostly nothing.
    pub notes: Vec<Note>,
}

/// Reads an image file. For pictures of a person, where what was done to them is to be said, see [`read_noted`].
pub fn read(path: impl AsRef<Path>) -> Result<Image> {
    read_noted(path).map(|decoded| decoded.image)
}

/// Reads an image file, and says what that did to the picture.
pub fn read_noted(path: impl AsRef<Path>) -> Result<Decoded> {
    let path = path.as_ref();
    guard(|| decode(open(path)?)).map_err(|cause| Error::file(path, cause))
}

/// Reads the header of an image file: fast, and no proof that the rest is whole.
pub fn probe(path: impl AsRef<Path>) -> Result<ImageInfo> {
    let path = path.as_ref();
    let info = guard(|| {
        let (format, source) = source(open(path)?)?;
        let header = source.header();
        let (width, height) = header.turned_size();
        let (bits, has_color, has_alpha) = (header.bits, header.layout.is_color(), header.layout.has_alpha());
        Ok(ImageInfo { width, height, format, bits, has_color, has_alpha })
    });
    info.map_err(|cause| Error::file(path, cause))
}

/// Decodes the bytes of an image file; the error says the cause without a name.
pub fn decode_bytes(bytes: &[u8]) -> Result<Image> {
    guard(|| decode(Cursor::new(bytes))).map(|decoded| decoded.image).map_err(Error::Invalid)
}

/// Whether an image of this size can be read. Errors: it is over the limit.
pub fn check_size(width: usize, height: usize) -> Result<()> {
    let megapixels = width as f64 * height as f64 / 1e6;
    if megapixels <= MAX_MEGAPIXELS as f64 {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "{width}×{height} px is {megapixels:.1} megapixels, over the limit of {MAX_MEGAPIXELS} megapixels"
    )))
}

/// Whether the SR images of an LR image of this size can be read again, to be scored and shown.
pub fn check_x4(width: usize, height: usize) -> Result<()> {
    let (width, height) = (width.saturating_mul(SCALE), height.saturating_mul(SCALE));
    check_size(width, height).map_err(|cause| Error::invalid(format!("its SR images could not be read: {cause}")))
}

/// What a decoder reads from.
trait Stream: BufRead + Seek {}

impl<T: BufRead + Seek> Stream for T {}

/// A file whose header is read. Nothing that grows with the picture is allocated before [`Source::paint`].
trait Source {
    fn header(&self) -> &Header;
    /// Puts all pixels into the planes.
    fn paint(self: Box<Self>, planes: &mut Planes) -> Result<(), String>;
}

/// What the start of a file tells about its pixels.
#[derive(Clone)]
struct Header {
    /// Width and height in pixels as stored.
    size: [usize; 2],
    bits: u32,
    layout: Layout,
    orientation: Orientation,
    space: Space,
    /// Bytes that decoding takes beside the image.
    beside_bytes: u64,
}

impl Header {
    /// Width and height once the orientation is applied.
    fn turned_size(&self) -> (usize, usize) {
        let [width, height] = self.size;
        use Orientation::{Rotate90, Rotate90FlipH, Rotate270, Rotate270FlipH};
        match self.orientation {
            Rotate90 | Rotate270 | Rotate90FlipH | Rotate270FlipH => (height, width),
            _ => (width, height),
        }
    }

    fn pixels(&self) -> u64 {
        self.size.iter().map(|&side| side as u64).product()
    }
}

/// Opens a regular file of acceptable size.
fn open(path: &Path) -> Result<BufReader<File>, String> {
    let (file, bytes) = input::opened(path)?;
    if bytes > MAX_FILE_BYTES {
        return Err(input::too_large(bytes, MAX_FILE_BYTES));
    }
    Ok(BufReader::with_capacity(1 << 16, file))
}

fn source<'a>(mut stream: impl Stream + 'a) -> Result<(Format, Box<dyn Source + 'a>), String> {
    let format = Format::from_content(stream.fill_buf().map_err(|error| input::io_cause(&error))?)?;
    let source: Box<dyn Source + 'a> = match format {
        Format::Png => Box::new(png::Png::open(stream)?),
        Format::Jpeg => Box::new(jpeg::Jpeg::open(stream)?),
        Format::WebP => Box::new(webp::open(stream)?),
        Format::Tiff => Box::new(tiff::Tiff::open(stream)?),
        Format::Bmp => Box::new(whole::open_bmp(stream)?),
    };
    Ok((format, source))
}

fn decode(stream: impl Stream) -> Result<Decoded, String> {
    let (_, source) = source(stream)?;
    let header = source.header().clone();
    check_memory(&header)?;
    let mut planes = Planes::new(&header);
    source.paint(&mut planes)?;
    planes.finish()
}

/// The size that a header gives, refused where it is none or beyond the limit: to be asked before anything of that size is
/// allocated.
fn header_size(format: Format, width: u32, height: u32) -> Result<[usize; 2], String> {
    if width == 0 || height == 0 {
        return Err(format!("the {format} has no pixels: {width}×{height}"));
    }
    check_size(width as usize, height as usize).map_err(|cause| cause.to_string())?;
    Ok([width as usize, height as usize])
}

/// Refuses an image that memory has no room for.
fn check_memory(header: &Header) -> Result<(), String> {
    let need = header.pixels() * Planes::BYTES_PER_PIXEL + header.beside_bytes;
    if need < SMALL_BYTES {
        return Ok(());
    }
    match memory::available_bytes() {
        Some(free) if free < need => {
            let [width, height] = header.size;
            Err(format!("{width}×{height} px take {} MB of memory, {} MB are free", need >> 20, free >> 20))
        }
        _ => Ok(()),
    }
}

/// Runs a decoder; a panic inside one becomes a cause.
fn guard<T>(decode: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(decode)).unwrap_or_else(|_| Err("damaged: the decoder gave up on it".into()))
}

fn truncated(format: Format) -> String {
    format!("the {format} is truncated")
}

/// A decoder's message in one line; some have more.
fn damaged(format: Format, cause: impl fmt::Display) -> String {
    one_line(format!("the {format} is damaged or truncated: {cause}"))
}

fn unsupported(format: Format, cause: impl fmt::Display) -> String {
    one_line(format!("this kind of {format} is not supported: {cause}"))
}

fn over_metadata_limit(format: Format) -> String {
    format!("the {format} holds more than {} MB beside its pixels", MAX_METADATA_BYTES >> 20)
}

/// What is wrong with reading itself.
fn io_cause(format: Format, error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::UnexpectedEof => truncated(format),
        _ => one_line(format!("the {format} cannot be read: {error}")),
    }
}

fn one_line(text: String) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests;
