//! What this node is told: each letter once, in the order of its sender.

use super::redis_link::{id_of, unreadable};
use super::{Cluster, Letter, News, keys};
use crate::domain::ids::{IdMap, NodeId};
use redis::aio::MultiplexedConnection;
use redis::streams::{StreamId, StreamReadReply};
use redis::{Pipeline, RedisResult};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::mpsc;

/// Letters read at once.
const BATCH: usize = 256;
/// How long a read waits for one.
const WAIT: Duration = Duration::from_secs(1);
const RETRY: Duration = Duration::from_millis(200);

/// Reads the inbox, for as long as it runs.
pub(crate) struct Incoming {
    cluster: Arc<Cluster>,
    heard: mpsc::Sender<News>,
    /// The last letter that was read.
    last: String,
    /// The number of the last letter of each node.
    numbers: IdMap<NodeId, u64>,
}

impl Incoming {
    pub(super) fn new(cluster: Arc<Cluster>, heard: mpsc::Sender<News>) -> Self {
        Self { cluster, heard, last: "0".to_owned(), numbers: IdMap::default() }
    }

    pub(crate) async fn run(mut self) {
        loop {
            if let Err(error) = self.follow().await {
                tracing::debug!(%error, "the inbox cannot be read");
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    async fn follow(&mut self) -> RedisResult<()> {
        let mut connection = self.cluster.link.connect().await?;
        loop {
            for letter in self.read(&mut connection).await? {
                self.last.clone_from(&letter.id);
                // The inbox itself is new.
                if !letter.contains_key("new") {
                    self.take(&letter).await;
                }
            }
        }
    }

    async fn read(&self, connection: &mut MultiplexedConnection) -> RedisResult<Vec<StreamId>> {
        let inbox = keys::inbox(self.cluster.me);
        let mut pipeline = Pipeline::new();
        // What has been read is not needed any more.
        pipeline.cmd("XTRIM").arg(&inbox).arg("MINID").arg(&self.last).ignore();
        let read = pipeline.cmd("XREAD").arg("COUNT").arg(BATCH).arg("BLOCK").arg(millis(WAIT));
        read.arg("STREAMS").arg(&inbox).arg(&self.last);
        let (reply,): (Option<StreamReadReply>,) = pipeline.query_async(connection).await?;
        Ok(reply.into_iter().flat_map(|reply| reply.keys).flat_map(|stream| stream.ids).collect())
    }

    async fn take(&mut self, letter: &StreamId) {
        let Ok((from, number, letter)) = open(letter) else {
            tracing::warn!("a letter cannot be read; is every node of the same version?");
            return;
        };
        let last = self.numbers.insert(from, number);
        match last {
            // It was sent again, since its sender did not know that it had arrived.
            Some(last) if number <= last => {
                self.numbers.insert(from, last);
                return;
            }
            Some(last) if number > last + 1 => {
                self.cluster.counts.missed.fetch_add(number - last - 1, Ordering::Relaxed);
                tracing::warn!(%from, letters = number - last - 1, "letters are missing; asking for all there is");
                self.cluster.post(from, Letter::Who);
            }
            Some(_) | None => {}
        }
        self.cluster.counts.received.fetch_add(1, Ordering::Relaxed);
        if let Some(letter) = letter {
            // Nobody listens any more when the server stops.
            let _ = self.heard.send(News::Letter(from, letter)).await;
        } else {
            tracing::warn!(%from, "a letter makes no sense; is every node of the same version?");
        }
    }
}

fn open(letter: &StreamId) -> RedisResult<(NodeId, u64, Option<Letter>)> {
    let field = |name: &'static str| letter.get::<String>(name).ok_or_else(|| unreadable(name));
    let from = id_of(&field("from")?).ok_or_else(|| unreadable("from"))?;
    let number = field("number")?.parse().map_err(|_| unreadable("number"))?;
    Ok((from, number, serde_json::from_str(&field("letter")?).ok()))
}

fn millis(time: Duration) -> u64 {
    time.as_millis().try_into().unwrap_or(u64::MAX)
}
