//! Which line of a CSV file a record stands on. The reader of the records counts only what it has passed: it
//! skips blank lines with the record that follows them, and leaves the second half of a CRLF to it as well, so
//! that the line it names is that of the record before.

use std::{
    cell::RefCell,
    collections::VecDeque,
    io::{self, Read},
    rc::Rc,
};

/// Passes bytes through and notes where lines begin that are not blank.
pub(super) struct Counted<R> {
    source: R,
    begun: Lines,
    /// How many bytes were passed through.
    offset: u64,
    /// The line that they ended in, from 1.
    line: u64,
    /// Whether anything stands on that line yet.
    blank: bool,
}

/// Where the lines that are not blank begin, of what was read ahead. Clones are the same.
#[derive(Clone, Default)]
pub(super) struct Lines(Rc<RefCell<VecDeque<Line>>>);

#[derive(Clone, Copy)]
struct Line {
    offset: u64,
    number: u64,
}

impl<R: Read> Counted<R> {
    /// Counts the lines of `source`.
    pub(super) fn new(source: R) -> (Self, Lines) {
        let begun = Lines::default();
        (Self { source, begun: begun.clone(), offset: 0, line: 1, blank: true }, begun)
    }

    fn count(&mut self, bytes: &[u8]) {
        let mut begun = self.begun.0.borrow_mut();
        for byte in bytes {
            match byte {
                b'\n' => {
                    self.line += 1;
                    self.blank = true;
                }
                b'\r' => {}
                _ if self.blank => {
                    self.blank = false;
                    begun.push_back(Line { offset: self.offset, number: self.line });
                }
                _ => {}
            }
            self.offset += 1;
        }
    }
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.source.read(buffer)?;
        if let Some(bytes) = buffer.get(..read) {
            self.count(bytes);
        }
        Ok(read)
    }
}

impl Lines {
    /// The line of the record that was read from the byte `start` on. Records are asked about in their order.
    pub(super) fn of(&self, start: u64) -> u64 {
        let mut begun = self.0.borrow_mut();
        while begun.front().is_some_and(|line| line.offset < start) {
            begun.pop_front();
        }
        begun.front().map_or(0, |line| line.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blank_lines_count_and_begin_no_record() {
        let text = b"\xef\xbb\xbfhead\r\n\r\n\r\na\nb\n\n \nlast";
        let (mut counted, lines) = Counted::new(text.as_slice());
        io::copy(&mut counted, &mut io::sink()).expect("bytes");
        let starts: Vec<u64> = lines.0.borrow().iter().map(|line| line.number).collect();
        assert_eq!(starts, [1, 4, 5, 7, 8]);
        assert_eq!(lines.of(0), 1);
        // After the CR of the head line.
        assert_eq!((lines.of(8), lines.of(8)), (4, 4));
        assert_eq!((lines.of(15), lines.of(17), lines.of(20)), (5, 7, 8));
    }
}
