//! What this node asks of others, for the devices that are connected to it.

use super::super::{Live, Reply};
use crate::cluster::{Ask, Letter, Told};
use crate::domain::ids::{CallId, DeviceId, IdMap, NodeId, UserId};
use crate::domain::media::{CallType, Description};
use crate::domain::switchboard::{Act, Effects, Fault};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;

/// How long the home of a call may take to answer.
const ANSWER_TIME: Duration = Duration::from_secs(3);
/// How long a device that has joined waits to come back into its call: while its home is dead and not buried yet, nobody can
/// give it back. A socket that has not joined is cut after ten seconds.
const RETURN_TIME: Duration = Duration::from_secs(8);
/// How long the way through Redis and back may take, and a beat before it.
const ECHO_TIME: Duration = Duration::from_millis(1500);
/// Between two attempts of that.
const TRY_AGAIN: Duration = Duration::from_millis(100);
/// Questions that may wait for their answers.
const QUESTIONS: usize = 20_000;

/// What is done with the answer to a question.
type Answer = Box<dyn FnOnce(Result<Told, Fault>) + Send>;

/// Questions that wait for their answers.
#[derive(Default)]
pub(in crate::live) struct Questions(Mutex<Asked>);

#[derive(Default)]
struct Asked {
    last: u64,
    waiting: IdMap<u64, Question>,
}

struct Question {
    of: NodeId,
    until: Duration,
    answer: Answer,
}

impl Questions {
    fn lock(&self) -> MutexGuard<'_, Asked> {
        // Every change under the lock is complete in itself.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn take(&self, id: u64) -> Option<Answer> {
        self.lock().waiting.remove(&id).map(|question| question.answer)
    }

    /// Answers those that have waited long enough at `now`, on the monotonic clock.
    pub(super) fn give_up_late(&self, now: Duration) {
        self.give_up(|question| question.until <= now);
    }

    /// Answers those that the node does not answer any more.
    pub(super) fn give_up_on(&self, node: NodeId) {
        self.give_up(|question| question.of == node);
    }

    fn give_up(&self, which: impl Fn(&Question) -> bool) {
        let given_up: Vec<_> = self.lock().waiting.extract_if(|_, question| which(question)).collect();
        for (_, question) in given_up {
            (question.answer)(Err(Fault::Unavailable));
        }
    }
}

/// Who waits until this node has heard itself. One echo is under way at a time, whoever comes meanwhile waits for the next.
#[derive(Default)]
pub(in crate::live) struct Echoes(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    /// The number of the echo that is under way.
    last: u64,
    is_under_way: bool,
    now: Vec<oneshot::Sender<()>>,
    next: Vec<oneshot::Sender<()>>,
}

impl Echoes {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Somebody waits; the number of the echo to begin, if none is under way.
    fn wait(&self, heard: oneshot::Sender<()>) -> Option<u64> {
        let mut waiting = self.lock();
        waiting.next.push(heard);
        if waiting.is_under_way { None } else { waiting.begin() }
    }

    /// The node has heard itself; the number of the next echo to begin, if somebody waits for it.
    pub(super) fn heard(&self, number: u64) -> Option<u64> {
        let mut waiting = self.lock();
        if number != waiting.last {
            return None;
        }
        for heard in waiting.now.drain(..) {
            // Whoever waited may have gone.
            let _ = heard.send(());
        }
        waiting.begin()
    }

    /// Nobody hears the echo that is under way.
    fn give_up(&self) {
        let mut waiting = self.lock();
        waiting.now.clear();
        waiting.is_under_way = false;
    }
}

impl Waiting {
    fn begin(&mut self) -> Option<u64> {
        self.now = std::mem::take(&mut self.next);
        self.is_under_way = !self.now.is_empty();
        self.last += u64::from(self.is_under_way);
        self.is_under_way.then_some(self.last)
    }
}

impl Live {
    /// The node that is to judge an act of the device, if it is another one.
    pub(crate) fn home_of_act(&self, device: DeviceId, act: &Act) -> Option<NodeId> {
        self.cluster.as_ref()?;
        self.lock().home_of_act(device, act)
    }

