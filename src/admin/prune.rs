//! What the server does to old calls each hour, at once.

use super::{Admin, AdminError};
use crate::config::{Config, RetentionAction};
use crate::retention::{Rule, forget};
use chrono::{DateTime, Utc};

/// What was done to old calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pruned {
    /// To how many.
    pub calls: u64,
    /// What.
    pub action: RetentionAction,
    /// Those that ended before this.
    pub ended_before: DateTime<Utc>,
}

impl Admin {
    /// Deletes or anonymises what `HISTORY_RETENTION` says; an error if it is not set.
    pub async fn prune(&self, config: &Config) -> Result<Pruned, AdminError> {
        let action = config.history_retention_action;
        let keep = config.history_retention.ok_or(AdminError::KeptForEver)?;
        let (rule, now) = (Rule { keep, action }, self.clock.now().wall);
        let calls = forget(&self.pool, rule, now).await?;
        Ok(Pruned { calls, action, ended_before: rule.horizon(now) })
    }
}
