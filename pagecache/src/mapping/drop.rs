//! Dropping contents.

use std::ops::Range;

use crate::folio::Refused;
use crate::mapping::{Mapping, State, Wanted};
use crate::pages::{PAGE_SIZE, bytes_of, covered_in, folio_index, folio_start, folios_of, page_up};
use crate::sync::Arc;

/// Pages that nobody fetches as long as this lives.
#[must_use = "they are fetched again once it is dropped"]
#[derive(Debug)]
pub struct HeldOff {
    mapping: Mapping,
    range: Range<u64>,
}

impl Drop for HeldOff {
    fn drop(&mut self) {
        let inner = &self.mapping.inner;
        let mut state = inner.state.lock();
        state.tally.changes.let_in(self.range.clone());
        if state.kept_off > 0 {
            inner.ended.notify_all();
        }
    }
}

impl Mapping {
    /// Sets the file's size. What is cached behind it is dropped, dirty or not; the rest of the
    /// last page becomes zero, in the cache.
    ///
    /// Writeback of dropped pages goes on with the snapshot that it has, and its end is harmless.
    /// The zeroed page doesn't become dirty by this. Where the device has old bytes there and the
    /// file may grow again, the caller writes zeros up to the page's end first.
    pub fn truncate(&self, new_size: u64) {
        let inner = &self.inner;
        let index = folio_index(new_size);
        let mut spare = None;
        loop {
            let mut state = inner.state.lock();
            if new_size >= state.tally.size {
                state.tally.size = new_size;
                return;
            }
            // All under one lock: in a file that grows again at once, no reader may see old bytes.
            if let Some(folio) = state.folios.get_mut(index) {
                let tail = (new_size - folio_start(index)) as usize;
                if let Err(Refused::Need(len)) = folio.zero_tail(tail, &mut spare) {
                    let pin = folio.keep();
                    drop(state);
                    drop(spare.take());
                    spare = Some(inner.cache.buffer(len));
                    drop(pin);
                    continue;
                }
            }
            state.tally.size = new_size;
            // The page that is cut, too: what was fetched of it may be longer.
            let cut = new_size / PAGE_SIZE * PAGE_SIZE..u64::MAX;
            state.tally.changes.add(cut);
            self.discard_locked(&mut state, page_up(new_size)..u64::MAX);
            return;
        }
    }

    /// Makes the file at least `size` bytes large, however others extend it meanwhile.
    pub fn extend(&self, size: u64) {
        let mut state = self.inner.state.lock();
        state.tally.size = state.tally.size.max(size);
    }

    /// Drops the clean pages that lie wholly in `range`, and returns how many bytes of them. Bytes
    /// behind the file's end don't matter for that.
    ///
    /// What is dirty or under writeback stays.
    pub fn invalidate(&self, range: Range<u64>) -> u64 {
        let mut state = self.inner.state.lock();
        let range = whole_pages(range, state.tally.size);
        state.tally.changes.add(range.clone());
        let mut dropped = 0;
        self.inner
            .each_folio(&mut state, folios_of(&range), |index, folio| {
                let pages = covered_in(&range, index) & !folio.dirty & !folio.writeback;
                dropped += bytes_of(folio.uptodate & pages);
                folio.discard(pages);
            });
        dropped
    }

    /// Drops the pages that lie wholly in `range`, dirty or not, and returns how many bytes of
    /// them, as for a hole that is punched.
    ///
    /// Writeback of them goes on with the snapshot that it has, and its end is harmless.
    pub fn discard(&self, range: Range<u64>) -> u64 {
        let mut state = self.inner.state.lock();
        let range = whole_pages(range, state.tally.size);
        self.discard_locked(&mut state, range)
    }

    fn discard_locked(&self, state: &mut State, range: Range<u64>) -> u64 {
        state.tally.changes.add(range.clone());
        let mut dropped = 0;
        self.inner
            .each_folio(state, folios_of(&range), |index, folio| {
                let pages = covered_in(&range, index);
                dropped += bytes_of(folio.uptodate & pages);
                folio.discard(pages);
            });
        dropped
    }

    /// Says that the device's contents of `range` change until what this returns is dropped: who asks
    /// what to fetch of it, by [`missing`](Self::missing), waits, and what was fetched before is not
    /// filled. Drop or truncate the pages meanwhile.
    ///
    /// Who has it must wait for nobody who reads.
    pub fn hold_off(&self, range: Range<u64>) -> HeldOff {
        let mut state = self.inner.state.lock();
        state.tally.changes.hold_off(range.clone());
        HeldOff {
            mapping: self.clone(),
            range,
        }
    }

    /// Drops the folios that are clean now, and each other that exists now as soon as it is clean,
    /// so that a finished file's buffers are used again at once.
    pub fn forget(&self) {
        let mut state = self.inner.state.lock();
        state.tally.wanted = Wanted::default();
        self.inner
            .each_folio(&mut state, 0..u64::MAX, |_, folio| folio.forgotten = true);
    }

    /// A number that no other mapping has while a handle of this one lives.
    #[must_use]
    pub fn identity(&self) -> usize {
        Arc::as_ptr(&self.inner) as usize
    }

    /// Whether two handles are the same mapping.
    #[must_use]
    pub fn same_as(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }
}

/// `range` with the file's last page whole, if it reaches the file's end.
fn whole_pages(range: Range<u64>, size: u64) -> Range<u64> {
    let end = if range.end >= size {
        page_up(range.end)
    } else {
        range.end
    };
    range.start..end
}
