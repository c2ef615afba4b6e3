//! Every rule of the front door, by name, and how a broken one is told.

use haetae_base::problem::Problem;
use http::StatusCode;

/// A rule of the front door that a request broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The request line is not `method SP target SP HTTP/1.x` (RFC 9112 3).
    RequestLine,
    /// The method is not a token (RFC 9110 9.1).
    Method,
    /// `CONNECT`: this is no tunnel.
    Connect,
    /// `TRACE` would show a script what the browser hides from it.
    Trace,
    /// Neither HTTP/1.1 nor HTTP/1.0 (RFC 9112 2.3).
    Version,
    /// A target form that the method does not allow (RFC 9112 3.2).
    TargetForm,
    /// A character in the target that a URI cannot have (RFC 3986 3.3).
    TargetCharacter,
    /// `%` without two hexadecimal digits (RFC 3986 2.1).
    PercentEncoding,
    /// An encoded slash, backslash or NUL, or a backslash: another server may see another path.
    AmbiguousPath,
    /// `.` or `..` as a segment, in any encoding.
    DotSegment,
    /// An empty segment (`//`), which some servers drop.
    EmptySegment,
    /// An encoded percent sign that hides one of the above.
    DoubleEncoding,
    /// The target is longer than `gateway.max_uri_bytes`.
    TargetTooLong,
    /// A line that ends in LF alone (RFC 9112 2.2).
    BareLineFeed,
    /// CR that is not followed by LF (RFC 9112 2.2).
    BareCarriageReturn,
    /// A field that goes on in the next line (RFC 9112 5.2).
    ObsoleteFolding,
    /// A field name that is not a token, or white space before the colon (RFC 9112 5.1).
    FieldName,
    /// A control character in a field value, or over HTTP/2 white space around it (RFC 9110 5.5, RFC 9113 8.2.1).
    FieldValue,
    /// More fields than `gateway.max_headers`.
    TooManyFields,
    /// A head larger than `gateway.max_header_bytes`.
    HeadTooLarge,
    /// No Host (RFC 9112 3.2).
    HostMissing,
    /// More than one Host (RFC 9112 3.2).
    HostRepeated,
    /// A Host that is not `host[:port]` (RFC 9110 7.2).
    HostInvalid,
    /// A Host that differs from the target's authority (RFC 9112 3.2.2).
    HostMismatch,
    /// A `Content-Length` that is not one number (RFC 9112 6.3).
    ContentLength,
    /// More than one `Content-Length`, equal or not.
    ContentLengthRepeated,
    /// `Content-Length` beside `Transfer-Encoding` (RFC 9112 6.1).
    BothFramings,
    /// A transfer coding other than exactly `chunked` (RFC 9112 6.1).
    TransferEncoding,
    /// `Transfer-Encoding` in HTTP/1.0 (RFC 9112 6.1).
    TransferEncodingHttp10,
    /// A chunk size that is empty, not hexadecimal, or too large (RFC 9112 7.1).
    ChunkSize,
    /// A chunk extension with a forbidden character, or too long (RFC 9112 7.1.1).
    ChunkExtension,
    /// Chunk data that does not end where its size says (RFC 9112 7.1).
    ChunkEnd,
    /// A trailer section that is malformed, too large, or carries a field that trailers must not
    /// (RFC 9110 6.5.1).
    Trailers,
    /// A field that must be single is repeated: which one counts?
    FieldRepeated,
    /// `X-Haetae-*` from outside: identity is ours to say.
    IdentityField,
    /// A field name that differs from one that we trust only by `_` or `.` for `-`.
    AliasedField,
    /// `Connection` names a field that is not the sender's to remove, or too many (RFC 9110 7.6.1).
    ConnectionOption,
    /// The session cookie is there twice.
    CookieRepeated,
    /// The head was not complete within `gateway.header_timeout`.
    HeadTooSlow,
    /// Too many half-sent heads from one address.
    TooManySlow,
    /// A body larger than the route takes.
    BodyTooLarge,
    /// The body was not complete within `gateway.request_timeout`.
    BodyTooSlow,
}

