//! Two nodes: what one tells the other, and what becomes of a call whose node is gone.

use super::tests::{Board, Here};
use super::*;
use crate::domain::call::{CallStatus, EndReason};
use crate::domain::fixtures::{answer, candidate, offer};
use crate::domain::media::CallType;
use crate::domain::message::EndNotice;
use crate::domain::time::Moment;

/// Nodes that hear of each other at once.
struct Nodes {
    boards: [Board; 2],
    ids: [NodeId; 2],
}

impl Nodes {
    fn new() -> Self {
        let mut boards = [Board::new(), Board::new()];
        for board in &mut boards {
            board.board.share();
        }
        Self { boards, ids: [NodeId::new(), NodeId::new()] }
    }

    /// Lets something happen on a node, and the other one hear of it.
    fn did<T>(
        &mut self,
        node: usize,
        change: impl FnOnce(&mut Switchboard, Moment, &mut Effects) -> T,
    ) -> (T, Effects) {
        let (result, fx) = self.boards[node].did(change);
        self.tell(node, &fx);
        (result, fx)
    }

    fn tell(&mut self, from: usize, fx: &Effects) {
        let (id, other) = (self.ids[from], 1 - from);
        for news in &fx.news {
            let sender = &self.boards[from].board;
            match *news {
                NodeNews::Came(device) => {
                    if let Some(card) = sender.device_card(device) {
                        self.boards[other].did(|board, now, fx| board.device_came(id, card, now, fx));
                    }
                }
                NodeNews::Went { device, deliberate } => {
                    let ((), fx) =
                        self.boards[other].did(|board, now, fx| board.leave(device, deliberate, now, fx));
                    self.tell(other, &fx);
                }
                NodeNews::Changed(call) => {
                    if let Some(card) = sender.call_card(call) {
                        self.boards[other].did(|board, now, fx| board.call_lives(id, card, now, fx));
                    }
                }
                NodeNews::Trickled(_) => {}
                NodeNews::Over(card) => {
                    self.boards[other].did(|board, now, fx| board.call_is_over(card, now, fx));
                }
            }
        }
    }

    fn join(&mut self, node: usize, name: &str) -> Here {
        let (here, fx) = {
            let user = crate::domain::fixtures::party(name);
            self.boards[node].join_as(&user, SessionId::new(), 3600)
        };
        self.tell(node, &fx);
        here
    }

    /// A call that is placed on the first node, claimed, and rings.
    fn ring(&mut self, from: &Here, to: &Here) -> CallId {
        let (device, callee) = (from.device, to.user.id);
        let media = (CallType::Video, offer());
        let (dialled, fx) = self.did(0, |board, now, fx| board.dial(device, callee, None, media, now, fx));
        let Ok(Dialled::Placed(call)) = dialled else { panic!("{dialled:?}") };
        assert!(fx.records.is_empty(), "nothing goes on record before the call is claimed");
        let ((), fx) = self.did(0, |board, _, fx| board.confirm(call, fx));
        assert_eq!(fx.records[0].status, CallStatus::Ringing);
        assert!(self.did(0, |board, now, fx| board.announce(call, now, fx)).0);
        call
    }

    fn talk(&mut self, from: &Here, to: &Here) -> CallId {
        let call = self.ring(from, to);
        let device = to.device;
        let act = Act::Accept { call, answer: answer() };
        self.did(0, |board, now, fx| board.act(device, act, now, fx)).0.unwrap();
        call
    }

    /// The first node is gone without a word, and the second takes its call over, a little later and by another clock.
    fn bury_the_first(&mut self, call: CallId) -> Effects {
        let [first, second] = &mut self.boards;
        let (copy, then) = (first.board.copy_of(call).unwrap(), first.now);
        second.now.wall = then.wall + Duration::from_secs(2);
        let gone = self.ids[0];
        self.boards[1].did(|board, now, fx| board.node_gone(gone, now, fx));
        let orphans = self.boards[1].board.orphans(&[self.ids[1]].into_iter().collect());
        assert_eq!(orphans, [(call, gone)]);
        self.boards[1].did(|board, now, fx| board.adopt(copy.moved(then, now), now, fx)).1
    }
}

