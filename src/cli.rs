//! The command line.

use crate::commands::Format;
use crate::commands::call::CallCommand;
use crate::commands::db::DbCommand;
use crate::commands::migrate::Migration;
use crate::commands::session::SessionCommand;
use crate::commands::user::UserCommand;
use clap::error::ErrorKind;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use std::ffi::OsString;
use video_call_server::config::{Flags, Sources, finish};
use video_call_server::version::VERSION_AND_REVISION;

/// A backend for 1:1 video and audio calls: accounts, presence, signalling, history.
///
/// Every setting is a variable of the environment, of the file .env in the working directory, or a flag; a flag
/// wins over the environment, and the environment over the file.
#[derive(Parser)]
#[command(version = VERSION_AND_REVISION)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) flags: Flags,
}

/// What to do.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Serve (what happens without a command)
    Serve,
    /// Bring the schema of the database up to date, and stop
    Migrate(Migration),
    /// See what the settings come to
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Ask the running server, whose settings are the same, whether it is ready: for the health check of a container
    Health,
    /// Manage accounts, also beside a running server
    #[command(subcommand)]
    User(UserCommand),
    /// Look at calls and end them, also beside a running server
    #[command(subcommand)]
    Call(CallCommand),
    /// Look at login sessions and end them, also beside a running server
    #[command(subcommand)]
    Session(SessionCommand),
    /// Back up, check and prune the database, also beside a running server
    #[command(subcommand)]
    Db(DbCommand),
}

/// What to see of the settings.
#[derive(Subcommand)]
pub(crate) enum ConfigCommand {
    /// Show every setting and where it was set, secrets masked, and whether a server would start with them
    Check {
        /// How to show them
        #[arg(long, value_enum, default_value_t = Format::Table)]
        format: Format,
    },
}

impl Cli {
    /// Reads the command line and the environment; on a mistake in their form, says so and exits with 2.
    ///
    /// `of_env_file` are the variables that come from `.env`.
    pub(crate) fn read(of_env_file: &[String]) -> (Self, Sources) {
        Self::read_from(std::env::args_os(), of_env_file).unwrap_or_else(|error| error.exit())
    }

    fn read_from(
        words: impl IntoIterator<Item = OsString>,
        of_env_file: &[String],
    ) -> Result<(Self, Sources), clap::Error> {
        let mut command = finish(Self::command());
        let matches = command.try_get_matches_from_mut(words)?;
        let cli = Self::from_arg_matches(&matches)?;
        if let Some(Command::User(user)) = &cli.command
            && user.has_surplus()
        {
            let hint = "a password is no argument, since others can read those: it is asked for, or read from standard input";
            return Err(command.error(ErrorKind::UnknownArgument, hint));
        }
        Ok((cli, Sources::new(&command, &matches, of_env_file)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Cli, clap::Error> {
        Cli::read_from(["video-call-server"].iter().chain(words).map(OsString::from), &[]).map(|(cli, _)| cli)
    }

    #[test]
    fn the_command_line_holds_together() {
        finish(Cli::command()).debug_assert();
    }

    #[test]
    fn a_flag_may_stand_before_or_after_the_command() {
        assert!(parse(&["--port", "5", "serve"]).is_ok());
        assert!(parse(&["serve", "--port", "5"]).is_ok());
        assert!(parse(&["--port", "5"]).is_ok_and(|cli| cli.command.is_none()));
        assert!(parse(&["serve", "--prot", "5"]).is_err());
    }

    #[test]
    fn a_password_is_no_argument_and_not_repeated() {
        for words in [
            &["user", "add", "ann", "hunter22"][..],
            &["user", "set-password", "ann", "hunter22"],
            &["user", "add", "ann", "--password", "hunter22"],
            &["user", "add", "ann", "--password=hunter22"],
            &["user", "add", "ann", "--", "hunter22"],
        ] {
            let error = parse(words).err().unwrap();
            assert_eq!(error.exit_code(), 2);
            assert!(!error.to_string().contains("hunter22"), "{error}");
        }
    }
}
