//! Writing through the page cache.

use std::io;
use std::ops::Range;

use bytes::Bytes;
use delalloc::{Reservation, Space, SyncMode};
use extent_tree::{RangeGuard, Select, StateBits};
use pagecache::{Error as CacheError, FOLIO_SIZE, MissingPages, PAGE_SIZE};
use readpath::ExtentKind;

use super::change::GivingUp;
use super::{File, MAX_SIZE};
use crate::error::Error;
use crate::inode::Inode;
use crate::pipeline_trace::PipelineStep;
use crate::stats::add;
use crate::sync::Ordering;
use crate::volume::Volume;
use crate::writeback::MAX_CLAIM;

/// A small file whose content is not to be stored in the tree as long as this lives.
pub(super) struct OutOfTree<'a>(&'a Inode);

impl Drop for OutOfTree<'_> {
    fn drop(&mut self) {
        self.0.no_inline.store(false, Ordering::Release);
    }
}

impl<V: Volume> File<V> {
    /// Writes all of `data` at `offset`.
    ///
    /// # Errors
    ///
    /// [`Error::NoSpace`], and those of reading a page that is overwritten in part. What was
    /// written before stays.
    pub fn write(&self, offset: u64, data: &[u8]) -> Result<(), Error> {
        let mut rest = data;
        self.write_from(offset, data.len() as u64, &mut |window| {
            let take = window.len().min(rest.len());
            window[..take].copy_from_slice(&rest[..take]);
            rest = &rest[take..];
            Ok(take)
        })?;
        Ok(())
    }

    /// Lets `source` put up to `max_len` bytes straight into the page cache, from `offset` on, and
    /// returns how many came. `source` gets windows of at most 128 KiB, says how many bytes it put
    /// there, and 0 when it has no more. Writeback starts as the bytes go by.
    ///
    /// # Errors
    ///
    /// [`Error::Source`] if `source` fails, and as [`File::write`].
    pub fn write_from(
        &self,
        offset: u64,
        max_len: u64,
        source: &mut dyn FnMut(&mut [u8]) -> io::Result<usize>,
    ) -> Result<u64, Error> {
        self.writable()?;
        let end = self.end_of(offset, max_len)?;
        let guard = self.lock_to_write(offset..end);
        self.drop_lost_tail(end)?;
        let _out = self.settle_head(end);
        self.pin_tail(offset)?;
        let mut at = offset;
        while at < end {
            let window = at..end.min((at / FOLIO_SIZE + 1) * FOLIO_SIZE);
            let (wrote, more) = self.write_window(window.clone(), source);
            at += wrote;
            self.shared.balance_dirty(wrote);
            if at % MAX_CLAIM < wrote {
                self.shared.start_writeback(
                    &self.inode,
                    0..at / FOLIO_SIZE * FOLIO_SIZE,
                    SyncMode::None,
                );
            }
            more?;
            if at < window.end {
                break;
            }
        }
        drop(guard);
        Ok(at - offset)
    }

    /// Writes one window: how many bytes went in, and why not more.
    fn write_window(
        &self,
        window: Range<u64>,
        source: &mut dyn FnMut(&mut [u8]) -> io::Result<usize>,
    ) -> (u64, Result<(), Error>) {
        let mut at = window.start;
        loop {
            let reserved = self.reserve_what_fits(at..window.end);
            let (end, mut reservation, given_up) = match reserved {
                Ok(reserved) => reserved,
                Err(error) => {
                    self.inode.mapping.give_up_write(at..window.end);
                    return (at - window.start, Err(error));
                }
            };
            self.shared.make_room(FOLIO_SIZE);
            let written = self.inode.mapping.write_with(at, end - at, &mut *source);
            let (put, next) = match written {
                Ok(put) => (put, None),
                Err(CacheError::Source { written, source }) => {
                    (written, Some(Err(Error::Source(source))))
                }
                Err(CacheError::MissingPages(missing)) => {
                    (missing.written, Some(self.fill(&missing)))
                }
                Err(CacheError::MissingTail {
                    written,
                    offset,
                    bytes,
                    missing,
                }) => match self.write_tail(offset, &bytes, &missing) {
                    Ok(()) => (written + bytes.len() as u64, None),
                    Err(error) => (written, Some(Err(error))),
                },
                Err(other) => (
                    0,
                    Some(Err(Error::Config(format!("the page cache: {other}")))),
                ),
            };
            let dirtied = at / PAGE_SIZE * PAGE_SIZE..(at + put).next_multiple_of(PAGE_SIZE);
            if at + put < end {
                let unused = if put > 0 { dirtied.end } else { dirtied.start };
                self.keep_again(&given_up, unused, &mut reservation);
            }
            if put > 0 {
                self.inode.touch();
                self.inode
                    .delalloc
                    .dirty(dirtied.clone(), reservation)
                    .ignore();
                self.inode.grew_to(at + put);
                self.shared.grows_old(&self.inode);
                self.shared
                    .observe(self.inode.id, &dirtied, PipelineStep::Dirtied);
                add(&self.shared.counters.bytes_written, put);
                // A small file may enter the tree with its content.
                let sector = u64::from(self.shared.limits.sector_size);
                let inline = if at + put <= sector { put } else { 0 };
                self.shared.will_change(200 + inline);
            }
            at += put;
            match next {
                // It was cut short, and not the source.
                None if at == end && end < window.end => {}
                None => return (at - window.start, Ok(())),
                Some(Ok(())) => {}
                Some(Err(error)) => return (at - window.start, Err(error)),
            }
        }
    }

