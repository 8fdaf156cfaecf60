//! What was measured, and how it is shown.

use crate::house::Kind;
use std::collections::BTreeMap;
use std::fmt::Write;

/// Something that is measured.
#[derive(Debug)]
pub(crate) struct Metric {
    pub(crate) name: &'static str,
    pub(crate) unit: Unit,
    pub(crate) target: Target,
}

/// How a value is shown.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Unit {
    /// So many a second, or a core-second.
    PerSecond,
    /// Of seconds.
    Time,
    Bytes,
    /// Of a core.
    Percent,
}

/// What our value must be.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Target {
    /// So many times the demo server's, or more.
    AtLeast(f64),
    /// Or less.
    AtMost(f64),
    /// So many times what is measured beside it, or more.
    AtLeastOf(f64, &'static str),
    /// Or less.
    AtMostOf(f64, &'static str),
    /// This value or less.
    Within(f64),
    /// Shown for its own sake.
    Any,
}

/// Whose value it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Whose {
    Server(Kind),
    /// What is measured beside our server in the same run.
    Beside,
}

impl From<Kind> for Whose {
    fn from(kind: Kind) -> Self {
        Self::Server(kind)
    }
}

const DEMO: Whose = Whose::Server(Kind::Demo);
const BARE: Whose = Whose::Server(Kind::Bare);
const OURS: Whose = Whose::Server(Kind::Ours);

/// Values, one a round.
#[derive(Default)]
struct Figure {
    values: BTreeMap<(Whose, usize), Vec<f64>>,
}

/// All figures, in the order in which they first came.
#[derive(Default)]
pub(crate) struct Board {
    figures: Vec<(&'static Metric, Figure)>,
    notes: Vec<String>,
}

impl Board {
    /// A value of this round.
    pub(crate) fn record(&mut self, metric: &'static Metric, whose: impl Into<Whose>, value: f64) {
        self.record_at(metric, 0, whose, value);
    }

    /// The same, at one of several sizes.
    pub(crate) fn record_at(
        &mut self,
        metric: &'static Metric,
        size: usize,
        whose: impl Into<Whose>,
        value: f64,
    ) {
        let at = self.figures.iter().position(|(known, _)| std::ptr::eq(*known, metric));
        let at = at.unwrap_or_else(|| {
            self.figures.push((metric, Figure::default()));
            self.figures.len() - 1
        });
        self.figures[at].1.values.entry((whose.into(), size)).or_default().push(value);
    }

    /// Something to know beside the figures.
    pub(crate) fn note(&mut self, note: String) {
        eprintln!("  {note}");
        self.notes.push(note);
    }

    /// Both tables and the notes, as Markdown.
    pub(crate) fn markdown(&self) -> String {
        let mut text = String::from(
            "| work | demo server | bare socketioxide | ours | ratio (range) | must be | reached |\n\
             | --- | --- | --- | --- | --- | --- | --- |\n",
        );
        for (metric, figure) in &self.figures {
            text += &figure.row(metric);
        }
        text +=
            "\n| cost | sizes | demo server | bare socketioxide | ours |\n| --- | --- | --- | --- | --- |\n";
        for (metric, figure) in &self.figures {
            text += &figure.growth(metric).unwrap_or_default();
        }
        text.push('\n');
        for note in &self.notes {
            let _ = writeln!(text, "- {note}");
        }
        text
    }
}

impl Figure {
    fn row(&self, metric: &Metric) -> String {
        let size = self.sizes().last().copied().unwrap_or_default();
        let of = |whose| self.values.get(&(whose, size)).map(Vec::as_slice).unwrap_or_default();
        let shown = |whose| median(of(whose)).map_or("–".to_owned(), |value| metric.unit.show(value));
        let base = match metric.target {
            Target::AtLeastOf(..) | Target::AtMostOf(..) => of(Whose::Beside),
            Target::AtLeast(_) | Target::AtMost(_) | Target::Within(_) | Target::Any => of(DEMO),
        };
        let ratios = of(OURS).iter().zip(base).map(|(ours, base)| ours / base);
        // In moments, as of a quick run, a server may take no time that could be counted.
        let ratios: Vec<_> = ratios.filter(|ratio| ratio.is_finite()).collect();
        let ratio = median(&ratios).map_or("–".to_owned(), |middle| {
            let least = ratios.iter().copied().fold(f64::INFINITY, f64::min);
            let most = ratios.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            format!("{} ({} to {})", digits(middle), digits(least), digits(most))
        });
        let reached = metric.target.is_reached(median(of(OURS)), median(&ratios));
        let reached = reached.map_or("–", |reached| if reached { "yes" } else { "**no**" });
        format!(
            "| {} | {} | {} | {} | {ratio} | {} | {reached} |\n",
            metric.name,
            shown(DEMO),
            shown(BARE),
            shown(OURS),
            metric.target.show(metric.unit, &shown(Whose::Beside)),
        )
    }

