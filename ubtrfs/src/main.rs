//! The `ubtrfs` command: btrfs outside the kernel.

mod cli;
mod commands;
mod failure;
mod image;
mod quote;

use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Command};
use failure::Failure;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match cli.command {
        Command::Pack(args) => commands::pack::run(&args),
        Command::Ls(args) => commands::ls::run(&args),
        Command::Cat(args) => commands::cat::run(&args),
        Command::Info(args) => commands::info::run(&args),
        Command::Usage(args) => commands::usage::run(&args),
    };
    match result {
        // A reader that has seen enough is no failure.
        Ok(()) | Err(Failure::Closed) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("ubtrfs: {failure}");
            ExitCode::FAILURE
        }
    }
}
