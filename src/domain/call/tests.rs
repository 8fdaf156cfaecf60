//! Every event in every state by every actor, as a table; then the rules that need a story.

use super::*;
use crate::domain::media::SdpType;
use crate::domain::username::Username;
use std::fmt::Write;

const RULES: Rules =
    Rules { ring_timeout: Duration::from_secs(60), reconnect_grace: Duration::from_secs(15) };

/// Who acts: the device of the call or another one, on either side.
const ACTORS: [&str; 5] = ["caller", "caller's tab", "callee", "callee's phone", "callee's late tab"];

struct Fixture {
    call: Call,
    actors: Vec<(&'static str, Actor)>,
}

fn at(seconds: u64) -> Moment {
    Moment { wall: DateTime::UNIX_EPOCH + Duration::from_secs(seconds), mono: Duration::from_secs(seconds) }
}

fn party(name: &str) -> Party {
    Party { id: UserId::new(), username: Username::parse(name).unwrap() }
}

fn description(kind: &str, allowed: SdpType) -> Description {
    let raw = serde_json::value::to_raw_value(&serde_json::json!({ "type": kind, "sdp": "v=0" })).unwrap();
    Description::parse(&raw, &[allowed]).unwrap()
}

fn offer() -> Description {
    description("offer", SdpType::Offer)
}

fn answer() -> Description {
    description("answer", SdpType::Answer)
}

fn candidate(n: usize) -> Candidate {
    let raw = serde_json::value::to_raw_value(&serde_json::json!({ "candidate": n.to_string() })).unwrap();
    Candidate::parse(&raw).unwrap()
}

impl Fixture {
    /// Dialled at second 0; the tabs of each party share a session.
    fn dialling() -> Self {
        let (caller, callee, phone) = (SessionId::new(), SessionId::new(), SessionId::new());
        let actor = |role, session| Actor { role, device: DeviceId::new(), session };
        let actors = vec![
            (ACTORS[0], actor(Role::Caller, caller)),
            (ACTORS[1], actor(Role::Caller, caller)),
            (ACTORS[2], actor(Role::Callee, callee)),
            (ACTORS[3], actor(Role::Callee, phone)),
            (ACTORS[4], actor(Role::Callee, callee)),
        ];
        let call =
            Call::dial(party("ann"), actors[0].1, party("bob"), CallType::Video, offer(), RULES, at(0));
        Self { call, actors }
    }

    /// The callee's browser and phone ring.
    fn ringing() -> Self {
        let mut fixture = Self::dialling();
        let devices = [2, 3].map(|n| (fixture.actors[n].1.device, fixture.actors[n].1.session)).to_vec();
        fixture.apply(Event::Announced { devices }).unwrap();
        fixture
    }

    /// The callee's browser answered.
    fn active() -> Self {
        let mut fixture = Self::ringing();
        fixture.apply(Event::Accepted { by: fixture.actor("callee"), answer: answer() }).unwrap();
        fixture
    }

    fn in_state(state: &str) -> Self {
        match state {
            "dialling" => Self::dialling(),
            "ringing" => Self::ringing(),
            "active" => Self::active(),
            "caller away" => {
                let mut fixture = Self::active();
                fixture.apply(Event::Dropped { by: fixture.actor("caller") }).unwrap();
                fixture
            }
            other => panic!("no such state: {other}"),
        }
    }

    fn actor(&self, name: &str) -> Actor {
        self.actors.iter().find(|(actor, _)| *actor == name).unwrap().1
    }

    fn apply(&mut self, event: Event) -> Result<Outcome, Refusal> {
        self.call.apply(event, at(1))
    }

    fn event(&self, name: &str, by: Actor) -> Event {
        let media = MediaState { audio: true, video: true, screen: None };
        match name {
            "join" => Event::Joined { by, resume: false },
            "resume" => Event::Joined { by, resume: true },
            "accept" => Event::Accepted { by, answer: answer() },
            "reject" => Event::Rejected { by },
            "end" => Event::Ended { by },
            "candidate" => Event::Candidate { by, candidate: candidate(0) },
            "renegotiate" => Event::Renegotiated { by, description: offer() },
            "media" => Event::MediaChanged { by, media },
            "drop" => Event::Dropped { by },
            "leave" => Event::Left { by },
            "revoke" => Event::Revoked { session: by.session },
            other => panic!("no such event: {other}"),
        }
    }

    /// An outcome in a line: who is told what, and how the call ended.
    fn told(&self, result: &Result<Outcome, Refusal>) -> String {
        let outcome = match result {
            Err(Refusal::State(sentence)) => return format!("refused: {sentence}"),
            Err(Refusal::TooManyHeld) => return "refused: too many held".to_owned(),
            Ok(outcome) => outcome,
        };
        let mut line = String::new();
        for (device, message) in &outcome.sends {
            let who = self.actors.iter().find(|(_, actor)| actor.device == *device).unwrap().0;
            write!(line, "{who}: {}; ", name_of(message)).unwrap();
        }
        if let Some(resumed) = &outcome.resumed {
            write!(line, "resumed as {:?}; ", resumed.role).unwrap();
        }
        if let Some(row) = &outcome.record {
            write!(line, "row {}", row.status.as_str()).unwrap();
            if let Some(reason) = row.end_reason {
                write!(line, "/{}", reason.as_str()).unwrap();
            }
        }
        assert_eq!(
            outcome.ended.is_some(),
            outcome.record.as_ref().is_some_and(|row| row.ended_at.is_some())
        );
        if line.is_empty() { "-".to_owned() } else { line.trim_end_matches("; ").to_owned() }
    }
}

fn name_of(message: &Message) -> String {
    match message {
        Message::CallEnded { reason, .. } => format!("ended {reason:?}"),
        Message::CallStatus { status, .. } => format!("status {status:?}"),
        Message::IncomingCall { .. } => "incoming".to_owned(),
        Message::CallAccepted { .. } => "accepted".to_owned(),
        Message::CallRejected { .. } => "rejected".to_owned(),
        Message::IceCandidate { candidate, .. } => {
            format!("candidate {}", serde_json::to_string(candidate).unwrap())
        }
        Message::Renegotiate { .. } => "renegotiate".to_owned(),
        Message::MediaState { .. } => "media".to_owned(),
        Message::PeerReconnecting { .. } => "peer reconnecting".to_owned(),
        Message::PeerReconnected { .. } => "peer reconnected".to_owned(),
        other => panic!("a call says nothing like {other:?}"),
    }
}

const EVENTS: [&str; 11] = [
    "join",
    "resume",
    "accept",
    "reject",
    "end",
    "candidate",
    "renegotiate",
    "media",
    "drop",
    "leave",
    "revoke",
];

#[test]
fn every_event_in_every_state_by_every_actor() {
    let mut actual = String::new();
    for state in ["dialling", "ringing", "active", "caller away"] {
        for event in EVENTS {
            for actor in ACTORS {
                let mut fixture = Fixture::in_state(state);
                let event_value = fixture.event(event, fixture.actor(actor));
                let result = fixture.apply(event_value);
                writeln!(actual, "{state} | {event} | {actor} | {}", fixture.told(&result)).unwrap();
            }
        }
    }
    let expected = include_str!("tests_table.txt");
    for (n, (expected, actual)) in expected.lines().zip(actual.lines()).enumerate() {
        assert_eq!(expected, actual, "line {}", n + 1);
    }
    assert_eq!(expected.lines().count(), actual.lines().count());
}
