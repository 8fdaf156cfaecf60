//! `video-call-server migrate`: the schema, and a role that may read it.

use super::password;
use crate::output;
use clap::Args;
use video_call_server::admin::{self, ReaderName, ReaderPassword, expect_room_for_readers};
use video_call_server::config::Config;
use video_call_server::database::Database;
use video_call_server::service::StartError;

/// What to make beside the schema.
#[derive(Args)]
pub(crate) struct Migration {
    /// Also make a role that may log in and read the history, and nothing else; one that is there gets what it lacks
    #[arg(long, value_name = "NAME")]
    reader_role: Option<String>,
    /// Give that role a password, asked for or a line of standard input; without it, it has the one it had, or none
    #[arg(long, requires = "reader_role")]
    reader_password: bool,
}

/// What is to be done, with the password.
pub(crate) struct Plan(Option<(ReaderName, Option<ReaderPassword>)>);

impl Plan {
    /// Asks for what the command line leaves open.
    pub(crate) fn prepare(migration: Migration, config: &Config) -> Result<Self, StartError> {
        let Some(name) = migration.reader_role else { return Ok(Self(None)) };
        expect_room_for_readers(config)?;
        let name = ReaderName::parse(&name)?;
        let password =
            migration.reader_password.then(|| password::read(ReaderPassword::parse)).transpose()?;
        Ok(Self(Some((name, password))))
    }

    /// Does it and says so.
    pub(crate) async fn run(self, database: &Database) -> Result<(), StartError> {
        admin::migrate(database.url()).await?;
        output::say("the schema is up to date")?;
        let Some((name, password)) = self.0 else { return Ok(()) };
        let is_new = admin::make_reader(database.url(), &name, password.as_ref()).await?;
        let made = if is_new { "made the role" } else { "the role was there already:" };
        Ok(output::say(&format!("{made} {:?}, which may read the history", name.as_str()))?)
    }
}
