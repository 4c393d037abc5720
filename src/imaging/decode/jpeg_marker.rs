//! The markers of a JPEG (ITU-T T.81): what they hold, and whether the file is whole.
//!
//! JPEG decoders fill what is missing with grey instead of failing. A half-copied photograph must not become training
//! data, so the markers are followed to the end of the image.

/// End of image.
const END: u8 = 0xD9;
/// Start of a scan: compressed pixels follow.
const SCAN: u8 = 0xDA;
/// Starts of a frame, of all kinds; among them are three other markers.
const FRAMES: std::ops::RangeInclusive<u8> = 0xC0..=0xCF;
const NO_FRAMES: [u8; 3] = [0xC4, 0xC8, 0xCC];
/// Frames whose coefficients are all held until the end.
const PROGRESSIVE: [u8; 4] = [0xC2, 0xC6, 0xCA, 0xCE];

/// A marker and what it holds, which may be cut short by the end of the file.
pub(super) struct Segment<'a> {
    marker: u8,
    content: &'a [u8],
}

/// The segments of a JPEG, to the end of the image or of the file. Embedded thumbnails, which have segments of their own,
/// are stepped over.
pub(super) fn segments(bytes: &[u8]) -> impl Iterator<Item = Segment<'_>> {
    const RESTART: std::ops::RangeInclusive<u8> = 0xD0..=0xD7;
    let mut at = 2;
    let mut ended = false;
    std::iter::from_fn(move || {
        while !ended {
            // Entropy-coded data and stray bytes: on to the next marker. 0xFF00 is a data byte, 0xFFFF is fill.
            at += bytes.get(at..)?.iter().position(|&b| b == 0xFF)? + 1;
            match *bytes.get(at)? {
                0xFF => {}
                0x00 | 0x01 | 0xD8 => at += 1,
                marker if RESTART.contains(&marker) => at += 1,
                END => {
                    ended = true;
                    return Some(Segment { marker: END, content: &[] });
                }
                marker => {
                    let &[high, low] = bytes.get(at + 1..at + 3)? else { return None };
                    let length = usize::from(u16::from_be_bytes([high, low])).max(2);
                    let start = at + 3;
                    at += 1 + length;
                    return Some(Segment { marker, content: &bytes[start..at.min(bytes.len()).max(start)] });
                }
            }
        }
        None
    })
}

/// The segments before the pixels.
fn header(bytes: &[u8]) -> impl Iterator<Item = Segment<'_>> {
    segments(bytes).take_while(|segment| segment.marker != SCAN)
}

/// Whether the end-of-image marker is reached.
pub(super) fn is_complete(bytes: &[u8]) -> bool {
    segments(bytes).any(|segment| segment.marker == END)
}

/// Whether there is a part of an ICC profile.
pub(super) fn has_profile(bytes: &[u8]) -> bool {
    header(bytes).any(|segment| segment.marker == 0xE2 && segment.content.starts_with(b"ICC_PROFILE\0"))
}

/// Whether Adobe's marker is there, which goes with inverted inks.
pub(super) fn is_adobe(bytes: &[u8]) -> bool {
    header(bytes).any(|segment| segment.marker == 0xEE && segment.content.starts_with(b"Adobe"))
}

/// Whether the pixels come in several passes.
pub(super) fn is_progressive(bytes: &[u8]) -> bool {
    header(bytes).any(|segment| PROGRESSIVE.contains(&segment.marker))
}

/// Width and height in pixels that the frames before the pixels announce, at most.
pub(super) fn largest_frame(bytes: &[u8]) -> Option<[u32; 2]> {
    let frames =
        header(bytes).filter(|segment| FRAMES.contains(&segment.marker) && !NO_FRAMES.contains(&segment.marker));
    let sizes = frames.filter_map(|frame| match frame.content {
        &[_, a, b, c, d, ..] => Some([[c, d], [a, b]].map(|side| u32::from(u16::from_be_bytes(side)))),
        _ => None,
    });
    sizes.reduce(|[w, h], [width, height]| [w.max(width), h.max(height)])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A JPEG's markers, with some of another in a thumbnail, up to the end of the pixels.
    fn unfinished() -> Vec<u8> {
        let thumbnail = [0xFF, 0xE1, 0x00, 0x06, 0xFF, 0xD9, 0x00, 0x00];
        let frame = [0xFF, 0xC2, 0x00, 0x08, 0x08, 0x00, 0x30, 0x01, 0x40, 0x03];
        let scan = [0xFF, 0xDA, 0x00, 0x03, 0x01, 0x12, 0xFF, 0x00, 0x34, 0xFF, 0xD0, 0x56];
        let mut jpeg = vec![0xFF, 0xD8];
        jpeg.extend(thumbnail);
        jpeg.extend(frame);
        jpeg.extend(scan);
        jpeg
    }

    #[test]
    fn only_the_end_of_the_image_itself_counts() {
        let mut jpeg = unfinished();
        assert!(!is_complete(&jpeg));
        jpeg.extend([0xFF, 0xD9]);
        assert!(is_complete(&jpeg));
        for end in 0..jpeg.len() {
            assert!(!is_complete(&jpeg[..end]));
        }
    }

    #[test]
    fn the_header_is_understood() {
        let jpeg = unfinished();
        assert_eq!(largest_frame(&jpeg), Some([320, 48]));
        assert!(is_progressive(&jpeg) && !is_adobe(&jpeg) && !has_profile(&jpeg));
        let adobe = [&[0xFF, 0xD8, 0xFF, 0xEE, 0, 7][..], b"Adobe"].concat();
        assert!(is_adobe(&adobe) && largest_frame(&adobe).is_none());
    }
}
