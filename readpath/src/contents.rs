//! Reading contents: cache first, then what is missing.

use std::ops::Range;

use bytes::Bytes;
use pagecache::FOLIO_SIZE;

use crate::error::Error;
use crate::ports::{DiskRead, Locator, Verify};
use crate::read_path::{File, ReadPath};

/// Fills again so often where the cache lost pages before they were copied.
const ATTEMPTS: usize = 1000;

/// What a reader of contents wants, on top of [`ReadPath::read_range`].
pub trait ReadContents<L> {
    /// Copies what the file has from `offset` on into `dst`, and returns how many bytes that is:
    /// fewer than `dst.len()` at the file's end or before a page that can't be read.
    ///
    /// # Errors
    ///
    /// If the first byte can't be read.
    fn read_into(
        &self,
        file: &File<'_, L>,
        offset: u64,
        dst: &mut [u8],
        readahead_until: u64,
    ) -> Result<usize, Error>;

    /// The bytes of `range` without a copy, in file order, one or more for each folio; fewer at the
    /// file's end or before a page that can't be read. They pin memory while they are held.
    ///
    /// # Errors
    ///
    /// If the first byte can't be read.
    fn read_bytes(
        &self,
        file: &File<'_, L>,
        range: Range<u64>,
        readahead_until: u64,
    ) -> Result<Vec<Bytes>, Error>;
}

impl<L: Locator, D: DiskRead<L> + Verify<L> + 'static> ReadContents<L> for ReadPath<L, D> {
    fn read_into(
        &self,
        file: &File<'_, L>,
        offset: u64,
        dst: &mut [u8],
        readahead_until: u64,
    ) -> Result<usize, Error> {
        let mut done = 0;
        self.walk(
            file,
            offset,
            dst.len() as u64,
            readahead_until,
            |at, end| {
                let len = (end - at) as usize;
                let got = file.mapping.read(at, &mut dst[done..done + len]);
                done += got;
                got as u64
            },
        )?;
        Ok(done)
    }

    fn read_bytes(
        &self,
        file: &File<'_, L>,
        range: Range<u64>,
        readahead_until: u64,
    ) -> Result<Vec<Bytes>, Error> {
        let mut all = Vec::new();
        let len = range.end.saturating_sub(range.start);
        self.walk(file, range.start, len, readahead_until, |at, end| {
            let mut reached = at;
            for present in file.mapping.lookup(at..end).present {
                if present.range.start != reached {
                    break;
                }
                reached = present.range.end;
                all.push(present.bytes);
            }
            reached - at
        })?;
        Ok(all)
    }
}

impl<L: Locator, D: DiskRead<L> + Verify<L> + 'static> ReadPath<L, D> {
    /// Goes through the file folio by folio, however small the cache: `take(at, end)` takes what is
    /// cached from `at` on and returns how much; what is missing is filled.
    fn walk(
        &self,
        file: &File<'_, L>,
        offset: u64,
        len: u64,
        readahead_until: u64,
        mut take: impl FnMut(u64, u64) -> u64,
    ) -> Result<(), Error> {
        let wanted = offset.saturating_add(len);
        let mut at = offset;
        let mut fruitless = 0;
        let mut read_ahead = readahead_until <= wanted;
        // The file may be truncated meanwhile.
        while at < wanted.min(file.mapping.size()) {
            let end = wanted.min(file.mapping.size());
            let step = end.min((at / FOLIO_SIZE + 1).saturating_mul(FOLIO_SIZE));
            if at >= step {
                break;
            }
            let took = take(at, step);
            at += took;
            if at >= step {
                fruitless = 0;
                continue;
            }
            fruitless = if took > 0 { 0 } else { fruitless + 1 };
            read_ahead = true;
            let filled = match fruitless {
                ATTEMPTS.. => Err(Error::Contended {
                    file: file.id,
                    range: at..step,
                }),
                _ => self.read_part(file, at..step, end, readahead_until.max(end)),
            };
            match filled {
                Ok(()) => {}
                Err(error) if at < error.range().start => {
                    // What lies before the bad page.
                    let good = error.range().start.min(step);
                    let took = take(at, good);
                    at += took;
                    if at == offset {
                        return Err(error);
                    }
                    return Ok(());
                }
                Err(error) if at == offset => return Err(error),
                Err(_) => return Ok(()),
            }
        }
        match read_ahead {
            true => Ok(()),
            false => self.read_range(file, wanted..wanted, readahead_until),
        }
    }
}
