//! A role for people and dashboards that read the history.

use super::AdminError;
use crate::config::Config;
use crate::store::{reader, scram};
use secrecy::{ExposeSecret, SecretString};

/// What PostgreSQL cuts longer names to, without a word.
const NAME_BYTES: usize = 63;
const PASSWORD_LENGTH: std::ops::RangeInclusive<usize> = 8..=128;

/// A name that a role may have.
pub struct ReaderName(String);

/// A password that a role may have.
pub struct ReaderPassword(SecretString);

impl ReaderName {
    /// Holds it to PostgreSQL's limits. Any character will do.
    pub fn parse(name: &str) -> Result<Self, AdminError> {
        if name.is_empty() || name.len() > NAME_BYTES || name.contains('\0') {
            return Err(AdminError::Reader(format!("the name of a role has 1 to {NAME_BYTES} bytes")));
        }
        Ok(Self(name.to_owned()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl ReaderPassword {
    /// Holds it to what every client types alike.
    pub fn parse(password: &SecretString) -> Result<Self, AdminError> {
        let text = password.expose_secret();
        let is_plain = text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
        if !is_plain || !PASSWORD_LENGTH.contains(&text.len()) {
            let (least, most) = (PASSWORD_LENGTH.start(), PASSWORD_LENGTH.end());
            let problem = format!("the password of a role has {least} to {most} printable ASCII characters");
            return Err(AdminError::Reader(problem));
        }
        Ok(Self(password.clone()))
    }
}

/// That there can be such a role: not in a private PostgreSQL, which lets in nobody but the server.
pub fn expect_room_for_readers(config: &Config) -> Result<(), AdminError> {
    if config.database_url.is_some() {
        return Ok(());
    }
    let problem = "the private PostgreSQL lets in nobody but the server itself; for a role that reads, set DATABASE_URL to a PostgreSQL of yours";
    Err(AdminError::Reader(problem.to_owned()))
}

/// Makes a role that may log in and read the history, or sees that it may do that and no more; answers whether it is new.
pub async fn make_reader(
    url: &SecretString,
    name: &ReaderName,
    password: Option<&ReaderPassword>,
) -> Result<bool, AdminError> {
    let verifier = password.map(verifier).transpose()?;
    let made = reader::make(url, &name.0, verifier.as_deref()).await;
    made.map_err(|error| AdminError::Other(error.into()))
}

fn verifier(password: &ReaderPassword) -> Result<String, AdminError> {
    let mut salt = [0; 16];
    getrandom::fill(&mut salt).map_err(|error| AdminError::Other(error.into()))?;
    Ok(scram::verifier(password.0.expose_secret(), salt))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_may_have_any_name_that_postgres_keeps_whole() {
        assert!(ReaderName::parse("\"; drop role postgres; --").is_ok());
        for name in [String::new(), "a\0b".into(), "ä".repeat(32)] {
            assert!(ReaderName::parse(&name).is_err(), "{name:?}");
        }
    }

    #[test]
    fn a_role_has_a_password_that_every_client_types_alike() {
        assert!(ReaderPassword::parse(&"correct horse".into()).is_ok());
        for password in [
            "1234567".to_owned(),
            "x".repeat(129),
            "pässword".into(),
            "tab\tbed here".into(),
            "nul\0nul\0".into(),
        ] {
            assert!(ReaderPassword::parse(&password.into()).is_err());
        }
    }
}
