//! Who is alive: each node says so every second, and looks at who else did.

use super::redis_link::{Script, id_of};
use super::{Cluster, INBOX_STAYS, News, keys};
use crate::domain::ids::{CallId, IdMap, IdSet, NodeId};
use redis::aio::MultiplexedConnection;
use redis::{FromRedisValue, RedisResult, Value};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// How often a node says that it is alive.
const BEAT: Duration = Duration::from_secs(1);
/// How long that is believed. Redis counts it, also while it is frozen or away: so a node is dead only when it is
/// missing this often in a row, by beats that Redis answered.
pub(super) const ALIVE: Duration = Duration::from_secs(3);
const MISSING: u32 = 3;
/// The shortest time between two tellings of everything to everybody.
const RESYNC: Duration = Duration::from_secs(5);

/// Says that this node is alive, for as long as it runs.
pub(crate) struct Members {
    cluster: Arc<Cluster>,
    heard: mpsc::Sender<News>,
    connection: Option<MultiplexedConnection>,
    /// How often in a row each node was missing.
    missing: IdMap<NodeId, u32>,
    has_entered: bool,
    /// When everything was told to everybody last.
    resynced: Option<Instant>,
}

struct Beat {
    /// Redis knew this node.
    known: bool,
    /// The others took it for dead, and its calls are not sorted out yet.
    buried: bool,
    /// When it was sent.
    asked: Instant,
    /// The nodes there are, and whether each is alive.
    nodes: IdMap<NodeId, bool>,
}

impl Members {
    pub(super) fn new(
        cluster: Arc<Cluster>,
        heard: mpsc::Sender<News>,
        connection: MultiplexedConnection,
    ) -> Self {
        Self {
            cluster,
            heard,
            connection: Some(connection),
            missing: IdMap::default(),
            has_entered: false,
            resynced: None,
        }
    }

    /// The first beat: returns the others that are alive.
    pub(crate) async fn enter(&mut self) -> RedisResult<IdSet<NodeId>> {
        let beat = self.beat().await?;
        self.has_entered = true;
        let alive = beat.nodes.iter().filter(|(node, alive)| **alive && **node != self.cluster.me);
        Ok(alive.map(|(node, _)| *node).collect())
    }

    pub(crate) async fn run(mut self) {
        while !self.cluster.leaving.load(Ordering::Relaxed) {
            match self.beat().await {
                Ok(beat) => self.heed(beat).await,
                Err(error) => {
                    tracing::debug!(%error, "Redis does not hear that this node is alive");
                    self.connection = None;
                    self.cluster.set_up(false);
                }
            }
            tokio::time::sleep(BEAT).await;
        }
    }

    async fn beat(&mut self) -> RedisResult<Beat> {
        let me = self.cluster.me;
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => none.insert(self.cluster.link.connect().await?),
        };
        let keys = [keys::NODES.into(), keys::node(me), keys::inbox(me), keys::buried(me)];
        let arguments = [keys::PREFIX.into(), me.to_string(), ALIVE.as_millis().to_string()];
        let asked = Instant::now();
        let answer: Vec<Value> = self.cluster.link.run(connection, Script::Beat, &keys, &arguments).await?;
        let mut answer = answer.into_iter();
        let mut flag = || answer.next().is_some_and(|flag| bool::from_redis_value(flag).unwrap_or(false));
        let (known, buried) = (flag(), flag());
        let mut nodes = IdMap::default();
        while let (Some(node), Some(alive)) = (answer.next(), answer.next()) {
            if let Some(node) = id_of(&String::from_redis_value(node)?) {
                nodes.insert(node, bool::from_redis_value(alive)?);
            }
        }
        Ok(Beat { known, buried, asked, nodes })
    }

    async fn heed(&mut self, beat: Beat) {
        self.cluster.set_up(true);
        let peers = self.cluster.peers();
        let is_forgotten = self.has_entered && (!beat.known || beat.buried);
        if is_forgotten {
            *self.cluster.unsettled() = Some(Instant::now());
        }
        let is_behind = is_forgotten || self.cluster.behind.load(Ordering::Relaxed);
        // What it takes may itself be too much for Redis: not all the time.
        if is_behind && self.resynced.is_none_or(|at| at.elapsed() >= RESYNC) {
            self.cluster.behind.store(false, Ordering::Relaxed);
            self.resynced = Some(Instant::now());
            self.tell(News::Resync).await;
        } else if is_forgotten {
            self.cluster.behind.store(true, Ordering::Relaxed);
        }
        self.has_entered = true;
        let is_alive = |node: &NodeId| beat.nodes.get(node) == Some(&true);
        let known: IdSet<_> = beat.nodes.keys().chain(&peers).copied().collect();
        let me = self.cluster.me;
        for node in known.into_iter().filter(|node| *node != me) {
            if is_alive(&node) {
                self.missing.remove(&node);
                if !peers.contains(&node) {
                    self.tell(News::Arrived(node)).await;
                }
                continue;
            }
            let missing = self.missing.entry(node).or_default();
            *missing += 1;
            if *missing >= MISSING {
                self.missing.remove(&node);
                self.bury(node).await;
            }
        }
        self.tell(News::Beat).await;
        self.cluster.doubt.hear(beat.buried, beat.asked);
    }

    async fn bury(&mut self, node: NodeId) {
        let Some(connection) = &mut self.connection else { return };
        let keys =
            [keys::NODES.into(), keys::node(node), keys::calls(node), keys::inbox(node), keys::buried(node)];
        let arguments = [node.to_string(), INBOX_STAYS.as_secs().to_string()];
        let calls: RedisResult<Option<Vec<String>>> =
            self.cluster.link.run(connection, Script::Bury, &keys, &arguments).await;
        match calls {
            // Alive, after all.
            Ok(None) => {}
            Ok(Some(calls)) => {
                let calls: Vec<CallId> = calls.iter().filter_map(|id| id_of(id)).collect();
                tracing::warn!(%node, calls = calls.len(), "a node is dead");
                self.tell(News::Gone(node, calls)).await;
            }
            Err(error) => tracing::debug!(%error, %node, "a dead node cannot be buried"),
        }
    }

    async fn tell(&self, news: News) {
        // Nobody listens any more when the server stops.
        let _ = self.heard.send(news).await;
    }
}
