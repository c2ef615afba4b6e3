//! The head of an HTTP/1 request, from its raw bytes (RFC 9112 2 to 5). Pingora parses the same bytes
//! again later; what it would read leniently never gets there.

use super::{Clean, HeadLimits, Refusal, fields, host};

/// Finds the end of a head as bytes arrive, and refuses bad line ends at once.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Scanner {
    scanned: usize,
    line: usize,
}

impl Scanner {
    /// Whether it has looked at nothing yet.
    pub(crate) const fn is_fresh(&self) -> bool {
        self.scanned == 0
    }

    /// Looks at `bytes`, of which earlier calls have seen a prefix. Gives the length of the head, the
    /// empty line included, when it is complete.
    ///
    /// # Errors
    /// A line end that is not CRLF, or a head or target that is too long already.
    pub(crate) fn scan(
        &mut self,
        bytes: &[u8],
        limits: &HeadLimits,
    ) -> Result<Option<usize>, Refusal> {
        while let Some(rest) = bytes.get(self.scanned..) {
            let Some(at) = memchr::memchr(b'\n', rest) else { break };
            let end = self.scanned + at;
            let line = bytes.get(self.line..end).unwrap_or_default();
            let Some((&b'\r', line)) = line.split_last() else { return Err(Refusal::BareLineFeed) };
            self.scanned = end + 1;
            self.line = end + 1;
            if self.scanned > limits.head_bytes {
                return Err(too_large(bytes, limits));
            }
            if line.is_empty() {
                return Ok(Some(self.scanned));
            }
        }
        self.scanned = bytes.len();
        if bytes.len() > limits.head_bytes {
            return Err(too_large(bytes, limits));
        }
        // A request line without an end is its target's fault before it is the head's.
        if self.line == 0 && bytes.len() > limits.target_bytes.saturating_add(64) {
            return Err(Refusal::TargetTooLong);
        }
        Ok(None)
    }
}

fn too_large(bytes: &[u8], limits: &HeadLimits) -> Refusal {
    let line = memchr::memchr(b'\n', bytes).unwrap_or(bytes.len());
    if line > limits.target_bytes.saturating_add(64) {
        Refusal::TargetTooLong
    } else {
        Refusal::HeadTooLarge
    }
}

/// The target of a request, by form (RFC 9112 3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target<'a> {
    /// A path and an optional query.
    Origin(&'a str),
    /// A whole URI.
    Absolute {
        /// Host and optional port.
        authority: &'a str,
        /// What follows the authority; may be empty.
        origin_form: &'a str,
    },
    /// `*`, of `OPTIONS` only.
    Asterisk,
}

impl<'a> Target<'a> {
    /// Reads a target as `method` may use it.
    ///
    /// # Errors
    /// When it is too long, is not text, or has a form that the method does not allow.
    pub(crate) fn parse(
        method: &[u8],
        raw: &'a [u8],
        limits: &HeadLimits,
    ) -> Result<Self, Refusal> {
        if raw.len() > limits.target_bytes {
            return Err(Refusal::TargetTooLong);
        }
        let text = std::str::from_utf8(raw).map_err(|_| Refusal::TargetCharacter)?;
        if text.starts_with('/') {
            return Ok(Self::Origin(text));
        }
        if text == "*" {
            return if method == b"OPTIONS" {
                Ok(Self::Asterisk)
            } else {
                Err(Refusal::TargetForm)
            };
        }
        let (scheme, rest) = text.split_once("://").ok_or(Refusal::TargetForm)?;
        if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
            return Err(Refusal::TargetForm);
        }
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, origin_form) = rest.split_at_checked(end).ok_or(Refusal::TargetForm)?;
        Ok(Self::Absolute { authority, origin_form })
    }
}

