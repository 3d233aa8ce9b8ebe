//! Reading from the cache, and filling it with what a device had.

use std::ops::Range;

use bytes::Bytes;

use crate::buffer::{Buffer, Pinned};
use crate::epoch::Epoch;
use crate::error::Stale;
use crate::folio::Folio;
use crate::mapping::{Inner, Mapping, push_pages};
use crate::pages::{
    FOLIO, FOLIO_SIZE, PAGE, PAGE_SIZE, PageMask, below, bytes_of, folio_index, folio_start,
    folios_of, hull, in_file, page_up, push_joined, runs, to_bytes, touched, within,
};
use crate::stats::count;
use crate::sync::Arc;

/// A run of cached bytes within one folio.
#[derive(Clone, Debug)]
pub struct Present {
    /// Where, within what was asked for.
    pub range: Range<u64>,
    /// The bytes of `range`, without a copy.
    pub bytes: Bytes,
}

/// What of a range isn't cached.
#[derive(Clone, Debug)]
pub struct Missing {
    /// Page-aligned, ascending, joined.
    pub ranges: Vec<Range<u64>>,
    /// The version to which it must be fetched.
    pub epoch: Epoch,
    /// The file's size.
    pub file_size: u64,
}

/// For whom and since when something is fetched.
#[derive(Clone, Debug)]
pub struct Fetch {
    /// The version of the contents before it began.
    pub epoch: Epoch,
    /// What a reader asked for; all pages that this doesn't touch are filled ahead of one.
    pub demand: Range<u64>,
}

/// What of a range is cached and what isn't.
#[derive(Clone, Debug)]
pub struct Lookup {
    /// Ascending.
    pub present: Vec<Present>,
    /// Page-aligned, ascending, joined.
    pub missing: Vec<Range<u64>>,
    /// The version to which what is missing must be fetched.
    pub epoch: Epoch,
    /// The file's size.
    pub file_size: u64,
}

impl Fetch {
    fn of_all(epoch: Epoch) -> Self {
        Self {
            epoch,
            demand: 0..u64::MAX,
        }
    }
}

impl Mapping {
    /// What of `range` is cached, and what has to be fetched.
    ///
    /// Pages behind the file's end are missing, too: clip `range` to the size first.
    #[must_use]
    pub fn lookup(&self, range: Range<u64>) -> Lookup {
        let mut present = Vec::new();
        let mut missing = Vec::new();
        let (mut hits, mut ahead) = (0, 0);
        let mut state = self.inner.state.lock();
        let mut next = range.start / PAGE_SIZE * PAGE_SIZE;
        for (index, folio) in state.folios.range_mut(folios_of(&range)) {
            let wanted = within(&range, index);
            let pages = touched(&wanted);
            let window = in_file(index, to_bytes(hull(pages)));
            if next < window.start {
                push_joined(&mut missing, next..window.start);
            }
            next = window.end;
            let found = folio.uptodate & pages;
            folio.referenced |= found != 0;
            hits += bytes_of(found);
            ahead += folio.ahead.read(found);
            for run in runs(found) {
                let run = to_bytes(run);
                let run = run.start.max(wanted.start)..run.end.min(wanted.end);
                if let Some(bytes) = folio.share(run.clone()) {
                    let range = in_file(index, run);
                    present.push(Present { range, bytes });
                }
            }
            push_pages(&mut missing, index, pages & !found);
        }
        let end = page_up(range.end);
        if next < end && !range.is_empty() {
            push_joined(&mut missing, next..end);
        }
        let misses = missing.iter().map(|range| range.end - range.start).sum();
        let lookup = Lookup {
            present,
            missing,
            epoch: state.tally.changes.epoch(),
            file_size: state.tally.size,
        };
        drop(state);
        self.inner.count_reads(hits, misses, ahead);
        lookup
    }

