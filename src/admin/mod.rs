//! What an operator does from the command line, beside or without a running server.

use crate::service::StartError;
use crate::store;
use secrecy::SecretString;

/// Brings the schema of the database up to date.
pub async fn migrate(url: &SecretString) -> Result<(), StartError> {
    Ok(store::pool::migrate(url).await?)
}
