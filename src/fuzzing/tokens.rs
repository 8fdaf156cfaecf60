//! What must hold for any access token.

use crate::auth::token::{Claims, Tokens};
use crate::domain::time::Moment;
use crate::error::Error;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::DateTime;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Map, Value};
use sha2::Sha256;
use std::time::Duration;

/// The seeds of `fuzz/corpus/token_verification` are of this secret and this time.
const SECRET: &str = "a secret of at least thirty-two bytes";
const NOW: i64 = 1_800_000_000;
const LEEWAY: i64 = 5;

pub(super) fn verify(text: &str) -> bool {
    let token = match text.split_once('\n') {
        Some((header, claims)) => signed(header, claims),
        None => text.to_owned(),
    };
    let tokens = Tokens::new(&SECRET.into(), &[], Duration::from_hours(1));
    let now = Moment { wall: DateTime::from_timestamp(NOW, 0).unwrap_or_default(), mono: Duration::ZERO };
    match tokens.verify(&token, now) {
        Ok(claims) => {
            assert!(is_ours(&token), "not signed by us: {token}");
            assert!(holds(&token, &claims), "{claims:?} from {token}");
            true
        }
        Err(error) => {
            let expected = matches!(error, Error::Unauthorized(_) | Error::TokenExpired);
            assert!(expected, "{error:?} for {token}");
            false
        }
    }
}

fn signed(header: &str, claims: &str) -> String {
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let signature = mac(&message).unwrap_or_default();
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn mac(message: &str) -> Option<Vec<u8>> {
    let mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).ok()?;
    Some(mac.chain_update(message).finalize().into_bytes().to_vec())
}

/// Whether the last of exactly three parts is the MAC of the others.
fn is_ours(token: &str) -> bool {
    let Some((message, signature)) = token.rsplit_once('.') else { return false };
    message.matches('.').count() == 1 && URL_SAFE_NO_PAD.decode(signature).ok() == mac(message)
}

/// Whether the token says what was made of it, and all that it must say.
fn holds(token: &str, claims: &Claims) -> bool {
    let mut parts = token.split('.').map(object);
    let (Some(Some(header)), Some(Some(said))) = (parts.next(), parts.next()) else { return false };
    let text = |name: &str| said.get(name).and_then(Value::as_str).unwrap_or_default();
    let time = |name: &str| said.get(name).and_then(Value::as_i64);
    let id = |name: &str| uuid::Uuid::parse_str(text(name)).ok();
    let (Some(issued), Some(not_before), Some(expires)) = (time("iat"), time("nbf"), time("exp")) else {
        return false;
    };
    header.get("alg").and_then(Value::as_str) == Some("HS256")
        && header.get("crit").is_none_or(Value::is_null)
        && text("iss") == "video-call-server"
        && text("aud") == "video-call-server"
        && id("sub") == Some(claims.user.into())
        && id("sid") == Some(claims.session.into())
        && id("jti").is_some()
        && text("username").trim() == claims.username.as_str()
        && expires == claims.expires_at.timestamp()
        && issued.max(not_before) <= NOW + LEEWAY
        && expires > NOW - LEEWAY
        && expires > issued
}

fn object(part: &str) -> Option<Map<String, Value>> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
}
