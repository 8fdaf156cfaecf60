//! A new certificate is used without a restart: those of today are good for weeks.

use super::{Tls, read_pair};
use crate::clock::Clock;
use crate::server::signal::Hangups;
use chrono::{DateTime, Utc};
use std::fs::Metadata;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::time::{Instant, sleep};

/// How often the files are looked at. A change is taken up when it has been seen twice, so that a pair of which one half
/// is written yet is left alone.
const LOOK_EVERY: Duration = if cfg!(test) { Duration::from_millis(20) } else { Duration::from_secs(2) };
/// How often the log tells until when the certificate is good.
const WARN_EVERY: Duration = Duration::from_hours(24);

/// What changes when a file does, behind any number of links: Kubernetes swaps a link to a folder, certbot a link to a
/// file, others write in place.
#[derive(Clone, PartialEq, Eq)]
struct Trace {
    length: u64,
    modified: Option<SystemTime>,
    /// The file itself, and when anything about it changed, where the system tells.
    inode: Option<(u64, u64, i64, i64)>,
}

/// None: there is no such file.
type Traces = [Option<Trace>; 2];

impl Tls {
    /// Reads the pair again when its files change, and at SIGHUP. A bad one is an error in the log, once, and the old one
    /// stays. Runs until it is dropped.
    pub(crate) async fn follow(self: Arc<Self>, clock: Clock) {
        let mut hangups = Hangups::new();
        let mut used = self.traces().await;
        let mut before = used.clone();
        let mut warned = None::<Instant>;
        loop {
            if warned.is_none_or(|warned| warned.elapsed() >= WARN_EVERY) {
                warned = Some(Instant::now());
                self.tell_expiry(clock.now().wall);
            }
            let told = tokio::select! {
                () = hangups.next() => true,
                () = sleep(LOOK_EVERY) => false,
            };
            let now = self.traces().await;
            let is_settled = now == before;
            before.clone_from(&now);
            if told || (is_settled && now != used) {
                used = now;
                if self.reload().await {
                    warned = None;
                }
            }
        }
    }

    /// Whether there is a new pair.
    async fn reload(self: &Arc<Self>) -> bool {
        let tls = Arc::clone(self);
        match blocking(move || read_pair(&tls.files)).await {
            Some(Ok(pair)) => {
                self.replace(pair);
                tracing::info!("the TLS certificate was read again: new connections are shown this one");
                true
            }
            Some(Err(error)) => {
                tracing::error!(%error, "the TLS certificate cannot be read again: the one in use stays");
                false
            }
            None => false,
        }
    }

    fn tell_expiry(&self, now: DateTime<Utc>) {
        let pair = self.current();
        let expires = pair.expires.map(|expires| expires.to_string());
        if let Some(note) = pair.note(now) {
            tracing::warn!(expires, "{note}");
        } else {
            tracing::info!(expires, "the TLS certificate is good");
        }
    }

    async fn traces(self: &Arc<Self>) -> Traces {
        let tls = Arc::clone(self);
        blocking(move || [trace(&tls.files.cert), trace(&tls.files.key)]).await.unwrap_or_default()
    }
}

/// Files may lie on a slow network.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    tokio::task::spawn_blocking(work).await.ok()
}

fn trace(path: &Path) -> Option<Trace> {
    let file = std::fs::metadata(path).ok()?;
    Some(Trace { length: file.len(), modified: file.modified().ok(), inode: inode(&file) })
}

#[cfg(unix)]
#[expect(clippy::unnecessary_wraps, reason = "elsewhere there is none")]
fn inode(file: &Metadata) -> Option<(u64, u64, i64, i64)> {
    use std::os::unix::fs::MetadataExt;
    Some((file.dev(), file.ino(), file.ctime(), file.ctime_nsec()))
}

#[cfg(not(unix))]
fn inode(_: &Metadata) -> Option<(u64, u64, i64, i64)> {
    None
}