    /// Has another node judge an act of a device.
    pub(crate) fn act_elsewhere(
        &self,
        home: NodeId,
        device: DeviceId,
        act: Act,
        answer: impl FnOnce(Result<(), Fault>) + Send + 'static,
    ) {
        self.ask(home, device, Ask::Act(act), Box::new(|told| answer(told.map(|_| ()))));
    }

    pub(in crate::live) async fn dial_elsewhere(
        &self,
        home: NodeId,
        device: DeviceId,
        to: UserId,
        (call_type, offer): (CallType, Description),
    ) -> Result<Reply, Fault> {
        match self.ask_and_wait(home, device, Ask::Dial { to, call_type, offer }).await? {
            Told::Dialled { call, status } => Ok(Reply { call, status }),
            Told::Done | Told::Back(_) => Err(Fault::Unavailable),
        }
    }

    /// A device that has joined gets its call back, which lives on another node, and is told that it has joined.
    pub(crate) async fn come_back(self: &Arc<Self>, device: DeviceId, resume: Option<CallId>) {
        let until = self.clock.now().mono + RETURN_TIME;
        loop {
            let home = self.lock().home_of_call_of(device);
            let Some(home) = home else {
                // It is here now, or over.
                return self.transition(|state, now, fx| {
                    let mut after = Effects::default();
                    let active_call = state.come_back(device, resume, now, &mut after);
                    state.welcome(device, active_call, now, fx);
                    fx.append(after);
                });
            };
            // Told in the order of the home's letters: what else it has for the device comes right behind.
            let live = Arc::downgrade(self);
            let (told, answer) = oneshot::channel();
            let welcome = move |answer: Result<Told, Fault>| {
                let is_back = matches!(answer, Ok(Told::Back(_)));
                if let (Some(live), Ok(Told::Back(active_call))) = (live.upgrade(), answer) {
                    live.transition(|state, now, fx| state.welcome(device, active_call, now, fx));
                }
                let _ = told.send(is_back);
            };
            self.ask(home, device, Ask::ComeBack { resume }, Box::new(welcome));
            if answer.await == Ok(true) {
                return;
            }
            if self.clock.now().mono >= until {
                tracing::warn!(%device, %home, "the home of a call does not answer; its device joins without it");
                return self.transition(|state, now, fx| state.welcome(device, None, now, fx));
            }
            tokio::time::sleep(TRY_AGAIN).await;
        }
    }

    /// Waits until this node has heard what the others had said before, unless Redis is away.
    pub(crate) async fn caught_up(&self) {
        let Some(cluster) = self.cluster.as_ref().filter(|cluster| cluster.is_up()) else { return };
        let heard = async {
            cluster.may_judge_soon().await;
            let (heard, echo) = oneshot::channel();
            if let Some(number) = self.echoes.wait(heard) {
                cluster.echo(number);
            }
            echo.await
        };
        if tokio::time::timeout(ECHO_TIME, heard).await.is_err() {
            self.echoes.give_up();
        }
    }

    /// Waits until the others can hear what this node has said, unless Redis is away.
    pub(crate) async fn flushed(&self) {
        if let Some(cluster) = self.cluster.as_ref().filter(|cluster| cluster.is_up()) {
            let _ = tokio::time::timeout(ECHO_TIME, cluster.flushed()).await;
        }
    }

    async fn ask_and_wait(&self, home: NodeId, device: DeviceId, what: Ask) -> Result<Told, Fault> {
        let (told, answer) = oneshot::channel();
        self.ask(home, device, what, Box::new(|answer| _ = told.send(answer)));
        answer.await.unwrap_or(Err(Fault::Unavailable))
    }

    fn ask(&self, home: NodeId, device: DeviceId, what: Ask, answer: Answer) {
        let now = self.clock.now();
        let Some(cluster) = self.cluster.as_ref().filter(|cluster| cluster.is_up()) else {
            return answer(Err(Fault::Unavailable));
        };
        let id = {
            let mut asked = self.questions.lock();
            if asked.waiting.len() >= QUESTIONS {
                drop(asked);
                return answer(Err(Fault::Unavailable));
            }
            asked.last += 1;
            let id = asked.last;
            asked.waiting.insert(id, Question { of: home, until: now.mono + ANSWER_TIME, answer });
            id
        };
        cluster.post(home, Letter::Ask { id, until: now.wall + ANSWER_TIME, device, what });
    }
}
