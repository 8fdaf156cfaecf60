//! JSON that is passed on unread, read all the same.

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;

/// Whether a strict reader can read all of it: text is Unicode (no half of a surrogate pair), numbers are in range, and
/// nesting ends at a depth of some hundred.
///
/// Browsers read more than that; the peer may be another program, which would lose the whole event or worse. Keeps nothing.
pub(crate) fn is_readable(json: &RawValue) -> bool {
    serde_json::from_str::<Readable>(json.get()).is_ok()
}

struct Readable;

impl<'de> Deserialize<'de> for Readable {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self)
    }
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

    fn visit_str<E>(self, _: &str) -> Result<Self, E> {
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
        is_readable(serde_json::from_str(json).unwrap())
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
        for json in
            [r#""\ud800""#, r#""\udc00\ud800""#, r#"{"a":{"\ud800":1}}"#, r#"[["\udfff"]]"#, "[1e999]"]
        {
            assert!(!readable(json), "{json}");
        }
        assert!(!readable(&format!("{}{}", "[".repeat(1000), "]".repeat(1000))));
    }
}
