//! What leaves this node for Redis: in order, several at a time, and again until it has arrived.

use super::redis_link::{Script, id_of};
use super::{Cluster, Letter, News, keys};
use crate::clock::Clock;
use crate::domain::call::{Call, Role};
use crate::domain::ids::{CallId, NodeId, UserId};
use crate::domain::time::Moment;
use redis::aio::MultiplexedConnection;
use redis::{Cmd, FromRedisValue, Pipeline, RedisError, RedisResult, Value};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// Steps in one round trip.
const BATCH: usize = 256;
/// What an inbox holds of what its node has not read: a node that is behind by more is dead, or asks for all when it is back.
const INBOX: usize = 20_000;
/// The first and the longest pause between attempts while Redis is away.
const RETRY: [Duration; 2] = [Duration::from_millis(50), Duration::from_secs(1)];

/// Something to do in Redis.
pub(super) enum Step {
    Letter {
        to: NodeId,
        number: u64,
        letter: Arc<Letter>,
    },
    Claim {
        call: Box<Call>,
        taken: Moment,
        again: bool,
        answer: oneshot::Sender<Claimed>,
    },
    Keep {
        call: Box<Call>,
        taken: Moment,
    },
    Over {
        call: CallId,
    },
    Adopt {
        call: CallId,
        from: NodeId,
        answer: oneshot::Sender<Adoption>,
    },
    /// It does not matter any more that this node was taken for dead.
    Settled,
    /// Nothing: whoever waits for it knows that what was before it is done.
    Mark {
        flushed: oneshot::Sender<()>,
    },
}

impl Step {
    /// About what it holds in memory that nothing else does.
    pub(super) fn size(&self) -> usize {
        if let Self::Letter { letter, .. } = self { letter.size() } else { 0 }
    }
}

/// What became of a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Claimed {
    Yes,
    /// One of the two is in another call, which lives on `home`.
    Taken {
        call: CallId,
        home: NodeId,
        parties: [UserId; 2],
    },
    /// Another node has the call.
    Lost,
    /// Another node had the call, and it has ended there.
    Over,
}

/// What became of a take-over.
#[derive(Debug)]
pub(crate) enum Adoption {
    Yes(Box<Adopted>),
    /// Another node has it, or the one that it was on is back.
    Taken,
    /// There is no such call.
    Gone,
    /// It is this node's now, and makes no sense here.
    Unreadable,
}

/// A call as its home left it.
#[derive(Debug, Deserialize)]
pub(crate) struct Adopted {
    pub(crate) call: Call,
    /// When it stood so, by the clocks of that node.
    pub(crate) taken: Moment,
}

#[derive(Serialize)]
struct State<'a> {
    call: &'a Call,
    taken: Moment,
}

/// Sends, for as long as it runs.
pub(crate) struct Outgoing {
    cluster: Arc<Cluster>,
    heard: mpsc::Sender<News>,
    connection: Option<MultiplexedConnection>,
    clock: Clock,
}

impl Outgoing {
    pub(super) fn new(cluster: Arc<Cluster>, heard: mpsc::Sender<News>, clock: Clock) -> Self {
        Self { cluster, heard, connection: None, clock }
    }

    pub(crate) async fn run(mut self) {
        loop {
            let batch = self.next_batch().await;
            self.cluster.sending.store(batch.len(), Ordering::Relaxed);
            self.send_at_last(batch).await;
            self.cluster.sending.store(0, Ordering::Relaxed);
        }
    }

    async fn next_batch(&self) -> Vec<Step> {
        loop {
            let batch: Vec<_> = {
                let mut desk = self.cluster.desk();
                let size = desk.steps.len().min(BATCH);
                let batch: Vec<_> = desk.steps.drain(..size).collect();
                desk.bytes = desk.bytes.saturating_sub(batch.iter().map(Step::size).sum());
                batch
            };
            if !batch.is_empty() {
                return batch;
            }
            self.cluster.work.notified().await;
        }
    }

