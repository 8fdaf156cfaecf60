//! Is the data right?

use super::AdminError;
use crate::store::check;
use secrecy::SecretString;
use std::fmt;
use std::time::Duration;

/// Something that is wrong with the data: one line, its three parts separated by `|`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offence(check::Offence);

impl fmt::Display for Offence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let check::Offence { invariant, offender, detail } = &self.0;
        // Nothing of it is a stranger's, but a line must stay one.
        write!(f, "{invariant}|{offender}|{}", detail.replace('\n', " "))
    }
}

/// Everything that is wrong with the data at `url`, where calls ring for `ring_timeout`. Only reads.
pub async fn check(url: &SecretString, ring_timeout: Duration) -> Result<Vec<Offence>, AdminError> {
    let found = check::offences(url, ring_timeout).await;
    let found = found.map_err(|error| AdminError::Other(error.into()))?;
    Ok(found.into_iter().map(Offence).collect())
}
