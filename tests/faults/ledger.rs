//! What clients were told of calls, to be held against the rows.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;
use test_kit::PATIENCE;
use test_kit::postgres::rows;
use tokio::time::timeout;

/// A call as its row says, `status/end_reason`.
pub(crate) type Outcome = &'static str;

pub(crate) const RINGING: Outcome = "ringing/";
pub(crate) const ACTIVE: Outcome = "active/";
pub(crate) const HUNG_UP: Outcome = "completed/hangup";
pub(crate) const SERVER_RESTART: Outcome = "failed/server_restart";

/// Every call that was acknowledged, and what its row may say.
#[derive(Default)]
pub(crate) struct Ledger(Mutex<BTreeMap<String, Vec<Outcome>>>);

impl Ledger {
    fn calls(&self) -> MutexGuard<'_, BTreeMap<String, Vec<Outcome>>> {
        self.0.lock().unwrap()
    }

    /// Notes what the call's row must say from now on; several outcomes where the client cannot know.
    pub(crate) fn note(&self, call: &str, outcomes: &[Outcome]) {
        self.calls().insert(call.to_owned(), outcomes.to_vec());
    }

    /// Every call that lives, or may live, has now ended like this.
    pub(crate) fn end_live(&self, ending: impl Fn(Outcome) -> Outcome) {
        for outcomes in self.calls().values_mut() {
            for outcome in outcomes.iter_mut().filter(|outcome| outcome.ends_with('/')) {
                *outcome = ending(outcome);
            }
        }
    }

    /// Waits until each call has its row and each row says what it must: rows are written behind what clients see.
    pub(crate) async fn settles(&self, database: &str) {
        let mut wrong = Vec::new();
        let settled = timeout(PATIENCE, async {
            loop {
                wrong = self.contradictions(database).await;
                if wrong.is_empty() {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        });
        let settled = settled.await.is_ok();
        assert!(settled, "{} of {} calls: {wrong:#?}", wrong.len(), self.calls().len());
    }

    async fn contradictions(&self, database: &str) -> Vec<String> {
        let found = rows(database, "select id, concat(status, '/', end_reason) as outcome from calls").await;
        let found: BTreeMap<_, _> =
            found.iter().map(|row| (row["id"].as_str().unwrap(), row["outcome"].as_str().unwrap())).collect();
        let contradiction = |(call, outcomes): (&String, &Vec<Outcome>)| {
            let row = found.get(call.as_str());
            let agrees = row.is_some_and(|row| outcomes.contains(row));
            (!agrees).then(|| format!("{call} should be {outcomes:?} and is {row:?}"))
        };
        self.calls().iter().filter_map(contradiction).collect()
    }
}