    /// Tries until the batch is through: but a question is not asked twice, since nobody waits that long.
    async fn send_at_last(&mut self, mut batch: Vec<Step>) {
        let [mut pause, longest] = RETRY;
        loop {
            match self.send(&batch).await {
                Ok(answers) => {
                    self.cluster.set_up(true);
                    return self.give(batch, answers);
                }
                Err(error) => {
                    tracing::debug!(%error, steps = batch.len(), "Redis does not take what this node says");
                    self.connection = None;
                    self.cluster.set_up(false);
                    batch = self.without_questions(batch);
                    if batch.is_empty() {
                        return;
                    }
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(longest);
                }
            }
        }
    }

    async fn send(&mut self, batch: &[Step]) -> RedisResult<Vec<RedisResult<Value>>> {
        let mut pipeline = Pipeline::with_capacity(batch.len());
        for step in batch {
            pipeline.add_command(self.command(step).unwrap_or_else(|error| {
                // Whoever it was for finds out that it is missing.
                tracing::error!(%error, "something cannot be said to other nodes");
                nothing()
            }));
        }
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => none.insert(self.cluster.link.connect().await?),
        };
        let answers: Vec<RedisResult<Value>> = pipeline.ignore_errors().query_async(connection).await?;
        match answers.iter().find_map(|answer| answer.as_ref().err().filter(|error| is_away(error))) {
            Some(error) => Err(error.clone()),
            None => Ok(answers),
        }
    }

    fn command(&self, step: &Step) -> RedisResult<Cmd> {
        let me = self.cluster.me;
        Ok(match step {
            Step::Letter { to, number, letter } => {
                // Nobody waits for the answer any more, and what it asks for must not happen now.
                let letter = if letter.is_late(self.clock.now()) { &Letter::Void } else { &**letter };
                let mut add = redis::cmd("XADD");
                add.arg(keys::inbox(*to));
                if !self.cluster.is_read_by(*to) {
                    // Nobody would ever empty it.
                    add.arg("NOMKSTREAM");
                }
                add.arg("MAXLEN").arg("~").arg(INBOX).arg("*");
                add.arg("from").arg(me.to_string()).arg("number").arg(*number);
                add.arg("letter").arg(written(letter)?);
                add
            }
            Step::Claim { call, taken, again, .. } => {
                let [caller, callee] = [Role::Caller, Role::Callee].map(|role| call.party(role).id);
                let keys = [keys::call(call.id()), keys::line(caller), keys::line(callee), keys::calls(me)];
                let state = written(&State { call, taken: *taken })?;
                let ids = [call.id().to_string(), me.to_string(), caller.to_string(), callee.to_string()];
                let arguments: Vec<_> = [keys::PREFIX.to_owned()]
                    .into_iter()
                    .chain(ids)
                    .chain([state, u8::from(*again).to_string()])
                    .collect();
                Script::Claim.with(&keys, &arguments)
            }
            Step::Keep { call, taken } => {
                let state = written(&State { call, taken: *taken })?;
                Script::Keep.with(&[keys::call(call.id())], &[me.to_string(), state])
            }
            Step::Over { call } => Script::Over.with(
                &[keys::call(*call), keys::calls(me)],
                &[keys::PREFIX.to_owned(), call.to_string(), me.to_string()],
            ),
            Step::Adopt { call, from, .. } => {
                let keys = [keys::call(*call), keys::calls(*from), keys::calls(me)];
                Script::Adopt.with(&keys, &[call.to_string(), from.to_string(), me.to_string()])
            }
            Step::Settled => {
                let mut forget = redis::cmd("DEL");
                forget.arg(keys::buried(me));
                forget
            }
            Step::Mark { .. } => nothing(),
        })
    }

    /// Drops the questions, whose askers are told so. A claim may have been heard all the same: it is taken back.
    fn without_questions(&self, batch: Vec<Step>) -> Vec<Step> {
        let waiting = std::mem::take(&mut self.cluster.desk().steps);
        let (mut again, mut later) = (Vec::new(), std::collections::VecDeque::new());
        let of_batch = batch.len();
        for (place, step) in batch.into_iter().chain(waiting).enumerate() {
            let step = match step {
                // It was claimed before, and will be again.
                Step::Claim { again: true, .. } => {
                    self.cluster.fall_behind();
                    continue;
                }
                Step::Claim { call, .. } => Step::Over { call: call.id() },
                Step::Adopt { .. } | Step::Mark { .. } => continue,
                Step::Letter { .. } | Step::Keep { .. } | Step::Over { .. } | Step::Settled => step,
            };
            if place < of_batch { again.push(step) } else { later.push_back(step) }
        }
        let mut desk = self.cluster.desk();
        later.append(&mut desk.steps);
        desk.steps = later;
        desk.bytes = desk.steps.iter().map(Step::size).sum();
        again
    }

    fn give(&self, batch: Vec<Step>, answers: Vec<RedisResult<Value>>) {
        for (step, answer) in batch.into_iter().zip(answers) {
            match answer {
                Ok(answer) => self.give_one(step, answer),
                Err(error) => {
                    tracing::error!(%error, "Redis refuses what this node says");
                    self.cluster.behind.store(true, Ordering::Relaxed);
                }
            }
        }
    }

    fn give_one(&self, step: Step, answer: Value) {
        match step {
            Step::Letter { .. } => _ = self.cluster.counts.sent.fetch_add(1, Ordering::Relaxed),
            // Whoever asked may have gone.
            Step::Claim { answer: to, .. } => _ = claimed(answer).map(|claimed| to.send(claimed)),
            Step::Adopt { answer: to, .. } => _ = adoption(answer).map(|adoption| to.send(adoption)),
            Step::Keep { call, .. } => match u8::from_redis_value(answer) {
                // Who has no ear for it asks again, in its turn.
                Ok(0) if self.heard.try_send(News::Lost(call.id())).is_err() => self.cluster.fall_behind(),
                // Redis has forgotten it.
                Ok(2) => self.cluster.behind.store(true, Ordering::Relaxed),
                Ok(_) | Err(_) => {}
            },
            Step::Over { .. } | Step::Settled => {}
            Step::Mark { flushed } => _ = flushed.send(()),
        }
    }
}

