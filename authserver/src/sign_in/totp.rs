//! Time-based one-time codes (RFC 6238): the secret, its enrolment as a QR code, and which step a code
//! belongs to. That each step is accepted once is for the store to keep.

use haetae_base::{clock::Timestamp, entropy};
use qrcode::{EcLevel, QrCode, render::svg};
use totp_rs::{Builder, Secret, Totp};

/// The length of a secret, in bytes: 160 bits, as RFC 4226 4 recommends.
pub(crate) const SECRET_LENGTH: usize = 20;
/// How long a code lives, in seconds (RFC 6238 5.2).
pub(crate) const STEP_SECONDS: u64 = 30;
/// Steps before and after the current one that are accepted too, for clocks that differ.
const SKEW: u16 = 1;

/// The number of a time step: Unix seconds divided by [`STEP_SECONDS`].
pub(crate) type Step = i64;

/// The authenticator of one account. SHA-1, six digits, thirty seconds: what every authenticator app
/// understands; HMAC-SHA-1 is not touched by SHA-1's collisions (RFC 4226 B.2).
pub(crate) struct Authenticator(Totp);

/// A secret that cannot be one: of the wrong length, or for an account name that cannot stand in a URI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an authenticator secret")]
pub(crate) struct InvalidSecret;

impl Authenticator {
    /// The authenticator with this secret, of `account` at `issuer` (both are shown in the app).
    ///
    /// # Errors
    /// [`InvalidSecret`] when the secret is shorter than 128 bits or a name holds a colon.
    pub(crate) fn new(secret: &[u8], issuer: &str, account: &str) -> Result<Self, InvalidSecret> {
        Builder::new()
            .with_secret(Secret::from(secret))
            .with_skew(SKEW)
            .with_step_duration(STEP_SECONDS)
            .with_issuer(Some(issuer))
            .with_account_name(account)
            .build()
            .map(Self)
            .map_err(|_| InvalidSecret)
    }

    /// The step that `code` belongs to, if it is the code of a step around `now` that is newer than
    /// `last_accepted`. The caller must then store that step with a compare-and-set, so that of two
    /// requests with one code only one is let in.
    pub(crate) fn check(
        &self,
        code: &str,
        now: Timestamp,
        last_accepted: Option<Step>,
    ) -> Option<Step> {
        let now = u64::try_from(now.as_seconds()).ok()?;
        let code = digits(code)?;
        let step = Step::try_from(self.0.check(&code, now)?).ok()?;
        last_accepted.is_none_or(|last| step > last).then_some(step)
    }

    /// The code at `now`, as the app shows it.
    #[cfg(test)]
    pub(crate) fn code_at(&self, now: Timestamp) -> String {
        self.0.generate(u64::try_from(now.as_seconds()).unwrap_or(0)).to_string()
    }

    /// The `otpauth://` URI that an authenticator app reads.
    ///
    /// # Errors
    /// [`InvalidSecret`] when the names do not fit in a URI.
    pub(crate) fn uri(&self) -> Result<String, InvalidSecret> {
        self.0.to_url().map_err(|_| InvalidSecret)
    }

    /// The secret for typing by hand: base32 in groups of four.
    pub(crate) fn secret_text(&self) -> String {
        let text = self.0.secret().to_base32();
        let groups: Vec<&str> =
            text.as_bytes().chunks(4).filter_map(|group| std::str::from_utf8(group).ok()).collect();
        groups.join(" ")
    }

    /// The URI as a QR code: an SVG element to stand in a page. Dark on white in every theme, since
    /// many cameras do not read it otherwise.
    ///
    /// # Errors
    /// [`InvalidSecret`] when the names are too long for a QR code.
    pub(crate) fn qr_svg(&self) -> Result<String, InvalidSecret> {
        let code = QrCode::with_error_correction_level(self.uri()?, EcLevel::M)
            .map_err(|_| InvalidSecret)?;
        let document = code
            .render::<svg::Color<'_>>()
            .quiet_zone(true)
            .min_dimensions(232, 232)
            .dark_color(svg::Color("#111"))
            .light_color(svg::Color("#fff"))
            .build();
        // The XML declaration has no place inside HTML.
        document
            .find("<svg")
            .and_then(|at| document.get(at..))
            .map(str::to_owned)
            .ok_or(InvalidSecret)
    }
}

