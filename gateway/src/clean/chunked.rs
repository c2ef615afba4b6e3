//! The framing of a chunked body, byte by byte (RFC 9112 7.1). Pingora takes an empty chunk size for the
//! last chunk; nothing of the kind reaches it, because the bytes pass here first.

use super::{Refusal, fields, head};

/// Follows a chunked body through its chunks to the end of its trailer section.
#[derive(Debug)]
pub(crate) struct Chunks {
    state: State,
    extension: usize,
    trailers: usize,
    line: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// In a chunk size: what it is so far and its digits.
    Size { value: u64, digits: u8 },
    /// In a chunk extension, after the size.
    Extension { value: u64 },
    /// After the CR of a size line.
    SizeEnd { value: u64 },
    /// In chunk data, so many bytes left.
    Data { left: u64 },
    /// After chunk data: CR has to come.
    DataCr,
    /// After that CR: LF has to come.
    DataLf,
    /// In a line of the trailer section.
    Trailer,
    /// After the CR of a trailer line.
    TrailerEnd,
    /// All of it has been seen.
    Done,
}

/// A chunk size of more digits than this cannot be meant.
const MAX_SIZE_DIGITS: u8 = 15;
/// All the extensions of a body together.
const MAX_EXTENSION_BYTES: usize = 1024;
/// The whole trailer section.
const MAX_TRAILER_BYTES: usize = 4096;

impl Chunks {
    /// A body of which nothing has been seen.
    pub(crate) const fn new() -> Self {
        Self {
            state: State::Size { value: 0, digits: 0 },
            extension: 0,
            trailers: 0,
            line: Vec::new(),
        }
    }

