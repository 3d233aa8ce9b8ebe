//! Images that mkfs.btrfs makes and the kernel fills.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use btrfs_volume::device::{Access, FileDevice, MemDevice};
use btrfs_volume::{OpenOptions as VolumeOptions, Volume};
use tempfile::TempDir;

/// Says that `test` did not run and why: on stderr, and in the file that `UBTRFS_SKIPS` names.
pub fn skip(test: &str, why: &str) {
    eprintln!("{test}: skipped: {why}");
    if let Some(list) = std::env::var_os("UBTRFS_SKIPS") {
        let mut list = OpenOptions::new()
            .append(true)
            .create(true)
            .open(list)
            .unwrap();
        writeln!(list, "{test}: {why}").unwrap();
    }
}

/// An image in a directory of its own, in memory where possible.
pub struct Image {
    dir: TempDir,
}

impl Image {
    /// Makes an image with `mkfs.btrfs MKFS...`. `None`, and a line in the list of skips, where
    /// that cannot be done.
    pub fn make(test: &str, size: u64, mkfs: &[&str]) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            skip(test, "needs root to mount");
            return None;
        }
        if Command::new("mkfs.btrfs")
            .arg("--version")
            .output()
            .is_err()
        {
            skip(test, "needs mkfs.btrfs");
            return None;
        }
        let shm = Path::new("/dev/shm");
        let dir = if shm.is_dir() {
            TempDir::new_in(shm).unwrap()
        } else {
            TempDir::new().unwrap()
        };
        let image = Self { dir };
        let file = fs::File::create(image.path()).unwrap();
        file.set_len(size).unwrap();
        run(Command::new("mkfs.btrfs")
            .arg("-q")
            .args(mkfs)
            .arg(image.path()));
        fs::create_dir(image.mountpoint()).unwrap();
        match image.try_mount("") {
            Ok(mount) => drop(mount),
            Err(why) => {
                skip(test, &format!("cannot mount: {why}"));
                return None;
            }
        }
        Some(image)
    }

    /// The file.
    pub fn path(&self) -> PathBuf {
        self.dir.path().join("image")
    }

    fn mountpoint(&self) -> PathBuf {
        self.dir.path().join("mnt")
    }

    /// Lets the kernel mount it with `options`.
    pub fn mount(&self, options: &str) -> Mount {
        self.try_mount(options).unwrap()
    }

    fn try_mount(&self, options: &str) -> Result<Mount, String> {
        let options = match options {
            "" => "loop".to_owned(),
            more => format!("loop,{more}"),
        };
        let output = Command::new("mount")
            .args(["-t", "btrfs", "-o", &options])
            .arg(self.path())
            .arg(self.mountpoint())
            .output()
            .map_err(|error| error.to_string())?;
        if output.status.success() {
            return Ok(Mount {
                at: self.mountpoint(),
            });
        }
        Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
    }

    /// Opens it with this crate.
    pub fn open(&self) -> Volume {
        let device = FileDevice::open(self.path(), Access::Read).unwrap();
        Volume::open(Arc::new(device), &VolumeOptions::default()).unwrap()
    }

    /// Its bytes.
    pub fn bytes(&self) -> Vec<u8> {
        fs::read(self.path()).unwrap()
    }

    /// A copy in memory.
    pub fn in_memory(&self) -> Arc<MemDevice> {
        Arc::new(MemDevice::from_bytes(&self.bytes()))
    }
}

/// A mounted image; unmounted when dropped.
pub struct Mount {
    at: PathBuf,
}

impl Mount {
    /// Where.
    pub fn at(&self) -> &Path {
        &self.at
    }

    /// `name` in its root.
    pub fn path(&self, name: &str) -> PathBuf {
        self.at.join(name)
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _ = Command::new("umount").arg(&self.at).status();
        } else {
            super::umount::umount(&self.at);
        }
    }
}

/// Runs a command that must succeed; returns its output.
pub fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Runs a line of shell that must succeed, in `dir`.
pub fn shell(dir: &Path, line: &str) -> String {
    run(Command::new("sh").arg("-euc").arg(line).current_dir(dir))
}
