//! The commands of an operator, as the real program, beside a running server and on its database.

mod calls;
mod db;
mod docs;
mod reader;
mod retention;
mod sessions;
mod users;

use crate::app::TestApp;
use crate::database::TestDatabase;
use serde_json::Value;
use std::path::PathBuf;
use std::process::Stdio;
use tempfile::TempDir;
use test_kit::PATIENCE;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::time::timeout;

const PROGRAM: &str = env!("CARGO_BIN_EXE_video-call-server");

/// Where an operator sits: a folder, and the environment that the server has too.
pub(super) struct Desk {
    folder: TempDir,
    pub(super) database: String,
}

/// What a command that ended left.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) code: Option<i32>,
    pub(super) out: String,
    pub(super) err: String,
}

impl Desk {
    pub(super) fn at(database: &TestDatabase) -> Self {
        Self { folder: tempfile::tempdir().unwrap(), database: database.url.clone() }
    }

    pub(super) fn of(app: &TestApp) -> Self {
        Self::at(&app.database)
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The names of what lies there.
    pub(super) fn files(&self) -> Vec<String> {
        let files = std::fs::read_dir(self.folder.path()).unwrap();
        files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect()
    }

    /// Lets a command run here, with nothing but the server's environment.
    pub(super) fn prepare<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.current_dir(&self.folder).env_clear().env("PATH", std::env::var_os("PATH").unwrap());
        command.env("DATABASE_URL", &self.database);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true)
    }

    /// The program with these words on its command line, yet to be started.
    pub(super) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        self.prepare(command.args(words));
        command
    }

    /// Runs a command to its end, with `input` on its standard input.
    pub(super) async fn run_with(&self, words: &[&str], input: &str) -> Done {
        finish(&mut self.command(words), input).await
    }

    pub(super) async fn run(&self, words: &[&str]) -> Done {
        self.run_with(words, "").await
    }

    /// What a command shows as JSON.
    pub(super) async fn json(&self, words: &[&str]) -> Value {
        let out = self.run(&[words, &["--format", "json"]].concat()).await.ok();
        serde_json::from_str(&out).unwrap()
    }
}

pub(super) async fn finish(command: &mut Command, input: &str) -> Done {
    let mut child = command.spawn().unwrap();
    // A program that ends without reading it closes the pipe.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes()).await;
    let output = timeout(PATIENCE * 2, child.wait_with_output()).await.expect("the command to end").unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Done { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

impl Done {
    /// It worked, said so in standard output, and had nothing to complain about.
    #[track_caller]
    pub(super) fn ok(self) -> String {
        assert_eq!((self.code, self.err.as_str()), (Some(0), ""), "{}", self.out);
        self.out
    }

    /// It failed with one line on standard error.
    #[track_caller]
    pub(super) fn failure(&self) -> &str {
        assert_eq!(self.code, Some(1), "{self:?}");
        let line = self.err.strip_suffix('\n').unwrap();
        assert!(!line.is_empty() && !line.contains('\n'), "{line:?} is not one line");
        line
    }

    /// The command line was wrong.
    #[track_caller]
    pub(super) fn usage(&self) -> &str {
        assert_eq!((self.code, self.out.as_str()), (Some(2), ""), "{}", self.err);
        &self.err
    }
}
