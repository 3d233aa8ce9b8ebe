//! `ubtrfs cat`

use std::fs::File;
use std::io::{self, IoSlice, Write, stdout};
use std::os::fd::AsFd;

use crate::cli::Cat;
use crate::error::Error;
use crate::image::{self, Image};
use crate::path_in_image::resolve;
use crate::report::Report;

/// Memory for caches.
const MEMORY: u64 = 128 << 20;
/// Bytes that are asked for at once.
const WINDOW: u64 = 1 << 20;

/// Writes files to the standard output, one behind the other.
///
/// # Errors
///
/// The image cannot be opened, or the output not be written. What is wrong with one file goes to
/// `report`.
pub fn run(args: &Cat, report: &Report) -> Result<(), Error> {
    let fs = image::open(&args.image, MEMORY, None, report)?;
    // Not through the standard library's buffer, which looks for line ends and keeps the last line.
    let mut out = File::from(stdout().as_fd().try_clone_to_owned()?);
    for path in &args.path {
        match one(&fs, path.as_encoded_bytes(), &mut out) {
            Err(Error::InImage { path, cause }) => report.problem(&path, cause),
            other => other?,
        }
    }
    report.warnings_of(&args.image, fs.volume());
    Ok(())
}

fn one(fs: &Image, path: &[u8], out: &mut File) -> Result<(), Error> {
    let failed = |error: fs_core::Error| Error::in_image(path, error);
    let id = resolve(fs, path, true)?;
    let attrs = fs.attrs(id).map_err(failed)?;
    if attrs.file_type != fs_core::FileType::Regular {
        return Err(Error::in_image(path, "not a regular file"));
    }
    let file = fs.open(id).map_err(failed)?;
    let mut offset = 0;
    while offset < file.size() {
        // What is in front of damage comes first, then the error.
        let pieces = file.read_bytes(offset, WINDOW).map_err(failed)?;
        if pieces.is_empty() {
            break;
        }
        offset += pieces.iter().map(|bytes| bytes.len() as u64).sum::<u64>();
        let mut slices: Vec<_> = pieces.iter().map(|bytes| IoSlice::new(bytes)).collect();
        write_all(out, &mut slices)?;
    }
    Ok(())
}

fn write_all(out: &mut File, mut slices: &mut [IoSlice<'_>]) -> io::Result<()> {
    // Empty ones in front go, which would look like nothing written.
    IoSlice::advance_slices(&mut slices, 0);
    while !slices.is_empty() {
        match out.write_vectored(slices) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => IoSlice::advance_slices(&mut slices, written),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
