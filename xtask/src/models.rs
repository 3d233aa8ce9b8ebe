//! `cargo xtask models`: the model checkers on the crates that park and wake.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};
use std::{env, io};

use crate::workspace;

/// How many schedules to try, of which crates; an empty list means all.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Models {
    pub(crate) deep: bool,
    pub(crate) packages: Vec<String>,
}

/// A model checker, which `--cfg NAME` puts in the place of locks and threads.
struct Checker {
    name: &'static str,
    /// The module that its tests are in.
    module: &'static str,
    crates: &'static [&'static str],
    /// The variable that says how far to look, and what a deep look is.
    depth: (&'static str, &'static str),
}

const CHECKERS: [Checker; 2] = [
    Checker {
        name: "shuttle",
        module: "models",
        crates: &[
            "extent-tree",
            "pagecache",
            "delalloc",
            "ordered-wq",
            "compress",
            "fs-core",
        ],
        depth: ("UBTRFS_MODEL_ITERATIONS", "100000"),
    },
    Checker {
        name: "loom",
        module: "orderings",
        crates: &["ordered-wq"],
        depth: ("LOOM_MAX_PREEMPTIONS", "4"),
    },
];

/// Runs them and prints a line for each crate; `false` if one failed.
///
/// Each checker builds in a directory of its own, since its flag concerns every
/// crate: the ordinary builds stay as they are.
pub(crate) fn run(root: &Path, models: &Models) -> io::Result<bool> {
    let mut passed = true;
    let mut any = false;
    for checker in &CHECKERS {
        let mut crates = checker.crates.to_vec();
        if !models.packages.is_empty() {
            crates.retain(|name| models.packages.iter().any(|wanted| wanted == name));
        }
        if crates.is_empty() {
            continue;
        }
        any = true;
        let Some(programs) = build(root, checker, &crates)? else {
            println!("{}: the models don't build", checker.name);
            passed = false;
            continue;
        };
        for name in crates {
            let prefix = format!("{}-", name.replace('-', "_"));
            let of_crate = |path: &&PathBuf| {
                let file = path.file_name().map(|file| file.to_string_lossy());
                file.is_some_and(|file| file.starts_with(&prefix))
            };
            let program = programs
                .iter()
                .find(of_crate)
                .ok_or_else(|| io::Error::other(format!("cargo told no test program of {name}")))?;
            let mut program = Command::new(program);
            program.arg(format!("{}::", checker.module));
            program.current_dir(root.join(name));
            if models.deep && env::var_os(checker.depth.0).is_none() {
                program.env(checker.depth.0, checker.depth.1);
            }
            let start = Instant::now();
            let output = program.output()?;
            passed &= report(name, checker, &output, start.elapsed());
        }
    }
    if !any {
        println!("no models there");
    }
    Ok(passed)
}

/// The test programs of the crates; `None` if they don't compile.
fn build(root: &Path, checker: &Checker, crates: &[&str]) -> io::Result<Option<Vec<PathBuf>>> {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or("cargo".into()));
    cargo
        .args(["test", "--no-run", "--quiet", "--lib"])
        .arg("--message-format=json-render-diagnostics")
        .current_dir(root)
        .env("RUSTFLAGS", format!("--cfg {}", checker.name))
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env(
            "CARGO_TARGET_DIR",
            workspace::target_dir(root)
                .join("models")
                .join(checker.name),
        )
        .stderr(std::process::Stdio::inherit());
    for name in crates {
        cargo.args(["--package", name]);
    }
    let output = cargo.output()?;
    let told = String::from_utf8_lossy(&output.stdout);
    Ok(output.status.success().then(|| programs(&told)))
}

/// The programs among cargo's messages, one JSON object a line.
fn programs(messages: &str) -> Vec<PathBuf> {
    let path = |line: &str| {
        let (_, rest) = line.split_once(r#""executable":""#)?;
        let (path, _) = rest.split_once('"')?;
        Some(PathBuf::from(path.replace(r"\\", r"\")))
    };
    messages.lines().filter_map(path).collect()
}

/// Prints how it went, and what the program said if it failed.
fn report(name: &str, checker: &Checker, output: &Output, time: Duration) -> bool {
    let said = String::from_utf8_lossy(&output.stdout);
    let models = passed(&said);
    // None at all is a module that was renamed.
    let ok = output.status.success() && models > 0;
    if !ok {
        print!("{said}{}", String::from_utf8_lossy(&output.stderr));
    }
    println!(
        "{name:<12} {:<8} {models:>2} models {:<7} {:>6.1} s",
        checker.name,
        if ok { "ok" } else { "FAILED" },
        time.as_secs_f64()
    );
    ok
}

/// How many tests passed, as the test program's last line says.
fn passed(said: &str) -> usize {
    let count = |line: &str| {
        let line = line.strip_prefix("test result: ")?;
        let (_, rest) = line.split_once(". ")?;
        rest.split_once(" passed")?.0.parse().ok()
    };
    said.lines().find_map(count).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_among_messages() {
        let messages = r#"{"reason":"compiler-artifact","executable":null,"fresh":true}
{"reason":"compiler-artifact","executable":"/t/deps/ordered_wq-1a2b","fresh":false}
{"reason":"build-finished","success":true}"#;
        assert_eq!(programs(messages), [Path::new("/t/deps/ordered_wq-1a2b")]);
    }

    #[test]
    fn tests_that_passed_are_counted() {
        let said = "running 2 tests\n\ntest result: ok. 2 passed; 0 failed; 0 ignored\n";
        assert_eq!(passed(said), 2);
        assert_eq!(passed("test result: FAILED. 1 passed; 1 failed;"), 1);
        assert_eq!(passed(""), 0);
    }
}