#[test]
fn who_is_on_one_node_is_online_on_the_other_and_goes_from_there_too() {
    let mut nodes = Nodes::new();
    let ann = nodes.join(0, "ann");
    assert!(nodes.boards[1].board.is_online(ann.user.id));
    assert_eq!(nodes.boards[1].board.device_count(), 0, "nobody is connected there");
    assert_eq!((nodes.boards[0].board.users_here(), nodes.boards[1].board.users_here()), (1, 0));
    let ((), fx) = nodes.did(0, |board, now, fx| board.leave(ann.device, false, now, fx));
    assert_eq!(fx.gone, [ann.user.id]);
    assert!(!nodes.boards[1].board.is_online(ann.user.id));
}

#[test]
fn a_call_is_judged_by_its_home_and_known_by_the_other() {
    let mut nodes = Nodes::new();
    let [ann, bob] = [nodes.join(0, "ann"), nodes.join(1, "bob")];
    let call = nodes.ring(&ann, &bob);
    let other = &nodes.boards[1].board;
    let act = Act::Reject { call };
    assert_eq!(other.home_of_act(bob.device, &act), Some(nodes.ids[0]));
    assert_eq!(other.home_of_call_of(bob.device), Some(nodes.ids[0]));
    assert_eq!(nodes.boards[0].board.home_of_act(ann.device, &act), None, "it is at home here");
    let cat = nodes.join(1, "cat");
    assert_eq!(nodes.boards[1].board.home_of_act(cat.device, &act), None, "a stranger learns of no call");
    assert_eq!((nodes.boards[0].board.call_count(), nodes.boards[1].board.call_count()), (1, 1));

    let (_, fx) = nodes.did(0, |board, now, fx| board.act(bob.device, act, now, fx));
    assert!(
        fx.sends.iter().any(|(to, message)| *to == ann.device && *message == Message::CallRejected { call })
    );
    assert_eq!(nodes.boards[1].board.call_count(), 0);
    let again = nodes.did(1, |board, now, fx| board.reject(bob.device, call, now, fx)).0;
    assert_eq!(again, Ok(()), "a retry of what is over is known on both");
}

#[test]
fn who_is_in_a_call_elsewhere_is_busy_here_and_dials_there() {
    let mut nodes = Nodes::new();
    let [ann, bob, cat] = [nodes.join(0, "ann"), nodes.join(1, "bob"), nodes.join(1, "cat")];
    nodes.ring(&ann, &bob);
    let media = || (CallType::Audio, offer());
    let to_bob = nodes.did(1, |board, now, fx| board.dial(cat.device, bob.user.id, None, media(), now, fx)).0;
    assert!(matches!(to_bob, Ok(Dialled::Busy(_))), "{to_bob:?}");
    let home = nodes.ids[0];
    let by_bob = nodes.did(1, |board, now, fx| board.dial(bob.device, cat.user.id, None, media(), now, fx)).0;
    assert_eq!(by_bob, Ok(Dialled::Elsewhere(home)));
    assert!(!nodes.boards[1].board.would_place(cat.device, bob.user.id));
}

#[test]
fn a_call_that_was_not_claimed_leaves_no_trace() {
    let mut nodes = Nodes::new();
    let [ann, bob] = [nodes.join(0, "ann"), nodes.join(0, "bob")];
    let media = (CallType::Audio, offer());
    let (dialled, _) =
        nodes.did(0, |board, now, fx| board.dial(ann.device, bob.user.id, None, media, now, fx));
    let Ok(Dialled::Placed(call)) = dialled else { panic!("{dialled:?}") };
    let ((), fx) = nodes.did(0, |board, now, fx| board.retract(call, now, fx));
    assert!(fx.records.is_empty() && fx.sends.is_empty());
    assert_eq!(nodes.boards[0].board.call_count(), 0);
    assert!(nodes.boards[0].board.would_place(bob.device, ann.user.id), "both are free again");
}

#[test]
fn a_call_is_taken_over_as_it_stood_and_its_lost_device_has_its_grace() {
    let mut nodes = Nodes::new();
    let [ann, bob] = [nodes.join(0, "ann"), nodes.join(1, "bob")];
    let call = nodes.talk(&ann, &bob);
    let fx = nodes.bury_the_first(call);
    assert!(!nodes.boards[1].board.is_online(ann.user.id));
    assert!(fx.sends.contains(&(bob.device, Message::PeerReconnecting { call })), "{fx:?}");
    assert_eq!(fx.records[0].status, CallStatus::Active, "the row is this node's from now on");

    let (back, fx) = nodes.boards[1].join_as(&ann.user, ann.session, 3600);
    let resumed = fx.sends.iter().find_map(|(to, message)| {
        let Message::Joined { active_call, .. } = message else { return None };
        active_call.clone().filter(|_| *to == back.device)
    });
    assert_eq!(resumed.map(|resumed| resumed.call), Some(call));
    assert!(fx.sends.contains(&(bob.device, Message::PeerReconnected { call })));
    let end = Act::End { call };
    let (ended, fx) = nodes.boards[1].did(|board, now, fx| board.act(back.device, end, now, fx));
    assert_eq!(ended, Ok(()));
    assert_eq!(fx.records[0].end_reason, Some(EndReason::Hangup));
}

