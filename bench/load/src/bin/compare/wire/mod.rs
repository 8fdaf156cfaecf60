//! The generator's side of the wire, by hand: it must cost less than any server that is measured.

mod crowd;
mod frames;
mod http;
mod link;

pub(crate) use crowd::Crowd;
pub(crate) use frames::Frame;
pub(crate) use http::{Http, get, post};
pub(crate) use link::{Link, enter};
