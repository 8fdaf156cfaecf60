//! What two browsers tell each other through us: descriptions and candidates, checked for shape and size and passed on as they came.

use super::readable::{Readable, ReadableText, read_text};
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use std::fmt;
use std::sync::Arc;
use utoipa::ToSchema;

/// An SDP of a browser with every codec, screen share and simulcast stays far below.
const SDP_LIMIT: usize = 48 * 1024;
/// A candidate line is some 100 to 300 bytes; with its JSON around it, well below.
const CANDIDATE_LIMIT: usize = 2 * 1024;

/// `video` or `audio`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum CallType {
    Video,
    Audio,
}

impl CallType {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Video => "video",
            Self::Audio => "audio",
        }
    }
}

/// The `type` of an `RTCSessionDescription` (W3C WebRTC 1.0, section 4.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SdpType {
    Offer,
    Answer,
    Pranswer,
    Rollback,
}

/// What is wrong with a description or candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadMedia {
    #[error("must be {{type, sdp}} as in RTCSessionDescription")]
    NotADescription,
    #[error("has the wrong type for this event")]
    WrongSdpType,
    #[error("must be an RTCIceCandidate or null")]
    NotACandidate,
    #[error("must not contain U+0000")]
    Nul,
    #[error("is too large")]
    TooLarge,
}

/// An `RTCSessionDescription`, `{type, sdp}`, as its browser wrote it. Cheap to clone. Deserialized unchecked: it comes from a node that has
/// parsed it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Description(Arc<RawValue>);

/// What is looked at in a description. All of it is read: it goes to the peer as it came.
#[derive(Default)]
struct DescriptionShape {
    kind: Option<SdpType>,
    sdp: Option<Sdp>,
}

/// A field that may be there and say nothing.
enum Sdp {
    Null,
    /// As the browser wrote it: escapes only make it longer here.
    Length(usize),
}

impl<'de> Deserialize<'de> for DescriptionShape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = DescriptionShape;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("{type, sdp}")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<DescriptionShape, A::Error> {
                let mut shape = DescriptionShape::default();
                while let Some(field) = fields.next_key::<Field>()? {
                    match field {
                        Field::Type if shape.kind.is_none() => shape.kind = Some(fields.next_value()?),
                        Field::Sdp if shape.sdp.is_none() => {
                            let text: Option<ReadableText> = fields.next_value()?;
                            shape.sdp = Some(text.map_or(Sdp::Null, |text| Sdp::Length(text.0)));
                        }
                        Field::Type | Field::Sdp => return Err(A::Error::custom("twice")),
                        Field::Candidate | Field::Other => _ = fields.next_value::<Readable>()?,
                    }
                }
                Ok(shape)
            }
        }
        deserializer.deserialize_map(Fields)
    }
}

/// The name of a field of a description or candidate.
enum Field {
    Type,
    Sdp,
    Candidate,
    Other,
}

impl<'de> Deserialize<'de> for Field {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        read_text(deserializer, |name| match name {
            "type" => Self::Type,
            "sdp" => Self::Sdp,
            "candidate" => Self::Candidate,
            _ => Self::Other,
        })
    }
}

impl Description {
    /// Checks the shape, the type and the size; the SDP itself is the browsers' business.
    pub(crate) fn parse(raw: &RawValue, allowed: &[SdpType]) -> Result<Self, BadMedia> {
        if raw.get().len() > SDP_LIMIT + SDP_LIMIT / 4 {
            return Err(BadMedia::TooLarge);
        }
        let shape: DescriptionShape = read(raw, BadMedia::NotADescription)?;
        let kind = shape.kind.ok_or(BadMedia::NotADescription)?;
        if !allowed.contains(&kind) {
            return Err(BadMedia::WrongSdpType);
        }
        match shape.sdp {
            Some(Sdp::Length(length)) if length > SDP_LIMIT => Err(BadMedia::TooLarge),
            // Only a rollback has nothing to describe.
            Some(Sdp::Null) | None if kind != SdpType::Rollback => Err(BadMedia::NotADescription),
            Some(_) | None => Ok(Self(raw.to_owned().into())),
        }
    }
}

/// Reads it once; `otherwise`: why it cannot be read, if it is not for a NUL.
fn read<'a, T: Deserialize<'a>>(raw: &'a RawValue, otherwise: BadMedia) -> Result<T, BadMedia> {
    serde_json::from_str(raw.get())
        .map_err(|_| if raw.get().contains("\\u0000") { BadMedia::Nul } else { otherwise })
}

impl Description {
    pub(crate) fn size(&self) -> usize {
        self.0.get().len()
    }
}

impl Candidate {
    pub(crate) fn size(&self) -> usize {
        self.0.get().len()
    }
}

/// An `RTCIceCandidate` as its browser wrote it, or null for the end of candidates. Cheap to clone. Deserialized unchecked, as a description is.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Candidate(Arc<RawValue>);

/// An object with a text `candidate`, or null, read whole.
struct CandidateShape;

impl<'de> Deserialize<'de> for CandidateShape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = CandidateShape;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a candidate")
            }

            fn visit_unit<E>(self) -> Result<CandidateShape, E> {
                Ok(CandidateShape)
            }

            fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<CandidateShape, A::Error> {
                let mut found = false;
                while let Some(field) = fields.next_key::<Field>()? {
                    match field {
                        Field::Candidate if found => return Err(A::Error::custom("twice")),
                        Field::Candidate => {
                            fields.next_value::<ReadableText>()?;
                            found = true;
                        }
                        Field::Type | Field::Sdp | Field::Other => _ = fields.next_value::<Readable>()?,
                    }
                }
                if found { Ok(CandidateShape) } else { Err(A::Error::missing_field("candidate")) }
            }
        }
        deserializer.deserialize_any(Fields)
    }
}

