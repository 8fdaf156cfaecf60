//! Whether what is always true of the data is true now.

use super::pool::{self, MIGRATOR, StartError};
use secrecy::SecretString;
use sqlx::error::DatabaseError;
use sqlx::{Connection, PgConnection, Row};
use std::collections::BTreeMap;
use std::time::Duration;

/// A query an invariant; each gives a row for each thing that is wrong.
const INVARIANTS: &str = include_str!("invariants.sql");

/// `undefined_table`
const NO_SUCH_TABLE: &str = "42P01";

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Offence {
    /// What should be true.
    pub(crate) invariant: String,
    /// Of what it is not: the id of a row, mostly.
    pub(crate) offender: String,
    pub(crate) detail: String,
}

/// Everything that is wrong with the data or, if it is not up to date, with the schema. Only reads.
pub(crate) async fn offences(url: &SecretString, ring_timeout: Duration) -> Result<Vec<Offence>, StartError> {
    // A large history takes longer to look through than a statement of the server is allowed.
    let settings = [("default_transaction_read_only", "on"), ("statement_timeout", "0")];
    let mut connection = pool::connect_alone(url, &settings).await?;
    let found = look(&mut connection, ring_timeout).await.map_err(StartError::Query)?;
    connection.close().await.map_err(StartError::Connect)?;
    Ok(found)
}

async fn look(connection: &mut PgConnection, ring_timeout: Duration) -> sqlx::Result<Vec<Offence>> {
    let (mut found, is_behind) = schema(connection).await?;
    if is_behind {
        return Ok(found);
    }
    let ring_timeout = format!("{} milliseconds", ring_timeout.as_millis());
    sqlx::query!("select set_config('video_call.ring_timeout', $1, false) as done", ring_timeout)
        .fetch_one(&mut *connection)
        .await?;
    for row in sqlx::raw_sql(INVARIANTS).fetch_all(connection).await? {
        let text = |column| row.try_get::<Option<String>, _>(column).map(Option::unwrap_or_default);
        found.push(Offence {
            invariant: text("invariant")?,
            offender: text("offender")?,
            detail: text("detail")?,
        });
    }
    Ok(found)
}

/// How the schema differs from ours, and whether something of ours is missing.
async fn schema(connection: &mut PgConnection) -> sqlx::Result<(Vec<Offence>, bool)> {
    let applied =
        sqlx::query!("select version, success, checksum from _sqlx_migrations").fetch_all(connection).await;
    let applied = match applied {
        Err(error)
            if error
                .as_database_error()
                .and_then(DatabaseError::code)
                .is_some_and(|code| code == NO_SUCH_TABLE) =>
        {
            Vec::new()
        }
        other => other?,
    };
    let mut applied: BTreeMap<_, _> =
        applied.into_iter().map(|row| (row.version, (row.success, row.checksum))).collect();
    let (mut found, mut is_behind) = (Vec::new(), false);
    let mut offence = |version: i64, detail: &str| {
        found.push(Offence {
            invariant: "schema up to date".into(),
            offender: version.to_string(),
            detail: detail.into(),
        });
    };
    for ours in MIGRATOR.iter() {
        match applied.remove(&ours.version) {
            None => {
                is_behind = true;
                offence(
                    ours.version,
                    &format!("{} is missing: run video-call-server migrate", ours.description),
                );
            }
            Some((false, _)) => {
                is_behind = true;
                offence(ours.version, "was begun and not finished");
            }
            Some((true, checksum)) if checksum != *ours.checksum => {
                offence(ours.version, "is not the migration of that number in this program");
            }
            Some((true, _)) => {}
        }
    }
    for theirs in applied.into_keys() {
        offence(theirs, "is of a newer program");
    }
    Ok((found, is_behind))
}
