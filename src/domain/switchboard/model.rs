//! Random lives of four users with three devices each, held against what must always be true.

use super::*;
use crate::domain::call::{CallStatus, EndReason};
use crate::domain::fixtures::{answer, candidate, offer, party};
use crate::domain::media::{CallType, MediaState};
use crate::domain::presence::PresenceMode;
use crate::domain::time::Moment;
use chrono::{DateTime, TimeDelta};
use proptest::prelude::*;
use std::collections::{HashMap, HashSet};

const USERS: usize = 4;
const DEVICES: usize = 3;
const RING: Duration = Duration::from_mins(1);
const GRACE: Duration = Duration::from_secs(15);
const TOKEN: Duration = Duration::from_secs(45);

/// One step; indexes are taken modulo what there is.
#[derive(Debug, Clone)]
enum Step {
    Join { user: usize, device: usize, resume: Option<usize>, mode: usize },
    Leave { user: usize, device: usize, deliberate: bool },
    Dial { user: usize, device: usize, to: usize },
    Announce { call: usize },
    Accept { user: usize, device: usize, call: usize },
    Reject { user: usize, device: usize, call: usize },
    End { user: usize, device: usize, call: usize },
    Operator { call: usize },
    Candidate { user: usize, device: usize, to: usize, call: Option<usize> },
    Renegotiate { user: usize, device: usize, call: usize },
    Media { user: usize, device: usize, call: usize },
    Revoke { user: usize, device: usize },
    Renew { user: usize, device: usize },
    Pass { millis: u64, wall_jump: i64 },
}

fn step() -> impl Strategy<Value = Step> {
    let (user, device, call) = (0..USERS, 0..DEVICES, 0_usize..6);
    let who = || (0..USERS, 0..DEVICES, 0_usize..6);
    prop_oneof![
        6 => (user.clone(), device.clone(), proptest::option::of(call.clone()), 0_usize..3)
            .prop_map(|(user, device, resume, mode)| Step::Join { user, device, resume, mode }),
        3 => (user.clone(), device.clone(), any::<bool>())
            .prop_map(|(user, device, deliberate)| Step::Leave { user, device, deliberate }),
        6 => (user.clone(), device.clone(), 0..=USERS).prop_map(|(user, device, to)| Step::Dial { user, device, to }),
        6 => call.clone().prop_map(|call| Step::Announce { call }),
        6 => who().prop_map(|(user, device, call)| Step::Accept { user, device, call }),
        1 => who().prop_map(|(user, device, call)| Step::Reject { user, device, call }),
        2 => who().prop_map(|(user, device, call)| Step::End { user, device, call }),
        1 => call.clone().prop_map(|call| Step::Operator { call }),
        4 => (who(), 0..USERS, any::<bool>()).prop_map(|((user, device, call), to, named)| Step::Candidate {
            user, device, to, call: named.then_some(call) }),
        2 => who().prop_map(|(user, device, call)| Step::Renegotiate { user, device, call }),
        1 => who().prop_map(|(user, device, call)| Step::Media { user, device, call }),
        1 => (user.clone(), device.clone()).prop_map(|(user, device)| Step::Revoke { user, device }),
        1 => (user, device).prop_map(|(user, device)| Step::Renew { user, device }),
        3 => (0_u64..20_000, -3600_i64..3600).prop_map(|(millis, wall_jump)| Step::Pass { millis, wall_jump }),
    ]
}

/// What the world knows of a call from its history rows.
#[derive(Debug)]
struct Known {
    rows: Vec<CallRecord>,
    answers: usize,
}

struct World {
    board: Switchboard,
    users: Vec<Party>,
    devices: Vec<Vec<DeviceId>>,
    sessions: Vec<Vec<SessionId>>,
    joined: HashSet<DeviceId>,
    calls: Vec<CallId>,
    known: HashMap<CallId, Known>,
    now: Moment,
}

