//! `ubtrfs cat`

use std::io::{Write, stdout};

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
    for path in &args.path {
        match one(&fs, path.as_encoded_bytes()) {
            Err(Error::InImage { path, cause }) => report.problem(&path, cause),
            other => other?,
        }
    }
    report.warnings_of(&args.image, fs.volume());
    Ok(())
}

fn one(fs: &Image, path: &[u8]) -> Result<(), Error> {
    let failed = |error: fs_core::Error| Error::in_image(path, error);
    let id = resolve(fs, path, true)?;
    let attrs = fs.attrs(id).map_err(failed)?;
    if attrs.file_type != fs_core::FileType::Regular {
        return Err(Error::in_image(path, "not a regular file"));
    }
    let file = fs.open(id).map_err(failed)?;
    let mut out = stdout().lock();
    let mut offset = 0;
    while offset < file.size() {
        // What is in front of damage comes first, then the error.
        let pieces = match file.read_bytes(offset, WINDOW) {
            Ok(pieces) => pieces,
            Err(error) => {
                out.flush()?;
                return Err(failed(error));
            }
        };
        if pieces.is_empty() {
            break;
        }
        for bytes in &pieces {
            out.write_all(bytes)?;
            offset += bytes.len() as u64;
        }
    }
    out.flush()?;
    Ok(())
}
