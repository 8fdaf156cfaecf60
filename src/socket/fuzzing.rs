//! What must hold whatever events anybody sends: four devices of three users, the real parsers, the real rules.

use super::adapter::Known;
use super::calls::{dial, read};
use super::inbound::{Authenticate, Inbound, Join};
use super::presence::watch_users;
use crate::auth::token::Claims;
use crate::clock::Clock;
use crate::domain::call::Rules;
use crate::domain::ids::{CallId, DeviceId, NodeId, SessionId, UserId};
use crate::domain::media::{Candidate, Description};
use crate::domain::message::{Message, Party};
use crate::domain::presence::PresenceMode;
use crate::domain::switchboard::{Cut, Joining};
use crate::domain::username::Username;
use crate::error::{Error, Result};
use crate::live::{Dial, Live, Sink, Way};
use crate::store::journal::Journal;
use crate::telemetry::metrics::{Calls, SocketEvent};
use chrono::DateTime;
use futures_util::FutureExt;
use serde::{Deserialize, Serialize};
use socketioxide::handler::Value;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use uuid::Uuid;

/// Enough for a call from its beginning to its end, and for most that could go wrong with it.
const STEPS: usize = 32;
const SDP_BYTES: usize = 48 * 1024;
const CANDIDATE_BYTES: usize = 2 * 1024;

/// Plays the events, a line each: the device (`a` alice's, `b` bob's, `c` carol's, `d` another of bob's) and a frame, in which
/// `CALL` stands for the call placed last. Tells whether any of them was granted.
pub(crate) fn play(script: &str) -> bool {
    let mut stage = Stage::new();
    let mut granted = false;
    for line in script.lines().take(STEPS) {
        let mut letters = line.chars();
        let actor =
            letters.next().and_then(|letter| stage.actors.iter().find(|actor| actor.letter == letter));
        if let Some(actor) = actor.cloned() {
            granted |= stage.send(&actor, letters.as_str());
        }
    }
    stage.close();
    granted
}

/// One device and its user.
#[derive(Clone)]
struct Actor {
    letter: char,
    device: DeviceId,
    me: Claims,
}

impl Actor {
    /// `number` tells users apart.
    fn new(letter: char, name: &str, number: u128) -> Option<Self> {
        let username = Username::parse(name).ok()?;
        let expires_at = DateTime::UNIX_EPOCH + Duration::from_hours(1);
        let me = Claims { user: user(number), username, session: SessionId::new(), expires_at };
        Some(Self { letter, device: DeviceId::new(), me })
    }

    fn party(&self) -> Party {
        Party { id: self.me.user, username: self.me.username.clone() }
    }

    fn joining(&self, resume: Option<CallId>) -> Joining {
        Joining {
            device: self.device,
            session: self.me.session,
            user: self.party(),
            token_expires: Duration::from_hours(1),
            presence: PresenceMode::Full,
            resume,
        }
    }
}

/// `00000000-0000-7000-8000-00000000000a` is alice, `…b` bob, `…c` carol, and `…e` erin, who has an account and is not here.
fn user(number: u128) -> UserId {
    Uuid::from_u128(0x7000_8000_0000_0000_0000 + number).into()
}

/// What was to be sent.
#[derive(Clone, Default)]
struct Sent(Arc<Mutex<Vec<(DeviceId, Message)>>>);

impl Sink for Sent {
    fn way(&self, to: DeviceId) -> Option<Arc<dyn Way>> {
        Some(Arc::new(WayTo { sent: self.clone(), to }))
    }
}

struct WayTo {
    sent: Sent,
    to: DeviceId,
}

impl Way for WayTo {
    fn post(&self, message: Message) {
        self.sent.0.lock().unwrap_or_else(PoisonError::into_inner).push((self.to, message));
    }

    fn cut(&self, _: Cut) {}

    fn flush(self: Arc<Self>) {}
}

struct Stage {
    live: Arc<Live>,
    sent: Sent,
    actors: Vec<Actor>,
    /// Whose each call is.
    parties: HashMap<CallId, [UserId; 2]>,
    newest: String,
}

