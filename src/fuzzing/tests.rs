//! The corpora of `fuzz/` replayed, and random input made of them and of nothing.

use super::{event_payloads, forwarded_for, token_verification, usernames};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use std::fs;
use std::path::Path;

/// A folder of `fuzz/corpus`, and what its files are given to.
type Target = (&'static str, fn(&[u8]) -> bool);

const EVENTS: Target = ("event_payloads", event_payloads);
const TOKENS: Target = ("token_verification", token_verification);
const NAMES: Target = ("usernames", usernames);
const PROXIES: Target = ("forwarded_for", forwarded_for);

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    files.iter().map(|file| fs::read(file).unwrap()).collect()
}

#[test]
fn the_corpora_hold_and_are_neither_all_taken_nor_all_refused() {
    for (name, run) in [EVENTS, TOKENS, NAMES, PROXIES] {
        let seeds = corpus(name);
        let taken = seeds.iter().filter(|seed| run(seed)).count();
        assert!(taken > 0 && taken < seeds.len(), "{name}: {taken} of {} are taken", seeds.len());
    }
}

/// One thing done to an input.
#[derive(Debug, Clone)]
enum Change {
    Set(Index, u8),
    Insert(Index, Vec<u8>),
    Remove(Index, u8),
    Repeat(Index, u8),
    /// The rest of another seed.
    Splice(Index, Index),
}

fn change() -> impl Strategy<Value = Change> {
    let interesting = prop_oneof![any::<u8>(), prop::sample::select(b"\"\\{}[],:.\0\n =-0aA\xff".to_vec())];
    prop_oneof![
        (any::<Index>(), interesting.clone()).prop_map(|(at, byte)| Change::Set(at, byte)),
        (any::<Index>(), vec(interesting, 1..8)).prop_map(|(at, bytes)| Change::Insert(at, bytes)),
        (any::<Index>(), 1..32_u8).prop_map(|(at, count)| Change::Remove(at, count)),
        (any::<Index>(), any::<u8>()).prop_map(|(at, count)| Change::Repeat(at, count)),
        (any::<Index>(), any::<Index>()).prop_map(|(at, seed)| Change::Splice(at, seed)),
    ]
}

fn changed(mut input: Vec<u8>, change: &Change, seeds: &[Vec<u8>]) -> Vec<u8> {
    let length = input.len();
    let place = |at: &Index| at.index(length + 1);
    let end = |from: usize, count: u8| length.min(from + usize::from(count));
    match change {
        Change::Set(at, byte) => {
            if let Some(place) = input.get_mut(place(at)) {
                *place = *byte;
            }
        }
        Change::Insert(at, bytes) => {
            let at = place(at);
            input.splice(at..at, bytes.iter().copied());
        }
        Change::Remove(at, count) => {
            let at = place(at);
            input.drain(at..end(at, *count));
        }
        Change::Repeat(at, count) => {
            let at = place(at);
            let again = input[at..end(at, *count)].to_vec();
            input.splice(at..at, again);
        }
        Change::Splice(at, seed) => {
            let other = &seeds[seed.index(seeds.len())];
            input.truncate(place(at));
            input.extend(&other[at.index(other.len() + 1)..]);
        }
    }
    input
}

/// A seed with some changes.
fn mutated(name: &str) -> impl Strategy<Value = Vec<u8>> + use<> {
    let seeds = corpus(name);
    (prop::sample::select(seeds.clone()), vec(change(), 0..6)).prop_map(move |(seed, changes)| {
        changes.iter().fold(seed, |input, change| changed(input, change, &seeds))
    })
}

/// JSON of any shape, with the words that events are made of.
fn json() -> impl Strategy<Value = serde_json::Value> {
    let words = [
        "CALL",
        "00000000-0000-7000-8000-00000000000a",
        "00000000-0000-7000-8000-00000000000b",
        "00000000-0000-7000-8000-00000000000e",
        "video",
        "offer",
        "answer",
        "rollback",
        "v=0\r\n",
        "\0",
        "",
    ];
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        prop::sample::select(words.to_vec()).prop_map(Into::into),
        any::<String>().prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 24, 6, |inner| {
        prop_oneof![vec(inner.clone(), 0..4).prop_map(Into::into), object(inner)]
    })
}

fn object(value: impl Strategy<Value = serde_json::Value>) -> impl Strategy<Value = serde_json::Value> {
    let fields = [
        "to",
        "from",
        "id",
        "username",
        "callType",
        "offer",
        "answer",
        "description",
        "type",
        "sdp",
        "callId",
        "candidate",
        "audio",
        "video",
        "screen",
        "ids",
        "token",
        "presence",
        "resume",
        "__proto__",
    ];
    vec((prop::sample::select(fields.to_vec()), value), 0..6)
        .prop_map(|fields| fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

/// Devices that send events with any payload.
fn script() -> impl Strategy<Value = String> {
    let events = [
        "join",
        "call_user",
        "accept_call",
        "reject_call",
        "end_call",
        "ice_candidate",
        "renegotiate",
        "media_state",
        "watch_users",
        "authenticate",
        "ping",
    ];
    let step =
        (prop::sample::select(vec!['a', 'b', 'c', 'd']), prop::sample::select(events.to_vec()), json())
            .prop_map(|(device, event, payload)| format!("{device}[\"{event}\",{payload}]\n"));
    let dial = r#"a["call_user",{"to":"00000000-0000-7000-8000-00000000000b","callType":"video","offer":{"type":"offer","sdp":"v=0"}}]"#;
    vec(step, 1..12).prop_map(move |steps| format!("{dial}\n{}", steps.concat()))
}

// The number of cases is proptest's own: PROPTEST_CASES, 256 where it is not set.
proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_sent_the_parties_of_a_call_alone_hear_of_it(input in mutated(EVENTS.0), random in script()) {
        event_payloads(&input);
        event_payloads(random.as_bytes());
    }

    #[test]
    fn whatever_is_shown_a_token_is_ours_or_refused(input in mutated(TOKENS.0), random in any::<String>()) {
        token_verification(&input);
        token_verification(random.as_bytes());
    }

    #[test]
    fn whatever_is_typed_a_username_follows_the_rule_or_is_refused(
        input in mutated(NAMES.0),
        random in "[ -~]{1,40}",
        any in any::<Vec<u8>>(),
    ) {
        usernames(&input);
        usernames(random.as_bytes());
        usernames(&any);
    }

    #[test]
    fn whatever_is_forwarded_nobody_chooses_an_address(
        input in mutated(PROXIES.0),
        peer in any::<std::net::IpAddr>(),
        hops in vec(any::<std::net::IpAddr>(), 0..6),
    ) {
        forwarded_for(&input);
        let hops: Vec<_> = hops.iter().map(ToString::to_string).collect();
        forwarded_for(format!("{peer}\n{}", hops.join(",")).as_bytes());
        forwarded_for(format!("10.0.0.9\n{},10.1.2.3\nfd00::1", hops.join(" , ")).as_bytes());
    }
}
