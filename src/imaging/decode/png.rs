//! PNG, row by row.

use std::io::SeekFrom;

use image::metadata::Orientation;
use moxcms::{Chromaticity, CicpProfile, ColorPrimaries, ColorProfile, MatrixCoefficients, ToneReprCurve, XyY};
use png::{BitDepth, ColorType, DecodingError, Info, Limits, Reader, Transformations};

use super::layout::{Alpha, Color, Layout};
use super::planes::Planes;
use super::profile::Space;
use super::{Format, Header, MAX_METADATA_BYTES, Source, Stream};

/// Bytes of rows that are converted together.
const ROWS_BYTES: usize = 1 << 18;
/// The `gAMA` that goes with sRGB, and how far from it values are still meant to be it.
const SRGB_GAMMA: f32 = 0.45455;
const GAMMA_TOLERANCE: f32 = 1e-3;
/// White and primaries of sRGB: x and y of white, red, green and blue.
const SRGB_POINTS: [f32; 8] = [0.3127, 0.329, 0.64, 0.33, 0.3, 0.6, 0.15, 0.06];
const POINT_TOLERANCE: f32 = 2e-3;
/// Primaries that span less than this are a mistake; those of sRGB span 0.11.
const MIN_AREA: f32 = 1e-3;
/// Transfer functions of `cICP` for brightness beyond white.
const HDR_TRANSFERS: [u8; 2] = [16, 18];

pub(super) struct Png<R: Stream> {
    reader: Reader<R>,
    header: Header,
}

impl<R: Stream> Png<R> {
    pub fn open(mut stream: R) -> Result<Self, String> {
        let has_profile = has_profile(&mut stream).map_err(|error| super::io_cause(Format::Png, &error))?;
        let mut decoder = png::Decoder::new_with_limits(stream, Limits { bytes: MAX_METADATA_BYTES });
        decoder.set_ignore_text_chunk(true);
        // Palettes and fewer bits than 8 become 8 bits, a transparent colour an alpha channel.
        decoder.set_transformations(Transformations::EXPAND);
        let info = decoder.read_header_info().map_err(cause)?;
        let size = super::header_size(Format::Png, info.width, info.height)?;
        let reader = decoder.read_info().map_err(cause)?;
        let (color, depth) = reader.output_color_type();
        let info = reader.info();
        let whole = if info.interlaced { reader.output_buffer_size().unwrap_or(usize::MAX) } else { 0 };
        let exif = info.exif_metadata.as_deref().and_then(Orientation::from_exif_chunk);
        let header = Header {
            size,
            bits: if depth == BitDepth::Sixteen { 16 } else { 8 },
            layout: layout(color),
            orientation: exif.unwrap_or(Orientation::NoTransforms),
            space: space(info, has_profile)?,
            beside_bytes: whole as u64,
        };
        Ok(Self { reader, header })
    }
}

impl<R: Stream> Source for Png<R> {
    fn header(&self) -> &Header {
        &self.header
    }

    fn paint(mut self: Box<Self>, planes: &mut Planes) -> Result<(), String> {
        let [width, height] = self.header.size;
        let sample_bytes = self.header.bits as usize / 8;
        let row_bytes = width * self.header.layout.channels() * sample_bytes;
        let mut y = 0;
        let mut paint = |rows: &[u8]| {
            match sample_bytes {
                1 => planes.paint(0, y, width, rows)?,
                _ => {
                    let words = rows.chunks_exact(2).map(|b| u16::from_be_bytes([b[0], b[1]]));
                    planes.paint(0, y, width, &words.collect::<Vec<_>>())?;
                }
            }
            y += rows.len() / row_bytes;
            Ok::<(), String>(())
        };
        let rows_at_once = (ROWS_BYTES / row_bytes).max(1) * row_bytes;
        if self.reader.info().interlaced {
            let mut pixels = vec![0; row_bytes * height];
            self.reader.next_frame(&mut pixels).map_err(cause)?;
            return pixels.chunks(rows_at_once).try_for_each(paint);
        }
        let mut rows = Vec::with_capacity(rows_at_once);
        while let Some(row) = self.reader.next_row().map_err(cause)? {
            rows.extend_from_slice(row.data());
            if rows.len() >= rows_at_once {
                paint(&rows)?;
                rows.clear();
            }
        }
        paint(&rows)
    }
}

fn layout(color: ColorType) -> Layout {
    let (color, alpha) = match color {
        ColorType::Grayscale => (Color::Gray, Alpha::None),
        ColorType::GrayscaleAlpha => (Color::Gray, Alpha::Straight),
        ColorType::Rgb | ColorType::Indexed => (Color::Rgb, Alpha::None),
        ColorType::Rgba => (Color::Rgb, Alpha::Straight),
    };
    Layout { color, alpha }
}

