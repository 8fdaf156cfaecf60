//! What must hold for any bytes at all: one function a kind of input, each the real parser and what is never true of it.
//!
//! The cargo-fuzz targets in `fuzz/`, the replay of their corpora and the property tests call the same four functions, so
//! whatever one of them finds, the others hold on to. A function panics where its promise is broken, and tells whether the
//! input was taken, so that a corpus which is refused as a whole is noticed.
//!
//! This room is there for tests and under `cfg(fuzzing)`, which cargo-fuzz sets, and not behind a cargo feature: features add
//! up, and are offered to whoever depends on the crate; this is no part of the product, and no build of it can have it by
//! mistake.

mod forwarded_for;
#[cfg(test)]
mod tests;
mod tokens;
mod usernames;

/// Events of four devices, a line each: the device (`a` to `d`) and the frame as on the wire.
///
/// Nobody but a call's parties hears of it, what is relayed keeps its limits, and nothing is left when all have gone.
pub fn event_payloads(input: &[u8]) -> bool {
    crate::socket::fuzzing::play(&String::from_utf8_lossy(input))
}

/// A token as it is, or a header and claims on a line each, to be signed with the right secret.
///
/// What is verified was signed by us with HS256, and says in every claim what it must.
pub fn token_verification(input: &[u8]) -> bool {
    tokens::verify(&String::from_utf8_lossy(input))
}

/// A username.
///
/// What is taken follows the rule to the letter, and what follows it is taken.
pub fn usernames(input: &[u8]) -> bool {
    usernames::parse(&String::from_utf8_lossy(input))
}

/// The peer's address on a line, then `X-Forwarded-For`, a line each.
///
/// The client's address is never one that somebody who is no proxy of ours has chosen.
pub fn forwarded_for(input: &[u8]) -> bool {
    forwarded_for::find(input)
}
