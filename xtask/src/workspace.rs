//! Where the project is, and where it builds.

use std::env;
use std::path::{Path, PathBuf};

/// The workspace's root: the directory above this crate's manifest.
pub(crate) fn root() -> PathBuf {
    let manifest_dir = env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    match manifest_dir.parent() {
        Some(root) => root.to_owned(),
        None => manifest_dir,
    }
}

/// Cargo's target directory, absolute.
pub(crate) fn target_dir(root: &Path) -> PathBuf {
    match env::var_os("CARGO_TARGET_DIR") {
        Some(dir) => root.join(dir),
        None => root.join("target"),
    }
}
