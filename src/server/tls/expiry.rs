//! Until when a certificate is good.

use chrono::{DateTime, NaiveDateTime, Utc};

const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// The end of the validity (RFC 5280, section 4.1); none where the certificate is not understood.
pub(super) fn end_of_validity(certificate: &[u8]) -> Option<DateTime<Utc>> {
    let (_, certificate, _) = element(certificate).filter(|(tag, ..)| *tag == SEQUENCE)?;
    let (_, body, _) = element(certificate).filter(|(tag, ..)| *tag == SEQUENCE)?;
    let (first, _, behind_version) = element(body)?;
    let mut rest = if first == VERSION { behind_version } else { body };
    // The serial number, the algorithm and the issuer.
    for _ in 0..3 {
        rest = element(rest)?.2;
    }
    let (_, validity, _) = element(rest).filter(|(tag, ..)| *tag == SEQUENCE)?;
    let (_, _, end) = element(validity)?;
    let (tag, time, _) = element(end)?;
    time_of(tag, std::str::from_utf8(time).ok()?)
}

/// Section 4.1.2.5: years of two digits are those from 1950 to 2049.
fn time_of(tag: u8, text: &str) -> Option<DateTime<Utc>> {
    let text = match tag {
        UTC_TIME if text.get(..2)? < "50" => format!("20{text}"),
        UTC_TIME => format!("19{text}"),
        GENERALIZED_TIME => text.to_owned(),
        _ => return None,
    };
    NaiveDateTime::parse_from_str(&text, "%Y%m%d%H%M%SZ").ok().map(|time| time.and_utc())
}

/// Tag, contents and what follows of the first element in DER (X.690, section 8.1).
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&length, rest) = rest.split_first()?;
    let (length, rest) = match length {
        ..=0x7f => (usize::from(length), rest),
        0x81..=0x83 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(length & 0x7f))?;
            (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    let (contents, rest) = rest.split_at_checked(length)?;
    Some((tag, contents, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(year: i32) -> Option<i64> {
        let mut params = rcgen::CertificateParams::new(vec!["a.test".into()]).unwrap();
        params.not_after = rcgen::date_time_ymd(year, 5, 6);
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let end = end_of_validity(certificate.der())?;
        assert_eq!(end.timestamp(), rcgen::date_time_ymd(year, 5, 6).unix_timestamp());
        Some(end.timestamp())
    }

    #[test]
    fn the_end_of_a_certificate_is_found_on_either_side_of_2050() {
        assert!(ends(2049) < ends(2050));
        assert!(ends(1999) < ends(2000));
        assert!(ends(2000).is_some());
    }

    #[test]
    fn what_is_no_certificate_has_no_end_whatever_is_cut_off() {
        let certificate = rcgen::generate_simple_self_signed(vec!["a.test".into()]).unwrap().cert;
        let der = certificate.der();
        for length in 0..der.len() {
            assert_eq!(end_of_validity(&der[..length]), None);
        }
    }
}
