//! What this node hears from others, and does about it.

use super::super::calls::Settled;
use super::super::{Live, Reply};
use super::AskedFor;
use crate::cluster::{Adoption, Ask, Cluster, Counted, Letter, News, Told};
use crate::domain::call::Call;
use crate::domain::ids::{CallId, DeviceId, IdMap, IdSet, NodeId, UserId};
use crate::domain::media::{CallType, Description};
use crate::domain::switchboard::Fault;
use crate::domain::time::Moment;
use futures_util::FutureExt;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;

/// How often questions are looked at that nobody answers.
const SWEEP: Duration = Duration::from_millis(250);
/// How far the clocks of two nodes may be apart.
const CLOCKS_APART: Duration = Duration::from_secs(5);

impl Live {
    /// Heeds the others, for as long as it is polled.
    pub(crate) async fn follow_nodes(self: &Arc<Self>, mut news: mpsc::Receiver<News>) {
        let mut sweep = tokio::time::interval(SWEEP);
        loop {
            tokio::select! {
                news = news.recv() => match news {
                    // Whatever a letter does, the next one is read.
                    Some(news) => if AssertUnwindSafe(self.heed(news)).catch_unwind().await.is_err() {
                        tracing::error!("what another node said cannot be heeded");
                    },
                    None => return,
                },
                _ = sweep.tick() => {
                    let now = self.clock.now().mono;
                    self.questions.give_up_late(now);
                }
            }
        }
    }

    async fn heed(self: &Arc<Self>, news: News) {
        let Some(cluster) = &self.cluster else { return };
        match news {
            News::Letter(from, letter) => {
                if from != self.node && !cluster.knows(from) {
                    self.greet(cluster, from);
                }
                self.open(cluster, from, letter);
            }
            News::Arrived(node) => self.greet(cluster, node),
            News::Gone(node, calls) => self.bury(cluster, node, calls),
            News::Resync => self.resync(cluster).await,
            News::Lost(call) => {
                // Often it is not the only one: the others are asked once at first, and once more at the next beat.
                if self.lose(call) && self.lost.fetch_add(1, Ordering::Relaxed) == 0 {
                    cluster.broadcast(Letter::Who);
                }
            }
            News::Beat => {
                if self.lost.swap(0, Ordering::Relaxed) > 1 {
                    cluster.broadcast(Letter::Who);
                }
                let mut alive = cluster.peers();
                alive.insert(self.node);
                let orphans = self.lock().orphans(&alive);
                self.adopt(orphans);
                // A home that is alive has claimed it again, unless it is this one's already.
                let home = |from| if alive.contains(&from) { self.node } else { from };
                let asked_for = self.asked_for();
                let unanswered = asked_for.iter().filter(|(_, asked)| asked.unanswered);
                let unanswered: Vec<_> = unanswered.map(|(call, asked)| (*call, home(asked.from))).collect();
                drop(asked_for);
                self.adopt(unanswered);
            }
        }
    }

    pub(super) fn asked_for(&self) -> MutexGuard<'_, IdMap<CallId, AskedFor>> {
        self.asked_for.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Under the lock, so that what changes from now on follows.
    fn greet(&self, cluster: &Cluster, node: NodeId) {
        let state = self.lock();
        let (devices, calls) = state.cards();
        cluster.greet(node, Letter::Here { devices, calls });
        drop(state);
        tracing::info!(%node, "a node is there");
        self.met.notify_waiters();
    }

    fn open(self: &Arc<Self>, cluster: &Cluster, from: NodeId, letter: Letter) {
        match letter {
            Letter::Here { devices, calls } => {
                self.transition(|state, now, fx| state.node_has(from, devices, calls, now, fx));
                self.heard_of.lock().unwrap_or_else(PoisonError::into_inner).insert(from);
                self.met.notify_waiters();
            }
            Letter::Who => self.greet(cluster, from),
            Letter::Came(card) => self.transition(|state, now, fx| state.device_came(from, card, now, fx)),
            Letter::Went { device, deliberate } => {
                if self.lock().node_of(device) == Some(from) {
                    self.leave(device, deliberate);
                }
            }
            Letter::Call(card) => self.transition(|state, now, fx| state.call_lives(from, card, now, fx)),
            Letter::Over(card) => self.transition(|state, now, fx| state.call_is_over(card, now, fx)),
            Letter::Deliver { to, message } => self.transition(|_, _, fx| fx.sends.push((to, message))),
            Letter::Ask { id, until, device, what } => {
                // Its sender has given up, unless our clocks are that far apart.
                if self.clock.now().wall - CLOCKS_APART <= until {
                    self.answer(cluster, from, id, device, what);
                }
            }
            Letter::Void => {}
            Letter::Told { id, answer } => {
                if let Some(to) = self.questions.take(id) {
                    to(answer);
                }
            }
            Letter::Counted(Counted::Call(user)) => self.count_call(user),
            Letter::Counted(counted) => {
                if let Some(count) = self.counted.get() {
                    count(counted);
                }
            }
            Letter::Echo(number) => {
                if let Some(next) = self.echoes.heard(number) {
                    cluster.echo(next);
                }
            }
            Letter::Leaving => {
                cluster.see_off(from);
                self.bury(cluster, from, Vec::new());
            }
        }
    }

