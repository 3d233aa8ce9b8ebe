//! From the arguments to the exit code.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::EnvFilter;

use crate::cli::{Cli, Command};
use crate::error::Error;
use crate::report::{Report, tell};
use crate::{cat, info, ls, mkfs, pack, unpack, usage};

/// Runs the command and tells its exit code.
#[must_use]
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version go to the standard output and are no failure.
            let code = if error.use_stderr() { 2 } else { 0 };
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    if let Ok(filter) = EnvFilter::try_from_env("UBTRFS_LOG") {
        let to_stderr = tracing_subscriber::fmt().with_writer(std::io::stderr);
        to_stderr.with_env_filter(filter).init();
    }
    let mut report = Report::new();
    let result = match cli.command {
        Command::Mkfs(args) => {
            report = report.listening();
            mkfs::run(&args, &report)
        }
        Command::Pack(args) => {
            report = report.listening().with_bar(!args.quiet);
            pack::run(&args, &report)
        }
        Command::Unpack(args) => {
            report = report.listening();
            unpack::run(&args, &report)
        }
        Command::Ls(args) => ls::run(&args, &report),
        Command::Cat(args) => cat::run(&args, &report),
        Command::Info(args) => info::run(&args, &report),
        Command::Usage(args) => usage::run(&args, &report),
    };
    report.end_bar();
    match result {
        Ok(()) if report.problems() == 0 => ExitCode::SUCCESS,
        Ok(()) => ExitCode::FAILURE,
        // Whoever has seen enough is not to be bothered; the shell's convention for SIGPIPE.
        Err(Error::OutputClosed) => ExitCode::from(141),
        Err(error) => {
            tell(&error);
            ExitCode::from(error.exit_code())
        }
    }
}
