//! Accounts: made, logged in to, changed and deleted, each under the rules for passwords.

use super::password::{Candidate, Password, Passwords, Verdict};
use super::sessions::{Grant, Origin, Sessions};
use super::throttle::{Attempt, LoginThrottle};
use super::token::Claims;
use crate::clock::Clock;
use crate::cluster::Counted;
use crate::config::Registration;
use crate::domain::username::Username;
use crate::error::{Error, FieldError, Result};
use crate::live::Live;
use crate::store::Pool;
use crate::store::users::{self, Account};
use crate::telemetry::metrics::Refusals;
use std::net::IpAddr;
use std::sync::Arc;

/// What somebody types into a login form. Names and passwords that cannot exist are allowed: they are simply wrong.
#[derive(Clone)]
pub(crate) struct Credentials {
    pub(crate) username: String,
    pub(crate) password: Candidate,
}

/// Who is asking, for the throttle and for the list of sessions.
pub(crate) struct Visitor {
    pub(crate) origin: Origin,
    /// The address as limits count it.
    pub(crate) bucket: IpAddr,
}

/// Everything about accounts that takes a password.
pub(crate) struct Accounts {
    pool: Pool,
    passwords: Passwords,
    throttle: LoginThrottle,
    refusals: Refusals,
    sessions: Arc<Sessions>,
    registration: Registration,
    clock: Clock,
    live: Arc<Live>,
}

impl Accounts {
    pub(crate) fn new(
        pool: Pool,
        passwords: Passwords,
        refusals: Refusals,
        sessions: Arc<Sessions>,
        registration: Registration,
        clock: Clock,
        live: Arc<Live>,
    ) -> Self {
        let throttle = LoginThrottle::default();
        Self { pool, passwords, throttle, refusals, sessions, registration, clock, live }
    }

    /// Makes an account and logs it in.
    pub(crate) async fn register(
        &self,
        credentials: Credentials,
        visitor: &Visitor,
    ) -> Result<(Account, Grant)> {
        if self.registration == Registration::Closed {
            return Err(Error::RegistrationClosed);
        }
        let account = self.create(credentials).await?;
        let grant = self.sessions.open(&account, &visitor.origin).await?;
        Ok((account, grant.ok_or(Error::InvalidCredentials)?))
    }

    pub(crate) async fn log_in(
        &self,
        credentials: Credentials,
        visitor: &Visitor,
    ) -> Result<(Account, Grant)> {
        let name = credentials.username.trim().to_ascii_lowercase();
        let attempt = self.attempt(&name, visitor).await?;
        let outcome = attempt.settle(self.enter(credentials, visitor).await);
        self.tell_failure(&outcome, &name, visitor).await;
        outcome
    }

    async fn enter(&self, credentials: Credentials, visitor: &Visitor) -> Result<(Account, Grant)> {
        let account = self.authenticate(credentials.clone()).await?;
        if let Some(grant) = self.sessions.open(&account, &visitor.origin).await? {
            return Ok((account, grant));
        }
        // Most likely a parallel login of the same user has just renewed the hash: look once more.
        let account = self.authenticate(credentials).await?;
        let grant = self.sessions.open(&account, &visitor.origin).await?;
        Ok((account, grant.ok_or(Error::InvalidCredentials)?))
    }

    /// Sets another password; every other session is revoked.
    pub(crate) async fn change_password(
        &self,
        caller: &Claims,
        current: Candidate,
        new: Password,
        visitor: &Visitor,
    ) -> Result<()> {
        self.confirm(caller, current, visitor).await?;
        let hash = self.passwords.hash(new).await?;
        let now = self.clock.now().wall;
        let keep = Some(caller.session);
        let ended = users::change_password(&self.pool, caller.user, &hash, keep, now).await?;
        self.sessions.end_all(ended);
        // A login with the old password that was being written at that very moment was not seen: sweep once more.
        self.sessions.revoke_others(caller.user, caller.session).await
    }

    pub(crate) async fn delete(&self, caller: &Claims, password: Candidate, visitor: &Visitor) -> Result<()> {
        self.confirm(caller, password, visitor).await?;
        let ended = users::delete(&self.pool, caller.user).await?;
        self.sessions.end_all(ended);
        Ok(())
    }

