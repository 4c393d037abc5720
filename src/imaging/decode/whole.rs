//! Formats whose decoder gives all pixels at once, in 8 bits: WebP and Windows bitmaps.

use image::codecs::bmp::BmpDecoder;
use image::metadata::Orientation;
use image::{ColorType, ImageDecoder, ImageError};

use super::layout::{Alpha, Color, Layout};
use super::planes::Planes;
use super::profile::Space;
use super::{Format, Header, Source, Stream};

pub(super) struct Whole<D> {
    decoder: D,
    format: Format,
    header: Header,
}

impl<D: ImageDecoder> Whole<D> {
    /// `beside` are the bytes a pixel that the decoder takes beside its output.
    pub fn new(
        decoder: D,
        format: Format,
        space: Space,
        orientation: Orientation,
        beside: u64,
    ) -> Result<Self, String> {
        let (width, height) = decoder.dimensions();
        let size = super::header_size(format, width, height)?;
        let (color, alpha) = match decoder.color_type() {
            ColorType::L8 => (Color::Gray, Alpha::None),
            ColorType::La8 => (Color::Gray, Alpha::Straight),
            ColorType::Rgb8 => (Color::Rgb, Alpha::None),
            ColorType::Rgba8 => (Color::Rgb, Alpha::Straight),
            other => return Err(super::unsupported(format, format_args!("pixels of type {other:?}"))),
        };
        let beside_bytes = decoder.total_bytes() + beside * (size[0] * size[1]) as u64;
        let layout = Layout { color, alpha };
        let header = Header { size, bits: 8, layout, orientation, space, beside_bytes };
        Ok(Self { decoder, format, header })
    }
}

impl<D: ImageDecoder> Source for Whole<D> {
    fn header(&self) -> &Header {
        &self.header
    }

    fn paint(self: Box<Self>, planes: &mut Planes) -> Result<(), String> {
        let mut pixels = vec![0; usize::try_from(self.decoder.total_bytes()).unwrap_or(usize::MAX)];
        let (format, width) = (self.format, self.header.size[0]);
        self.decoder.read_image(&mut pixels).map_err(|error| cause(format, error))?;
        planes.paint(0, 0, width, &pixels)
    }
}

pub(super) fn open_bmp<'a>(stream: impl Stream + 'a) -> Result<impl Source + 'a, String> {
    let decoder = BmpDecoder::new(stream).map_err(|error| cause(Format::Bmp, error))?;
    Whole::new(decoder, Format::Bmp, Space::Srgb, Orientation::NoTransforms, 0)
}

pub(super) fn cause(format: Format, error: ImageError) -> String {
    match error {
        ImageError::IoError(error) => super::io_cause(format, &error),
        ImageError::Unsupported(error) => super::unsupported(format, error),
        error => super::damaged(format, error),
    }
}
