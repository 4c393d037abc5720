//! The last line of a program that gets no more memory: what it was doing, and how much was asked for.
//!
//! The language ends a program whose allocation fails without a way to say why, so the allocator does. Nothing here
//! allocates once memory is out.

use std::fmt::{self, Write as _};
use std::io::Write as _;
use std::sync::{Mutex, PoisonError};

/// Longer descriptions are cut.
const MAX_BYTES: usize = 200;

static DOING: Mutex<Line> = Mutex::new(Line::EMPTY);

/// Says what the program is doing from now on, such as "sampling": it stands in the line of [`out_of_memory`].
pub fn doing(what: &str) {
    let mut line = Line::EMPTY;
    // A line cannot fail to be written to, only be cut.
    let _ = line.write_str(what);
    *DOING.lock().unwrap_or_else(PoisonError::into_inner) = line;
}

/// Says on standard error that `bytes` could not be had, and ends the program with exit code 1.
pub(super) fn out_of_memory(bytes: usize) -> ! {
    let mut line = Line::EMPTY;
    let _ = line.write_str("dp2o-studio: out of memory");
    // Another thread may be changing it at this moment.
    if let Ok(doing) = DOING.try_lock()
        && doing.length > 0
    {
        let _ = write!(line, " while {}", doing.text());
    }
    let _ = writeln!(line, ": {} MB more are not to be had", bytes.div_ceil(1 << 20));
    let _ = std::io::stderr().write_all(&line.bytes[..line.length]);
    // Without what is done at the end of a program: that may ask for memory, or wait for this thread.
    #[cfg(unix)]
    // SAFETY: ends the process, whatever state it is in.
    unsafe {
        libc::_exit(1)
    }
    #[cfg(not(unix))]
    std::process::exit(1)
}

/// Text in place, cut at a fixed length.
struct Line {
    bytes: [u8; MAX_BYTES + 100],
    length: usize,
}

impl Line {
    const EMPTY: Self = Self { bytes: [0; MAX_BYTES + 100], length: 0 };

    fn text(&self) -> &str {
        let text = std::str::from_utf8(&self.bytes[..self.length.min(MAX_BYTES)]);
        text.unwrap_or_else(|error| std::str::from_utf8(&self.bytes[..error.valid_up_to()]).unwrap_or_default())
    }
}

impl fmt::Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let space = &mut self.bytes[self.length..];
        let length = text.len().min(space.len());
        space[..length].copy_from_slice(&text.as_bytes()[..length]);
        self.length += length;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_description_is_cut_between_characters() {
        let mut line = Line::EMPTY;
        line.write_str(&"a".repeat(MAX_BYTES - 1)).unwrap();
        line.write_str("é and more").unwrap();
        assert_eq!(line.text(), "a".repeat(MAX_BYTES - 1));
        line.write_str(&"b".repeat(2 * MAX_BYTES)).unwrap();
        assert_eq!(line.length, line.bytes.len());
    }
}
