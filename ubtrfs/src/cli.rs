//! The arguments.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use compress::{CodecId, Registry};
use uuid::Uuid;

use crate::size;

const EXAMPLES: &str = "\
Examples:
  ubtrfs pack photos photos.img               make an image out of a directory
  sudo mount -o loop photos.img /mnt          the kernel mounts it
  ubtrfs ls -l photos.img 2024                look at it without the kernel
  ubtrfs cat photos.img 2024/a.jpg > a.jpg
  ubtrfs unpack photos.img /tmp/photos        take everything out again
  ubtrfs usage photos.img                     how well it is compressed

Exit codes: 0 all went well; 1 it failed, or something was left out (which stderr names);
2 the arguments make no sense.";

/// Make, read and take apart compressed btrfs images, without root and without the kernel.
#[derive(Debug, Parser)]
#[command(name = "ubtrfs", version, after_help = EXAMPLES, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make an empty volume in a file
    #[command(after_help = "Example:\n  ubtrfs mkfs -b 1G -L backup backup.img\n\n\
        Without -b the image is as small as a volume can be while still leaving room to work in.")]
    Mkfs(Mkfs),
    /// Make an image out of a directory
    #[command(after_help = PACK_HELP)]
    Pack(Pack),
    /// List a directory of an image
    #[command(after_help = "Example:\n  ubtrfs ls -lR disk.img home\n\n\
        A symbolic link in PATH leads to where it would lead if the image were the root directory.\n\
        Times are shown in UTC. On a terminal control characters in names are escaped.")]
    Ls(Ls),
    /// Write files of an image to the standard output
    #[command(after_help = "Example:\n  ubtrfs cat disk.img etc/passwd etc/group")]
    Cat(Cat),
    /// Take files out of an image
    #[command(after_help = UNPACK_HELP)]
    Unpack(Unpack),
    /// Tell what an image is: label, UUID, size, used, features
    #[command(after_help = "Example:\n  ubtrfs info --json disk.img")]
    Info(Info),
    /// Tell how much space files take, and how well they are compressed
    #[command(after_help = "\
Columns: Disk Usage, what the extents take on disk; Uncompressed, the same before compression;
Referenced, what the files refer to, counted once for each reference, holes left out.
An extent that several files share is counted once in the first two; a file with several names is
counted once in all three (compsize counts it once for each name in the last).

Example:
  ubtrfs usage disk.img var/log")]
    Usage(Usage),
}

const PACK_HELP: &str = "\
Everything that DIR holds arrives: files with their holes, links, devices, owners, modes, times
with nanoseconds, extended attributes and ACLs. The access time is set to the time of the last
change, because reading DIR changes the one that it has. What cannot be read or stored is named on
stderr and left out, and the exit code is 1. IMAGE itself is left out if it is in DIR.

IMAGE appears once it is complete; whatever goes wrong before leaves nothing behind.

The same DIR gives the same image, whatever --threads and --memory are, if --uuid is given and
SOURCE_DATE_EPOCH is set: its value (seconds since 1970) then is the time at which everything was
created and at which its inode was changed. With a --byte-count that just suffices, packing may
fail once and succeed another time.

A GLOB of --exclude without '/' is compared with each name, one with '/' with the path below DIR;
'*' does not match a '/', '**' does; {a,b} matches a and b, [a-z] one letter, and '\\' takes the
meaning from what follows. What is below a directory that is left out is left out, too.

Examples:
  ubtrfs pack photos photos.img
  ubtrfs pack -c zstd:15 --exclude '*.o' --exclude /target src src.img
  SOURCE_DATE_EPOCH=0 ubtrfs pack --uuid 6f1c2f4e-0f0a-4c9e-9d0e-0d9b1f2a3b4c root root.img";

const UNPACK_HELP: &str = "\
PATH (default: all) is taken out: a directory's content goes into DIR, anything else becomes a
name in DIR. DIR is made if it is missing.

A DIR that isn't empty is used as it is: directories that are there are filled, and any other name
that is there is left alone and told on stderr, unless --force says to replace it. A symbolic link
in DIR is never followed. Nothing is ever written outside DIR, whatever the image says.

Owners and devices need root. Without it they are left out, which is told once and is no failure.

Examples:
  ubtrfs unpack disk.img out
  ubtrfs unpack disk.img home/me/mail mail";

/// What mkfs and pack have in common.
#[derive(Debug, Args)]
pub struct NewVolume {
    /// Label of the volume, at most 255 bytes
    #[arg(short = 'L', long, value_name = "LABEL")]
    pub label: Option<OsString>,
    /// UUID of the volume; all others derive from it [default: random]
    #[arg(short = 'U', long, value_name = "UUID")]
    pub uuid: Option<Uuid>,
    /// How many copies of the metadata to keep
    #[arg(short = 'm', long, value_name = "PROFILE", default_value = "dup")]
    pub metadata: Profile,
    /// Size of the image, with a suffix K, M, G or T [default: as large as needed]
    #[arg(short = 'b', long, value_name = "SIZE", value_parser = size::parse)]
    pub byte_count: Option<u64>,
    /// Replace IMAGE if it exists; one that is in use is never replaced
    #[arg(short = 'f', long)]
    pub force: bool,
}

/// Profiles of metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Profile {
    /// One copy.
    Single,
    /// Two copies.
    Dup,
}

