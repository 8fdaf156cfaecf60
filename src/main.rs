//! The command line: read the settings, set up the log, serve.

mod cli;

use cli::{Cli, Command};
use std::error::Error;
use std::process::ExitCode;
use video_call_server::config::{Draft, read_env_file};
use video_call_server::telemetry::{self, Output};

fn main() -> ExitCode {
    match start() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&*error);
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stderr, reason = "whoever started the server reads this, whatever becomes of the log")]
fn complain(error: &dyn Error) {
    eprintln!("{error}");
}

fn start() -> Result<(), Box<dyn Error>> {
    // Before the runtime, and so before there are other threads.
    read_env_file()?;
    let cli = Cli::read();
    let draft = Draft::load(cli.flags)?;
    match cli.command {
        None | Some(Command::Serve) => {
            let config = draft.for_serving()?;
            telemetry::init(&config, Output::Stdout)?;
            Ok(())
        }
    }
}
