//! Lists, as people and programs read them.

use crate::output;
use chrono::{DateTime, SecondsFormat, Utc};
use clap::ValueEnum;
use serde_json::Value;
use std::io::{self, BufWriter, Write};

/// How to show a list.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Format {
    /// For people
    Table,
    /// For programs: an array of objects
    Json,
}

/// A column of a table: its heading, and how wide it is at least.
pub(crate) type Column = (&'static str, usize);

/// A list that is written row by row.
pub(crate) struct Listing<W, const N: usize> {
    out: W,
    format: Format,
    columns: [Column; N],
    is_empty: bool,
}

impl<const N: usize> Listing<BufWriter<io::Stdout>, N> {
    /// Begins one on standard output.
    pub(crate) fn begin(format: Format, columns: [Column; N]) -> io::Result<Self> {
        // A lock on standard output may not be held across a wait.
        Self::begin_in(BufWriter::new(io::stdout()), format, columns)
    }
}

impl<W: Write, const N: usize> Listing<W, N> {
    fn begin_in(out: W, format: Format, columns: [Column; N]) -> io::Result<Self> {
        let mut listing = Self { out, format, columns, is_empty: true };
        let begun = match format {
            Format::Table => listing.row(&columns.map(|(heading, _)| heading.to_owned())),
            Format::Json => write!(listing.out, "["),
        };
        output::unless_gone(begun)?;
        Ok(listing)
    }

    /// One row, in the form that is wanted.
    pub(crate) fn add(
        &mut self,
        cells: impl FnOnce() -> [String; N],
        object: impl FnOnce() -> Value,
    ) -> io::Result<()> {
        let is_first = std::mem::replace(&mut self.is_empty, false);
        output::unless_gone(match self.format {
            Format::Table => self.row(&cells()),
            Format::Json => write!(self.out, "{}\n  {}", if is_first { "" } else { "," }, object()),
        })
    }

    /// Ends it.
    pub(crate) fn end(mut self) -> io::Result<()> {
        let ended = match (self.format, self.is_empty) {
            (Format::Table, _) => Ok(()),
            (Format::Json, true) => writeln!(self.out, "]"),
            (Format::Json, false) => writeln!(self.out, "\n]"),
        };
        output::unless_gone(ended.and_then(|()| self.out.flush()))
    }

    fn row(&mut self, cells: &[String; N]) -> io::Result<()> {
        let cells = cells.iter().map(|cell| printable(cell)).zip(self.columns);
        let cells = cells.map(|(cell, (_, width))| format!("{cell:width$}")).collect::<Vec<_>>();
        writeln!(self.out, "{}", cells.join("  ").trim_end())
    }
}

/// Strangers choose what their clients are called: nothing of it may move the cursor or change the colours of a terminal.
fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '"' | '\'' | '\\') { shown.push(c) } else { shown.extend(c.escape_debug()) }
    }
    shown
}

/// RFC 3339 in UTC with milliseconds, as everywhere.
pub(crate) fn text(date: DateTime<Utc>) -> String {
    date.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// What there is, or a dash.
pub(crate) fn or_dash(text: Option<impl Into<String>>) -> String {
    text.map_or_else(|| "-".to_owned(), Into::into)
}

/// How wide a time, an id and a name are.
pub(crate) const TIME: usize = 24;
pub(crate) const ID: usize = 36;
pub(crate) const NAME: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn shown(format: Format, rows: &[[&str; 2]]) -> String {
        let mut out = Vec::new();
        let mut listing = Listing::begin_in(&mut out, format, [("ONE", 6), ("TWO", 0)]).unwrap();
        for row in rows {
            listing.add(|| row.map(str::to_owned), || json!({"one": row[0], "two": row[1]})).unwrap();
        }
        listing.end().unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_table_has_columns_and_json_is_an_array() {
        assert_eq!(
            shown(Format::Table, &[["a", "b"], ["longer than wide", ""]]),
            "ONE     TWO\na       b\nlonger than wide\n"
        );
        assert_eq!(shown(Format::Json, &[]), "[]\n");
        let array: Value = serde_json::from_str(&shown(Format::Json, &[["a", "b"], ["c", "d"]])).unwrap();
        assert_eq!(array, json!([{"one": "a", "two": "b"}, {"one": "c", "two": "d"}]));
    }

    #[test]
    fn nothing_that_a_stranger_wrote_reaches_the_terminal_raw() {
        let hostile = "x\u{1b}[2J\u{7}\r\n\u{9b}31m\u{202e}\0";
        let line = shown(Format::Table, &[[hostile, "\"plain\" it's"]]);
        let row = line.lines().nth(1).unwrap();
        assert!(row.chars().all(|c| !c.is_control() && c != '\u{202e}'), "{row:?}");
        assert!(row.ends_with("\"plain\" it's"), "{row}");
        assert_eq!(line.lines().count(), 2);
    }
}
