//! The command line.

use crate::bench::{Bench, Peers, What};
use crate::fuzz::{Fuzz, TARGETS};
use crate::models::Models;
use crate::mutants::Mutants;
use crate::steps::{Selection, Step};

pub(crate) const HELP: &str = "\
cargo xtask test [--only STEP]... [-p CRATE]... [-- TEST_ARGS...]
    Runs all steps, or those named, on all crates, or those named:
        fmt        the code is formatted
        clippy     no warnings, all targets, all features
        tidy       see below
        tests      unit tests, integration tests, examples
        models     small models, see below
        doctests   the examples in the documentation
        docs       the documentation builds without warnings
    and prints the tests that were skipped, and a summary.
    TEST_ARGS go to the test programs: a name, --nocapture, ...

cargo xtask models [--deep] [-p CRATE]...
    Lets model checkers (shuttle, and loom for memory orderings) run what parks
    and wakes under many schedules: thousands a model, or a hundred times that. How
    many, and how many preemptions, UBTRFS_MODEL_ITERATIONS and
    LOOM_MAX_PREEMPTIONS tell instead. Built in target/models.

cargo xtask mutants [-p CRATE]... [--shard K/N]
    Breaks ordered-wq, extent-tree, delalloc and the framing in compress in
    every small way that cargo-mutants knows, and sees whether a test fails; the
    K-th of N parts, from 0. Takes hours; goes on where it was stopped (what was
    caught is in target/mutants; delete that to begin again). Survivors that
    mutants.toml doesn't explain are a failure.

cargo xtask tidy
    Checks what no compiler does: layers, names, sizes, documents.

cargo xtask bench pack|read [--rounds N] [--size SIZE] [--files N] [--dir DIR]
                  [--mkfs PROGRAM] [--only NAME] [--plots DIR]
    Compares us with the kernel, mkfs.btrfs, mksquashfs and the limit, taking
    turns for N rounds (3), and prints tables. The corpus is a file of SIZE (1G)
    and N small files (50000) made of what the machine has, in DIR (/dev/shm
    where it has room). The kernel takes part for root only. PROGRAM is the
    mkfs.btrfs to compare with. NAME: only contestants whose name contains it.
    --plots draws each table as an SVG in DIR, and shows it above the table.

cargo xtask bench peers [ARGS...]
    Compares crates with peers that are heavy to build, by `cargo bench ARGS` in
    the workspace `peers`; see its README for what it needs.

cargo xtask fuzz TARGET [--seconds N]
    Feeds TARGET (image, zlib, lzo, zstd or lz4) with hostile input for N seconds
    (60), guided by coverage. Needs a C++ compiler. What it learns is kept in
    target/fuzz/TARGET, and input that breaks something in target/fuzz.";

#[derive(Debug, PartialEq)]
pub(crate) enum Command {
    Help,
    Test(Selection),
    Tidy,
    Models(Models),
    Mutants(Mutants),
    Fuzz(Fuzz),
    Bench(Bench),
    Peers(Peers),
}

pub(crate) fn parse(args: impl Iterator<Item = String>) -> Result<Command, String> {
    let mut args = args.peekable();
    let command = args.next().ok_or("a command is missing")?;
    if args
        .peek()
        .is_some_and(|arg| matches!(arg.as_str(), "-h" | "--help"))
    {
        return Ok(Command::Help);
    }
    match command.as_str() {
        "-h" | "--help" | "help" => Ok(Command::Help),
        "tidy" => match args.next() {
            None => Ok(Command::Tidy),
            Some(arg) => Err(format!("tidy takes no argument, not '{arg}'")),
        },
        "bench" if args.peek().is_some_and(|what| what == "peers") => {
            let args = args.skip(1).collect();
            Ok(Command::Peers(Peers { args }))
        }
        "bench" => bench(args).map(Command::Bench),
        "fuzz" => fuzz(args).map(Command::Fuzz),
        "models" => models(args).map(Command::Models),
        "mutants" => mutants(args).map(Command::Mutants),
        "test" => selection(args).map(Command::Test),
        other => Err(format!("there is no command '{other}'")),
    }
}

