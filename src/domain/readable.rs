//! JSON that is passed on unread, read all the same.

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// Anything that a strict reader can read whole: text is Unicode (no half of a surrogate pair) without U+0000, numbers are in
/// range, and nesting ends at a depth of some hundred.
///
/// Browsers read more than that; the peer may be another program, which would lose the whole event or worse. Keeps nothing.
pub(super) struct Readable;

impl<'de> Deserialize<'de> for Readable {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self)
    }
}

/// The same of text alone: its length once escapes are read.
pub(super) struct ReadableText(pub(super) usize);

impl<'de> Deserialize<'de> for ReadableText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        read_text(deserializer, str::len).map(Self)
    }
}

/// Reads a text and gives what `look` makes of it.
pub(super) fn read_text<'de, D: Deserializer<'de>, T>(
    deserializer: D,
    look: impl Fn(&str) -> T,
) -> Result<T, D::Error> {
    struct Look<F>(F);
    impl<T, F: Fn(&str) -> T> Visitor<'_> for Look<F> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("text")
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
            refuse_nul(text)?;
            Ok((self.0)(text))
        }
    }
    deserializer.deserialize_str(Look(look))
}

fn refuse_nul<E: Error>(text: &str) -> Result<(), E> {
    if text.contains('\0') { Err(E::custom("U+0000")) } else { Ok(()) }
}

impl<'de> Visitor<'de> for Readable {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self, E> {
        refuse_nul(text)?;
        Ok(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self, A::Error> {
        while list.next_element::<Self>()?.is_some() {}
        Ok(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Self, A::Error> {
        while object.next_entry::<Self, Self>()?.is_some() {}
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn readable(json: &str) -> bool {
        serde_json::from_str::<Readable>(json).is_ok()
    }

    #[test]
    fn what_a_strict_reader_reads_is_readable() {
        for json in [
            "null",
            "true",
            "-1",
            "18446744073709551615",
            "1e300",
            r#""\ud83e\udd80""#,
            r#"{"a":[{"b":""},[]]}"#,
        ] {
            assert!(readable(json), "{json}");
        }
        assert!(readable(&format!("{}{}", "[".repeat(100), "]".repeat(100))));
    }

    #[test]
    fn what_only_some_readers_read_is_not() {
        for json in [
            r#""\u0000""#,
            r#"{"\u0000":1}"#,
            r#""\ud800""#,
            r#""\udc00\ud800""#,
            r#"{"a":{"\ud800":1}}"#,
            r#"[["\udfff"]]"#,
            "[1e999]",
        ] {
            assert!(!readable(json), "{json}");
        }
        assert!(!readable(&format!("{}{}", "[".repeat(1000), "]".repeat(1000))));
    }
}