#[test]
fn a_call_that_was_taken_over_ends_by_its_own_deadlines() {
    let mut nodes = Nodes::new();
    let [ann, bob] = [nodes.join(0, "ann"), nodes.join(1, "bob")];
    let call = nodes.ring(&ann, &bob);
    nodes.boards[0].pass(50);
    nodes.bury_the_first(call);
    let fx = nodes.boards[1].pass(7);
    assert!(fx.records.is_empty(), "it has rung 59 s of 60");
    let fx = nodes.boards[1].pass(1);
    assert_eq!(fx.records[0].end_reason, Some(EndReason::NoAnswer));
    assert!(fx.sends.contains(&(bob.device, Message::CallEnded { call, reason: EndNotice::NoAnswer })));
    let (started, ended) = (fx.records[0].started_at, fx.records[0].ended_at.unwrap());
    assert_eq!((ended - started).num_seconds(), 60, "dated from its start, on whatever node that was");
}

#[test]
fn what_a_node_says_it_has_is_all_it_has() {
    let mut nodes = Nodes::new();
    let [ann, bob] = [nodes.join(0, "ann"), nodes.join(1, "bob")];
    let call = nodes.ring(&ann, &bob);
    let first = nodes.ids[0];
    // It missed that ann went, and cat came, and the call ended.
    let cat = nodes.boards[0].join("cat");
    nodes.boards[0].did(|board, now, fx| board.leave(ann.device, true, now, fx));
    let (devices, calls) = nodes.boards[0].board.cards();
    let ((), fx) = nodes.boards[1].did(|board, now, fx| board.node_has(first, devices, calls, now, fx));
    let other = &nodes.boards[1].board;
    assert!(other.is_online(cat.user.id) && !other.is_online(ann.user.id));
    assert_eq!(other.call_count(), 0);
    assert!(other.would_place(bob.device, cat.user.id));
    assert_eq!(fx.gone, [ann.user.id]);
    assert!(nodes.boards[1].did(|board, now, fx| board.end(bob.device, call, now, fx)).0.is_ok());
}

#[test]
fn a_device_that_was_only_out_of_sight_has_its_place_again() {
    let mut nodes = Nodes::new();
    let [ann, bob] = [nodes.join(0, "ann"), nodes.join(1, "bob")];
    let call = nodes.talk(&ann, &bob);
    // The home takes the other node for dead, and then hears of it again.
    let second = nodes.ids[1];
    let ((), fx) = nodes.boards[0].did(|board, now, fx| board.node_gone(second, now, fx));
    assert!(fx.sends.contains(&(ann.device, Message::PeerReconnecting { call })));
    let (devices, calls) = nodes.boards[1].board.cards();
    let ((), fx) = nodes.boards[0].did(|board, now, fx| board.node_has(second, devices, calls, now, fx));
    assert!(fx.sends.contains(&(ann.device, Message::PeerReconnected { call })));
    let trickle = Act::Candidate { to: bob.user.id, call: Some(call), candidate: candidate(1) };
    let (passed, fx) = nodes.boards[0].did(|board, now, fx| board.act(ann.device, trickle, now, fx));
    assert_eq!((passed, fx.sends[0].0), (Ok(()), bob.device));
    assert!(fx.news.is_empty(), "a call in which two talk is no other for a candidate");
}

#[test]
fn a_device_in_a_call_elsewhere_is_not_cut_by_its_tokens_expiry_before_the_call_ends() {
    let mut nodes = Nodes::new();
    let ann = nodes.join(0, "ann");
    let user = crate::domain::fixtures::party("bob");
    let (bob, fx) = nodes.boards[1].join_as(&user, SessionId::new(), 30);
    nodes.tell(1, &fx);
    let call = nodes.talk(&ann, &bob);
    let fx = nodes.boards[1].pass(31);
    assert!(fx.cuts.is_empty());
    let end = Act::End { call };
    let (_, fx) = nodes.boards[0].did(|board, now, fx| board.act(ann.device, end, now, fx));
    let NodeNews::Over(card) = fx.news[0] else { panic!("{:?}", fx.news) };
    let ((), fx) = nodes.boards[1].did(|board, now, fx| board.call_is_over(card, now, fx));
    assert_eq!(fx.cuts, [(bob.device, Cut::TokenExpired)]);
}

