//! What two browsers tell each other through us: descriptions and candidates, checked for shape and size and passed on as they came.

use super::readable::is_readable;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::sync::Arc;

/// An SDP of a browser with every codec, screen share and simulcast stays far below.
const SDP_LIMIT: usize = 48 * 1024;
/// A candidate line is some 100 to 300 bytes; with its JSON around it, well below.
const CANDIDATE_LIMIT: usize = 2 * 1024;

/// `video` or `audio`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
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

/// An `RTCSessionDescription`, `{type, sdp}`, as its browser wrote it. Cheap to clone.
#[derive(Debug, Clone, Serialize)]
#[serde(transparent)]
pub(crate) struct Description(Arc<RawValue>);

#[derive(Deserialize)]
struct DescriptionShape<'a> {
    #[serde(rename = "type")]
    kind: SdpType,
    #[serde(borrow)]
    sdp: Option<&'a RawValue>,
}

impl Description {
    /// Checks the shape, the type and the size; the SDP itself is the browsers' business.
    pub(crate) fn parse(raw: &RawValue, allowed: &[SdpType]) -> Result<Self, BadMedia> {
        let shape: DescriptionShape =
            serde_json::from_str(raw.get()).map_err(|_| BadMedia::NotADescription)?;
        if !allowed.contains(&shape.kind) {
            return Err(BadMedia::WrongSdpType);
        }
        match shape.sdp {
            Some(sdp) => check_sdp(sdp)?,
            // Only a rollback has nothing to describe.
            None if shape.kind == SdpType::Rollback => {}
            None => return Err(BadMedia::NotADescription),
        }
        if raw.get().len() > SDP_LIMIT + SDP_LIMIT / 4 {
            return Err(BadMedia::TooLarge);
        }
        relayed(raw, BadMedia::NotADescription).map(Self)
    }
}

/// What goes to the peer as it came, so that all of it must be good, and not only what is looked at here.
fn relayed(raw: &RawValue, unreadable: BadMedia) -> Result<Arc<RawValue>, BadMedia> {
    if raw.get().contains("\\u0000") {
        return Err(BadMedia::Nul);
    }
    if !is_readable(raw) {
        return Err(unreadable);
    }
    Ok(raw.to_owned().into())
}

fn check_sdp(sdp: &RawValue) -> Result<(), BadMedia> {
    let text = sdp.get();
    if !text.starts_with('"') {
        return Err(BadMedia::NotADescription);
    }
    // Escapes only make the text longer: decode only what could be too long.
    if text.len() > SDP_LIMIT {
        let decoded: Cow<'_, str> = serde_json::from_str(text).map_err(|_| BadMedia::NotADescription)?;
        if decoded.len() > SDP_LIMIT {
            return Err(BadMedia::TooLarge);
        }
    }
    Ok(())
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

/// An `RTCIceCandidate` as its browser wrote it, or null for the end of candidates. Cheap to clone.
#[derive(Debug, Clone, Serialize)]
#[serde(transparent)]
pub(crate) struct Candidate(Arc<RawValue>);

#[derive(Deserialize)]
struct CandidateShape<'a> {
    #[expect(dead_code, reason = "it is only parsed")]
    #[serde(borrow)]
    candidate: Cow<'a, str>,
}

impl Candidate {
    /// An object with a string `candidate`, or null.
    pub(crate) fn parse(raw: &RawValue) -> Result<Self, BadMedia> {
        if raw.get().len() > CANDIDATE_LIMIT {
            return Err(BadMedia::TooLarge);
        }
        if raw.get() != "null" {
            let _shape: CandidateShape =
                serde_json::from_str(raw.get()).map_err(|_| BadMedia::NotACandidate)?;
        }
        relayed(raw, BadMedia::NotACandidate).map(Self)
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
            r#"{"type":"OFFER","sdp":"v=0"}"#,
        ] {
            assert_eq!(offer(text), Err(BadMedia::NotADescription), "{text}");
        }
        assert_eq!(offer(r#"{"type":"answer","sdp":"v=0"}"#), Err(BadMedia::WrongSdpType));
        assert_eq!(offer(r#"{"type":"offer","sdp":"a\u0000b"}"#), Err(BadMedia::Nul));
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
