//! `cargo xtask fuzz`: libFuzzer on one target, on the stable toolchain.

use std::path::Path;
use std::process::Command;
use std::{env, io};

/// What to fuzz, and how long.
#[derive(Debug, PartialEq)]
pub(crate) struct Fuzz {
    pub(crate) target: String,
    pub(crate) seconds: u32,
}

/// As the binaries of `fuzz/libfuzzer` are called.
pub(crate) const TARGETS: [&str; 5] = ["image", "zlib", "lzo", "zstd", "lz4"];

/// What makes the compiler count which branches were taken.
const COVERAGE: &str = "-Cpasses=sancov-module -Ccodegen-units=1 --cfg fuzzing \
     -Cllvm-args=-sanitizer-coverage-level=4 \
     -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
     -Cllvm-args=-sanitizer-coverage-pc-table \
     -Cllvm-args=-sanitizer-coverage-trace-compares";

/// Runs it; `false` if something was found. What was found, and what was learnt, is in
/// `target/fuzz/TARGET`.
pub(crate) fn run(root: &Path, fuzz: &Fuzz) -> io::Result<bool> {
    let cargo = || {
        let mut cargo = Command::new(env::var_os("CARGO").unwrap_or("cargo".into()));
        cargo.current_dir(root);
        cargo
    };
    let learnt = root.join("target/fuzz").join(&fuzz.target);
    let mut seeds = cargo();
    seeds.args(["run", "--quiet", "--package", "fuzz", "--example", "seeds"]);
    seeds.args(["--", &fuzz.target]).arg(&learnt);
    if !seeds.status()?.success() {
        return Ok(false);
    }
    // With a target, so that build scripts are not counted in.
    let host = host()?;
    let found = root.join(format!("target/fuzz/found-{}-", fuzz.target));
    let mut libfuzzer = cargo();
    libfuzzer
        .args(["run", "--release", "--target", &host, "--bin", &fuzz.target])
        .args(["--manifest-path", "fuzz/libfuzzer/Cargo.toml", "--"])
        .arg(format!("-max_total_time={}", fuzz.seconds))
        .arg(format!("-artifact_prefix={}", found.display()))
        .args(["-timeout=10", "-rss_limit_mb=1024", "-max_len=140000"])
        .arg(&learnt)
        .env("RUSTFLAGS", COVERAGE)
        .env("CARGO_TARGET_DIR", root.join("target/fuzz/build"));
    Ok(libfuzzer.status()?.success())
}

fn host() -> io::Result<String> {
    let rustc = Command::new(env::var_os("RUSTC").unwrap_or("rustc".into()))
        .arg("-vV")
        .output()?;
    let told = String::from_utf8_lossy(&rustc.stdout);
    let host = told.lines().find_map(|line| line.strip_prefix("host: "));
    let host = host.ok_or_else(|| io::Error::other("rustc -vV names no host"))?;
    Ok(host.to_owned())
}
