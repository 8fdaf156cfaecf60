//! `video-call-server config check`: what the settings come to, and whether a server would start with them.

use crate::commands::Format;
use crate::output;
use serde_json::json;
use std::io::{self, BufWriter, Write};
use video_call_server::config::{Config, Setting, Sources};
use video_call_server::service::{StartError, preflight};

/// Shows every setting, then fails with what would keep the server from starting.
pub(crate) fn check(config: &Config, sources: &Sources, format: Format) -> Result<(), StartError> {
    let settings = sources.settings(config);
    let checked = preflight(config);
    match format {
        Format::Table => {
            output::unless_gone(write_table(&settings))?;
            for note in checked? {
                output::say(&format!("note: {note}"))?;
            }
            output::say("the configuration is good")?;
        }
        Format::Json => {
            let (notes, error) = match &checked {
                Ok(notes) => (notes.as_slice(), None),
                Err(error) => (&[][..], Some(error.to_string())),
            };
            let report = json!({ "settings": settings, "notes": notes, "error": error });
            output::say(&serde_json::to_string_pretty(&report)?)?;
            checked?;
        }
    }
    Ok(())
}

fn write_table(settings: &[Setting]) -> io::Result<()> {
    let width = |column: fn(&Setting) -> &str| settings.iter().map(|row| column(row).chars().count()).max();
    let (names, values) = (width(|row| &row.name).unwrap_or(0), width(shown).unwrap_or(0).min(60));
    let mut out = BufWriter::new(io::stdout().lock());
    for row in settings {
        writeln!(out, "{:names$}  {:values$}  {}", row.name, shown(row), row.source)?;
    }
    out.flush()
}

fn shown(setting: &Setting) -> &str {
    setting.value.as_deref().unwrap_or("-")
}
