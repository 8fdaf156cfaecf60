//! The command line.

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
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
    Migrate,
    /// See what the settings come to
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Ask the running server, whose settings are the same, whether it is ready: for the health check of a container
    Health,
    /// Manage accounts, also beside a running server
    #[command(subcommand)]
    User(UserCommand),
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

/// What to do with accounts. Names may be given without regard to case.
#[derive(Subcommand)]
pub(crate) enum UserCommand {
    /// Make an account, also where registration is closed; the password is asked for, or a line of standard input
    Add(WithPassword),
    /// Show the accounts
    List(Listing),
    /// Shut an account out: its sessions end at once
    Disable(Named),
    /// Let a disabled account in again
    Enable(Named),
    /// Set another password, asked for or a line of standard input; every session of the account ends at once
    SetPassword(WithPassword),
    /// End every session of an account
    RevokeSessions(Named),
}

/// An account.
#[derive(Args)]
pub(crate) struct Named {
    /// The account's username
    pub(crate) username: String,
}

/// An account whose password is to be read.
#[derive(Args)]
pub(crate) struct WithPassword {
    #[command(flatten)]
    pub(crate) account: Named,
    /// What somebody types who takes the password for an argument. It must not be repeated in the error.
    #[arg(hide = true)]
    surplus: Vec<OsString>,
}

/// What to show of the accounts.
#[derive(Args)]
pub(crate) struct Listing {
    /// Only those that are disabled
    #[arg(long)]
    pub(crate) disabled: bool,
    /// How to show them
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub(crate) format: Format,
}

/// How to show a list.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Format {
    /// For people
    Table,
    /// For programs: an array of objects
    Json,
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
        if let Some(Command::User(UserCommand::Add(user) | UserCommand::SetPassword(user))) = &cli.command
            && !user.surplus.is_empty()
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
