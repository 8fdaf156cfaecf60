//! Access tokens: short-lived JWTs, HS256 and nothing else (RFC 8725).

use crate::domain::ids::{SessionId, TokenId, UserId};
use crate::domain::time::Moment;
use crate::domain::username::Username;
use crate::error::{Error, Result};
use chrono::{DateTime, TimeDelta, Utc};
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, TokenData, Validation};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Both `iss` and `aud`: the server talks to itself.
const PARTY: &str = "video-call-server";
/// How far the clocks of two nodes may be apart.
const LEEWAY: TimeDelta = TimeDelta::seconds(5);
const INVALID: Error = Error::Unauthorized("The token is invalid");

/// What a valid access token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Claims {
    pub(crate) user: UserId,
    pub(crate) username: Username,
    pub(crate) session: SessionId,
    pub(crate) expires_at: DateTime<Utc>,
}

/// Signs and verifies access tokens.
///
/// A token names no key: verification tries the newest secret first and then each previous one. There are one to
/// three of them and a MAC costs a microsecond, while a `kid` would shut out tokens that another program made with
/// the same secret, and the wire contract promises none.
pub(crate) struct Tokens {
    signing: EncodingKey,
    verifying: Vec<DecodingKey>,
    validation: Validation,
    ttl: Duration,
}

#[derive(Serialize, Deserialize)]
struct WireClaims {
    iss: String,
    aud: String,
    sub: UserId,
    sid: SessionId,
    username: Username,
    jti: TokenId,
    iat: i64,
    nbf: i64,
    exp: i64,
}

impl Tokens {
    /// `previous` secrets verify and no longer sign.
    pub(crate) fn new(secret: &SecretString, previous: &[SecretString], ttl: Duration) -> Self {
        let bytes = |secret: &SecretString| DecodingKey::from_secret(secret.expose_secret().as_bytes());
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_issuer(&[PARTY]);
        validation.set_audience(&[PARTY]);
        validation.set_required_spec_claims(&["iss", "aud", "sub", "nbf", "exp"]);
        // Judged below, against our own clock.
        validation.validate_exp = false;
        validation.validate_nbf = false;
        Self {
            signing: EncodingKey::from_secret(secret.expose_secret().as_bytes()),
            verifying: std::iter::once(secret).chain(previous).map(bytes).collect(),
            validation,
            ttl,
        }
    }

    /// How long a token is valid.
    pub(crate) fn ttl(&self) -> Duration {
        self.ttl
    }

