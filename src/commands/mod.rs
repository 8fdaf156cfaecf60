//! What the program does beside serving: one file a family of commands.

pub(crate) mod user;
