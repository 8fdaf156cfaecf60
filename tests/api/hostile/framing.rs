//! Engine.IO and Socket.IO packets as no client of ours writes them, over both transports.

use super::Bystanders;
use crate::app::TestApp;
use serde_json::{Value, json};
use test_kit::client::End;
use test_kit::{Account, Client, Transport};
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

/// What becomes of the connection that brought a packet.
#[derive(Debug, Clone, Copy)]
enum Fate {
    Lives,
    Ends,
}
use Fate::{Ends, Lives};

/// What it is, the packet that somebody sends who has joined, and what becomes of a WebSocket; by long-polling, the status of the
/// POST and what becomes of the session.
const PACKETS: [(&str, &str, Fate, u16, Fate); 65] = [
    ("an empty event", "42", Ends, 200, Ends),
    ("an event cut short", "42[", Ends, 200, Ends),
    ("an event without a name", "42[]", Ends, 200, Ends),
    ("a number for a name", "42[7]", Ends, 200, Ends),
    ("null for a name", "42[null,{}]", Ends, 200, Ends),
    ("a list for a name", "42[[\"end_call\"],{}]", Ends, 200, Ends),
    ("an empty name", "42[\"\",{}]", Lives, 200, Lives),
    ("a name with an escape", "42[\"end\\u005fcall\",{}]", Ends, 200, Ends),
    ("a name with a NUL", "42[\"end_call\\u0000\",{}]", Ends, 200, Ends),
    ("an object for an event", "42{}", Ends, 200, Ends),
    ("a string for an event", "42\"end_call\"", Ends, 200, Ends),
    ("an event and something behind it", "42[\"end_call\",{}]x", Lives, 200, Lives),
    ("two events in a packet", "42[\"end_call\",{}][\"end_call\",{}]", Lives, 200, Lives),
    ("an event that is never closed", "42[\"end_call\",{\"callId\":", Ends, 200, Ends),
    ("a lone surrogate in a name", "42[\"\\ud800\",{}]", Ends, 200, Ends),
    ("the server's own event", "42[\"incoming_call\",{\"callId\":\"x\"}]", Lives, 200, Lives),
    ("a reserved event", "42[\"disconnecting\"]", Lives, 200, Lives),
    ("an ack id beyond 64 bits", "4299999999999999999999[\"end_call\",{}]", Lives, 200, Lives),
    ("the greatest ack id", "429223372036854775807[\"end_call\",{}]", Lives, 200, Lives),
    ("a negative ack id", "42-1[\"end_call\",{}]", Ends, 200, Ends),
    ("an ack id with a point", "421.5[\"end_call\",{}]", Ends, 200, Ends),
    ("an ack id and no event", "4212", Ends, 200, Ends),
    ("an event in another namespace", "42/other,[\"end_call\",{}]", Lives, 200, Lives),
    ("an event in the namespace by its name", "42/,[\"end_call\",{}]", Lives, 200, Lives),
    ("a namespace without an end", "42/[\"end_call\",{}]", Lives, 200, Lives),
    ("a namespace with a query", "42/?token=x,[\"end_call\",{}]", Lives, 200, Lives),
    ("an ack nobody waits for", "430[]", Lives, 200, Lives),
    ("an ack of an event of ours", "431[{\"ok\":true}]", Lives, 200, Lives),
    ("an ack without an id", "43[]", Ends, 200, Ends),
    ("an ack beyond 64 bits", "4399999999999999999999[]", Ends, 200, Ends),
    ("a connect error from a client", "44{\"message\":\"x\"}", Ends, 200, Ends),
    ("a connect error without a message", "44", Ends, 200, Ends),
    ("a second CONNECT", "40", Lives, 200, Lives),
    ("a second CONNECT with a token", "40{\"token\":\"x\"}", Lives, 200, Lives),
    ("a CONNECT of broken JSON", "40{", Lives, 200, Lives),
    ("a CONNECT to another namespace", "40/other,", Lives, 200, Lives),
    ("a CONNECT to a path", "40/../admin,{}", Lives, 200, Lives),
    ("a disconnect from another namespace", "41/other,", Lives, 200, Lives),
    ("an attachment", "451-[\"end_call\",{\"_placeholder\":true,\"num\":0}]", Ends, 200, Ends),
    ("no attachments", "450-[\"end_call\",{}]", Lives, 200, Lives),
    ("attachments without a number", "45-[\"x\"]", Ends, 200, Ends),
    ("attachments without a dash", "451[\"x\"]", Ends, 200, Ends),
    ("attachments beyond numbers", "4599999999999999999999-[\"x\"]", Ends, 200, Ends),
    ("a billion attachments", "451000000000-[\"x\"]", Ends, 200, Ends),
    ("a negative number of attachments", "45-1-[\"x\"]", Ends, 200, Ends),
    ("an ack with an attachment", "461-1[{\"_placeholder\":true,\"num\":0}]", Ends, 200, Ends),
    (
        "a placeholder and no attachment",
        "42[\"end_call\",{\"callId\":{\"_placeholder\":true,\"num\":0}}]",
        Lives,
        200,
        Lives,
    ),
    ("a placeholder for a payload", "42[\"end_call\",{\"_placeholder\":true,\"num\":-1}]", Lives, 200, Lives),
    ("an unknown packet", "47[]", Ends, 200, Ends),
    ("a message of nothing", "4", Ends, 200, Ends),
    ("a message that is no packet", "4hello", Ends, 200, Ends),
    ("a message in another script", "4\u{e9}\u{e9}", Ends, 200, Ends),
    ("an unknown frame", "9", Ends, 400, Ends),
    ("a frame of nothing", "", Ends, 200, Lives),
    ("a frame in another script", "\u{e9}abcd", Ends, 400, Ends),
    ("hello", "hello", Ends, 400, Ends),
    ("an open packet from a client", "0{\"sid\":\"x\"}", Ends, 400, Ends),
    ("a close packet", "1", Ends, 200, Ends),
    ("a ping from a client", "2", Lives, 200, Lives),
    ("a pong nobody asked for", "3", Lives, 200, Lives),
    ("a probe outside an upgrade", "2probe", Ends, 400, Lives),
    ("an answer to no probe", "3probe", Ends, 400, Lives),
    ("an upgrade of what is upgraded", "5", Ends, 400, Lives),
    ("a noop", "6", Ends, 400, Lives),
    ("binary as text", "bAAAA", Ends, 200, Ends),
];

