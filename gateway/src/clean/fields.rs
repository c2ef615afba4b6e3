//! The rules on field names and values, the same over HTTP/1 and HTTP/2.

use super::{Facts, Framing, Refusal};

/// What has been seen of a head so far; it refuses the first field that breaks a rule.
#[derive(Debug, Default)]
pub(crate) struct Seen<'a> {
    host: Option<&'a [u8]>,
    content_length: Option<&'a [u8]>,
    transfer_encoding: Option<&'a [u8]>,
    content_type: bool,
    browser: bool,
    connection_options: usize,
    facts: Facts,
}

/// More options than this in `Connection` and its sender wants something else than a connection.
const MAX_CONNECTION_OPTIONS: usize = 9;

impl<'a> Seen<'a> {
    /// Looks at one field. The name is a token already; the value has no white space around it.
    ///
    /// # Errors
    /// The rule that the field breaks.
    pub(crate) fn field(&mut self, name: &'a [u8], value: &'a [u8]) -> Result<(), Refusal> {
        match name.len() {
            4 if is(name, b"host") => {
                if self.host.replace(value).is_some() {
                    return Err(Refusal::HostRepeated);
                }
            }
            14 if is(name, b"content-length") => {
                if self.content_length.replace(value).is_some() {
                    return Err(Refusal::ContentLengthRepeated);
                }
                parse_length(value)?;
            }
            17 if is(name, b"transfer-encoding") => {
                if self.transfer_encoding.replace(value).is_some() || !is(value, b"chunked") {
                    return Err(Refusal::TransferEncoding);
                }
            }
            13 if is(name, b"authorization") => once(&mut self.facts.authorization)?,
            12 if is(name, b"content-type") => once(&mut self.content_type)?,
            6 if is(name, b"origin") => once(&mut self.facts.origin)?,
            6 if is(name, b"cookie") => self.facts.cookie = true,
            7 if is(name, b"upgrade") => self.facts.upgrade = true,
            10 if is(name, b"connection") => self.connection(value)?,
            9 if is(name, b"forwarded") || is(name, b"x-real-ip") => self.facts.forwarded = true,
            _ => self.other(name)?,
        }
        Ok(())
    }

    fn other(&mut self, name: &[u8]) -> Result<(), Refusal> {
        if starts_with_alias(name, b"x-haetae") {
            // RFC 10017 6.1.3.3: the static field by which our own pages call the API.
            return if is(name, b"x-haetae-browser") {
                once(&mut self.browser)
            } else {
                Err(Refusal::IdentityField)
            };
        }
        // In any spelling: it is dropped, or believed from a proxy that writes it in the right one.
        if starts_with_alias(name, b"x-forwarded-") {
            self.facts.forwarded = true;
            return Ok(());
        }
        // Servers that put fields into environment variables (CGI and its heirs) cannot tell these
        // from the real ones, and ours have been checked above.
        if name.iter().any(|byte| matches!(byte, b'_' | b'.')) && is_alias(name) {
            return Err(Refusal::AliasedField);
        }
        Ok(())
    }

    fn connection(&mut self, value: &[u8]) -> Result<(), Refusal> {
        for option in value.split(|&byte| byte == b',') {
            let option = option.trim_ascii();
            if option.is_empty() {
                continue;
            }
            self.connection_options += 1;
            let protected = PROTECTED.iter().any(|name| is(option, name))
                || starts_with_alias(option, b"x-forwarded-")
                || starts_with_alias(option, b"x-haetae");
            if protected
                || self.connection_options > MAX_CONNECTION_OPTIONS
                || !option.iter().copied().all(is_token)
            {
                return Err(Refusal::ConnectionOption);
            }
        }
        Ok(())
    }

    /// The value of Host, if there was one.
    pub(crate) const fn host(&self) -> Option<&'a [u8]> {
        self.host
    }

    /// What was seen.
    pub(crate) const fn facts(&self) -> Facts {
        self.facts
    }

    /// How an HTTP/1 body is framed (RFC 9112 6.3).
    ///
    /// # Errors
    /// When both framings are there, or `Transfer-Encoding` in HTTP/1.0.
    pub(crate) fn framing(&self, http_10: bool) -> Result<Framing, Refusal> {
        match (self.transfer_encoding, self.content_length) {
            (Some(_), _) if http_10 => Err(Refusal::TransferEncodingHttp10),
            (Some(_), Some(_)) => Err(Refusal::BothFramings),
            (Some(_), None) => Ok(Framing::Chunked),
            (None, None) => Ok(Framing::Empty),
            (None, Some(value)) => Ok(match parse_length(value)? {
                0 => Framing::Empty,
                length => Framing::Length(length),
            }),
        }
    }
}

/// Fields that a sender's `Connection` must not remove: they are ours or the framing's.
const PROTECTED: [&[u8]; 9] = [
    b"host",
    b"forwarded",
    b"content-length",
    b"authorization",
    b"cookie",
    b"origin",
    b"x-request-id",
    b"traceparent",
    b"via",
];

/// Fields whose aliases (`_` or `.` for `-`) are refused.
const UNALIASED: [&[u8]; 12] = [
    b"content-length",
    b"transfer-encoding",
    b"x-real-ip",
    b"x-request-id",
    b"proxy-authorization",
    b"if-match",
    b"idempotency-key",
    b"content-type",
    b"x-auth-user",
    b"x-authenticated-user",
    b"x-remote-user",
    b"remote-user",
];

fn is_alias(name: &[u8]) -> bool {
    UNALIASED.iter().any(|real| real.len() == name.len() && starts_with_alias(name, real))
}

