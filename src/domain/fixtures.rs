//! What the tests of the rules are made of.

use super::ids::UserId;
use super::media::{Candidate, Description, SdpType};
use super::message::Party;
use super::username::Username;
use serde_json::json;
use serde_json::value::to_raw_value;

pub(crate) fn party(name: &str) -> Party {
    Party { id: UserId::new(), username: Username::parse(name).unwrap() }
}

pub(crate) fn offer() -> Description {
    let raw = to_raw_value(&json!({ "type": "offer", "sdp": "v=0" })).unwrap();
    Description::parse(&raw, &[SdpType::Offer]).unwrap()
}

pub(crate) fn answer() -> Description {
    let raw = to_raw_value(&json!({ "type": "answer", "sdp": "v=0" })).unwrap();
    Description::parse(&raw, &[SdpType::Answer]).unwrap()
}

pub(crate) fn candidate(n: usize) -> Candidate {
    let raw = to_raw_value(&json!({ "candidate": n.to_string() })).unwrap();
    Candidate::parse(&raw).unwrap()
}