/// Sends each packet from a device of its own.
async fn try_all(transport: Transport) {
    let app = TestApp::start().await;
    let (alice, bob) = app.pair().await;
    let eve = app.register("eve").await;
    let bystanders = Bystanders::arrive(&app).await;
    for (what, packet, over_websocket, status, by_polling) in PACKETS {
        let client = Client::joined_by(&app, &eve, transport).await;
        if transport == Transport::WebSocket {
            client.raw(packet);
            meets(&client, over_websocket, what).await;
        } else {
            let path = format!("/socket.io/?EIO=4&transport=polling&sid={}", client.session());
            assert_eq!(app.post(&path).body(packet).send().await.status, status, "{what}: {packet}");
            meets(&client, by_polling, what).await;
        }
        gone(&app, &eve, client).await;
    }
    alice.silence().await;
    bob.silence().await;
    bystanders.are_undisturbed(&app).await;
}

async fn meets(client: &Client, fate: Fate, what: &str) {
    match fate {
        // What ends a connection may let an event through that was right behind.
        Lives => assert!(client.answers().await && client.answers().await, "{what} ends the connection"),
        Ends => assert_eq!(client.ended().await, End::Close, "{what}"),
    }
}

/// Waits until the client is gone, so that no more than a few devices of one user are ever there.
async fn gone(app: &TestApp, account: &Account, client: Client) {
    client.leave().await;
    let is_here = async || {
        let user = app.get("/api/me").bearer(&account.token).send().await.ok();
        user["isOnline"] == json!(true)
    };
    while is_here().await {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_packet_that_cannot_be_read_ends_its_own_websocket_at_most() {
    try_all(Transport::WebSocket).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_packet_that_cannot_be_read_ends_its_own_polling_session_at_most() {
    try_all(Transport::Polling).await;
}

/// What it is, and what a connection sends that has opened no namespace.
const BEFORE_CONNECT: [(&str, &str, Fate); 10] = [
    ("an event", "42[\"ping\"]", Ends),
    ("an event with an ack", "420[\"call_user\",{}]", Ends),
    ("a disconnect", "41", Ends),
    ("an ack", "430[]", Ends),
    ("an event of another namespace", "42/other,[\"ping\"]", Lives),
    ("a CONNECT to another namespace", "40/other,", Lives),
    ("a CONNECT to a namespace without an end", "40/other", Lives),
    ("an attachment", "451-[\"x\"]", Ends),
    ("a frame of nothing", "", Ends),
    ("a noop", "6", Ends),
];

#[tokio::test(flavor = "multi_thread")]
async fn before_a_connect_nothing_is_served() {
    let app = TestApp::start().await;
    let eve = app.register("eve").await;
    let bystanders = Bystanders::arrive(&app).await;
    for (what, packet, fate) in BEFORE_CONNECT {
        let client = Client::open(app.address, Transport::WebSocket).await;
        client.raw(packet);
        match fate {
            Ends => assert_eq!(client.ended().await, End::Close, "{what}"),
            Lives => {
                // The answer to a CONNECT elsewhere may come first.
                let token = json!({"token": eve.token});
                while client.connect(&token).await == Err("Invalid namespace".to_owned()) {}
                assert!(client.answers().await, "{what}");
            }
        }
    }
    bystanders.are_undisturbed(&app).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_large_is_read_up_to_64_kib_and_not_beyond() {
    let app = TestApp::start().await;
    let eve = app.register("eve").await;
    let bystanders = Bystanders::arrive(&app).await;
    let x = |kib: usize| "x".repeat(kib * 1024);
    for transport in [Transport::WebSocket, Transport::Polling] {
        for (what, packet, fate) in [
            ("a namespace of 50 KiB", format!("42/{},[\"ping\"]", x(50)), Lives),
            ("a namespace of 50 KiB without an end", format!("42/{}", x(50)), Lives),
            ("an event's name of 50 KiB", format!("42[\"{}\",{{}}]", x(50)), Lives),
            ("a payload of 50 KiB", format!("42[\"end_call\",\"{}\"]", x(50)), Lives),
            ("25,000 arguments", format!("42[\"end_call\"{}]", ",1".repeat(25_000)), Lives),
            (
                "a depth of 30,000",
                format!("42[\"end_call\",{}{}]", "[".repeat(30_000), "]".repeat(30_000)),
                Lives,
            ),
            ("a depth of 30,000, never closed", format!("42[\"end_call\",{}", "[".repeat(30_000)), Ends),
            ("an ack id of 50,000 digits", format!("42{}[\"ping\"]", "9".repeat(50_000)), Lives),
            ("70 KiB", format!("42[\"ping\",\"{}\"]", x(70)), Ends),
        ] {
            let client = Client::joined_by(&app, &eve, transport).await;
            client.raw(&packet);
            meets(&client, fate, &format!("{what}, {transport:?}")).await;
            gone(&app, &eve, client).await;
        }
    }
    bystanders.are_undisturbed(&app).await;
}

/// Method, query, body; status. `SID` stands for a session of alice's by long-polling.
const REQUESTS: [(&str, &str, &str, u16); 38] = [
    ("GET", "", "", 400),
    ("GET", "EIO=4", "", 400),
    ("GET", "transport=polling", "", 400),
    ("GET", "EIO=2&transport=polling", "", 400),
    ("GET", "EIO=3&transport=polling", "", 400),
    ("GET", "EIO=3&transport=websocket", "", 400),
    ("GET", "EIO=5&transport=polling", "", 400),
    ("GET", "EIO=&transport=polling", "", 400),
    ("GET", "EIO=four&transport=polling", "", 400),
    ("GET", "eio=4&transport=polling", "", 400),
    ("GET", "EIO=4&transport=", "", 400),
    ("GET", "EIO=4&transport=webtransport", "", 400),
    ("GET", "EIO=4&transport=flashsocket", "", 400),
    ("GET", "EIO=4&transport=Polling", "", 400),
    ("POST", "EIO=4&transport=polling", "40", 400),
    ("PUT", "EIO=4&transport=polling", "40", 400),
    ("DELETE", "EIO=4&transport=polling&sid=SID", "", 400),
    ("PUT", "EIO=4&transport=polling&sid=SID", "1", 400),
    ("HEAD", "EIO=4&transport=polling&sid=SID", "", 400),
    ("GET", "EIO=4&transport=polling&sid=", "", 400),
    ("GET", "EIO=4&transport=polling&sid=x", "", 400),
    ("GET", "EIO=4&transport=polling&sid=AAAAAAAAAAAAAAAA", "", 400),
    ("GET", "EIO=4&transport=polling&sid=AAAAAAAAAAAAAAA%00", "", 400),
    ("GET", "EIO=4&transport=polling&sid=../../../../etc/", "", 400),
    ("GET", "EIO=4&transport=polling&sid=x&sid=SID", "", 400),
    ("POST", "EIO=4&transport=polling&sid=AAAAAAAAAAAAAAAA", "1", 400),
    ("POST", "EIO=4&transport=polling&sid=", "40", 400),
    ("POST", "EIO=4&transport=websocket&sid=SID", "1", 400),
    ("GET", "EIO=4&transport=websocket", "", 400),
    ("GET", "EIO=4&transport=websocket&sid=x", "", 400),
    ("GET", "EIO=4&transport=polling&EIO=3&sid=x", "", 400),
    ("GET", "EIO%3d4&transport=polling", "", 400),
    ("GET", "%45IO=4&transport=polling", "", 400),
    ("GET", "EIO=4;transport=polling", "", 400),
    ("GET", "EIO=4&transport[]=polling", "", 400),
    ("GET", "EIO=4&transport=polling%00", "", 400),
    ("PATCH", "EIO=4&transport=polling&sid=SID", "1", 400),
    ("TRACE", "EIO=4&transport=polling&sid=SID", "", 400),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_no_handshake_and_no_poll_is_refused() {
    let app = TestApp::start().await;
    let account = app.register("alice").await;
    let alice = Client::joined_by(&app, &account, Transport::Polling).await;
    let bystanders = Bystanders::arrive(&app).await;
    let mut surprises = Vec::new();
    for (method, query, body, status) in REQUESTS {
        let path = format!("/socket.io/?{}", query.replace("SID", &alice.session()));
        let answer = app.ask(method, &path).body(body).send().await;
        if answer.status != status {
            surprises.push(format!("{method} {query}: {} {}", answer.status, answer.text));
        }
    }
    assert!(surprises.is_empty(), "{surprises:#?}");
    for path in ["/socket.io", "/socket.iox/?EIO=4&transport=polling", "/engine.io/?EIO=4&transport=polling"]
    {
        let status = app.get(path).send().await.status;
        assert!([400, 404].contains(&status), "{path}: {status}");
    }
    alice.silence().await;
    bystanders.are_undisturbed(&app).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_that_is_none_is_not_opened() {
    let app = TestApp::start().await;
    let bystanders = Bystanders::arrive(&app).await;
    let url = format!("ws://{}/socket.io/?EIO=4&transport=websocket", app.address);
    for (header, value) in
        [("origin", "http://evil.example"), ("origin", "null"), ("origin", ""), ("host", "a b")]
    {
        let mut request = url.as_str().into_client_request().unwrap();
        request.headers_mut().insert(header, value.parse().unwrap());
        assert!(connect_async(request).await.is_err(), "{header}: {value}");
    }
    for query in ["EIO=3&transport=websocket", "EIO=4&transport=polling", "EIO=4&transport=websocket&sid=x"] {
        let url = format!("ws://{}/socket.io/?{query}", app.address);
        assert!(connect_async(url).await.is_err(), "{query}");
    }
    bystanders.are_undisturbed(&app).await;
}

/// One session, two who poll it: the library ends the session, and nobody else's.
#[tokio::test(flavor = "multi_thread")]
async fn who_polls_twice_at_once_loses_the_session() {
    let app = TestApp::start().await;
    let account = app.register("alice").await;
    let alice = Client::joined_by(&app, &account, Transport::Polling).await;
    let bystanders = Bystanders::arrive(&app).await;
    let path = format!("/socket.io/?EIO=4&transport=polling&sid={}", alice.session());
    // The first may come between two polls of hers.
    while app.get(&path).send().await.status == 200 {}
    assert_eq!(alice.ended().await, End::Close);
    bystanders.are_undisturbed(&app).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_auth_of_a_connect_that_says_nothing_lets_in_nobody() {
    let app = TestApp::start().await;
    let alice = app.register("alice").await;
    let bystanders = Bystanders::arrive(&app).await;
    for auth in [
        "",
        "{}",
        "{\"token\":null}",
        "[]",
        "null",
        "7",
        "\"x\"",
        "{\"Token\":\"x\"}",
        "{\"auth\":{\"token\":\"x\"}}",
        "{",
    ] {
        let guest = Client::open(app.address, Transport::WebSocket).await;
        guest.connect_raw(auth).await.unwrap();
        let join = json!({"id": alice.id, "username": alice.username});
        assert_eq!(guest.refused("join", &join).await, "unauthorized", "{auth}");
    }
    let online: Value = app.get("/api/online-users").bearer(&alice.token).send().await.ok();
    assert_eq!(online.as_array().unwrap().len(), 2, "the two bystanders");
    bystanders.are_undisturbed(&app).await;
}
