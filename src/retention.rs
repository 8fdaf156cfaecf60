//! Old calls are forgotten: by the server each hour, by an operator at once.

use crate::config::RetentionAction;
use crate::error::Result;
use crate::store::{self, Pool};
use chrono::{DateTime, TimeDelta, Utc};
use std::time::Duration;

/// Rows a statement: few enough to keep nobody waiting.
const BATCH: i64 = 1000;
/// Between two batches the others have their turn.
const PAUSE: Duration = Duration::from_millis(100);

/// What becomes of calls that ended so long ago.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) keep: Duration,
    pub(crate) action: RetentionAction,
}

impl Rule {
    /// What ended before this has become old.
    pub(crate) fn horizon(self, now: DateTime<Utc>) -> DateTime<Utc> {
        let keep = TimeDelta::from_std(self.keep).ok();
        keep.and_then(|keep| now.checked_sub_signed(keep)).unwrap_or(DateTime::<Utc>::MIN_UTC)
    }
}

/// Deletes or anonymises what has become old at `now`, in small batches; answers how many calls. What somebody else holds locked
/// is left for the next time.
pub(crate) async fn forget(pool: &Pool, rule: Rule, now: DateTime<Utc>) -> Result<u64> {
    let horizon = rule.horizon(now);
    let mut forgotten = 0;
    loop {
        let batch = match rule.action {
            RetentionAction::Delete => store::calls::delete_old(pool, horizon, BATCH).await,
            RetentionAction::Anonymise => store::calls::anonymise_old(pool, horizon, BATCH).await,
        };
        match batch {
            Ok(0) => break,
            Ok(calls) => forgotten += calls,
            Err(error) => {
                log(forgotten, rule, horizon);
                return Err(error);
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
    log(forgotten, rule, horizon);
    Ok(forgotten)
}

fn log(calls: u64, rule: Rule, horizon: DateTime<Utc>) {
    if calls > 0 {
        tracing::info!(calls, action = rule.action.as_str(), ended_before = %horizon, "old calls are forgotten");
    }
}
