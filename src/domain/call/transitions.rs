//! What each event does in each state.

use super::{
    Actor, Call, EndNotice, EndReason, Event, HELD_CANDIDATES, Message, Obstacle, Outcome, Pending, Refusal,
    Role, Rung, Seat, State,
};
use crate::domain::ids::{DeviceId, SessionId};
use crate::domain::media::{Candidate, Description};
use crate::domain::message::DialStatus;
use crate::domain::time::Moment;

const NOT_RINGING: Refusal = Refusal::State(Obstacle::NotRinging);
const NOT_ACTIVE: Refusal = Refusal::State(Obstacle::NotActive);
const ANSWERED: Refusal = Refusal::State(Obstacle::Answered);
const NOT_THIS_DEVICE: Refusal = Refusal::State(Obstacle::NotThisDevice);
const CALLEE_ONLY: Refusal = Refusal::State(Obstacle::CalleeOnly);

impl Call {
    /// Lets `event` happen. A refused event changes nothing.
    pub(crate) fn apply(&mut self, event: Event, now: Moment) -> Result<Outcome, Refusal> {
        match event {
            Event::Announced { devices } => self.announced(devices),
            Event::Joined { by, resume } => Ok(self.joined(by, resume)),
            Event::Accepted { by, answer } => self.accepted(by, answer, now),
            Event::Rejected { by } => self.rejected(by, now),
            Event::Ended { by } => self.ended_by(by, now),
            Event::Candidate { by, candidate } => self.candidate(by, candidate),
            Event::Renegotiated { by, description } => {
                let (call, from) = (self.id, self.party(by.role).id);
                self.relay(by, Message::Renegotiate { call, from, description })
            }
            Event::MediaChanged { by, media } => {
                let (call, from) = (self.id, self.party(by.role).id);
                self.relay(by, Message::MediaState { call, from, media })
            }
            Event::Dropped { by } => Ok(self.dropped(by.role, by.device, now)),
            Event::Missing { device } => Ok(self.missing(device, now)),
            Event::Left { by } => Ok(self.left(by, now)),
            Event::Revoked { session } => Ok(self.revoked(session, now)),
            Event::EndedByOperator => Ok(self.ended_by_operator(now)),
            Event::Lost => Ok(self.end(EndReason::ConnectionLost, EndNotice::ConnectionLost, None, now)),
            Event::Tick => Ok(self.tick(now)),
            Event::ShutDown => Ok(self.end(EndReason::ServerShutdown, EndNotice::ServerShutdown, None, now)),
        }
    }

    fn announced(&mut self, devices: Vec<(DeviceId, SessionId)>) -> Result<Outcome, Refusal> {
        let pending = match &self.state {
            State::Dialling(pending) => pending.clone(),
            State::Ringing { .. } | State::Active { .. } => return Err(ANSWERED),
        };
        self.state = State::Ringing { pending, rung: Vec::new() };
        let mut out = Outcome::default();
        for (device, session) in devices {
            self.ring(device, session, &mut out);
        }
        let status = Message::CallStatus { call: self.id, status: DialStatus::Ringing };
        if let State::Ringing { pending, .. } = &mut self.state {
            pending.caller.tell(status, &mut out.sends)?;
        }
        Ok(out)
    }

    /// Rings one more device of the callee, unless it rings already or nobody is rung.
    fn ring(&mut self, device: DeviceId, session: SessionId, out: &mut Outcome) {
        let (call, from, call_type) = (self.id, self.caller.clone(), self.media);
        if let State::Ringing { pending, rung } = &mut self.state
            && rung.iter().all(|rung| rung.device != device)
        {
            rung.push(Rung { device, session, held: Vec::new() });
            let from_id = from.id;
            out.sends.push((
                device,
                Message::IncomingCall { call, from, call_type, offer: pending.offer.clone() },
            ));
            out.sends.extend(pending.trickled.iter().map(|candidate| {
                (device, Message::IceCandidate { call, from: from_id, candidate: candidate.clone() })
            }));
        }
    }

    fn joined(&mut self, by: Actor, resume: bool) -> Outcome {
        let mut out = Outcome::default();
        let active_call = self.active_call(by.role);
        let back = Message::PeerReconnected { call: self.id };
        let peer_away = Message::PeerReconnecting { call: self.id };
        match &mut self.state {
            State::Dialling(pending) | State::Ringing { pending, .. } if by.role == Role::Caller => {
                if pending.caller.is(by.device) {
                    out.resumed = Some(active_call);
                } else if pending.caller.may_be_taken_by(by.session, resume) {
                    out.resumed = Some(active_call);
                    let held = pending.caller.take(by.device);
                    out.sends.extend(held.into_iter().map(|message| (by.device, message)));
                    if let State::Ringing { rung, .. } = &self.state {
                        out.sends.extend(rung.iter().map(|rung| (rung.device, back.clone())));
                    }
                }
            }
            State::Dialling(_) => {}
            State::Ringing { .. } => self.ring(by.device, by.session, &mut out),
            State::Active { caller, callee, .. } => {
                let (seat, peer) = seats(by.role, caller, callee);
                if seat.is(by.device) {
                    out.resumed = Some(active_call);
                } else if seat.may_be_taken_by(by.session, resume) {
                    out.resumed = Some(active_call);
                    let held = seat.take(by.device);
                    out.sends.extend(held.into_iter().map(|message| (by.device, message)));
                    match peer.reachable() {
                        Some(device) => out.sends.push((device, back)),
                        None => out.sends.push((by.device, peer_away)),
                    }
                }
            }
        }
        out
    }