impl Refusal {
    /// All of them.
    pub(crate) const ALL: [Self; 42] = [
        Self::RequestLine,
        Self::Method,
        Self::Connect,
        Self::Trace,
        Self::Version,
        Self::TargetForm,
        Self::TargetCharacter,
        Self::PercentEncoding,
        Self::AmbiguousPath,
        Self::DotSegment,
        Self::EmptySegment,
        Self::DoubleEncoding,
        Self::TargetTooLong,
        Self::BareLineFeed,
        Self::BareCarriageReturn,
        Self::ObsoleteFolding,
        Self::FieldName,
        Self::FieldValue,
        Self::TooManyFields,
        Self::HeadTooLarge,
        Self::HostMissing,
        Self::HostRepeated,
        Self::HostInvalid,
        Self::HostMismatch,
        Self::ContentLength,
        Self::ContentLengthRepeated,
        Self::BothFramings,
        Self::TransferEncoding,
        Self::TransferEncodingHttp10,
        Self::ChunkSize,
        Self::ChunkExtension,
        Self::ChunkEnd,
        Self::Trailers,
        Self::FieldRepeated,
        Self::IdentityField,
        Self::AliasedField,
        Self::ConnectionOption,
        Self::CookieRepeated,
        Self::HeadTooSlow,
        Self::TooManySlow,
        Self::BodyTooLarge,
        Self::BodyTooSlow,
    ];

    /// The status that answers it.
    pub(crate) const fn status(self) -> StatusCode {
        match self {
            Self::Trace => StatusCode::METHOD_NOT_ALLOWED,
            Self::Version => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            Self::TargetTooLong => StatusCode::URI_TOO_LONG,
            Self::TooManyFields | Self::HeadTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::HeadTooSlow | Self::BodyTooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::TooManySlow => StatusCode::SERVICE_UNAVAILABLE,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            _ => StatusCode::BAD_REQUEST,
        }
    }

