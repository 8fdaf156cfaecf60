//! The rules, pure: no I/O, no async, no clock. Time comes in as an argument, what must happen goes out as a value.

pub(crate) mod ids;
pub(crate) mod rate;
pub(crate) mod time;
pub(crate) mod username;