impl std::fmt::Debug for Authenticator {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Authenticator(…)")
    }
}

/// A new secret.
pub(crate) fn generate_secret() -> [u8; SECRET_LENGTH] {
    entropy::bytes()
}

/// The six digits of what a person typed: apps show "123 456", and some keyboards write full-width digits.
fn digits(typed: &str) -> Option<String> {
    if typed.len() > 64 {
        return None;
    }
    let code: Option<String> = typed
        .chars()
        .filter(|character| !character.is_whitespace() && *character != '-')
        .map(|character| match character {
            '0'..='9' => Some(character),
            '\u{ff10}'..='\u{ff19}' => char::from_digit(u32::from(character) - 0xff10, 10),
            _ => None,
        })
        .collect();
    code.filter(|code| code.len() == 6)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The secret of RFC 6238's test vectors.
    const RFC: &[u8; 20] = b"12345678901234567890";

    fn authenticator() -> Authenticator {
        Authenticator::new(RFC, "Haetae", "demo").expect("valid")
    }

    #[test]
    fn gives_the_codes_of_rfc_6238() {
        // Appendix B gives eight digits; the last six of them are the six-digit code.
        for (seconds, code) in
            [(59, "287082"), (1_111_111_109, "081804"), (20_000_000_000, "353130")]
        {
            let at = Timestamp::from_seconds(seconds);
            assert_eq!(authenticator().code_at(at), code);
            assert_eq!(authenticator().check(code, at, None), Some(seconds / 30));
        }
    }

    #[test]
    fn accepts_the_neighbouring_steps_and_no_others() {
        let at = Timestamp::from_seconds(1_111_111_109);
        let code = authenticator().code_at(at);
        let check = |seconds: i64| {
            authenticator().check(&code, Timestamp::from_seconds(1_111_111_109 + seconds), None)
        };
        assert!(check(-30).is_some() && check(30).is_some());
        assert_eq!(check(-90), None);
        assert_eq!(check(90), None);
    }

    #[test]
    fn a_step_is_accepted_once() {
        let at = Timestamp::from_seconds(1_111_111_109);
        let code = authenticator().code_at(at);
        let step = authenticator().check(&code, at, None).expect("first");
        assert_eq!(authenticator().check(&code, at, Some(step)), None);
        assert_eq!(authenticator().check(&code, at, Some(step - 1)), Some(step));
    }

    #[test]
    fn reads_what_people_type() {
        assert_eq!(digits(" 123 456 ").as_deref(), Some("123456"));
        assert_eq!(digits("123-456").as_deref(), Some("123456"));
        assert_eq!(digits("１２３４５６").as_deref(), Some("123456"));
        for wrong in ["", "12345", "1234567", "12345a", "+12345", "१२३४५६"] {
            assert_eq!(digits(wrong), None, "{wrong}");
        }
        assert_eq!(digits(&" ".repeat(100_000)), None);
    }

    #[test]
    fn enrolment_holds_the_secret_as_uri_text_and_picture() {
        let uri = authenticator().uri().expect("uri");
        assert!(uri.starts_with("otpauth://totp/Haetae:demo?"), "{uri}");
        assert!(uri.contains("secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"), "{uri}");
        assert_eq!(authenticator().secret_text(), "GEZD GNBV GY3T QOJQ GEZD GNBV GY3T QOJQ");
        let svg = authenticator().qr_svg().expect("svg");
        assert!(svg.starts_with("<svg") && svg.ends_with("</svg>"), "{svg}");
    }

    #[test]
    fn a_colon_in_a_name_is_refused() {
        assert!(Authenticator::new(RFC, "Haetae", "a:b").is_err());
        assert!(Authenticator::new(b"short", "Haetae", "demo").is_err());
    }
}
