//! What a client may send, as it is written on the wire.

use crate::domain::ids::{CallId, UserId};
use crate::domain::media::{CallType, MediaState};
use crate::error::{Error, Result};
use crate::telemetry::metrics::SocketEvent;
use serde::Deserialize;
use serde_json::Deserializer;
use serde_json::value::RawValue;
use socketioxide::handler::Value;
use std::ops::Range;

/// An event as it came.
#[derive(Debug)]
pub(super) struct Inbound {
    /// The packet, shared with whoever read it.
    packet: Value,
    /// Where in its text the name is.
    event: Range<usize>,
    /// What it is by that name.
    pub(super) kind: SocketEvent,
    /// Where the first argument begins, if there is one.
    payload: Option<usize>,
    pub(super) ack: Option<i64>,
}

impl Inbound {
    /// An event packet. Its list is JSON to the end and its name needs no escape: others socketioxide does not let through, so
    /// only what is asked for is read again. Without a name it has no payload either.
    pub(super) fn read(packet: Value, ack: Option<i64>) -> Self {
        let text = text_of(&packet);
        let (event, payload) = parts(text).unwrap_or_default();
        let kind = SocketEvent::named(text.get(event.clone()).unwrap_or_default());
        Self { packet, event, kind, payload, ack }
    }

    /// Its name.
    pub(super) fn event(&self) -> &str {
        text_of(&self.packet).get(self.event.clone()).unwrap_or_default()
    }

    fn payload(&self) -> Option<&str> {
        text_of(&self.packet).get(self.payload?..)
    }

    /// What it holds in memory.
    pub(super) fn size(&self) -> usize {
        text_of(&self.packet).len()
    }

    /// The payload as a command.
    pub(super) fn parse<'a, T: Deserialize<'a>>(&'a self) -> Result<T> {
        let raw = self.payload().ok_or_else(|| Error::field("payload", "is missing"))?;
        T::deserialize(&mut Deserializer::from_str(raw)).map_err(|error| {
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
        Some(self.parse::<Shape>().ok()?.call_id.to_string())
    }
}

fn text_of(packet: &Value) -> &str {
    if let Value::Str(text, _) = packet { text.as_str() } else { "" }
}

/// Where in `["name", payload, …]` the name is, and where the payload begins, if there is one; further arguments mean nothing.
fn parts(text: &str) -> Option<(Range<usize>, Option<usize>)> {
    let arguments = text.trim_start().strip_prefix('[')?;
    let mut names = Deserializer::from_str(arguments).into_iter::<&str>();
    let name = place(text, names.next()?.ok()?);
    let rest = arguments.get(names.byte_offset()..)?.trim_start();
    Some((name, rest.strip_prefix(',').map(|payload| place(text, payload).start)))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn event(text: &str) -> Inbound {
        Inbound::read(Value::Str(text.to_owned().into(), None), None)
    }

    #[test]
    fn an_event_has_a_name_and_may_have_a_payload() {
        assert_eq!((event(r#"["ping"]"#).event(), event(r#"["ping"]"#).payload), ("ping", None));
        let spaced = event(" [ \"watch_users\" ,\t{\"ids\":[]} , 1, {} ] ");
        assert_eq!(spaced.event(), "watch_users");
        assert!(spaced.parse::<WatchUsers>().unwrap().ids.is_empty());
        assert_eq!(event(r#"["ping"] and more"#).event(), "ping", "what follows the list means nothing");
    }

    #[test]
    fn what_is_no_event_has_neither() {
        for text in ["", "[", "[]", "[1]", "{}", r#"["a\u0062"]"#, "null"] {
            assert_eq!((event(text).event(), event(text).payload), ("", None), "{text}");
        }
    }
}
