//! The command line.

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
        "fuzz" => fuzz(args).map(Command::Fuzz),
        "test" => selection(args).map(Command::Test),
        other => Err(format!("there is no command '{other}'")),
    }
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
    fn what_is_not_understood_is_named() {
        for (line, named) in [
            ("", "command"),
            ("tset", "tset"),
            ("test --only", "--only"),
            ("test --only lint", "lint"),
            ("test --fast", "--fast"),
            ("tidy up", "up"),
            ("fuzz", "target"),
            ("fuzz lz4", "lz4"),
            ("fuzz lzo --seconds x", "x"),
            ("fuzz lzo --minutes 1", "--minutes"),
        ] {
            assert!(parsed(line).unwrap_err().contains(named), "{line}");
        }
    }
}