impl World {
    fn new() -> Self {
        let ids = |_| (0..DEVICES).map(|_| DeviceId::new()).collect();
        Self {
            board: Switchboard::new(Rules { ring_timeout: RING, reconnect_grace: GRACE }),
            users: (0..USERS).map(|n| party(&format!("user{n}"))).collect(),
            devices: (0..USERS).map(ids).collect(),
            // The first two devices are two tabs of one session.
            sessions: (0..USERS)
                .map(|_| {
                    let tabs = SessionId::new();
                    vec![tabs, tabs, SessionId::new()]
                })
                .collect(),
            joined: HashSet::new(),
            calls: Vec::new(),
            known: HashMap::new(),
            now: Moment {
                wall: DateTime::UNIX_EPOCH + TimeDelta::days(20_000),
                mono: Duration::from_secs(1),
            },
        }
    }

    fn call(&self, index: usize) -> CallId {
        let recent = self.calls.iter().rev().nth(index % 3);
        recent.copied().unwrap_or_else(CallId::new)
    }

    fn take(&mut self, step: &Step) {
        let mut fx = Effects::default();
        match *step {
            Step::Join { user, device, resume, mode } => self.join(user, device, resume, mode, &mut fx),
            Step::Leave { user, device, deliberate } => {
                self.board.leave(self.devices[user][device], deliberate, self.now, &mut fx);
            }
            Step::Dial { user, device, to } => self.dial(user, device, to, &mut fx),
            Step::Revoke { user, device } => {
                self.board.revoke(self.sessions[user][device], self.now, &mut fx);
            }
            Step::Renew { user, device } => {
                let expires = self.now.mono + TOKEN;
                let _ = self.board.renew_token(self.devices[user][device], expires, self.now, &mut fx);
            }
            Step::Operator { call } => self.board.end_by_operator(self.call(call), self.now, &mut fx),
            Step::Pass { millis, wall_jump } => {
                self.now.mono += Duration::from_millis(millis);
                let jump = TimeDelta::seconds(wall_jump);
                self.now.wall += TimeDelta::milliseconds(i64::try_from(millis).unwrap()) + jump;
                self.board.tick(self.now, &mut fx);
            }
            Step::Announce { .. }
            | Step::Accept { .. }
            | Step::Reject { .. }
            | Step::End { .. }
            | Step::Candidate { .. }
            | Step::Renegotiate { .. }
            | Step::Media { .. } => self.act(step, &mut fx),
        }
        self.check(fx);
        if let Step::Leave { user, device, .. } = step {
            self.joined.remove(&self.devices[*user][*device]);
        }
        self.check_state();
    }

    fn join(&mut self, user: usize, device: usize, resume: Option<usize>, mode: usize, fx: &mut Effects) {
        let joining = Joining {
            device: self.devices[user][device],
            session: self.sessions[user][device],
            user: self.users[user].clone(),
            token_expires: self.now.mono + TOKEN,
            presence: [PresenceMode::Full, PresenceMode::Delta, PresenceMode::None][mode],
            resume: resume.map(|call| self.call(call)),
        };
        self.board.join(joining, self.now, fx).unwrap();
        self.joined.insert(self.devices[user][device]);
    }

    fn dial(&mut self, user: usize, device: usize, to: usize, fx: &mut Effects) {
        let to = self.users.get(to).map_or_else(UserId::new, |party| party.id);
        let known = self.users.iter().find(|party| party.id == to).cloned();
        let media = (CallType::Video, offer());
        if let Ok(Dialled::Placed(call)) =
            self.board.dial(self.devices[user][device], to, known, media, self.now, fx)
        {
            self.calls.push(call);
        }
    }

