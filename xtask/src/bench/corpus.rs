//! What is packed and read: what any machine with a Rust toolchain has.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fmt};

/// Larger ones are not small.
const SMALL: u64 = 64 << 10;

/// One large file and a tree of small ones.
pub(crate) struct Corpus {
    /// Holds nothing but the large file, `big`.
    pub(crate) large: PathBuf,
    pub(crate) large_bytes: u64,
    /// How often the machine's files were taken.
    times: usize,
    pub(crate) small: PathBuf,
    small_files: usize,
    small_bytes: u64,
}

impl Corpus {
    pub(crate) fn make(dir: &Path, size: u64, files: usize) -> io::Result<Self> {
        let (large, small) = (dir.join("large"), dir.join("small"));
        fs::create_dir_all(&large)?;
        let sysroot = sysroot()?;
        let mut to = File::create(large.join("big"))?;
        let (mut made, mut times) = (0, 0);
        while made < size {
            let before = made;
            times += 1;
            for source in [&sysroot, Path::new("/usr/lib"), Path::new("/usr/include")] {
                walk(source, &mut |path, _| {
                    let rest = size - made;
                    if let Ok(from) = File::open(path) {
                        made += io::copy(&mut from.take(rest), &mut to)?;
                    }
                    Ok(made < size)
                })?;
            }
            if made == before {
                return Err(io::Error::other("there are no files to make a corpus of"));
            }
        }
        to.flush()?;
        let mut corpus = Self {
            large,
            large_bytes: made,
            times,
            small,
            small_files: 0,
            small_bytes: 0,
        };
        corpus.copy_small(&sysroot, files)?;
        Ok(corpus)
    }

    fn copy_small(&mut self, sysroot: &Path, files: usize) -> io::Result<()> {
        let home = env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
        let cargo = env::var_os("CARGO_HOME").map_or(home.join(".cargo"), PathBuf::from);
        let registry = cargo.join("registry/src");
        let sources = [
            Path::new("/usr/include"),
            Path::new("/usr/share"),
            Path::new("/usr/lib"),
            &registry,
            sysroot,
        ];
        fs::create_dir_all(&self.small)?;
        for (n, source) in sources.into_iter().enumerate() {
            let to = self.small.join(n.to_string());
            walk(source, &mut |path, len| {
                if len > SMALL {
                    return Ok(true);
                }
                let inside = path.strip_prefix(source).unwrap_or(path);
                let to = to.join(inside);
                if let Some(parent) = to.parent() {
                    fs::create_dir_all(parent)?;
                }
                if let Ok(copied) = fs::copy(path, &to) {
                    self.small_files += 1;
                    self.small_bytes += copied;
                }
                Ok(self.small_files < files)
            })?;
        }
        Ok(())
    }

    /// Bytes of what a group works on.
    pub(crate) fn bytes(&self, group: &str) -> u64 {
        match group.contains("small") {
            true => self.small_bytes,
            false => self.large_bytes,
        }
    }
}

impl fmt::Display for Corpus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "one file of {} MiB (the Rust toolchain, system libraries and headers",
            self.large_bytes >> 20
        )?;
        if self.times > 1 {
            write!(f, ", {} times over", self.times)?;
        }
        write!(
            f,
            "); {} files of at most 64 KiB, {} MiB together",
            self.small_files,
            self.small_bytes >> 20
        )
    }
}

fn sysroot() -> io::Result<PathBuf> {
    let rustc = env::var_os("RUSTC").unwrap_or("rustc".into());
    let output = Command::new(rustc).args(["--print", "sysroot"]).output()?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().into())
}

/// Shows every regular file below `dir` with its length, in the order of the names, until `visit`
/// says that it has enough; whether it wants more. What cannot be read is passed over.
fn walk(dir: &Path, visit: &mut dyn FnMut(&Path, u64) -> io::Result<bool>) -> io::Result<bool> {
    let Ok(entries) = fs::read_dir(dir) else {
        return Ok(true);
    };
    let mut entries: Vec<_> = entries.flatten().collect();
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let Ok(metadata) = entry.metadata() else {
            continue;
        };
        let more = if metadata.is_dir() {
            walk(&entry.path(), visit)?
        } else if metadata.is_file() {
            visit(&entry.path(), metadata.len())?
        } else {
            true
        };
        if !more {
            return Ok(false);
        }
    }
    Ok(true)
}
