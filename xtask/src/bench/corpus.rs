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
    /// Holds nothing but a file that does not shrink.
    pub(crate) noise: PathBuf,
    noise_bytes: u64,
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
                    made += append(path, &mut to, size - made)?;
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
            noise: dir.join("noise"),
            noise_bytes: size / 2,
        };
        fs::create_dir_all(&corpus.noise)?;
        write_noise(&corpus.noise.join("noise"), corpus.noise_bytes)?;
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
        if files == 0 {
            return Ok(());
        }
        for (n, source) in sources.into_iter().enumerate() {
            let to = self.small.join(n.to_string());
            let more = walk(source, &mut |path, len| {
                if len > SMALL {
                    return Ok(true);
                }
                let Ok(contents) = fs::read(path) else {
                    return Ok(true);
                };
                let to = to.join(path.strip_prefix(source).unwrap_or(path));
                if let Some(parent) = to.parent() {
                    fs::create_dir_all(parent)?;
                }
                fs::write(&to, &contents)?;
                self.small_files += 1;
                self.small_bytes += contents.len() as u64;
                Ok(self.small_files < files)
            })?;
            if !more {
                break;
            }
        }
        Ok(())
    }

    /// The directory that a group works on.
    pub(crate) fn dir(&self, group: &str) -> &Path {
        match group {
            _ if group.contains("small") => &self.small,
            _ if group.contains("noise") => &self.noise,
            _ => &self.large,
        }
    }

    /// Bytes of what a group works on.
    pub(crate) fn bytes(&self, group: &str) -> u64 {
        match group {
            _ if group.contains("small") => self.small_bytes,
            _ if group.contains("noise") => self.noise_bytes,
            _ => self.large_bytes,
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
            "); {} files of at most 64 KiB, {} MiB together; {} MiB of noise",
            self.small_files,
            self.small_bytes >> 20,
            self.noise_bytes >> 20
        )
    }
}

/// Bytes of a xorshift generator, the same each time.
fn write_noise(path: &Path, bytes: u64) -> io::Result<()> {
    let mut to = io::BufWriter::with_capacity(1 << 20, File::create(path)?);
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut left = bytes;
    while left > 0 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let word = state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes();
        let len = left.min(8) as usize;
        to.write_all(&word[..len])?;
        left -= len as u64;
    }
    to.flush()
}

/// Appends a file, but at most `most` bytes of it; what cannot be read is left out.
fn append(path: &Path, to: &mut File, most: u64) -> io::Result<u64> {
    let Ok(from) = File::open(path) else {
        return Ok(0);
    };
    let mut from = from.take(most);
    let mut buffer = vec![0; 1 << 20];
    let mut made = 0;
    while let Ok(len @ 1..) = from.read(&mut buffer) {
        to.write_all(&buffer[..len])?;
        made += len as u64;
    }
    Ok(made)
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::super::scratch::Scratch;
    use super::*;

    #[test]
    fn walks_meet_files_in_order_and_follow_no_links() {
        let scratch = Scratch::new(&env::temp_dir(), "walk").unwrap();
        let dir = scratch.dir();
        fs::create_dir_all(dir.join("b/c")).unwrap();
        for name in ["d", "b/c/x", "a"] {
            fs::write(dir.join(name), name).unwrap();
        }
        symlink(dir, dir.join("b/loop")).unwrap();
        let mut met = Vec::new();
        let more = walk(dir, &mut |path, len| {
            met.push((path.strip_prefix(dir).unwrap().to_owned(), len));
            Ok(met.len() < 3)
        });
        assert!(!more.unwrap());
        let wanted = [("a", 1), ("b/c/x", 5), ("d", 1)];
        assert_eq!(met, wanted.map(|(name, len)| (PathBuf::from(name), len)));

        let mut to = File::create(dir.join("to")).unwrap();
        assert_eq!(append(&dir.join("b/c/x"), &mut to, 3).unwrap(), 3);
        assert_eq!(append(&dir.join("missing"), &mut to, 3).unwrap(), 0);
        assert_eq!(append(&dir.join("a"), &mut to, 3).unwrap(), 1);
        assert_eq!(fs::read(dir.join("to")).unwrap(), b"b/ca");
    }

    #[test]
    fn a_corpus_is_as_large_as_asked_for() {
        let scratch = Scratch::new(&env::temp_dir(), "corpus").unwrap();
        let corpus = Corpus::make(scratch.dir(), 100_000, 7).unwrap();
        let large = fs::metadata(corpus.large.join("big")).unwrap().len();
        assert_eq!((large, corpus.large_bytes), (100_000, 100_000));
        let (mut files, mut bytes) = (0, 0);
        walk(&corpus.small, &mut |_, len| {
            files += 1;
            bytes += len;
            Ok(true)
        })
        .unwrap();
        assert_eq!((files, bytes), (7, corpus.small_bytes));
    }
}
