//! HTTP that no library would send: what the server makes of it, and that it never takes one request for two.

use super::Bystanders;
use crate::app::TestApp;
use test_kit::exchange;

/// What it is; the bytes; the answers, each a status and the code of a failure that is ours.
///
/// `HOST` and `END` stand for a good host line, and for that and the end of the head of a last request.
type Case = (&'static str, &'static str, &'static str);

const REQUEST_LINES: [Case; 38] = [
    ("a good request", "GET /health/live HTTP/1.1\r\nEND", "200"),
    ("no host", "GET /health/live HTTP/1.1\r\nConnection: close\r\n\r\n", "400 validation_failed"),
    ("no host in HTTP/1.0", "GET /health/live HTTP/1.0\r\n\r\n", "200"),
    ("two hosts", "GET /health/live HTTP/1.1\r\nHost: a\r\nEND", "400 validation_failed"),
    ("the same host twice", "GET /health/live HTTP/1.1\r\nHOSTEND", "400 validation_failed"),
    ("an empty host", "GET /health/live HTTP/1.1\r\nHost:\r\nConnection: close\r\n\r\n", "200"),
    (
        "a host with a space",
        "GET /health/live HTTP/1.1\r\nHost: a b\r\nConnection: close\r\n\r\n",
        "400 validation_failed",
    ),
    (
        "a host with a path",
        "GET /health/live HTTP/1.1\r\nHost: a/b\r\nConnection: close\r\n\r\n",
        "400 validation_failed",
    ),
    (
        "a host of somebody else",
        "GET /health/live HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n",
        "200",
    ),
    ("an absolute URI", "GET http://evil.example/health/live HTTP/1.1\r\nEND", "200"),
    (
        "an absolute URI of another scheme",
        "GET gopher://evil.example/api/me HTTP/1.1\r\nEND",
        "401 unauthorized",
    ),
    (
        "an absolute URI with a password",
        "GET http://a:b@evil.example/api/me HTTP/1.1\r\nEND",
        "401 unauthorized",
    ),
    ("an authority", "GET evil.example:80 HTTP/1.1\r\nEND", "404 not_found"),
    ("CONNECT", "CONNECT evil.example:80 HTTP/1.1\r\nEND", "404 not_found"),
    ("CONNECT with a path", "CONNECT /api/me HTTP/1.1\r\nEND", "405 method_not_allowed"),
    ("OPTIONS *", "OPTIONS * HTTP/1.1\r\nEND", "200"),
    ("GET *", "GET * HTTP/1.1\r\nEND", "404 not_found"),
    ("TRACE", "TRACE /api/me HTTP/1.1\r\nX-Secret: echo\r\nEND", "405 method_not_allowed"),
    ("TRACK", "TRACK /api/me HTTP/1.1\r\nX-Secret: echo\r\nEND", "405 method_not_allowed"),
    ("HEAD of what wants a token", "HEAD /api/me HTTP/1.1\r\nEND", "401"),
    ("HEAD of a login", "HEAD /api/login HTTP/1.1\r\nEND", "405"),
    ("a method in lower case", "get /health/live HTTP/1.1\r\nEND", "405 method_not_allowed"),
    ("a method that is no token", "GE(T /health/live HTTP/1.1\r\nEND", "400"),
    ("a method that is empty", " /health/live HTTP/1.1\r\nEND", "400"),
    ("no URI", "GET HTTP/1.1\r\nEND", "400"),
    ("a URI with a space", "GET /health live HTTP/1.1\r\nEND", "400"),
    ("a URI that begins with no slash", "GET health/live HTTP/1.1\r\nEND", "400"),
    ("a URI with a backslash", "GET \\api\\me HTTP/1.1\r\nEND", "400"),
    ("a URI with a fragment", "GET /api/me#x HTTP/1.1\r\nEND", "401 unauthorized"),
    ("a URI with a NUL", "GET /api/\0me HTTP/1.1\r\nEND", "400"),
    ("a URI with raw UTF-8", "GET /api/m\u{e9} HTTP/1.1\r\nEND", "404 not_found"),
    ("HTTP/0.9", "GET /health/live\r\n\r\n", "400"),
    ("HTTP/1.2", "GET /health/live HTTP/1.2\r\nEND", "400"),
    ("HTTP/9.9", "GET /health/live HTTP/9.9\r\nEND", "400"),
    ("the preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", ""),
    ("a TLS hello", "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\u{1}\u{fc}\r\n\r\n", "400"),
    ("another protocol", "SSH-2.0-OpenSSH_9.9\r\n\r\n", "400"),
    ("a request split by CR", "GET /health/live HTTP/1.1\rEND", "400"),
];

const HEADERS: [Case; 36] = [
    ("a header without a colon", "GET /api/me HTTP/1.1\r\nnonsense\r\nEND", "400"),
    ("a header without a name", "GET /api/me HTTP/1.1\r\n: x\r\nEND", "400"),
    ("a space before the colon", "GET /api/me HTTP/1.1\r\nX-A : x\r\nEND", "400"),
    ("a space before the first header", "GET /api/me HTTP/1.1\r\n X-A: x\r\nEND", "400"),
    ("a folded header", "GET /api/me HTTP/1.1\r\nX-A: x\r\n y\r\nEND", "400"),
    ("a name that is no token", "GET /api/me HTTP/1.1\r\nX\u{e9}: x\r\nEND", "400"),
    ("a NUL in a value", "GET /api/me HTTP/1.1\r\nAuthorization: Bearer a\0b\r\nEND", "400"),
    ("a DEL in a value", "GET /api/me HTTP/1.1\r\nX-A: \u{7f}\r\nEND", "400"),
    ("a CR in a value", "GET /api/me HTTP/1.1\r\nX-A: x\ry\r\nEND", "400"),
    ("UTF-8 in a value", "GET /api/me HTTP/1.1\r\nX-A: \u{e9}\r\nEND", "401 unauthorized"),
    ("UTF-8 in a token", "GET /api/me HTTP/1.1\r\nAuthorization: Bearer \u{e9}\r\nEND", "401 unauthorized"),
    ("lines that end with LF", "GET /health/live HTTP/1.1\nHost: a\nConnection: close\n\n", "200"),
    (
        "two tokens",
        "GET /api/me HTTP/1.1\r\nAuthorization: Bearer a\r\nAuthorization: Bearer b\r\nEND",
        "401 unauthorized",
    ),
    (
        "a method override",
        "GET /health/live HTTP/1.1\r\nX-HTTP-Method-Override: DELETE\r\nX-Method-Override: DELETE\r\nX-HTTP-Method: DELETE\r\nEND",
        "200",
    ),
    (
        "a path override",
        "GET /health/live HTTP/1.1\r\nX-Original-URL: /api/me\r\nX-Rewrite-URL: /api/me\r\nEND",
        "200",
    ),
    (
        "a host override",
        "GET /health/live HTTP/1.1\r\nX-Forwarded-Host: evil\r\nForwarded: host=evil\r\nEND",
        "200",
    ),
    (
        "a condition",
        "GET /health/live HTTP/1.1\r\nIf-None-Match: *\r\nIf-Match: \"x\"\r\nIf-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT\r\nEND",
        "200",
    ),
    ("a range", "GET /health/live HTTP/1.1\r\nRange: bytes=0-0,9-8,-5\r\nEND", "200"),
    ("a range of a failure", "GET /nothing HTTP/1.1\r\nRange: bytes=0-0\r\nEND", "404 not_found"),
    ("no encoding accepted", "GET /health/live HTTP/1.1\r\nAccept-Encoding: *;q=0\r\nEND", "406"),
    (
        "an encoding out of nowhere",
        "GET /health/live HTTP/1.1\r\nAccept-Encoding: gzip;q=1e9,\u{e9},,;;q=\r\nEND",
        "200",
    ),
    ("a media type that is not had", "GET /health/live HTTP/1.1\r\nAccept: image/png\r\nEND", "200"),
    (
        "an upgrade to HTTP/2",
        "GET /health/live HTTP/1.1\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\nEND",
        "200",
    ),
    (
        "an upgrade where there is none",
        "GET /health/live HTTP/1.1\r\nUpgrade: websocket\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\nEND",
        "200",
    ),
    (
        "a connection of everything",
        "GET /health/live HTTP/1.1\r\nConnection: upgrade, host, content-length, x-request-id\r\nEND",
        "200",
    ),
    ("an id that would break the log", "GET /nothing HTTP/1.1\r\nX-Request-Id: a\"b\r\nEND", "404 not_found"),
    (
        "proxies without end",
        "GET /health/live HTTP/1.1\r\nX-Forwarded-For: ,,,,,,,;;;, 999.1.1.1, [::], ::1%eth0\r\nEND",
        "200",
    ),
    (
        "a preflight of nobody",
        "OPTIONS /api/me HTTP/1.1\r\nOrigin: null\r\nAccess-Control-Request-Method: \u{e9}\r\nEND",
        "200",
    ),
    ("OPTIONS that is no preflight", "OPTIONS /api/me HTTP/1.1\r\nEND", "200"),
    (
        "an origin that may not connect",
        "GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nOrigin: http://evil.example\r\nEND",
        "403 forbidden",
    ),
    (
        "another host as the page's own",
        "GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nOrigin: http://evil.example\r\nX-Forwarded-Host: evil.example\r\nEND",
        "403 forbidden",
    ),
    (
        "two origins",
        "GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nOrigin: http://evil.example\r\nOrigin: http://localhost:5173\r\nEND",
        "403 forbidden",
    ),
    (
        "expecting to be told to go on",
        "POST /api/login HTTP/1.1\r\nExpect: 100-continue\r\nContent-Type: application/json\r\nContent-Length: 2\r\nEND{}",
        "100, 400 validation_failed",
    ),
    (
        "expecting something else",
        "POST /api/login HTTP/1.1\r\nExpect: 200-ok\r\nContent-Type: application/json\r\nContent-Length: 2\r\nEND{}",
        "400 validation_failed",
    ),
    (
        "two media types",
        "POST /api/login HTTP/1.1\r\nContent-Type: text/plain\r\nContent-Type: application/json\r\nContent-Length: 2\r\nEND{}",
        "415 unsupported_media_type",
    ),
    (
        "three requests in one go",
        "GET /health/live HTTP/1.1\r\nHOST\r\nGET /nothing HTTP/1.1\r\nHOST\r\nGET /health/live HTTP/1.1\r\nEND",
        "200, 404 not_found, 200",
    ),
];

/// Whatever says twice, or wrongly, where a body ends. `HIDDEN` is a request that must never be answered.
const BODIES: [Case; 40] = [
    (
        "a length",
        "POST /api/login HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 2\r\nEND{}",
        "400 validation_failed",
    ),
    (
        "the same length twice",
        "POST /api/login HTTP/1.1\r\nContent-Length: 2\r\nContent-Length: 2\r\nEND{}HIDDEN",
        "415 unsupported_media_type",
    ),
    (
        "two lengths",
        "POST /api/login HTTP/1.1\r\nContent-Length: 2\r\nContent-Length: 3\r\nEND{}HIDDEN",
        "400",
    ),
    ("two lengths in a line", "POST /api/login HTTP/1.1\r\nContent-Length: 2, 3\r\nEND{}HIDDEN", "400"),
    ("one length twice in a line", "POST /api/login HTTP/1.1\r\nContent-Length: 2, 2\r\nEND{}HIDDEN", "400"),
    ("a length with a sign", "POST /api/login HTTP/1.1\r\nContent-Length: +2\r\nEND{}HIDDEN", "400"),
    ("a negative length", "POST /api/login HTTP/1.1\r\nContent-Length: -1\r\nEND{}HIDDEN", "400"),
    ("a length in hex", "POST /api/login HTTP/1.1\r\nContent-Length: 0x2\r\nEND{}HIDDEN", "400"),
    ("a length with a point", "POST /api/login HTTP/1.1\r\nContent-Length: 2.0\r\nEND{}HIDDEN", "400"),
    ("a length with a space", "POST /api/login HTTP/1.1\r\nContent-Length: 2 2\r\nEND{}HIDDEN", "400"),
    ("an empty length", "POST /api/login HTTP/1.1\r\nContent-Length:\r\nEND{}HIDDEN", "400"),
    (
        "a length beyond numbers",
        "POST /api/login HTTP/1.1\r\nContent-Length: 99999999999999999999\r\nEND{}HIDDEN",
        "400",
    ),
    (
        "the greatest length",
        "POST /api/login HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 18446744073709551615\r\nEND{}HIDDEN",
        "431",
    ),
    (
        "a length above the limit",
        "POST /api/login HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 16385\r\nEND{}HIDDEN",
        "413 payload_too_large",
    ),
    ("a length for a GET", "GET /health/live HTTP/1.1\r\nContent-Length: 2\r\nEND{}HIDDEN", "200"),
    (
        "a body that belongs to a GET",
        "GET /health/live HTTP/1.1\r\nHOSTContent-Length: 2\r\n\r\n{}GET /nothing HTTP/1.1\r\nEND",
        "200, 404 not_found",
    ),
    (
        "chunks",
        "POST /api/login HTTP/1.1\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\nEND2\r\n{}\r\n0\r\n\r\n",
        "400 validation_failed",
    ),
    (
        "chunks in capitals",
        "POST /api/login HTTP/1.1\r\nContent-Type: application/json\r\nTransfer-Encoding: CHUNKED\r\nEND2\r\n{}\r\n0\r\n\r\n",
        "400 validation_failed",
    ),
    (
        "chunks with trailers",
        "POST /api/login HTTP/1.1\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\nEND2\r\n{}\r\n0\r\nContent-Length: 9\r\nAuthorization: Bearer x\r\n\r\nHIDDEN",
        "400 validation_failed",
    ),
    (
        "length, then chunks",
        "POST /api/login HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\nEND0\r\n\r\nHIDDEN",
        "400 invalid_json",
    ),
    (
        "chunks, then length",
        "POST /api/login HTTP/1.1\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\nEND0\r\n\r\nHIDDEN",
        "400 invalid_json",
    ),
    (
        "a length that hides what chunks end",
        "POST /nothing HTTP/1.1\r\nHOSTContent-Length: 60\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nHIDDEN",
        "404 not_found",
    ),
    (
        "chunks twice",
        "POST /nothing HTTP/1.1\r\nTransfer-Encoding: chunked, chunked\r\nEND0\r\n\r\nHIDDEN",
        "400 validation_failed",
    ),
    (
        "chunks on two lines",
        "POST /nothing HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\nEND0\r\n\r\nHIDDEN",
        "400 validation_failed",
    ),
    (
        "chunks that are not last",
        "POST /nothing HTTP/1.1\r\nTransfer-Encoding: chunked, identity\r\nEND0\r\n\r\nHIDDEN",
        "400",
    ),
    ("identity", "POST /nothing HTTP/1.1\r\nTransfer-Encoding: identity\r\nEND{}HIDDEN", "400"),
    ("gzip alone", "POST /nothing HTTP/1.1\r\nTransfer-Encoding: gzip\r\nEND0\r\n\r\nHIDDEN", "400"),
    (
        "gzip, then chunks",
        "POST /nothing HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\nEND0\r\n\r\nHIDDEN",
        "400 validation_failed",
    ),
    ("nearly chunks", "POST /nothing HTTP/1.1\r\nTransfer-Encoding: xchunked\r\nEND0\r\n\r\nHIDDEN", "400"),
    (
        "a space before the colon of chunks",
        "POST /nothing HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding : chunked\r\nEND0\r\n\r\nHIDDEN",
        "400",
    ),
    (
        "a vertical tab before chunks",
        "POST /nothing HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding:\u{b}chunked\r\nEND0\r\n\r\nHIDDEN",
        "400",
    ),
    (
        "chunks on a folded line",
        "POST /nothing HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding:\r\n chunked\r\nEND0\r\n\r\nHIDDEN",
        "400",
    ),
    (
        "chunks in HTTP/1.0",
        "POST /nothing HTTP/1.0\r\nTransfer-Encoding: chunked\r\nEND0\r\n\r\nHIDDEN",
        "400",
    ),
    (
        "a chunk of no size",
        "POST /api/login HTTP/1.1\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\nEND\r\n{}\r\n0\r\n\r\nHIDDEN",
        "400 invalid_json",
    ),
    (
        "a chunk whose size is no number",
        "POST /api/login HTTP/1.1\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\nENDzz\r\n{}\r\n0\r\n\r\nHIDDEN",
        "400 invalid_json",
    ),
    (
        "a chunk of a negative size",
        "POST /api/login HTTP/1.1\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\nEND-2\r\n{}\r\n0\r\n\r\nHIDDEN",
        "400 invalid_json",
    ),
    (
        "a chunk beyond numbers",
        "POST /api/login HTTP/1.1\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\nENDfffffffffffffffff\r\n{}\r\n0\r\n\r\nHIDDEN",
        "400 invalid_json",
    ),
    (
        "a chunk whose line ends with LF",
        "POST /api/login HTTP/1.1\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\nEND2\n{}\r\n0\r\n\r\nHIDDEN",
        "400 invalid_json",
    ),
    (
        "a chunk longer than it says",
        "POST /api/login HTTP/1.1\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\nEND2\r\n{}{}\r\n0\r\n\r\nHIDDEN",
        "400 invalid_json",
    ),
    (
        "an encoding of the content",
        "POST /api/login HTTP/1.1\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\nEND{}",
        "400 validation_failed",
    ),
];

const HIDDEN: &str = "GET /health/hidden HTTP/1.1\r\nHost: hidden\r\n\r\n";

/// The status of each answer, and the code of each failure that is ours.
fn statuses(heard: &str) -> String {
    let one = |answer: &str| {
        let status = answer.split(' ').nth(1).and_then(|status| status.get(..3)).unwrap_or(answer);
        let code = answer.split_once(r#""code":""#).and_then(|(_, rest)| rest.split('"').next());
        code.map_or_else(|| status.to_owned(), |code| format!("{status} {code}"))
    };
    heard.split("HTTP/1.").skip(1).map(one).collect::<Vec<_>>().join(", ")
}

async fn try_all(cases: &[Case]) {
    let app = TestApp::start().await;
    let bystanders = Bystanders::arrive(&app).await;
    let host = format!("Host: {}\r\n", app.address);
    let end = format!("{host}Connection: close\r\n\r\n");
    let mut surprises = Vec::new();
    for (what, request, expected) in cases {
        let bytes = request.replace("HIDDEN", HIDDEN).replace("END", &end).replace("HOST", &host);
        let heard = exchange(app.address, bytes.as_bytes()).await;
        if statuses(&heard) != *expected {
            surprises.push(format!("{what}: expected {expected}, got {}", statuses(&heard)));
        }
        assert!(!heard.contains("echo") && !heard.contains("hidden"), "{what}: {heard}");
    }
    assert!(surprises.is_empty(), "{surprises:#?}");
    bystanders.are_undisturbed(&app).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_strange_request_line_is_answered_or_refused() {
    try_all(&REQUEST_LINES).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_strange_header_is_without_effect_or_refused() {
    try_all(&HEADERS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_whose_end_is_in_doubt_hides_no_second_request() {
    try_all(&BODIES).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_is_bounded_in_lines_and_bytes() {
    let app = TestApp::start().await;
    let bystanders = Bystanders::arrive(&app).await;
    let x = |kib: usize| "x".repeat(kib * 1024);
    let lines = |count: usize| (0..count).map(|n| format!("X-{n}: x\r\n")).collect::<Vec<_>>().concat();
    let end = "Host: a\r\nConnection: close\r\n\r\n";
    for (what, headers, expected) in [
        ("98 headers and two more", lines(98), "200"),
        ("99 headers and two more", lines(99), "431"),
        ("a header of 60 KiB", format!("X: {}\r\n", x(60)), "200"),
        ("a name of 60 KiB", format!("{}: x\r\n", x(60)), "200"),
        ("an id of 60 KiB", format!("X-Request-Id: {}\r\n", x(60)), "200"),
        ("60 KiB of proxies", format!("X-Forwarded-For: {}\r\n", "1.1.1.1,".repeat(7680)), "200"),
    ] {
        let request = format!("GET /health/live HTTP/1.1\r\n{headers}{end}");
        assert_eq!(statuses(&exchange(app.address, request.as_bytes()).await), expected, "{what}");
    }
    for (what, line, expected) in [
        ("a path of 60 KiB", format!("GET /{}", x(60)), "404 not_found"),
        ("a query of 60 KiB", format!("GET /health/live?{}", x(60)), "200"),
        ("a method of 60 KiB", format!("{} /", x(60)), "405 method_not_allowed"),
    ] {
        let request = format!("{line} HTTP/1.1\r\n{end}");
        assert_eq!(statuses(&exchange(app.address, request.as_bytes()).await), expected, "{what}");
    }
    // The server stops reading, so the answer may be lost on the way.
    for huge in [format!("GET /{}", x(1024)), format!("GET / HTTP/1.1\r\nX: {}", x(1024)), x(1024)] {
        let status = statuses(&exchange(app.address, huge.as_bytes()).await);
        assert!(["431", "414", "400", ""].contains(&status.as_str()), "{status}");
    }
    bystanders.are_undisturbed(&app).await;
}
