//! The wire form of events, both ways.

use crate::domain::call::Role;
use crate::domain::ids::{CallId, DeviceId, UserId};
use crate::domain::media::{CallType, Candidate, Description, MediaState};
use crate::domain::message::{ActiveCall, DialStatus, EndNotice, Message, Party};
use crate::domain::presence::RosterDelta;
use crate::domain::username::Username;
use crate::error::{Error, Result};
use serde::de::{Error as _, IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value as Json, json};
use socketioxide::SendError;
use socketioxide::extract::AckSender;
use socketioxide::handler::{FromMessageParts, Value};
use socketioxide::socket::Socket;
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// An event as it came.
#[derive(Debug)]
pub(super) struct Inbound {
    pub(super) event: String,
    /// The first argument, if there was one.
    pub(super) payload: Option<Box<RawValue>>,
    pub(super) ack: Option<i64>,
}

/// `["event", payload, …]`; further arguments mean nothing.
struct Frame<'a> {
    event: Cow<'a, str>,
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
    /// An event packet's text. What is broken behind the event's name has neither name nor payload.
    pub(super) fn read(value: &Value, ack: Option<i64>) -> Self {
        let text = if let Value::Str(text, _) = value { text.as_str() } else { "" };
        match serde_json::from_str::<Frame>(text) {
            Ok(frame) => {
                Self { event: frame.event.into_owned(), payload: frame.payload.map(ToOwned::to_owned), ack }
            }
            Err(_) => Self { event: String::new(), payload: None, ack },
        }
    }

    /// The payload as a command.
    pub(super) fn parse<'a, T: Deserialize<'a>>(&'a self) -> Result<T> {
        let raw = self.payload.as_ref().ok_or_else(|| Error::field("payload", "is missing"))?;
        serde_json::from_str(raw.get()).map_err(|error| {
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
        let shape: Shape = serde_json::from_str(self.payload.as_ref()?.get()).ok()?;
        Some(shape.call_id.to_string())
    }
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

/// The body of an acknowledgement.
#[derive(Debug)]
pub(super) enum Reply {
    Done,
    /// `ok: true` is added.
    With(Json),
    Failed(Error),
}

impl From<Result<()>> for Reply {
    fn from(result: Result<()>) -> Self {
        result.map_or_else(Self::Failed, |()| Self::Done)
    }
}

/// A failure as its causer sees it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Failure {
    error: String,
    code: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
}

impl Failure {
    pub(super) fn new(error: &Error) -> Self {
        let retry_after_ms = if let Error::RateLimited { retry_after } = error {
            Some(millis(*retry_after).max(1))
        } else {
            None
        };
        Self { error: error.to_string(), code: wire_code(error), retry_after_ms }
    }

    pub(super) fn is_rate_limited(&self) -> bool {
        self.retry_after_ms.is_some()
    }
}

#[derive(Serialize)]
struct FailedAck<'a> {
    ok: bool,
    #[serde(flatten)]
    failure: &'a Failure,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct EventError<'a> {
    event: &'a str,
    #[serde(flatten)]
    failure: &'a Failure,
    #[serde(skip_serializing_if = "Option::is_none")]
    call_id: Option<&'a str>,
}

/// The code on a socket: what has no code of its own there is the server's trouble.
pub(super) fn wire_code(error: &Error) -> &'static str {
    if matches!(error, Error::Internal(_)) { Error::unavailable().code() } else { error.code() }
}

fn millis(time: Duration) -> u64 {
    time.as_millis().try_into().unwrap_or(u64::MAX)
}

pub(super) fn acknowledge(socket: &Arc<Socket>, id: i64, reply: &Reply) -> Result<(), SendError> {
    let mut nothing = Value::Str(String::new().into(), None);
    let Ok(sender) = AckSender::from_message_parts(socket, &mut nothing, &Some(id));
    match reply {
        Reply::Done => sender.send(&json!({ "ok": true })),
        Reply::With(Json::Object(fields)) => {
            let mut body = fields.clone();
            body.insert("ok".to_owned(), Json::Bool(true));
            sender.send(&body)
        }
        Reply::With(other) => sender.send(other),
        Reply::Failed(error) => sender.send(&FailedAck { ok: false, failure: &Failure::new(error) }),
    }
}

pub(super) fn emit_event_error(
    socket: &Socket,
    event: &str,
    failure: &Failure,
    call_id: Option<&str>,
) -> Result<(), SendError> {
    socket.emit("event_error", &EventError { event, failure, call_id })
}

pub(super) fn emit_join_error(socket: &Socket, failure: &Failure) -> Result<(), SendError> {
    socket.emit("join_error", failure)
}

pub(super) fn emit_pong(socket: &Socket) -> Result<(), SendError> {
    let nothing: [(); 0] = [];
    socket.emit("pong", &nothing)
}