    /// Promises space for a range, or for its beginning where there is no room for more: the source may
    /// not have as much, and what fits is written. Up to where, and what preallocated space was given up
    /// for it.
    fn reserve_what_fits(
        &self,
        range: Range<u64>,
    ) -> Result<(u64, Reservation, Vec<Range<u64>>), Error> {
        let mut end = range.end;
        loop {
            let error = match self.reserve_giving_up(range.start..end) {
                Ok((reservation, given_up)) => return Ok((end, reservation, given_up)),
                Err(error) => error,
            };
            let Error::NoSpace { available, .. } = error else {
                return Err(error);
            };
            // Where extents end must not depend on how much there is at the moment.
            if !self.shared.commit_for_room {
                return Err(error);
            }
            let fits = (range.start / PAGE_SIZE * PAGE_SIZE).saturating_add(available);
            let fits = fits / PAGE_SIZE * PAGE_SIZE;
            if fits <= range.start {
                return Err(error);
            }
            // Others may have come meanwhile.
            end = fits.min((end - 1) / PAGE_SIZE * PAGE_SIZE);
            if end <= range.start {
                return Err(error);
            }
        }
    }

    /// Promises space for a range before it becomes dirty.
    pub(super) fn reserve(&self, range: Range<u64>) -> Result<Reservation, Error> {
        let (reservation, _) = self.reserve_giving_up(range)?;
        Ok(reservation)
    }

    /// The same, and what preallocated space of the range was given up for it.
    fn reserve_giving_up(&self, range: Range<u64>) -> Result<GivingUp<Reservation>, Error> {
        if let Some(reservation) = self.reserve_free(range.clone())? {
            return Ok((reservation, Vec::new()));
        }
        // What was preallocated here is for this.
        let reserve = || self.inode.delalloc.reserve(range.clone()).ok();
        let reserved = self.reserve_preallocated(Self::pages(&range), reserve)?;
        reserved.ok_or_else(|| self.no_space(range.end - range.start))
    }

    /// The same out of what is free or becomes so, and not of what is preallocated. `None` if there is
    /// not enough.
    pub(super) fn reserve_free(&self, range: Range<u64>) -> Result<Option<Reservation>, Error> {
        let reserve = || self.inode.delalloc.reserve(range.clone()).ok();
        let windows = (range.end - range.start).div_ceil(FOLIO_SIZE) + 1;
        let metadata = self.shared.ledger.metadata_for(windows);
        self.shared.reserve_by_all_means(metadata, reserve)
    }

    pub(super) fn no_space(&self, wanted: u64) -> Error {
        let ledger = &self.shared.ledger;
        let metadata = ledger.metadata_for(wanted.div_ceil(FOLIO_SIZE));
        if ledger.available(Space::Metadata) < metadata {
            return self.shared.no_metadata(metadata);
        }
        let available = ledger.available(Space::Data);
        Error::NoSpace { wanted, available }
    }

    fn write_tail(&self, offset: u64, bytes: &Bytes, missing: &MissingPages) -> Result<(), Error> {
        self.fill(missing)?;
        // Reclaim may have taken a page again before the write.
        while let Err(missing) = self.inode.mapping.write(offset, bytes) {
            self.fill(&missing)?;
        }
        Ok(())
    }