    /// The rule's name in metrics and in the problem's `rule`.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::RequestLine => "request-line",
            Self::Method => "method",
            Self::Connect => "connect",
            Self::Trace => "trace",
            Self::Version => "version",
            Self::TargetForm => "target-form",
            Self::TargetCharacter => "target-character",
            Self::PercentEncoding => "percent-encoding",
            Self::AmbiguousPath => "ambiguous-path",
            Self::DotSegment => "dot-segment",
            Self::EmptySegment => "empty-segment",
            Self::DoubleEncoding => "double-encoding",
            Self::TargetTooLong => "target-too-long",
            Self::BareLineFeed => "bare-line-feed",
            Self::BareCarriageReturn => "bare-carriage-return",
            Self::ObsoleteFolding => "obsolete-folding",
            Self::FieldName => "field-name",
            Self::FieldValue => "field-value",
            Self::TooManyFields => "too-many-fields",
            Self::HeadTooLarge => "head-too-large",
            Self::HostMissing => "host-missing",
            Self::HostRepeated => "host-repeated",
            Self::HostInvalid => "host-invalid",
            Self::HostMismatch => "host-mismatch",
            Self::ContentLength => "content-length",
            Self::ContentLengthRepeated => "content-length-repeated",
            Self::BothFramings => "content-length-and-transfer-encoding",
            Self::TransferEncoding => "transfer-encoding",
            Self::TransferEncodingHttp10 => "transfer-encoding-http10",
            Self::ChunkSize => "chunk-size",
            Self::ChunkExtension => "chunk-extension",
            Self::ChunkEnd => "chunk-end",
            Self::Trailers => "trailers",
            Self::FieldRepeated => "field-repeated",
            Self::IdentityField => "identity-field",
            Self::AliasedField => "aliased-field",
            Self::ConnectionOption => "connection-option",
            Self::CookieRepeated => "cookie-repeated",
            Self::HeadTooSlow => "head-too-slow",
            Self::TooManySlow => "too-many-slow",
            Self::BodyTooLarge => "body-too-large",
            Self::BodyTooSlow => "body-too-slow",
        }
    }

    /// What was wrong, for a person.
    pub(crate) const fn detail(self) -> &'static str {
        match self {
            Self::RequestLine => {
                "The request line is not a method, a target and a version, with one space between each."
            }
            Self::Method => "The method is not a token.",
            Self::Connect => "CONNECT is not served here.",
            Self::Trace => "TRACE is not served here.",
            Self::Version => "Only HTTP/1.0, HTTP/1.1 and, over TLS, HTTP/2 are served here.",
            Self::TargetForm => "The request target has a form that this method does not allow.",
            Self::TargetCharacter => {
                "The request target has a character that must be percent-encoded."
            }
            Self::PercentEncoding => {
                "The request target has a percent sign without two hexadecimal digits."
            }
            Self::AmbiguousPath => "The path has an encoded slash, a backslash or a NUL.",
            Self::DotSegment => "The path has a segment that is a dot or two.",
            Self::EmptySegment => "The path has an empty segment.",
            Self::DoubleEncoding => "The path is percent-encoded twice.",
            Self::TargetTooLong => "The request target is too long.",
            Self::BareLineFeed => "A line ends in LF without CR.",
            Self::BareCarriageReturn => "A CR is not followed by LF.",
            Self::ObsoleteFolding => "A field goes on in the next line.",
            Self::FieldName => {
                "A field name is not a token, or white space stands before its colon."
            }
            Self::FieldValue => "A field value has a control character, or white space around it.",
            Self::TooManyFields => "There are too many fields.",
            Self::HeadTooLarge => "The request head is too large.",
            Self::HostMissing => "Host is missing.",
            Self::HostRepeated => "There is more than one Host.",
            Self::HostInvalid => "Host is not a host with an optional port.",
            Self::HostMismatch => "Host differs from the authority of the request target.",
            Self::ContentLength => "Content-Length is not a number.",
            Self::ContentLengthRepeated => "There is more than one Content-Length.",
            Self::BothFramings => "Content-Length and Transfer-Encoding exclude each other.",
            Self::TransferEncoding => {
                "The only transfer coding that is understood here is chunked."
            }
            Self::TransferEncodingHttp10 => "HTTP/1.0 has no Transfer-Encoding.",
            Self::ChunkSize => "A chunk size is not a hexadecimal number.",
            Self::ChunkExtension => "A chunk extension is malformed or too long.",
            Self::ChunkEnd => "A chunk does not end where its size says.",
            Self::Trailers => {
                "The trailer section is malformed, too large, or has a field that does not belong there."
            }
            Self::FieldRepeated => "A field that may be there once is repeated.",
            Self::IdentityField => {
                "Fields whose name starts with X-Haetae- cannot be sent from outside."
            }
            Self::AliasedField => "A field name resembles one that has a meaning here.",
            Self::ConnectionOption => "Connection names a field that it must not, or too many.",
            Self::CookieRepeated => "The session cookie is there twice.",
            Self::HeadTooSlow => "The request head took too long.",
            Self::TooManySlow => "Too many requests from this address are half sent.",
            Self::BodyTooLarge => "The body is larger than is taken here.",
            Self::BodyTooSlow => "The body took too long.",
        }
    }

    /// The refusal as RFC 9457 tells it.
    pub(crate) fn problem(self) -> Problem {
        let status = self.status();
        let problem = match self {
            Self::TooManySlow => Problem::unavailable(1),
            Self::BodyTooLarge => {
                Problem::new(status, "content-too-large", "The content is too large")
            }
            Self::TargetTooLong => {
                Problem::new(status, "target-too-long", "The target is too long")
            }
            Self::TooManyFields | Self::HeadTooLarge => {
                Problem::new(status, "head-too-large", "The request head is too large")
            }
            Self::HeadTooSlow | Self::BodyTooSlow => {
                Problem::new(status, "request-timeout", "The request took too long to arrive")
            }
            Self::Trace => {
                Problem::new(status, "method-not-allowed", "The method is not allowed here").header(
                    http::header::ALLOW,
                    http::HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"),
                )
            }
            _ => Problem::new(status, "malformed-request", "The request is malformed"),
        };
        problem.detail(self.detail()).with("rule", self.name())
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        refusal.problem()
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.name())
    }
}

impl std::error::Error for Refusal {}
