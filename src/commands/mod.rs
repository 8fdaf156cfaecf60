//! What the program does beside serving: one file a family of commands.

pub(crate) mod call;
pub(crate) mod db;
pub(crate) mod migrate;
mod password;
pub(crate) mod session;
mod show;
pub(crate) mod user;

pub(crate) use show::Format;

use call::CallCommand;
use session::SessionCommand;
use video_call_server::admin::Admin;
use video_call_server::service::StartError;

/// Work in the database, with all that it needs.
pub(crate) enum Task {
    User(user::Task),
    Call(CallCommand),
    Session(SessionCommand),
}

impl Task {
    /// Does it and says so.
    pub(crate) async fn run(self, admin: &Admin) -> Result<(), StartError> {
        match self {
            Self::User(task) => task.run(admin).await,
            Self::Call(command) => call::run(command, admin).await,
            Self::Session(command) => session::run(command, admin).await,
        }
    }
}
