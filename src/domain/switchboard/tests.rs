//! The rules that look at more than one call, or at devices.

use super::*;
use crate::domain::call::EndReason;
use crate::domain::fixtures::{answer, offer, party};
use crate::domain::media::CallType;
use crate::domain::message::{DialStatus, EndNotice};
use crate::domain::presence::PresenceMode;
use crate::domain::time::Moment;
use chrono::DateTime;

pub(super) struct Board {
    pub(super) board: Switchboard,
    pub(super) now: Moment,
}

/// A joined device of a user.
#[derive(Clone)]
pub(super) struct Here {
    pub(super) user: Party,
    pub(super) device: DeviceId,
    pub(super) session: SessionId,
}

impl Board {
    pub(super) fn new() -> Self {
        let rules = Rules { ring_timeout: Duration::from_mins(1), reconnect_grace: Duration::from_secs(15) };
        let now = Moment { wall: DateTime::UNIX_EPOCH, mono: Duration::from_secs(1000) };
        Self { board: Switchboard::new(rules), now }
    }

    pub(super) fn pass(&mut self, seconds: u64) -> Effects {
        let by = Duration::from_secs(seconds);
        self.now = Moment { wall: self.now.wall + by, mono: self.now.mono + by };
        self.did(super::Switchboard::tick).1
    }

    pub(super) fn did<T>(
        &mut self,
        change: impl FnOnce(&mut Switchboard, Moment, &mut Effects) -> T,
    ) -> (T, Effects) {
        let mut fx = Effects::default();
        let result = change(&mut self.board, self.now, &mut fx);
        (result, fx)
    }

    pub(super) fn join_as(&mut self, user: &Party, session: SessionId, expires_in: u64) -> (Here, Effects) {
        let here = Here { user: user.clone(), device: DeviceId::new(), session };
        let joining = Joining {
            device: here.device,
            session,
            user: user.clone(),
            token_expires: self.now.mono + Duration::from_secs(expires_in),
            presence: PresenceMode::Full,
            resume: None,
        };
        let (result, fx) = self.did(|board, now, fx| board.join(joining, now, fx));
        result.unwrap();
        (here, fx)
    }

    pub(super) fn join(&mut self, name: &str) -> Here {
        let user = party(name);
        self.join_as(&user, SessionId::new(), 3600).0
    }

    fn dial(&mut self, from: &Here, to: &Here) -> Result<Dialled, Fault> {
        let media = (CallType::Audio, offer());
        self.did(|board, now, fx| board.dial(from.device, to.user.id, Some(to.user.clone()), media, now, fx))
            .0
    }

    fn ring(&mut self, from: &Here, to: &Here) -> CallId {
        let Ok(Dialled::Placed(call)) = self.dial(from, to) else { panic!("the call is not placed") };
        assert!(self.did(|board, now, fx| board.announce(call, now, fx)).0);
        call
    }

    fn accept(&mut self, by: &Here, call: CallId) -> Result<(), Fault> {
        let answer = answer();
        self.did(|board, now, fx| board.accept(by.device, call, answer, now, fx)).0
    }

    fn talk(&mut self, from: &Here, to: &Here) -> CallId {
        let call = self.ring(from, to);
        self.accept(to, call).unwrap();
        call
    }

    fn end(&mut self, by: &Here, call: CallId) -> (Result<(), Fault>, Effects) {
        self.did(|board, now, fx| board.end(by.device, call, now, fx))
    }

    fn reject(&mut self, by: &Here, call: CallId) -> Result<(), Fault> {
        self.did(|board, now, fx| board.reject(by.device, call, now, fx)).0
    }
}

fn is_state(result: &Result<impl std::fmt::Debug, Fault>) -> bool {
    matches!(result, Err(Fault::Refused(Refusal::State(_))))
}

