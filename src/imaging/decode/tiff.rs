//! TIFF and BigTIFF, strip by strip or tile by tile.

use std::io::{Read, SeekFrom};

use image::metadata::Orientation;
use tiff::decoder::ifd::Value;
use tiff::decoder::{ChunkType, Decoder, DecodingResult, Limits};
use tiff::tags::{CompressionMethod, Tag};
use tiff::{ColorType, TiffError};

use super::layout::{Alpha, Color, Layout};
use super::planes::Planes;
use super::profile::Space;
use super::{Format, Header, MAX_MEGAPIXELS, Note, Source, Stream, jpeg_marker};

/// The largest field of the directory, such as a profile, in bytes.
const MAX_FIELD_BYTES: usize = 16 << 20;
/// Float values are taken as in [0, 1] up to this much beyond, half a step of 16 bits.
const BEYOND: f32 = 0.5 / 65535.0;
/// Values of tags that the crate has no names for.
const ASSOCIATED_ALPHA: u16 = 1;
const PLANAR: u16 = 2;
const FLOAT: u16 = 3;

pub(super) struct Tiff<R: Stream> {
    decoder: Decoder<R>,
    header: Header,
    /// Each component has strips or tiles of its own.
    planar: bool,
}

/// The pixels of a strip or tile, interleaved.
enum Block {
    Bytes(Vec<u8>),
    Words(Vec<u16>),
    Floats(Vec<f32>),
}

impl<R: Stream> Tiff<R> {
    pub fn open(stream: R) -> Result<Self, String> {
        let decoder = Decoder::new(stream).map_err(cause)?;
        let largest = usize::try_from(MAX_MEGAPIXELS * 1_000_000 * 16).unwrap_or(usize::MAX);
        let mut decoder = decoder.with_limits({
            let mut limits = Limits::unlimited();
            limits.decoding_buffer_size = largest;
            limits.intermediate_buffer_size = largest;
            limits.ifd_value_size = MAX_FIELD_BYTES;
            limits
        });
        let (width, height) = decoder.dimensions().map_err(cause)?;
        let size = super::header_size(Format::Tiff, width, height)?;
        let (layout, bits) = layout(&mut decoder)?;
        let field = |decoder: &mut Decoder<R>, tag| decoder.find_tag_unsigned::<u16>(tag).ok().flatten();
        let planar = field(&mut decoder, Tag::PlanarConfiguration) == Some(PLANAR);
        let orientation = field(&mut decoder, Tag::Orientation).and_then(|value| u8::try_from(value).ok());
        let space = match decoder.find_tag(Tag::IccProfile).map(|value| value.map(Value::into_u8_vec).transpose()) {
            Ok(Ok(profile)) => Space::of_icc(profile),
            _ => Space::Unreadable,
        };
        let (chunk_width, chunk_height) = decoder.chunk_dimensions();
        let pixels = u64::from(chunk_width.min(width)) * u64::from(chunk_height.min(height));
        let bytes = layout.channels() as u64 * u64::from(bits.div_ceil(8));
        let header = Header {
            size,
            bits: bits.max(8),
            layout,
            orientation: orientation.and_then(Orientation::from_exif).unwrap_or(Orientation::NoTransforms),
            space,
            // As decoded, and once more where they are put together from planes or bits.
            beside_bytes: pixels * bytes * 2,
        };
        Ok(Self { decoder, header, planar })
    }

    /// Strips or tiles of the picture; of each component where they have their own.
    fn chunk_count(&mut self) -> Result<u32, String> {
        let count = match self.decoder.get_chunk_type() {
            ChunkType::Strip => self.decoder.strip_count(),
            ChunkType::Tile => self.decoder.tile_count(),
        };
        let samples = if self.planar { self.samples() } else { 1 };
        Ok(count.map_err(cause)? / samples)
    }

    /// Components of a pixel in the file, those that nobody knows included.
    fn samples(&mut self) -> u32 {
        let samples = self.decoder.find_tag_unsigned::<u16>(Tag::SamplesPerPixel).ok().flatten();
        u32::from(samples.unwrap_or(1).max(1))
    }

    /// Left and top edge and width of a strip or tile, in pixels.
    fn place(&self, chunk: u32) -> [usize; 3] {
        let (width, height) = self.decoder.chunk_dimensions();
        let across = match self.decoder.get_chunk_type() {
            ChunkType::Strip => 1,
            ChunkType::Tile => (self.header.size[0] as u32).div_ceil(width.max(1)),
        };
        let (column, row) = (chunk % across, chunk / across);
        let left = column as usize * width as usize;
        [left, row as usize * height as usize, self.decoder.chunk_data_dimensions(chunk).0 as usize]
    }

