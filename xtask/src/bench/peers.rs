//! The benches of the workspace `peers`: crates beside those that are heavy to build.

use std::path::Path;
use std::process::Command;
use std::{env, io};

/// What `cargo bench` is told besides.
#[derive(Debug, PartialEq)]
pub(crate) struct Peers {
    pub(crate) args: Vec<String>,
}

/// Runs them; `false` if one failed, or could not be built.
pub(crate) fn run(root: &Path, peers: &Peers) -> io::Result<bool> {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or("cargo".into()));
    cargo.args(["bench", "--locked"]).args(&peers.args);
    cargo.current_dir(root.join("peers"));
    Ok(cargo.status()?.success())
}