    /// What a device does to a call. A refusal is as good as anything else.
    fn act(&mut self, step: &Step, fx: &mut Effects) {
        let now = self.now;
        let _ = match *step {
            Step::Announce { call } => {
                self.board.announce(self.call(call), now, fx);
                Ok(())
            }
            Step::Accept { user, device, call } => {
                let (id, by) = (self.call(call), self.devices[user][device]);
                let accepted = self.board.accept(by, id, answer(), now, fx);
                if accepted.is_ok() {
                    assert_eq!(
                        self.known[&id].rows[0].callee, self.users[user].id,
                        "only the callee answers"
                    );
                }
                accepted
            }
            Step::Reject { user, device, call } => {
                self.board.reject(self.devices[user][device], self.call(call), now, fx)
            }
            Step::End { user, device, call } => {
                self.board.end(self.devices[user][device], self.call(call), now, fx)
            }
            Step::Candidate { user, device, to, call } => {
                let (to, call) = (self.users[to].id, call.map(|call| self.call(call)));
                self.board.candidate(self.devices[user][device], to, call, candidate(0), now, fx)
            }
            Step::Renegotiate { user, device, call } => {
                self.board.renegotiate(self.devices[user][device], self.call(call), offer(), now, fx)
            }
            Step::Media { user, device, call } => {
                let media = MediaState { audio: true, video: false, screen: None };
                self.board.change_media(self.devices[user][device], self.call(call), media, now, fx)
            }
            Step::Join { .. }
            | Step::Leave { .. }
            | Step::Dial { .. }
            | Step::Operator { .. }
            | Step::Revoke { .. }
            | Step::Renew { .. }
            | Step::Pass { .. } => Ok(()),
        };
    }

    fn user_of(&self, device: DeviceId) -> UserId {
        let user = self.devices.iter().position(|devices| devices.contains(&device)).unwrap();
        self.users[user].id
    }

    /// What one step did.
    fn check(&mut self, fx: Effects) {
        let over_before: HashSet<CallId> = self
            .known
            .iter()
            .filter(|(_, known)| known.rows.last().unwrap().ended_at.is_some())
            .map(|(id, _)| *id)
            .collect();
        for row in fx.records {
            check_row(&row);
            let known = self.known.entry(row.id).or_insert(Known { rows: Vec::new(), answers: 0 });
            if let Some(last) = known.rows.last() {
                check_succession(last, &row);
            }
            known.rows.push(row);
        }
        for (device, message) in fx.sends {
            assert!(
                self.joined.contains(&device),
                "nothing is sent to a device that is not here: {message:?}"
            );
            let Some(call) = call_of(&message) else { continue };
            assert!(!over_before.contains(&call), "nothing is sent for a call that is over: {message:?}");
            let user = self.user_of(device);
            let known = self.known.get_mut(&call).expect("a call is on record before anybody hears of it");
            let row = &known.rows[0];
            assert!([row.caller, row.callee].contains(&user), "nothing is sent to a stranger: {message:?}");
            if matches!(message, Message::CallAccepted { .. }) {
                known.answers += 1;
                assert_eq!((known.answers, user), (1, row.caller), "the caller hears one answer");
            }
        }
        for (device, _) in fx.cuts {
            assert!(self.joined.remove(&device), "only who is here is cut, once");
        }
    }

    /// What is true between steps.
    fn check_state(&mut self) {
        let mut busy = HashSet::new();
        for live in self.board.calls.values() {
            for role in [crate::domain::call::Role::Caller, crate::domain::call::Role::Callee] {
                let user = live.call.party(role).id;
                assert!(busy.insert(user), "a user has one live call");
                assert_eq!(self.board.users[&user].call, Some(live.call.id()));
            }
            let row = self.known[&live.call.id()].rows.last().unwrap();
            // That it rings is no news to history.
            let as_it_is = CallRecord { rang: row.rang, ..live.call.record() };
            assert_eq!(row, &as_it_is, "history knows the call as it is");
            assert!(live.call.deadline().is_none_or(|at| at >= self.now.mono), "no deadline is missed");
        }
        for device in self.devices.iter().flatten().filter(|device| !self.joined.contains(device)) {
            let counted_on = self.board.calls.values().any(|live| live.call.involves(*device));
            assert!(!counted_on, "no call counts on a device that is not here");
        }
        let is_owned = |timer: &Timer| match timer {
            Timer::Call(call) => self.board.calls.contains_key(call),
            Timer::Token(device) => self.board.devices.contains_key(device),
            Timer::Forget(call) => self.board.past.contains_key(call),
        };
        assert!(
            self.board.timers.iter().all(|(_, timer)| is_owned(timer)),
            "a deadline goes with what it is for"
        );
        let here: HashSet<DeviceId> = self.board.devices.keys().copied().collect();
        assert_eq!(here, self.joined);
        let online: HashSet<UserId> = self.joined.iter().map(|device| self.user_of(*device)).collect();
        let listed: Vec<UserId> = self.board.presence().roster().iter().map(|user| user.id).collect();
        assert_eq!(listed.len(), online.len(), "one row a user");
        assert_eq!(listed.into_iter().collect::<HashSet<_>>(), online);
        let lines =
            self.board.users.values().filter(|line| line.devices.is_empty() && line.call.is_none()).count();
        assert_eq!(lines, 0, "nobody is remembered for nothing");
    }

