//! The three parts of a compact token (RFC 7515 7.1), decoded strictly.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use super::VerifyError;

/// The longest token that is looked at, in bytes. Haetae's own have some 700.
pub const MAX_TOKEN_LENGTH: usize = 8 * 1024;

/// A token cut at its dots. Nothing in it is trusted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Compact<'a> {
    header: &'a str,
    payload: &'a str,
    signature: &'a str,
    signed: &'a str,
}

impl<'a> Compact<'a> {
    pub(crate) fn split(token: &'a str) -> Result<Self, VerifyError> {
        if token.len() > MAX_TOKEN_LENGTH {
            return Err(VerifyError::TooLong);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(VerifyError::NotThreeParts)?;
        let (header, payload) = signed.split_once('.').ok_or(VerifyError::NotThreeParts)?;
        if payload.contains('.') || header.is_empty() || payload.is_empty() {
            return Err(VerifyError::NotThreeParts);
        }
        Ok(Self { header, payload, signature, signed })
    }

    pub(crate) fn header(&self) -> Result<Vec<u8>, VerifyError> {
        decode(self.header).ok_or(VerifyError::HeaderEncoding)
    }

    pub(crate) fn payload(&self) -> Result<Vec<u8>, VerifyError> {
        decode(self.payload).ok_or(VerifyError::PayloadEncoding)
    }

    pub(crate) fn signature(&self) -> Result<Vec<u8>, VerifyError> {
        decode(self.signature).ok_or(VerifyError::SignatureEncoding)
    }

    /// What the signature covers: header and payload as they were sent (RFC 7515 5.2).
    pub(crate) const fn signed(&self) -> &'a [u8] {
        self.signed.as_bytes()
    }
}

/// Canonical base64url: no padding, no white space, no bits beyond the last byte.
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn needs_exactly_three_parts() {
        assert!(Compact::split("a.b.c").is_ok());
        for token in ["", ".", "..", "a", "a.b", "a.b.c.d", ".b.c", "a..c", "a.b.c.", ".a.b.c"] {
            assert_eq!(Compact::split(token).unwrap_err(), VerifyError::NotThreeParts, "{token}");
        }
        let long = "a".repeat(MAX_TOKEN_LENGTH + 1);
        assert_eq!(Compact::split(&long).unwrap_err(), VerifyError::TooLong);
    }

    #[test]
    fn base64url_has_one_spelling() {
        assert_eq!(decode("AA").as_deref(), Some(&[0][..]));
        for text in ["AB", "AA==", "AA=", "A A", "AA\n", "A", "+/", "_-=", "é"] {
            assert_eq!(decode(text), None, "{text:?}");
        }
        assert!(decode("_-8").is_some());
    }
}
