//! The bytes of one file.

use std::io::{self, IoSliceMut};
use std::os::fd::BorrowedFd;

use fs_core::{File, InodeId, Volume};
use rustix::fs::{SeekFrom, Stat, seek};
use rustix::io::{Errno, pread, preadv};

use crate::error::Error;
use crate::pack::packer::{Failure, Packer, classify};

/// Stands for a size that a file does not tell.
const UNTOLD: u64 = 1 << 62;

/// What came of it.
pub(super) struct Copied {
    /// Bytes of the file in the image.
    pub(super) size: u64,
    /// What changed while it was read, or could not be read.
    pub(super) problem: Option<String>,
}

/// Why reading ended before all was there.
enum End {
    Eof,
    Error(io::Error),
}

/// Whether there is a first byte.
pub(super) fn has_any(file: BorrowedFd<'_>) -> Result<bool, Errno> {
    loop {
        match pread(file, &mut [0], 0) {
            Err(Errno::INTR) => {}
            other => return Ok(other? > 0),
        }
    }
}

/// Copies what `file` holds into the inode `id`, without its holes.
pub(super) fn copy<V: Volume>(
    packer: &mut Packer<'_, V>,
    id: InodeId,
    file: BorrowedFd<'_>,
    stat: &Stat,
) -> Result<Copied, Failure> {
    // Of a size that is not told: up to its end.
    let told = stat.st_size > 0;
    let size = if told { stat.st_size as u64 } else { UNTOLD };
    let into = packer.fs.open(id).map_err(classify)?;
    // Fewer blocks than bytes: there are holes, or the filesystem compresses.
    let may_have_holes = told && (stat.st_blocks as u64).saturating_mul(512) < size;
    let mut copy = Copy {
        packer,
        into: &into,
        file,
        size,
        grew: false,
    };
    let end = if may_have_holes {
        copy.data_ranges()?
    } else {
        copy.range(0, size)?
    };
    let grew = copy.grew;
    let (size_now, problem) = match end {
        None if grew => (size, Some("grew while it was read".to_owned())),
        None => (size, None),
        Some((at, End::Eof)) if !told => {
            let grew = rustix::fs::fstat(file).is_ok_and(|stat| stat.st_size > 0);
            (at, grew.then(|| "grew while it was read".to_owned()))
        }
        Some((at, End::Eof)) => {
            let cause = format!("shrank to {at} bytes while it was read");
            (at, Some(cause))
        }
        Some((at, End::Error(error))) => {
            let cause = format!("read up to byte {at} only: {error}");
            (at, Some(cause))
        }
    };
    if into.size() != size_now {
        into.set_size(size_now).map_err(classify)?;
    }
    into.finish().map_err(classify)?;
    Ok(Copied {
        size: size_now,
        problem,
    })
}

/// What a progress bar says besides bytes and rate.
fn progress(files: u64, stats: &fs_core::Stats) -> String {
    let ratio = match stats.bytes_stored {
        0 => 1.0,
        stored => stats.bytes_finished as f64 / stored as f64,
    };
    format!("{files} files, ratio {ratio:.2}")
}

struct Copy<'a, 'b, V: Volume> {
    packer: &'a mut Packer<'b, V>,
    into: &'a File<V>,
    file: BorrowedFd<'a>,
    /// As it was before.
    size: u64,
    grew: bool,
}

impl<V: Volume> Copy<'_, '_, V> {
    /// Copies what is no hole; where it ended early, and why.
    fn data_ranges(&mut self) -> Result<Option<(u64, End)>, Failure> {
        let mut at = 0;
        while at < self.size {
            let start = match seek(self.file, SeekFrom::Data(at)) {
                Ok(start) if start < self.size => start,
                // A hole up to the end.
                Ok(_) | Err(Errno::NXIO) => break,
                // The filesystem knows no holes.
                Err(Errno::INVAL | Errno::OPNOTSUPP) => return self.range(at, self.size),
                Err(errno) => return Ok(Some((at, End::Error(errno.into())))),
            };
            let end = match seek(self.file, SeekFrom::Hole(start)) {
                Ok(end) => end.min(self.size),
                // It shrank meanwhile, which reading will tell.
                Err(_) => self.size,
            };
            let early = self.range(start, end)?;
            if early.is_some() {
                return Ok(early);
            }
            at = end;
        }
        // A hole at the end may have been cut off.
        let now = rustix::fs::fstat(self.file).map_or(self.size, |stat| stat.st_size as u64);
        self.grew |= now > self.size;
        Ok((now < self.size).then_some((now, End::Eof)))
    }

    fn range(&mut self, start: u64, end: u64) -> Result<Option<(u64, End)>, Failure> {
        let mut at = start;
        let size = self.size;
        let file = self.file;
        let interrupt = self.packer.report.interrupt();
        let bar = self.packer.report.bar();
        let fs = self.packer.fs;
        let files = self.packer.files();
        let mut grew = false;
        let mut eof = false;
        let wrote = self
            .into
            .write_from(start, end - start, &mut |window: &mut [u8]| {
                if interrupt.check().is_err() {
                    // Not `ErrorKind::Interrupted`, which asks the cache to try again.
                    return Err(io::Error::other("stopped by a signal"));
                }
                // One byte more than there should be tells without another call whether the file
                // has grown.
                let mut beyond = [0];
                let len = window.len();
                let last = at + len as u64 == size;
                let mut parts = [IoSliceMut::new(window), IoSliceMut::new(&mut beyond)];
                let parts = if last {
                    &mut parts[..]
                } else {
                    &mut parts[..1]
                };
                let got = loop {
                    match preadv(file, parts, at) {
                        Err(Errno::INTR) => {}
                        other => break other?,
                    }
                };
                grew |= got > len;
                eof = got == 0;
                let got = got.min(len);
                at += got as u64;
                if let Some(bar) = bar {
                    bar.inc(got as u64);
                    bar.set_message(progress(files, &fs.stats()));
                }
                Ok(got)
            });
        self.grew |= grew;
        match wrote {
            Ok(wrote) if start + wrote == end => Ok(None),
            Ok(wrote) => Ok(Some((start + wrote, End::Eof))),
            Err(fs_core::Error::Source(error)) => {
                if self.packer.report.interrupt().check().is_err() {
                    return Err(Failure::Fatal(Error::Interrupted));
                }
                Ok(Some((at, End::Error(error))))
            }
            Err(error) => Err(classify(error)),
        }
    }
}