#[test]
fn a_call_is_the_same_when_it_is_read_again() {
    let mut nodes = Nodes::new();
    let [ann, bob] = [nodes.join(0, "ann"), nodes.join(1, "bob")];
    let call = nodes.ring(&ann, &bob);
    for (by, to) in [(&ann, &bob), (&bob, &ann)] {
        let trickle = Act::Candidate { to: to.user.id, call: None, candidate: candidate(7) };
        let (held, fx) = nodes.boards[0].did(|board, now, fx| board.act(by.device, trickle, now, fx));
        assert_eq!((held, fx.news.as_slice()), (Ok(()), &[NodeNews::Trickled(call)][..]));
    }
    let copy = nodes.boards[0].board.copy_of(call).unwrap();
    let written = serde_json::to_string(&copy).unwrap();
    let read: Call = serde_json::from_str(&written).unwrap();
    assert_eq!(format!("{read:?}"), format!("{copy:?}"));
}

#[test]
fn nobody_takes_a_call_from_its_home_by_saying_so() {
    let mut nodes = Nodes::new();
    let [ann, bob] = [nodes.join(0, "ann"), nodes.join(1, "bob")];
    let call = nodes.talk(&ann, &bob);
    let (second, card) = (nodes.ids[1], nodes.boards[0].board.call_card(call).unwrap());
    let (caller, callee) = (ann.user.id, bob.user.id);
    let ((), fx) = nodes.boards[0].did(|board, now, fx| board.call_lives(second, card, now, fx));
    assert_eq!(fx.news, [NodeNews::Changed(call)], "Redis is asked whose it is");
    let past = PastCard { call, caller, callee, rejected: false };
    let ((), fx) = nodes.boards[0].did(|board, now, fx| board.call_is_over(past, now, fx));
    assert_eq!(fx.news, [NodeNews::Changed(call)]);
    assert!(nodes.boards[0].board.has_call(call));
    let end = Act::End { call };
    assert!(nodes.boards[0].did(|board, now, fx| board.act(ann.device, end, now, fx)).0.is_ok());
}

#[test]
fn a_call_of_another_node_leaves_the_line_of_a_live_one_alone() {
    let mut nodes = Nodes::new();
    let [ann, bob, cat] = [nodes.join(0, "ann"), nodes.join(0, "bob"), nodes.join(1, "cat")];
    let call = nodes.talk(&ann, &bob);
    let stale =
        CallCard { call: CallId::new(), caller: bob.user.clone(), callee: cat.user.clone(), devices: vec![] };
    let (second, past) = (nodes.ids[1], (stale.call, stale.caller.id, stale.callee.id));
    nodes.boards[0].did(|board, now, fx| board.call_lives(second, stale, now, fx));
    let past = PastCard { call: past.0, caller: past.1, callee: past.2, rejected: false };
    nodes.boards[0].did(|board, now, fx| board.call_is_over(past, now, fx));
    let trickle = Act::Candidate { to: ann.user.id, call: None, candidate: candidate(1) };
    let (passed, _) = nodes.boards[0].did(|board, now, fx| board.act(bob.device, trickle, now, fx));
    assert_eq!(passed, Ok(()), "bob is in his call still");
    let ((), fx) = nodes.boards[0].did(|board, now, fx| board.leave(bob.device, false, now, fx));
    assert!(fx.sends.contains(&(ann.device, Message::PeerReconnecting { call })));
}

#[test]
fn who_was_rung_and_out_of_sight_is_rung_again() {
    let mut nodes = Nodes::new();
    let [ann, bob] = [nodes.join(0, "ann"), nodes.join(1, "bob")];
    let call = nodes.ring(&ann, &bob);
    let second = nodes.ids[1];
    nodes.boards[0].did(|board, now, fx| board.node_gone(second, now, fx));
    let (devices, calls) = nodes.boards[1].board.cards();
    let ((), fx) = nodes.boards[0].did(|board, now, fx| board.node_has(second, devices, calls, now, fx));
    assert!(matches!(fx.sends[..], [(to, Message::IncomingCall { .. })] if to == bob.device), "{fx:?}");
    let accept = Act::Accept { call, answer: answer() };
    assert_eq!(nodes.boards[0].did(|board, now, fx| board.act(bob.device, accept, now, fx)).0, Ok(()));
}

