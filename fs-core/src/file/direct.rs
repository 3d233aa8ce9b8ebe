//! Reading and writing past the page cache.

use bytes::Bytes;
use delalloc::Until;
use pagecache::Mapping;
use readpath::ReadContents;

use super::File;
use crate::error::{Error, ErrorKind};
use crate::sync::Ordering;
use crate::unrecorded::Unrecorded;
use crate::volume::{FileExtent, StoredExtent, Volume};
use crate::writeback::MAX_CLAIM;

impl<V: Volume> File<V> {
    /// Writes `data` at `offset` to the device, not to the cache, and returns when it is there. It is
    /// stored as it is. What the cache had of the range is written before and dropped.
    ///
    /// # Errors
    ///
    /// [`Error::WrongType`] unless `offset` and `data` are whole sectors; [`Error::NoSpace`]; those
    /// of the volume. What was written before stays.
    pub fn write_direct(&self, offset: u64, data: &Bytes) -> Result<(), Error> {
        let sector = u64::from(self.shared.limits.sector_size);
        let len = data.len() as u64;
        if !offset.is_multiple_of(sector) || !len.is_multiple_of(sector) {
            return Err(Error::WrongType {
                id: self.inode.id,
                what: "direct writes are of whole sectors",
            });
        }
        self.writable()?;
        let end = self.end_of(offset, len)?;
        let ino = self.inode.id.ino;
        let _span = tracing::debug_span!("write_direct", ino, offset, len).entered();
        let _guard = match self.inode.left_tree.load(Ordering::Acquire) {
            true => self.lock_to_write(offset..end),
            false => self.lock(0..end),
        };
        self.drop_lost_tail(end)?;
        self.leave_the_tree()?;
        self.pin_tail(offset)?;
        let waited = Self::pages(&(offset..end));
        self.shared.wait_range(&self.inode, waited, Until::Clean);
        let mut at = offset;
        let mut most = MAX_CLAIM;
        while at < end {
            let part = at..end.min(at + most);
            let bytes = data.slice((part.start - offset) as usize..(part.end - offset) as usize);
            let reservation = self.reserve(part.clone())?;
            let written = self.write_extent(at, bytes, reservation);
            let len = part.end - part.start;
            if let Err(error) = &written
                && error.kind() == ErrorKind::NoSpace
                && len > sector
            {
                // There may be room for it in smaller parts.
                most = (len / 2).next_multiple_of(sector);
                continue;
            }
            written?;
            self.shared.will_change(200);
            self.inode.mapping.extend(part.end);
            self.inode.grew_to(part.end);
            self.inode.touch();
            at = part.end;
        }
        Ok(())
    }

    fn write_extent(
        &self,
        file_offset: u64,
        bytes: Bytes,
        reservation: delalloc::Reservation,
    ) -> Result<(), Error> {
        let volume = &self.shared.volume;
        let num_bytes = bytes.len() as u64;
        let books = self.shared.books.read();
        let at = volume
            .allocate(num_bytes)
            .map_err(Error::volume("allocating"))?;
        // Dropped behind what is allocated.
        let space = Unrecorded::new(volume, at, num_bytes);
        let allocated = reservation.allocate(num_bytes);
        drop(books);
        let checksums = volume.checksum(&bytes);
        let written = volume.write(&[(at, bytes)]);
        let _books = self.shared.books.read();
        let stored = StoredExtent {
            at,
            disk_num_bytes: num_bytes,
            codec: None,
        };
        let extent = FileExtent {
            file_offset,
            num_bytes,
            stored,
            checksums,
        };
        // What it replaces may be another file's before it has left the cache.
        let range = file_offset..file_offset + num_bytes;
        let _held_off = self.inode.mapping.hold_off(range.clone());
        let recorded =
            written.and_then(|()| space.enter(|| volume.insert_extent(self.inode.id, extent)));
        // Also where it failed: what is on the device is not known then.
        self.inode.mapping.invalidate(range);
        match recorded {
            Ok(()) => {
                self.shared
                    .made_extents(&(file_offset..file_offset + num_bytes));
                allocated.commit();
            }
            Err(error) => {
                // Before others compare the books.
                drop(allocated);
                return Err(Error::volume("writing past the cache")(error));
            }
        }
        Ok(())
    }

    /// The bytes of a range as the device has them, after what is dirty was written; nothing stays
    /// in the cache. Fewer at the end of the file, or before a page that cannot be read.
    ///
    /// Waits for writers of the range, and they for it; so the source of such a write must not call it.
    ///
    /// # Errors
    ///
    /// As [`File::read`]; [`Error::Writeback`] if dirty data of the file fails to be written meanwhile, of
    /// which `fsync` tells nevertheless.
    pub fn read_direct(&self, offset: u64, len: u64) -> Result<Vec<Bytes>, Error> {
        let end_now = || offset.saturating_add(len).min(self.size());
        let end = end_now();
        if offset >= end {
            return Ok(Vec::new());
        }
        // What is looked up must stay where it is until it is read. No page of the file's own cache
        // tells that it was replaced, and its space may be another file's by then.
        let _guard = self.lock(offset..end);
        let range = offset..end.min(end_now());
        if range.is_empty() {
            return Ok(Vec::new());
        }
        self.wait_to_look(Self::pages(&range), Until::Clean)?;
        let apart = Mapping::with_size(&self.shared.cache, self.size());
        Ok(self.read_through(&apart, |reads, file| reads.read_bytes(file, range, 0))?)
    }
}
