//! Tokens that are wrong, at every door where a token is shown: REST, the handshake, `join` and `authenticate`.

use super::Bystanders;
use crate::app::TestApp;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use sha2::{Sha256, Sha384, Sha512};
use test_kit::{Account, Client, Transport};
use video_call_server::config::Config;

/// What it is, the token, and the code.
type Case = (String, String, &'static str);

/// A token of ours, taken apart.
struct Good {
    token: String,
    header: Value,
    claims: Value,
}

impl Good {
    fn of(account: &Account) -> Self {
        let part = |index: usize| {
            let text = account.token.split('.').nth(index).unwrap();
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).unwrap()).unwrap()
        };
        Self { token: account.token.clone(), header: part(0), claims: part(1) }
    }

    /// Signed anew with one header field changed; null removes it.
    fn with_header(&self, field: &str, value: Value) -> String {
        sign(&changed(&self.header, field, value), &self.claims)
    }

    fn with_claim(&self, claim: &str, value: Value) -> String {
        sign(&self.header, &changed(&self.claims, claim, value))
    }

    fn without_claim(&self, claim: &str) -> String {
        let mut claims = self.claims.clone();
        claims.as_object_mut().unwrap().remove(claim).unwrap();
        sign(&self.header, &claims)
    }

    fn parts(&self) -> [&str; 3] {
        self.token.split('.').collect::<Vec<_>>().try_into().unwrap()
    }
}

fn changed(object: &Value, field: &str, value: Value) -> Value {
    let mut object = object.clone();
    object[field] = value;
    object
}

fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// With our own secret, whatever the header says.
fn sign(header: &Value, claims: &Value) -> String {
    sign_text(&header.to_string(), &claims.to_string())
}

fn sign_text(header: &str, claims: &str) -> String {
    let message = format!("{}.{}", encode(header), encode(claims));
    let mut mac = Hmac::<Sha256>::new_from_slice(secret().as_bytes()).unwrap();
    mac.update(message.as_bytes());
    format!("{message}.{}", encode(mac.finalize().into_bytes()))
}

fn secret() -> String {
    Config::for_tests().jwt_secret.expose_secret().to_owned()
}

