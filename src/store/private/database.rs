//! The application's database in the private PostgreSQL.

use super::credentials::Credentials;
use super::error::PrivateError;
use secrecy::ExposeSecret;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, Connection, Executor};
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

/// The server says that it lets clients in: an answer takes milliseconds.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

const CREATE_DATABASE: &str = "create database video_call";

/// `invalid_catalog_name`: there is no such database.
const NO_SUCH_DATABASE: &str = "3D000";

/// Logs in, which proves that the password is right, and makes the database if it is not there.
pub(super) async fn ensure(credentials: &Credentials, url: &Path) -> Result<(), PrivateError> {
    let refused =
        |reason: String| PrivateError::Refused { url: url.to_owned(), reason: reason.replace('\n', " ") };
    let answer = tokio::time::timeout(ANSWER_WITHIN, log_in_or_create(credentials)).await;
    let answer = answer.map_err(|_| refused(format!("no answer within {ANSWER_WITHIN:?}")))?;
    answer.map_err(|error| refused(error.to_string()))
}

async fn log_in_or_create(credentials: &Credentials) -> sqlx::Result<()> {
    let options = PgConnectOptions::from_str(credentials.url().expose_secret())?.disable_statement_logging();
    match PgConnection::connect_with(&options).await {
        Ok(connection) => return connection.close().await,
        Err(error) if is(&error, NO_SUCH_DATABASE) => {}
        Err(error) => return Err(error),
    }
    let mut connection = PgConnection::connect_with(&options.database("postgres")).await?;
    connection.execute(CREATE_DATABASE).await?;
    connection.close().await
}

fn is(error: &sqlx::Error, code: &str) -> bool {
    error.as_database_error().and_then(sqlx::error::DatabaseError::code).is_some_and(|found| found == code)
}
