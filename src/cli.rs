//! The command line.

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use video_call_server::config::{Flags, finish};

/// A backend for 1:1 video and audio calls: accounts, presence, signalling, history.
///
/// Every setting is a variable of the environment, of the file .env in the working directory, or a flag; a flag
/// wins over the environment, and the environment over the file.
#[derive(Parser)]
#[command(version)]
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
}

impl Cli {
    /// Reads the command line and the environment; on a mistake in their form, says so and exits with 2.
    pub(crate) fn read() -> Self {
        let matches = finish(Self::command()).get_matches();
        Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Cli, clap::Error> {
        let words = ["video-call-server"].iter().chain(words);
        Cli::from_arg_matches(&finish(Cli::command()).try_get_matches_from(words)?)
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
}
