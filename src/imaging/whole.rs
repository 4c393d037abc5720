//! Whether a PNG file is whole: every chunk with its checksum, from the signature to the end, of the size it should be.
//!
//! Cheaper than decoding, and no question of what a decoder supports or how much memory it may take: what fails here was
//! cut off or changed after it was written.

const SIGNATURE: [u8; 8] = [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n'];

/// What is wrong with a PNG file that should be of this size; `None` for a whole one.
pub fn png_damage(bytes: &[u8], width: usize, height: usize) -> Option<String> {
    let Some(mut rest) = bytes.strip_prefix(&SIGNATURE) else { return Some("it is no PNG file".into()) };
    let mut size = None;
    while let Some((length, after)) = number(rest) {
        let (Some(body), Some((checksum, next))) = (after.get(..length + 4), after.get(length + 4..).and_then(number))
        else {
            break;
        };
        if crc32(body) as usize != checksum {
            return Some("its checksum does not match".into());
        }
        let (kind, data) = body.split_at(4);
        match kind {
            b"IHDR" => size = number(data).and_then(|(width, rest)| Some([width, number(rest)?.0])),
            b"IEND" => {
                return match size {
                    Some(size) if size == [width, height] => None,
                    Some([w, h]) => Some(format!("it is {w}×{h} px instead of {width}×{height}")),
                    None => Some("it has no header".into()),
                };
            }
            _ => {}
        }
        rest = next;
    }
    Some("it ends too early".into())
}

/// A big-endian number and what follows it.
fn number(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (head, rest) = bytes.split_first_chunk::<4>()?;
    Some((u32::from_be_bytes(*head) as usize, rest))
}

/// CRC-32 as PNG defines it (PNG specification, annex D).
fn crc32(bytes: &[u8]) -> u32 {
    static TABLE: [u32; 256] = table();
    !bytes.iter().fold(!0, |crc, &byte| TABLE[usize::from(crc as u8 ^ byte)] ^ (crc >> 8))
}

const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let (mut value, mut bit) = (index as u32, 0);
        while bit < 8 {
            value = if value & 1 == 1 { 0xEDB8_8320 ^ (value >> 1) } else { value >> 1 };
            bit += 1;
        }
        table[index] = value;
        index += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imaging::{Image, encode};

    #[test]
    fn every_changed_byte_and_every_cut_is_found() {
        let image = Image::new(9, 7, (0..3 * 9 * 7).map(|i| (i as f32 * 0.71).sin().abs()).collect()).unwrap();
        let whole = encode::png_bytes(&image).unwrap();
        assert_eq!(png_damage(&whole, 9, 7), None);
        assert!(png_damage(&whole, 9, 8).unwrap().contains("9×7 px instead of 9×8"));
        for at in 0..whole.len() {
            assert!(png_damage(&whole[..at], 9, 7).is_some(), "cut at {at}");
            let mut changed = whole.clone();
            changed[at] ^= 0x10;
            assert!(png_damage(&changed, 9, 7).is_some(), "changed at {at}");
        }
        assert!(png_damage(b"", 9, 7).is_some());
    }
}
