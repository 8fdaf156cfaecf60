//! The work that costs most in the long run, to be counted: `bench/instructions` runs each of these tests under callgrind, and
//! holds the instructions of its [`counted`] part against a budget. Time would be too noisy for that.
//!
//! They are tests, and not benchmarks of their own, because tests see what is private; and so that what is counted is right, too.
//! `bench/micro` takes the time of the same work, by Criterion, for those who want seconds all the same.

use crate::auth::token::Tokens;
use crate::domain::call::Rules;
use crate::domain::fixtures::{answer, candidate, offer, party};
use crate::domain::ids::{DeviceId, SessionId};
use crate::domain::media::{CallType, Candidate, Description, SdpType};
use crate::domain::message::Party;
use crate::domain::presence::{Presence, PresenceMode};
use crate::domain::switchboard::{Dialled, Effects, Joining, Switchboard};
use crate::domain::time::Moment;
use chrono::DateTime;
use criterion::{BatchSize, Criterion};
use serde_json::json;
use serde_json::value::to_raw_value;
use std::hint::black_box;
use std::time::Duration;

const TIMES: usize = 1000;

/// Something to do once, prepared; it tells how much came of it.
type Work = Box<dyn FnMut() -> usize>;

/// callgrind collects while this runs.
#[inline(never)]
fn counted(mut work: Work) -> (usize, Work) {
    // What is left of it is dropped elsewhere.
    (black_box(work()), work)
}

fn now() -> Moment {
    Moment { wall: DateTime::from_timestamp(1_800_000_000, 0).unwrap(), mono: Duration::from_secs(9) }
}

fn crowd(size: usize) -> Vec<(Party, DeviceId)> {
    (0..size).map(|number| (party(&format!("user{number:06}")), DeviceId::new())).collect()
}

/// A switchboard, and how many messages have followed from what was done to it.
struct Board {
    board: Switchboard,
    messages: usize,
}

impl Board {
    fn with(users: &[(Party, DeviceId)]) -> Self {
        let rules = Rules { ring_timeout: Duration::from_mins(1), reconnect_grace: Duration::from_secs(15) };
        let mut board = Self { board: Switchboard::new(rules), messages: 0 };
        for (user, device) in users {
            let joining = Joining {
                device: *device,
                session: SessionId::new(),
                user: user.clone(),
                token_expires: now().mono + Duration::from_hours(1),
                presence: PresenceMode::None,
                resume: None,
            };
            board.did(|board, fx| board.join(joining, now(), fx)).unwrap();
        }
        board.messages = 0;
        board
    }

    fn did<T>(&mut self, change: impl FnOnce(&mut Switchboard, &mut Effects) -> T) -> T {
        let mut effects = Effects::default();
        let result = change(&mut self.board, &mut effects);
        self.messages += effects.sends.len();
        result
    }

    fn whole_call(&mut self, parties: &[(Party, DeviceId)], media: &Media) {
        let [(ann, caller), (bob, callee)] = parties else { panic!("a pair") };
        let Media { offer, answer, candidates } = media.clone();
        let placed =
            self.did(|board, fx| board.dial(*caller, bob.id, None, (CallType::Video, offer), now(), fx));
        let Ok(Dialled::Placed(call)) = placed else { panic!("{placed:?}") };
        assert!(self.did(|board, fx| board.announce(call, now(), fx)));
        self.did(|board, fx| board.accept(*callee, call, answer, now(), fx)).unwrap();
        for candidate in candidates {
            for (from, to) in [(caller, bob), (callee, ann)] {
                let candidate = candidate.clone();
                self.did(|board, fx| board.candidate(*from, to.id, Some(call), candidate, now(), fx))
                    .unwrap();
            }
        }
        self.did(|board, fx| board.end(*caller, call, now(), fx)).unwrap();
    }
}

/// Of a call.
#[derive(Clone)]
struct Media {
    offer: Description,
    answer: Description,
    candidates: Vec<Candidate>,
}

fn calls() -> Work {
    let users = crowd(TIMES * 2);
    let mut board = Board::with(&users);
    let media = Media { offer: offer(), answer: answer(), candidates: (0..10).map(candidate).collect() };
    Box::new(move || {
        for parties in users.chunks(2) {
            board.whole_call(parties, &media);
        }
        assert_eq!(board.board.call_count(), 0);
        board.messages
    })
}