    /// Whether the body is complete.
    pub(crate) const fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// Follows `bytes` and says how many of them belong to the body.
    ///
    /// # Errors
    /// The rule that the framing breaks.
    pub(crate) fn advance(&mut self, bytes: &[u8]) -> Result<usize, Refusal> {
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            if let State::Data { left } = self.state {
                let here = (bytes.len() - at).min(usize::try_from(left).unwrap_or(usize::MAX));
                at += here;
                let left = left - here as u64;
                self.state = if left == 0 { State::DataCr } else { State::Data { left } };
                continue;
            }
            if self.is_done() {
                break;
            }
            self.step(byte)?;
            at += 1;
        }
        Ok(at)
    }

    fn step(&mut self, byte: u8) -> Result<(), Refusal> {
        self.state = match (self.state, byte) {
            (State::Size { digits: 0, .. }, _) if !byte.is_ascii_hexdigit() => {
                return Err(Refusal::ChunkSize);
            }
            (State::Size { value, .. } | State::Extension { value }, b'\r') => {
                State::SizeEnd { value }
            }
            (State::Size { value, .. }, b';') => State::Extension { value },
            (State::Size { value, digits }, _) => {
                let digit = char::from(byte).to_digit(16).ok_or(Refusal::ChunkSize)?;
                if digits >= MAX_SIZE_DIGITS {
                    return Err(Refusal::ChunkSize);
                }
                State::Size { value: value * 16 + u64::from(digit), digits: digits + 1 }
            }
            (State::Extension { value }, _) => {
                self.extension += 1;
                let legal = byte == b'\t' || byte == b' ' || byte.is_ascii_graphic();
                if !legal || self.extension > MAX_EXTENSION_BYTES {
                    return Err(Refusal::ChunkExtension);
                }
                State::Extension { value }
            }
            (State::SizeEnd { value: 0 }, b'\n') => State::Trailer,
            (State::SizeEnd { value }, b'\n') => State::Data { left: value },
            (State::SizeEnd { .. }, _) => return Err(Refusal::ChunkSize),
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => State::Size { value: 0, digits: 0 },
            (State::DataCr | State::DataLf, _) => return Err(Refusal::ChunkEnd),
            (State::Trailer, b'\r') => State::TrailerEnd,
            (State::Trailer, b'\n') => return Err(Refusal::BareLineFeed),
            (State::Trailer, _) => {
                self.trailers += 1;
                if self.trailers > MAX_TRAILER_BYTES {
                    return Err(Refusal::Trailers);
                }
                self.line.push(byte);
                State::Trailer
            }
            (State::TrailerEnd, b'\n') if self.line.is_empty() => State::Done,
            (State::TrailerEnd, b'\n') => {
                let (name, _) = head::field(&self.line).map_err(|_| Refusal::Trailers)?;
                if fields::is_forbidden_trailer(name) {
                    return Err(Refusal::Trailers);
                }
                self.line.clear();
                State::Trailer
            }
            (State::TrailerEnd, _) => return Err(Refusal::BareCarriageReturn),
            (state @ (State::Data { .. } | State::Done), _) => state,
        };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// How much of `bytes` is the body, given in pieces of `step`.
    fn follow(bytes: &[u8], step: usize) -> Result<Option<usize>, Refusal> {
        let mut chunks = Chunks::new();
        let mut taken = 0;
        for piece in bytes.chunks(step) {
            let here = chunks.advance(piece)?;
            taken += here;
            if here < piece.len() {
                break;
            }
        }
        Ok(chunks.is_done().then_some(taken))
    }

    #[test]
    fn follows_chunks_extensions_and_trailers_in_any_pieces() {
        let body = b"5\r\nhello\r\n00A;name=\"v w\"\r\n0123456789\r\n0\r\nETag: x\r\n\r\nGET / HTTP/1.1\r\n";
        let length = body.len() - b"GET / HTTP/1.1\r\n".len();
        for step in 1..=body.len() {
            assert_eq!(follow(body, step), Ok(Some(length)), "{step}");
        }
        assert_eq!(follow(b"0\r\n\r\n", 1), Ok(Some(5)));
        assert_eq!(follow(b"5\r\nhel", 2), Ok(None));
    }

    #[test]
    fn refuses_what_others_read_differently() {
        for (body, refusal) in [
            (&b"\r\n"[..], Refusal::ChunkSize),
            (b";x\r\n", Refusal::ChunkSize),
            (b" 5\r\nhello\r\n", Refusal::ChunkSize),
            (b"5 \r\nhello\r\n", Refusal::ChunkSize),
            (b"0x5\r\nhello\r\n", Refusal::ChunkSize),
            (b"+5\r\nhello\r\n", Refusal::ChunkSize),
            (b"-1\r\n", Refusal::ChunkSize),
            (b"5\nhello\n", Refusal::ChunkSize),
            (b"5\r\rhello", Refusal::ChunkSize),
            (b"FFFFFFFFFFFFFFFFF\r\n", Refusal::ChunkSize),
            (b"5;a\nb\r\nhello", Refusal::ChunkExtension),
            (b"5;\x00\r\nhello", Refusal::ChunkExtension),
            (b"5\r\nhello!\r\n", Refusal::ChunkEnd),
            (b"5\r\nhello\n0\r\n", Refusal::ChunkEnd),
            (b"5\r\nhello\rX", Refusal::ChunkEnd),
            (b"0\r\nX-Haetae-User: a\r\n\r\n", Refusal::Trailers),
            (b"0\r\nContent_Length: 5\r\n\r\n", Refusal::Trailers),
            (b"0\r\n folded\r\n\r\n", Refusal::Trailers),
            (b"0\r\nno colon\r\n\r\n", Refusal::Trailers),
            (b"0\r\n\n", Refusal::BareLineFeed),
            (b"0\r\na: b\rc\r\n\r\n", Refusal::BareCarriageReturn),
        ] {
            assert_eq!(follow(body, 1), Err(refusal), "{}", body.escape_ascii());
            assert_eq!(follow(body, body.len()), Err(refusal), "{}", body.escape_ascii());
        }
        let long = [b"5;".as_slice(), &[b'x'; 2000], b"\r\nhello\r\n"].concat();
        assert_eq!(follow(&long, 100), Err(Refusal::ChunkExtension));
        let long = [b"0\r\na: ".as_slice(), &[b'x'; 5000], b"\r\n\r\n"].concat();
        assert_eq!(follow(&long, 100), Err(Refusal::Trailers));
    }

    proptest! {
        #[test]
        fn pieces_never_change_the_verdict(bytes in proptest::collection::vec(prop_oneof![
            Just(b'\r'), Just(b'\n'), Just(b'0'), Just(b'3'), Just(b';'), Just(b'a'), Just(b':')
        ], 0..24), step in 1_usize..8) {
            let whole = follow(&bytes, bytes.len().max(1));
            prop_assert_eq!(follow(&bytes, step), whole);
        }
    }
}