fn cause(error: DecodingError) -> String {
    match error {
        DecodingError::IoError(error) => super::io_cause(Format::Png, &error),
        DecodingError::LimitsExceeded => super::over_metadata_limit(Format::Png),
        error => super::damaged(Format::Png, error),
    }
}

/// Whether there is a colour profile before the pixels, readable or not; the decoder steps over one that is not.
fn has_profile(stream: &mut impl Stream) -> std::io::Result<bool> {
    stream.seek(SeekFrom::Start(8))?;
    let mut head = [0; 8];
    let mut found = false;
    while stream.read_exact(&mut head).is_ok() {
        let [a, b, c, d, name @ ..] = head;
        found |= name == *b"iCCP";
        if found || name == *b"IDAT" || name == *b"IEND" {
            break;
        }
        stream.seek_relative(i64::from(u32::from_be_bytes([a, b, c, d])) + 4)?;
    }
    stream.rewind()?;
    Ok(found)
}

/// The space of the values, in the order of the PNG standard: `cICP`, `iCCP`, `sRGB`, `gAMA` with `cHRM`.
fn space(info: &Info, has_profile: bool) -> Result<Space, String> {
    if let Some(code) = &info.coding_independent_code_points {
        if HDR_TRANSFERS.contains(&code.transfer_function) {
            return Err(super::unsupported(Format::Png, "its brightness goes beyond white (HDR); make an SDR version"));
        }
        let profile = (code.matrix_coefficients == 0 && code.is_video_full_range_image)
            .then(|| {
                Some(ColorProfile::new_from_cicp(CicpProfile {
                    color_primaries: code.color_primaries.try_into().ok()?,
                    transfer_characteristics: code.transfer_function.try_into().ok()?,
                    matrix_coefficients: MatrixCoefficients::Identity,
                    full_range: true,
                }))
            })
            .flatten()
            .filter(|profile| profile.red_trc.is_some());
        let name = || format!("its colour code (cICP {}, {})", code.color_primaries, code.transfer_function);
        return Ok(profile.map_or(Space::Unreadable, |profile| Space::Described(Box::new(profile), name())));
    }
    if has_profile {
        let profile = info.icc_profile.as_ref().map(|profile| profile.to_vec());
        return Ok(profile.map_or(Space::Unreadable, Space::Icc));
    }
    if info.srgb.is_some() {
        return Ok(Space::Srgb);
    }
    let gamma = info.gama_chunk.map(|gamma| gamma.into_value()).filter(|&gamma| gamma > 0.0);
    let points = info.chrm_chunk.as_ref().map(|points| {
        [points.white, points.red, points.green, points.blue].map(|(x, y)| [x.into_value(), y.into_value()])
    });
    Ok(described(gamma, points.as_ref().map(|points| points.as_flattened())))
}

/// The space that `gAMA` and `cHRM` describe; what is not said is as in sRGB.
fn described(gamma: Option<f32>, points: Option<&[f32]>) -> Space {
    let near = |a: f32, b: f32, tolerance: f32| (a - b).abs() <= tolerance;
    let points = points.filter(|points| !points.iter().zip(SRGB_POINTS).all(|(&p, s)| near(p, s, POINT_TOLERANCE)));
    let gamma = gamma.filter(|&gamma| points.is_some() || !near(gamma, SRGB_GAMMA, GAMMA_TOLERANCE));
    let name = match (gamma, points) {
        (None, None) => return Space::Srgb,
        (Some(gamma), None) => format!("its gamma (gAMA {gamma})"),
        (None, Some(_)) => "its primaries (cHRM)".into(),
        (Some(gamma), Some(_)) => format!("its gamma and primaries (gAMA {gamma}, cHRM)"),
    };
    let mut profile = ColorProfile::new_srgb();
    profile.cicp = None;
    if let Some(gamma) = gamma {
        let curve = ToneReprCurve::Parametric(vec![1.0 / gamma]);
        profile.red_trc = Some(curve.clone());
        profile.green_trc = Some(curve.clone());
        profile.blue_trc = Some(curve);
    }
    if let Some(&[wx, wy, rx, ry, gx, gy, bx, by]) = points {
        let white = XyY { x: wx.into(), y: wy.into(), yb: 1.0 };
        let point = Chromaticity::new;
        let primaries = ColorPrimaries { red: point(rx, ry), green: point(gx, gy), blue: point(bx, by) };
        profile.update_rgb_colorimetry(white, primaries);
        let matrix = profile.colorant_matrix().v;
        // Primaries on one line span no colours.
        let area = ((gx - rx) * (by - ry) - (bx - rx) * (gy - ry)).abs() / 2.0;
        if wy <= 0.0 || area < MIN_AREA || matrix.as_flattened().iter().any(|v| !v.is_finite()) {
            return Space::Unreadable;
        }
    }
    Space::Described(Box::new(profile), name)
}
