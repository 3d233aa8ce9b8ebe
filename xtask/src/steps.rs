//! `cargo xtask test`: steps, each of which runs whatever became of the others.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use std::{env, io};

use crate::models::{self, Models};
use crate::{skips, tidy};

/// What to run, of what; empty lists mean everything.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Selection {
    pub(crate) only: Vec<Step>,
    pub(crate) packages: Vec<String>,
    pub(crate) test_args: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Step {
    Fmt,
    Clippy,
    Tidy,
    Tests,
    Models,
    Doctests,
    Docs,
}

impl Step {
    const ALL: [Self; 7] = [
        Self::Fmt,
        Self::Clippy,
        Self::Tidy,
        Self::Tests,
        Self::Models,
        Self::Doctests,
        Self::Docs,
    ];

    pub(crate) fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|step| step.name() == name)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Fmt => "fmt",
            Self::Clippy => "clippy",
            Self::Tidy => "tidy",
            Self::Tests => "tests",
            Self::Models => "models",
            Self::Doctests => "doctests",
            Self::Docs => "docs",
        }
    }
}

/// Runs the selected steps and prints how they went; `false` if one failed.
pub(crate) fn run(root: &Path, selection: &Selection) -> io::Result<bool> {
    let list = skips::begin(root)?;
    let mut results = Vec::new();
    for step in Step::ALL {
        if !selection.only.is_empty() && !selection.only.contains(&step) {
            continue;
        }
        println!("==> {}", step.name());
        let start = Instant::now();
        let passed = match arguments(step, selection) {
            None if step == Step::Models => {
                let packages = selection.packages.clone();
                let deep = false;
                models::run(root, &Models { deep, packages })?
            }
            None => tidy::run(root, &selection.packages)?,
            Some(arguments) => {
                let mut cargo = Command::new(env::var_os("CARGO").unwrap_or("cargo".into()));
                cargo.args(arguments).current_dir(root);
                cargo.env(skips::VARIABLE, &list);
                if step == Step::Docs {
                    cargo.env("RUSTDOCFLAGS", "-D warnings");
                }
                cargo.status()?.success()
            }
        };
        results.push((step, passed, start.elapsed()));
    }
    println!("==> summary");
    let skips_allowed = skips::report(&list)?;
    for (step, passed, time) in &results {
        println!("{}", line(*step, *passed, *time));
    }
    Ok(skips_allowed && results.iter().all(|(_, passed, _)| *passed))
}

fn line(step: Step, passed: bool, time: Duration) -> String {
    let result = if passed { "ok" } else { "FAILED" };
    format!(
        "{:<9} {result:<7} {:>6.1} s",
        step.name(),
        time.as_secs_f64()
    )
}

/// Cargo's arguments for a step; `None` if the step isn't cargo's.
fn arguments(step: Step, selection: &Selection) -> Option<Vec<String>> {
    let mut arguments: Vec<String> = match step {
        Step::Fmt => words("fmt --check"),
        Step::Clippy => words("clippy --all-targets --all-features"),
        Step::Tidy | Step::Models => return None,
        Step::Tests => words("test --all-features --no-fail-fast --lib --bins --tests --examples"),
        Step::Doctests => words("test --all-features --no-fail-fast --doc"),
        Step::Docs => words("doc --all-features --no-deps"),
    };
    if selection.packages.is_empty() {
        let all = if step == Step::Fmt {
            "--all"
        } else {
            "--workspace"
        };
        arguments.push(all.to_owned());
    }
    for package in &selection.packages {
        arguments.extend(["--package".to_owned(), package.clone()]);
    }
    match step {
        Step::Clippy => arguments.extend(words("-- -D warnings")),
        Step::Tests | Step::Doctests if !selection.test_args.is_empty() => {
            arguments.push("--".to_owned());
            arguments.extend(selection.test_args.iter().cloned());
        }
        _ => {}
    }
    Some(arguments)
}

fn words(line: &str) -> Vec<String> {
    line.split(' ').map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(step: Step, selection: &Selection) -> String {
        arguments(step, selection).unwrap().join(" ")
    }

    #[test]
    fn every_step_has_its_name() {
        for step in Step::ALL {
            assert_eq!(Step::by_name(step.name()), Some(step));
        }
        assert_eq!(Step::by_name("bench"), None);
    }

    #[test]
    fn the_whole_workspace_or_some_crates() {
        let all = Selection::default();
        assert_eq!(joined(Step::Fmt, &all), "fmt --check --all");
        assert_eq!(
            joined(Step::Clippy, &all),
            "clippy --all-targets --all-features --workspace -- -D warnings"
        );
        let some = Selection {
            packages: vec!["a".into(), "b".into()],
            test_args: vec!["name".into()],
            ..Selection::default()
        };
        assert_eq!(
            joined(Step::Doctests, &some),
            "test --all-features --no-fail-fast --doc --package a --package b -- name"
        );
        assert_eq!(
            joined(Step::Docs, &some),
            "doc --all-features --no-deps --package a --package b"
        );
        assert_eq!(arguments(Step::Tidy, &some), None);
        assert_eq!(arguments(Step::Models, &some), None);
    }
}