/// Keeps the place of a step in a batch.
fn nothing() -> Cmd {
    redis::cmd("PING")
}

/// Whether Redis answers, but cannot be used for now: what it refuses for that may be said again.
fn is_away(error: &RedisError) -> bool {
    let codes = [
        "OOM",
        "LOADING",
        "READONLY",
        "MASTERDOWN",
        "CLUSTERDOWN",
        "NOREPLICAS",
        "NOAUTH",
        "BUSY",
        "MISCONF",
    ];
    error.code().is_some_and(|code| codes.contains(&code))
}

fn adoption(answer: Value) -> Option<Adoption> {
    let answer = Vec::<String>::from_redis_value(answer).ok()?;
    match answer.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["yours", state] => Some(serde_json::from_str(state).map_or_else(
            |error| {
                tracing::error!(%error, "a call that was taken over cannot be read; is every node of the same version?");
                Adoption::Unreadable
            },
            Adoption::Yes,
        )),
        ["taken"] => Some(Adoption::Taken),
        ["gone"] => Some(Adoption::Gone),
        _ => None,
    }
}

fn claimed(answer: Value) -> Option<Claimed> {
    let answer = Vec::<String>::from_redis_value(answer).ok()?;
    match answer.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["yours"] => Some(Claimed::Yes),
        ["lost"] => Some(Claimed::Lost),
        ["over"] => Some(Claimed::Over),
        ["taken", call, home, caller, callee] => Some(Claimed::Taken {
            call: id_of(call)?,
            home: id_of(home)?,
            parties: [id_of(caller)?, id_of(callee)?],
        }),
        _ => None,
    }
}

fn written(content: &impl Serialize) -> RedisResult<String> {
    serde_json::to_string(content)
        .map_err(|error| (redis::ErrorKind::Client, "cannot be written", error.to_string()).into())
}