    /// What of `range` has to be fetched: [`lookup`](Self::lookup) without the bytes, for who reads
    /// nothing yet. It counts neither hits nor misses, but what is there stays a while longer.
    #[must_use]
    pub fn missing(&self, range: Range<u64>) -> Missing {
        let mut ranges = Vec::new();
        let mut state = self.inner.state.lock();
        while state.tally.changes.is_held_off(&range) {
            state.kept_off += 1;
            state = self.inner.ended.wait(state);
            state.kept_off -= 1;
        }
        let mut next = range.start / PAGE_SIZE * PAGE_SIZE;
        for (index, folio) in state.folios.range_mut(folios_of(&range)) {
            let pages = touched(&within(&range, index));
            let window = in_file(index, to_bytes(hull(pages)));
            if next < window.start {
                push_joined(&mut ranges, next..window.start);
            }
            next = window.end;
            let found = folio.uptodate & pages;
            folio.referenced |= found != 0;
            push_pages(&mut ranges, index, pages & !found);
        }
        let end = page_up(range.end);
        if next < end && !range.is_empty() {
            push_joined(&mut ranges, next..end);
        }
        Missing {
            ranges,
            epoch: state.tally.changes.epoch(),
            file_size: state.tally.size,
        }
    }

    /// All of `range`, without a copy, if it lies within one folio and is cached.
    #[must_use]
    pub fn read_bytes(&self, range: Range<u64>) -> Option<Bytes> {
        self.pin(range).map(Bytes::from)
    }

    /// [`read_bytes`](Self::read_bytes) without an allocation.
    #[must_use]
    pub fn pin(&self, range: Range<u64>) -> Option<Pinned> {
        let index = folio_index(range.start);
        if range.end > folio_start(index + 1) {
            return None;
        }
        let wanted = within(&range, index);
        let pages = touched(&wanted);
        let mut state = self.inner.state.lock();
        let found = state
            .folios
            .get_mut(index)
            .filter(|folio| pages != 0 && folio.uptodate & pages == pages)
            .and_then(|folio| {
                folio.referenced = true;
                let ahead = folio.ahead.read(pages);
                Some((folio.pinned(wanted)?, ahead))
            });
        drop(state);
        match found {
            Some((_, ahead)) => self.inner.count_reads(bytes_of(pages), 0, ahead),
            None => self.inner.count_reads(0, bytes_of(pages), 0),
        }
        found.map(|(pinned, _)| pinned)
    }

    /// Copies cached bytes from `offset` on, up to the first missing page, and returns how many.
    ///
    /// Reads zeros behind the file's end where the last page is cached: clip `dst` first.
    pub fn read(&self, offset: u64, dst: &mut [u8]) -> usize {
        let (mut done, mut ahead) = (0, 0);
        let range = offset..offset.saturating_add(dst.len() as u64);
        while offset + (done as u64) < range.end {
            let at = offset + done as u64;
            let index = folio_index(at);
            let wanted = within(&(at..range.end), index);
            let mut state = self.inner.state.lock();
            let Some(folio) = state.folios.get_mut(index) else {
                break;
            };
            let pages = touched(&wanted);
            let missing = pages & !folio.uptodate;
            let end = wanted.end.min(match missing {
                0 => FOLIO,
                _ => missing.trailing_zeros() as usize * PAGE,
            });
            if end <= wanted.start {
                break;
            }
            let len = end - wanted.start;
            dst[done..done + len].copy_from_slice(folio.bytes(wanted.start..end));
            folio.referenced = true;
            // Those before the first that is missing.
            ahead += folio
                .ahead
                .read(pages & (missing & missing.wrapping_neg()).wrapping_sub(1));
            done += len;
            if missing != 0 {
                break;
            }
        }
        let found = pages_of(offset, done);
        self.inner
            .count_reads(found, pages_of(offset, dst.len()) - found, ahead);
        done
    }

