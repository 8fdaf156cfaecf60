//! What a client is told, as it is written on the wire.

use crate::domain::call::Role;
use crate::domain::ids::{CallId, DeviceId, UserId};
use crate::domain::media::{CallType, Candidate, Description, MediaState};
use crate::domain::message::{ActiveCall, DialStatus, EndNotice, Message, Party};
use crate::domain::username::Username;
use crate::error::{Error, Result};
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value as Json, json};
use socketioxide::SendError;
use socketioxide::extract::AckSender;
use socketioxide::handler::{FromMessageParts, Value};
use socketioxide::socket::Socket;
use std::sync::Arc;
use std::time::Duration;

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
        Message::PresenceDelta(delta) => socket.emit("presence_delta", delta.encoded()),
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
