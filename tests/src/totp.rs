//! A one-time code as an authenticator app makes it (RFC 6238), written anew so that the server is not
//! checked against its own library.

use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::hmac;

/// An authenticator app with one secret.
#[derive(Clone, Debug)]
pub struct Authenticator {
    secret: Vec<u8>,
    ahead: i64,
}

impl Authenticator {
    /// From the secret in base32, as a person types it: spaces, dashes and case do not matter.
    pub fn from_base32(secret: &str) -> Self {
        let (mut bits, mut count, mut bytes) = (0_u32, 0_u32, Vec::new());
        for letter in secret.chars().filter(char::is_ascii_alphanumeric) {
            let value = match letter.to_ascii_uppercase() {
                letter @ 'A'..='Z' => u32::from(letter) - u32::from('A'),
                digit @ '2'..='7' => u32::from(digit) - u32::from('2') + 26,
                other => panic!("{other} is not base32: {secret}"),
            };
            bits = bits << 5 | value;
            count += 5;
            if count >= 8 {
                count -= 8;
                bytes.push(u8::try_from(bits >> count & 0xff).expect("eight bits"));
            }
        }
        assert!(bytes.len() >= 16, "RFC 4226 4 asks for 128 bits or more: {secret}");
        Self { secret: bytes, ahead: 0 }
    }

    /// The same secret on a phone whose clock is `steps` steps ahead.
    #[must_use]
    pub fn ahead(self, steps: i64) -> Self {
        Self { ahead: steps, ..self }
    }

    /// The code of `steps` steps of 30 seconds from now; 0 is the present one.
    pub fn code(&self, steps: i64) -> String {
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
        let offset = (steps + self.ahead) * 30;
        self.code_at(seconds.checked_add_signed(offset).expect("near the present"))
    }

    /// The code at `seconds` since 1970.
    pub fn code_at(&self, seconds: u64) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &self.secret);
        let tag = hmac::sign(&key, &(seconds / 30).to_be_bytes());
        let digest = tag.as_ref();
        let offset = usize::from(digest[digest.len() - 1] & 0xf);
        let number = u32::from_be_bytes(digest[offset..offset + 4].try_into().expect("four bytes"));
        format!("{:06}", (number & 0x7fff_ffff) % 1_000_000)
    }
}
