//! One folio: which pages of a window are cached, and the buffer that holds them.
//!
//! Everything here is pure state under the mapping's lock: it allocates nothing, and where memory
//! is needed it says how much and changes nothing.

use std::ops::Range;

use bytes::Bytes;

use crate::buffer::{Buffer, Pinned, class_of, class_size};
use crate::clock::Ticket;
use crate::pages::{PAGE, PAGES, PageMask, covered, hull, mask, runs, to_bytes, touched};
use crate::sync::Arc;

/// A window of a file.
///
/// I1: `dirty` pages are `uptodate`; `uptodate` pages lie inside the buffer.
/// I2: bytes of `uptodate` pages behind the file's end are zero.
/// I3: `detached` pages are under `writeback`, of contents that are no longer the file's.
#[derive(Debug, Default)]
pub(crate) struct Folio {
    buffer: Option<Arc<Buffer>>,
    /// The page of the folio at which the buffer begins.
    base: u32,
    pub(crate) uptodate: PageMask,
    pub(crate) dirty: PageMask,
    pub(crate) writeback: PageMask,
    detached: PageMask,
    pub(crate) ahead: Ahead,
    /// Read since reclaim looked last.
    pub(crate) referenced: bool,
    /// To be dropped as soon as it is clean.
    pub(crate) forgotten: bool,
    /// Held contents that a reader of the device may have missed.
    pub(crate) written: bool,
    /// In the clock, as far as this folio knows.
    pub(crate) ticket: Option<Ticket>,
}

/// Which pages nobody had asked for when they were filled, and what became of them.
#[derive(Debug, Default)]
pub(crate) struct Ahead {
    /// Nobody has asked for them yet. They are uptodate.
    pub(crate) unread: PageMask,
    /// Pages of which a writer kept a part, since it was told last.
    hits: PageMask,
    /// Pages that went unread, since it was told last.
    wasted: PageMask,
}

impl Ahead {
    /// Somebody asked for `pages`: how many of them had been filled ahead, and were not asked for
    /// before.
    pub(crate) fn read(&mut self, pages: PageMask) -> u32 {
        let hits = self.unread & pages;
        if hits == 0 {
            return 0;
        }
        self.unread &= !hits;
        hits.count_ones()
    }

    /// The contents of `pages` go, but something of `kept` is used.
    pub(crate) fn replace(&mut self, pages: PageMask, kept: PageMask) {
        let gone = self.unread & pages;
        self.hits |= gone & kept;
        self.wasted |= gone & !kept;
        self.unread &= !gone;
    }

    /// How many pages were used by writers, and how many went unread, since this was called last.
    pub(crate) fn tell(&mut self) -> (u32, u32) {
        let told = (self.hits.count_ones(), self.wasted.count_ones());
        (self.hits, self.wasted) = (0, 0);
        told
    }
}

/// What was not done, and what has to come first.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// These pages must be filled.
    Missing(PageMask),
    /// A buffer of this many bytes.
    Need(usize),
}

/// What a write does to the pages that it touches.
struct WritePlan {
    /// All that it touches.
    pages: PageMask,
    /// Cached pages of which something remains.
    keep: PageMask,
    /// Bytes that become zero, before and behind the data.
    zero: [Range<usize>; 2],
}

/// A unique buffer and where it begins.
struct Window<'a> {
    memory: &'a mut [u8],
    base: usize,
}

impl Window<'_> {
    fn at(&mut self, range: Range<usize>) -> &mut [u8] {
        &mut self.memory[range.start - self.base..range.end - self.base]
    }
}

impl Folio {
    /// Pages that a write of `bytes` covers in part and that hold other bytes below `limit`, the
    /// file's end in this folio, and aren't cached.
    pub(crate) fn missing_for(&self, bytes: &Range<usize>, limit: usize) -> PageMask {
        if bytes.is_empty() {
            return 0;
        }
        let mut missing = 0;
        let head = bytes.start / PAGE;
        if !bytes.start.is_multiple_of(PAGE) && head * PAGE < limit {
            missing |= 1 << head;
        }
        if !bytes.end.is_multiple_of(PAGE) && bytes.end < limit {
            missing |= 1 << (bytes.end / PAGE);
        }
        missing & !self.uptodate
    }

