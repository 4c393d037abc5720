//! JPEG.

use std::io::Read;

use image::metadata::Orientation;
use zune_jpeg::JpegDecoder;
use zune_jpeg::errors::DecodeErrors;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::layout::{Alpha, Color, Layout};
use super::planes::Planes;
use super::profile::Space;
use super::{Format, Header, MAX_FILE_BYTES, Source, Stream, jpeg_marker};

pub(super) struct Jpeg {
    bytes: Vec<u8>,
    /// What the decoder gives.
    output: ColorSpace,
    header: Header,
}

impl Jpeg {
    pub fn open(stream: impl Stream) -> Result<Self, String> {
        let mut bytes = Vec::new();
        let read = stream.take(MAX_FILE_BYTES).read_to_end(&mut bytes);
        read.map_err(|error| super::io_cause(Format::Jpeg, &error))?;
        let mut decoder = decoder(&bytes, None);
        decoder.decode_headers().map_err(cause)?;
        let info = decoder.info().ok_or_else(|| super::truncated(Format::Jpeg))?;
        let size = super::header_size(Format::Jpeg, info.width.into(), info.height.into())?;
        let (output, color) = match decoder.input_colorspace() {
            Some(ColorSpace::Luma) => (ColorSpace::Luma, Color::Gray),
            // Adobe's marker may say so of three components, which are RGB then.
            Some(inks @ (ColorSpace::CMYK | ColorSpace::YCCK)) if info.components == 4 => (inks, Color::Cmyk),
            _ => (ColorSpace::RGB, Color::Rgb),
        };
        let profile = decoder.icc_profile();
        let space = match profile {
            None if jpeg_marker::has_profile(&bytes) => Space::Unreadable,
            profile => Space::of_icc(profile),
        };
        let exif = decoder.exif().and_then(|exif| Orientation::from_exif_chunk(exif));
        // The pixels; where they come in passes, also all coefficients in 16 bits.
        let component_bytes = if jpeg_marker::is_progressive(&bytes) { 3 } else { 1 };
        let components = (size[0] * size[1] * usize::from(info.components)) as u64;
        let header = Header {
            size,
            bits: 8,
            layout: Layout { color, alpha: Alpha::None },
            orientation: exif.unwrap_or(Orientation::NoTransforms),
            space,
            beside_bytes: components * component_bytes,
        };
        Ok(Self { bytes, output, header })
    }
}

impl Source for Jpeg {
    fn header(&self) -> &Header {
        &self.header
    }

    fn paint(self: Box<Self>, planes: &mut Planes) -> Result<(), String> {
        if !jpeg_marker::is_complete(&self.bytes) {
            return Err("the JPEG is truncated: its end is missing".into());
        }
        let [width, height] = self.header.size;
        let mut pixels = vec![0; width * height * self.header.layout.channels()];
        decoder(&self.bytes, Some(self.output)).decode_into(&mut pixels).map_err(cause)?;
        if self.header.layout.color == Color::Cmyk {
            let inverted = jpeg_marker::is_adobe(&self.bytes);
            to_inks(&mut pixels, self.output, inverted);
        }
        planes.paint(0, 0, width, &pixels)
    }
}

fn decoder(bytes: &[u8], output: Option<ColorSpace>) -> JpegDecoder<ZCursor<&[u8]>> {
    let any = usize::MAX;
    let options = DecoderOptions::default().set_strict_mode(false).set_max_width(any).set_max_height(any);
    let options = output.map_or(options, |output| options.jpeg_set_out_colorspace(output));
    JpegDecoder::new_with_options(ZCursor::new(bytes), options)
}

/// Stored components of four to inks: of YCCK, the first three are luminance and chrominance of what the inks leave.
fn to_inks(pixels: &mut [u8], stored: ColorSpace, inverted: bool) {
    for pixel in pixels.chunks_exact_mut(4) {
        let [a, b, c, d] = [pixel[0], pixel[1], pixel[2], pixel[3]];
        let inks = match stored {
            ColorSpace::YCCK => {
                let [y, blue, red] = [f32::from(a), f32::from(b) - 128.0, f32::from(c) - 128.0];
                // ITU-T T.871; conversion to u8 saturates.
                let ink = |value: f32| (value + 0.5) as u8;
                [ink(y + 1.402 * red), ink(y - 0.344_136 * blue - 0.714_136 * red), ink(y + 1.772 * blue), 255 - d]
            }
            _ if inverted => [a, b, c, d].map(|value| 255 - value),
            _ => [a, b, c, d],
        };
        pixel.copy_from_slice(&inks);
    }
}

fn cause(error: DecodeErrors) -> String {
    match error {
        DecodeErrors::Unsupported(what) => super::unsupported(Format::Jpeg, format_args!("{what:?}")),
        error => super::damaged(Format::Jpeg, error),
    }
}
