//! The log: where it goes, in which form, and what never stands in it.

use crate::config::{Config, ConfigError, LogFormat};
use std::io::{self, IsTerminal};
use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::{EnvFilter, Targets};
use tracing_subscriber::fmt::{self, MakeWriter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{Layer, Registry};

/// Where the log goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// For a server, whose log is its output: several platforms mark everything on stderr as an error.
    Stdout,
    /// For commands, whose output is their answer.
    Stderr,
}

/// Why logs could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// `RUST_LOG` cannot be read.
    #[error(transparent)]
    Filter(#[from] ConfigError),
    /// Somebody was faster.
    #[error("logs are set up already")]
    Taken(#[from] TryInitError),
}

/// Sets up logging for the whole process, as `LOG_FORMAT` and `RUST_LOG` say.
pub fn init(config: &Config, output: Output) -> Result<(), TelemetryError> {
    let filter = filter(&config.log_filter)?;
    let registry = Registry::default().with(filter).with(caps());
    match output {
        Output::Stdout => registry.with(lines(config, io::stdout, io::stdout().is_terminal())).try_init()?,
        Output::Stderr => registry.with(lines(config, io::stderr, io::stderr().is_terminal())).try_init()?,
    }
    // Libraries that log by `log` ask about every frame they see. None of them may say more (see `caps`): spare them the question.
    log::set_max_level(log::LevelFilter::Info);
    Ok(())
}

pub(crate) fn filter(text: &str) -> Result<EnvFilter, ConfigError> {
    // The errors of the library can span lines and do not say what is expected.
    EnvFilter::builder().parse(text).map_err(|_| {
        let problem = format!("{text:?} is not a log filter such as info or info,video_call_server=debug");
        ConfigError::new("RUST_LOG", problem)
    })
}

/// What may be logged at most, whatever `RUST_LOG` says.
///
/// sqlx logs at debug and info what the database says, and tungstenite what a frame holds; so these say what they have to say at
/// warn, others at info, and only our own modules, which log nothing of the kind, at any level. socketioxide and engineioxide log whole
/// packets (so tokens, SDP and candidates) and the session id, which is a credential: they are built without their logs.
fn caps() -> Targets {
    Targets::new()
        .with_default(LevelFilter::INFO)
        .with_target(env!("CARGO_CRATE_NAME"), LevelFilter::TRACE)
        .with_target("axum", LevelFilter::WARN)
        .with_target("axum::rejection", LevelFilter::OFF)
        .with_target("sqlx", LevelFilter::WARN)
        // It warns of parameters of the URL that it does not know, with their values, of which one may be a password.
        .with_target("sqlx_postgres::options", LevelFilter::OFF)
        .with_target("tokio_tungstenite", LevelFilter::WARN)
        .with_target("tungstenite", LevelFilter::WARN)
}

fn lines<S, W>(config: &Config, writer: W, terminal: bool) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    // Where the log cannot be written, say to a terminal that was closed, neither can a word about that.
    let layer = fmt::layer().log_internal_errors(false).with_writer(writer);
    match config.log_format {
        LogFormat::Json => layer.json().flatten_event(true).with_span_list(false).boxed(),
        // On a terminal the library's own choice stands, which heeds NO_COLOR.
        LogFormat::Pretty if terminal => layer.boxed(),
        LogFormat::Pretty => layer.with_ansi(false).boxed(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};
    use tracing::subscriber::DefaultGuard;

    /// A log that can be read.
    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Kept {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    /// Logs this thread at `filter` until the guard is dropped.
    fn logged(filter_text: &str, log_format: LogFormat) -> (Kept, DefaultGuard) {
        let kept = Kept::default();
        let writer = kept.clone();
        let config = Config { log_format, ..Config::for_tests() };
        let subscriber = Registry::default().with(filter(filter_text).unwrap()).with(caps()).with(lines(
            &config,
            move || writer.clone(),
            false,
        ));
        (kept, tracing::subscriber::set_default(subscriber))
    }

    #[test]
    fn a_filter_that_cannot_be_read_is_one_line_about_rust_log() {
        let error = filter("info,=\n=").unwrap_err().to_string();
        assert!(error.starts_with("RUST_LOG: ") && error.lines().count() == 1);
    }

    #[test]
    fn our_own_lines_are_logged_at_any_level_and_those_of_others_from_info_up() {
        let (log, _guard) = logged("trace", LogFormat::Pretty);
        tracing::trace!("ours");
        tracing::debug!(target: "hyper::proto", "theirs, debug");
        tracing::info!(target: "hyper::proto", "theirs, info");
        let text = log.text();
        assert!(text.contains("ours") && text.contains("theirs, info") && !text.contains("theirs, debug"));
    }

    #[test]
    fn what_libraries_say_of_requests_queries_and_frames_is_not_logged() {
        for format in [LogFormat::Json, LogFormat::Pretty] {
            let (log, _guard) = logged("trace,tungstenite=trace,sqlx=trace", format);
            let span = tracing::info_span!(target: "sqlx::query", "query", parameter = "hush");
            span.in_scope(|| tracing::warn!("ours"));
            tracing::info!(target: "tungstenite::protocol", "hush");
            tracing::info!(target: "sqlx_core::query", "hush");
            tracing::warn!(target: "sqlx_postgres::options::parse", "hush");
            tracing::trace!(target: "axum::rejection", "hush");
            assert!(log.text().contains("ours") && !log.text().contains("hush"));
        }
    }

    #[test]
    fn json_is_one_object_a_line_with_the_fields_at_its_top() {
        let (log, _guard) = logged("info", LogFormat::Json);
        tracing::info!(calls = 3, "two\nlines");
        let line: serde_json::Value = serde_json::from_str(&log.text()).unwrap();
        assert_eq!(line["message"], "two\nlines");
        assert_eq!(line["calls"], 3);
    }

    #[test]
    fn there_are_no_colours_where_there_is_no_terminal() {
        let (log, _guard) = logged("info", LogFormat::Pretty);
        tracing::info!("plain");
        assert!(!log.text().contains('\u{1b}'));
    }
}