    fn accepted(&mut self, by: Actor, answer: Description, now: Moment) -> Result<Outcome, Refusal> {
        if by.role == Role::Caller {
            return Err(CALLEE_ONLY);
        }
        let (pending, rung) = match &mut self.state {
            State::Dialling(_) => return Err(NOT_RINGING),
            State::Active { callee, .. } if callee.is(by.device) => return Ok(Outcome::default()),
            State::Active { .. } => return Err(ANSWERED),
            State::Ringing { pending, rung } => (pending, rung),
        };
        let winner = rung.iter().position(|rung| rung.device == by.device).ok_or(NOT_THIS_DEVICE)?;
        let winner = rung.swap_remove(winner);
        let (call, mut out) = (self.id, Outcome::default());
        pending.caller.tell(Message::CallAccepted { call, answer }, &mut out.sends)?;
        for candidate in winner.held {
            let from = self.callee.id;
            pending.caller.tell(Message::IceCandidate { call, from, candidate }, &mut out.sends)?;
        }
        let from = self.caller.id;
        let replay = pending.trickled.iter().cloned();
        out.sends
            .extend(replay.map(|candidate| (by.device, Message::IceCandidate { call, from, candidate })));
        let elsewhere = Message::CallEnded { call, reason: EndNotice::AnsweredElsewhere };
        out.sends.extend(rung.iter().map(|rung| (rung.device, elsewhere.clone())));
        if !pending.caller.is_up() {
            out.sends.push((by.device, Message::PeerReconnecting { call }));
        }
        let caller = pending.caller.clone();
        self.state = State::Active { answered: now.dated_from(self.started), caller, callee: Seat::new(by) };
        out.record = Some(self.record());
        Ok(out)
    }

    fn rejected(&mut self, by: Actor, now: Moment) -> Result<Outcome, Refusal> {
        if by.role == Role::Caller {
            return Err(CALLEE_ONLY);
        }
        let (pending, rung): (&Pending, &[Rung]) = match &self.state {
            State::Dialling(pending) => (pending, &[]),
            State::Ringing { pending, rung } => (pending, rung),
            State::Active { .. } => return Err(ANSWERED),
        };
        let call = self.id;
        let elsewhere = Message::CallEnded { call, reason: EndNotice::RejectedElsewhere };
        let mut sends: Vec<_> = pending
            .caller
            .reachable()
            .map(|device| (device, Message::CallRejected { call }))
            .into_iter()
            .collect();
        let others = rung.iter().filter(|rung| rung.device != by.device);
        sends.extend(others.map(|rung| (rung.device, elsewhere.clone())));
        Ok(Outcome { sends, ..self.ended(EndReason::Rejected, now) })
    }

    fn ended_by(&mut self, by: Actor, now: Moment) -> Result<Outcome, Refusal> {
        match (&self.state, by.role) {
            (State::Dialling(_) | State::Ringing { .. }, Role::Caller) => {
                Ok(self.end(EndReason::Cancelled, EndNotice::Cancelled, Some(by.device), now))
            }
            (State::Dialling(_) | State::Ringing { .. }, Role::Callee) => self.rejected(by, now),
            (State::Active { .. }, Role::Caller | Role::Callee) => {
                Ok(self.end(EndReason::Hangup, EndNotice::Hangup, Some(by.device), now))
            }
        }
    }

    /// To both sides it looks as if the other one had hung up or, while it rings, the caller had given up.
    fn ended_by_operator(&self, now: Moment) -> Outcome {
        match self.state {
            State::Dialling(_) | State::Ringing { .. } => {
                self.end(EndReason::Cancelled, EndNotice::Cancelled, None, now)
            }
            State::Active { .. } => self.end(EndReason::Hangup, EndNotice::Hangup, None, now),
        }
    }

    fn candidate(&mut self, by: Actor, candidate: Candidate) -> Result<Outcome, Refusal> {
        let (call, from) = (self.id, self.party(by.role).id);
        let mut out = Outcome::default();
        match (&mut self.state, by.role) {
            (State::Dialling(_), Role::Callee) => return Err(NOT_RINGING),
            (State::Dialling(pending), Role::Caller) => pending.trickle(by.device, candidate)?,
            (State::Ringing { pending, rung }, Role::Caller) => {
                pending.trickle(by.device, candidate.clone())?;
                let message = Message::IceCandidate { call, from, candidate };
                out.sends.extend(rung.iter().map(|rung| (rung.device, message.clone())));
            }
            (State::Ringing { rung, .. }, Role::Callee) => {
                let rung = rung.iter_mut().find(|rung| rung.device == by.device).ok_or(NOT_THIS_DEVICE)?;
                hold(&mut rung.held, candidate)?;
            }
            (State::Active { .. }, Role::Caller | Role::Callee) => {
                return self.relay(by, Message::IceCandidate { call, from, candidate });
            }
        }
        Ok(out)
    }