    /// The version of the contents, to be taken before fetching.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.inner.state.lock().tally.changes.epoch()
    }

    /// Copies `data` into the pages from `offset` on that aren't uptodate, and returns how many
    /// bytes of pages became so.
    ///
    /// Never overwrites what is cached, and caches nothing behind the file's end. If the data ends
    /// within a page, that page's rest becomes zero.
    ///
    /// Only for who keeps writers and truncaters away from the range since it began to fetch;
    /// others use [`fill_as_of`](Self::fill_as_of).
    ///
    /// # Panics
    ///
    /// If `offset` isn't page-aligned.
    pub fn fill(&self, offset: u64, data: &[u8]) -> u64 {
        match self.inner.fill(None, offset, data) {
            Ok(filled) | Err((Stale, filled)) => filled,
        }
    }

    /// [`fill`](Self::fill), unless the contents may have changed since `epoch`.
    ///
    /// # Errors
    ///
    /// [`Stale`]: look up and fetch again. Pages filled before that was found are right.
    ///
    /// # Panics
    ///
    /// If `offset` isn't page-aligned.
    pub fn fill_as_of(&self, epoch: Epoch, offset: u64, data: &[u8]) -> Result<u64, Stale> {
        self.fill_for(&Fetch::of_all(epoch), offset, data)
    }

    /// [`fill_as_of`](Self::fill_as_of), which counts what nobody asked for as read ahead.
    ///
    /// # Errors
    ///
    /// [`Stale`]: look up and fetch again. Pages filled before that was found are right.
    ///
    /// # Panics
    ///
    /// If `offset` isn't page-aligned.
    pub fn fill_for(&self, fetch: &Fetch, offset: u64, data: &[u8]) -> Result<u64, Stale> {
        self.inner
            .fill(Some(fetch), offset, data)
            .map_err(|(stale, _)| stale)
    }

    /// Makes `buffer` part of the file at `offset`: without a copy if nothing of its folio is
    /// cached and it is of this cache, else as [`fill`](Self::fill).
    ///
    /// # Panics
    ///
    /// If `offset` isn't page-aligned or the buffer reaches into the next folio.
    pub fn insert(&self, offset: u64, buffer: Buffer) -> u64 {
        match self.inner.insert(None, offset, buffer) {
            Ok(filled) | Err((Stale, filled)) => filled,
        }
    }

    /// [`insert`](Self::insert), unless the contents may have changed since `epoch`.
    ///
    /// # Errors
    ///
    /// [`Stale`]: look up and fetch again.
    ///
    /// # Panics
    ///
    /// As [`insert`](Self::insert).
    pub fn insert_as_of(&self, epoch: Epoch, offset: u64, buffer: Buffer) -> Result<u64, Stale> {
        self.insert_for(&Fetch::of_all(epoch), offset, buffer)
    }

    /// [`insert_as_of`](Self::insert_as_of), which counts what nobody asked for as read ahead.
    ///
    /// # Errors
    ///
    /// [`Stale`]: look up and fetch again.
    ///
    /// # Panics
    ///
    /// As [`insert`](Self::insert).
    pub fn insert_for(&self, fetch: &Fetch, offset: u64, buffer: Buffer) -> Result<u64, Stale> {
        self.inner
            .insert(Some(fetch), offset, buffer)
            .map_err(|(stale, _)| stale)
    }

    /// Lets `fetch` put `len` bytes into a buffer, outside of all locks, and
    /// [inserts](Self::insert) it.
    ///
    /// # Errors
    ///
    /// What `fetch` returns; nothing is cached then.
    ///
    /// # Panics
    ///
    /// As [`insert`](Self::insert).
    pub fn fill_with<E>(
        &self,
        offset: u64,
        len: usize,
        fetch: impl FnOnce(&mut [u8]) -> Result<(), E>,
    ) -> Result<u64, E> {
        assert_insertable(offset, len);
        let mut buffer = self.inner.cache.buffer(len);
        fetch(&mut buffer)?;
        Ok(self.insert(offset, buffer))
    }
}

