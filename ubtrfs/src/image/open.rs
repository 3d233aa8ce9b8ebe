//! Images that are read.

use std::path::Path;

use btrfs_volume::device::{Access, FileDevice};
use btrfs_volume::{MkfsOptions, OpenOptions, Volume};
use fs_core::Filesystem;

use crate::cli::{NewVolume, Profile};
use crate::error::Error;
use crate::report::Report;
use crate::sync::Arc;

/// An image as a filesystem.
pub type Image = Filesystem<Volume>;

/// Opens an image for reading, with caches of `memory` bytes. What is remarkable is told.
///
/// # Errors
///
/// It cannot be opened, is no btrfs, is damaged beyond its copies, or has a feature that is not
/// supported.
pub fn open(
    path: &Path,
    memory: u64,
    threads: Option<u16>,
    report: &Report,
) -> Result<Image, Error> {
    let failed = |error: btrfs_volume::Error| match error {
        btrfs_volume::Error::Open { source, .. } => Error::path(path, source),
        other => Error::path(path, other),
    };
    let device = FileDevice::open(path, Access::Read).map_err(failed)?;
    let mut options = OpenOptions::default();
    options.cache_bytes = node_cache(memory);
    let volume = Volume::open(Arc::new(device), &options).map_err(failed)?;
    report.warnings_of(path, &volume);
    let mut builder = Filesystem::builder(volume)
        .cache_bytes(memory / 2)
        .queue_bytes(memory / 4);
    if let Some(threads) = threads {
        builder = builder.threads(threads.into());
    }
    builder.build().map_err(|error| Error::path(path, error))
}

/// What a volume is to be made of.
///
/// # Errors
///
/// The label is too long.
pub fn volume_options(args: &NewVolume, memory: u64, time: i64) -> Result<MkfsOptions, Error> {
    let mut options = MkfsOptions::default();
    if args.byte_count.is_some_and(|size| size > i64::MAX as u64) {
        return Err(Error::Usage("--byte-count: a file has less than 8E".into()));
    }
    options.size = args.byte_count;
    if let Some(label) = &args.label {
        let label = label.as_encoded_bytes();
        if label.len() > 255 || label.contains(&b'\n') {
            let rule = "a label has at most 255 bytes and no line break";
            return Err(Error::Usage(rule.into()));
        }
        options.label = label.to_vec();
    }
    options.uuid = args.uuid;
    options.metadata = match args.metadata {
        Profile::Single => btrfs_volume::MetadataProfile::Single,
        Profile::Dup => btrfs_volume::MetadataProfile::Dup,
    };
    options.time.secs = time;
    options.cache_bytes = node_cache(memory);
    Ok(options)
}

fn node_cache(memory: u64) -> usize {
    usize::try_from(memory / 8).unwrap_or(usize::MAX)
}