fn deltas() -> Work {
    let (mut presence, users, others) = (Presence::default(), crowd(TIMES), crowd(10));
    for (user, device) in &users {
        presence.set_online(user.clone(), *device);
        presence.listen(*device, PresenceMode::Delta);
    }
    presence.take_deltas();
    Box::new(move || {
        let mut hearers = 0;
        for time in 0..TIMES {
            for (user, device) in &others {
                if time % 2 == 0 {
                    presence.set_online(user.clone(), *device);
                } else {
                    presence.set_offline(user.id);
                }
            }
            hearers += presence.take_deltas().into_iter().map(|(_, hearers)| hearers.len()).sum::<usize>();
        }
        hearers
    })
}

fn lists() -> Work {
    let (mut presence, users) = (Presence::default(), crowd(TIMES));
    for (user, device) in &users {
        presence.set_online(user.clone(), *device);
        presence.listen(*device, PresenceMode::Full);
    }
    Box::new(move || {
        let mut bytes = 0;
        for (user, device) in &users[..100] {
            presence.set_offline(user.id);
            presence.set_online(user.clone(), *device);
            assert_eq!(presence.take_list().map(|hearers| hearers.len()), Some(TIMES));
            bytes += presence.roster().encoded().get().len();
        }
        bytes
    })
}

fn tokens() -> Work {
    let tokens = Tokens::new(&"a secret of at least thirty-two bytes".into(), &[], Duration::from_hours(1));
    let (user, session) = (party("ann"), SessionId::new());
    let token = tokens.sign(user.id, &user.username, session, now()).unwrap();
    Box::new(move || (0..TIMES).filter(|_| tokens.verify(black_box(&token), now()).is_ok()).count())
}

fn media() -> Work {
    let sdp = "a=rtpmap:96 H264/90000\r\n".repeat(220);
    let offer = to_raw_value(&json!({"type": "offer", "sdp": sdp})).unwrap();
    let line =
        "candidate:842163049 1 udp 1677729535 203.0.113.77 46154 typ srflx raddr 192.168.1.23 rport 46154";
    let candidate = to_raw_value(&json!({"candidate": line, "sdpMid": "0", "sdpMLineIndex": 0})).unwrap();
    Box::new(move || {
        let offers = (0..TIMES).filter(|_| Description::parse(black_box(&offer), &[SdpType::Offer]).is_ok());
        let candidates = (0..TIMES).filter(|_| Candidate::parse(black_box(&candidate)).is_ok());
        offers.count() + candidates.count()
    })
}

#[test]
fn a_thousand_calls_with_ten_candidates_each_way() {
    // incoming_call, call_status, call_accepted, the candidates, call_ended.
    assert_eq!(counted(calls()).0, TIMES * 24);
}

#[test]
fn a_thousand_merged_deltas_of_ten_changes_for_a_thousand_users() {
    assert_eq!(counted(deltas()).0, TIMES * TIMES);
}

#[test]
fn a_hundred_lists_of_a_thousand_users() {
    let row = r#"{"id":"","username":"user000000","isOnline":true,"socketId":""}"#.len() + 2 * 36;
    assert_eq!(counted(lists()).0, 100 * (TIMES * (row + 1) + 1));
}

#[test]
fn a_thousand_tokens_are_verified() {
    assert_eq!(counted(tokens()).0, TIMES);
}

#[test]
fn a_thousand_offers_and_candidates_are_checked() {
    assert_eq!(counted(media()).0, TIMES * 2);
}

#[test]
#[ignore = "it takes a minute, and says something in an optimised build on a quiet machine: bench/micro"]
fn time_of_the_same() {
    let mut criterion = Criterion::default().sample_size(50);
    let mut time = |name: &str, prepare: fn() -> Work| {
        criterion.bench_function(name, |bencher| {
            bencher.iter_batched_ref(prepare, |work| work(), BatchSize::PerIteration);
        });
    };
    time("a thousand calls with ten candidates each way", calls);
    time("a thousand merged deltas of ten changes for a thousand users", deltas);
    time("a hundred lists of a thousand users", lists);
    time("a thousand tokens verified", tokens);
    time("a thousand offers and candidates checked", media);
    criterion.final_summary();
}