#[test]
fn nobody_is_rung_or_told_of_a_call_before_it_is_placed() {
    let mut nodes = Nodes::new();
    let [ann, bob] = [nodes.join(0, "ann"), nodes.join(1, "bob")];
    let media = || (CallType::Audio, offer());
    let mut dial =
        || nodes.did(0, |board, now, fx| board.dial(ann.device, bob.user.id, None, media(), now, fx));
    let (Ok(Dialled::Placed(call)), _) = dial() else { panic!("the call is not placed") };
    let (again, fx) = dial();
    assert_eq!((again, fx.records.len()), (Ok(Dialled::Again(call)), 0));
    let (lives, fx) = nodes.did(0, |board, now, fx| board.announce(call, now, fx));
    assert!(lives && fx.sends.is_empty());
}

#[test]
fn calls_that_are_handed_over_are_judged_no_more_and_those_that_nobody_takes_are_put_back() {
    let mut nodes = Nodes::new();
    let [ann, bob] = [nodes.join(0, "ann"), nodes.join(1, "bob")];
    let call = nodes.talk(&ann, &bob);
    nodes.boards[0].board.close();
    let mut taken = nodes.boards[0].board.take_calls();
    let ((), fx) = nodes.boards[0].did(|board, now, fx| board.leave(ann.device, false, now, fx));
    assert!(fx.sends.is_empty() && fx.records.is_empty(), "{fx:?}");
    nodes.boards[0].board.put_back(taken.remove(0));
    let ((), fx) = nodes.boards[0].did(Switchboard::shut_down);
    assert_eq!(fx.records[0].end_reason, Some(EndReason::ServerShutdown));
    assert!(fx.sends.contains(&(bob.device, Message::CallEnded { call, reason: EndNotice::ServerShutdown })));
}

#[test]
fn a_call_that_is_not_placed_yet_is_told_to_nobody() {
    let mut nodes = Nodes::new();
    let [ann, bob] = [nodes.join(0, "ann"), nodes.join(1, "bob")];
    let (device, callee) = (ann.device, bob.user.id);
    let media = (CallType::Video, offer());
    let (dialled, _) = nodes.did(0, |board, now, fx| board.dial(device, callee, None, media, now, fx));
    let Ok(Dialled::Placed(call)) = dialled else { panic!("{dialled:?}") };
    assert!(nodes.boards[0].board.cards().1.is_empty());
    // Its caller's connection breaks, which changes it.
    nodes.did(0, |board, now, fx| board.leave(device, false, now, fx));
    nodes.did(0, |board, now, fx| board.retract(call, now, fx));
    let carl = nodes.join(1, "carl");
    let media = (CallType::Video, offer());
    let (dialled, _) = nodes.did(1, |board, now, fx| board.dial(carl.device, callee, None, media, now, fx));
    assert!(matches!(dialled, Ok(Dialled::Placed(_))), "{dialled:?}");
}

#[test]
fn who_turns_out_to_be_in_a_call_elsewhere_is_in_that_one() {
    let mut nodes = Nodes::new();
    let [ann, bob, carl] = [nodes.join(0, "ann"), nodes.join(1, "bob"), nodes.join(1, "carl")];
    // Both nodes place a call with Bob at the same moment, and the first node's is the faster one.
    let (device, callee) = (carl.device, bob.user.id);
    let media = (CallType::Video, offer());
    let (dialled, _) = nodes.boards[1].did(|board, now, fx| board.dial(device, callee, None, media, now, fx));
    let Ok(Dialled::Placed(slower)) = dialled else { panic!("{dialled:?}") };
    nodes.ring(&ann, &bob);
    nodes.did(1, |board, now, fx| board.retract(slower, now, fx));
    let media = (CallType::Video, offer());
    let (dialled, _) = nodes.boards[1].did(|board, now, fx| board.dial(device, callee, None, media, now, fx));
    assert!(matches!(dialled, Ok(Dialled::Busy(_))), "{dialled:?}");
}

