//! The event files that TensorBoard reads: records of the TFRecord form, each an `Event` message of protocol buffers with one scalar
//! or more.
//!
//! A file grows as its run goes; what a kill leaves half-written at its end, readers pass over. A run that goes on begins another
//! file, whose first event says from which step what was written before counts no more.

use std::io::{self, Write};
use std::time::{SystemTime, UNIX_EPOCH};

/// A file of events being written.
pub struct Events<W: Write>(W);

impl<W: Write> Events<W> {
    /// Begins a file in which steps from `step` on are told.
    pub fn begin(out: W, step: u64) -> io::Result<Self> {
        let mut events = Self(out);
        events.event(0, &field_bytes(3, b"brain.Event:2"))?;
        // SessionLog with the status START.
        events.event(step, &field_bytes(7, &field_varint(1, 1)))?;
        Ok(events)
    }

    /// Writes scalars of a step, each under its tag; those that are not finite are left out.
    pub fn scalars<'t>(&mut self, step: u64, values: impl IntoIterator<Item = (&'t str, f64)>) -> io::Result<()> {
        let mut summary = Vec::new();
        for (tag, value) in values.into_iter().filter(|(_, value)| value.is_finite()) {
            let mut entry = field_bytes(1, tag.as_bytes());
            // simple_value: field 2, 32 bits.
            entry.push(2 << 3 | 5);
            entry.extend((value as f32).to_le_bytes());
            summary.extend(field_bytes(1, &entry));
        }
        self.event(step, &field_bytes(5, &summary))
    }

    fn event(&mut self, step: u64, what: &[u8]) -> io::Result<()> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64());
        // wall_time: field 1, 64 bits.
        let mut event = vec![1 << 3 | 1];
        event.extend(now.to_le_bytes());
        event.extend(field_varint(2, step));
        event.extend(what);
        self.0.write_all(&record(&event))?;
        self.0.flush()
    }
}

/// A TFRecord: length and data, each with its masked CRC-32C.
fn record(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    [&length[..], &masked(&length).to_le_bytes(), data, &masked(data).to_le_bytes()].concat()
}

fn masked(data: &[u8]) -> u32 {
    crc32c(data).rotate_right(15).wrapping_add(0xA282_EAD8)
}

/// CRC-32C (Castagnoli), bit by bit: events are small and few.
fn crc32c(data: &[u8]) -> u32 {
    let byte = |crc: u32, &byte: &u8| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0x82F6_3B78 } else { crc >> 1 })
    };
    !data.iter().fold(!0, byte)
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

fn field_varint(field: u64, value: u64) -> Vec<u8> {
    [varint(field << 3), varint(value)].concat()
}

fn field_bytes(field: u64, bytes: &[u8]) -> Vec<u8> {
    [varint(field << 3 | 2), varint(bytes.len() as u64), bytes.to_vec()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_the_published_ones_and_records_are_framed() {
        // RFC 3720, appendix B.4.
        assert_eq!(crc32c(&[0; 32]), 0x8A91_36AA);
        assert_eq!(crc32c(&[0xFF; 32]), 0x62A8_AB43);
        assert_eq!(crc32c(&(0..32).collect::<Vec<u8>>()), 0x46DD_794E);
        assert_eq!(varint(300), [0xAC, 0x02]);
        let mut bytes = Vec::new();
        let mut events = Events::begin(&mut bytes, 7).unwrap();
        events.scalars(7, [("loss", 0.5), ("absent", f64::NAN)]).unwrap();
        let mut left = &bytes[..];
        let mut records = Vec::new();
        while !left.is_empty() {
            let length = u64::from_le_bytes(left[..8].try_into().unwrap()) as usize;
            assert_eq!(masked(&left[..8]).to_le_bytes(), left[8..12]);
            let data = &left[12..12 + length];
            assert_eq!(masked(data).to_le_bytes(), left[12 + length..16 + length]);
            records.push(data);
            left = &left[16 + length..];
        }
        assert_eq!(records.len(), 3);
        assert!(records[0].ends_with(b"brain.Event:2"));
        assert!(records[1].ends_with(&[2 << 3, 7, 7 << 3 | 2, 2, 1 << 3, 1]));
        let scalar = [&[1 << 3 | 2, 4][..], b"loss", &[2 << 3 | 5], &0.5f32.to_le_bytes()].concat();
        assert!(records[2].ends_with(&scalar));
    }
}