/// Puts a message on the wire.
pub(super) fn emit(socket: &Socket, message: &Message) -> Result<(), SendError> {
    match message {
        Message::Joined { socket_id, online, active_call } => socket.emit(
            "join_success",
            &JoinSuccess {
                message: "Successfully connected to the server",
                online_users: online.encoded(),
                socket_id: *socket_id,
                active_call: active_call.as_ref().map(ActiveCallRow::new),
            },
        ),
        Message::UsersUpdated(online) => socket.emit("users_updated", online.encoded()),
        Message::PresenceDelta(delta) => socket.emit("presence_delta", &Delta::new(delta)),
        Message::IncomingCall { call, from, call_type, offer } => socket.emit(
            "incoming_call",
            &Incoming { call_id: *call, from: PartyRow::new(from), call_type: *call_type, offer },
        ),
        Message::CallStatus { call, status } => {
            socket.emit("call_status", &json!({ "callId": call, "status": dial_status(*status) }))
        }
        Message::CallAccepted { call, answer } => {
            socket.emit("call_accepted", &Accepted { call_id: *call, answer })
        }
        Message::CallRejected { call } => socket.emit("call_rejected", &json!({ "callId": call })),
        Message::CallEnded { call, reason } => {
            socket.emit("call_ended", &json!({ "callId": call, "reason": end_notice(*reason) }))
        }
        Message::IceCandidate { call, from, candidate } => {
            socket.emit("ice_candidate", &Trickle { from: *from, candidate, call_id: *call })
        }
        Message::Renegotiate { call, from, description } => {
            socket.emit("renegotiate", &Renegotiation { call_id: *call, from: *from, description })
        }
        Message::MediaState { call, from, media } => {
            socket.emit("media_state", &MediaChange { call_id: *call, from: *from, media: *media })
        }
        Message::PeerReconnecting { call } => socket.emit("peer_reconnecting", &json!({ "callId": call })),
        Message::PeerReconnected { call } => socket.emit("peer_reconnected", &json!({ "callId": call })),
        Message::TokenExpiring { left } => {
            socket.emit("token_expiring", &json!({ "expiresInSeconds": left.as_secs_f64().round() }))
        }
    }
}

pub(super) fn dial_status(status: DialStatus) -> &'static str {
    match status {
        DialStatus::Ringing => "ringing",
        DialStatus::UserOffline => "user_offline",
        DialStatus::UserBusy => "user_busy",
        DialStatus::Glare => "glare",
    }
}

fn end_notice(reason: EndNotice) -> &'static str {
    match reason {
        EndNotice::Hangup => "hangup",
        EndNotice::Cancelled => "cancelled",
        EndNotice::NoAnswer => "no_answer",
        EndNotice::AnsweredElsewhere => "answered_elsewhere",
        EndNotice::RejectedElsewhere => "rejected_elsewhere",
        EndNotice::ConnectionLost => "connection_lost",
        EndNotice::ServerShutdown => "server_shutdown",
        EndNotice::SessionRevoked => "session_revoked",
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct JoinSuccess<'a> {
    message: &'static str,
    online_users: &'a RawValue,
    socket_id: DeviceId,
    #[serde(skip_serializing_if = "Option::is_none")]
    active_call: Option<ActiveCallRow<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ActiveCallRow<'a> {
    call_id: CallId,
    role: &'static str,
    peer: PartyRow<'a>,
    call_type: CallType,
    status: &'static str,
    start_time: i64,
}

impl<'a> ActiveCallRow<'a> {
    fn new(call: &'a ActiveCall) -> Self {
        Self {
            call_id: call.call,
            role: match call.role {
                Role::Caller => "caller",
                Role::Callee => "callee",
            },
            peer: PartyRow::new(&call.peer),
            call_type: call.call_type,
            status: if call.active { "active" } else { "ringing" },
            start_time: call.start_time,
        }
    }
}

#[derive(Serialize)]
struct PartyRow<'a> {
    id: UserId,
    username: &'a Username,
}

impl<'a> PartyRow<'a> {
    fn new(party: &'a Party) -> Self {
        Self { id: party.id, username: &party.username }
    }
}

#[derive(Serialize)]
struct Delta<'a> {
    online: Vec<Json>,
    offline: &'a [UserId],
}

impl<'a> Delta<'a> {
    fn new(delta: &'a RosterDelta) -> Self {
        let row = |user: &Party| json!({ "id": user.id, "username": user.username, "isOnline": true });
        Self { online: delta.online.iter().map(row).collect(), offline: &delta.offline }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Incoming<'a> {
    call_id: CallId,
    from: PartyRow<'a>,
    call_type: CallType,
    offer: &'a Description,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Accepted<'a> {
    call_id: CallId,
    answer: &'a Description,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Trickle<'a> {
    from: UserId,
    candidate: &'a Candidate,
    call_id: CallId,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Renegotiation<'a> {
    call_id: CallId,
    from: UserId,
    description: &'a Description,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct MediaChange {
    call_id: CallId,
    from: UserId,
    #[serde(flatten)]
    media: MediaState,
}
