//! What the tests share: running the command, trees of all kinds, and comparing them.
#![allow(
    dead_code,
    clippy::allow_attributes,
    reason = "each test file is a crate of its own and uses a part"
)]

pub(crate) mod snapshot;
pub(crate) mod tree;
#[path = "../../../btrfs-volume/tests/support/umount.rs"]
mod umount;

pub(crate) use umount::umount;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use btrfs_volume::device::FileDevice;
use btrfs_volume::{MkfsOptions, Volume};

/// Gives numbers below what it is asked for, always the same ones for a seed.
pub(crate) fn random(seed: u64) -> impl FnMut(u64) -> u64 {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    move |most| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % most
    }
}

/// A volume on a new file.
pub(crate) fn new_image(image: &Path, size: u64) -> Volume {
    let mut file = fs::File::options();
    let file = file.read(true).write(true).create_new(true);
    let device = FileDevice::from_file(file.open(image).unwrap());
    let mut options = MkfsOptions::default();
    options.size = Some(size);
    Volume::mkfs(Arc::new(device), &options).unwrap()
}

/// Runs `ubtrfs`.
pub(crate) fn ubtrfs<S: AsRef<std::ffi::OsStr>>(args: &[S]) -> Output {
    let run = Command::new(env!("CARGO_BIN_EXE_ubtrfs"))
        .args(args)
        .stdin(Stdio::null())
        .output();
    run.unwrap()
}

/// Runs `ubtrfs`, which must succeed and say nothing on stderr; its output.
pub(crate) fn ubtrfs_ok<S: AsRef<std::ffi::OsStr> + std::fmt::Debug>(args: &[S]) -> Vec<u8> {
    let output = ubtrfs(args);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && stderr.is_empty(),
        "{args:?}: {}: {stderr}",
        output.status
    );
    output.stdout
}

/// Runs another program, which must succeed; its output.
pub(crate) fn tool(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output().unwrap();
    let told = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success(), "{program} {args:?}: {told}");
    told
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Notes that a test, or a part of it, was skipped.
pub(crate) fn skip(test: &str, why: &str) {
    println!("{test}: skipped: {why}");
    if let Some(list) = std::env::var_os("UBTRFS_SKIPS") {
        let list = fs::OpenOptions::new().create(true).append(true).open(list);
        list.unwrap()
            .write_all(format!("{test}: {why}\n").as_bytes())
            .unwrap();
    }
}

/// Whether btrfs-progs is there; noted as skipped if not.
pub(crate) fn has_progs(test: &str) -> bool {
    let there = Command::new("btrfs").arg("--version").output().is_ok();
    if !there {
        skip(test, "btrfs-progs is not installed");
    }
    there
}

/// Whether images can be mounted; noted as skipped if not.
pub(crate) fn can_mount(test: &str) -> bool {
    let kernel = fs::read_to_string("/proc/filesystems").unwrap_or_default();
    // The module may not be loaded yet.
    let known = kernel.contains("btrfs")
        || Command::new("modprobe")
            .arg("btrfs")
            .output()
            .is_ok_and(|out| out.status.success());
    let can = is_root() && known && Path::new("/dev/loop-control").exists();
    if !can {
        skip(
            test,
            "mounting needs root, loop devices and a kernel with btrfs",
        );
    }
    can
}

/// `btrfs check` finds nothing.
pub(crate) fn check(image: &Path) {
    let args = ["check", "--readonly", "--check-data-csum", text(image)];
    let output = Command::new("btrfs").args(args).output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    assert!(told.contains("no error found"), "{told}");
    for word in ["error:", "WARNING", "mismatch"] {
        assert!(!told.contains(word), "{told}");
    }
}

/// An image that is mounted by the kernel until this is dropped.
pub(crate) struct Mounted {
    at: PathBuf,
    mounted: bool,
}

impl Mounted {
    pub(crate) fn new(image: &Path, at: &Path, options: &str) -> Self {
        fs::create_dir_all(at).unwrap();
        tool("mount", &["-o", options, text(image), text(at)]);
        Self {
            at: at.to_owned(),
            mounted: true,
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.at
    }

    pub(crate) fn unmount(mut self) {
        self.mounted = false;
        umount(&self.at);
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if self.mounted {
            let _ = Command::new("umount").arg(&self.at).output();
        }
    }
}

/// An empty image of 300 MiB that `mkfs.btrfs` made, mounted at `mnt` beside it. `None`, noted as
/// skipped, where that cannot be.
pub(crate) fn kernel_image(
    test: &str,
    dir: &Path,
    mkfs: &[&str],
    options: &str,
) -> Option<(PathBuf, Mounted)> {
    if !has_progs(test) || !can_mount(test) {
        return None;
    }
    let image = dir.join("image");
    fs::File::create(&image)
        .unwrap()
        .set_len(300 << 20)
        .unwrap();
    tool("mkfs.btrfs", &[&["-q"], mkfs, &[text(&image)]].concat());
    let mounted = Mounted::new(&image, &dir.join("mnt"), options);
    Some((image, mounted))
}
