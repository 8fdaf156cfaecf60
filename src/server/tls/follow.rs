//! A new certificate is used without a restart: those of today are good for weeks.

use super::{Tls, read_pair};
use crate::clock::Clock;
use crate::config::TlsFiles;
use crate::server::signal::Hangups;
use chrono::{DateTime, Utc};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::time::{Instant, sleep};

/// How often the files are looked at. A change is taken up when it has been seen twice, so that a pair of which one half
/// is written yet is left alone.
const LOOK_EVERY: Duration = if cfg!(test) { Duration::from_millis(20) } else { Duration::from_secs(2) };
/// How often the log tells until when the certificate is good.
const WARN_EVERY: Duration = Duration::from_hours(24);
/// A pair that could not be read is tried again: what was in the way, say a limit on open files, changes no file.
const RETRY_EVERY: Duration = Duration::from_mins(1);

/// What changes when a file does, behind any number of links: Kubernetes swaps a link to a folder, certbot a link to a
/// file, others write in place.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Trace {
    length: u64,
    modified: Option<SystemTime>,
    /// The file itself, and when anything about it changed.
    inode: (u64, u64, i64, i64),
}

/// None: there is no such file.
pub(super) type Traces = [Option<Trace>; 2];

impl Tls {
    /// Reads the pair again when its files change, and at SIGHUP. A bad one is an error in the log, once, and the old one
    /// stays. Runs until it is dropped.
    pub(crate) async fn follow(self: Arc<Self>, clock: Clock) {
        let mut hangups = Hangups::new();
        let mut used = self.first.clone();
        let mut before = used.clone();
        let mut warned = None::<Instant>;
        let mut failed = None::<Instant>;
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
            let is_news = told || (is_settled && now != used);
            if is_news || failed.is_some_and(|failed| failed.elapsed() >= RETRY_EVERY) {
                used = now;
                let is_renewed = self.reload(is_news).await;
                failed = (!is_renewed).then(Instant::now);
                warned = warned.filter(|_| !is_renewed);
            }
        }
    }

    /// Whether there is a new pair. That there is none is an error in the log if it is news.
    async fn reload(self: &Arc<Self>, is_news: bool) -> bool {
        let tls = Arc::clone(self);
        match blocking(move || read_pair(&tls.files)).await {
            Some(Ok(pair)) => {
                self.replace(pair);
                tracing::info!("the TLS certificate was read again: new connections are shown this one");
                true
            }
            Some(Err(error)) if is_news => {
                tracing::error!(%error, "the TLS certificate cannot be read again: the one in use stays");
                false
            }
            Some(Err(_)) | None => false,
        }
    }

    fn tell_expiry(&self, now: DateTime<Utc>) {
        let pair = self.current();
        let expires = pair.expires.map(|expires| expires.to_string());
        if pair.expires.is_some_and(|expires| expires <= now) {
            tracing::error!(expires, "{}", pair.note(now).unwrap_or_default());
        } else if let Some(note) = pair.note(now) {
            tracing::warn!(expires, "{note}");
        } else {
            tracing::info!(expires, "the TLS certificate is good");
        }
    }

    async fn traces(self: &Arc<Self>) -> Traces {
        let tls = Arc::clone(self);
        blocking(move || traces(&tls.files)).await.unwrap_or_default()
    }
}

/// Files may lie on a slow network.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    tokio::task::spawn_blocking(work).await.ok()
}

pub(super) fn traces(files: &TlsFiles) -> Traces {
    [trace(&files.cert), trace(&files.key)]
}

fn trace(path: &Path) -> Option<Trace> {
    let file = std::fs::metadata(path).ok()?;
    let inode = (file.dev(), file.ino(), file.ctime(), file.ctime_nsec());
    Some(Trace { length: file.len(), modified: file.modified().ok(), inode })
}
