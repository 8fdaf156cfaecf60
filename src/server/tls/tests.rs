//! Over real TLS on loopback, with certificates made for the occasion.

use super::*;
use crate::clock::Clock;
use crate::server::tests::{NEVER, Running, limits, run_with, within};
use crate::server::{Connection, Limits};
use axum::body::Body;
use axum::http::{Request, StatusCode};
use axum::routing::get;
use axum::{Extension, Router};
use hyper_util::rt::TokioIo;
use rcgen::{CertifiedKey, KeyPair};
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;
use std::{fs, io};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream as ClientStream;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion, crypto::ring};

const SOON: Duration = Duration::from_millis(100);
const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// A certificate and its key, in files of a folder of their own.
struct Files {
    folder: TempDir,
    files: TlsFiles,
}

impl Files {
    fn new(pair: &CertifiedKey<KeyPair>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let files = TlsFiles { cert: folder.path().join("cert.pem"), key: folder.path().join("key.pem") };
        write(&files, pair);
        Self { folder, files }
    }

    fn load(&self) -> Arc<Tls> {
        Tls::load(&self.files).unwrap()
    }

    fn error(&self) -> String {
        let error = Tls::load(&self.files).err().unwrap().to_string();
        assert!(!error.contains('\n') && !error.contains("BEGIN"), "{error}");
        error.replace(self.folder.path().to_str().unwrap(), "…")
    }
}

fn write(files: &TlsFiles, pair: &CertifiedKey<KeyPair>) {
    fs::write(&files.cert, pair.cert.pem()).unwrap();
    fs::write(&files.key, pair.signing_key.serialize_pem()).unwrap();
}

fn new_pair() -> CertifiedKey<KeyPair> {
    rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap()
}

async fn connect_as(
    server: &Running,
    trusted: &[&CertifiedKey<KeyPair>],
    versions: &[&'static SupportedProtocolVersion],
    protocols: &[&[u8]],
) -> io::Result<ClientStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    for pair in trusted {
        roots.add(pair.cert.der().clone()).unwrap();
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    let tcp = TcpStream::connect(server.address).await?;
    let name = ServerName::try_from("localhost").unwrap();
    within(TlsConnector::from(Arc::new(config)).connect(name, tcp)).await
}

async fn connect(server: &Running, trusted: &[&CertifiedKey<KeyPair>]) -> ClientStream<TcpStream> {
    connect_as(server, trusted, &[&TLS13, &TLS12], &[b"h2", b"http/1.1"]).await.unwrap()
}

fn shown(stream: &ClientStream<TcpStream>) -> CertificateDer<'static> {
    stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
}

/// Asks once, and takes the answer's first bytes.
async fn ask(stream: &mut ClientStream<TcpStream>) -> String {
    stream.write_all(GET).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"hello") {
        assert_ne!(within(stream.read_buf(&mut answer)).await.unwrap(), 0, "closed before the answer");
    }
    String::from_utf8(answer).unwrap()
}

