//! Figures as people read them.

use std::fmt::Write;
use std::path::Path;

use super::figures::{Figures, Row, median};
use super::{Bench, Ground, What, machine};

pub(crate) fn machine_lines(ground: &Ground, bench: &Bench) -> String {
    let what = match bench.what {
        What::Pack => "pack",
        What::Read => "read",
    };
    let mut command = format!(
        "cargo xtask bench {what} --rounds {} --size {} --files {}",
        bench.rounds,
        sized(bench.size),
        bench.files
    );
    if bench.mkfs != Bench::new(bench.what).mkfs {
        command += " --mkfs PATH";
    }
    if let Some(only) = &bench.only {
        let _ = write!(command, " --only '{only}'");
    }
    if let Some(dir) = &bench.plots {
        let _ = write!(command, " --plots {}", dir.display());
    }
    format!(
        "`{command}`\n\nMachine: {}; working files on {}.\n\nCorpus: {}.\n",
        machine::describe(ground.mkfs),
        machine::filesystem(ground.work),
        ground.corpus
    )
}

/// As it is given on the command line.
fn sized(bytes: u64) -> String {
    for (shift, suffix) in [(30, "G"), (20, "M"), (10, "K")] {
        if bytes > 0 && bytes.trailing_zeros() >= shift {
            return format!("{}{suffix}", bytes >> shift);
        }
    }
    bytes.to_string()
}

/// A table, below its `plot` if there is one.
pub(crate) fn of_group(figures: &Figures, group: &str, bytes: u64, plot: Option<&Path>) -> String {
    let rows = figures.of_group(group);
    let ours = rows.iter().copied().find(|row| row.is_ours());
    let plot = plot.map(|path| format!("![{group}]({})\n\n", path.display()));
    let plot = plot.unwrap_or_default();
    let mut out = format!(
        "### {group}\n\n{plot}\
         | | median s | min..max | MiB/s | times ours | peak MiB | data MiB | metadata MiB | file MiB |\n\
         |---|---|---|---|---|---|---|---|---|\n"
    );
    for row in rows {
        let _ = writeln!(out, "{}", line(row, ours, bytes));
    }
    out
}

fn line(row: &Row, ours: Option<&Row>, bytes: u64) -> String {
    let seconds = row.seconds();
    let middle = median(&seconds).unwrap_or(f64::NAN);
    let least = seconds.iter().copied().fold(f64::INFINITY, f64::min);
    let most = seconds.iter().copied().fold(0.0, f64::max);
    let ratio = ours.and_then(|ours| row.times(ours));
    let size = row.size();
    let mib = |value: Option<u64>| match value {
        Some(bytes) => format!("{:.1}", bytes as f64 / f64::from(1 << 20)),
        None => "-".to_owned(),
    };
    format!(
        "| {} | {middle:.2} | {least:.2}..{most:.2} | {:.0} | {} | {} | {} | {} | {} |",
        row.name,
        bytes as f64 / f64::from(1 << 20) / middle,
        ratio.map_or("-".to_owned(), |ratio| format!("{ratio:.2}")),
        mib(row.peak()),
        mib(size.and_then(|size| size.data)),
        mib(size.and_then(|size| size.metadata)),
        mib(size.map(|size| size.file)),
    )
}

/// Whose times differ too much to rely on them.
pub(crate) fn unsteady(figures: &Figures) -> Vec<String> {
    let rows = figures.rows.iter().filter(|row| row.spread() > 1.3);
    rows.map(|row| {
        let (group, name) = (row.group, &row.name);
        format!("{group}: {name}: {:.2} times the shortest", row.spread())
    })
    .collect()
}

/// Every sample, so that anybody can count again.
pub(crate) fn raw(figures: &Figures) -> String {
    let mut out = String::new();
    for row in &figures.rows {
        let seconds: Vec<String> = row.seconds().iter().map(|s| format!("{s:.3}")).collect();
        let _ = writeln!(out, "{}: {}: {}", row.group, row.name, seconds.join(" "));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::figures::{Sample, Size};
    use super::*;

    #[test]
    fn sizes_are_told_as_they_are_given() {
        let told = [1 << 30, 3 << 29, 5 << 10, 1001, 0].map(sized);
        assert_eq!(told, ["1G", "1536M", "5K", "1001", "0"]);
    }

    #[test]
    fn a_line_says_how_many_times_ours() {
        let mut figures = Figures::default();
        let sample = |seconds, file| Sample {
            seconds,
            peak: None,
            size: Some(Size {
                data: None,
                metadata: None,
                file,
            }),
        };
        figures.add("g", "ours", 0, sample(2.0, 1 << 20));
        figures.add("g", "kernel", 0, sample(3.0, 3 << 19));
        let plot = Path::new("plots/g.svg");
        let told = of_group(&figures, "g", 6 << 20, Some(plot));
        assert!(told.starts_with("### g\n\n![g](plots/g.svg)\n\n| |"));
        assert!(of_group(&figures, "g", 6 << 20, None).starts_with("### g\n\n| |"));
        assert!(told.contains("| ours | 2.00 | 2.00..2.00 | 3 | 1.00 | - | - | - | 1.0 |"));
        assert!(told.contains("| kernel | 3.00 | 3.00..3.00 | 2 | 1.50 | - | - | - | 1.5 |"));
    }
}