impl Stage {
    fn new() -> Self {
        let sent = Sent::default();
        let rules = Rules { ring_timeout: Duration::from_mins(1), reconnect_grace: Duration::from_secs(15) };
        let clock = Clock::held(DateTime::UNIX_EPOCH);
        let (journal, sink) = (Journal::new(1000), Arc::new(sent.clone()));
        let live = Arc::new(Live::new(NodeId::new(), clock, rules, None, journal, sink, Calls::unread()));
        let actors = [('a', "alice", 0xa), ('b', "bob", 0xb), ('c', "carol", 0xc), ('d', "bob", 0xb)];
        let actors = actors.iter().filter_map(|(letter, name, number)| Actor::new(*letter, name, *number));
        let stage =
            Self { live, sent, actors: actors.collect(), parties: HashMap::new(), newest: String::new() };
        for actor in stage.actors.clone() {
            let joined = stage.live.join(actor.joining(None));
            assert!(joined.is_ok(), "{joined:?}");
        }
        stage.check_what_was_sent();
        stage
    }

    fn send(&mut self, actor: &Actor, frame: &str) -> bool {
        let frame = frame.replace("CALL", &self.newest);
        let event = Inbound::read(Value::Str(frame.clone().into(), None), None);
        assert!(event.size() <= frame.len(), "an event is no larger than its frame");
        assert!(event.call_id().is_none_or(|id| id.len() == 36));
        let result = self.handle(actor, &event);
        if let Err(error) = &result {
            assert!(is_clients_fault(error), "{error:?} for {frame}");
        }
        self.check_what_was_sent();
        result.is_ok()
    }

    fn handle(&mut self, actor: &Actor, event: &Inbound) -> Result<()> {
        match Known::of(event.kind) {
            Some(Known::CallUser) => self.dial(actor, event),
            Some(Known::Authenticate) => event.parse::<Authenticate>().map(drop),
            Some(Known::WatchUsers) => watch_users(&self.live, actor.device, event).map(drop),
            Some(Known::OnCall(known)) => {
                let act = read(actor.device, known, event)?;
                self.live.act(actor.device, act, self.live.now())
            }
            None if event.kind == SocketEvent::Join => {
                let join: Join = event.parse()?;
                self.live.join(actor.joining(join.resume)).map(drop)
            }
            None => Err(Error::UnknownEvent),
        }
    }

    /// As `call_user` does it, with a database that has erin alone.
    fn dial(&mut self, actor: &Actor, event: &Inbound) -> Result<()> {
        let (mut dialled, wanted) = dial(&self.live, actor.device, &actor.me, event)?;
        if matches!(dialled, Dial::LookUp) && wanted.to == user(0xe) {
            let erin = Username::parse("erin").ok().map(|username| Party { id: wanted.to, username });
            dialled = self.live.dial(actor.device, wanted.to, erin, wanted.media.clone())?;
        }
        let Dial::Waits(reply, _) = dialled else { return Err(Error::NotFound("There is no such user")) };
        let (waits, now) = (Dial::Waits(reply, None), self.live.now());
        // A call that was found already there keeps its parties.
        let parties = self.parties.entry(reply.call).or_insert([actor.me.user, wanted.to]);
        assert!(parties.contains(&actor.me.user) && parties.contains(&wanted.to), "another's call");
        self.newest = reply.call.to_string();
        let settled =
            self.live.settle(actor.device, wanted.to, None, wanted.media, waits, now).now_or_never();
        settled.map_or(Ok(()), |settled| Ok(settled.map(drop)?))
    }

    fn check_what_was_sent(&self) {
        let sent = std::mem::take(&mut *self.sent.0.lock().unwrap_or_else(PoisonError::into_inner));
        for (device, message) in sent {
            let to = self.actors.iter().find(|actor| actor.device == device).map(|actor| actor.me.user);
            let Some((call, from)) = about(&message) else { continue };
            let parties = self.parties.get(&call);
            assert!(
                parties.is_some_and(|parties| parties.iter().any(|party| Some(*party) == to)),
                "{message:?}"
            );
            assert!(from.is_none_or(|from| Some(from) != to), "one's own words: {message:?}");
            assert!(is_within_limits(&message), "{message:?}");
        }
    }

    fn close(&self) {
        for actor in &self.actors {
            self.live.leave(actor.device, true);
        }
        self.check_what_was_sent();
        assert_eq!((self.live.active_users(), self.live.active_calls()), (0, 0), "something is left");
    }
}