    fn answer(self: &Arc<Self>, cluster: &Cluster, from: NodeId, id: u64, device: DeviceId, what: Ask) {
        let tell = |answer| cluster.post(from, Letter::Told { id, answer });
        match what {
            // What follows from an act is sent before its answer, what follows from a return after it: as where there is one node.
            Ask::Act(act) => {
                let may_judge = self.may_judge();
                let done = self.transition(|state, now, fx| {
                    let moved = !may_judge || state.home_of_act(device, &act).is_some();
                    if moved { Err(Fault::Unavailable) } else { state.act(device, act, now, fx) }
                });
                tell(done.map(|()| Told::Done));
            }
            Ask::ComeBack { resume } => self.transition(|state, now, fx| {
                // Those of a node that goes are on their way to another.
                let moved = state.home_of_call_of(device).is_some() || state.is_closing();
                let back = if moved {
                    Err(Fault::Unavailable)
                } else {
                    Ok(state.come_back(device, resume, now, fx))
                };
                tell(back.map(Told::Back));
            }),
            Ask::Dial { to, call_type, offer } => {
                let live = Arc::clone(self);
                tokio::spawn(async move {
                    let answer = live.dial_for(device, to, (call_type, offer)).await;
                    if let Some(cluster) = &live.cluster {
                        let answer = answer.map(|Reply { call, status }| Told::Dialled { call, status });
                        cluster.post(from, Letter::Told { id, answer });
                    }
                });
            }
        }
    }

    /// Dials for a device on another node, which is in a call that lives here.
    async fn dial_for(
        &self,
        device: DeviceId,
        to: UserId,
        media: (CallType, Description),
    ) -> Result<Reply, Fault> {
        let asked = self.clock.now();
        let dialled = self.dial(device, to, None, media.clone())?;
        match self.settle_here(device, to, None, &media, dialled, asked).await? {
            Settled::Reply(reply) => Ok(reply),
            // Its call is over meanwhile, and it is calling somebody who is not here; or asking on could go in circles.
            Settled::LookUp | Settled::Elsewhere(_) => Err(Fault::Unavailable),
        }
    }

    /// A node is gone, and with it its devices; its calls are taken over.
    fn bury(self: &Arc<Self>, cluster: &Cluster, node: NodeId, calls: Vec<CallId>) {
        cluster.forget(node);
        self.heard_of.lock().unwrap_or_else(PoisonError::into_inner).insert(node);
        self.transition(|state, now, fx| state.node_gone(node, now, fx));
        self.questions.give_up_on(node);
        let known = {
            let mut alive = cluster.peers();
            alive.insert(self.node);
            self.lock().orphans(&alive)
        };
        let mut orphans: Vec<_> = calls.into_iter().map(|call| (call, node)).collect();
        orphans.extend(known.into_iter().filter(|orphan| !orphans.contains(orphan)).collect::<Vec<_>>());
        self.adopt(orphans);
        self.met.notify_waiters();
    }

    /// Takes over calls whose home is gone, as far as nobody else has.
    fn adopt(self: &Arc<Self>, orphans: Vec<(CallId, NodeId)>) {
        let Some(cluster) = &self.cluster else { return };
        if orphans.is_empty() || self.lock().is_closing() {
            return;
        }
        let new = orphans.iter().map(|(call, from)| (*call, AskedFor { from: *from, unanswered: false }));
        self.asked_for().extend(new);
        let asked: Vec<_> =
            orphans.into_iter().map(|(call, from)| (call, cluster.adopt(call, from))).collect();
        let live = Arc::clone(self);
        tokio::spawn(async move {
            for (call, asked) in asked {
                match asked.await {
                    Ok(Adoption::Yes(adopted)) => live.take_over(adopted.call, adopted.taken),
                    // Its end was lost together with its node.
                    Ok(Adoption::Gone) => {
                        live.transition(|state, now, fx| state.forget_foreign(call, now, fx));
                    }
                    Ok(Adoption::Unreadable) => {
                        live.transition(|state, now, fx| state.forget_foreign(call, now, fx));
                        if let Some(cluster) = &live.cluster {
                            cluster.over(call);
                        }
                    }
                    Ok(Adoption::Taken) => {}
                    // Redis is away: it is tried again at the next beat.
                    Err(_) => {
                        if let Some(asked) = live.asked_for().get_mut(&call) {
                            asked.unanswered = true;
                        }
                        continue;
                    }
                }
                live.asked_for().remove(&call);
            }
        });
    }

    fn take_over(self: &Arc<Self>, call: Call, taken: Moment) {
        let (id, is_dialling) = (call.id(), call.is_dialling());
        {
            let state = self.lock();
            if state.has_call(id) {
                return;
            }
            if let Some(cluster) = self.cluster.as_ref().filter(|_| state.is_past(id)) {
                return cluster.over(id);
            }
        }
        tracing::info!(call = %id, "taking over a call");
        if let Some(cluster) = &self.cluster {
            cluster.counts.has_adopted();
        }
        let ((), ticket) =
            self.transition_with_ticket(|state, now, fx| state.adopt(call.moved(taken, now), now, fx));
        if is_dialling {
            // Nobody waits for an answer: it went with the node.
            let live = Arc::clone(self);
            tokio::spawn(async move {
                live.committed(id, ticket).await;
                live.transition(|state, now, fx| state.announce(id, now, fx));
            });
        }
    }

    /// Waits until all of these nodes have said what is on them, or are found dead.
    pub(crate) async fn meet(&self, nodes: &IdSet<NodeId>, limit: Duration) {
        let all_known = async {
            loop {
                let met = self.met.notified();
                let known = {
                    let heard_of = self.heard_of.lock().unwrap_or_else(PoisonError::into_inner);
                    nodes.iter().all(|node| heard_of.contains(node))
                };
                if known {
                    return;
                }
                met.await;
            }
        };
        if tokio::time::timeout(limit, all_known).await.is_err() {
            tracing::warn!(
                "not every node has said what is on it; the list of users may be short for a moment"
            );
        }
    }
}
