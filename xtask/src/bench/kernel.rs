//! The kernel's btrfs, on a loop device.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use super::Contestant;
use super::figures::{Sample, Size};
use super::program::{allocated, load, timed};

/// A mounted image; unmounted with it.
pub(crate) struct Mount(PathBuf);

impl Mount {
    /// `at` is made.
    pub(crate) fn new(image: &Path, at: &Path, options: &str) -> io::Result<Self> {
        fs::create_dir_all(at)?;
        call(&["mount", "-t", "btrfs", "-o", options, text(image), text(at)])?;
        Ok(Self(at.to_owned()))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if let Err(error) = call(&["umount", text(&self.0)]) {
            eprintln!("{error}");
        }
        // Only if it is empty, which it is unless that failed.
        let _ = fs::remove_dir(&self.0);
    }
}

/// Why the kernel cannot take part.
pub(crate) fn why_not() -> Option<String> {
    let root = Command::new("id").arg("-u").output();
    if !root.is_ok_and(|out| out.stdout == b"0\n") {
        return Some("mounting needs root".into());
    }
    // It may be a module that is not loaded yet.
    let _ = Command::new("modprobe").arg("btrfs").output();
    let known = fs::read_to_string("/proc/filesystems").unwrap_or_default();
    if !known.contains("btrfs") {
        return Some("the kernel has no btrfs".into());
    }
    if !Path::new("/dev/loop-control").exists() {
        return Some("there are no loop devices".into());
    }
    let progs = Command::new("btrfs").arg("--version").output();
    progs.err().map(|_| "btrfs-progs is not installed".into())
}

/// A copy into a fresh, mounted filesystem, and a sync.
pub(crate) struct Write {
    pub(crate) group: &'static str,
    pub(crate) from: PathBuf,
    pub(crate) image: PathBuf,
    pub(crate) bytes: u64,
    /// Mount option, if any.
    pub(crate) compress: Option<String>,
}

impl Contestant for Write {
    fn name(&self) -> String {
        match &self.compress {
            Some(option) => format!("kernel, {option}, cp + sync"),
            None => "kernel, cp + sync".to_owned(),
        }
    }

    fn group(&self) -> &'static str {
        self.group
    }

    fn round(&mut self, measure_size: bool) -> io::Result<Sample> {
        make_fresh(&self.image, 2 * self.bytes + (4 << 30))?;
        let at = self.image.with_extension("mounted");
        let options = match &self.compress {
            Some(option) => format!("loop,{option}"),
            None => "loop".to_owned(),
        };
        let mount = Mount::new(&self.image, &at, &options)?;
        let start = Instant::now();
        timed(&["cp", "-a", text(&self.from), text(&at)])?;
        timed(&["sync", "-f", text(&at)])?;
        let seconds = start.elapsed().as_secs_f64();
        let mut size = None;
        if measure_size {
            size = Some(Size {
                file: allocated(&self.image)?,
                ..used(&at)?
            });
        }
        drop(mount);
        fs::remove_file(&self.image)?;
        Ok(Sample {
            seconds,
            peak: None,
            size,
        })
    }
}

/// Something done with what is on a mounted image that the kernel has not cached.
pub(crate) struct ColdRead {
    pub(crate) group: &'static str,
    pub(crate) name: String,
    pub(crate) image: PathBuf,
    /// A shell command; `$0` is where the image is mounted.
    pub(crate) script: String,
    /// Removed before each round.
    pub(crate) output: Option<PathBuf>,
}

impl Contestant for ColdRead {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn group(&self) -> &'static str {
        self.group
    }

    fn round(&mut self, _: bool) -> io::Result<Sample> {
        let remove = || match &self.output {
            Some(output) if output.exists() => fs::remove_dir_all(output),
            _ => Ok(()),
        };
        remove()?;
        let at = self.image.with_extension("mounted");
        let mount = Mount::new(&self.image, &at, "loop,ro")?;
        fs::write("/proc/sys/vm/drop_caches", "3")?;
        // The programs are not what is measured.
        ["sh", "cat", "cp"].into_iter().for_each(load);
        let sample = timed(&["sh", "-c", &self.script, text(&at)])?;
        drop(mount);
        remove()?;
        Ok(Sample {
            peak: None,
            ..sample
        })
    }
}

/// Makes an empty filesystem in a sparse file.
pub(crate) fn make_fresh(image: &Path, size: u64) -> io::Result<()> {
    File::create(image)?.set_len(size)?;
    call(&["mkfs.btrfs", "-q", "-f", text(image)])
}

/// How large an image is, and what is used of it where the kernel can tell.
pub(crate) fn size_of_image(image: &Path) -> io::Result<Size> {
    let file = allocated(image)?;
    if why_not().is_some() {
        return Ok(Size {
            file,
            ..Size::default()
        });
    }
    let at = image.with_extension("mounted");
    let _mount = Mount::new(image, &at, "loop,ro")?;
    Ok(Size { file, ..used(&at)? })
}

fn used(at: &Path) -> io::Result<Size> {
    let output = Command::new("btrfs")
        .args(["filesystem", "df", "-b", text(at)])
        .output()?;
    Ok(parse_df(&String::from_utf8_lossy(&output.stdout)))
}

/// `Data, single: total=8388608, used=65536` and so on; DUP counts once.
fn parse_df(told: &str) -> Size {
    let of = |kind: &str| {
        let lines = told.lines().filter(|line| line.starts_with(kind));
        let used = lines.filter_map(|line| line.split("used=").nth(1)?.trim().parse::<u64>().ok());
        used.reduce(|a, b| a + b)
    };
    Size {
        data: of("Data"),
        metadata: of("Metadata"),
        file: 0,
    }
}

/// Runs a program that must succeed.
pub(crate) fn call(words: &[&str]) -> io::Result<()> {
    timed(words).map(drop)
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().expect("temporary names are UTF-8")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_btrfs_tells_of_its_space() {
        let told = "Data, single: total=335544320, used=334782464\n\
                    System, DUP: total=8388608, used=16384\n\
                    Metadata, DUP: total=18874368, used=1851392\n\
                    GlobalReserve, single: total=5767168, used=0\n";
        let size = parse_df(told);
        assert_eq!(size.data, Some(334_782_464));
        assert_eq!(size.metadata, Some(1_851_392));
        assert_eq!(parse_df("ERROR: not a btrfs filesystem").data, None);
    }
}