/// What a client can be told about an event; neither that the inside is broken nor that the server is busy.
fn is_clients_fault(error: &Error) -> bool {
    let codes = [
        "validation_failed",
        "payload_too_large",
        "not_found",
        "invalid_state",
        "self_call",
        "identity_mismatch",
        "unknown_event",
        "rate_limited",
    ];
    codes.contains(&error.code())
}

/// The call a message is about, and who says it.
fn about(message: &Message) -> Option<(CallId, Option<UserId>)> {
    match message {
        Message::IncomingCall { call, from, .. } => Some((*call, Some(from.id))),
        Message::IceCandidate { call, from, .. }
        | Message::Renegotiate { call, from, .. }
        | Message::MediaState { call, from, .. } => Some((*call, Some(*from))),
        Message::CallStatus { call, .. }
        | Message::CallAccepted { call, .. }
        | Message::CallRejected { call }
        | Message::CallEnded { call, .. }
        | Message::PeerReconnecting { call }
        | Message::PeerReconnected { call } => Some((*call, None)),
        Message::Joined { active_call, .. } => {
            active_call.as_ref().map(|call| (call.call, Some(call.peer.id)))
        }
        Message::UsersUpdated(_) | Message::PresenceDelta(_) | Message::TokenExpiring { .. } => None,
    }
}

/// Whether what is relayed is what the contract lets through, read by another reader than the one that let it through.
fn is_within_limits(message: &Message) -> bool {
    match message {
        Message::IncomingCall { offer, .. } => is_description(offer, &["offer"]),
        Message::CallAccepted { answer, .. } => is_description(answer, &["answer"]),
        Message::Renegotiate { description, .. } => {
            is_description(description, &["offer", "answer", "pranswer", "rollback"])
        }
        Message::IceCandidate { candidate, .. } => is_candidate(candidate),
        Message::Joined { .. }
        | Message::UsersUpdated(_)
        | Message::PresenceDelta(_)
        | Message::CallStatus { .. }
        | Message::CallRejected { .. }
        | Message::CallEnded { .. }
        | Message::MediaState { .. }
        | Message::PeerReconnecting { .. }
        | Message::PeerReconnected { .. }
        | Message::TokenExpiring { .. } => true,
    }
}

fn is_description(description: &Description, kinds: &[&str]) -> bool {
    #[derive(Deserialize)]
    struct Shape {
        #[serde(rename = "type")]
        kind: String,
        sdp: Option<String>,
    }
    let shape = serde_json::to_string(description).and_then(|text| serde_json::from_str::<Shape>(&text));
    is_readable(description)
        && shape.is_ok_and(|shape| {
            let is_sdp = |sdp: &String| sdp.len() <= SDP_BYTES && !sdp.contains('\0');
            kinds.contains(&shape.kind.as_str())
                && shape.sdp.as_ref().map_or(shape.kind == "rollback", is_sdp)
        })
}

fn is_candidate(candidate: &Candidate) -> bool {
    #[derive(Deserialize)]
    struct Shape {
        candidate: String,
    }
    let Ok(text) = serde_json::to_string(candidate) else { return false };
    let is_line = |shape: Shape| !shape.candidate.contains('\0');
    is_readable(candidate)
        && text.len() <= CANDIDATE_BYTES
        && (text == "null" || serde_json::from_str(&text).is_ok_and(is_line))
}

/// Whether another program than a browser can make sense of all of it.
fn is_readable(media: &impl Serialize) -> bool {
    let text = serde_json::to_string(media).unwrap_or_default();
    serde_json::from_str(&text).is_ok_and(|media| !holds_nul(&media))
}

/// Not by its text: there a backslash and `u0000` look much the same.
fn holds_nul(value: &serde_json::Value) -> bool {
    use serde_json::Value as Json;
    match value {
        Json::String(text) => text.contains('\0'),
        Json::Array(items) => items.iter().any(holds_nul),
        Json::Object(fields) => fields.iter().any(|(name, value)| name.contains('\0') || holds_nul(value)),
        Json::Null | Json::Bool(_) | Json::Number(_) => false,
    }
}