#[test]
fn what_redis_has_of_a_call_late_is_told_to_it_once_more() {
    let mut nodes = Nodes::new();
    let [ann, bob] = [nodes.join(0, "ann"), nodes.join(1, "bob")];
    // Nothing was claimed: Redis was away.
    let call = nodes.talk(&ann, &bob);
    let ((), fx) = nodes.did(0, |board, _, fx| board.is_kept_again(call, fx));
    assert!(matches!(fx.news[..], [NodeNews::Changed(kept)] if kept == call), "{fx:?}");
    let ((), fx) = nodes.did(0, |board, _, fx| board.is_kept_again(call, fx));
    assert!(fx.news.is_empty(), "{fx:?}");
}

#[test]
fn calls_that_cannot_be_handed_over_end() {
    let mut nodes = Nodes::new();
    let [ann, bob] = [nodes.join(0, "ann"), nodes.join(1, "bob")];
    let [carl, dora] = [nodes.join(0, "carl"), nodes.join(1, "dora")];
    let [unknown, known] = [nodes.talk(&ann, &bob), nodes.talk(&carl, &dora)];
    let (device, callee) = (nodes.join(0, "erin").device, nodes.join(1, "finn").user.id);
    let media = (CallType::Video, offer());
    let (dialled, _) = nodes.did(0, |board, now, fx| board.dial(device, callee, None, media, now, fx));
    let Ok(Dialled::Placed(waits)) = dialled else { panic!("{dialled:?}") };
    let board = &mut nodes.boards[0].board;
    board.set_claimed(known);
    board.set_claimed(waits);
    board.close();
    let ((), fx) = nodes.did(0, Switchboard::end_what_cannot_move);
    let mut ended: Vec<_> = fx.records.iter().map(|row| (row.id, row.end_reason)).collect();
    ended.sort_unstable_by_key(|(call, _)| *call != unknown);
    let why = Some(EndReason::ServerShutdown);
    assert_eq!(ended, [(unknown, why), (waits, why)]);
    let taken: Vec<_> = nodes.boards[0].board.take_calls().iter().map(Call::id).collect();
    assert_eq!(taken, [known]);
}

#[test]
fn a_call_that_comes_to_a_node_that_goes_ends() {
    let mut nodes = Nodes::new();
    let [ann, bob] = [nodes.join(0, "ann"), nodes.join(1, "bob")];
    let call = nodes.talk(&ann, &bob);
    nodes.boards[1].board.close();
    let fx = nodes.bury_the_first(call);
    assert_eq!(fx.records.last().unwrap().end_reason, Some(EndReason::ServerShutdown));
    assert!(nodes.boards[1].board.call_ids().is_empty());
}

#[test]
fn a_call_hears_late_of_a_device_that_went_while_it_was_in_doubt() {
    for deliberate in [false, true] {
        let mut nodes = Nodes::new();
        let [ann, bob] = [nodes.join(0, "ann"), nodes.join(0, "bob")];
        let call = nodes.talk(&ann, &bob);
        let (departure, fx) = nodes.did(0, |board, _, fx| board.leave_unheard(bob.device, deliberate, fx));
        assert!(fx.sends.is_empty() && fx.records.is_empty(), "{fx:?}");
        assert!(!nodes.boards[1].board.is_online(bob.user.id));
        let ((), fx) = nodes.did(0, |board, now, fx| board.hear_of(departure.unwrap(), now, fx));
        let told = if deliberate {
            Message::CallEnded { call, reason: EndNotice::Hangup }
        } else {
            Message::PeerReconnecting { call }
        };
        assert_eq!(fx.sends, [(ann.device, told)]);
    }
}

#[test]
fn a_device_that_comes_back_before_its_departure_is_heard_of_has_its_place() {
    let mut nodes = Nodes::new();
    let [ann, bob] = [nodes.join(0, "ann"), nodes.join(0, "bob")];
    nodes.talk(&ann, &bob);
    let (departure, _) = nodes.did(0, |board, _, fx| board.leave_unheard(bob.device, true, fx));
    let (_, fx) = nodes.boards[0].join_as(&bob.user, bob.session, 3600);
    let is_back = |message: &Message| matches!(message, Message::Joined { active_call: Some(_), .. });
    assert!(fx.sends.iter().any(|(_, message)| is_back(message)), "{fx:?}");
    let ((), fx) = nodes.did(0, |board, now, fx| board.hear_of(departure.unwrap(), now, fx));
    assert!(fx.sends.is_empty() && fx.records.is_empty(), "the place is another device's: {fx:?}");
}
