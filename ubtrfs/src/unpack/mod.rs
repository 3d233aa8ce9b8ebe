//! `ubtrfs unpack`

mod content;
mod extract;
mod links;
mod metadata;
mod target;

pub use extract::{Extract, Options, Unpacked};

use std::io::{self, Write, stdout};
use std::os::fd::OwnedFd;
use std::path::Path;

use fs_core::FileType;
use rustix::fs::{CWD, Mode, OFlags, mkdirat, openat};
use rustix::io::Errno;

use crate::cli::Unpack;
use crate::error::Error;
use crate::image;
use crate::path_in_image::resolve;
use crate::report::Report;
use crate::size::human;
use crate::source::Names;
use crate::sync::thread;

/// Takes files out of an image.
///
/// # Errors
///
/// The image cannot be opened, there is no such path, DIR cannot be made, or the user interrupts.
/// What is wrong with single names goes to `report`.
pub fn run(args: &Unpack, report: &Report) -> Result<(), Error> {
    let (path, dir) = match args.path_and_dir.as_slice() {
        [dir] => (&b"/"[..], dir),
        [path, dir] => (path.as_encoded_bytes(), dir),
        _ => return Err(Error::Usage("DIR is missing".into())),
    };
    let dir = Path::new(dir);
    let fs = image::open(&args.image, args.memory, args.threads, report)?;
    let id = resolve(&fs, path, false)?;
    let attrs = fs.attrs(id).map_err(|e| Error::in_image(path, e))?;
    let (target, is_new) = open_target(dir)?;
    let threads = args.threads.map_or_else(
        || thread::available_parallelism().map_or(1, usize::from),
        usize::from,
    );
    let options = Options {
        force: args.force,
        threads,
        root: rustix::process::geteuid().is_root(),
        own_attributes: is_new,
    };
    let extract = Extract::new(&fs, options, report);
    let unpacked = if attrs.file_type == FileType::Directory {
        extract.directory(id, target, dir)?
    } else {
        let name = path.rsplit(|b| *b == b'/').find(|name| !name.is_empty());
        extract.single(id, name.unwrap_or_default(), target, dir)?
    };
    report.warnings_of(&args.image, fs.volume());
    if !args.quiet {
        let mut out = stdout().lock();
        let (inodes, files) = (unpacked.inodes, unpacked.files);
        writeln!(
            out,
            "{files} files, {inodes} inodes, {}",
            human(unpacked.bytes)
        )?;
    }
    Ok(())
}

/// The directory where it all goes, made if it is missing, and whether it is new or empty.
fn open_target(dir: &Path) -> Result<(OwnedFd, bool), Error> {
    let failed = |errno| Error::path(dir, io::Error::from(errno));
    match mkdirat(CWD, dir, Mode::from_raw_mode(0o777)) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(errno) => return Err(failed(errno)),
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let fd = openat(CWD, dir, flags, Mode::empty()).map_err(failed)?;
    let names = Names::read(std::os::fd::AsFd::as_fd(&fd)).map_err(|e| Error::path(dir, e))?;
    Ok((fd, names.is_empty()))
}