#[test]
fn a_party_to_a_live_call_is_busy_and_cannot_call() {
    let mut board = Board::new();
    let [ann, bob, cat] = ["ann", "bob", "cat"].map(|name| board.join(name));
    board.ring(&ann, &bob);
    assert!(matches!(board.dial(&cat, &ann), Ok(Dialled::Busy(_))), "the caller is busy");
    assert!(matches!(board.dial(&cat, &bob), Ok(Dialled::Busy(_))), "so is who rings");
    assert!(is_state(&board.dial(&bob, &cat)), "who is rung is in a call");
    assert!(is_state(&board.dial(&ann, &cat)));
    assert_eq!(board.board.call_count(), 1);
}

#[test]
fn a_missed_call_is_recorded_with_its_reason() {
    let mut board = Board::new();
    let [ann, bob, cat] = ["ann", "bob", "cat"].map(|name| board.join(name));
    board.ring(&ann, &bob);
    let media = (CallType::Audio, offer());
    let to = bob.user.id;
    let (_, fx) = board.did(|board, now, fx| board.dial(cat.device, to, None, media.clone(), now, fx));
    assert_eq!(fx.records[0].end_reason, Some(EndReason::UserBusy));
    let away = party("dan");
    let (dialled, fx) = board
        .did(|board, now, fx| board.dial(cat.device, away.id, Some(away.clone()), media.clone(), now, fx));
    assert!(matches!(dialled, Ok(Dialled::Offline(_))));
    assert_eq!(fx.records[0].end_reason, Some(EndReason::UserOffline));
    let (dialled, fx) =
        board.did(|board, now, fx| board.dial(cat.device, UserId::new(), None, media, now, fx));
    assert_eq!((dialled, fx.records.len()), (Ok(Dialled::NotHere), 0));
}

#[test]
fn a_call_that_meets_one_from_the_other_side_is_glare_and_a_repeated_one_is_the_same() {
    let mut board = Board::new();
    let [ann, bob] = ["ann", "bob"].map(|name| board.join(name));
    let Ok(Dialled::Placed(call)) = board.dial(&ann, &bob) else { panic!() };
    assert_eq!(board.dial(&bob, &ann), Ok(Dialled::Glare(call)), "even before it rings");
    assert_eq!(board.dial(&ann, &bob), Ok(Dialled::Again(call)));
    let (tab, _) = board.join_as(&ann.user, ann.session, 3600);
    assert!(is_state(&board.dial(&tab, &bob)), "another device does not hold the call");
    assert!(board.did(|board, now, fx| board.announce(call, now, fx)).0);
    board.accept(&bob, call).unwrap();
    assert!(is_state(&board.dial(&ann, &bob)), "an answered call is not repeated");
    assert!(is_state(&board.dial(&bob, &ann)));
    assert_eq!(board.dial(&ann, &ann.clone()), Err(Fault::SelfCall));
}

#[test]
fn a_call_that_ended_a_moment_ago_answers_retries_and_is_then_forgotten() {
    let mut board = Board::new();
    let [ann, bob, cat] = ["ann", "bob", "cat"].map(|name| board.join(name));
    let call = board.ring(&ann, &bob);
    board.reject(&bob, call).unwrap();
    assert_eq!(board.reject(&bob, call), Ok(()));
    let (again, fx) = board.end(&ann, call);
    assert_eq!((again, fx.sends.len(), fx.records.len()), (Ok(()), 0, 0), "nothing is sent twice");
    assert!(is_state(&board.accept(&bob, call)));
    assert!(is_state(&board.reject(&ann, call)));
    assert_eq!(board.end(&cat, call).0, Err(Fault::NoSuchCall), "a stranger finds nothing");
    board.pass(61);
    assert_eq!(board.end(&ann, call).0, Err(Fault::NoSuchCall));
}

#[test]
fn who_has_dropped_out_of_a_call_stays_busy_for_the_grace() {
    let mut board = Board::new();
    let [ann, bob, cat] = ["ann", "bob", "cat"].map(|name| board.join(name));
    board.talk(&ann, &bob);
    board.did(|board, now, fx| board.leave(bob.device, false, now, fx));
    assert!(!board.board.is_online(bob.user.id));
    assert!(matches!(board.dial(&cat, &bob), Ok(Dialled::Busy(_))));
    let fx = board.pass(15);
    let lost = |(device, message): &(DeviceId, Message)| {
        *device == ann.device
            && matches!(message, Message::CallEnded { reason: EndNotice::ConnectionLost, .. })
    };
    assert!(fx.sends.iter().any(lost));
    assert!(matches!(board.dial(&cat, &bob), Ok(Dialled::Offline(_))));
}

