//! What the command line can say.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// btrfs outside the kernel: looks into btrfs images without root and without a mount.
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true, subcommand_required = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Pack(PackArgs),
    Ls(LsArgs),
    Cat(CatArgs),
    Info(InfoArgs),
    Usage(UsageArgs),
}

/// Make a btrfs image out of a directory.
///
/// The image appears under its name only once it is whole. Pieces that do not shrink are stored
/// as they are. What cannot be stored is named and left out, and the exit code is 1. Any Linux
/// mounts the result: mount -o loop IMAGE /mnt
#[derive(Debug, Args)]
pub(crate) struct PackArgs {
    /// zstd (levels -15 to 15), zlib (1 to 9), lzo, or none; for example zstd:9.
    #[arg(short, long, value_name = "ALGO[:LEVEL]", default_value = "zstd")]
    pub(crate) compress: String,
    /// Threads that compress; as many as there are processors by default.
    #[arg(long)]
    pub(crate) threads: Option<usize>,
    /// Label of the volume.
    #[arg(short = 'L', long, default_value = "")]
    pub(crate) label: String,
    /// Replace IMAGE if it exists.
    #[arg(long)]
    pub(crate) force: bool,
    /// Print no summary.
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// What to pack.
    pub(crate) dir: PathBuf,
    /// The image to be made.
    pub(crate) image: PathBuf,
}

/// List a directory of an image.
///
/// Paths start at the default subvolume, as a mount shows it, and may lead into subvolumes and
/// snapshots. Example: ubtrfs ls -l disk.img /etc
#[derive(Debug, Args)]
pub(crate) struct LsArgs {
    /// Tell type, mode, links, owner, group, size and time of each entry.
    #[arg(short)]
    pub(crate) long: bool,
    /// List the directories below, too.
    #[arg(short = 'R')]
    pub(crate) recursive: bool,
    /// A btrfs image or device.
    pub(crate) image: PathBuf,
    /// Where in the image; its root by default.
    pub(crate) path: Option<OsString>,
}

/// Write the contents of files of an image to standard output.
///
/// All is verified against its checksum before it is written. Symbolic links are followed within
/// the image. Example: ubtrfs cat disk.img /etc/os-release
#[derive(Debug, Args)]
pub(crate) struct CatArgs {
    /// A btrfs image or device.
    pub(crate) image: PathBuf,
    /// Files in the image.
    #[arg(required = true)]
    pub(crate) paths: Vec<OsString>,
}

/// Tell label, UUID, sizes and features of an image.
#[derive(Debug, Args)]
pub(crate) struct InfoArgs {
    /// A btrfs image or device.
    pub(crate) image: PathBuf,
}

/// Tell how much space files take on the device and how much uncompressed, by codec.
///
/// "Referenced" counts what files hold: more than "uncompressed" where extents are shared, less
/// where parts of them are not used any more.
#[derive(Debug, Args)]
pub(crate) struct UsageArgs {
    /// A btrfs image or device.
    pub(crate) image: PathBuf,
    /// Where in the image; its root by default.
    pub(crate) path: Option<OsString>,
}