/// Not shaped as a token of ours, or not signed by us.
fn forged(good: &Good) -> Vec<Case> {
    let [head, body, signature] = good.parts();
    let message = format!("{head}.{body}");
    let none = |alg: &str| encode(json!({"typ": "JWT", "alg": alg}).to_string());
    let flipped = if signature.starts_with('A') { "B" } else { "A" };
    let mac = |key: &[u8]| {
        let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
        mac.update(message.as_bytes());
        encode(mac.finalize().into_bytes())
    };
    let raw = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let admin = encode(changed(&good.claims, "username", json!("carol")).to_string());
    [
        ("nothing", String::new()),
        ("dots", "..".into()),
        ("no parts", "token".into()),
        ("one part", head.into()),
        ("two parts", message.clone()),
        ("four parts", format!("{}.{signature}", good.token)),
        ("a dot more", format!("{}.", good.token)),
        ("a dot before", format!(".{}", good.token)),
        ("an empty header", format!(".{body}.{signature}")),
        ("an empty payload", format!("{head}..{signature}")),
        ("an empty signature", format!("{message}.")),
        ("a signature cut short", format!("{message}.{}", &signature[..42])),
        ("half a signature", format!("{message}.{}", encode(&raw[..16]))),
        ("a signature and more", format!("{message}.{}", encode([raw.as_slice(), &[0]].concat()))),
        ("a signature of zeros", format!("{message}.{}", encode([0; 32]))),
        ("another signature", format!("{message}.{flipped}{}", &signature[1..])),
        (
            "a signature in hex",
            format!("{message}.{}", raw.iter().map(|b| format!("{b:02x}")).collect::<Vec<_>>().concat()),
        ),
        ("a signature with padding", format!("{}=", good.token)),
        ("a signature in the other alphabet", format!("{message}.{}", STANDARD.encode([0xfb; 32]))),
        ("a header with padding", format!("{head}==.{body}.{signature}")),
        ("a payload that is no base64", format!("{head}.{body}!.{signature}")),
        ("a payload of somebody else", format!("{head}.{admin}.{signature}")),
        ("the parts turned round", format!("{body}.{head}.{signature}")),
        ("a key that is empty", format!("{message}.{}", mac(b""))),
        ("a key that is guessed", format!("{message}.{}", mac(b"secret"))),
        ("a key with a byte more", format!("{message}.{}", mac(format!("{}\0\0x", secret()).as_bytes()))),
        ("no algorithm", format!("{}.{body}.", none("none"))),
        ("no algorithm, in capitals", format!("{}.{body}.", none("NONE"))),
        ("no algorithm, in between", format!("{}.{body}.", none("nOnE"))),
        ("no algorithm, and a signature", format!("{}.{body}.{signature}", none("none"))),
        ("in lower case", good.token.to_lowercase()),
        ("a scheme in it", format!("Bearer {}", good.token)),
        ("two tokens", format!("{0} {0}", good.token)),
        ("two tokens with a comma", format!("{0},{0}", good.token)),
        ("quotes", format!("\"{}\"", good.token)),
        ("a token of encryption", format!("{}.a.b.c.d", encode(r#"{"alg":"dir","enc":"A256GCM"}"#))),
        ("9 KiB of nothing", "a".repeat(9 * 1024)),
        ("9 KiB of dots", ".".repeat(9 * 1024)),
        ("9 KiB of payload", format!("{head}.{}.{signature}", encode(vec![b' '; 7 * 1024]))),
    ]
    .map(|(what, token)| (what.to_owned(), token, "unauthorized"))
    .into()
}

/// Signed with our secret, and still wrong in the header.
fn of_another_kind(good: &Good) -> Vec<Case> {
    let body = good.parts()[1];
    let signed = |alg: &str, mac: fn(&[u8], &[u8]) -> Vec<u8>| {
        let message = format!("{}.{body}", encode(json!({"typ": "JWT", "alg": alg}).to_string()));
        let signature = mac(secret().as_bytes(), message.as_bytes());
        format!("{message}.{}", encode(signature))
    };
    let header = |name: &str, text: &str| {
        let claims = good.claims.to_string();
        (name.to_owned(), sign_text(text, &claims), "unauthorized")
    };
    let algorithm = |alg: &str| (format!("alg {alg}"), good.with_header("alg", json!(alg)), "unauthorized");
    let mut cases: Vec<Case> = vec![
        (
            "HS384".into(),
            signed("HS384", |k, m| {
                Hmac::<Sha384>::new_from_slice(k).unwrap().chain_update(m).finalize().into_bytes().to_vec()
            }),
            "unauthorized",
        ),
        (
            "HS512".into(),
            signed("HS512", |k, m| {
                Hmac::<Sha512>::new_from_slice(k).unwrap().chain_update(m).finalize().into_bytes().to_vec()
            }),
            "unauthorized",
        ),
        header("no alg", r#"{"typ":"JWT"}"#),
        header("alg null", r#"{"typ":"JWT","alg":null}"#),
        header("alg a number", r#"{"typ":"JWT","alg":256}"#),
        header("alg a list", r#"{"typ":"JWT","alg":["HS256"]}"#),
        header("alg twice", r#"{"alg":"HS256","alg":"none"}"#),
        header("a header that is a list", r#"["JWT","HS256"]"#),
        header("a header that is no JSON", "HS256"),
        header("a header that is empty", ""),
        header("an extension that must be understood", r#"{"alg":"HS256","crit":["b64"],"b64":false}"#),
        header("an empty list of extensions", r#"{"alg":"HS256","crit":[]}"#),
    ];
    let others = [
        "RS256", "RS512", "PS256", "ES256", "EdDSA", "HS384", "HS512", "none", "None", "hs256", "HS256 ", "",
    ];
    cases.extend(others.map(algorithm));
    cases
}

/// Signed with our secret, and wrong in what it says.
fn of_other_claims(good: &Good, bob: &Good) -> Vec<Case> {
    let now = good.claims["iat"].as_i64().unwrap();
    let claim = |name: &str, value: Value, code: &'static str| {
        (format!("{name} {value}"), good.with_claim(name, value), code)
    };
    let mut cases = Vec::new();
    for name in ["iss", "aud", "sub", "sid", "username", "jti", "iat", "nbf", "exp"] {
        cases.push((format!("no {name}"), good.without_claim(name), "unauthorized"));
        for value in [json!(null), json!(true), json!({}), json!([]), json!([good.claims[name]])] {
            // RFC 7519, 4.1.3: an audience may be a list, but ours never is.
            cases.push(claim(name, value, "unauthorized"));
        }
    }
    for name in ["iat", "nbf", "exp"] {
        for value in [
            json!("soon"),
            json!(now.to_string()),
            json!(1e300),
            json!(i64::MAX),
            json!(i64::MIN),
            json!(u64::MAX),
        ] {
            cases.push(claim(name, value, "unauthorized"));
        }
    }
    cases.extend([
        claim("iss", json!("somebody-else"), "unauthorized"),
        claim("iss", json!("video-call-server "), "unauthorized"),
        claim("iss", json!(""), "unauthorized"),
        claim("aud", json!("somebody-else"), "unauthorized"),
        claim("aud", json!(["video-call-server", "somebody-else"]), "unauthorized"),
        claim("sub", json!("alice"), "unauthorized"),
        claim("sub", json!(1), "unauthorized"),
        claim("sub", json!(""), "unauthorized"),
        claim("sub", json!("00000000-0000-0000-0000-00000000000"), "unauthorized"),
        claim("sub", json!("' or true --"), "unauthorized"),
        claim("sid", json!("1"), "unauthorized"),
        claim("jti", json!(""), "unauthorized"),
        claim("username", json!("no spaces allowed"), "unauthorized"),
        claim("username", json!("al\u{0}ice"), "unauthorized"),
        claim("username", json!("x".repeat(33)), "unauthorized"),
        claim("iat", json!(now + 600), "unauthorized"),
        claim("nbf", json!(now + 600), "unauthorized"),
        claim("exp", json!(now), "unauthorized"),
        claim("exp", json!(0), "unauthorized"),
        ("expired".into(), expired(good, now), "token_expired"),
        claim("sid", json!("00000000-0000-7000-8000-000000000001"), "session_revoked"),
        claim("sub", json!("00000000-0000-7000-8000-000000000001"), "session_revoked"),
        (
            "the session of another".into(),
            good.with_claim("sid", bob.claims["sid"].clone()),
            "session_revoked",
        ),
        ("the user of another".into(), good.with_claim("sub", bob.claims["sub"].clone()), "session_revoked"),
        ("claims that are a list".into(), sign(&good.header, &json!([good.claims])), "unauthorized"),
        ("claims that are a string".into(), sign(&good.header, &json!("alice")), "unauthorized"),
        ("claims that are no JSON".into(), sign_text(&good.header.to_string(), "{"), "unauthorized"),
        ("claims that are nothing".into(), sign_text(&good.header.to_string(), ""), "unauthorized"),
    ]);
    let twice = good.claims.to_string().replacen('{', r#"{"sub":"00000000-0000-7000-8000-000000000001","#, 1);
    cases.push(("sub twice".into(), sign_text(&good.header.to_string(), &twice), "unauthorized"));
    cases
}

fn expired(good: &Good, now: i64) -> String {
    let claims = changed(&changed(&good.claims, "iat", json!(now - 7200)), "nbf", json!(now - 7200));
    sign(&good.header, &changed(&claims, "exp", json!(now - 3600)))
}

/// Shows every token at every door. Each door answers alike.
async fn try_all(cases: impl Fn(&Good, &Good) -> Vec<Case>) {
    let app = TestApp::start().await;
    let (alice, bob) = (app.register("alice").await, app.register("bob").await);
    let device = Client::joined(&app, &app.log_in("alice").await).await;
    let bystanders = Bystanders::arrive(&app).await;
    let mut surprises = Vec::new();
    for (what, token, expected) in cases(&Good::of(&alice), &Good::of(&bob)) {
        // A socket keeps to its session, live or not.
        let at_authenticate = if expected == "session_revoked" { "identity_mismatch" } else { expected };
        let rest = app.get("/api/me").bearer(&token).send().await.outcome();
        let doors = [
            ("REST", format!("{} {}", rest.0, rest.1), format!("401 {expected}")),
            ("the handshake", at_the_handshake(&app, &json!(token)).await, expected.to_owned()),
            ("join", at_join(&app, &alice, &json!(token)).await, expected.to_owned()),
            (
                "authenticate",
                device.refused("authenticate", &json!({"token": token})).await,
                at_authenticate.to_owned(),
            ),
        ];
        surprises.extend(
            doors.into_iter().filter(|(_, got, expected)| got != expected).map(|door| (what.clone(), door)),
        );
    }
    assert!(surprises.is_empty(), "{surprises:#?}");
    device.silence().await;
    bystanders.are_undisturbed(&app).await;
    app.get("/api/me").bearer(&alice.token).send().await.ok();
}

async fn at_the_handshake(app: &TestApp, token: &Value) -> String {
    let client = Client::open(app.address, Transport::WebSocket).await;
    client.connect(&json!({"token": token})).await.err().unwrap_or_else(|| "let in".to_owned())
}

async fn at_join(app: &TestApp, account: &Account, token: &Value) -> String {
    let client = Client::open(app.address, Transport::WebSocket).await;
    client.connect(&Value::Null).await.unwrap();
    let join = json!({"id": account.id, "username": account.username, "token": token});
    client.refused("join", &join).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_we_did_not_sign_opens_no_door() {
    try_all(|good, _| forged(good)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_another_algorithm_opens_no_door_though_the_secret_is_ours() {
    try_all(|good, _| of_another_kind(good)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_whose_claims_are_not_ours_opens_no_door() {
    try_all(of_other_claims).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_string_is_a_token() {
    let app = TestApp::start().await;
    let alice = app.register("alice").await;
    let device = Client::joined(&app, &alice).await;
    let bystanders = Bystanders::arrive(&app).await;
    let token = alice.token.as_str();
    let others =
        [json!(7), json!(true), json!([token]), json!({"token": token}), json!({"length": 3, "0": "a"})];
    for other in others {
        assert_eq!(at_the_handshake(&app, &other).await, "unauthorized", "{other}");
        assert_eq!(at_join(&app, &alice, &other).await, "validation_failed", "{other}");
        assert_eq!(
            device.refused("authenticate", &json!({"token": other})).await,
            "validation_failed",
            "{other}"
        );
    }
    // What no header can hold.
    for other in [
        format!("{token}\0"),
        format!("\0{token}"),
        format!(" {token}"),
        format!("{token}\n"),
        format!("\u{feff}{token}"),
        "🦀".repeat(99),
    ] {
        let other = json!(other);
        assert_eq!(at_the_handshake(&app, &other).await, "unauthorized", "{other}");
        assert_eq!(at_join(&app, &alice, &other).await, "unauthorized", "{other}");
        assert_eq!(device.refused("authenticate", &json!({"token": other})).await, "unauthorized", "{other}");
    }
    device.silence().await;
    bystanders.are_undisturbed(&app).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_id_that_points_anywhere_is_not_followed() {
    let app = TestApp::start().await;
    let good = Good::of(&app.register("alice").await);
    let bystanders = Bystanders::arrive(&app).await;
    for (field, value) in [
        ("kid", json!("../../../../dev/null")),
        ("kid", json!("x' union select 'secret")),
        ("kid", json!("/proc/self/environ|id")),
        ("jku", json!("http://127.0.0.1:1/jwks.json")),
        ("x5u", json!("http://127.0.0.1:1/cert.pem")),
        ("typ", json!("at+jwt")),
        ("cty", json!("JWT")),
    ] {
        // Ignored, as RFC 7515 has it: it is our secret that signed.
        let token = good.with_header(field, value.clone());
        app.get("/api/me").bearer(&token).send().await.ok();
        // And it is no help to anybody who has another.
        let [_, body, _] = good.parts();
        let message = format!("{}.{body}", token.split('.').next().unwrap());
        for key in [&b""[..], b"secret", b"\0"] {
            let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
            mac.update(message.as_bytes());
            let token = format!("{message}.{}", encode(mac.finalize().into_bytes()));
            let answer = app.get("/api/me").bearer(&token).send().await;
            assert_eq!(answer.outcome(), (401, "unauthorized".into()), "{field} {value}");
        }
    }
    bystanders.are_undisturbed(&app).await;
}