    fn block(&mut self, chunk: u32, chunks: u32) -> Result<Block, String> {
        let planes = if self.planar { self.header.layout.channels() as u32 } else { 1 };
        let mut parts = Vec::new();
        for plane in 0..planes {
            parts.push(self.decoder.read_chunk(chunk + plane * chunks).map_err(cause)?);
        }
        let bits = self.decoder.colortype().map_err(cause)?.bit_depth();
        let width = self.place(chunk)[2];
        Ok(match parts.first() {
            Some(DecodingResult::U8(_)) => {
                let bytes = interleaved(parts, |part| if let DecodingResult::U8(v) = part { Some(v) } else { None });
                Block::Bytes(if bits == 1 { from_bits(&bytes, width) } else { bytes })
            }
            Some(DecodingResult::U16(_)) => {
                Block::Words(interleaved(parts, |part| if let DecodingResult::U16(v) = part { Some(v) } else { None }))
            }
            Some(DecodingResult::F32(_)) => {
                Block::Floats(interleaved(parts, |part| if let DecodingResult::F32(v) = part { Some(v) } else { None }))
            }
            _ => return Err(super::unsupported(Format::Tiff, "neither 8, 16 nor 32-bit float components")),
        })
    }

    /// What is subtracted from float colours, and what they are divided by then, to be in [0, 1].
    fn scale(&mut self, chunks: u32, planes: &mut Planes) -> Result<[f32; 2], String> {
        let mut range = Range::new();
        for chunk in 0..chunks {
            if let Block::Floats(values) = self.block(chunk, chunks)? {
                range.extend(&values, self.header.layout)?;
            }
        }
        let [low, high] = range.colors;
        if low >= -BEYOND && high <= 1.0 + BEYOND {
            return Ok([0.0, 1.0]);
        }
        let declared = [Tag::SMinSampleValue, Tag::SMaxSampleValue].map(|tag| self.number(tag));
        match declared {
            [Some(least), Some(most)] if least < most && least <= low && high <= most => {
                planes.note(Note::Scaled { low: least, high: most });
                Ok([least, most - least])
            }
            [Some(least), Some(most)] => Err(format!(
                "its values reach from {low} to {high}, beyond the range that it declares, {least} to {most}"
            )),
            _ => Err(format!(
                "its values reach from {low} to {high}, beyond 0 to 1, and no range is declared (SMinSampleValue and \
                 SMaxSampleValue): scale them to 0 to 1"
            )),
        }
    }

    /// The first number in a field.
    fn number(&mut self, tag: Tag) -> Option<f32> {
        let value = self.decoder.find_tag(tag).ok()??;
        let first = if let Value::List(values) = value { values.into_iter().next()? } else { value };
        match first {
            Value::Float(value) => Some(value),
            Value::Double(value) => Some(value as f32),
            other => other.into_i64().ok().map(|value| value as f32),
        }
    }

    /// JPEGs inside say their own size, and the decoder takes memory for it.
    fn check_jpegs(&mut self) -> Result<(), String> {
        let compression = self.decoder.find_tag_unsigned::<u16>(Tag::Compression).ok().flatten();
        if compression != Some(CompressionMethod::ModernJPEG.to_u16()) {
            return Ok(());
        }
        let [offsets, lengths] = match self.decoder.get_chunk_type() {
            ChunkType::Strip => [Tag::StripOffsets, Tag::StripByteCounts],
            ChunkType::Tile => [Tag::TileOffsets, Tag::TileByteCounts],
        };
        let offsets = self.decoder.get_tag_u64_vec(offsets).map_err(cause)?;
        let lengths = self.decoder.get_tag_u64_vec(lengths).map_err(cause)?;
        let (width, height) = self.decoder.chunk_dimensions();
        for (offset, length) in offsets.into_iter().zip(lengths) {
            let stream = self.decoder.inner();
            let mut bytes = Vec::new();
            stream
                .seek(SeekFrom::Start(offset))
                .and_then(|_| stream.take(length).read_to_end(&mut bytes))
                .map_err(|error| super::io_cause(Format::Tiff, &error))?;
            if jpeg_marker::largest_frame(&bytes).is_some_and(|[w, h]| w > width || h > height) {
                return Err(super::damaged(Format::Tiff, "a JPEG inside is larger than its place"));
            }
        }
        Ok(())
    }
}

impl<R: Stream> Source for Tiff<R> {
    fn header(&self) -> &Header {
        &self.header
    }

