//! A contestant that is one process.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::figures::{Sample, Size};
use super::{Contestant, kernel};
use crate::sync::{RecvTimeoutError, channel, thread};

/// What its output is.
#[derive(Clone, PartialEq)]
pub(crate) enum Output {
    /// Nothing that stays.
    None,
    /// A btrfs image.
    Btrfs(PathBuf),
    /// Another file.
    File(PathBuf),
    /// A directory.
    Dir(PathBuf),
}

pub(crate) struct Program {
    pub(crate) group: &'static str,
    pub(crate) name: String,
    pub(crate) command: Vec<String>,
    pub(crate) output: Output,
    /// Bytes that the output is to have before it starts.
    pub(crate) room: Option<u64>,
}

impl Program {
    pub(crate) fn new(
        group: &'static str,
        name: impl Into<String>,
        command: &[&str],
        output: Output,
    ) -> Self {
        Self {
            group,
            name: name.into(),
            command: command.iter().map(|word| (*word).to_owned()).collect(),
            output,
            room: None,
        }
    }

    fn clean(&self) -> io::Result<()> {
        let removed = match &self.output {
            Output::None => return Ok(()),
            Output::Btrfs(path) | Output::File(path) => fs::remove_file(path),
            Output::Dir(path) => fs::remove_dir_all(path),
        };
        match removed {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

impl Contestant for Program {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn group(&self) -> &'static str {
        self.group
    }

    fn round(&mut self, measure_size: bool) -> io::Result<Sample> {
        self.clean()?;
        if let (Some(room), Output::Btrfs(path)) = (self.room, &self.output) {
            File::create(path)?.set_len(room)?;
        }
        let words: Vec<&str> = self.command.iter().map(String::as_str).collect();
        load(words[0]);
        let mut sample = timed(&words)?;
        if measure_size {
            sample.size = match &self.output {
                Output::None | Output::Dir(_) => None,
                Output::File(path) => Some(Size {
                    file: allocated(path)?,
                    ..Size::default()
                }),
                Output::Btrfs(path) => Some(kernel::size_of_image(path)?),
            };
        }
        self.clean()?;
        Ok(sample)
    }
}

/// Bytes that a file takes up.
pub(crate) fn allocated(path: &Path) -> io::Result<u64> {
    Ok(fs::metadata(path)?.blocks() * 512)
}

/// Brings a program into memory: one that ran before it may have dropped all caches.
pub(crate) fn load(program: &str) {
    // Some fail at that, but they are in memory then, too.
    let _ = Command::new(program).arg("--version").output();
}

/// Runs a program to its end, with its output thrown away.
pub(crate) fn timed(words: &[&str]) -> io::Result<Sample> {
    let (program, args) = words.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    let start = Instant::now();
    let mut child = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| io::Error::other(format!("{program}: {error}")))?;
    let id = child.id();
    // The peak only grows: what it was last is what it was, but for the last moments.
    let (tell, told) = channel::<()>();
    let watcher = thread::spawn(move || {
        let mut peak = None;
        loop {
            peak = peak.max(peak_memory(id));
            let ended = told.recv_timeout(Duration::from_millis(10));
            if ended != Err(RecvTimeoutError::Timeout) {
                return peak;
            }
        }
    });
    let ended = finish(&mut child, words);
    let seconds = start.elapsed().as_secs_f64();
    drop(tell);
    let peak = watcher.join().unwrap_or_default();
    ended?;
    Ok(Sample {
        seconds,
        peak,
        size: None,
    })
}

fn finish(child: &mut Child, words: &[&str]) -> io::Result<()> {
    let mut stderr = String::new();
    if let Some(pipe) = &mut child.stderr {
        io::Read::read_to_string(pipe, &mut stderr)?;
    }
    let status = child.wait()?;
    if status.success() {
        return Ok(());
    }
    let last = stderr.lines().last().unwrap_or_default();
    Err(io::Error::other(format!("{}: {status}: {last}", words[0])))
}

fn peak_memory(process: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    // Nothing yet: it is just being started.
    (kib > 0).then_some(kib << 10)
}
