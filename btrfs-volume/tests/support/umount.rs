//! Unmounting beside tests that start programs.

use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

/// Unmounts. Who is about to run a program on another thread may have forked while a file there was
/// open, and keeps it open for a moment.
pub(crate) fn umount(at: &Path) {
    for _ in 0..500 {
        let output = Command::new("umount").arg(at).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        if output.status.success() {
            return;
        }
        assert!(told.contains("busy"), "umount: {told}");
        thread::sleep(Duration::from_millis(20));
    }
    panic!("{} stays busy", at.display());
}