/// Checks a complete head, its empty line included.
///
/// # Errors
/// The first rule that is broken.
pub(crate) fn check(head: &[u8], limits: &HeadLimits) -> Result<Clean, Refusal> {
    let mut lines = Lines(head);
    let request_line = lines.next().ok_or(Refusal::RequestLine)??;
    let (method, target, http_10) = request_line_parts(request_line)?;
    let target = Target::parse(method, target, limits)?;

    let mut seen = fields::Seen::default();
    let mut count = 0;
    for line in lines {
        let line = line?;
        if line.is_empty() {
            break;
        }
        count += 1;
        if count > limits.fields {
            return Err(Refusal::TooManyFields);
        }
        let (name, value) = field(line)?;
        seen.field(name, value)?;
    }

    let host = seen.host().ok_or(Refusal::HostMissing)?;
    host::check(host)?;
    if let Target::Absolute { authority, .. } = target
        && !authority.as_bytes().eq_ignore_ascii_case(host)
    {
        return Err(Refusal::HostMismatch);
    }
    let framing = seen.framing(http_10)?;
    Clean::assemble(&target, &seen, framing)
}

fn request_line_parts(line: &[u8]) -> Result<(&[u8], &[u8], bool), Refusal> {
    let mut parts = line.split(|&byte| byte == b' ');
    let (Some(method), Some(target), Some(version), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(Refusal::RequestLine);
    };
    if method.is_empty() || target.is_empty() {
        return Err(Refusal::RequestLine);
    }
    check_method(method)?;
    match version {
        b"HTTP/1.1" => Ok((method, target, false)),
        b"HTTP/1.0" => Ok((method, target, true)),
        _ if version.starts_with(b"HTTP/") => Err(Refusal::Version),
        _ => Err(Refusal::RequestLine),
    }
}

/// Refuses what is no method, and the methods that nobody behind this door serves.
///
/// # Errors
/// When it is one of them.
pub(super) fn check_method(method: &[u8]) -> Result<(), Refusal> {
    if method.len() > 32 || !method.iter().copied().all(fields::is_token) {
        return Err(Refusal::Method);
    }
    match method {
        b"CONNECT" => Err(Refusal::Connect),
        b"TRACE" | b"TRACK" => Err(Refusal::Trace),
        _ => Ok(()),
    }
}

/// Splits a field line into its name and its value without the white space around it.
///
/// # Errors
/// When it is a folded line, or its name or value has a character that they cannot have.
pub(crate) fn field(line: &[u8]) -> Result<(&[u8], &[u8]), Refusal> {
    if matches!(line.first(), Some(b' ' | b'\t')) {
        return Err(Refusal::ObsoleteFolding);
    }
    let colon = line.iter().position(|&byte| byte == b':').ok_or(Refusal::FieldName)?;
    let (name, value) = line.split_at_checked(colon).ok_or(Refusal::FieldName)?;
    if name.is_empty() || !name.iter().copied().all(fields::is_token) {
        return Err(Refusal::FieldName);
    }
    let value = value.get(1..).unwrap_or_default();
    if value.iter().any(|&byte| (byte < b' ' && byte != b'\t') || byte == 0x7f) {
        return Err(Refusal::FieldValue);
    }
    Ok((name, trim(value)))
}

/// Takes SP and HTAB off both ends (RFC 9110 5.6.3), and nothing else that some trim functions take.
pub(super) fn trim(mut value: &[u8]) -> &[u8] {
    while let Some((b' ' | b'\t', rest)) = value.split_first() {
        value = rest;
    }
    while let Some((b' ' | b'\t', rest)) = value.split_last() {
        value = rest;
    }
    value
}

/// The lines of a head whose line ends the scanner has checked; a CR inside a line is refused here.
struct Lines<'a>(&'a [u8]);

impl<'a> Iterator for Lines<'a> {
    type Item = Result<&'a [u8], Refusal>;

    fn next(&mut self) -> Option<Self::Item> {
        let end = memchr::memchr(b'\n', self.0)?;
        let (line, rest) = self.0.split_at_checked(end + 1)?;
        self.0 = rest;
        let line = line.strip_suffix(b"\r\n")?;
        Some(if memchr::memchr(b'\r', line).is_some() {
            Err(Refusal::BareCarriageReturn)
        } else {
            Ok(line)
        })
    }
}
