//! Whether docs/asyncapi.json speaks of the events there are: no fewer, and no others. tests/deploy holds their payloads against it.

use super::inbound::{Authenticate, CallUser, IceCandidate, Join, OfCall, WatchUsers};
use super::outbound::{dial_status, wire_code};
use crate::domain::message::DialStatus;
use crate::error::Error;
use crate::telemetry::metrics::SocketEvent;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeSet;
use std::time::Duration;

fn document() -> Value {
    serde_json::from_str(include_str!("../../docs/asyncapi.json")).unwrap()
}

/// The names of the events that the server receives, or sends.
fn events(document: &Value, action: &str) -> BTreeSet<String> {
    let operations = document["operations"].as_object().unwrap().values();
    operations
        .filter(|operation| operation["action"] == action)
        .map(|operation| {
            let message = operation["messages"][0]["$ref"].as_str().unwrap();
            let key = message.strip_prefix("#/channels/events/messages/").unwrap();
            document["components"]["messages"][key]["name"].as_str().unwrap().to_owned()
        })
        .collect()
}

/// The literals that follow `start` in a source, wherever the line is broken.
fn literals(source: &str, start: &str) -> BTreeSet<String> {
    let after = source.split(start).skip(1).filter_map(|rest| rest.trim_start().strip_prefix('"'));
    after.map(|rest| rest.split('"').next().unwrap().to_owned()).collect()
}

fn texts(value: &Value) -> BTreeSet<&str> {
    value.as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect()
}

#[test]
fn every_event_that_is_sent_is_described_and_no_other() {
    let sent = literals(include_str!("outbound.rs"), "socket.emit(");
    assert_eq!(events(&document(), "send"), sent);
}

#[test]
fn every_event_that_is_taken_is_described_and_no_other() {
    let known = SocketEvent::ALL.into_iter().filter(|event| *event != SocketEvent::Unknown);
    let taken = known.map(|event| event.as_str().to_owned()).collect();
    assert_eq!(events(&document(), "receive"), taken);
}

fn read<'a, T: Deserialize<'a>>(text: &'a str) {
    serde_json::from_str::<T>(text).map(drop).unwrap();
}

#[test]
fn an_example_of_what_is_taken_can_be_read() {
    let document = document();
    let example = |event: &str| {
        document["components"]["messages"][format!("client.{event}")]["examples"][0]["payload"].to_string()
    };
    read::<Join>(&example("join"));
    read::<CallUser>(&example("call_user"));
    read::<IceCandidate>(&example("ice_candidate"));
    read::<WatchUsers>(&example("watch_users"));
    read::<Authenticate>(&example("authenticate"));
    read::<OfCall>(&example("end_call"));
}

/// Whether a socket can be told of it.
fn is_told_on_sockets(error: &Error) -> bool {
    match error {
        Error::Validation { .. }
        | Error::Unauthorized(_)
        | Error::TokenExpired
        | Error::SessionRevoked
        | Error::NotFound(_)
        | Error::PayloadTooLarge(_)
        | Error::RateLimited { .. }
        | Error::Unavailable { .. }
        | Error::Internal(_)
        | Error::IdentityMismatch
        | Error::NotJoined
        | Error::InvalidState(_)
        | Error::SelfCall
        | Error::UnknownEvent => true,
        Error::InvalidJson
        | Error::InvalidCredentials
        | Error::Forbidden(_)
        | Error::RegistrationClosed
        | Error::AccountDisabled
        | Error::WrongPassword
        | Error::MethodNotAllowed
        | Error::UsernameTaken
        | Error::UnsupportedMediaType => false,
    }
}

#[test]
fn the_codes_are_those_of_the_errors() {
    let document = document();
    let described = texts(&document["components"]["schemas"]["Code"]["enum"]);
    let errors = [
        Error::field("ids", "is missing"),
        Error::Unauthorized(""),
        Error::TokenExpired,
        Error::SessionRevoked,
        Error::NotFound(""),
        Error::PayloadTooLarge(""),
        Error::RateLimited { retry_after: Duration::ZERO },
        Error::unavailable(),
        Error::internal(""),
        Error::IdentityMismatch,
        Error::NotJoined,
        Error::InvalidState(""),
        Error::SelfCall,
        Error::UnknownEvent,
    ];
    assert!(errors.iter().all(is_told_on_sockets));
    assert_eq!(described, errors.iter().map(wire_code).collect());
}

#[test]
fn the_words_for_what_became_of_a_call_are_those_that_are_sent() {
    let document = document();
    let statuses = [DialStatus::Ringing, DialStatus::UserOffline, DialStatus::UserBusy, DialStatus::Glare];
    let described = texts(&document["components"]["schemas"]["DialStatus"]["enum"]);
    assert_eq!(described, statuses.into_iter().map(dial_status).collect());
    let notices =
        include_str!("outbound.rs").split("fn end_notice(").nth(1).unwrap().split("\n}").next().unwrap();
    let sent = literals(notices, " => ");
    assert_eq!(
        texts(&document["components"]["schemas"]["EndNotice"]["enum"]),
        sent.iter().map(String::as_str).collect()
    );
}
