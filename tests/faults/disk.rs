//! No space left for PostgreSQL.

use crate::database::{all_is_as_before, live_with_a_bad_database, settled};
use crate::rounds;
use crate::world::World;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;
use test_kit::Cluster;
use test_kit::postgres::try_execute;

/// A small file system in memory. Dropping it unmounts it.
struct Disk(PathBuf);

impl Disk {
    fn mount(at: &Path) -> Self {
        fs::create_dir(at).unwrap();
        mount("tmpfs", at, "tmpfs", MountFlags::empty(), c"size=160m,mode=755").expect("to mount, as root");
        Self(at.to_owned())
    }

    fn fill(&self) {
        let mut file = fs::File::create(self.0.join("filler")).unwrap();
        for block in [1 << 16, 1 << 12, 1 << 9] {
            while file.write_all(&vec![0; block]).is_ok() {}
        }
    }

    fn free(&self) {
        fs::remove_file(self.0.join("filler")).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // PostgreSQL may take a moment to let go of it.
        let _ = unmount(&self.0, UnmountFlags::DETACH);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_under_postgres_holds_up_history_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::mount(&folder.path().join("disk"));
    let cluster = Cluster::start_in(folder, &disk.0.join("data"), &[]).await;
    let mut world = World::start_on(cluster, &[]).await;
    let mut people = settled(&world).await;
    for round in 0..rounds() {
        disk.fill();
        let probe = "create table probe as select generate_series(1, 100000)";
        let refused = try_execute(&world.database, probe).await.unwrap_err();
        assert!(refused.to_string().contains("No space left"), "{refused}");
        if round % 2 == 0 {
            // The log of the database wants a new file: PostgreSQL itself fails, and its recovery with it.
            let _ = try_execute(&world.database, "select pg_switch_wal(), pg_switch_wal(); checkpoint").await;
        }
        live_with_a_bad_database(&world, &people, Duration::from_secs(3)).await;
        disk.free();
        people.talk_while(world.cluster.revive()).await;
        all_is_as_before(&world, &mut people).await;
    }
    let log = world.cluster.log();
    assert!(log.contains("PANIC") && log.contains("recovery"), "PostgreSQL itself did not fail:\n{log}");
    world.stop_server().await;
}