    /// One more try at the password of `name`, unless there were too many.
    async fn attempt(&self, name: &str, visitor: &Visitor) -> Result<Attempt<'_>> {
        self.live.caught_up().await;
        let attempt = self.throttle.attempt(name, visitor.bucket, self.clock.now()).await;
        attempt.inspect_err(|_| self.refusals.password.inc())
    }

    /// A wrong password counts on every node. One for a name that nobody can have does no harm elsewhere.
    async fn tell_failure<T>(&self, outcome: &Result<T>, name: &str, visitor: &Visitor) {
        if matches!(outcome, Err(Error::InvalidCredentials | Error::WrongPassword))
            && Username::parse(name).is_ok()
        {
            let (name, address) = (name.to_owned(), visitor.bucket);
            self.live.count_elsewhere(Counted::Failure { name, address });
            // Before the guesser hears of it and goes to another node.
            self.live.flushed().await;
        }
    }

    /// Somebody has failed at another node.
    pub(crate) fn count_failure(&self, name: &str, address: IpAddr) {
        self.throttle.count_failure(name, address, self.clock.now());
    }

    /// How busy the hasher is.
    pub(crate) fn hashing(&self) -> Passwords {
        self.passwords.clone()
    }

    /// Forgets failures of long ago.
    pub(crate) fn prune(&self) {
        self.throttle.prune(self.clock.now());
    }

    async fn authenticate(&self, credentials: Credentials) -> Result<Account> {
        // Else a flood of logins would queue for the database, only to find that there is no place to hash in.
        self.passwords.expect_room()?;
        let Credentials { username, password } = credentials;
        let mut account = self.account_named(&username).await?;
        if account.is_none() && self.registration == Registration::OnLogin {
            match self.create(Credentials { username: username.clone(), password: password.clone() }).await {
                // Somebody else made it at the same moment: then this is an ordinary login.
                Err(Error::UsernameTaken) => account = self.account_named(&username).await?,
                created => return created,
            }
        }
        let stored = account.as_ref().map(|account| account.password_hash.clone());
        let verdict = self.passwords.verify(password.clone(), stored).await?;
        match account.filter(|_| verdict.matches) {
            None => Err(Error::InvalidCredentials),
            Some(account) if account.disabled => Err(Error::AccountDisabled),
            Some(account) => Ok(self.renew_hash(account, password, verdict).await),
        }
    }

    /// Whether it is really the owner who holds the token.
    async fn confirm(&self, caller: &Claims, password: Candidate, visitor: &Visitor) -> Result<()> {
        let name = caller.username.folded();
        let attempt = self.attempt(&name, visitor).await?;
        let outcome = attempt.settle(self.is_password_of(caller, password).await);
        self.tell_failure(&outcome, &name, visitor).await;
        outcome
    }

    async fn is_password_of(&self, caller: &Claims, password: Candidate) -> Result<()> {
        self.passwords.expect_room()?;
        let account = users::account_named(&self.pool, &caller.username).await?;
        let stored = account.filter(|account| account.user.id == caller.user).map(|a| a.password_hash);
        let matches = self.passwords.verify(password, stored).await?.matches;
        if matches { Ok(()) } else { Err(Error::WrongPassword) }
    }

    async fn create(&self, credentials: Credentials) -> Result<Account> {
        let (username, password) = credentials.into_new()?;
        let hash = self.passwords.hash(password).await?;
        users::insert(&self.pool, &username, &hash, self.clock.now().wall).await
    }

    async fn account_named(&self, username: &str) -> Result<Option<Account>> {
        match Username::parse(username) {
            Ok(username) => users::account_named(&self.pool, &username).await,
            Err(_) => Ok(None),
        }
    }

    /// Stores the password under today's parameters. Best effort: the login goes on with the old hash if it fails.
    async fn renew_hash(&self, mut account: Account, password: Candidate, verdict: Verdict) -> Account {
        if verdict.outdated
            && let Ok(password) = Password::try_from(password)
            && let Ok(hash) = self.passwords.hash(password).await
            && let Ok(true) =
                users::upgrade_hash(&self.pool, account.user.id, &account.password_hash, &hash).await
        {
            account.password_hash = hash;
        }
        account
    }
}

impl Credentials {
    /// Held to the rules for a new account, each broken one told.
    fn into_new(self) -> Result<(Username, Password)> {
        let (username, password) = (Username::parse(&self.username), Password::try_from(self.password));
        let mut details = Vec::new();
        let mut broken = |field: &'static str, message: String| {
            details.push(FieldError { field: field.into(), message: message.into() });
        };
        if let Err(error) = &username {
            broken("username", error.to_string());
        }
        if let Err(error) = &password {
            broken("password", error.to_string());
        }
        match (username, password) {
            (Ok(username), Ok(password)) => Ok((username, password)),
            _ => {
                Err(Error::Validation { sentence: "The username or password cannot be used".into(), details })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(username: &str, password: &str) -> Vec<String> {
        let password = Candidate::parse(password).unwrap();
        let new = Credentials { username: username.into(), password }.into_new();
        new.map_or_else(|e| e.details().iter().map(|d| d.field.to_string()).collect(), |_| Vec::new())
    }

    #[test]
    fn a_new_account_hears_of_every_broken_rule() {
        assert!(fields("Ann", "12345678").is_empty());
        assert_eq!(fields("a", "12345678"), ["username"]);
        assert_eq!(fields("Ann", "1234567"), ["password"]);
        assert_eq!(fields("no spaces", ""), ["username", "password"]);
    }
}
