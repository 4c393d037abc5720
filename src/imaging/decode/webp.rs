//! WebP, whose chunks are checked before the decoder believes their sizes.

use std::io::{self, SeekFrom};

use image::ImageDecoder;
use image::codecs::webp::WebPDecoder;
use image::metadata::Orientation;

use super::profile::Space;
use super::whole::{self, Whole};
use super::{Format, MAX_METADATA_BYTES, Source, Stream};

/// Bytes a pixel that the decoder takes beside its output: a frame and the canvas of an animation, each RGBA.
const BESIDE_BYTES: u64 = 8;

pub(super) fn open<'a>(mut stream: impl Stream + 'a) -> Result<impl Source + 'a, String> {
    check(&mut stream).map_err(|fault| match fault {
        Fault::Io(error) => super::io_cause(Format::WebP, &error),
        Fault::Chunk(cause) => super::damaged(Format::WebP, cause),
    })?;
    stream.rewind().map_err(|error| super::io_cause(Format::WebP, &error))?;
    let mut decoder = WebPDecoder::new(stream).map_err(|error| whole::cause(Format::WebP, error))?;
    // A damaged orientation is no reason to refuse the pixels.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let space = decoder.icc_profile().map_or(Space::Unreadable, Space::of_icc);
    Whole::new(decoder, Format::WebP, space, orientation, BESIDE_BYTES)
}

enum Fault {
    Io(io::Error),
    Chunk(String),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// A chunk: its name, where its content is, and how long it says that this is.
struct Chunk {
    name: [u8; 4],
    start: u64,
    length: u64,
}

impl Chunk {
    fn read(stream: &mut impl Stream) -> io::Result<Self> {
        let mut head = [0; 8];
        stream.read_exact(&mut head)?;
        let [name @ .., a, b, c, d] = head;
        let length = u64::from(u32::from_le_bytes([a, b, c, d]));
        Ok(Self { name, start: stream.stream_position()?, length })
    }

    /// Where the next chunk is: lengths are rounded up to even ones.
    fn end(&self) -> u64 {
        self.start + self.length.next_multiple_of(2)
    }
}

/// Follows the chunks: those beside the pixels lie within the file and the bound, and the frames that are decoded have
/// the size that is announced for them.
fn check(stream: &mut impl Stream) -> Result<(), Fault> {
    let file = stream.seek(SeekFrom::End(0))?;
    let (mut at, mut canvas, mut frames) = (12, None, 0);
    while at + 8 <= file {
        stream.seek(SeekFrom::Start(at))?;
        let chunk = Chunk::read(stream)?;
        match &chunk.name {
            b"EXIF" | b"ICCP" | b"XMP " if chunk.start + chunk.length > file => {
                let name = String::from_utf8_lossy(&chunk.name).into_owned();
                return Err(Fault::Chunk(format!("its {} chunk goes beyond the file", name.trim())));
            }
            b"EXIF" | b"ICCP" | b"XMP " if chunk.length > MAX_METADATA_BYTES as u64 => {
                return Err(Fault::Chunk(super::over_metadata_limit(Format::WebP)));
            }
            b"VP8X" => {
                let mut fields = [0; 10];
                stream.read_exact(&mut fields)?;
                canvas = Some([side(&fields[4..7]), side(&fields[7..10])]);
            }
            b"VP8 " => check_frame(stream, canvas)?,
            b"ANMF" => {
                // Only the first frame is decoded.
                if frames == 0 {
                    check_animation(stream, &chunk)?;
                }
                frames += 1;
            }
            _ => {}
        }
        at = chunk.end();
    }
    Ok(())
}

/// The first frame of an animation: its own size, then chunks of its own.
fn check_animation(stream: &mut impl Stream, frame: &Chunk) -> Result<(), Fault> {
    let mut fields = [0; 16];
    stream.read_exact(&mut fields)?;
    let size = [side(&fields[6..9]), side(&fields[9..12])];
    let mut at = frame.start + 16;
    while at + 8 <= frame.end() {
        stream.seek(SeekFrom::Start(at))?;
        let chunk = Chunk::read(stream)?;
        if chunk.name == *b"VP8 " {
            return check_frame(stream, Some(size));
        }
        at = chunk.end();
    }
    Ok(())
}

/// The size in the header of lossy pixels, which the decoder takes memory for, is the one announced.
fn check_frame(stream: &mut impl Stream, announced: Option<[u32; 2]>) -> Result<(), Fault> {
    let mut header = [0; 10];
    stream.read_exact(&mut header)?;
    let [.., a, b, c, d] = header;
    let size = [[a, b], [c, d]].map(|side| u32::from(u16::from_le_bytes(side) & 0x3FFF));
    match announced {
        Some(announced) if announced != size => {
            let [width, height] = announced;
            Err(Fault::Chunk(format!("{width}×{height} px are announced, {}×{} px follow", size[0], size[1])))
        }
        _ => Ok(()),
    }
}

/// A side in 24 bits, less one.
fn side(bytes: &[u8]) -> u32 {
    bytes.iter().rev().fold(0, |value, &byte| value << 8 | u32::from(byte)) + 1
}
