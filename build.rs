//! Tells the program which revision it was built from.

#![expect(clippy::disallowed_methods, reason = "the environment of the build is nobody else's business")]

use std::env;
use std::path::Path;
use std::process::Command;

/// Who builds without a repository says the revision here: the first by our Dockerfile's build argument, the others by
/// the platforms that build from source.
const GIVEN: [&str; 3] = ["GIT_REVISION", "SOURCE_VERSION", "RAILWAY_GIT_COMMIT_SHA"];
/// As git abbreviates by itself.
const SHORT: usize = 7;

fn main() {
    for name in GIVEN {
        println!("cargo::rerun-if-env-changed={name}");
    }
    // Without this cargo would run it again, and compile everything again, after any change to any file.
    println!("cargo::rerun-if-changed=build.rs");
    let revision = given().or_else(from_git).unwrap_or_else(|| "unknown".into());
    println!("cargo::rustc-env=BUILD_REVISION={revision}");
}

fn given() -> Option<String> {
    let text = GIVEN.iter().find_map(|name| env::var(name).ok().filter(|text| !text.trim().is_empty()))?;
    let text = text.trim();
    let is_plain = text.len() <= 64 && text.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
    assert!(is_plain, "GIT_REVISION is not a revision: up to 64 letters, digits, dots, dashes, underscores");
    let is_hash = text.len() >= 40 && text.chars().all(|c| c.is_ascii_hexdigit());
    Some(if is_hash { text.chars().take(SHORT).collect() } else { text.to_owned() })
}

/// The commit that is checked out. That files were changed since is not told: cargo would have to ask at each build.
fn from_git() -> Option<String> {
    // Sources that lie in somebody else's repository have none of their own.
    if !git(&["rev-parse", "--show-prefix"])?.is_empty() {
        return None;
    }
    let revision = git(&["rev-parse", &format!("--short={SHORT}"), "HEAD"])?;
    // Who develops should not compile everything again for each commit: a debug build tells the commit at which it was
    // last compiled from scratch.
    let watched: &[&str] = if env::var("PROFILE").is_ok_and(|profile| profile == "release") {
        // HEAD names a branch; what is done to the branch is noted in the log of HEAD. git knows where a worktree has them.
        &["HEAD", "logs/HEAD"]
    } else {
        &[]
    };
    for name in watched {
        // A path that does not exist would count as changed at every build.
        if let Some(path) = git(&["rev-parse", "--git-path", name]).filter(|path| Path::new(path).exists()) {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    Some(revision)
}

fn git(words: &[&str]) -> Option<String> {
    let output = Command::new("git").args(words).output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}
