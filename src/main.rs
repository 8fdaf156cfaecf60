//! The command line: read the settings, set up the log, serve or do what was asked.

mod check;
mod cli;
mod commands;
mod health;
mod output;

use cli::{Cli, Command, ConfigCommand};
use commands::migrate::Plan;
use commands::{Task, user};
use secrecy::SecretString;
use std::io;
use std::pin::{Pin, pin};
use std::process::ExitCode;
use video_call_server::admin::Admin;
use video_call_server::clock::Clock;
use video_call_server::config::{Config, Draft, read_env_file};
use video_call_server::database::Database;
use video_call_server::server::shutdown_signal;
use video_call_server::service::{Service, StartError};
use video_call_server::telemetry::{self, Output};

/// Its background threads give back to the system what a crowd of clients has left behind; the system's own allocator keeps it.
#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    match start() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::complain(&*error);
            ExitCode::FAILURE
        }
    }
}

fn start() -> Result<(), StartError> {
    // Before the runtime, and so before there are other threads.
    let of_env_file = read_env_file()?;
    let (cli, sources) = Cli::read(&of_env_file);
    let draft = Draft::load(cli.flags)?;
    match cli.command {
        None | Some(Command::Serve) => {
            let config = draft.for_serving()?;
            telemetry::init(&config, Output::Stdout)?;
            runtime()?.block_on(serve(config))
        }
        Some(Command::Migrate(migration)) => {
            let config = for_command(draft)?;
            let plan = Plan::prepare(migration, &config)?;
            runtime()?.block_on(with_database(&config, async |database| plan.run(database).await))
        }
        Some(Command::Db(command)) => {
            let config = for_command(draft)?;
            let work = async |database: &_| commands::db::run(command, database, &config).await;
            runtime()?.block_on(with_database(&config, work))
        }
        Some(Command::Config(ConfigCommand::Check { format })) => {
            check::check(&draft.for_checking()?, &sources, format)
        }
        Some(Command::Health) => {
            let config = draft.for_commands();
            telemetry::init(&config, Output::Stderr)?;
            runtime()?.block_on(health::check(&config))?;
            Ok(output::say("ready")?)
        }
        Some(Command::User(command)) => administer(draft, || Ok(Task::User(user::Task::prepare(command)?))),
        Some(Command::Call(command)) => administer(draft, || Ok(Task::Call(command))),
        Some(Command::Session(command)) => administer(draft, || Ok(Task::Session(command))),
    }
}

/// Does in the database what `prepare` makes ready: nothing is started or locked while somebody types.
fn administer(draft: Draft, prepare: impl FnOnce() -> Result<Task, StartError>) -> Result<(), StartError> {
    let config = for_command(draft)?;
    let task = prepare()?;
    runtime()?.block_on(with_database(&config, async |database| manage(database, task, &config).await))
}

fn for_command(draft: Draft) -> Result<Config, StartError> {
    let config = draft.for_commands();
    telemetry::init(&config, Output::Stderr)?;
    Ok(config)
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()
}

/// A migration, or a first start that makes a database, may take a while: a signal ends that too.
async fn serve(config: Config) -> Result<(), StartError> {
    let mut signal = pin!(shutdown_signal());
    let database = tokio::select! {
        opened = Database::open(&config) => opened?,
        signal = &mut signal => return Ok(signal?),
    };
    let outcome = serve_from(config, database.url().clone(), signal).await;
    database.close().await;
    outcome
}

async fn serve_from(
    config: Config,
    url: SecretString,
    mut signal: Pin<&mut impl Future<Output = io::Result<()>>>,
) -> Result<(), StartError> {
    let service = tokio::select! {
        started = Service::start(config, url, Clock::machine()) => started?,
        signal = &mut signal => return Ok(signal?),
    };
    signal.await?;
    service.stop().await;
    Ok(())
}

async fn with_database(
    config: &Config,
    work: impl AsyncFnOnce(&Database) -> Result<(), StartError>,
) -> Result<(), StartError> {
    let database = Database::open_for_command(config).await?;
    let outcome = work(&database).await;
    database.close().await;
    outcome
}

async fn manage(database: &Database, task: Task, config: &Config) -> Result<(), StartError> {
    let admin = Admin::connect(database, config, Clock::machine()).await?;
    let outcome = task.run(&admin).await;
    admin.close().await;
    outcome
}
