//! Secrets that stand in files of their own (`JWT_SECRET_FILE`), as Docker, Kubernetes and systemd hand them out: a
//! variable is inherited by every child and shown by many tools, a file is read by whoever may.

use super::ConfigError;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Far more than any secret; whoever names the wrong file should hear of it.
const MAX_BYTES: u64 = 64 * 1024;

/// A secret as it was given, directly or in a file, and where.
#[derive(Default)]
pub(super) struct Given {
    /// The variable that errors are about.
    pub(super) variable: &'static str,
    pub(super) raw: Option<OsString>,
    /// Where it was read from, unless it was given directly.
    pub(super) path: Option<PathBuf>,
}

impl Given {
    /// What `variable` says, or the file that `file_variable` names. Both at once are a mistake: nobody could tell
    /// which one is meant.
    pub(super) fn read(
        (variable, raw): (&'static str, Option<OsString>),
        (file_variable, path): (&'static str, Option<OsString>),
    ) -> Result<Self, ConfigError> {
        let raw = raw.filter(|raw| !raw.is_empty());
        let Some(path) = path.filter(|path| !path.is_empty()).map(PathBuf::from) else {
            return Ok(Self { variable, raw, path: None });
        };
        if raw.is_some() {
            return Err(ConfigError::new(
                variable,
                format!("is set, and {file_variable} too: set one of them"),
            ));
        }
        let text = read(&path)
            .map_err(|problem| ConfigError::new(file_variable, format!("{} {problem}", shown(&path))))?;
        Ok(Self { variable: file_variable, raw: Some(text.into()), path: Some(path) })
    }

    /// What is wrong with the text, with the file it is in.
    pub(super) fn locate(path: Option<&Path>, problem: String) -> String {
        match path {
            Some(path) => format!("what {} holds {problem}", shown(path)),
            None => problem,
        }
    }
}

/// A path as an error shows it: in quotes and on one line, whatever is in it.
pub(crate) fn shown(path: &Path) -> String {
    format!("{:?}", path.to_string_lossy())
}

/// The text of a file without its last line break. What is wrong is told without a word of the text.
fn read(path: &Path) -> Result<String, String> {
    let mut bytes = Vec::new();
    let taken = File::open(path).and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes));
    taken.map_err(|error| format!("cannot be read: {}", reason(&error)))?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(format!("holds more than {} KiB: that is no secret", MAX_BYTES / 1024));
    }
    let text = String::from_utf8(bytes).map_err(|_| "is not valid UTF-8".to_owned())?;
    let text = text.strip_suffix('\n').map_or(&*text, |text| text.strip_suffix('\r').unwrap_or(text));
    if text.contains('\0') {
        return Err("holds a NUL character".into());
    }
    if text.trim().is_empty() {
        return Err("is empty".into());
    }
    Ok(text.to_owned())
}

fn reason(error: &io::Error) -> String {
    if error.kind() == io::ErrorKind::NotFound { "there is no such file".into() } else { error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: &[u8]) -> Result<String, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        read(file.path())
    }

    #[test]
    fn one_line_break_at_the_end_is_dropped_and_every_other_byte_counts() {
        assert_eq!(text(b"hush").unwrap(), "hush");
        assert_eq!(text(b"hush\n").unwrap(), "hush");
        assert_eq!(text(b"hush\r\n").unwrap(), "hush");
        assert_eq!(text(b" hush \n\n").unwrap(), " hush \n");
        assert_eq!(text(b"hush\r").unwrap(), "hush\r");
    }

    #[test]
    fn what_cannot_be_a_secret_is_refused_without_being_shown() {
        let too_long = [b"hush".repeat(16 * 1024), b"x".to_vec()].concat();
        for (bytes, problem) in [
            (&b""[..], "is empty"),
            (b"\n", "is empty"),
            (b"hush\0hush", "holds a NUL character"),
            (b"hush\xff", "is not valid UTF-8"),
            (&too_long, "holds more than 64 KiB: that is no secret"),
        ] {
            assert_eq!(text(bytes).unwrap_err(), problem);
        }
        assert_eq!(text(&b"hush".repeat(16 * 1024)).unwrap().len(), 64 * 1024);
        assert_eq!(read(Path::new("/nowhere/x")).unwrap_err(), "cannot be read: there is no such file");
        assert!(read(Path::new("/")).unwrap_err().starts_with("cannot be read: "));
    }
}
