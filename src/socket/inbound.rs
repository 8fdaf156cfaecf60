//! What a client may send, as it is written on the wire.

use crate::domain::ids::{CallId, UserId};
use crate::domain::media::{CallType, MediaState};
use crate::error::{Error, Result};
use serde::de::{Error as _, IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use socketioxide::handler::Value;
use std::fmt;
use std::ops::Range;

/// An event as it came.
#[derive(Debug)]
pub(super) struct Inbound {
    /// The packet, shared with whoever read it.
    packet: Value,
    /// Where in its text the name is.
    event: Range<usize>,
    /// Where the first argument is, if there was one.
    payload: Option<Range<usize>>,
    pub(super) ack: Option<i64>,
}

/// `["event", payload, …]`; further arguments mean nothing.
struct Frame<'a> {
    /// A name that needs an escape does not come this far: socketioxide cannot decode it.
    event: &'a str,
    payload: Option<&'a RawValue>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Frame<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Arguments;
        impl<'de> Visitor<'de> for Arguments {
            type Value = Frame<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an event with its arguments")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut arguments: A) -> Result<Frame<'de>, A::Error> {
                let event = arguments.next_element()?.ok_or_else(|| A::Error::invalid_length(0, &self))?;
                let payload = arguments.next_element()?;
                while arguments.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Frame { event, payload })
            }
        }
        deserializer.deserialize_seq(Arguments)
    }
}

impl Inbound {
    /// An event packet. What is broken behind the event's name has neither name nor payload.
    pub(super) fn read(packet: Value, ack: Option<i64>) -> Self {
        let text = text_of(&packet);
        let (event, payload) = serde_json::from_str::<Frame>(text).map_or((0..0, None), |frame| {
            (place(text, frame.event), frame.payload.map(|payload| place(text, payload.get())))
        });
        Self { packet, event, payload, ack }
    }

    /// Its name.
    pub(super) fn event(&self) -> &str {
        text_of(&self.packet).get(self.event.clone()).unwrap_or_default()
    }

    fn payload(&self) -> Option<&str> {
        text_of(&self.packet).get(self.payload.clone()?)
    }

    /// What it holds in memory.
    pub(super) fn size(&self) -> usize {
        text_of(&self.packet).len()
    }

    /// The payload as a command.
    pub(super) fn parse<'a, T: Deserialize<'a>>(&'a self) -> Result<T> {
        let raw = self.payload().ok_or_else(|| Error::field("payload", "is missing"))?;
        serde_json::from_str(raw).map_err(|error| {
            // The message may quote the input, which may be long.
            let reason: String = error.to_string().chars().take(200).collect();
            Error::Validation {
                sentence: format!("The payload is not valid: {reason}").into(),
                details: Vec::new(),
            }
        })
    }

    /// The call the payload speaks of, as it was written, for whoever is told of a failure.
    pub(super) fn call_id(&self) -> Option<String> {
        #[derive(Deserialize)]
        struct Shape {
            #[serde(rename = "callId")]
            call_id: CallId,
        }
        let shape: Shape = serde_json::from_str(self.payload()?).ok()?;
        Some(shape.call_id.to_string())
    }
}

fn text_of(packet: &Value) -> &str {
    if let Value::Str(text, _) = packet { text.as_str() } else { "" }
}

/// Where in `text` a part of it is.
fn place(text: &str, part: &str) -> Range<usize> {
    let start = part.as_ptr().addr() - text.as_ptr().addr();
    start..start + part.len()
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum JoinPresence {
    Full,
    Delta,
    None,
}

#[derive(Deserialize)]
pub(super) struct Join {
    pub(super) id: Option<UserId>,
    pub(super) username: Option<String>,
    pub(super) token: Option<String>,
    pub(super) presence: Option<JoinPresence>,
    pub(super) resume: Option<CallId>,
}

#[derive(Deserialize)]
pub(super) struct Authenticate {
    pub(super) token: String,
}

#[derive(Deserialize)]
pub(super) struct WatchUsers {
    pub(super) ids: Vec<UserId>,
}

#[derive(Deserialize)]
pub(super) struct Sender {
    pub(super) id: Option<UserId>,
    pub(super) username: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CallUser<'a> {
    pub(super) to: UserId,
    pub(super) from: Option<Sender>,
    pub(super) call_type: CallType,
    #[serde(borrow)]
    pub(super) offer: &'a RawValue,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AcceptCall<'a> {
    pub(super) call_id: CallId,
    #[serde(borrow)]
    pub(super) answer: &'a RawValue,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct OfCall {
    pub(super) call_id: CallId,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct IceCandidate<'a> {
    pub(super) to: UserId,
    #[serde(borrow)]
    pub(super) candidate: &'a RawValue,
    pub(super) call_id: Option<CallId>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Renegotiate<'a> {
    pub(super) call_id: CallId,
    #[serde(borrow)]
    pub(super) description: &'a RawValue,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ChangeMedia {
    pub(super) call_id: CallId,
    #[serde(flatten)]
    pub(super) media: MediaState,
}
