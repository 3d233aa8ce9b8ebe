//! `cargo xtask bench`: ours against everybody else, side by side, in one run.

mod corpus;
mod figures;
mod goals;
mod kernel;
mod machine;
mod pack;
mod peers;
mod plots;
mod program;
mod read;
mod scratch;
mod table;
mod turns;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, io};

use corpus::Corpus;
use figures::{Figures, Sample};
use scratch::Scratch;

pub(crate) use peers::{Peers, run as run_peers};

/// What to compare, and on what.
#[derive(Debug, PartialEq)]
pub(crate) struct Bench {
    pub(crate) what: What,
    pub(crate) rounds: usize,
    /// Bytes of the large file.
    pub(crate) size: u64,
    /// Files in the tree of small files.
    pub(crate) files: usize,
    /// Where to work; `None`: on tmpfs where possible.
    pub(crate) dir: Option<PathBuf>,
    /// The mkfs.btrfs that packs directories.
    pub(crate) mkfs: String,
    /// Contestants whose name contains it, and ours.
    pub(crate) only: Option<String>,
    /// Where to draw what was measured.
    pub(crate) plots: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum What {
    Pack,
    Read,
}

impl Bench {
    pub(crate) fn new(what: What) -> Self {
        Self {
            what,
            rounds: 3,
            size: 1 << 30,
            files: 50_000,
            dir: None,
            mkfs: "mkfs.btrfs".to_owned(),
            only: None,
            plots: None,
        }
    }
}

/// One who does the job.
pub(crate) trait Contestant {
    fn name(&self) -> String;
    /// Which table it is in; whose name contains "ours" is what the others are compared with.
    fn group(&self) -> &'static str;
    /// Does it once, undoing what the last time left; sizes are looked at if `measure_size`.
    fn round(&mut self, measure_size: bool) -> io::Result<Sample>;
}

/// Who runs, and who can't and why.
#[derive(Default)]
pub(crate) struct Field {
    pub(crate) contestants: Vec<Box<dyn Contestant>>,
    pub(crate) missing: Vec<String>,
}

/// What contestants work with.
pub(crate) struct Ground<'a> {
    pub(crate) corpus: &'a Corpus,
    /// For what they make; emptied at the end.
    pub(crate) work: &'a Path,
    pub(crate) ubtrfs: PathBuf,
    pub(crate) limit: PathBuf,
    pub(crate) mkfs: &'a str,
}

/// Runs it and prints the tables; `false` if we failed where others are measured.
pub(crate) fn run(root: &Path, bench: &Bench) -> io::Result<bool> {
    build(root, &["--package", "ubtrfs"])?;
    build(root, &["--package", "compress", "--example", "limit"])?;
    let binaries = machine::target_dir(root)?.join("release");
    let parent = match &bench.dir {
        Some(dir) => dir.clone(),
        None => machine::fast_dir(3 * bench.size + (2 << 30)),
    };
    let scratch = Scratch::new(&parent, "bench")?;
    let work = scratch.dir();
    eprintln!("making the corpus in {}", work.display());
    let corpus = Corpus::make(&work.join("corpus"), bench.size, bench.files)?;
    let ground = Ground {
        corpus: &corpus,
        work,
        ubtrfs: binaries.join("ubtrfs"),
        limit: binaries.join("examples/limit"),
        mkfs: &bench.mkfs,
    };
    let mut field = match bench.what {
        What::Pack => pack::field(&ground),
        What::Read => read::field(&ground)?,
    };
    if let Some(only) = &bench.only {
        field.contestants.retain(|contestant| {
            let name = contestant.name();
            name.contains("ours") || name.contains(only.as_str())
        });
    }
    let (figures, failed) = measure(&mut field, bench.rounds);
    print(&ground, bench, &figures, field.missing);
    if let Some(dir) = &bench.plots {
        plots::write(dir, &figures)?;
    }
    Ok(!failed)
}

/// Lets all of them take turns; whether one of ours failed.
fn measure(field: &mut Field, rounds: usize) -> (Figures, bool) {
    let mut figures = Figures::default();
    let mut failed = false;
    let groups: Vec<_> = field.contestants.iter().map(|c| c.group()).collect();
    for round in 0..rounds {
        for n in turns::of_round(&groups, round) {
            let contestant = &mut field.contestants[n];
            let (group, name) = (contestant.group(), contestant.name());
            eprint!("round {} of {rounds}: {group}: {name}: ", round + 1);
            match contestant.round(round == 0) {
                Ok(sample) => {
                    eprintln!("{:.2} s", sample.seconds);
                    figures.add(group, &name, round, sample);
                }
                Err(error) => {
                    eprintln!("{error}");
                    failed |= name.contains("ours");
                    field.missing.push(format!("{group}: {name}: {error}"));
                }
            }
        }
    }
    (figures, failed)
}

fn print(ground: &Ground, bench: &Bench, figures: &Figures, mut missing: Vec<String>) {
    println!("{}", table::machine_lines(ground, bench));
    for group in figures.groups() {
        let bytes = ground.corpus.bytes(group);
        let plot = bench.plots.as_ref();
        let plot = plot.map(|dir| dir.join(plots::file_name(group)));
        println!(
            "{}",
            table::of_group(figures, group, bytes, plot.as_deref())
        );
    }
    let goals = match bench.what {
        What::Pack => goals::of_pack(figures),
        What::Read => goals::of_read(figures),
    };
    println!("### Goals\n\n{goals}");
    missing.sort();
    missing.dedup();
    for missing in missing {
        println!("- Missing: {missing}");
    }
    for unsteady in table::unsteady(figures) {
        println!("- Unsteady, measure again: {unsteady}");
    }
    println!(
        "\nEvery sample, in seconds:\n\n```text\n{}```",
        table::raw(figures)
    );
}

fn build(root: &Path, what: &[&str]) -> io::Result<()> {
    let cargo = env::var_os("CARGO").unwrap_or("cargo".into());
    let built = Command::new(cargo)
        .args(["build", "--release", "--quiet"])
        .args(what)
        .current_dir(root)
        .status()?;
    match built.success() {
        true => Ok(()),
        false => Err(io::Error::other("the build failed")),
    }
}
