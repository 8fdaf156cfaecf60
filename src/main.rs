//! The command line: read the settings, set up the log, serve.

mod cli;

use cli::{Cli, Command};
use secrecy::SecretString;
use std::error::Error;
use std::process::ExitCode;
use video_call_server::admin;
use video_call_server::clock::Clock;
use video_call_server::config::{Config, Draft, read_env_file};
use video_call_server::server::shutdown_signal;
use video_call_server::service::{Service, StartError};
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

fn start() -> Result<(), StartError> {
    // Before the runtime, and so before there are other threads.
    read_env_file()?;
    let cli = Cli::read();
    let draft = Draft::load(cli.flags)?;
    match cli.command {
        None | Some(Command::Serve) => {
            let config = draft.for_serving()?;
            telemetry::init(&config, Output::Stdout)?;
            runtime()?.block_on(serve(config))
        }
        Some(Command::Migrate) => {
            let config = draft.for_commands();
            telemetry::init(&config, Output::Stderr)?;
            runtime()?.block_on(admin::migrate(&database_url(&config)?))
        }
    }
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()
}

async fn serve(config: Config) -> Result<(), StartError> {
    let url = database_url(&config)?;
    let service = Service::start(config, url, Clock::machine()).await?;
    shutdown_signal().await?;
    service.stop().await;
    Ok(())
}

fn database_url(config: &Config) -> Result<SecretString, StartError> {
    Ok(config.database_url.clone().ok_or("DATABASE_URL: is required")?)
}
