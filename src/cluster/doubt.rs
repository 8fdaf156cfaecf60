//! Whether this node may have been taken for dead: one that stood still for long may find that its calls were taken over. It finds out
//! at its next beat, and until then it judges none.

use super::members::ALIVE;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How often a node makes sure that it runs.
const PULSE: Duration = Duration::from_millis(250);
/// How long it waits to hear whether its calls are still its own, before it goes on without Redis.
const GOES_ON: Duration = Duration::from_secs(10);

/// What the node knows of that.
pub(super) struct Doubt(Mutex<State>);

struct State {
    /// When the node was last seen to run.
    pulse: Instant,
    /// When it was found to have stood still, or to have been taken for dead.
    since: Option<Instant>,
}

impl State {
    fn new(now: Instant) -> Self {
        Self { pulse: now, since: None }
    }

    fn feel(&mut self, now: Instant) {
        if now - self.pulse >= ALIVE {
            self.since = Some(now);
        }
        self.pulse = now;
    }

    fn hear(&mut self, buried: bool, asked: Instant) {
        if buried {
            self.since.get_or_insert(asked);
        } else if self.since.is_some_and(|since| since <= asked) {
            self.since = None;
        }
    }

    fn is_over(&self, now: Instant) -> bool {
        self.since.is_none_or(|since| now - since >= GOES_ON)
    }
}

impl Default for Doubt {
    fn default() -> Self {
        Self(Mutex::new(State::new(Instant::now())))
    }
}

impl Doubt {
    /// The state as of now.
    fn state(&self) -> (MutexGuard<'_, State>, Instant) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Under the lock: readings of the clock come in their order.
        let now = Instant::now();
        state.feel(now);
        (state, now)
    }

    /// A beat was answered that was sent at `asked`: of a standstill since then it says nothing. `buried`: the others took this node for
    /// dead, and it is not clear yet which calls it has.
    pub(super) fn hear(&self, buried: bool, asked: Instant) {
        self.state().0.hear(buried, asked);
    }

    pub(super) fn is_over(&self) -> bool {
        let (state, now) = self.state();
        state.is_over(now)
    }
}

/// Notices when this node has stood still.
pub(crate) struct Pulse(Arc<Doubt>);

impl Pulse {
    pub(super) fn of(doubt: &Arc<Doubt>) -> Self {
        Self(Arc::clone(doubt))
    }

    /// For as long as it runs.
    pub(crate) async fn feel(self) {
        loop {
            drop(self.0.state());
            tokio::time::sleep(PULSE).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_stood_still_is_in_doubt_until_a_beat_says_otherwise() {
        let mut now = Instant::now();
        let mut state = State::new(now);
        for _ in 0..20 {
            now += PULSE;
            state.feel(now);
            assert!(state.is_over(now));
        }
        now += ALIVE;
        state.feel(now);
        assert!(!state.is_over(now));
        now += PULSE;
        state.feel(now);
        assert!(!state.is_over(now));
        // Sent before it stood still.
        state.hear(false, now - ALIVE);
        assert!(!state.is_over(now));
        state.hear(false, now);
        assert!(state.is_over(now));
    }

    #[test]
    fn who_was_taken_for_dead_is_in_doubt_but_not_for_ever() {
        let start = Instant::now();
        let mut state = State::new(start);
        for seconds in 0..GOES_ON.as_secs() {
            let now = start + Duration::from_secs(seconds);
            state.feel(now);
            state.hear(true, now);
            assert!(!state.is_over(now));
        }
        let now = start + GOES_ON;
        state.hear(true, now);
        assert!(state.is_over(now), "its own judgement is better than none");
    }
}