    /// Locks what a write of `range` changes: its pages and, where the file grows, all from its last
    /// page on.
    pub(super) fn lock_to_write(&self, range: Range<u64>) -> RangeGuard<'_> {
        let sector = u64::from(self.shared.limits.sector_size);
        let start_now = || match self.size() {
            // Content that is in the tree may have to leave it.
            size if range.end > size && size <= sector => 0,
            size if range.end > size => range.start.min(size),
            _ => range.start,
        };
        loop {
            let start = start_now();
            let guard = self.lock(start..range.end);
            // A file that was cut meanwhile needs a longer lock.
            if start_now() >= start {
                return guard;
            }
        }
    }

    /// Before the file grows beyond its last page, makes that dirty, so that it is written anew:
    /// content that is in the tree cannot stay beside extents, and what is on the device behind the
    /// end of a truncated file may be old. Nothing if `offset` is in that page, or before.
    pub(super) fn pin_tail(&self, offset: u64) -> Result<(), Error> {
        let size = self.size();
        let page = size / PAGE_SIZE * PAGE_SIZE;
        let sector = u64::from(self.shared.limits.sector_size);
        // A file of exactly one sector can be in the tree, too.
        let page = if size == sector { 0 } else { page };
        let tail = size - page;
        if tail == 0 || offset < page + PAGE_SIZE || self.is_hole(page..page + PAGE_SIZE)? {
            return Ok(());
        }
        let mut bytes = vec![0; tail as usize];
        self.read_exact(page, &mut bytes)?;
        self.put(page, &bytes)
    }

    /// Before a file of a sector grows beyond that, waits for what of it is on its way: whether it may
    /// stay in the tree depends on the size, and is not to depend on which of the two is faster. What is
    /// dirtied from then on stays out, as long as what this returns lives: it may be claimed before the
    /// file has grown. The caller has the first page, too.
    pub(super) fn settle_head(&self, end: u64) -> Option<OutOfTree<'_>> {
        let sector = u64::from(self.shared.limits.sector_size);
        if end <= sector || self.size() > sector {
            return None;
        }
        let head = 0..PAGE_SIZE;
        let on_way = Select::any(StateBits::IN_FLIGHT | StateBits::ORDERED);
        if self.inode.delalloc.tree().count_where(head.clone(), on_way) > 0 {
            let _hurry = self.shared.writer.hurry();
            self.inode.mapping.wait_writeback(head);
        }
        let before = self.inode.no_inline.swap(true, Ordering::AcqRel);
        (!before).then_some(OutOfTree(&self.inode))
    }

    /// Before the file grows to `end` for the first time since it was loaded, drops what extents there
    /// are behind its size: data that it grew by before the power failed, and that was lost with the
    /// size. Preallocated space stays.
    pub(super) fn drop_lost_tail(&self, end: u64) -> Result<(), Error> {
        let size = self.size();
        if end <= size || !self.inode.lost_tail.load(Ordering::Acquire) {
            return Ok(());
        }
        let behind = size.next_multiple_of(PAGE_SIZE)..MAX_SIZE;
        for map in self.maps(behind.clone())? {
            if matches!(map.kind, ExtentKind::Hole | ExtentKind::Prealloc) {
                continue;
            }
            let lost = map.start.max(behind.start)..map.start.saturating_add(map.len);
            let dropped = self.shared.volume.drop_extents(self.inode.id, lost);
            dropped.map_err(Error::volume("dropping what was lost"))?;
            self.inode.touch();
        }
        self.inode.lost_tail.store(false, Ordering::Release);
        Ok(())
    }

    /// Writes within the file, under a lock that the caller has.
    pub(super) fn put(&self, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        let start = offset / PAGE_SIZE * PAGE_SIZE;
        let end = (offset + bytes.len() as u64).next_multiple_of(PAGE_SIZE);
        let reservation = self.reserve(start..end)?;
        while let Err(missing) = self.inode.mapping.write(offset, bytes) {
            self.fill(&missing)?;
        }
        self.inode.touch();
        self.inode.delalloc.dirty(start..end, reservation).ignore();
        self.shared.grows_old(&self.inode);
        Ok(())
    }
}
