//! A picture that another program made, as a candidate is kept: checked, and an RGB PNG of 8 bits.

use std::path::Path;

use crate::imaging::decode::{self, Format};
use crate::imaging::encode;
use crate::{Result, input};

/// What became of a file.
pub enum Read {
    /// The bytes to keep, and what was done to the picture, if anything.
    New(Vec<u8>, Vec<String>),
    /// It is here already.
    Known,
    /// Another picture is here in its place.
    Other,
    /// Its width and height are not those wanted.
    Size([usize; 2]),
}

/// Reads a picture that should be of this width and height. `known` is the file of the candidate that is here already.
pub fn read(path: &Path, px: [usize; 2], known: Option<&Path>) -> Result<Read> {
    let info = decode::probe(path)?;
    if [info.width, info.height] != px {
        return Ok(Read::Size([info.width, info.height]));
    }
    let bytes = input::read(path, decode::MAX_FILE_BYTES)?;
    let known = known.and_then(|known| std::fs::read(known).ok());
    if known.as_ref() == Some(&bytes) {
        return Ok(Read::Known);
    }
    let (bytes, said) = if is_plain(&bytes) {
        // Kept as it is, once it is known to be whole.
        decode::decode_bytes(&bytes).map_err(|error| crate::Error::file(path, error))?;
        (bytes, Vec::new())
    } else {
        let decoded = decode::read_noted(path)?;
        let mut said: Vec<String> = decoded.notes.iter().map(ToString::to_string).collect();
        let kinds = [
            (info.format == Format::Jpeg, "JPEG, whose losses are scored with it"),
            (!info.has_color, "grey, kept as RGB"),
            (info.bits > 8, "of more than 8 bits, rounded to 8"),
            (info.has_alpha, "with an alpha channel, dropped"),
        ];
        said.extend(kinds.into_iter().filter(|(is, _)| *is).map(|(_, what)| what.to_owned()));
        (encode::png_bytes(&decoded.image)?, said)
    };
    Ok(match known {
        Some(known) if known == bytes => Read::Known,
        Some(_) => Read::Other,
        None => Read::New(bytes, said),
    })
}

/// Whether a file is a PNG of 8-bit RGB whose values mean what they say: nothing in it asks for a conversion.
fn is_plain(bytes: &[u8]) -> bool {
    const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";
    let Some(mut left) = bytes.strip_prefix(SIGNATURE) else { return false };
    let mut is_rgb8 = false;
    while let Some((head, rest)) = left.split_at_checked(8) {
        let length = u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
        match &head[4..] {
            // Depth 8, RGB, not interlaced.
            b"IHDR" => is_rgb8 = rest.get(8..13).is_some_and(|rest| rest[..2] == [8, 2] && rest[4] == 0),
            b"iCCP" | b"gAMA" | b"cHRM" | b"cICP" | b"tRNS" | b"eXIf" | b"acTL" => return false,
            b"IEND" => return is_rgb8,
            _ => {}
        }
        let Some(next) = rest.get(length + 4..) else { return false };
        left = next;
    }
    false
}
