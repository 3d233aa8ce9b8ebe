//! The command `ubtrfs`.

use std::process::ExitCode;

fn main() -> ExitCode {
    ubtrfs::main(std::env::args_os())
}