#[track_caller]
fn assert_insertable(offset: u64, len: usize) {
    assert!(
        offset.is_multiple_of(PAGE_SIZE) && len as u64 <= FOLIO_SIZE - offset % FOLIO_SIZE,
        "{len} bytes at {offset} are not page-aligned within one folio"
    );
}

/// Bytes of the pages that `len` bytes at `offset` touch.
fn pages_of(offset: u64, len: usize) -> u64 {
    if len == 0 {
        return 0;
    }
    page_up(offset.saturating_add(len as u64)) - offset / PAGE_SIZE * PAGE_SIZE
}

impl Inner {
    fn count_reads(&self, hits: u64, misses: u64, ahead: u32) {
        let counters = &self.cache.shared.counters;
        count(&counters.hits, hits / PAGE_SIZE);
        count(&counters.misses, misses / PAGE_SIZE);
        count(&counters.readahead_hits, ahead.into());
    }

    /// Marks those of `pages`, which were filled, that nobody asked for.
    fn filled(&self, folio: &mut Folio, index: u64, pages: PageMask, fetch: Option<&Fetch>) {
        let Some(fetch) = fetch else { return };
        let unread = pages & !touched(&within(&fetch.demand, index));
        folio.ahead.unread |= unread;
        let counters = &self.cache.shared.counters;
        count(&counters.readahead_pages, unread.count_ones().into());
    }

    fn fill(
        self: &Arc<Self>,
        fetch: Option<&Fetch>,
        offset: u64,
        data: &[u8],
    ) -> Result<u64, (Stale, u64)> {
        assert!(
            offset.is_multiple_of(PAGE_SIZE),
            "{offset} is not page-aligned"
        );
        let range = offset..offset.saturating_add(data.len() as u64);
        let mut filled = 0;
        for index in folios_of(&range) {
            let bytes = within(&range, index);
            let from = (folio_start(index) + bytes.start as u64 - offset) as usize;
            let data = &data[from..from + bytes.len()];
            let changed = in_file(index, bytes.clone());
            let pages = self.with_folio(index, |folio, tally, spare| {
                if fetch.is_some_and(|fetch| tally.changes.touched_since(fetch.epoch, &changed)) {
                    return Ok(None);
                }
                let limit = below(tally.size, index);
                let pages = folio.fill(bytes.clone(), data, limit, spare)?;
                self.filled(folio, index, pages, fetch);
                Ok(Some(pages))
            });
            match pages {
                Ok(Some(pages)) => filled += bytes_of(pages),
                Ok(None) | Err(_) => return Err((Stale, filled)),
            }
        }
        Ok(filled)
    }

    fn insert(
        self: &Arc<Self>,
        fetch: Option<&Fetch>,
        offset: u64,
        buffer: Buffer,
    ) -> Result<u64, (Stale, u64)> {
        assert_insertable(offset, buffer.len());
        if buffer.is_empty() {
            return Ok(0);
        }
        if !buffer.is_of(&self.cache.shared) {
            return self.fill(fetch, offset, &buffer);
        }
        let index = folio_index(offset);
        let end = offset.saturating_add(buffer.len() as u64);
        let bytes = within(&(offset..end), index);
        let changed = in_file(index, bytes.clone());
        let mut offered = Some(buffer);
        let inserted = self.with_folio(index, |folio, tally, _| {
            if fetch.is_some_and(|fetch| tally.changes.touched_since(fetch.epoch, &changed)) {
                return Ok(None);
            }
            let Some(buffer) = offered.take() else {
                return Ok(None);
            };
            match folio.insert(&bytes, buffer, below(tally.size, index)) {
                Ok(pages) => {
                    self.filled(folio, index, pages, fetch);
                    Ok(Some(bytes_of(pages)))
                }
                Err(buffer) => {
                    offered = Some(buffer);
                    Ok(Some(0))
                }
            }
        });
        match (inserted, offered) {
            (Ok(Some(filled)), None) => Ok(filled),
            (Ok(Some(_)), Some(buffer)) => self.fill(fetch, offset, &buffer),
            _ => Err((Stale, 0)),
        }
    }
}
