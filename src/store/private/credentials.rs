//! How to log in to the private PostgreSQL: kept in one file, the URL that also `psql` takes.

use super::error::{During, PrivateError};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret, SecretString};
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// The role we log in as, and the database it owns.
pub(super) const NAME: &str = "video_call";

/// A password and a port on the loopback interface.
#[derive(Debug)]
pub(super) struct Credentials {
    pub(super) password: SecretString,
    pub(super) port: u16,
}

impl Credentials {
    /// A new password: 32 random bytes, in letters that need no quoting in SQL or escaping in a URL. No port yet.
    pub(super) fn generate() -> Result<Self, PrivateError> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes)?;
        Ok(Self { password: URL_SAFE_NO_PAD.encode(bytes).into(), port: 0 })
    }

    /// What [`Self::save`] wrote; none if the file is gone or not ours.
    pub(super) fn load(file: &Path) -> Option<Self> {
        let url = fs::read_to_string(file).ok()?;
        let (user, place) = url.trim().strip_prefix("postgres://")?.split_once('@')?;
        let password = user.strip_prefix(NAME)?.strip_prefix(':')?;
        let port = place.strip_prefix("127.0.0.1:")?.split('/').next()?.parse().ok()?;
        let ours = password.len() > 40
            && password.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
        ours.then(|| Self { password: password.into(), port })
    }

    /// Writes the URL for its owner's eyes only, and all at once.
    pub(super) fn save(&self, file: &Path) -> Result<(), PrivateError> {
        let fresh = file.with_extension("new");
        let write = || -> io::Result<()> {
            // One that a kill left behind could have another mode.
            fs::remove_file(&fresh).or_else(|error| if_absent(error, ()))?;
            let mut out = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
            writeln!(out, "{}", self.url().expose_secret())?;
            out.sync_all()?;
            fs::rename(&fresh, file)
        };
        write().during("write", file)
    }

    /// The URL of the application's database. Loopback needs no TLS, and a client must not insist on it.
    pub(super) fn url(&self) -> SecretString {
        let Self { password, port } = self;
        format!("postgres://{NAME}:{}@127.0.0.1:{port}/{NAME}?sslmode=disable", password.expose_secret())
            .into()
    }

    /// Keeps the port if it is free, else takes another. Returns whether it changed.
    pub(super) fn take_free_port(&mut self) -> io::Result<bool> {
        if self.port != 0 && port_is_free(self.port) {
            return Ok(false);
        }
        self.port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        Ok(true)
    }
}

/// Whether PostgreSQL could listen there.
pub(super) fn port_is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// `value` if the error is that something is not there.
pub(super) fn if_absent<T>(error: io::Error, value: T) -> io::Result<T> {
    if error.kind() == io::ErrorKind::NotFound { Ok(value) } else { Err(error) }
}

#[cfg(test)]
mod tests {
    use super::Credentials;
    use secrecy::ExposeSecret;
    use std::net::TcpListener;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn what_is_saved_is_loaded_and_only_its_owner_may_read_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("url");
        std::fs::write(file.with_extension("new"), "left behind by a kill").unwrap();
        let saved = Credentials { port: 5433, ..Credentials::generate().unwrap() };
        saved.save(&file).unwrap();
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(Credentials::load(&file).unwrap().url().expose_secret(), saved.url().expose_secret());
    }

    #[test]
    fn a_file_that_is_not_ours_is_not_loaded() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("url");
        assert!(Credentials::load(&file).is_none());
        std::fs::write(&file, "postgres://video_call:'; drop table users@127.0.0.1:5433/video_call").unwrap();
        assert!(Credentials::load(&file).is_none());
    }

    #[test]
    fn a_port_that_is_taken_is_changed() {
        let other = TcpListener::bind("127.0.0.1:0").unwrap();
        let taken = other.local_addr().unwrap().port();
        let mut credentials = Credentials { port: taken, ..Credentials::generate().unwrap() };
        assert!(credentials.take_free_port().unwrap());
        assert_ne!(credentials.port, taken);
        assert!(!credentials.take_free_port().unwrap());
    }
}
