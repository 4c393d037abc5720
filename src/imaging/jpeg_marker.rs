//! Whether a JPEG is whole.
//!
//! JPEG decoders fill what is missing with grey instead of failing. A half-copied photograph must not become training
//! data, so the markers of ITU-T T.81 are followed to the end of the image.

/// Whether the end-of-image marker is reached. Embedded thumbnails, which have one of their own, are stepped over.
pub(super) fn is_complete(bytes: &[u8]) -> bool {
    const RESTART: std::ops::RangeInclusive<u8> = 0xD0..=0xD7;
    let mut at = 2;
    loop {
        // Entropy-coded data and stray bytes: on to the next marker. 0xFF00 is a data byte, 0xFFFF is fill.
        let Some(found) = bytes.get(at..).and_then(|rest| rest.iter().position(|&b| b == 0xFF)) else {
            return false;
        };
        at += found + 1;
        match bytes.get(at) {
            None => return false,
            Some(0xD9) => return true,
            Some(0xFF) => {}
            Some(0x00 | 0x01 | 0xD8) => at += 1,
            Some(marker) if RESTART.contains(marker) => at += 1,
            Some(_) => {
                let Some(&[high, low]) = bytes.get(at + 1..at + 3) else {
                    return false;
                };
                at += 1 + usize::from(u16::from_be_bytes([high, low])).max(2);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::is_complete;

    #[test]
    fn only_the_end_of_the_image_itself_counts() {
        let thumbnail = [0xFF, 0xE1, 0x00, 0x06, 0xFF, 0xD9, 0x00, 0x00];
        let scan = [0xFF, 0xDA, 0x00, 0x03, 0x01, 0x12, 0xFF, 0x00, 0x34, 0xFF, 0xD0, 0x56];
        let mut jpeg = vec![0xFF, 0xD8];
        jpeg.extend(thumbnail);
        jpeg.extend(scan);
        assert!(!is_complete(&jpeg));
        jpeg.extend([0xFF, 0xD9]);
        assert!(is_complete(&jpeg));
        for end in 0..jpeg.len() {
            assert!(!is_complete(&jpeg[..end]));
        }
    }
}