    /// Passes a message to the other party of an active call.
    fn relay(&mut self, by: Actor, message: Message) -> Result<Outcome, Refusal> {
        let mut out = Outcome::default();
        match &mut self.state {
            State::Dialling(_) | State::Ringing { .. } => return Err(NOT_ACTIVE),
            State::Active { caller, callee, .. } => {
                let (seat, peer) = seats(by.role, caller, callee);
                if !seat.is(by.device) {
                    return Err(NOT_THIS_DEVICE);
                }
                peer.tell(message, &mut out.sends)?;
            }
        }
        Ok(out)
    }

    /// Of a device that is in one place of the call at most.
    fn missing(&mut self, device: DeviceId, now: Moment) -> Outcome {
        let role = match &self.state {
            State::Dialling(_) | State::Ringing { .. } => Role::Caller,
            State::Active { caller, .. } => {
                if caller.is(device) {
                    Role::Caller
                } else {
                    Role::Callee
                }
            }
        };
        self.dropped(role, device, now)
    }

    fn dropped(&mut self, role: Role, device: DeviceId, now: Moment) -> Outcome {
        let until = now.mono + self.rules.reconnect_grace;
        let away = Message::PeerReconnecting { call: self.id };
        let mut out = Outcome::default();
        match &mut self.state {
            State::Dialling(pending) if pending.caller.is(device) => pending.caller.drop_off(until),
            State::Dialling(_) => {}
            State::Ringing { pending, rung } => {
                if pending.caller.is(device) {
                    pending.caller.drop_off(until);
                    out.sends.extend(rung.iter().map(|rung| (rung.device, away.clone())));
                }
                rung.retain(|rung| rung.device != device);
            }
            State::Active { caller, callee, .. } => {
                let (seat, peer) = seats(role, caller, callee);
                if seat.is(device) {
                    seat.drop_off(until);
                    out.sends.extend(peer.reachable().map(|device| (device, away)));
                }
            }
        }
        out
    }

    fn left(&mut self, by: Actor, now: Moment) -> Outcome {
        match &mut self.state {
            State::Dialling(pending) | State::Ringing { pending, .. } if pending.caller.is(by.device) => {
                self.end(EndReason::Cancelled, EndNotice::Cancelled, Some(by.device), now)
            }
            State::Dialling(_) => Outcome::default(),
            State::Ringing { rung, .. } => {
                rung.retain(|rung| rung.device != by.device);
                Outcome::default()
            }
            State::Active { caller, callee, .. } => {
                if caller.is(by.device) || callee.is(by.device) {
                    self.end(EndReason::Hangup, EndNotice::Hangup, Some(by.device), now)
                } else {
                    Outcome::default()
                }
            }
        }
    }

    fn revoked(&mut self, session: SessionId, now: Moment) -> Outcome {
        let ends = match &mut self.state {
            State::Dialling(pending) => pending.caller.belongs_to(session),
            State::Ringing { pending, rung } => {
                rung.retain(|rung| rung.session != session);
                pending.caller.belongs_to(session)
            }
            State::Active { caller, callee, .. } => caller.belongs_to(session) || callee.belongs_to(session),
        };
        if ends {
            self.end(EndReason::SessionRevoked, EndNotice::SessionRevoked, None, now)
        } else {
            Outcome::default()
        }
    }

    fn tick(&mut self, now: Moment) -> Outcome {
        let lost = match &self.state {
            State::Dialling(pending) | State::Ringing { pending, .. } => pending.caller.is_overdue(now.mono),
            State::Active { caller, callee, .. } => {
                caller.is_overdue(now.mono) || callee.is_overdue(now.mono)
            }
        };
        if lost {
            self.end(EndReason::ConnectionLost, EndNotice::ConnectionLost, None, now)
        } else if self.is_pending() && now.mono >= self.started.mono + self.rules.ring_timeout {
            self.end(EndReason::NoAnswer, EndNotice::NoAnswer, None, now)
        } else {
            Outcome::default()
        }
    }
}

impl Pending {
    fn trickle(&mut self, by: DeviceId, candidate: Candidate) -> Result<(), Refusal> {
        if self.caller.is(by) { hold(&mut self.trickled, candidate) } else { Err(NOT_THIS_DEVICE) }
    }
}

fn hold(held: &mut Vec<Candidate>, candidate: Candidate) -> Result<(), Refusal> {
    if held.len() >= HELD_CANDIDATES {
        return Err(Refusal::TooManyHeld);
    }
    held.push(candidate);
    Ok(())
}

/// The seat of `role` and the other one.
fn seats<'a>(role: Role, caller: &'a mut Seat, callee: &'a mut Seat) -> (&'a mut Seat, &'a mut Seat) {
    match role {
        Role::Caller => (caller, callee),
        Role::Callee => (callee, caller),
    }
}