async fn read_to_end(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> String {
    let mut all = Vec::new();
    let _ = within(stream.read_to_end(&mut all)).await;
    String::from_utf8_lossy(&all).into_owned()
}

fn hello() -> Router {
    Router::new().route("/", get(|| async { "hello" }))
}

fn run(tls: &Arc<Tls>, router: Router, limits: Limits) -> Running {
    run_with(Some(Arc::clone(tls)), router, limits, NEVER)
}

#[tokio::test]
async fn requests_are_answered_over_tls_of_both_versions_that_are_safe() {
    let pair = new_pair();
    let server = run(&Files::new(&pair).load(), hello(), limits());
    for version in [&TLS12, &TLS13] {
        let mut client = connect_as(&server, &[&pair], &[version], &[b"h2", b"http/1.1"]).await.unwrap();
        assert_eq!(client.get_ref().1.protocol_version(), Some(version.version));
        assert_eq!(client.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
        for _ in 0..2 {
            assert!(ask(&mut client).await.starts_with("HTTP/1.1 200"));
        }
    }
    let only_h2 = connect_as(&server, &[&pair], &[&TLS13], &[b"h2"]).await;
    assert!(only_h2.unwrap_err().to_string().contains("NoApplicationProtocol"));
}

#[tokio::test]
async fn a_handshake_that_stalls_is_cut_when_the_first_head_was_due() {
    let server = run(&Files::new(&new_pair()).load(), hello(), Limits { head_timeout: SOON, ..limits() });
    let mut silent = TcpStream::connect(server.address).await.unwrap();
    let mut half = TcpStream::connect(server.address).await.unwrap();
    half.write_all(&[HANDSHAKE, 3, 1, 2]).await.unwrap();
    assert_eq!(read_to_end(&mut silent).await, "");
    assert_eq!(read_to_end(&mut half).await, "");
}

#[tokio::test]
async fn the_first_head_is_due_from_the_connection_on_not_from_the_handshake() {
    let pair = new_pair();
    let server = run(&Files::new(&pair).load(), hello(), Limits { head_timeout: SOON, ..limits() });
    let mut client = connect(&server, &[&pair]).await;
    assert_eq!(read_to_end(&mut client).await, "");
}

#[tokio::test]
async fn a_stop_does_not_wait_for_handshakes() {
    let server = run(&Files::new(&new_pair()).load(), hello(), limits());
    let mut silent = TcpStream::connect(server.address).await.unwrap();
    let mut half = TcpStream::connect(server.address).await.unwrap();
    half.write_all(&[HANDSHAKE, 3, 1, 2]).await.unwrap();
    server.stop.cancel();
    assert_eq!(read_to_end(&mut silent).await, "");
    assert_eq!(read_to_end(&mut half).await, "");
    server.ends().await;
}

#[tokio::test]
async fn connections_are_counted_before_their_handshake() {
    let pair = new_pair();
    let server = run(&Files::new(&pair).load(), hello(), Limits { max_connections: 1, ..limits() });
    let silent = TcpStream::connect(server.address).await.unwrap();
    assert!(connect_as(&server, &[&pair], &[&TLS13], &[]).await.is_err());
    drop(silent);
    let taken = async {
        while connect_as(&server, &[&pair], &[&TLS13], &[]).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    within(taken).await;
}

#[tokio::test]
async fn who_speaks_plain_http_to_the_port_is_told_to_speak_tls() {
    let server = run(&Files::new(&new_pair()).load(), hello(), limits());
    let mut tcp = TcpStream::connect(server.address).await.unwrap();
    tcp.write_all(GET).await.unwrap();
    let answer = read_to_end(&mut tcp).await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 400 ") && head.contains(&format!("content-length: {}", body.len())));
    assert!(serde_json::from_str::<serde_json::Value>(body).unwrap()["code"] == "validation_failed");
}

#[tokio::test]
async fn closing_an_upgraded_connection_whose_peer_does_not_read_is_immediate_over_tls_too() {
    let (upgrades, mut upgraded) = mpsc::unbounded_channel();
    let handler = move |Extension(connection): Extension<Connection>, mut request: Request<Body>| async move {
        let upgrade = hyper::upgrade::on(&mut request);
        let writer = tokio::spawn(async move {
            let mut io = TokioIo::new(upgrade.await.unwrap());
            let chunk = vec![0; 64 * 1024];
            loop {
                if let Err(error) = io.write_all(&chunk).await {
                    break error;
                }
            }
        });
        upgrades.send((connection, writer)).unwrap();
        (StatusCode::SWITCHING_PROTOCOLS, [("upgrade", "websocket"), ("connection", "upgrade")])
    };
    let pair = new_pair();
    let server = run(&Files::new(&pair).load(), Router::new().route("/", get(handler)), limits());
    let mut client = connect(&server, &[&pair]).await;
    let upgrade = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    client.write_all(upgrade).await.unwrap();
    let (connection, writer) = within(upgraded.recv()).await.unwrap();
    tokio::time::sleep(SOON * 2).await;
    assert!(!writer.is_finished());
    connection.close();
    assert_eq!(within(writer).await.unwrap().kind(), io::ErrorKind::BrokenPipe);
    assert!(read_to_end(&mut client).await.starts_with("HTTP/1.1 101"));
}

/// Until new connections are shown `pair`.
async fn until_shown(server: &Running, trusted: &[&CertifiedKey<KeyPair>], pair: &CertifiedKey<KeyPair>) {
    within(async {
        while shown(&connect(server, trusted).await) != *pair.cert.der() {
            tokio::time::sleep(SOON / 10).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_new_pair_is_shown_to_new_connections_and_the_old_ones_go_on() {
    let [first, second, third] = [new_pair(), new_pair(), new_pair()];
    let all = [&first, &second, &third];
    let files = Files::new(&first);
    let tls = files.load();
    let following = tokio::spawn(Arc::clone(&tls).follow(Clock::machine()));
    let server = run(&tls, hello(), limits());
    let mut old = connect(&server, &all).await;
    assert_eq!(shown(&old), *first.cert.der());

    write(&files.files, &second);
    until_shown(&server, &all, &second).await;
    ask(&mut old).await;

    // As certbot has it: the names are links, which are set to other files.
    let elsewhere = Files::new(&third);
    replace_by_link(&files.files.cert, &elsewhere.files.cert);
    replace_by_link(&files.files.key, &elsewhere.files.key);
    until_shown(&server, &all, &third).await;
    ask(&mut old).await;
    following.abort();
}

fn replace_by_link(path: &Path, target: &Path) {
    let draft = path.with_extension("new");
    std::os::unix::fs::symlink(target, &draft).unwrap();
    fs::rename(draft, path).unwrap();
}

#[tokio::test]
async fn what_changed_before_anybody_looked_is_taken_up_too() {
    let [first, second] = [new_pair(), new_pair()];
    let files = Files::new(&first);
    let tls = files.load();
    write(&files.files, &second);
    let following = tokio::spawn(Arc::clone(&tls).follow(Clock::machine()));
    until_shown(&run(&tls, hello(), limits()), &[&first, &second], &second).await;
    following.abort();
}

#[tokio::test]
async fn a_bad_new_pair_is_not_used_and_a_good_one_after_it_is() {
    let [first, second] = [new_pair(), new_pair()];
    let files = Files::new(&first);
    let tls = files.load();
    let following = tokio::spawn(Arc::clone(&tls).follow(Clock::machine()));
    let server = run(&tls, hello(), limits());
    let before = Mutex::new(tls.current());
    fs::write(&files.files.key, second.signing_key.serialize_pem()).unwrap();
    // Many looks later.
    tokio::time::sleep(SOON * 3).await;
    assert!(Arc::ptr_eq(&before.lock().unwrap(), &tls.current()));
    assert_eq!(shown(&connect(&server, &[&first]).await), *first.cert.der());
    fs::remove_file(&files.files.cert).unwrap();
    tokio::time::sleep(SOON).await;
    assert_eq!(shown(&connect(&server, &[&first]).await), *first.cert.der());
    write(&files.files, &second);
    until_shown(&server, &[&first, &second], &second).await;
    following.abort();
}

#[test]
fn a_pair_that_cannot_be_used_is_one_line_that_names_the_file() {
    let (pair, other) = (new_pair(), new_pair());
    let files = Files::new(&pair);
    fs::write(&files.files.key, other.signing_key.serialize_pem()).unwrap();
    let mismatch = files.error();
    assert_eq!(mismatch, r#"TLS_KEY: "…/key.pem" is not the key of the first certificate in "…/cert.pem""#);
    fs::write(&files.files.key, pair.cert.pem()).unwrap();
    assert!(files.error().starts_with(r#"TLS_KEY: "…/key.pem" holds no private key (PEM is expected"#));
    fs::write(&files.files.key, "-----BEGIN ENCRYPTED PRIVATE KEY-----\n").unwrap();
    assert!(files.error().starts_with(r#"TLS_KEY: "…/key.pem" is encrypted"#));
    fs::remove_file(&files.files.key).unwrap();
    assert!(files.error().starts_with(r#"TLS_KEY: "…/key.pem" cannot be read: "#));

    write(&files.files, &pair);
    fs::write(&files.files.cert, pair.signing_key.serialize_pem()).unwrap();
    assert_eq!(files.error(), r#"TLS_CERT: "…/cert.pem" holds no certificate (PEM is expected)"#);
    fs::write(&files.files.cert, pair.cert.pem().replace('M', "%")).unwrap();
    assert!(files.error().starts_with(r#"TLS_CERT: "…/cert.pem" is not good PEM: "#));
    fs::write(&files.files.cert, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
    assert!(files.error().starts_with("TLS_CERT: the first certificate in "));
}

#[test]
fn an_expired_certificate_is_used_and_worth_a_word_as_is_one_that_soon_will_be() {
    let note = |day: u8| {
        let mut params = rcgen::CertificateParams::new(vec!["localhost".into()]).unwrap();
        params.not_after = rcgen::date_time_ymd(2030, 3, day);
        let key = KeyPair::generate().unwrap();
        let pair = CertifiedKey { cert: params.self_signed(&key).unwrap(), signing_key: key };
        let today = chrono::NaiveDate::from_ymd_opt(2030, 3, 10).unwrap();
        read_pair(&Files::new(&pair).files).unwrap().note(today.and_hms_opt(0, 0, 0).unwrap().and_utc())
    };
    assert_eq!(note(9).unwrap(), "TLS_CERT expired at 2030-03-09 00:00:00 UTC: clients refuse it");
    assert_eq!(note(24).unwrap(), "TLS_CERT expires soon, at 2030-03-24 00:00:00 UTC");
    assert_eq!(note(25), None);
}

#[test]
fn both_may_be_in_one_file() {
    let pair = new_pair();
    let files = Files::new(&pair);
    fs::write(&files.files.cert, pair.signing_key.serialize_pem() + &pair.cert.pem()).unwrap();
    let both = TlsFiles { cert: files.files.cert.clone(), key: files.files.cert.clone() };
    assert!(Tls::load(&both).is_ok());
}
