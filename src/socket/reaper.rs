//! Presence is compared with the sockets there are: a disconnect that was never reported leaves nobody online.

use super::outbox::Outbox;
use crate::domain::ids::{DeviceId, IdSet};
use crate::live::Live;
use std::sync::Arc;
use std::time::Duration;

const EVERY: Duration = Duration::from_secs(10);

/// Runs until dropped. A socket has to be found dead twice: the first time it may just be coming or going.
pub(super) async fn run(outbox: &Outbox, live: &Arc<Live>) {
    let mut suspects: IdSet<DeviceId> = IdSet::default();
    loop {
        tokio::time::sleep(EVERY).await;
        let without_line = live.devices().into_iter().filter(|device| !outbox.has(*device));
        let dead: IdSet<DeviceId> = outbox.dead().into_iter().chain(without_line).collect();
        for device in dead.intersection(&suspects) {
            tracing::warn!(%device, "removing a socket whose disconnect was never reported");
            outbox.remove(*device);
            live.leave(*device, false);
        }
        suspects = dead;
    }
}
