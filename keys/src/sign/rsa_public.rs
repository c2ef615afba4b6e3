//! The two numbers of an RSA public key, out of the PKCS#1 DER that the library writes (RFC 8017 A.1.1).

/// Modulus and exponent, big-endian without leading zeros. `None` when it is not such a DER text.
pub(super) fn numbers(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (body, rest) = element(0x30, der)?;
    let (modulus, exponent) = element(0x02, body)?;
    let (exponent, end) = element(0x02, exponent)?;
    (rest.is_empty() && end.is_empty()).then_some((positive(modulus)?, positive(exponent)?))
}

/// The content of the element that `der` begins with, if it has this tag, and what follows it.
fn element(tag: u8, der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = der.strip_prefix(&[tag])?.split_first()?;
    let (length, rest) = if *length < 0x80 {
        (usize::from(*length), rest)
    } else {
        // The long form: as many bytes of length as the low bits say.
        let (bytes, rest) = rest.split_at_checked(usize::from(length & 0x7f))?;
        if bytes.len() > 2 {
            return None;
        }
        (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
    };
    rest.split_at_checked(length)
}

/// DER puts a zero before a number whose top bit is set, so that it does not read as negative.
fn positive(integer: &[u8]) -> Option<&[u8]> {
    let number = integer.strip_prefix(&[0]).unwrap_or(integer);
    (!number.is_empty()).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_both_length_forms_and_no_other_text() {
        let short = [0x30, 0x08, 0x02, 0x02, 0x00, 0xc1, 0x02, 0x02, 0x01, 0x01];
        assert_eq!(numbers(&short), Some((&[0xc1][..], &[1, 1][..])));
        let mut long = vec![0x30, 0x81, 0x88, 0x02, 0x81, 0x80];
        long.extend([0x77; 128]);
        long.extend([0x02, 0x03, 0x01, 0x00, 0x01]);
        assert_eq!(numbers(&long), Some((&[0x77; 128][..], &[1, 0, 1][..])));
        for cut in 0..short.len() {
            assert_eq!(numbers(&short[..cut]), None);
        }
        assert_eq!(numbers(&[&short[..], &[0]].concat()), None, "something follows");
    }
}
