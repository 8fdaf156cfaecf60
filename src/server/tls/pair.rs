//! A certificate and its key, from their files.

use super::expiry::end_of_validity;
use crate::config::{ConfigError, TlsFiles, shown_path};
use chrono::{DateTime, TimeDelta, Utc};
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{Error, ServerConfig};

const CERT: &str = "TLS_CERT";
const KEY: &str = "TLS_KEY";
/// A chain takes some kilobytes.
const MAX_BYTES: u64 = 1024 * 1024;

/// What new connections are to be shown.
pub(crate) struct Pair {
    pub(super) config: Arc<ServerConfig>,
    /// When the certificate expires, where that can be told.
    pub(crate) expires: Option<DateTime<Utc>>,
}

/// From here on a certificate that nobody has renewed is worth a word.
const EXPIRES_SOON: TimeDelta = TimeDelta::days(14);

impl Pair {
    /// What an operator should know of the certificate, if anything.
    pub(crate) fn note(&self, now: DateTime<Utc>) -> Option<String> {
        let expires = self.expires?;
        if expires <= now {
            return Some(format!("TLS_CERT expired at {expires}: clients refuse it"));
        }
        (expires - now <= EXPIRES_SOON).then(|| format!("TLS_CERT expires soon, at {expires}"))
    }
}

/// Reads both files and holds them against each other. An error is one line that names the file.
pub(crate) fn read_pair(files: &TlsFiles) -> Result<Pair, ConfigError> {
    let chain = chain(&files.cert)?;
    let expires = chain.first().and_then(|certificate| end_of_validity(certificate));
    let key = key(&files.key)?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| ConfigError::new(CERT, error.to_string()))?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| unusable(files, &error))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // Whoever comes back within hours skips the costly half of the handshake, and nothing is kept for it here.
    config.ticketer = ring::Ticketer::new().map_err(|error| ConfigError::new(CERT, error.to_string()))?;
    Ok(Pair { config: Arc::new(config), expires })
}

/// The certificate, and those that vouch for it.
fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, ConfigError> {
    let fails = |problem: &str| ConfigError::new(CERT, format!("{} {problem}", shown_path(path)));
    let text = read(path).map_err(|problem| fails(&problem))?;
    let chain = CertificateDer::pem_slice_iter(&text).collect::<Result<Vec<_>, _>>();
    match chain {
        Ok(chain) if !chain.is_empty() => Ok(chain),
        Ok(_) => Err(fails("holds no certificate (PEM is expected)")),
        Err(error) => Err(fails(&format!("is not good PEM: {error}"))),
    }
}

fn key(path: &Path) -> Result<PrivateKeyDer<'static>, ConfigError> {
    let fails = |problem: &str| ConfigError::new(KEY, format!("{} {problem}", shown_path(path)));
    let text = read(path).map_err(|problem| fails(&problem))?;
    PrivateKeyDer::from_pem_slice(&text).map_err(|_| {
        if String::from_utf8_lossy(&text).contains("ENCRYPTED") {
            return fails("is encrypted: store the key without a passphrase, readable by the server alone");
        }
        fails("holds no private key (PEM is expected: PKCS#8, PKCS#1 or SEC1)")
    })
}

/// rustls knows no files; its errors about the pair are about one of them.
fn unusable(files: &TlsFiles, error: &Error) -> ConfigError {
    let (cert, key) = (shown_path(&files.cert), shown_path(&files.key));
    if matches!(error, Error::InconsistentKeys(_)) {
        return ConfigError::new(KEY, format!("{key} is not the key of the first certificate in {cert}"));
    }
    if matches!(error, Error::InvalidCertificate(_)) {
        return ConfigError::new(CERT, format!("the first certificate in {cert} cannot be used: {error}"));
    }
    ConfigError::new(KEY, format!("{key} cannot be used: {error}"))
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let taken = File::open(path).and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes));
    match taken {
        Err(error) => Err(format!("cannot be read: {error}")),
        Ok(_) if bytes.len() as u64 > MAX_BYTES => Err("is too large for PEM".into()),
        Ok(_) => Ok(bytes),
    }
}