    /// Everybody goes away without a word; every call must end by itself.
    fn wind_down(&mut self) {
        for user in 0..USERS {
            for device in 0..DEVICES {
                self.take(&Step::Leave { user, device, deliberate: false });
            }
        }
        for _ in 0..7 {
            self.take(&Step::Pass { millis: 20_000, wall_jump: 0 });
        }
        assert!(self.board.calls.is_empty() && self.board.users.is_empty() && self.board.devices.is_empty());
        assert!(self.board.past.is_empty() && self.board.timers.is_empty(), "nothing is left behind");
        for known in self.known.values() {
            assert!(known.rows.last().unwrap().ended_at.is_some(), "every call ends");
        }
    }
}

/// What the table's CHECK constraints demand.
fn check_row(row: &CallRecord) {
    let over = !matches!(row.status, CallStatus::Ringing | CallStatus::Active);
    assert_eq!(row.ended_at.is_some(), over, "{row:?}");
    assert_eq!(row.end_reason.is_some(), over, "{row:?}");
    let answered = matches!(row.status, CallStatus::Active | CallStatus::Completed);
    assert_eq!(row.answered_at.is_some(), answered, "{row:?}");
    assert!(row.answered_at.is_none_or(|at| at >= row.started_at), "{row:?}");
    assert!(row.ended_at.is_none_or(|at| at >= row.answered_at.unwrap_or(row.started_at)), "{row:?}");
    let fits: &[EndReason] = match row.status {
        CallStatus::Ringing | CallStatus::Active => &[],
        CallStatus::Completed => &[EndReason::Hangup, EndReason::ConnectionLost, EndReason::SessionRevoked],
        CallStatus::Rejected => &[EndReason::Rejected],
        CallStatus::Cancelled => {
            &[EndReason::Cancelled, EndReason::ConnectionLost, EndReason::SessionRevoked]
        }
        CallStatus::Missed => &[EndReason::NoAnswer, EndReason::UserOffline, EndReason::UserBusy],
        CallStatus::Failed => &[EndReason::ServerShutdown],
    };
    assert!(row.end_reason.is_none_or(|reason| fits.contains(&reason)), "{row:?}");
}

fn check_succession(last: &CallRecord, next: &CallRecord) {
    assert!(last.ended_at.is_none(), "a call that is over stays over: {next:?}");
    assert_eq!((last.caller, last.callee, last.started_at), (next.caller, next.callee, next.started_at));
    if last.answered_at.is_some() {
        assert_eq!(last.answered_at, next.answered_at, "answered once");
        assert_ne!(next.status, CallStatus::Active, "one winner");
    }
}

fn call_of(message: &Message) -> Option<CallId> {
    match message {
        Message::Joined { active_call, .. } => active_call.as_ref().map(|active| active.call),
        Message::UsersUpdated(_) | Message::PresenceDelta(_) | Message::TokenExpiring { .. } => None,
        Message::IncomingCall { call, .. }
        | Message::CallStatus { call, .. }
        | Message::CallAccepted { call, .. }
        | Message::CallRejected { call }
        | Message::CallEnded { call, .. }
        | Message::IceCandidate { call, .. }
        | Message::Renegotiate { call, .. }
        | Message::MediaState { call, .. }
        | Message::PeerReconnecting { call }
        | Message::PeerReconnected { call } => Some(*call),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_the_rules_of_a_call_hold(steps in proptest::collection::vec(step(), 1..60)) {
        let mut world = World::new();
        for user in 0..USERS {
            world.take(&Step::Join { user, device: 0, resume: None, mode: 0 });
        }
        for step in &steps {
            world.take(step);
        }
        world.wind_down();
    }
}
