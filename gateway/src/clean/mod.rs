//! The clean front door: what is refused before anyone looks. One list of rules for HTTP/1 and HTTP/2;
//! a request that passed is a [`Clean`], and nothing behind the door accepts anything else.
//!
//! Every rule is a variant of [`Refusal`] and has a raw-bytes test in `tests/it/front_door.rs`.

pub(crate) mod chunked;
pub(crate) mod cookies;
pub(crate) mod fields;
pub(crate) mod head;
pub(crate) mod host;
pub(crate) mod path;
mod refusal;

use http::{Method, Uri};

pub(crate) use self::refusal::Refusal;

/// How large a request head may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HeadLimits {
    /// All bytes of the head, request line and fields.
    pub(crate) head_bytes: usize,
    /// The number of fields.
    pub(crate) fields: usize,
    /// The bytes of the request target.
    pub(crate) target_bytes: usize,
}

/// How the body of a request is framed (RFC 9112 6.3), after every ambiguity was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// No body; over HTTP/2 also one whose length is not told.
    Empty,
    /// `Content-Length` of that many bytes, at least one.
    Length(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
}

/// A request head that broke none of the rules. Only this module makes one.
#[derive(Clone, Debug)]
pub(crate) struct Clean {
    framing: Framing,
    /// The target in origin-form when what was sent has to be rewritten for the upstream: it was in
    /// absolute-form, or its path was not normalised.
    rewritten: Option<String>,
    facts: Facts,
}

/// What the checks saw on the way and later steps ask for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "independent observations of one head")]
pub(crate) struct Facts {
    /// There is an `Authorization` field.
    pub(crate) authorization: bool,
    /// There is a `Cookie` field.
    pub(crate) cookie: bool,
    /// There is an `Origin` field.
    pub(crate) origin: bool,
    /// There is an `Upgrade` field.
    pub(crate) upgrade: bool,
    /// There is a `Forwarded`, `X-Forwarded-*` or `X-Real-IP` field.
    pub(crate) forwarded: bool,
    /// The target is `*`, which only `OPTIONS` may ask for.
    pub(crate) asterisk: bool,
}

impl Clean {
    /// How the body is framed.
    pub(crate) const fn framing(&self) -> Framing {
        self.framing
    }

    /// What the checks saw.
    pub(crate) const fn facts(&self) -> Facts {
        self.facts
    }

    /// The origin-form target that replaces the one that was sent, if it has to be replaced.
    pub(crate) fn rewritten(&self) -> Option<&str> {
        self.rewritten.as_deref()
    }

    /// Checks a request that came over HTTP/2, where there are no raw bytes: the decoder has refused
    /// pseudo-header abuse and connection-specific fields already (RFC 9113 8.2, 8.3).
    ///
    /// # Errors
    /// The first rule that is broken.
    pub(crate) fn from_http2(
        method: &Method,
        uri: &Uri,
        raw_path: &[u8],
        headers: &http::HeaderMap,
        limits: &HeadLimits,
    ) -> Result<Self, Refusal> {
        head::check_method(method.as_str().as_bytes())?;
        let mut seen = fields::Seen::default();
        let mut count = 0;
        for (name, value) in headers {
            // However many crumbs it came in, Cookie is one field (RFC 9113 8.2.3), as it is over HTTP/1.
            if *name != http::header::COOKIE || !seen.facts().cookie {
                count += 1;
            }
            let value = value.as_bytes();
            if head::trim(value).len() != value.len() {
                // RFC 9113 8.2.1. Over HTTP/1 it would not be a part of the value, and behind us it is not.
                return Err(Refusal::FieldValue);
            }
            seen.field(name.as_str().as_bytes(), value)?;
        }
        if count > limits.fields {
            return Err(Refusal::TooManyFields);
        }
        let authority = uri.authority().map(http::uri::Authority::as_str);
        match (authority, seen.host()) {
            (None, None) => return Err(Refusal::HostMissing),
            (Some(authority), None) => host::check(authority.as_bytes())?,
            (Some(authority), Some(host)) if !authority.as_bytes().eq_ignore_ascii_case(host) => {
                return Err(Refusal::HostMismatch);
            }
            (_, Some(host)) => host::check(host)?,
        }
        // `:path` is origin-form or `*` (RFC 9113 8.3.1).
        let target = head::Target::parse(method.as_str().as_bytes(), raw_path, limits)?;
        if matches!(target, head::Target::Absolute { .. }) {
            return Err(Refusal::TargetForm);
        }
        Self::assemble(&target, &seen, seen.framing(false)?)
    }

    fn assemble(
        target: &head::Target<'_>,
        seen: &fields::Seen<'_>,
        framing: Framing,
    ) -> Result<Self, Refusal> {
        let mut facts = seen.facts();
        let rewritten = match target {
            head::Target::Asterisk => {
                facts.asterisk = true;
                None
            }
            head::Target::Origin(text) => path::normalise(text)?,
            head::Target::Absolute { origin_form, .. } => {
                let text = if origin_form.is_empty() { "/" } else { origin_form };
                // `http://host?query` has an empty path, which is `/` (RFC 9110 4.2.3).
                let text = if text.starts_with('?') {
                    std::borrow::Cow::Owned(format!("/{text}"))
                } else {
                    std::borrow::Cow::Borrowed(text)
                };
                Some(path::normalise(&text)?.unwrap_or_else(|| text.into_owned()))
            }
        };
        Ok(Self { framing, rewritten, facts })
    }
}

#[cfg(test)]
mod tests;
