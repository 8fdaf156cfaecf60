//! The secret of a server that was given none, in development: made once, then kept.

use super::{ConfigError, parse};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use secrecy::SecretString;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

const FILE: &str = "jwt-secret";
const BYTES: usize = 48;

/// The secret kept in `data_dir`, if there is one.
pub(super) fn existing(data_dir: &Path) -> Result<Option<SecretString>, ConfigError> {
    if data_dir.join(FILE).exists() { kept(data_dir).map(Some) } else { Ok(None) }
}

/// The secret kept in `data_dir`; made now if there is none. Servers that start at once agree on one.
pub(super) fn kept(data_dir: &Path) -> Result<SecretString, ConfigError> {
    let path = data_dir.join(FILE);
    let failed = |does: &str, error: io::Error| {
        let path = path.display();
        ConfigError::new("JWT_SECRET", format!("is not set, and {path} cannot be {does}: {error}"))
    };
    let text = match fs::read_to_string(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            make(data_dir, &path).map_err(|error| failed("made", error))?;
            fs::read_to_string(&path)
        }
        read => read,
    };
    let text = text.map_err(|error| failed("read", error))?;
    parse::secret(text.trim()).map_err(|problem| {
        ConfigError::new("JWT_SECRET", format!("is not set, and the one in {} {problem}", path.display()))
    })
}

/// Random text, good for a secret.
pub(super) fn random() -> io::Result<String> {
    let mut bytes = [0; BYTES];
    getrandom::fill(&mut bytes)?;
    Ok(STANDARD.encode(bytes))
}

/// Puts a whole new secret at `path`, unless another server was faster.
fn make(data_dir: &Path, path: &Path) -> io::Result<()> {
    fs::create_dir_all(data_dir)?;
    let mut tag = [0; 8];
    getrandom::fill(&mut tag)?;
    let draft = data_dir.join(format!(".{FILE}.{:016x}", u64::from_ne_bytes(tag)));
    // Written aside and then linked: nobody ever reads half a secret, and a link never replaces a file.
    let made = write(&draft).and_then(|()| match fs::hard_link(&draft, path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        linked => linked,
    });
    let _ = fs::remove_file(&draft);
    made
}

fn write(path: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(random()?.as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret;

    #[test]
    fn servers_that_start_at_once_agree_on_one_secret_and_leave_nothing_else() {
        let home = tempfile::tempdir().unwrap();
        let data = home.path().join("data");
        let secrets: Vec<String> = std::thread::scope(|scope| {
            let start = || kept(&data).unwrap().expose_secret().to_owned();
            let starts: Vec<_> = (0..16).map(|_| scope.spawn(start)).collect();
            starts.into_iter().map(|start| start.join().unwrap()).collect()
        });
        assert!(secrets.iter().all(|secret| *secret == secrets[0]));
        assert_eq!(STANDARD.decode(&secrets[0]).unwrap().len(), BYTES);
        assert_eq!(fs::read_dir(&data).unwrap().count(), 1);
    }

    #[test]
    fn only_its_owner_may_read_the_secret() {
        use std::os::unix::fs::PermissionsExt;
        let data = tempfile::tempdir().unwrap();
        kept(data.path()).unwrap();
        assert_eq!(fs::metadata(data.path().join(FILE)).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_file_that_cannot_be_used_is_one_line_about_jwt_secret() {
        let data = tempfile::tempdir().unwrap();
        fs::write(data.path().join(FILE), "short\n").unwrap();
        let error = kept(data.path()).unwrap_err().to_string();
        assert!(error.starts_with("JWT_SECRET: is not set, and the one in ") && error.lines().count() == 1);
        assert!(error.ends_with("must be at least 32 bytes long, and is 5"));

        fs::remove_file(data.path().join(FILE)).unwrap();
        fs::create_dir(data.path().join(FILE)).unwrap();
        let error = kept(data.path()).unwrap_err().to_string();
        assert!(error.contains("cannot be read") && error.lines().count() == 1);

        let file = data.path().join("file");
        fs::write(&file, "").unwrap();
        let error = kept(&file.join("data")).unwrap_err().to_string();
        assert!(error.starts_with("JWT_SECRET: ") && error.lines().count() == 1);
    }
}
