//! The only reader of the time.

use crate::domain::time::Moment;
use chrono::{DateTime, Utc};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// The monotonic reading at the start of the process: what began before, on another node, has its place on the clock too.
const BEFORE: Duration = Duration::from_hours(24 * 366);

/// Tells the time. Cheap to clone; clones of a held clock move together.
#[derive(Debug, Clone)]
pub struct Clock(Source);

#[derive(Debug, Clone)]
enum Source {
    Machine { start: Instant },
    Held(Arc<watch::Sender<Moment>>),
}

impl Clock {
    /// The machine's own clocks.
    #[expect(clippy::disallowed_methods, reason = "this is the room where the clock is read")]
    pub fn machine() -> Self {
        Self(Source::Machine { start: Instant::now() })
    }

    /// A clock that stands still until [`Clock::advance`] moves it, for tests.
    pub fn held(at: DateTime<Utc>) -> Self {
        Self(Source::Held(Arc::new(watch::Sender::new(Moment { wall: at, mono: Duration::ZERO }))))
    }

    /// What time it is.
    #[expect(clippy::disallowed_methods, reason = "this is the room where the clock is read")]
    pub fn now(&self) -> Moment {
        match &self.0 {
            Source::Machine { start } => Moment { wall: Utc::now(), mono: BEFORE + start.elapsed() },
            Source::Held(now) => *now.borrow(),
        }
    }

    /// Waits until [`Moment::mono`] has reached `deadline`.
    pub async fn sleep_until(&self, deadline: Duration) {
        match &self.0 {
            Source::Machine { start } => {
                tokio::time::sleep_until((*start + deadline.saturating_sub(BEFORE)).into()).await;
            }
            Source::Held(now) => {
                // The sender lives in `self`, so the wait can only end by the time being reached.
                let _ = now.subscribe().wait_for(|now| now.mono >= deadline).await;
            }
        }
    }

    /// Waits for `time` to pass.
    pub async fn sleep(&self, time: Duration) {
        self.sleep_until(self.now().mono + time).await;
    }

    /// Moves a held clock forward. The machine's clock cannot be moved: there it does nothing.
    pub fn advance(&self, by: Duration) {
        if let Source::Held(now) = &self.0 {
            now.send_modify(|now| *now = Moment { wall: now.wall + by, mono: now.mono + by });
        }
    }
}
