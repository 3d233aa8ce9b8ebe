//! `ubtrfs pack`

mod content;
mod lost;
mod packer;
mod summary;
mod totals;

pub use packer::{Options, Packed, Packer};

use std::io;
use std::os::fd::OwnedFd;
use std::time::Instant;

use fs_core::{Compression, Filesystem, Policy};
use rustix::fs::{CWD, Mode, OFlags, openat};

use crate::cli::Pack;
use crate::error::Error;
use crate::image::{NewImage, volume_options};
use crate::mkfs;
use crate::report::Report;
use crate::source::Exclude;
use crate::sync::thread;

/// Bytes of files that are on their way at most. No more than keeps `threads` busy, though there
/// were memory: what goes round in little of it is still in the processor's caches when it is
/// compressed, and pages that nothing has touched yet are dear.
fn in_flight(memory: u64, threads: usize) -> u64 {
    (4_u64 << 20)
        .saturating_mul(threads as u64)
        .max(8 << 20)
        .min(memory / 4)
}

/// Makes an image out of a directory.
///
/// # Errors
///
/// DIR cannot be read at all, or the image cannot be made. What is wrong with single names goes
/// to `report`.
pub fn run(args: &Pack, report: &Report) -> Result<(), Error> {
    let begun = Instant::now();
    let exclude = Exclude::new(&args.exclude).map_err(Error::Usage)?;
    let time = mkfs::now()?;
    let options = volume_options(&args.volume, args.memory, time)?;
    let dir = open_dir(args)?;
    let image = NewImage::begin(&args.image, args.volume.force)?;
    let volume = mkfs::make(&image, &options)?;
    let failed = |error: &dyn std::fmt::Display| Error::path(&args.image, error);
    let threads = match args.threads {
        Some(threads) => threads.into(),
        None => thread::available_parallelism().map_or(1, usize::from),
    };
    volume.set_threads(threads).map_err(|e| failed(&e))?;

    let policy = args.compress.0.map_or(Policy::Never, |(codec, level)| {
        Policy::UnlessNoise(Compression { codec, level })
    });
    let in_flight = in_flight(args.memory, threads);
    let builder = Filesystem::builder(volume)
        // With room for buffers of each size that wait for the next file.
        .cache_bytes((3 * in_flight).min(args.memory / 2))
        .queue_bytes(in_flight)
        .threads(threads)
        .commit_for_room(false)
        .policy(policy);
    let fs = builder.build().map_err(|e| failed(&e))?;
    let totals = report
        .bar()
        .and_then(|bar| totals::count(&dir, bar.clone()));
    let options = Options {
        exclude,
        one_file_system: args.one_file_system,
        left_out: image.ids()?,
        created: time,
        changed: mkfs::source_date_epoch()?,
    };
    let packed = Packer::new(&fs, options, report).pack(dir, &args.dir, &args.image);
    drop(totals);
    let packed = packed?;
    report.interrupt().check()?;
    fs.volume().finish_growth().map_err(|e| failed(&e))?;
    let stats = fs.stats();
    fs.unmount().map_err(|e| failed(&e))?;
    report.interrupt().check()?;
    let image_bytes = image.file().metadata().map_err(|e| failed(&e))?.len();
    image.publish()?;
    report.end_bar();
    let summary = summary::Summary::new(&packed, &stats, image_bytes, begun.elapsed(), report);
    if args.json {
        summary.print_json()
    } else if !args.quiet {
        summary.print()
    } else {
        Ok(())
    }
}

fn open_dir(args: &Pack) -> Result<OwnedFd, Error> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    openat(CWD, &args.dir, flags, Mode::empty())
        .map_err(|errno| Error::path(&args.dir, io::Error::from(errno)))
}
