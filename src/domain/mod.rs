//! The rules, pure: no I/O, no async, no clock. Time comes in as an argument, what must happen goes out as a value.

pub(crate) mod call;
#[cfg(test)]
pub(crate) mod fixtures;
pub(crate) mod ids;
pub(crate) mod media;
pub(crate) mod message;
pub(crate) mod presence;
pub(crate) mod rate;
mod readable;
pub(crate) mod switchboard;
pub(crate) mod time;
pub(crate) mod username;