impl Candidate {
    /// An object with a string `candidate`, or null.
    pub(crate) fn parse(raw: &RawValue) -> Result<Self, BadMedia> {
        if raw.get().len() > CANDIDATE_LIMIT {
            return Err(BadMedia::TooLarge);
        }
        read::<CandidateShape>(raw, BadMedia::NotACandidate)?;
        Ok(Self(raw.to_owned().into()))
    }
}

/// Which of its devices a party has on, for the other to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MediaState {
    pub(crate) audio: bool,
    pub(crate) video: bool,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) screen: Option<bool>,
}

impl PartialEq for Description {
    fn eq(&self, other: &Self) -> bool {
        self.0.get() == other.0.get()
    }
}

impl PartialEq for Candidate {
    fn eq(&self, other: &Self) -> bool {
        self.0.get() == other.0.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(json: &str) -> Box<RawValue> {
        serde_json::from_str(json).unwrap()
    }

    fn offer(json: &str) -> Result<Description, BadMedia> {
        Description::parse(&raw(json), &[SdpType::Offer])
    }

    #[test]
    fn a_description_goes_out_as_it_came_in() {
        let text = r#"{ "sdp":"v=0\r\n", "type" : "offer","extra":1 }"#;
        assert_eq!(serde_json::to_string(&offer(text).unwrap()).unwrap(), text);
    }

    #[test]
    fn a_description_out_of_shape_is_refused() {
        for text in [
            "null",
            "[]",
            "1",
            "\"v=0\"",
            "{}",
            r#"{"type":"offer"}"#,
            r#"{"sdp":"v=0"}"#,
            r#"{"type":"offer","sdp":5}"#,
            r#"{"type":"offer","sdp":{}}"#,
            r#"{"type":"offer","sdp":null}"#,
            r#"{"type":"offer","type":"offer","sdp":"v=0"}"#,
            r#"{"type":"offer","sdp":null,"sdp":"v=0"}"#,
            r#"{"type":"offer","sdp":"v=0","sdp":null}"#,
            r#"{"type":"OFFER","sdp":"v=0"}"#,
            r#"["offer","v=0"]"#,
        ] {
            assert_eq!(offer(text), Err(BadMedia::NotADescription), "{text}");
        }
        assert_eq!(offer(r#"{"type":"answer","sdp":"v=0"}"#), Err(BadMedia::WrongSdpType));
        assert_eq!(offer(r#"{"type":"offer","sdp":"a\u0000b"}"#), Err(BadMedia::Nul));
        assert!(offer(r#"{"type":"offer","sdp":"a\\u0000b"}"#).is_ok(), "a backslash, and then text");
    }

    #[test]
    fn an_sdp_is_measured_as_the_browser_wrote_it() {
        let sized = |line: &str, n: usize| format!(r#"{{"type":"offer","sdp":"{}"}}"#, line.repeat(n));
        assert!(offer(&sized("x", SDP_LIMIT)).is_ok());
        assert_eq!(offer(&sized("x", SDP_LIMIT + 1)), Err(BadMedia::TooLarge));
        assert!(offer(&sized(r"aaaaaaaaaaaaaaaaaaaaaa\r\n", SDP_LIMIT / 24)).is_ok(), "escapes do not count");
    }

    #[test]
    fn nothing_is_passed_on_that_only_some_readers_can_read() {
        for more in [r#""\ud800""#, "1e999", &format!("{}{}", "[".repeat(500), "]".repeat(500))] {
            let description = format!(r#"{{"type":"offer","sdp":"v=0","more":{more}}}"#);
            assert_eq!(offer(&description), Err(BadMedia::NotADescription), "{more}");
            let candidate = format!(r#"{{"candidate":"","more":{more}}}"#);
            assert_eq!(Candidate::parse(&raw(&candidate)), Err(BadMedia::NotACandidate), "{more}");
        }
        assert_eq!(offer(r#"{"type":"offer","sdp":"v=0\ud800"}"#), Err(BadMedia::NotADescription));
        assert_eq!(offer(r#"{"type":"offer","sdp":"v=0","more":"\u0000"}"#), Err(BadMedia::Nul));
        assert_eq!(Candidate::parse(&raw(r#"{"candidate":"","sdpMid":"\u0000"}"#)), Err(BadMedia::Nul));
    }

    #[test]
    fn a_rollback_needs_no_sdp() {
        assert!(Description::parse(&raw(r#"{"type":"rollback"}"#), &[SdpType::Rollback]).is_ok());
    }

    #[test]
    fn a_candidate_is_an_object_with_a_candidate_line_or_null() {
        assert!(Candidate::parse(&raw("null")).is_ok());
        assert!(
            Candidate::parse(&raw(r#"{"candidate":"candidate:1 1 udp 1 1.2.3.4 5 typ host","sdpMid":"0"}"#))
                .is_ok()
        );
        assert!(Candidate::parse(&raw(r#"{"candidate":""}"#)).is_ok());
        for text in ["1", "\"x\"", "[]", "{}", r#"{"candidate":5}"#, r#"{"candidate":null}"#, "true"] {
            assert_eq!(Candidate::parse(&raw(text)), Err(BadMedia::NotACandidate), "{text}");
        }
        let long = format!(r#"{{"candidate":"{}"}}"#, "x".repeat(CANDIDATE_LIMIT));
        assert_eq!(Candidate::parse(&raw(&long)), Err(BadMedia::TooLarge));
        assert_eq!(Candidate::parse(&raw(r#"{"candidate":"\u0000"}"#)), Err(BadMedia::Nul));
    }
}