fn bench(mut args: impl Iterator<Item = String>) -> Result<Bench, String> {
    let mut bench = match args.next().as_deref() {
        Some("pack") => Bench::new(What::Pack),
        Some("read") => Bench::new(What::Read),
        Some(other) => return Err(format!("bench knows pack, read and peers, not '{other}'")),
        None => return Err("bench needs pack, read or peers".into()),
    };
    while let Some(arg) = args.next() {
        let (option, inline) = option(arg);
        let known = [
            "--rounds", "--size", "--files", "--dir", "--mkfs", "--only", "--plots",
        ];
        if !known.contains(&option.as_str()) {
            return Err(format!("bench doesn't know '{option}'"));
        }
        let value = value(&option, inline, &mut args)?;
        let number = || size(&value).ok_or_else(|| format!("{option}: '{value}' is no number"));
        match option.as_str() {
            "--rounds" => bench.rounds = number()?.max(1) as usize,
            "--size" => bench.size = number()?.max(1),
            "--files" => bench.files = number()? as usize,
            "--dir" => bench.dir = Some(value.into()),
            "--mkfs" => bench.mkfs = value,
            "--plots" => bench.plots = Some(value.into()),
            _ => bench.only = Some(value),
        }
    }
    Ok(bench)
}

/// A number, with K, M or G for powers of 1024.
fn size(text: &str) -> Option<u64> {
    let shift = match text.chars().last()? {
        'K' | 'k' => 10,
        'M' | 'm' => 20,
        'G' | 'g' => 30,
        _ => 0,
    };
    let digits = if shift > 0 {
        &text[..text.len() - 1]
    } else {
        text
    };
    digits.parse::<u64>().ok()?.checked_mul(1 << shift)
}

fn fuzz(mut args: impl Iterator<Item = String>) -> Result<Fuzz, String> {
    let target = args.next().ok_or("fuzz needs a target")?;
    if !TARGETS.contains(&target.as_str()) {
        let known = TARGETS.join(", ");
        return Err(format!("there is no target '{target}', but {known}"));
    }
    let mut seconds = 60;
    while let Some(arg) = args.next() {
        let value = match arg.split_once('=') {
            Some(("--seconds", value)) => value.to_owned(),
            None if arg == "--seconds" => args.next().ok_or("--seconds needs a value")?,
            _ => return Err(format!("fuzz doesn't know '{arg}'")),
        };
        seconds = value
            .parse()
            .map_err(|_| format!("'{value}' is no number of seconds"))?;
    }
    Ok(Fuzz { target, seconds })
}

fn models(mut args: impl Iterator<Item = String>) -> Result<Models, String> {
    let mut models = Models::default();
    while let Some(arg) = args.next() {
        let (option, inline) = option(arg);
        match option.as_str() {
            "--deep" if inline.is_none() => models.deep = true,
            "-p" | "--package" => models.packages.push(value(&option, inline, &mut args)?),
            _ => return Err(format!("models doesn't know '{option}'")),
        }
    }
    Ok(models)
}

fn mutants(mut args: impl Iterator<Item = String>) -> Result<Mutants, String> {
    let mut mutants = Mutants::default();
    while let Some(arg) = args.next() {
        let (option, inline) = option(arg);
        match option.as_str() {
            "-p" | "--package" => mutants.packages.push(value(&option, inline, &mut args)?),
            "--shard" => {
                let told = value(&option, inline, &mut args)?;
                let shard = told.split_once('/');
                let shard = shard.and_then(|(k, n)| Some((k.parse().ok()?, n.parse().ok()?)));
                let shard = shard.filter(|(k, n)| k < n);
                mutants.shard = Some(shard.ok_or_else(|| format!("'{told}' is no part K/N"))?);
            }
            _ => return Err(format!("mutants doesn't know '{option}'")),
        }
    }
    Ok(mutants)
}

/// Takes `--option=value` apart.
fn option(arg: String) -> (String, Option<String>) {
    match arg.split_once('=') {
        Some((option, value)) => (option.to_owned(), Some(value.to_owned())),
        None => (arg, None),
    }
}

/// The value of an option: behind its `=`, or else the next argument.
fn value(
    option: &str,
    inline: Option<String>,
    args: &mut impl Iterator<Item = String>,
) -> Result<String, String> {
    inline
        .or_else(|| args.next())
        .ok_or_else(|| format!("{option} needs a value"))
}

