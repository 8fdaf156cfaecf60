//! What commands print: answers on standard output, failures on standard error.

use std::error::Error;
use std::io::{self, ErrorKind, Write};

/// One line of what was done.
pub(crate) fn say(line: &str) -> io::Result<()> {
    unless_gone(writeln!(io::stdout(), "{line}"))
}

/// One line of what went wrong, whoever's words it is in. Whoever started the program reads it, whatever became of
/// the log; if they do not, there is nobody left to tell.
pub(crate) fn complain(error: &dyn Error) {
    let text = error.to_string();
    let line = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ");
    let _ = writeln!(io::stderr(), "{line}");
}

/// A reader that has had enough, such as `head`, is no failure.
pub(crate) fn unless_gone(written: io::Result<()>) -> io::Result<()> {
    written.or_else(|error| if error.kind() == ErrorKind::BrokenPipe { Ok(()) } else { Err(error) })
}
