//! Every event in every state by every actor, as a table; then the rules that need a story.

use super::*;
use crate::domain::fixtures::{answer, candidate, offer, party};
use std::fmt::Write;

const RULES: Rules = Rules { ring_timeout: Duration::from_mins(1), reconnect_grace: Duration::from_secs(15) };

/// Who acts: the device of the call or another one, on either side.
const ACTORS: [&str; 5] = ["caller", "caller's tab", "callee", "callee's phone", "callee's late tab"];

struct Fixture {
    call: Call,
    actors: Vec<(&'static str, Actor)>,
}

fn at(seconds: u64) -> Moment {
    Moment { wall: DateTime::UNIX_EPOCH + Duration::from_secs(seconds), mono: Duration::from_secs(seconds) }
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

    fn event(name: &str, by: Actor) -> Event {
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
            Err(Refusal::State(obstacle)) => return format!("refused: {}", obstacle.sentence()),
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
        Message::Joined { .. }
        | Message::UsersUpdated(_)
        | Message::PresenceDelta(_)
        | Message::TokenExpiring { .. } => panic!("a call says nothing like {message:?}"),
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
                let event_value = Fixture::event(event, fixture.actor(actor));
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

#[test]
fn a_call_rings_once_it_is_announced_and_the_caller_is_told() {
    let mut fixture = Fixture::dialling();
    assert!(!fixture.call.record().rang);
    fixture.apply(Event::Candidate { by: fixture.actor("caller"), candidate: candidate(7) }).unwrap();
    let devices = vec![(fixture.actor("callee").device, fixture.actor("callee").session)];
    let result = fixture.apply(Event::Announced { devices: devices.clone() });
    let expected = "callee: incoming; callee: candidate {\"candidate\":\"7\"}; caller: status Ringing";
    assert_eq!(fixture.told(&result), expected);
    assert!(fixture.call.record().rang);
    assert!(fixture.apply(Event::Announced { devices }).is_err(), "once");
}

#[test]
fn candidates_wait_for_consent_and_are_replayed_in_order() {
    let mut fixture = Fixture::ringing();
    let (caller, callee, phone) =
        (fixture.actor("caller"), fixture.actor("callee"), fixture.actor("callee's phone"));
    for (by, n) in [(caller, 1), (callee, 2), (phone, 3), (callee, 4), (caller, 5)] {
        fixture.apply(Event::Candidate { by, candidate: candidate(n) }).unwrap();
    }
    let result = fixture.apply(Event::Accepted { by: callee, answer: answer() });
    assert_eq!(
        fixture.told(&result),
        "caller: accepted; caller: candidate {\"candidate\":\"2\"}; caller: candidate {\"candidate\":\"4\"}; \
         callee: candidate {\"candidate\":\"1\"}; callee: candidate {\"candidate\":\"5\"}; \
         callee's phone: ended AnsweredElsewhere; row active"
    );
}

#[test]
fn the_first_64_candidates_of_each_side_are_kept_and_more_are_refused() {
    for who in ["caller", "callee"] {
        let mut fixture = Fixture::ringing();
        let by = fixture.actor(who);
        for n in 0..HELD_CANDIDATES {
            fixture.apply(Event::Candidate { by, candidate: candidate(n) }).unwrap();
        }
        let one_more = fixture.apply(Event::Candidate { by, candidate: candidate(64) });
        assert_eq!(one_more.unwrap_err(), Refusal::TooManyHeld, "{who}");
    }
}

#[test]
fn what_a_device_missed_while_it_was_away_waits_for_it_within_bounds() {
    let mut fixture = Fixture::in_state("caller away");
    let by = fixture.actor("callee");
    for n in 0..HELD_CANDIDATES {
        fixture.apply(Event::Candidate { by, candidate: candidate(n) }).unwrap();
    }
    assert!(fixture.apply(Event::Candidate { by, candidate: candidate(64) }).is_err());
    for _ in 0..4 {
        fixture.apply(Event::Renegotiated { by, description: offer() }).unwrap();
    }
    assert!(fixture.apply(Event::Renegotiated { by, description: offer() }).is_err());
    for audio in [true, false] {
        let media = MediaState { audio, video: true, screen: None };
        fixture.apply(Event::MediaChanged { by, media }).unwrap();
    }
    let outcome = fixture.apply(Event::Joined { by: fixture.actor("caller's tab"), resume: false }).unwrap();
    let tab = fixture.actor("caller's tab").device;
    let missed: Vec<_> =
        outcome.sends.iter().filter(|(device, _)| *device == tab).map(|(_, m)| name_of(m)).collect();
    assert_eq!(missed.len(), HELD_CANDIDATES + 4 + 1, "of the media states only the latest counts");
    assert_eq!(missed[0], "candidate {\"candidate\":\"0\"}");
    assert_eq!(missed.last().unwrap(), "media");
}

#[test]
fn an_answer_that_came_while_the_caller_was_away_waits_for_the_caller() {
    let mut fixture = Fixture::ringing();
    fixture.apply(Event::Dropped { by: fixture.actor("caller") }).unwrap();
    let result = fixture.apply(Event::Accepted { by: fixture.actor("callee"), answer: answer() });
    assert_eq!(
        fixture.told(&result),
        "callee's phone: ended AnsweredElsewhere; callee: peer reconnecting; row active"
    );
    let result = fixture.apply(Event::Joined { by: fixture.actor("caller's tab"), resume: false });
    assert_eq!(fixture.told(&result), "caller's tab: accepted; callee: peer reconnected; resumed as Caller");
}

#[test]
fn a_call_nobody_answers_ends_at_the_ring_timeout_and_not_before() {
    for state in ["dialling", "ringing"] {
        let mut fixture = Fixture::in_state(state);
        assert_eq!(fixture.call.deadline(), Some(Duration::from_mins(1)));
        let early = fixture.call.apply(Event::Tick, Moment { mono: Duration::from_millis(59_999), ..at(59) });
        assert_eq!(fixture.told(&early), "-");
        let due = fixture.call.apply(Event::Tick, at(60));
        assert!(fixture.told(&due).ends_with("row missed/no_answer"));
    }
}

#[test]
fn an_answered_call_has_no_deadline_until_somebody_drops_off() {
    let mut fixture = Fixture::active();
    assert_eq!(fixture.call.deadline(), None);
    fixture.call.apply(Event::Dropped { by: fixture.actor("callee") }, at(100)).unwrap();
    fixture.call.apply(Event::Dropped { by: fixture.actor("caller") }, at(105)).unwrap();
    assert_eq!(fixture.call.deadline(), Some(Duration::from_secs(115)), "the first to drop off counts");
    let due = fixture.call.apply(Event::Tick, at(115));
    assert_eq!(fixture.told(&due), "row completed/connection_lost", "nobody is left to be told");
}

#[test]
fn a_caller_who_does_not_come_back_cancels_the_call_by_connection_lost() {
    let mut fixture = Fixture::ringing();
    fixture.call.apply(Event::Dropped { by: fixture.actor("caller") }, at(10)).unwrap();
    let due = fixture.call.apply(Event::Tick, at(25));
    let expected =
        "callee: ended ConnectionLost; callee's phone: ended ConnectionLost; row cancelled/connection_lost";
    assert_eq!(fixture.told(&due), expected);
}

#[test]
fn a_shutdown_ends_an_answered_call_as_completed_and_a_ringing_one_as_failed() {
    let mut fixture = Fixture::active();
    let result = fixture.apply(Event::ShutDown);
    assert_eq!(
        fixture.told(&result),
        "caller: ended ServerShutdown; callee: ended ServerShutdown; row completed/server_shutdown"
    );
    let mut fixture = Fixture::ringing();
    let result = fixture.apply(Event::ShutDown);
    assert!(fixture.told(&result).ends_with("row failed/server_shutdown"));
}

#[test]
fn an_operator_ends_a_call_in_any_state_and_both_sides_hear_a_reason_they_know() {
    for (state, told) in [
        ("dialling", "caller: ended Cancelled; row cancelled/cancelled"),
        (
            "ringing",
            "caller: ended Cancelled; callee: ended Cancelled; callee's phone: ended Cancelled; row cancelled/cancelled",
        ),
        ("active", "caller: ended Hangup; callee: ended Hangup; row completed/hangup"),
        ("caller away", "callee: ended Hangup; row completed/hangup"),
    ] {
        let mut fixture = Fixture::in_state(state);
        let result = fixture.apply(Event::EndedByOperator);
        assert_eq!(fixture.told(&result), told, "{state}");
    }
}

#[test]
fn the_times_of_a_row_stay_in_order_when_the_wall_clock_is_set_back() {
    let mut fixture = Fixture::ringing();
    let set_back = |seconds| Moment { wall: DateTime::UNIX_EPOCH - Duration::from_hours(1), ..at(seconds) };
    fixture
        .call
        .apply(Event::Accepted { by: fixture.actor("callee"), answer: answer() }, set_back(5))
        .unwrap();
    let outcome = fixture.call.apply(Event::Ended { by: fixture.actor("caller") }, set_back(30)).unwrap();
    let row = outcome.record.unwrap();
    assert_eq!(row.answered_at, Some(at(5).wall));
    assert_eq!(row.ended_at, Some(at(30).wall));
}