    fn plan_write(&self, bytes: &Range<usize>) -> WritePlan {
        let pages = touched(bytes);
        let (head, tail) = (bytes.start / PAGE, (bytes.end - 1) / PAGE);
        let cached = |page: usize| self.uptodate & (1 << page) != 0;
        WritePlan {
            pages,
            keep: self.uptodate & !covered(bytes),
            zero: [
                if cached(head) {
                    0..0
                } else {
                    head * PAGE..bytes.start
                },
                if cached(tail) {
                    0..0
                } else {
                    bytes.end..(tail + 1) * PAGE
                },
            ],
        }
    }

    /// Copies `data` to `bytes` and makes the pages uptodate and dirty.
    pub(crate) fn write(
        &mut self,
        bytes: Range<usize>,
        data: &[u8],
        limit: usize,
        spare: &mut Option<Buffer>,
    ) -> Result<Written, Refused> {
        let missing = self.missing_for(&bytes, limit);
        if missing != 0 {
            return Err(Refused::Missing(missing));
        }
        let plan = self.plan_write(&bytes);
        let (mut window, copied) = self.writable(plan.pages, plan.keep, spare)?;
        window.at(bytes).copy_from_slice(data);
        for zero in plan.zero {
            window.at_or_nothing(zero).fill(0);
        }
        self.mark_written(plan.pages, plan.keep);
        Ok(Written { copied })
    }

    /// Makes `buffer`, which holds the data for `bytes` and begins at page `base`, the folio's
    /// own, if that is no more copying than the other way round; else gives it back.
    ///
    /// No page may be [missing](Self::missing_for).
    pub(crate) fn adopt(
        &mut self,
        bytes: &Range<usize>,
        base: u32,
        mut buffer: Buffer,
    ) -> Result<(), Buffer> {
        let plan = self.plan_write(bytes);
        let span = hull(plan.pages | plan.keep);
        let room = base..base + (buffer.capacity() / PAGE) as u32;
        let fits = room.start <= span.start && span.end <= room.end;
        let tight = buffer.capacity() == class_size(class_of(to_bytes(base..span.end).len()));
        if !fits || !tight || plan.keep.count_ones() > plan.pages.count_ones() / 2 {
            return Err(buffer);
        }
        let mut window = Window {
            memory: buffer.whole_mut(),
            base: base as usize * PAGE,
        };
        for zero in plan.zero {
            window.at_or_nothing(zero).fill(0);
        }
        for run in runs(plan.keep) {
            let run = to_bytes(run);
            // What remains of the run is before the data, behind it, or both.
            let before = run.start..run.end.min(bytes.start).max(run.start);
            let behind = run.start.max(bytes.end).min(run.end)..run.end;
            for part in [before, behind] {
                if !part.is_empty() {
                    window.at(part.clone()).copy_from_slice(self.bytes(part));
                }
            }
        }
        self.buffer = Some(Arc::new(buffer));
        self.base = base;
        self.mark_written(plan.pages, plan.keep);
        Ok(())
    }

    fn mark_written(&mut self, pages: PageMask, kept: PageMask) {
        self.ahead.replace(pages, kept);
        self.uptodate |= pages;
        self.dirty |= pages;
        self.written = true;
    }

    /// Copies `data` (for `bytes`, which begin at a page) into the pages that are not uptodate and
    /// begin below `limit`; returns which.
    pub(crate) fn fill(
        &mut self,
        bytes: Range<usize>,
        data: &[u8],
        limit: usize,
        spare: &mut Option<Buffer>,
    ) -> Result<PageMask, Refused> {
        let wanted = self.fillable(&bytes, limit);
        if wanted == 0 {
            return Ok(0);
        }
        let (mut window, _) = self.writable(wanted, self.uptodate, spare)?;
        for run in runs(wanted) {
            let run = to_bytes(run);
            let end = run.end.min(bytes.end).min(limit);
            window
                .at(run.start..end)
                .copy_from_slice(&data[run.start - bytes.start..end - bytes.start]);
            window.at(end..run.end).fill(0);
        }
        self.uptodate |= wanted;
        Ok(wanted)
    }

