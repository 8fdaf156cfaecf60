//! One PostgreSQL for the run, one database for each test.

use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection};
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::runtime::Runtime;
use video_call_server::admin;
use video_call_server::database::Database;

/// Where the run's PostgreSQL is. Made off the tests' own runtimes: each of those ends with its test.
static CLUSTER: LazyLock<Cluster> = LazyLock::new(|| std::thread::spawn(Cluster::find).join().unwrap());

const FOLDER: &str = "video-call-server-tests-";

struct Cluster {
    runtime: Runtime,
    url: String,
    template: String,
    /// Runs for as long as the process.
    _private: Option<Database>,
}

impl Cluster {
    fn find() -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let private = match std::env::var("TEST_DATABASE_URL") {
            Ok(_) => None,
            Err(_) => Some(runtime.block_on(Database::throwaway(&new_folder())).unwrap()),
        };
        let url = match &private {
            Some(database) => secrecy::ExposeSecret::expose_secret(database.url()).to_owned(),
            None => std::env::var("TEST_DATABASE_URL").unwrap(),
        };
        let template = runtime.block_on(prepare_template(&url));
        Self { runtime, url, template, _private: private }
    }
}

/// PostgreSQL's own user has to get in, where we are root.
fn new_folder() -> PathBuf {
    forget_earlier_runs();
    let folder = std::env::temp_dir().join(format!("{FOLDER}{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

/// A run removes its data when it ends, but cannot remove the folder around them.
fn forget_earlier_runs() {
    for entry in fs::read_dir(std::env::temp_dir()).unwrap().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let dead =
            name.strip_prefix(FOLDER).is_some_and(|pid| !PathBuf::from(format!("/proc/{pid}")).exists());
        if dead && PathBuf::from("/proc/self").exists() {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Migrates once; the name tells by which migrations, so that a later run on the same PostgreSQL finds it.
async fn prepare_template(url: &str) -> String {
    let mut hasher = DefaultHasher::new();
    let mut files: Vec<_> =
        fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/migrations")).unwrap().collect();
    files.sort_by_key(|file| file.as_ref().unwrap().file_name());
    for file in files {
        fs::read(file.unwrap().path()).unwrap().hash(&mut hasher);
    }
    let template = format!("vcs_template_{:016x}", hasher.finish());
    let mut admin = PgConnection::connect(url).await.unwrap();
    let known = "select exists (select from pg_database where datname = $1)";
    if !sqlx::query_scalar::<_, bool>(known).bind(&template).fetch_one(&mut admin).await.unwrap() {
        let fresh = format!("{template}_{}", std::process::id());
        run(&mut admin, &format!("create database {fresh}")).await;
        admin::migrate(&named(url, &fresh).into()).await.unwrap();
        // Whoever was faster has made the same one.
        let rename = format!("alter database {fresh} rename to {template}");
        if sqlx::raw_sql(AssertSqlSafe(rename)).execute(&mut admin).await.is_err() {
            run(&mut admin, &format!("drop database {fresh}")).await;
        }
    }
    template
}

async fn run(connection: &mut PgConnection, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(connection).await.unwrap();
}

fn named(url: &str, database: &str) -> String {
    PgConnectOptions::from_str(url).unwrap().database(database).to_url_lossy().to_string()
}

/// A database with our schema and nothing in it.
pub(crate) struct TestDatabase {
    pub(crate) name: String,
    pub(crate) url: String,
    pool: PgPool,
}

impl TestDatabase {
    pub(crate) async fn create() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("vcs_test_{}_{number}", std::process::id());
        let template = &CLUSTER.template;
        Self::as_admin(&format!("create database {name} template {template}")).await;
        let url = named(&CLUSTER.url, &name);
        let pool = PgPoolOptions::new().max_connections(2).connect(&url).await.unwrap();
        Self { name, url, pool }
    }

    /// On the run's own database, so that this one can be renamed or closed.
    pub(crate) async fn as_admin(sql: &str) {
        let mut admin = PgConnection::connect(&CLUSTER.url).await.unwrap();
        run(&mut admin, sql).await;
        admin.close().await.unwrap();
    }

    /// The same as another role, on a connection of its own.
    pub(crate) async fn try_as(&self, role: &str, sql: &str) -> sqlx::Result<()> {
        let mut connection = PgConnection::connect(&self.url).await?;
        run(&mut connection, &format!("set role {role}")).await;
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut connection).await.map(|_| ())
    }

    /// What logs in to it, if that is a password.
    pub(crate) fn password(&self) -> Option<String> {
        let (_, rest) = self.url.split_once("//")?;
        let (user, _) = rest.split_once('@')?;
        user.split_once(':').map(|(_, password)| password.to_owned())
    }

    /// Cuts every connection and lets nobody in: to its clients, the database is away.
    pub(crate) async fn go_away(&self) {
        let name = &self.name;
        Self::as_admin(&format!("alter database {name} allow_connections false")).await;
        let cut = "select pg_terminate_backend(pid) from pg_stat_activity where datname";
        Self::as_admin(&format!("{cut} = '{name}'")).await;
    }

    pub(crate) async fn come_back(&self) {
        Self::as_admin(&format!("alter database {} allow_connections true", self.name)).await;
    }

    /// What a statement that must work answers, row by row.
    pub(crate) async fn rows(&self, sql: &str) -> Vec<serde_json::Value> {
        let wrapped = format!("select to_jsonb(t)::text from ({sql}) t");
        let rows: Vec<String> =
            sqlx::query_scalar(AssertSqlSafe(wrapped)).fetch_all(&self.pool).await.expect(sql);
        rows.iter().map(|row| serde_json::from_str(row).unwrap()).collect()
    }

    /// Runs a statement in a transaction that stays open, with its locks, until it is given to [`TestDatabase::unlock`].
    pub(crate) async fn lock(&self, sql: &str) -> PgConnection {
        let mut connection = PgConnection::connect(&self.url).await.unwrap();
        run(&mut connection, &format!("begin; {sql}")).await;
        connection
    }

    pub(crate) async fn unlock(mut locked: PgConnection) {
        run(&mut locked, "rollback").await;
    }

    pub(crate) async fn commit(mut locked: PgConnection) {
        run(&mut locked, "commit").await;
    }

    /// How PostgreSQL would carry out a query.
    pub(crate) async fn plan(&self, sql: &str) -> String {
        let lines: Vec<String> =
            sqlx::query_scalar(AssertSqlSafe(format!("explain {sql}"))).fetch_all(&self.pool).await.unwrap();
        lines.join("\n")
    }

    pub(crate) async fn execute(&self, sql: &str) {
        self.try_execute(sql).await.expect(sql);
    }

    pub(crate) async fn try_execute(&self, sql: &str) -> sqlx::Result<()> {
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&self.pool).await.map(|_| ())
    }
}

impl Drop for TestDatabase {
    /// With whatever is still connected: a server that a test leaves running keeps its connections, and there are not many.
    fn drop(&mut self) {
        let drop = format!("drop database if exists {} with (force)", self.name);
        let work = CLUSTER.runtime.handle().clone();
        let _ = std::thread::spawn(move || work.block_on(Self::as_admin(&drop))).join();
    }
}