fn selection(mut args: impl Iterator<Item = String>) -> Result<Selection, String> {
    let mut selection = Selection::default();
    while let Some(arg) = args.next() {
        let (option, inline) = option(arg);
        match option.as_str() {
            "--" if inline.is_none() => {
                selection.test_args = args.by_ref().collect();
            }
            "--only" | "-p" | "--package" => {
                let value = value(&option, inline, &mut args)?;
                if option == "--only" {
                    let step = Step::by_name(&value)
                        .ok_or_else(|| format!("there is no step '{value}'"))?;
                    selection.only.push(step);
                } else {
                    selection.packages.push(value);
                }
            }
            _ => return Err(format!("test doesn't know '{option}'")),
        }
    }
    Ok(selection)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Command, String> {
        parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn parts_can_be_selected() {
        let command =
            parsed("test --only tests --only=docs -p pagecache -p=compress -- name --nocapture");
        assert_eq!(
            command,
            Ok(Command::Test(Selection {
                only: vec![Step::Tests, Step::Docs],
                packages: vec!["pagecache".into(), "compress".into()],
                test_args: vec!["name".into(), "--nocapture".into()],
            }))
        );
        assert_eq!(parsed("test"), Ok(Command::Test(Selection::default())));
        assert_eq!(parsed("tidy"), Ok(Command::Tidy));
        assert_eq!(parsed("test --help"), Ok(Command::Help));
        let fuzz = |seconds| {
            Ok(Command::Fuzz(Fuzz {
                target: "lzo".into(),
                seconds,
            }))
        };
        assert_eq!(parsed("fuzz lzo"), fuzz(60));
        assert_eq!(parsed("fuzz lzo --seconds 5"), fuzz(5));
        assert_eq!(parsed("fuzz lzo --seconds=7"), fuzz(7));
    }

    #[test]
    fn models_and_mutants_of_some_crates() {
        let some = |deep| {
            Ok(Command::Models(Models {
                deep,
                packages: vec!["delalloc".into()],
            }))
        };
        assert_eq!(parsed("models"), Ok(Command::Models(Models::default())));
        assert_eq!(parsed("models -p delalloc"), some(false));
        assert_eq!(parsed("models --deep --package=delalloc"), some(true));
        let mutants = Mutants {
            packages: vec!["compress".into()],
            shard: Some((0, 2)),
        };
        let command = parsed("mutants -p compress --shard 0/2");
        assert_eq!(command, Ok(Command::Mutants(mutants)));
    }

    #[test]
    fn benchmarks_have_sizes() {
        let mut wanted = Bench::new(What::Read);
        wanted.size = 32 << 20;
        wanted.files = 500;
        wanted.rounds = 1;
        wanted.only = Some("kernel".into());
        wanted.plots = Some("plots".into());
        let line = "bench read --size=32M --files 500 --rounds 1 --only kernel --plots plots";
        assert_eq!(parsed(line), Ok(Command::Bench(wanted)));
        let peers = |args: &[&str]| {
            let args = args.iter().map(|arg| (*arg).to_owned()).collect();
            Ok(Command::Peers(Peers { args }))
        };
        assert_eq!(parsed("bench peers"), peers(&[]));
        let args = peers(&["--bench", "images"]);
        assert_eq!(parsed("bench peers --bench images"), args);
        assert_eq!(size("7"), Some(7));
        assert_eq!(size("3K"), Some(3072));
        assert_eq!(size("99999999999999999999"), None);
        assert_eq!(size("99999999999999G"), None);
        assert_eq!(size(""), None);
    }

    #[test]
    fn what_is_not_understood_is_named() {
        for (line, named) in [
            ("", "command"),
            ("tset", "tset"),
            ("test --only", "--only"),
            ("test --only lint", "lint"),
            ("test --fast", "--fast"),
            ("tidy up", "up"),
            ("fuzz", "target"),
            ("bench", "pack"),
            ("bench write", "write"),
            ("bench pack --size 1T", "1T"),
            ("bench pack --rounds", "--rounds"),
            ("bench read --speed 3", "--speed"),
            ("fuzz lz5", "lz5"),
            ("fuzz lzo --seconds x", "x"),
            ("fuzz lzo --minutes 1", "--minutes"),
            ("models --deep=3", "--deep"),
            ("models -p", "-p"),
            ("mutants --shard 2/2", "2/2"),
            ("mutants --shard 1", "1"),
            ("mutants --fast", "--fast"),
        ] {
            assert!(parsed(line).unwrap_err().contains(named), "{line}");
        }
    }
}