    /// Makes `buffer`, which holds `bytes`, the folio's own if nothing else is cached; else gives
    /// it back.
    pub(crate) fn insert(
        &mut self,
        bytes: &Range<usize>,
        mut buffer: Buffer,
        limit: usize,
    ) -> Result<PageMask, Buffer> {
        let wanted = self.fillable(bytes, limit);
        let base = (bytes.start / PAGE) as u32;
        let tight =
            wanted != 0 && buffer.capacity() == class_size(class_of(to_bytes(hull(wanted)).len()));
        if self.uptodate != 0 || !tight {
            return Err(buffer);
        }
        let pages = to_bytes(hull(wanted));
        let end = bytes.end.min(limit);
        buffer.whole_mut()[end - pages.start..pages.end - pages.start].fill(0);
        self.buffer = Some(Arc::new(buffer));
        self.base = base;
        self.uptodate = wanted;
        Ok(wanted)
    }

    fn fillable(&self, bytes: &Range<usize>, limit: usize) -> PageMask {
        touched(&(bytes.start..bytes.end.min(limit).max(bytes.start))) & !self.uptodate
    }

    /// Zeroes what is cached of the page that holds the byte `from`, from there to its end.
    pub(crate) fn zero_tail(
        &mut self,
        from: usize,
        spare: &mut Option<Buffer>,
    ) -> Result<(), Refused> {
        let page = from / PAGE;
        if from.is_multiple_of(PAGE) || self.uptodate & (1 << page) == 0 {
            return Ok(());
        }
        let (mut window, _) = self.writable(1 << page, self.uptodate, spare)?;
        window.at(from..(page + 1) * PAGE).fill(0);
        Ok(())
    }

    /// Forgets the contents of `pages`, dirty or not. Writeback of them goes on with what it has.
    pub(crate) fn discard(&mut self, pages: PageMask) {
        self.ahead.replace(pages, 0);
        self.uptodate &= !pages;
        self.dirty &= !pages;
        self.detached |= self.writeback & pages;
        if self.uptodate == 0 {
            self.buffer = None;
        }
    }

    /// Takes `pages` under writeback if all of them are dirty and none is under it already.
    pub(crate) fn claim(&mut self, pages: PageMask) -> Option<Bytes> {
        if pages == 0 || pages & !self.dirty != 0 || pages & self.writeback != 0 {
            return None;
        }
        let bytes = self.share(to_bytes(hull(pages)))?;
        self.dirty &= !pages;
        self.writeback |= pages;
        Some(bytes)
    }

    /// Ends writeback of those of `pages` that are under it.
    pub(crate) fn end_writeback(&mut self, pages: PageMask, redirty: bool) {
        let ended = self.writeback & pages;
        self.writeback &= !ended;
        if redirty {
            self.dirty |= ended & !self.detached & self.uptodate;
        }
        self.detached &= !ended;
    }

    /// Cached bytes; all of them must be uptodate.
    pub(crate) fn bytes(&self, range: Range<usize>) -> &[u8] {
        let base = self.base as usize * PAGE;
        match &self.buffer {
            Some(buffer) => &buffer.whole()[range.start - base..range.end - base],
            None => &[],
        }
    }

    /// Cached bytes without a copy; whoever writes next copies. All must be uptodate.
    pub(crate) fn share(&self, range: Range<usize>) -> Option<Bytes> {
        self.pinned(range).map(Bytes::from)
    }

    /// The same without an allocation.
    pub(crate) fn pinned(&self, range: Range<usize>) -> Option<Pinned> {
        let base = self.base as usize * PAGE;
        let buffer = Arc::clone(self.buffer.as_ref()?);
        let range = range.start - base..range.end - base;
        debug_assert!(range.end <= buffer.capacity());
        Some(Pinned { buffer, range })
    }

    /// A reference that keeps reclaim away from the folio.
    pub(crate) fn keep(&self) -> Option<Arc<Buffer>> {
        self.buffer.clone()
    }

    /// Whether anybody else holds the buffer, so that dropping the folio frees nothing.
    pub(crate) fn is_shared(&self) -> bool {
        self.buffer
            .as_ref()
            .is_some_and(|buffer| Arc::strong_count(buffer) > 1)
    }

