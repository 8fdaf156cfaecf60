//! Passwords, asked for or read: never arguments, which others can see.

use secrecy::{ExposeSecret, SecretString};
use std::io::{self, BufRead, IsTerminal};
use video_call_server::admin::AdminError;
use video_call_server::service::StartError;

/// Far above the longest password, however it is composed.
const LINE_LIMIT: u64 = 4096;

/// Twice from whoever sits at the terminal; else one line of standard input.
pub(crate) fn read<T>(parse: impl Fn(&SecretString) -> Result<T, AdminError>) -> Result<T, StartError> {
    if !io::stdin().is_terminal() {
        return Ok(parse(&read_line(io::stdin().lock())?)?);
    }
    let ask = |prompt| rpassword::prompt_password(prompt).map(SecretString::from);
    let typed = ask("Password: ")?;
    let password = parse(&typed)?;
    if ask("The same again: ")?.expose_secret() != typed.expose_secret() {
        return Err("the two passwords differ".into());
    }
    Ok(password)
}

/// The first line without its end: every other character, a space too, is part of the password.
fn read_line(input: impl BufRead) -> Result<SecretString, StartError> {
    let mut line = String::new();
    let read = input.take(LINE_LIMIT).read_line(&mut line);
    if read.map_err(|error| format!("the password cannot be read from standard input: {error}"))? == 0 {
        return Err("there is no password on standard input".into());
    }
    let end = line.trim_end_matches('\n').trim_end_matches('\r').len();
    line.truncate(end);
    Ok(line.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_one_line_without_its_end() {
        for (input, password) in [
            ("hunter22\n", "hunter22"),
            ("hunter22", "hunter22"),
            ("hunter22\r\nmore\n", "hunter22"),
            (" spaces count \n", " spaces count "),
            ("\n", ""),
        ] {
            assert_eq!(read_line(input.as_bytes()).unwrap().expose_secret(), password);
        }
        assert!(read_line(&b""[..]).is_err());
        assert!(read_line(&b"\xff\xfe\n"[..]).is_err());
    }
}
