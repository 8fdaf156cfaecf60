//! `.env` in the working directory.

use super::ConfigError;
use std::path::Path;

const FILE: &str = ".env";

/// Adds what `.env` sets to the environment, which wins where both set a variable, and tells what it has added. No file, no
/// matter.
///
/// Call it first, while there is only one thread: the environment is not safe to change beside others.
pub fn read_env_file() -> Result<Vec<String>, ConfigError> {
    read(Path::new(FILE))
}

#[expect(clippy::disallowed_methods, reason = "this is the room where the environment is read")]
fn read(path: &Path) -> Result<Vec<String>, ConfigError> {
    let failed = |error: dotenvy::Error| ConfigError::new(FILE, format!("cannot be read: {error}"));
    let lines = match dotenvy::from_path_iter(path) {
        Err(error) if error.not_found() => return Ok(Vec::new()),
        lines => lines.map_err(failed)?,
    };
    let (mut last, mut added) = (None, Vec::new());
    for line in lines {
        match line {
            Ok((name, _)) => {
                if std::env::var_os(&name).is_none() {
                    added.push(name.clone());
                }
                last = Some(name);
            }
            Err(dotenvy::Error::LineParse(..)) => return Err(bad_line(last.as_deref())),
            Err(error) => return Err(failed(error)),
        }
    }
    dotenvy::from_path(path).map_err(failed)?;
    Ok(added)
}

/// Says where the line is without showing it: it may hold a secret.
fn bad_line(last: Option<&str>) -> ConfigError {
    let which =
        last.map_or_else(|| "the first setting".to_owned(), |name| format!("the setting after {name}"));
    ConfigError::new(
        FILE,
        format!("{which} is not NAME=value (a value with spaces, # or $ needs 'single quotes')"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, text).unwrap();
        read(file.path()).unwrap_err().to_string()
    }

    #[test]
    fn no_file_is_no_mistake() {
        assert_eq!(read(Path::new("/nowhere/.env")), Ok(Vec::new()));
    }

    #[test]
    fn a_line_that_cannot_be_read_is_found_without_being_shown() {
        let first = error("JWT_SECRET=hush hush=hush\n");
        assert!(first.starts_with(".env: the first setting is not NAME=value") && !first.contains("hush"));
        let second = error("A_NAME_OF_A_TEST=1\n# hush\nhush\n");
        assert!(
            second.starts_with(".env: the setting after A_NAME_OF_A_TEST is not") && !second.contains("hush")
        );
    }
}
