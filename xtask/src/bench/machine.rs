//! Where it is measured.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use crate::sync::available_parallelism;

/// Where cargo puts what it builds.
pub(crate) fn target_dir(root: &Path) -> io::Result<PathBuf> {
    let cargo = env::var_os("CARGO").unwrap_or("cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--no-deps"])
        .current_dir(root)
        .output()?;
    let told = String::from_utf8_lossy(&output.stdout);
    let dir = told
        .split("\"target_directory\":\"")
        .nth(1)
        .and_then(|rest| rest.split('"').next());
    let dir = dir.ok_or_else(|| io::Error::other("cargo metadata names no target directory"))?;
    Ok(PathBuf::from(dir))
}

/// Shared memory if it has that much room, else the temporary directory.
pub(crate) fn fast_dir(bytes: u64) -> PathBuf {
    let shm = Path::new("/dev/shm");
    let room = Command::new("df")
        .args(["--output=fstype,avail", "-B1", "/dev/shm"])
        .output();
    let told = room.map(|out| String::from_utf8_lossy(&out.stdout).into_owned());
    let told = told.unwrap_or_default();
    let mut words = told.lines().nth(1).unwrap_or_default().split_whitespace();
    let is_tmpfs = words.next() == Some("tmpfs");
    let room = words.next().and_then(|word| word.parse().ok()).unwrap_or(0);
    match is_tmpfs && bytes <= room {
        true => shm.to_owned(),
        false => env::temp_dir(),
    }
}

/// The type of the filesystem that a directory is on.
pub(crate) fn filesystem(dir: &Path) -> String {
    let output = Command::new("df").arg("--output=fstype").arg(dir).output();
    let told = output.map(|out| String::from_utf8_lossy(&out.stdout).into_owned());
    let told = told.unwrap_or_default();
    told.lines().nth(1).unwrap_or("unknown").trim().to_owned()
}

/// Processor, memory, kernel, and what was compared.
pub(crate) fn describe(mkfs: &str) -> String {
    let first = |path: &str, name: &str| {
        let text = fs::read_to_string(path).unwrap_or_default();
        let line = text.lines().find(|line| line.starts_with(name));
        let value = line.and_then(|line| line.split_once(':'));
        value.map_or("unknown".to_owned(), |(_, value)| value.trim().to_owned())
    };
    let memory = first("/proc/meminfo", "MemTotal");
    let memory = memory.trim_end_matches(" kB").parse::<u64>().unwrap_or(0) >> 20;
    let threads = available_parallelism().map_or(1, usize::from);
    [
        format!(
            "{}, {threads} threads, {memory} GiB",
            first("/proc/cpuinfo", "model name")
        ),
        format!(
            "Linux {}",
            fs::read_to_string("/proc/sys/kernel/osrelease")
                .unwrap_or_default()
                .trim()
        ),
        version(&["rustc", "--version"]),
        version(&["btrfs", "--version"]),
        version(&[mkfs, "--version"]),
        version(&["mksquashfs", "-version"]),
    ]
    .join("; ")
}

/// The first line that a program says of itself, without its path.
fn version(command: &[&str]) -> String {
    let output = Command::new(command[0]).args(&command[1..]).output();
    let told = output.map(|out| String::from_utf8_lossy(&out.stdout).into_owned());
    let line = told
        .ok()
        .and_then(|told| told.lines().next().map(str::to_owned));
    let line = line.unwrap_or_else(|| "not installed".into());
    let name = command[0].rsplit('/').next().unwrap_or(command[0]);
    match line.contains(name) {
        true => line,
        false => format!("{name}: {line}"),
    }
}