    /// Bytes of memory that the folio holds.
    pub(crate) fn capacity(&self) -> u64 {
        self.buffer
            .as_ref()
            .map_or(0, |buffer| buffer.capacity() as u64)
    }

    /// Neither dirty nor under writeback.
    pub(crate) fn is_clean(&self) -> bool {
        self.dirty | self.writeback == 0
    }

    /// Holds nothing that anybody could ask for.
    pub(crate) fn is_vacant(&self) -> bool {
        self.uptodate | self.writeback == 0
    }

    /// The buffer for writing, covering `pages` and `keep`, with the contents of `keep`; and
    /// whether a shared one was copied for it.
    fn writable(
        &mut self,
        pages: PageMask,
        keep: PageMask,
        spare: &mut Option<Buffer>,
    ) -> Result<(Window<'_>, bool), Refused> {
        let span = hull(pages | keep);
        let shared = self.is_shared();
        if shared || !self.holds(&span) {
            self.replace(span, keep, spare)?;
        }
        let base = self.base as usize * PAGE;
        let memory = self
            .buffer
            .as_mut()
            .and_then(Arc::get_mut)
            .expect("the buffer is there and was found or made unique under the mapping's lock")
            .whole_mut();
        Ok((Window { memory, base }, shared && keep != 0))
    }

    fn holds(&self, span: &Range<u32>) -> bool {
        self.buffer.as_ref().is_some_and(|buffer| {
            self.base <= span.start && to_bytes(self.base..span.end).len() <= buffer.capacity()
        })
    }

    /// Puts `spare` in the place of the buffer, with the contents of `keep`.
    fn replace(
        &mut self,
        span: Range<u32>,
        keep: PageMask,
        spare: &mut Option<Buffer>,
    ) -> Result<(), Refused> {
        let len = to_bytes(span.clone()).len();
        let size = class_size(class_of(len));
        let Some(mut fresh) = spare.take_if(|spare| spare.capacity() == size) else {
            return Err(Refused::Need(len));
        };
        let capacity_pages = (size / PAGE) as u32;
        // The slack lies where the file grew, so that going on that way needs no new buffer.
        let grows_down = keep != 0 && self.buffer.is_some() && span.start < self.base;
        let base = if grows_down {
            span.end.saturating_sub(capacity_pages)
        } else {
            span.start.min(PAGES - capacity_pages)
        };
        for run in runs(keep) {
            let run = to_bytes(run);
            let at = run.start - base as usize * PAGE;
            fresh.whole_mut()[at..at + run.len()].copy_from_slice(self.bytes(run));
        }
        self.buffer = Some(Arc::new(fresh));
        self.base = base;
        Ok(())
    }

    /// Panics where an invariant is broken.
    pub(crate) fn check(&self, limit: usize) {
        assert_eq!(self.dirty & !self.uptodate, 0, "I1: {self:?}");
        assert_eq!(self.detached & !self.writeback, 0, "I3: {self:?}");
        assert_eq!(self.ahead.unread & !self.uptodate, 0, "unread: {self:?}");
        if self.uptodate != 0 {
            assert!(self.holds(&hull(self.uptodate)), "I1: {self:?}");
        }
        for run in runs(self.uptodate) {
            let run = to_bytes(run);
            let behind = run.start.max(limit).min(run.end)..run.end;
            assert!(
                self.bytes(behind).iter().all(|&byte| byte == 0),
                "I2: {self:?}, file's end at {limit}"
            );
        }
        let inside = mask(0..limit.div_ceil(PAGE) as u32);
        assert_eq!(self.uptodate & !inside, 0, "behind the end: {self:?}");
    }
}

/// What a write did besides.
#[derive(Debug)]
pub(crate) struct Written {
    /// A shared buffer was copied for it.
    pub(crate) copied: bool,
}

impl Window<'_> {
    /// `at`, but an empty range may lie anywhere.
    fn at_or_nothing(&mut self, range: Range<usize>) -> &mut [u8] {
        if range.is_empty() {
            &mut []
        } else {
            self.at(range)
        }
    }
}