/// Arguments of mkfs.
#[derive(Debug, Args)]
pub struct Mkfs {
    /// The volume.
    #[command(flatten)]
    pub volume: NewVolume,
    /// The file to make
    pub image: PathBuf,
}

/// Arguments of pack.
#[derive(Debug, Args)]
pub struct Pack {
    /// How to compress: zstd (levels -15 to 15), zlib (1 to 9), lzo or none
    #[arg(short = 'c', long, value_name = "ALGO[:LEVEL]", default_value = "zstd", value_parser = compression)]
    pub compress: Compress,
    /// Threads that compress [default: one for each processor]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
    /// Memory for buffers and caches at most; 32M at least
    #[arg(long, value_name = "SIZE", default_value = "128M", value_parser = memory)]
    pub memory: u64,
    /// Leave out what matches; may be given again
    #[arg(long, value_name = "GLOB")]
    pub exclude: Vec<String>,
    /// Leave out what is below mount points in DIR
    #[arg(short = 'x', long)]
    pub one_file_system: bool,
    /// Print the summary as JSON
    #[arg(long)]
    pub json: bool,
    /// No progress bar and no summary
    #[arg(short, long)]
    pub quiet: bool,
    /// The volume.
    #[command(flatten)]
    pub volume: NewVolume,
    /// The directory to read
    pub dir: PathBuf,
    /// The file to make
    pub image: PathBuf,
}

/// Arguments of ls.
#[derive(Debug, Args)]
pub struct Ls {
    /// Modes, links, owners, sizes and times, as `ls -l`
    #[arg(short)]
    pub long: bool,
    /// Directories below, too
    #[arg(short = 'R', long)]
    pub recursive: bool,
    /// The image
    pub image: PathBuf,
    /// What to list [default: the root directory]
    pub path: Option<OsString>,
}

/// Arguments of cat.
#[derive(Debug, Args)]
pub struct Cat {
    /// The image
    pub image: PathBuf,
    /// Files in the image
    #[arg(required = true)]
    pub path: Vec<OsString>,
}

/// Arguments of unpack.
#[derive(Debug, Args)]
pub struct Unpack {
    /// Threads that decompress and write [default: one for each processor]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
    /// Memory for buffers and caches; 32M at least
    #[arg(long, value_name = "SIZE", default_value = "128M", value_parser = memory)]
    pub memory: u64,
    /// Replace names that exist in DIR
    #[arg(short = 'f', long)]
    pub force: bool,
    /// No summary
    #[arg(short, long)]
    pub quiet: bool,
    /// The image
    pub image: PathBuf,
    /// What of the image to take out (all of it by default), and the directory where it goes
    #[arg(required = true, num_args = 1..=2, value_name = "[PATH] DIR")]
    pub path_and_dir: Vec<OsString>,
}

/// Arguments of info.
#[derive(Debug, Args)]
pub struct Info {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// The image
    pub image: PathBuf,
}

/// Arguments of usage.
#[derive(Debug, Args)]
pub struct Usage {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// The image
    pub image: PathBuf,
    /// A file or a directory [default: the root directory]
    pub path: Option<OsString>,
}

/// How to compress: a codec and its level; `None` means not at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compress(pub Option<(CodecId, i32)>);

fn compression(text: &str) -> Result<Compress, String> {
    let (name, level) = match text.split_once(':') {
        Some((name, level)) => (name, Some(level)),
        None => (text, None),
    };
    let wrong_level = |levels: &dyn std::fmt::Display| {
        format!(
            "{} is no level of {name}; use {levels}",
            level.unwrap_or_default()
        )
    };
    if matches!(name, "none" | "no") {
        return match level {
            None => Ok(Compress(None)),
            Some(_) => Err("'none' has no levels".into()),
        };
    }
    let registry = Registry::btrfs();
    let codec = registry
        .by_name(name)
        .ok_or_else(|| format!("'{name}' is no algorithm; use zstd, zlib, lzo or none"))?;
    let levels = codec.levels();
    let range = format!("{} to {}", levels.start(), levels.end());
    let level = match level {
        None => codec.default_level(),
        Some(text) => match text.parse::<i32>() {
            Ok(level) if levels.contains(&level) => level,
            _ => return Err(wrong_level(&range)),
        },
    };
    Ok(Compress(Some((codec.id(), level))))
}

fn memory(text: &str) -> Result<u64, String> {
    let size = size::parse(text)?;
    if size < 32 << 20 {
        return Err("at least 32M are needed".into());
    }
    Ok(size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clap_is_content() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn algorithms_and_levels() {
        assert_eq!(compression("zstd"), Ok(Compress(Some((CodecId::ZSTD, 3)))));
        assert_eq!(
            compression("zstd:-15"),
            Ok(Compress(Some((CodecId::ZSTD, -15))))
        );
        assert_eq!(compression("none"), Ok(Compress(None)));
        assert!(compression("lzo").is_ok());
        assert!(compression("zlib:9").is_ok());
        for wrong in [
            "zstd:16", "zstd:", "zstd:x", "gzip", "", "none:1", "zlib:10",
        ] {
            assert!(compression(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn less_memory_than_the_pipeline_needs_is_refused() {
        assert!(memory("31M").is_err());
        assert_eq!(memory("32M"), Ok(32 << 20));
    }
}
