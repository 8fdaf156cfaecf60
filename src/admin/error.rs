//! What can go wrong with an operator's command, each in one line.

use crate::error::Error;
use crate::service::StartError;

/// Why a command was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// No account has that name.
    #[error("there is no user {0:?}")]
    Unknown(String),
    /// No call has that id.
    #[error("there is no call {0:?}")]
    UnknownCall(String),
    /// No session has that id.
    #[error("there is no session {0:?}")]
    UnknownSession(String),
    /// A call that was asked to end goes on.
    #[error("{0}")]
    StillLive(String),
    /// There is no rule by which calls become old.
    #[error("HISTORY_RETENTION is not set: history is kept for ever")]
    KeptForEver,
    /// There cannot be such a role.
    #[error("{0}")]
    Reader(String),
    /// Another account has it, perhaps in other letter cases.
    #[error("the username is taken")]
    Taken,
    /// No account can have that name.
    #[error("the username {0}")]
    Username(String),
    /// No account can have that password.
    #[error("the password {0}")]
    Password(String),
    /// The database is not as this program expects it.
    #[error("the database lacks our schema, or the newest part of it; run video-call-server migrate first")]
    Behind,
    /// Nobody answers.
    #[error("the database does not answer")]
    Away,
    /// Anything else: an operator is told what it is.
    #[error("{0}")]
    Other(StartError),
}

impl From<Error> for AdminError {
    #[expect(clippy::wildcard_enum_match_arm, reason = "most of what a client can do wrong has no command")]
    fn from(error: Error) -> Self {
        match error {
            Error::UsernameTaken => Self::Taken,
            Error::Unavailable { .. } => Self::Away,
            Error::Internal(cause) => Self::Other(cause),
            other => Self::Other(other.into()),
        }
    }
}
