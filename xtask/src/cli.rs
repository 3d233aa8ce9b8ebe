//! The command line.

use crate::bench::{Bench, What};
use crate::fuzz::{Fuzz, TARGETS};
use crate::steps::{Selection, Step};

pub(crate) const HELP: &str = "\
cargo xtask test [--only STEP]... [-p CRATE]... [-- TEST_ARGS...]
    Runs all steps, or those named, on all crates, or those named:
        fmt        the code is formatted
        clippy     no warnings, all targets, all features
        tidy       see below
        tests      unit tests, integration tests, examples
        doctests   the examples in the documentation
        docs       the documentation builds without warnings
    and prints the tests that were skipped, and a summary.
    TEST_ARGS go to the test programs: a name, --nocapture, ...

cargo xtask tidy
    Checks what no compiler does: layers, names, sizes, documents.

cargo xtask bench pack|read [--rounds N] [--size SIZE] [--files N] [--dir DIR]
                  [--mkfs PROGRAM] [--only NAME]
    Compares us with the kernel, mkfs.btrfs, mksquashfs and the limit, taking
    turns for N rounds (3), and prints tables. The corpus is a file of SIZE (1G)
    and N small files (50000) made of what the machine has, in DIR (/dev/shm
    where it has room). The kernel takes part for root only. PROGRAM is the
    mkfs.btrfs to compare with. NAME: only contestants whose name contains it.

cargo xtask fuzz TARGET [--seconds N]
    Feeds TARGET (image, zlib, lzo or zstd) with hostile input for N seconds
    (60), guided by coverage. Needs a C++ compiler. What it learns is kept in
    target/fuzz/TARGET, and input that breaks something in target/fuzz.";

#[derive(Debug, PartialEq)]
pub(crate) enum Command {
    Help,
    Test(Selection),
    Tidy,
    Fuzz(Fuzz),
    Bench(Bench),
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
        "bench" => bench(args).map(Command::Bench),
        "fuzz" => fuzz(args).map(Command::Fuzz),
        "test" => selection(args).map(Command::Test),
        other => Err(format!("there is no command '{other}'")),
    }
}

fn bench(mut args: impl Iterator<Item = String>) -> Result<Bench, String> {
    let mut bench = match args.next().as_deref() {
        Some("pack") => Bench::new(What::Pack),
        Some("read") => Bench::new(What::Read),
        Some(other) => return Err(format!("bench knows pack and read, not '{other}'")),
        None => return Err("bench needs pack or read".into()),
    };
    while let Some(arg) = args.next() {
        let (option, inline) = match arg.split_once('=') {
            Some((option, value)) => (option.to_owned(), Some(value.to_owned())),
            None => (arg, None),
        };
        let known = ["--rounds", "--size", "--files", "--dir", "--mkfs", "--only"];
        if !known.contains(&option.as_str()) {
            return Err(format!("bench doesn't know '{option}'"));
        }
        let value = inline
            .or_else(|| args.next())
            .ok_or_else(|| format!("{option} needs a value"))?;
        let number = || size(&value).ok_or_else(|| format!("{option}: '{value}' is no number"));
        match option.as_str() {
            "--rounds" => bench.rounds = number()?.max(1) as usize,
            "--size" => bench.size = number()?.max(1),
            "--files" => bench.files = number()? as usize,
            "--dir" => bench.dir = Some(value.into()),
            "--mkfs" => bench.mkfs = value,
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

fn selection(mut args: impl Iterator<Item = String>) -> Result<Selection, String> {
    let mut selection = Selection::default();
    while let Some(arg) = args.next() {
        let (option, inline) = match arg.split_once('=') {
            Some((option, value)) => (option.to_owned(), Some(value.to_owned())),
            None => (arg, None),
        };
        match option.as_str() {
            "--" if inline.is_none() => {
                selection.test_args = args.by_ref().collect();
            }
            "--only" | "-p" | "--package" => {
                let value = inline
                    .or_else(|| args.next())
                    .ok_or_else(|| format!("{option} needs a value"))?;
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
    fn benchmarks_have_sizes() {
        let mut wanted = Bench::new(What::Read);
        wanted.size = 32 << 20;
        wanted.files = 500;
        wanted.rounds = 1;
        wanted.only = Some("kernel".into());
        let command = parsed("bench read --size=32M --files 500 --rounds 1 --only kernel");
        assert_eq!(command, Ok(Command::Bench(wanted)));
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
            ("fuzz lz4", "lz4"),
            ("fuzz lzo --seconds x", "x"),
            ("fuzz lzo --minutes 1", "--minutes"),
        ] {
            assert!(parsed(line).unwrap_err().contains(named), "{line}");
        }
    }
}
