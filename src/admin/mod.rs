//! What an operator does from the command line, beside or without a running server.
//!
//! Everything is done in the database alone. A running server hears of each session that ends through `LISTEN`, and
//! cuts its sockets at once.

mod error;

pub use error::AdminError;

use crate::auth::password::{Password, Passwords};
use crate::clock::Clock;
use crate::config::Config;
use crate::database::Database;
use crate::domain::username::Username;
use crate::store::users::{self, Account, Listed};
use crate::store::{self, Condition, Pool, pool};
use crate::telemetry::metrics::Metrics;
use chrono::{DateTime, Utc};
use secrecy::{ExposeSecret, SecretString};
use uuid::Uuid;

/// One for the statement, and one to spare for the pool's own tests of it.
const POOL_SIZE: u32 = 2;
const PAGE: i64 = 1000;

/// Brings the schema of the database up to date.
pub async fn migrate(url: &SecretString) -> Result<(), AdminError> {
    pool::migrate(url).await.map_err(|error| AdminError::Other(error.into()))
}

/// Changes accounts.
pub struct Admin {
    pool: Pool,
    passwords: Passwords,
    clock: Clock,
}

/// An account as lists show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedUser {
    /// Its id.
    pub id: Uuid,
    username: Username,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last online, if ever.
    pub last_seen_at: Option<DateTime<Utc>>,
    /// Since when it is disabled, if it is.
    pub disabled_at: Option<DateTime<Utc>>,
}

/// A name that an account may have.
pub struct NewName(Username);

/// A password that an account may have.
pub struct NewPassword(Password);

/// What became of an account whose sessions were ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionsEnded {
    /// As registered.
    pub username: String,
    /// How many there were.
    pub sessions: usize,
}

impl NewName {
    /// Holds it to the rules.
    pub fn parse(text: &str) -> Result<Self, AdminError> {
        Username::parse(text).map(Self).map_err(|problem| AdminError::Username(problem.to_string()))
    }

    /// As the account will have it.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl NewPassword {
    /// Holds it to the rules.
    pub fn parse(text: &SecretString) -> Result<Self, AdminError> {
        let password = Password::parse(text.expose_secret());
        password.map(Self).map_err(|problem| AdminError::Password(problem.to_string()))
    }
}

impl Admin {
    /// Connects, and sees that the database has our schema. A private database gets it here; one that is not ours
    /// alone is changed by `migrate` only.
    pub async fn connect(database: &Database, config: &Config, clock: Clock) -> Result<Self, AdminError> {
        if config.database_url.is_none() {
            migrate(database.url()).await?;
        }
        let pool = pool::connect(database.url(), POOL_SIZE).await;
        let pool = pool.map_err(|error| AdminError::Other(error.into()))?;
        match store::probe(&pool).await {
            Condition::Ready => {
                let passwords = Passwords::new(1, Metrics::new()?.hashing.clone())?;
                Ok(Self { pool, passwords, clock })
            }
            Condition::Behind => Err(AdminError::Behind),
            Condition::Down => Err(AdminError::Away),
        }
    }

    /// Makes an account, whatever `REGISTRATION` says; answers with its id.
    pub async fn add(&self, name: &NewName, password: NewPassword) -> Result<Uuid, AdminError> {
        let hash = self.passwords.hash(password.0).await?;
        let account = users::insert(&self.pool, &name.0, &hash, self.clock.now().wall).await?;
        Ok(account.user.id.into())
    }

    /// A page of the accounts behind `after`, ordered by name; the page behind the last one is empty.
    pub async fn list(
        &self,
        only_disabled: bool,
        after: Option<&ListedUser>,
    ) -> Result<Vec<ListedUser>, AdminError> {
        let after = after.map(|user| &user.username);
        let page = users::list_for_admin(&self.pool, after, only_disabled, PAGE).await?;
        Ok(page.into_iter().map(ListedUser::from).collect())
    }

    /// Shuts an account out and ends its sessions; answers with its name. Twice is fine.
    pub async fn disable(&self, username: &str) -> Result<String, AdminError> {
        self.set_disabled(username, Some(self.clock.now().wall)).await
    }

    /// Lets a disabled account log in again; answers with its name. Twice is fine.
    pub async fn enable(&self, username: &str) -> Result<String, AdminError> {
        self.set_disabled(username, None).await
    }

    async fn set_disabled(&self, username: &str, at: Option<DateTime<Utc>>) -> Result<String, AdminError> {
        let unknown = || AdminError::Unknown(username.to_owned());
        let name = Username::parse(username).map_err(|_| unknown())?;
        let name = users::set_disabled(&self.pool, &name, at).await?.ok_or_else(unknown)?;
        Ok(name.as_str().to_owned())
    }

    /// Sets another password and ends every session.
    pub async fn set_password(&self, username: &str, new: NewPassword) -> Result<SessionsEnded, AdminError> {
        let user = self.find(username).await?.user;
        let hash = self.passwords.hash(new.0).await?;
        let now = self.clock.now().wall;
        let ended = users::change_password(&self.pool, user.id, &hash, None, now).await?;
        // A login with the old password that was being written at that very moment was not seen: sweep once more.
        let late = store::sessions::revoke_of_user(&self.pool, user.id, None, now).await?;
        Ok(SessionsEnded { username: user.username.as_str().to_owned(), sessions: ended.len() + late.len() })
    }

    /// Ends every session of an account.
    pub async fn revoke_sessions(&self, username: &str) -> Result<SessionsEnded, AdminError> {
        let user = self.find(username).await?.user;
        let now = self.clock.now().wall;
        let ended = store::sessions::revoke_of_user(&self.pool, user.id, None, now).await?;
        Ok(SessionsEnded { username: user.username.as_str().to_owned(), sessions: ended.len() })
    }

    /// Ends the connections.
    pub async fn close(self) {
        self.pool.close().await;
    }

    async fn find(&self, username: &str) -> Result<Account, AdminError> {
        let unknown = || AdminError::Unknown(username.to_owned());
        let name = Username::parse(username).map_err(|_| unknown())?;
        users::account_named(&self.pool, &name).await?.ok_or_else(unknown)
    }
}

impl ListedUser {
    /// As registered.
    pub fn username(&self) -> &str {
        self.username.as_str()
    }
}

impl From<Listed> for ListedUser {
    fn from(listed: Listed) -> Self {
        let Listed { user, created_at, disabled_at } = listed;
        Self {
            id: user.id.into(),
            username: user.username,
            created_at,
            last_seen_at: user.last_seen_at,
            disabled_at,
        }
    }
}
