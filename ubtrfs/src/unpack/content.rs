//! The bytes of one file.

use std::fs::File as OutFile;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use fs_core::{ExtentKind, File, Filesystem, InodeId, Volume};

use crate::error::Error;
use crate::interrupt::Interrupt;

/// What is read at once.
const WINDOW: u64 = 1 << 20;
/// What is given up where something cannot be read.
const SECTOR: u64 = 4096;
/// Sectors that are given up before the rest of a file is.
const MAX_LOST: u64 = 4096;
/// How much of a file extents are asked for at once; more where there is a hole.
const MIN_MAPS: u64 = 16 << 20;

/// Writes a file's data and leaves its holes out. What cannot be read is a hole, and the first
/// reason for that is told. `nbytes`: see [`fs_core::Attrs`].
pub(super) fn copy<V: Volume>(
    fs: &Filesystem<V>,
    id: InodeId,
    nbytes: u64,
    to: &OutFile,
    interrupt: &Interrupt,
) -> Result<Option<String>, Error> {
    let file = match fs.open(id) {
        Ok(file) => file,
        Err(error) => return Ok(Some(error.to_string())),
    };
    let size = file.size();
    if size == 0 {
        return Ok(None);
    }
    let mut copy = Copy {
        file: &file,
        to,
        interrupt,
        lost: 0,
        problem: None,
    };
    // A small file without holes is not worth an extent lookup of its own.
    let result = if size <= WINDOW && nbytes >= size {
        copy.data(0..size)
    } else {
        copy.ranges(fs, id, size)
    };
    match result {
        Ok(()) | Err(Stop::GivenUp) => {}
        Err(Stop::Interrupted) => return Err(Error::Interrupted),
    }
    // A hole at the end.
    if let Err(error) = to.set_len(size) {
        copy.problem
            .get_or_insert_with(|| format!("size {size}: {error}"));
    }
    Ok(copy.problem)
}

enum Stop {
    GivenUp,
    Interrupted,
}

struct Copy<'a, V: Volume> {
    file: &'a File<V>,
    to: &'a OutFile,
    interrupt: &'a Interrupt,
    lost: u64,
    problem: Option<String>,
}

impl<V: Volume> Copy<'_, V> {
    fn ranges(&mut self, fs: &Filesystem<V>, id: InodeId, size: u64) -> Result<(), Stop> {
        let mut at = 0;
        let mut step = MIN_MAPS;
        while at < size {
            let end = size.min(at.saturating_add(step));
            let maps = match fs
                .volume()
                .extent_maps(id, at..end.next_multiple_of(SECTOR))
            {
                Ok(maps) => maps,
                Err(error) => {
                    self.give_up(error.to_string());
                    return Err(Stop::GivenUp);
                }
            };
            let mut only_holes = true;
            for map in maps {
                if matches!(map.kind, ExtentKind::Hole | ExtentKind::Prealloc) {
                    continue;
                }
                only_holes = false;
                let stop = map.start.saturating_add(map.len).min(end);
                self.data(map.start.max(at)..stop)?;
            }
            // A hole of exbibytes is passed in a few steps.
            step = if only_holes {
                step.saturating_mul(2)
            } else {
                MIN_MAPS
            };
            at = end;
        }
        Ok(())
    }

    fn data(&mut self, range: Range<u64>) -> Result<(), Stop> {
        let mut at = range.start;
        while at < range.end {
            if self.interrupt.check().is_err() {
                return Err(Stop::Interrupted);
            }
            at = match self.file.read_bytes(at, WINDOW.min(range.end - at)) {
                Ok(pieces) => {
                    let next = self.write(at, &pieces)?;
                    if next == at {
                        break;
                    }
                    next
                }
                Err(error) => self.lose(at, error)?,
            };
        }
        Ok(())
    }

    /// Passes what `error` says cannot be read, so that what lies behind it is saved.
    fn lose(&mut self, at: u64, error: fs_core::Error) -> Result<u64, Stop> {
        let next_sector = (at / SECTOR + 1) * SECTOR;
        let end = match &error {
            fs_core::Error::Read(error) => error.range().end.max(next_sector),
            _ => next_sector,
        };
        self.lost += (end - at).div_ceil(SECTOR);
        self.give_up(error.to_string());
        if self.lost > MAX_LOST {
            return Err(Stop::GivenUp);
        }
        Ok(end)
    }

    fn write(&mut self, at: u64, pieces: &[bytes::Bytes]) -> Result<u64, Stop> {
        let mut at = at;
        for piece in pieces {
            if let Err(error) = self.to.write_all_at(piece, at) {
                self.give_up(format!("writing: {error}"));
                return Err(Stop::GivenUp);
            }
            at += piece.len() as u64;
        }
        Ok(at)
    }

    fn give_up(&mut self, why: String) {
        self.problem.get_or_insert(why);
    }
}