    /// How the cost grows with the size.
    fn growth(&self, metric: &Metric) -> Option<String> {
        let sizes = self.sizes();
        if sizes.len() < 2 {
            return None;
        }
        let of = |whose| {
            let at = |size: &usize| Some((*size as f64, median(self.values.get(&(whose, *size))?)?));
            let points: Vec<_> = sizes.iter().filter_map(at).collect();
            let shown: Vec<_> = points.iter().map(|(_, value)| metric.unit.show(*value)).collect();
            let exponent =
                exponent(&points).map_or_else(String::new, |exponent| format!(": n^{exponent:.2}"));
            if shown.is_empty() { "–".to_owned() } else { shown.join(", ") + &exponent }
        };
        let all: Vec<_> = sizes.iter().map(ToString::to_string).collect();
        Some(format!(
            "| {} | {} | {} | {} | {} |\n",
            metric.name,
            all.join(", "),
            of(DEMO),
            of(BARE),
            of(OURS)
        ))
    }

    fn sizes(&self) -> Vec<usize> {
        let mut sizes: Vec<_> = self.values.keys().map(|(_, size)| *size).collect();
        sizes.sort_unstable();
        sizes.dedup();
        sizes
    }
}

impl Target {
    fn show(self, unit: Unit, beside: &str) -> String {
        match self {
            Self::AtLeast(ratio) => format!("≥ {ratio}"),
            Self::AtMost(ratio) => format!("≤ {ratio}"),
            Self::AtLeastOf(ratio, what) => format!("≥ {ratio} × {what} ({beside})"),
            Self::AtMostOf(ratio, what) => format!("≤ {ratio} × {what} ({beside})"),
            Self::Within(value) => format!("≤ {}", unit.show(value)),
            Self::Any => "–".to_owned(),
        }
    }