fn once(seen: &mut bool) -> Result<(), Refusal> {
    if std::mem::replace(seen, true) { Err(Refusal::FieldRepeated) } else { Ok(()) }
}

/// A `Content-Length` in digits and nothing else: no sign, no list, no white space (RFC 9110 8.6).
fn parse_length(value: &[u8]) -> Result<u64, Refusal> {
    if value.is_empty() || value.len() > 18 {
        return Err(Refusal::ContentLength);
    }
    value.iter().try_fold(0_u64, |length, digit| {
        if digit.is_ascii_digit() {
            Ok(length * 10 + u64::from(digit - b'0'))
        } else {
            Err(Refusal::ContentLength)
        }
    })
}

/// Case-insensitive equality with a lower-case name.
pub(crate) fn is(name: &[u8], lower: &[u8]) -> bool {
    name.eq_ignore_ascii_case(lower)
}

/// Whether `name` starts with `lower` when `_` and `.` count as `-` and case does not count.
pub(crate) fn starts_with_alias(name: &[u8], lower: &[u8]) -> bool {
    name.len() >= lower.len()
        && name.iter().zip(lower).all(|(byte, &real)| {
            let byte = match byte {
                b'_' | b'.' => b'-',
                byte => byte.to_ascii_lowercase(),
            };
            byte == real
        })
}

/// `tchar` of RFC 9110 5.6.2.
pub(crate) const fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        )
}

/// Whether a field must not stand in a trailer section: framing, routing, identity (RFC 9110 6.5.1).
pub(crate) fn is_forbidden_trailer(name: &[u8]) -> bool {
    let lone: [&[u8]; 13] = [
        b"host",
        b"content-length",
        b"transfer-encoding",
        b"authorization",
        b"cookie",
        b"connection",
        b"forwarded",
        b"te",
        b"upgrade",
        b"origin",
        b"expect",
        b"x-request-id",
        b"trailer",
    ];
    lone.iter().any(|real| real.len() == name.len() && starts_with_alias(name, real))
        || starts_with_alias(name, b"x-haetae")
        || starts_with_alias(name, b"x-forwarded-")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn see(fields: &[(&str, &str)]) -> Result<Facts, Refusal> {
        let mut seen = Seen::default();
        for (name, value) in fields {
            seen.field(name.as_bytes(), value.as_bytes())?;
        }
        seen.framing(false)?;
        Ok(seen.facts())
    }

    #[test]
    fn identity_is_refused_in_every_spelling_but_the_pages_own_field_passes() {
        for name in [
            "X-Haetae-User",
            "x_haetae_user",
            "X.Haetae.User",
            "x-HAETAE_sub",
            "X-Haetae",
            "x_haetae-browser",
        ] {
            assert_eq!(see(&[(name, "1")]), Err(Refusal::IdentityField), "{name}");
        }
        assert!(see(&[("X-Haetae-Browser", "1")]).is_ok());
        assert!(see(&[("X-Haeta", "1"), ("X-Custom_Name", "1")]).is_ok());
    }

    #[test]
    fn framing_is_one_thing_or_refused() {
        let cases: [(&[(&str, &str)], Refusal); 9] = [
            (&[("content-length", "84, 84")], Refusal::ContentLength),
            (&[("content-length", "+1")], Refusal::ContentLength),
            (&[("content-length", "")], Refusal::ContentLength),
            (&[("content-length", "0x5")], Refusal::ContentLength),
            (&[("content-length", "9999999999999999999")], Refusal::ContentLength),
            (&[("content-length", "5"), ("Content-Length", "5")], Refusal::ContentLengthRepeated),
            (&[("content-length", "5"), ("transfer-encoding", "chunked")], Refusal::BothFramings),
            (&[("transfer-encoding", "gzip, chunked")], Refusal::TransferEncoding),
            (
                &[("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")],
                Refusal::TransferEncoding,
            ),
        ];
        for (fields, refusal) in cases {
            assert_eq!(see(fields), Err(refusal), "{fields:?}");
        }
        let mut seen = Seen::default();
        assert_eq!(seen.field(b"transfer-encoding", b"Chunked"), Ok(()));
        assert_eq!(seen.framing(false), Ok(Framing::Chunked));
        assert_eq!(seen.framing(true), Err(Refusal::TransferEncodingHttp10));
    }

    #[test]
    fn connection_cannot_take_away_what_is_ours() {
        for value in [
            "close, Host",
            "X-Forwarded-For",
            "x_forwarded_for",
            "X-Haetae-Browser",
            "authorization",
            "\"x\"",
            "a,b,c,d,e,f,g,h,i,j",
        ] {
            assert_eq!(see(&[("connection", value)]), Err(Refusal::ConnectionOption), "{value}");
        }
        assert!(see(&[("connection", "keep-alive, X-Mine, ,")]).is_ok());
    }

    #[test]
    fn aliases_of_trusted_fields_are_refused() {
        for name in ["Content_Length", "transfer.encoding", "X_Real_IP", "Idempotency_Key"] {
            assert!(matches!(see(&[(name, "1")]), Err(Refusal::AliasedField)), "{name}");
        }
        for name in ["X-Forwarded-For", "X_Forwarded_For", "x.forwarded-prefix"] {
            assert!(see(&[(name, "1")]).expect("dropped later").forwarded, "{name}");
        }
    }

    proptest! {
        #[test]
        fn any_spelling_of_an_identity_field_is_refused(
            name in "[xX][-_.][hH][aA][eE][tT][aA][eE][-_.][a-zA-Z]{1,8}"
        ) {
            prop_assume!(!name.eq_ignore_ascii_case("x-haetae-browser"));
            prop_assert_eq!(see(&[(&name, "1")]), Err(Refusal::IdentityField));
        }
    }
}
