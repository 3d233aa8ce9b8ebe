//! Reading: the page cache first, and what it lacks through `readpath`.

mod ports;

use std::ops::Range;

use bytes::Bytes;
use pagecache::{Mapping, MissingPages, PAGE_SIZE};
use readpath::{ExtentKind, ExtentMap, FileId, ReadContents, ReadPath};

pub(crate) use ports::{PoolThreads, VolumeDisk};

use crate::error::Error;
use crate::file::File;
use crate::volume::{ExtentStore, Volume};
use ports::InodeMaps;

/// The readers of one volume.
pub(crate) type Reads<V> = ReadPath<<V as ExtentStore>::Locator, VolumeDisk<V>>;

impl<V: Volume> File<V> {
    /// Reads into `dst` and returns how many bytes there were: fewer than asked for at the end of
    /// the file, or before a page that cannot be read. Sequential readers are read ahead of.
    ///
    /// # Errors
    ///
    /// [`Error::Read`] if the first byte cannot be had.
    pub fn read(&self, offset: u64, dst: &mut [u8]) -> Result<usize, Error> {
        let len = dst.len() as u64;
        self.undisturbed(offset, len, || self.read_beside_writers(offset, dst))
    }

    fn read_beside_writers(&self, offset: u64, dst: &mut [u8]) -> Result<usize, Error> {
        let until = self.read_ahead(offset, dst.len() as u64);
        let reads = &self.shared.reads;
        Ok(self.as_read(|file| reads.read_into(file, offset, dst, until))?)
    }

    /// Lets a reader whom writers have disturbed again and again keep them away.
    fn undisturbed<R>(
        &self,
        offset: u64,
        len: u64,
        mut read: impl FnMut() -> Result<R, Error>,
    ) -> Result<R, Error> {
        match read() {
            Err(Error::Read(readpath::Error::Contended { .. })) => {
                tracing::trace!(
                    ino = self.inode.id.ino,
                    offset,
                    "a reader keeps writers away"
                );
                let _guard = self.lock(offset..offset.saturating_add(len));
                read()
            }
            other => other,
        }
    }

    /// The bytes of a range, without a copy; fewer at the end of the file, or before a page that
    /// cannot be read. They pin memory of the cache while they are held.
    ///
    /// # Errors
    ///
    /// As [`File::read`].
    pub fn read_bytes(&self, offset: u64, len: u64) -> Result<Vec<Bytes>, Error> {
        let until = self.read_ahead(offset, len);
        let range = offset..offset.saturating_add(len);
        let reads = &self.shared.reads;
        self.undisturbed(offset, len, || {
            Ok(self.as_read(|file| reads.read_bytes(file, range.clone(), until))?)
        })
    }

    /// The next range at or behind `offset` that holds data and no hole; `None` if there is none
    /// before the end of the file. What is dirty is written back first.
    ///
    /// # Errors
    ///
    /// [`Error::Writeback`] if dirty data of the file fails to be written meanwhile, of which `fsync` tells
    /// nevertheless; those of the volume.
    pub fn next_data(&self, offset: u64) -> Result<Option<Range<u64>>, Error> {
        let size = self.size();
        let mut from = offset;
        let mut found: Option<Range<u64>> = None;
        let all = 0..size.next_multiple_of(PAGE_SIZE);
        self.wait_to_look(all, delalloc::Until::Written)?;
        // Longer where there is nothing: a hole may be as long as a file can be.
        let mut look = 64 << 20;
        while from < size {
            let start = from / PAGE_SIZE * PAGE_SIZE;
            let end = size.next_multiple_of(PAGE_SIZE);
            let window = start..end.min(start.saturating_add(look));
            look = look.saturating_mul(2);
            for map in self.maps(window.clone())? {
                let end = map.start.saturating_add(map.len);
                match (&map.kind, &mut found) {
                    (ExtentKind::Hole | ExtentKind::Prealloc, Some(range)) => {
                        range.end = range.end.min(size);
                        return Ok(found);
                    }
                    (ExtentKind::Hole | ExtentKind::Prealloc, None) => {}
                    (_, Some(range)) => range.end = end,
                    (_, None) => found = Some(map.start.max(offset)..end),
                }
            }
            from = window.end;
        }
        Ok(found.map(|range| range.start..range.end.min(size)))
    }

    /// Puts the pages into the cache that a partial write needs.
    pub(crate) fn fill(&self, missing: &MissingPages) -> Result<(), Error> {
        for range in &missing.ranges {
            let reads = &self.shared.reads;
            let filled = self.as_read(|file| reads.read_range(file, range.clone(), 0));
            filled.inspect_err(|_| {
                let all = missing.ranges.iter();
                all.for_each(|range| self.inode.mapping.give_up_write(range.clone()));
            })?;
        }
        Ok(())
    }

    /// All of `dst`; zeroes behind the end of the file. For who keeps writers away already.
    pub(crate) fn read_exact(&self, offset: u64, dst: &mut [u8]) -> Result<(), Error> {
        let mut done = 0;
        while done < dst.len() {
            match self.read_beside_writers(offset + done as u64, &mut dst[done..])? {
                0 => break,
                got => done += got,
            }
        }
        dst[done..].fill(0);
        Ok(())
    }

    pub(crate) fn maps(&self, range: Range<u64>) -> Result<Vec<ExtentMap<V::Locator>>, Error> {
        let maps = self.shared.volume.extent_maps(self.inode.id, range);
        maps.map_err(Error::volume("looking extents up"))
    }

    /// Up to where to read when `len` bytes at `offset` are wanted.
    fn read_ahead(&self, offset: u64, len: u64) -> u64 {
        self.readahead.lock().next(offset, len).end
    }

    /// Shows the file to `readpath`.
    fn as_read<R>(&self, read: impl FnOnce(&readpath::File<'_, V::Locator>) -> R) -> R {
        self.read_through(&self.inode.mapping, |_, file| read(file))
    }

    /// Shows the file to `readpath`, with other pages than its own.
    pub(crate) fn read_through<R>(
        &self,
        mapping: &Mapping,
        read: impl FnOnce(&Reads<V>, &readpath::File<'_, V::Locator>) -> R,
    ) -> R {
        let id = self.inode.id;
        let maps = InodeMaps {
            volume: &*self.shared.volume,
            id,
        };
        let file = readpath::File {
            id: FileId {
                tree: id.tree,
                ino: id.ino,
            },
            mapping,
            maps: &maps,
        };
        read(&self.shared.reads, &file)
    }
}
