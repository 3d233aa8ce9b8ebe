//! What a developer of ubtrfs runs: `cargo xtask test`, `models`, `mutants`, `tidy`, `bench` and
//! `fuzz`.
#![cfg_attr(test, expect(clippy::unwrap_used, reason = "a test may panic"))]

mod bench;
mod cli;
mod fuzz;
mod models;
mod mutants;
mod skips;
mod source;
mod steps;
mod sync;
mod tidy;
mod tree;
mod workspace;

use std::process::ExitCode;

use cli::Command;

fn main() -> ExitCode {
    let root = workspace::root();
    let result = match cli::parse(std::env::args().skip(1)) {
        Ok(Command::Help) => {
            println!("{}", cli::HELP);
            Ok(true)
        }
        Ok(Command::Test(selection)) => steps::run(&root, &selection),
        Ok(Command::Models(what)) => models::run(&root, &what),
        Ok(Command::Mutants(what)) => mutants::run(&root, &what),
        Ok(Command::Bench(what)) => bench::run(&root, &what),
        Ok(Command::Peers(what)) => bench::run_peers(&root, &what),
        Ok(Command::Fuzz(what)) => fuzz::run(&root, &what),
        Ok(Command::Tidy) => tidy::run(&root, &[]),
        Err(message) => {
            eprintln!("xtask: {message}\n\n{}", cli::HELP);
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("xtask: {error}");
            ExitCode::FAILURE
        }
    }
}
