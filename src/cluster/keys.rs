//! Where things are in Redis. All keys share one hash tag, so that a script may touch any of them.

use crate::domain::ids::{CallId, NodeId, UserId};

pub(super) const PREFIX: &str = "{video-call}:";
/// A hash of the nodes there are.
pub(super) const NODES: &str = "{video-call}:nodes";

/// There as long as the node is alive.
pub(super) fn node(node: NodeId) -> String {
    format!("{PREFIX}node:{node}")
}

/// There while the node goes on purpose, and still writes what happened on it.
pub(super) fn leaving(node: NodeId) -> String {
    format!("{PREFIX}leaving:{node}")
}

/// There once the node was taken for dead.
pub(super) fn buried(node: NodeId) -> String {
    format!("{PREFIX}buried:{node}")
}

/// A stream of what the node is told.
pub(super) fn inbox(node: NodeId) -> String {
    format!("{PREFIX}inbox:{node}")
}

/// The set of calls that live on the node.
pub(super) fn calls(node: NodeId) -> String {
    format!("{PREFIX}calls:{node}")
}

/// A hash: where the call lives, whose it is, and how it stands.
pub(super) fn call(call: CallId) -> String {
    format!("{PREFIX}call:{call}")
}

/// The call that the user is in.
pub(super) fn line(user: UserId) -> String {
    format!("{PREFIX}line:{user}")
}
