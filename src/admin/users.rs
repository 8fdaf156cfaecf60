//! Accounts.

use super::{Admin, AdminError};
use crate::auth::password::Password;
use crate::domain::ids::UserId;
use crate::domain::username::Username;
use crate::store;
use crate::store::users::{self, Account, Listed, Summary};
use chrono::{DateTime, Utc};
use secrecy::{ExposeSecret, SecretString};
use uuid::Uuid;

const PAGE: i64 = 1000;

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

/// Everything about an account that an operator may see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserDetails {
    /// Its id.
    pub id: Uuid,
    /// As registered.
    pub username: String,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last online, if ever.
    pub last_seen_at: Option<DateTime<Utc>>,
    /// Since when it is disabled, if it is.
    pub disabled_at: Option<DateTime<Utc>>,
    /// Sessions neither revoked nor expired.
    pub live_sessions: i64,
    /// Calls on record, as caller or callee.
    pub calls: i64,
    /// The call it is in.
    pub live_call: Option<Uuid>,
}

/// An account with another name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Renamed {
    /// What it was called.
    pub from: String,
    /// How many sessions have ended for it.
    pub sessions: usize,
}

impl Admin {
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

    /// All about one account.
    pub async fn show(&self, username: &str) -> Result<UserDetails, AdminError> {
        let user = self.find(username).await?.user;
        let summary = users::summary(&self.pool, user.id, self.clock.now().wall).await?;
        let Summary { created_at, disabled_at, live_sessions, calls, live_call } =
            summary.ok_or_else(|| AdminError::Unknown(username.to_owned()))?;
        Ok(UserDetails {
            id: user.id.into(),
            username: user.username.as_str().to_owned(),
            created_at,
            last_seen_at: user.last_seen_at,
            disabled_at,
            live_sessions,
            calls,
            live_call,
        })
    }

    /// Gives the account another name, in history too, and ends its sessions, whose tokens carry the old one.
    pub async fn rename(&self, username: &str, to: &NewName) -> Result<Renamed, AdminError> {
        let user = self.find(username).await?.user;
        let now = self.clock.now().wall;
        let ended = users::rename(&self.pool, user.id, &to.0, now).await?;
        // A login by the old name that was being written at that very moment was not seen: sweep once more.
        let late = store::sessions::revoke_of_user(&self.pool, user.id, None, now).await?;
        Ok(Renamed { from: user.username.as_str().to_owned(), sessions: ended.len() + late.len() })
    }

    /// Deletes the account and its sessions; its calls stay on record, without the name.
    pub async fn delete(&self, username: &str) -> Result<SessionsEnded, AdminError> {
        let user = self.find(username).await?.user;
        let ended = users::delete(&self.pool, user.id).await?;
        Ok(SessionsEnded { username: user.username.as_str().to_owned(), sessions: ended.len() })
    }

    /// The id of an account.
    pub(super) async fn id_of(&self, username: &str) -> Result<UserId, AdminError> {
        Ok(self.find(username).await?.user.id)
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
