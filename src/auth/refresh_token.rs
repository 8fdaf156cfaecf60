//! Refresh tokens: a keyed MAC over session and generation, so that the database holds nothing that could be stolen,
//! and the same token can be made again for a client that lost the answer.

use crate::domain::ids::SessionId;
use crate::error::{Error, Result};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;
use uuid::Uuid;

/// Keeps these keys apart from the JWT's, which are the same secrets: no JWT signing input holds a space.
const PURPOSE: &[u8] = b"video-call-server refresh token v1";
const UNKNOWN: Error = Error::Unauthorized("The refresh token is invalid");

/// What a refresh token stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RefreshToken {
    pub(crate) session: SessionId,
    /// 1 at login, one more with each refresh; only the newest is live.
    pub(crate) generation: i32,
}

/// Seals and opens refresh tokens. The first key seals, every key opens.
pub(crate) struct RefreshKeys {
    newest: Hmac<Sha256>,
    previous: Vec<Hmac<Sha256>>,
}

impl RefreshKeys {
    pub(crate) fn new(secret: &SecretString, previous: &[SecretString]) -> Result<Self> {
        Ok(Self { newest: derive(secret)?, previous: previous.iter().map(derive).collect::<Result<_>>()? })
    }

    /// base64url of session (16 bytes), generation (4, big-endian), MAC (32).
    pub(crate) fn seal(&self, token: RefreshToken) -> String {
        let body = body(token);
        let mac = self.newest.clone().chain_update(body).finalize().into_bytes();
        URL_SAFE_NO_PAD.encode([body.as_slice(), mac.as_slice()].concat())
    }

    pub(crate) fn open(&self, text: &str) -> Result<RefreshToken> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| UNKNOWN)?;
        let (body, mac) = bytes.split_first_chunk::<20>().ok_or(UNKNOWN)?;
        let keys = std::iter::once(&self.newest).chain(&self.previous);
        // `verify_slice` compares in constant time.
        if !keys.into_iter().any(|key| key.clone().chain_update(body).verify_slice(mac).is_ok()) {
            return Err(UNKNOWN);
        }
        let (session, generation) = body.split_first_chunk::<16>().ok_or(UNKNOWN)?;
        let generation = i32::from_be_bytes(generation.try_into().map_err(|_| UNKNOWN)?);
        Ok(RefreshToken { session: Uuid::from_bytes(*session).into(), generation })
    }
}

fn derive(secret: &SecretString) -> Result<Hmac<Sha256>> {
    let keyed = |key: &[u8]| Hmac::<Sha256>::new_from_slice(key).map_err(Error::internal);
    let key = keyed(secret.expose_secret().as_bytes())?.chain_update(PURPOSE).finalize().into_bytes();
    keyed(&key)
}

fn body(token: RefreshToken) -> [u8; 20] {
    let mut body = [0; 20];
    let (session, generation) = body.split_at_mut(16);
    session.copy_from_slice(Uuid::from(token.session).as_bytes());
    generation.copy_from_slice(&token.generation.to_be_bytes());
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "a secret of at least thirty-two bytes";

    fn keys(secret: &str, previous: &[&str]) -> RefreshKeys {
        let previous: Vec<SecretString> = previous.iter().map(|&s| s.into()).collect();
        RefreshKeys::new(&secret.into(), &previous).unwrap()
    }

    fn token() -> RefreshToken {
        RefreshToken { session: SessionId::new(), generation: 70_000 }
    }

    #[test]
    fn what_was_sealed_opens_and_is_the_same_each_time() {
        let (keys, token) = (keys(SECRET, &[]), token());
        assert_eq!(keys.open(&keys.seal(token)).unwrap(), token);
        assert_eq!(keys.seal(token), keys.seal(token));
    }

    #[test]
    fn a_previous_secret_opens_until_it_is_dropped() {
        let token = token();
        let old = keys("last year", &[]).seal(token);
        assert_eq!(keys(SECRET, &["older", "last year"]).open(&old).unwrap(), token);
        assert_eq!(keys(SECRET, &[]).open(&old).unwrap_err().code(), "unauthorized");
    }

    #[test]
    fn any_changed_character_spoils_it() {
        let keys = keys(SECRET, &[]);
        let sealed = keys.seal(token());
        for at in 0..sealed.len() {
            let other = if &sealed[at..=at] == "A" { "B" } else { "A" };
            let spoilt = format!("{}{other}{}", &sealed[..at], &sealed[at + 1..]);
            assert_eq!(keys.open(&spoilt).unwrap_err().code(), "unauthorized", "{at}");
        }
    }

    #[test]
    fn a_token_of_another_length_or_alphabet_is_refused() {
        let keys = keys(SECRET, &[]);
        let sealed = keys.seal(token());
        let texts = [
            "",
            "a",
            "AAAA",
            "\0",
            "not base64!",
            &sealed[1..],
            &format!("{sealed}=="),
            &format!("{sealed}AAAA"),
        ];
        for text in texts {
            assert_eq!(keys.open(text).unwrap_err().code(), "unauthorized", "{text:?}");
        }
    }

    #[test]
    fn the_jwt_key_itself_seals_nothing() {
        let token = token();
        let mac =
            Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap().chain_update(body(token)).finalize();
        let forged = URL_SAFE_NO_PAD.encode([body(token).as_slice(), &mac.into_bytes()].concat());
        assert_eq!(keys(SECRET, &[]).open(&forged).unwrap_err().code(), "unauthorized");
    }
}