    fn is_reached(self, value: Option<f64>, ratio: Option<f64>) -> Option<bool> {
        match self {
            Self::AtLeast(least) | Self::AtLeastOf(least, _) => ratio.map(|ratio| ratio >= least),
            Self::AtMost(most) | Self::AtMostOf(most, _) => ratio.map(|ratio| ratio <= most),
            Self::Within(most) => value.map(|value| value <= most),
            Self::Any => None,
        }
    }
}

impl Unit {
    fn show(self, value: f64) -> String {
        let (steps, names): (f64, &[&str]) = match self {
            Self::PerSecond => return digits(value) + " /s",
            Self::Percent => return digits(value) + " %",
            Self::Time => (1e6, &["µs", "ms", "s"]),
            Self::Bytes => (1.0, &["B", "kB", "MB", "GB"]),
        };
        let mut value = value * steps;
        let mut names = names.iter().copied();
        let mut name = names.next().unwrap_or_default();
        for larger in names {
            if value.abs() >= 1000.0 {
                value /= 1000.0;
                name = larger;
            }
        }
        format!("{} {name}", digits(value))
    }
}

/// Three significant digits.
fn digits(value: f64) -> String {
    match value.abs() {
        f64::INFINITY => "∞".to_owned(),
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        1.0.. => format!("{value:.2}"),
        0.1.. => format!("{value:.3}"),
        0.01.. => format!("{value:.4}"),
        _ => format!("{value:.5}"),
    }
}

fn median(values: &[f64]) -> Option<f64> {
    let mut values = values.to_vec();
    values.sort_unstable_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = values.get(middle)?;
    Some(if values.len().is_multiple_of(2) { f64::midpoint(values[middle - 1], *upper) } else { *upper })
}

/// Of the power of the size by which a value grows: least squares through the logarithms.
fn exponent(points: &[(f64, f64)]) -> Option<f64> {
    let logs: Vec<_> = points
        .iter()
        .filter(|(_, value)| *value > 0.0 && value.is_finite())
        .map(|(size, value)| (size.ln(), value.ln()))
        .collect();
    let count = logs.len() as f64;
    if logs.len() < 2 {
        return None;
    }
    let (size, value) = (
        logs.iter().map(|log| log.0).sum::<f64>() / count,
        logs.iter().map(|log| log.1).sum::<f64>() / count,
    );
    let sum = |of: fn(f64, f64) -> f64| logs.iter().map(|log| of(log.0 - size, log.1 - value)).sum::<f64>();
    Some(sum(|size, value| size * value) / sum(|size, _| size * size))
}

#[cfg(test)]
mod tests {
    use super::*;

    static SPEED: Metric = Metric { name: "speed", unit: Unit::PerSecond, target: Target::AtLeast(4.5) };
    static SIZE: Metric = Metric { name: "size", unit: Unit::Bytes, target: Target::AtMost(1.0) };
    static WAIT: Metric =
        Metric { name: "wait", unit: Unit::Time, target: Target::AtMostOf(2.0, "a commit") };

    fn rows(board: &Board) -> Vec<String> {
        board
            .markdown()
            .lines()
            .filter(|line| line.starts_with("| s") || line.starts_with("| wait"))
            .map(Into::into)
            .collect()
    }

    #[test]
    fn a_row_has_medians_and_the_ratio_within_each_round() {
        let mut board = Board::default();
        for (demo, ours) in [(100.0, 400.0), (1000.0, 5000.0), (10.0, 60.0)] {
            board.record(&SPEED, Kind::Demo, demo);
            board.record(&SPEED, Kind::Ours, ours);
        }
        assert_eq!(rows(&board), ["| speed | 100 /s | – | 400 /s | 5.00 (4.00 to 6.00) | ≥ 4.5 | yes |"]);
    }

    #[test]
    fn what_is_measured_beside_us_is_what_we_are_held_against() {
        let mut board = Board::default();
        board.record(&WAIT, Kind::Demo, 0.0001);
        board.record(&WAIT, Kind::Ours, 0.005);
        board.record(&WAIT, Whose::Beside, 0.002);
        let row = "| wait | 100 µs | – | 5.00 ms | 2.50 (2.50 to 2.50) | ≤ 2 × a commit (2.00 ms) | **no** |";
        assert_eq!(rows(&board), [row]);
    }

    #[test]
    fn the_largest_size_is_the_row_and_all_of_them_tell_how_it_grows() {
        let mut board = Board::default();
        for size in [10, 20, 40] {
            board.record_at(&SIZE, size, Kind::Demo, (size * size) as f64);
            board.record_at(&SIZE, size, Kind::Ours, size as f64);
        }
        assert_eq!(
            rows(&board),
            [
                "| size | 1.60 kB | – | 40.0 B | 0.0250 (0.0250 to 0.0250) | ≤ 1 | yes |",
                "| size | 10, 20, 40 | 100 B, 400 B, 1.60 kB: n^2.00 | – | 10.0 B, 20.0 B, 40.0 B: n^1.00 |",
            ]
        );
    }
}