    pub(crate) fn sign(
        &self,
        user: UserId,
        username: &Username,
        session: SessionId,
        now: Moment,
    ) -> Result<String> {
        let issued = now.wall.timestamp();
        let claims = WireClaims {
            iss: PARTY.to_owned(),
            aud: PARTY.to_owned(),
            sub: user,
            sid: session,
            username: username.clone(),
            jti: TokenId::new(),
            iat: issued,
            nbf: issued,
            exp: issued.saturating_add_unsigned(self.ttl.as_secs()),
        };
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &self.signing).map_err(Error::internal)
    }

    /// Whether the token is ours and valid at `now`. Says nothing about its session: see
    /// [`Sessions::check`](super::sessions::Sessions::check).
    pub(crate) fn verify(&self, token: &str, now: Moment) -> Result<Claims> {
        let TokenData { header, claims } = self.decode(token)?;
        if header.crit.is_some() {
            // RFC 7515, 4.1.11: an extension that must be understood, and we understand none.
            return Err(INVALID);
        }
        let date = |seconds| DateTime::from_timestamp(seconds, 0).ok_or(INVALID);
        let (issued, not_before, expires_at) = (date(claims.iat)?, date(claims.nbf)?, date(claims.exp)?);
        if issued > now.wall + LEEWAY || not_before > now.wall + LEEWAY || expires_at <= issued {
            return Err(INVALID);
        }
        if expires_at <= now.wall - LEEWAY {
            return Err(Error::TokenExpired);
        }
        Ok(Claims { user: claims.sub, username: claims.username, session: claims.sid, expires_at })
    }

    fn decode(&self, token: &str) -> Result<TokenData<WireClaims>> {
        for key in &self.verifying {
            match jsonwebtoken::decode(token, key, &self.validation) {
                Ok(data) => return Ok(data),
                Err(error) if matches!(error.kind(), ErrorKind::InvalidSignature) => {}
                Err(_) => return Err(INVALID),
            }
        }
        Err(INVALID)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const SECRET: &str = "a secret of at least thirty-two bytes";

    fn now() -> Moment {
        Moment { wall: DateTime::from_timestamp(1_800_000_000, 0).unwrap(), mono: Duration::from_secs(9) }
    }

    fn later(seconds: i64) -> Moment {
        Moment { wall: now().wall + TimeDelta::seconds(seconds), ..now() }
    }

    fn tokens(secret: &str, previous: &[&str]) -> Tokens {
        let previous: Vec<SecretString> = previous.iter().map(|&s| s.into()).collect();
        Tokens::new(&secret.into(), &previous, Duration::from_hours(1))
    }

    fn ann() -> Username {
        Username::parse("Ann").unwrap()
    }

    /// The claims of a good token, to be spoilt one at a time.
    fn good() -> Value {
        let at = now().wall.timestamp();
        json!({
            "iss": "video-call-server", "aud": "video-call-server", "username": "Ann",
            "sub": UserId::new(), "sid": SessionId::new(), "jti": TokenId::new(),
            "iat": at, "nbf": at, "exp": at + 3600,
        })
    }

    fn signed(header: &Header, claims: &Value) -> String {
        jsonwebtoken::encode(header, claims, &EncodingKey::from_secret(SECRET.as_bytes())).unwrap()
    }

    fn refused(token: &str) -> &'static str {
        tokens(SECRET, &[]).verify(token, now()).unwrap_err().code()
    }

    #[test]
    fn what_was_signed_is_verified() {
        let tokens = tokens(SECRET, &[]);
        let (user, session) = (UserId::new(), SessionId::new());
        let token = tokens.sign(user, &ann(), session, now()).unwrap();
        let claims = tokens.verify(&token, later(3599)).unwrap();
        let expires_at = later(3600).wall;
        assert_eq!(claims, Claims { user, username: ann(), session, expires_at });
    }

    #[test]
    fn a_token_made_elsewhere_with_the_same_secret_is_good() {
        let token = signed(&Header { kid: Some("theirs".into()), ..Header::default() }, &good());
        assert!(tokens(SECRET, &[]).verify(&token, now()).is_ok());
    }

    #[test]
    fn a_token_expires_with_five_seconds_of_leeway_either_way() {
        let tokens = tokens(SECRET, &[]);
        let token = tokens.sign(UserId::new(), &ann(), SessionId::new(), now()).unwrap();
        assert!(tokens.verify(&token, later(3604)).is_ok());
        assert_eq!(tokens.verify(&token, later(3605)).unwrap_err().code(), "token_expired");
        assert!(tokens.verify(&token, later(-5)).is_ok());
        assert_eq!(tokens.verify(&token, later(-6)).unwrap_err().code(), "unauthorized");
    }

    #[test]
    fn a_previous_secret_verifies_until_it_is_dropped() {
        let old = tokens("the secret of last year, also 32 bytes", &[]);
        let token = old.sign(UserId::new(), &ann(), SessionId::new(), now()).unwrap();
        let rotated = tokens(SECRET, &["another one", "the secret of last year, also 32 bytes"]);
        assert!(rotated.verify(&token, now()).is_ok());
        let new = rotated.sign(UserId::new(), &ann(), SessionId::new(), now()).unwrap();
        assert_eq!(old.verify(&new, now()).unwrap_err().code(), "unauthorized");
        assert_eq!(refused(&token), "unauthorized");
    }

    #[test]
    fn each_claim_is_required() {
        for claim in ["iss", "aud", "sub", "sid", "username", "jti", "iat", "nbf", "exp"] {
            for spoil in [true, false] {
                let mut claims = good();
                if spoil {
                    claims[claim] = Value::Null;
                } else {
                    claims.as_object_mut().unwrap().remove(claim);
                }
                assert_eq!(refused(&signed(&Header::default(), &claims)), "unauthorized", "{claim}");
            }
        }
    }

    #[test]
    fn a_claim_of_the_wrong_shape_is_refused() {
        let at = now().wall.timestamp();
        for (claim, value) in [
            ("iss", json!("somebody-else")),
            ("iss", json!(["video-call-server"])),
            ("aud", json!("somebody-else")),
            ("aud", json!(["video-call-server", "somebody-else"])),
            ("sub", json!("ann")),
            ("sub", json!(7)),
            ("sid", json!("not-a-session")),
            ("username", json!("no spaces allowed")),
            ("jti", json!("")),
            ("iat", json!(at + 6)),
            ("nbf", json!(at + 6)),
            ("nbf", json!("soon")),
            ("exp", json!("tomorrow")),
            ("exp", json!(i64::MAX)),
            ("exp", json!(at)),
            ("exp", json!(-1)),
        ] {
            let mut claims = good();
            claims[claim] = value.clone();
            assert_eq!(refused(&signed(&Header::default(), &claims)), "unauthorized", "{claim} {value}");
        }
    }

    #[test]
    fn only_hs256_is_believed() {
        for alg in [Algorithm::HS384, Algorithm::HS512] {
            assert_eq!(refused(&signed(&Header::new(alg), &good())), "unauthorized");
        }
        let good = signed(&Header::default(), &good());
        let rest = good.split_once('.').unwrap().1;
        let payload = rest.split_once('.').unwrap().0;
        // {"alg":"none"}, {"typ":"JWT","alg":"RS256"}
        for header in ["eyJhbGciOiJub25lIn0", "eyJ0eXAiOiJKV1QiLCJhbGciOiJSUzI1NiJ9"] {
            assert_eq!(refused(&format!("{header}.{rest}")), "unauthorized");
            assert_eq!(refused(&format!("{header}.{payload}.")), "unauthorized");
        }
    }

    #[test]
    fn an_extension_that_must_be_understood_is_refused() {
        let header = Header { crit: Some(vec!["exp".into()]), ..Header::default() };
        assert_eq!(refused(&signed(&header, &good())), "unauthorized");
    }

    #[test]
    fn a_broken_token_is_refused() {
        let good = signed(&Header::default(), &good());
        let (head, signature) = good.rsplit_once('.').unwrap();
        let flipped = if signature.starts_with('A') { "B" } else { "A" };
        for token in [
            String::new(),
            "..".into(),
            "a.b.c".into(),
            "\0".into(),
            head.into(),
            format!("{head}."),
            format!("{head}.{}", &signature[1..]),
            format!("{head}.{flipped}{}", &signature[1..]),
            format!("{good}."),
            format!("{good}=="),
            format!(" {good}"),
            format!("Bearer {good}"),
            "🦀".repeat(9),
        ] {
            assert_eq!(refused(&token), "unauthorized", "{token:?}");
        }
        assert!(tokens(SECRET, &[]).verify(&good, now()).is_ok());
    }
}
