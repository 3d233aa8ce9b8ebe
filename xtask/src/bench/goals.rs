//! What we want to reach.

use std::fmt::Write;

use super::figures::{Figures, Row};

const LARGE: &str = "pack, one large file, zstd:3";
const SMALL: &str = "pack, small files, zstd:3";
const NOISE: &str = "pack, noise";
const COLD: &str = "read, one large file, packed by ours";

const MIB: f64 = (1 << 20) as f64;

/// A goal: what, the limit, and what was measured.
type Goal = (&'static str, String, Option<(String, bool)>);

pub(crate) fn of_pack(figures: &Figures) -> String {
    let ours = figures.row(LARGE, "ours");
    let kernel = figures.row(LARGE, "kernel");
    let limit = figures.row(LARGE, "limit");
    let stored = |row: Option<&Row>| {
        let size = row?.size()?;
        Some((size.data? + size.metadata?) as f64 / MIB)
    };
    let squashfs = figures.row(SMALL, "mksquashfs");
    table(&[
        at_most("large file: ours / limit", 1.1, times(ours, limit)),
        at_least("large file: kernel / ours", 1.6, times(kernel, ours)),
        match (stored(ours), stored(kernel)) {
            (Some(ours), Some(kernel)) => at_most(
                "large file: data and one copy of metadata, ours / kernel",
                1.0,
                Some(ours / kernel),
            ),
            _ => at_most("large file: data and metadata, ours / kernel", 1.0, None),
        },
        at_most(
            "pack: peak memory in MiB, whatever is packed",
            256.0,
            figures
                .rows
                .iter()
                .filter(|row| row.is_ours())
                .filter_map(Row::peak)
                .max()
                .map(|peak| peak as f64 / MIB),
        ),
        at_least(
            "small files: mksquashfs / ours",
            1.0,
            times(squashfs, figures.row(SMALL, "ours")),
        ),
        at_most(
            "small files: ours / open, read and compress alone",
            1.4,
            times(figures.row(SMALL, "ours"), figures.row(SMALL, "limit")),
        ),
        at_least(
            "noise: none / zstd:3",
            0.95,
            times(
                figures.row(NOISE, "without compression"),
                figures.row(NOISE, "ours"),
            ),
        ),
    ])
}

pub(crate) fn of_read(figures: &Figures) -> String {
    let ours = figures.row(COLD, "ours");
    let kernel = figures.row(COLD, "kernel");
    table(&[at_least(
        "large file: kernel, cold / ours",
        1.7,
        times(kernel, ours),
    )])
}

fn times(a: Option<&Row>, b: Option<&Row>) -> Option<f64> {
    a?.times(b?)
}

fn at_most(what: &'static str, limit: f64, measured: Option<f64>) -> Goal {
    let judged = measured.map(|value| (format!("{value:.2}"), value <= limit));
    (what, format!("at most {limit}"), judged)
}

fn at_least(what: &'static str, limit: f64, measured: Option<f64>) -> Goal {
    let judged = measured.map(|value| (format!("{value:.2}"), value >= limit));
    (what, format!("at least {limit}"), judged)
}

fn table(goals: &[Goal]) -> String {
    let mut out = "| goal | wanted | measured | |\n|---|---|---|---|\n".to_owned();
    for (what, wanted, judged) in goals {
        let (measured, reached) = match judged {
            None => ("-", "not measured"),
            Some((value, true)) => (value.as_str(), "reached"),
            Some((value, false)) => (value.as_str(), "**missed**"),
        };
        let _ = writeln!(out, "| {what} | {wanted} | {measured} | {reached} |");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goals_are_judged_by_the_figures() {
        let told = table(&[
            at_most("a", 1.15, Some(1.1)),
            at_most("b", 1.15, Some(1.2)),
            at_least("c", 1.6, Some(1.7)),
            at_least("d", 1.6, Some(1.5)),
            at_least("e", 1.6, None),
        ]);
        let verdicts: Vec<&str> = told
            .lines()
            .skip(2)
            .map(|line| line.rsplit(" | ").next().unwrap().trim_end_matches(" |"))
            .collect();
        let missed = "**missed**";
        assert_eq!(
            verdicts,
            ["reached", missed, "reached", missed, "not measured"]
        );
    }
}