    fn paint(mut self: Box<Self>, planes: &mut Planes) -> Result<(), String> {
        self.check_jpegs()?;
        let chunks = self.chunk_count()?;
        let [least, span] = if self.header.bits == 32 { self.scale(chunks, planes)? } else { [0.0, 1.0] };
        let (channels, colors) = (self.header.layout.channels(), self.header.layout.color.channels());
        for chunk in 0..chunks {
            let [x, y, width] = self.place(chunk);
            match self.block(chunk, chunks)? {
                Block::Bytes(values) => planes.paint(x, y, width, &values)?,
                Block::Words(values) => planes.paint(x, y, width, &values)?,
                Block::Floats(mut values) => {
                    for pixel in values.chunks_exact_mut(channels) {
                        pixel[..colors].iter_mut().for_each(|value| *value = (*value - least) / span);
                    }
                    planes.paint(x, y, width, &values)?;
                }
            }
        }
        Ok(())
    }
}

/// The components of a pixel and the bits of each.
fn layout<R: Stream>(decoder: &mut Decoder<R>) -> Result<(Layout, u32), String> {
    let color = decoder.colortype().map_err(cause)?;
    let format = decoder.find_tag_unsigned_vec::<u16>(Tag::SampleFormat).map_err(cause)?;
    let float = format.is_some_and(|formats| formats.first() == Some(&FLOAT));
    let extra = decoder.find_tag_unsigned_vec::<u16>(Tag::ExtraSamples).map_err(cause)?;
    let alpha = match extra.and_then(|samples| samples.first().copied()) {
        Some(ASSOCIATED_ALPHA) => Alpha::Multiplied,
        _ => Alpha::Straight,
    };
    let opaque = Alpha::None;
    let (kind, alpha) = match color {
        ColorType::Gray(_) => (Color::Gray, opaque),
        ColorType::Multiband { num_samples: 2, .. } => (Color::Gray, alpha),
        ColorType::RGB(_) => (Color::Rgb, opaque),
        ColorType::RGBA(_) => (Color::Rgb, alpha),
        ColorType::CMYK(_) => (Color::Cmyk, opaque),
        ColorType::CMYKA(_) => (Color::Cmyk, alpha),
        other => return Err(super::unsupported(Format::Tiff, format_args!("{other:?}"))),
    };
    match (color.bit_depth(), float) {
        (1, false) if matches!(color, ColorType::Gray(1)) => {}
        (8 | 16, false) | (32, true) => {}
        (bits, true) => return Err(super::unsupported(Format::Tiff, format_args!("{bits}-bit float components"))),
        (bits, false) => return Err(super::unsupported(Format::Tiff, format_args!("{bits} bits a component"))),
    }
    Ok((Layout { color: kind, alpha }, color.bit_depth().into()))
}

/// The least and the largest of float colours.
struct Range {
    colors: [f32; 2],
}

impl Range {
    fn new() -> Self {
        Self { colors: [f32::INFINITY, f32::NEG_INFINITY] }
    }

    /// Takes pixels in; fails where one is no colour at all.
    fn extend(&mut self, values: &[f32], layout: Layout) -> Result<(), String> {
        for pixel in values.chunks_exact(layout.channels()) {
            let (colors, alpha) = pixel.split_at(layout.color.channels());
            if pixel.iter().any(|value| !value.is_finite()) {
                return Err("some of its values are infinite or no numbers (NaN)".into());
            }
            if alpha.iter().any(|value| !(-BEYOND..=1.0 + BEYOND).contains(value)) {
                return Err("its opacity goes beyond 0 to 1".into());
            }
            let [low, high] = &mut self.colors;
            colors.iter().for_each(|&value| (*low, *high) = (low.min(value), high.max(value)));
        }
        Ok(())
    }
}

/// Components that lie one after another as pixels.
fn interleaved<T: Copy>(parts: Vec<DecodingResult>, of: impl Fn(DecodingResult) -> Option<Vec<T>>) -> Vec<T> {
    let mut planes: Vec<Vec<T>> = parts.into_iter().filter_map(of).collect();
    if planes.len() == 1 {
        return planes.pop().unwrap_or_default();
    }
    let count = planes.iter().map(Vec::len).min().unwrap_or(0);
    (0..count).flat_map(|i| planes.iter().map(move |plane| plane[i])).collect()
}

/// Rows of bits, each beginning with a byte, as black and white.
fn from_bits(rows: &[u8], width: usize) -> Vec<u8> {
    let bit = |row: &[u8], x: usize| if row[x / 8] >> (7 - x % 8) & 1 == 1 { 255 } else { 0 };
    rows.chunks_exact(width.div_ceil(8).max(1)).flat_map(|row| (0..width).map(move |x| bit(row, x))).collect()
}

fn cause(error: TiffError) -> String {
    match error {
        TiffError::IoError(error) => super::io_cause(Format::Tiff, &error),
        TiffError::UnsupportedError(error) => super::unsupported(Format::Tiff, error),
        TiffError::LimitsExceeded => super::damaged(Format::Tiff, "its parts are larger than a picture can be"),
        error => super::damaged(Format::Tiff, error),
    }
}