#[test]
fn a_token_that_expires_cuts_the_device_after_a_warning_but_not_out_of_a_call() {
    let mut board = Board::new();
    let ann = board.join("ann");
    let user = party("bob");
    let (bob, _) = board.join_as(&user, SessionId::new(), 100);
    let fx = board.pass(40);
    assert_eq!(fx.sends, [(bob.device, Message::TokenExpiring { left: Duration::from_mins(1) })]);
    assert!(board.pass(20).sends.is_empty(), "warned once");
    let call = board.talk(&ann, &bob);
    assert!(board.pass(40).cuts.is_empty());
    let (_, fx) = board.end(&ann, call);
    assert_eq!(fx.cuts, [(bob.device, Cut::TokenExpired)]);
    assert!(!board.board.is_online(bob.user.id));
}

#[test]
fn a_newer_token_is_warned_of_anew_and_one_with_little_left_at_once() {
    let mut board = Board::new();
    let user = party("bob");
    let (bob, fx) = board.join_as(&user, SessionId::new(), 30);
    assert!(matches!(fx.sends.last(), Some((_, Message::TokenExpiring { .. }))));
    let expires = board.now.mono + Duration::from_mins(5);
    board.did(|board, now, fx| board.renew_token(bob.device, expires, now, fx)).0.unwrap();
    assert!(board.pass(239).sends.is_empty());
    assert_eq!(board.pass(1).sends.len(), 1);
    assert_eq!(board.pass(60).cuts, [(bob.device, Cut::TokenExpired)]);
}

#[test]
fn a_revoked_session_loses_its_devices_and_its_calls_and_no_other_does() {
    let mut board = Board::new();
    let [ann, bob] = ["ann", "bob"].map(|name| board.join(name));
    let (phone, _) = board.join_as(&bob.user, SessionId::new(), 3600);
    let call = board.ring(&ann, &bob);
    let ((), fx) = board.did(|board, now, fx| board.revoke(bob.session, now, fx));
    assert_eq!(fx.cuts, [(bob.device, Cut::SessionRevoked)]);
    assert!(fx.records.is_empty(), "the call rings on elsewhere");
    board.accept(&phone, call).unwrap();
    board.did(|board, now, fx| board.leave(phone.device, false, now, fx));
    let ((), fx) = board.did(|board, now, fx| board.revoke(phone.session, now, fx));
    assert_eq!(fx.records[0].end_reason, Some(EndReason::SessionRevoked), "also while its device is away");
}

#[test]
fn a_user_has_eight_devices_at_most() {
    let mut board = Board::new();
    let ann = board.join("ann");
    for _ in 1..8 {
        board.join_as(&ann.user, ann.session, 3600);
    }
    let joining = Joining {
        device: DeviceId::new(),
        session: ann.session,
        user: ann.user.clone(),
        token_expires: board.now.mono + Duration::from_mins(5),
        presence: PresenceMode::Full,
        resume: None,
    };
    let (ninth, fx) = board.did(|board, now, fx| board.join(joining, now, fx));
    assert_eq!((ninth, fx.sends.len()), (Err(Fault::TooManyDevices), 0));
}

#[test]
fn a_status_is_told_only_to_a_device_that_is_still_here() {
    let mut board = Board::new();
    let ann = board.join("ann");
    let status = |board: &Switchboard, device, fx: &mut Effects| {
        board.tell_status(device, CallId::new(), DialStatus::UserOffline, fx);
    };
    let ((), fx) = board.did(|board, _, fx| status(board, ann.device, fx));
    assert_eq!(fx.sends.len(), 1);
    board.did(|board, now, fx| board.leave(ann.device, true, now, fx));
    let ((), fx) = board.did(|board, _, fx| status(board, ann.device, fx));
    assert!(fx.sends.is_empty());
}
