//! The cached contents of one file.

mod drop;
mod read;
mod write;
mod writeback;

pub use drop::HeldOff;
pub use read::{Fetch, Lookup, Missing, Present};
pub use writeback::{Snapshot, WritebackEnd};

use std::fmt;
use std::ops::Range;

use crate::buffer::Buffer;
use crate::cache::{Cache, Candidate};
use crate::clock::Ticket;
use crate::epoch::Changes;
use crate::folio::{Folio, Refused};
use crate::folios::Folios;
use crate::pages::{FOLIO, PageMask, below, bytes_of, in_file, push_joined, runs, to_bytes};
use crate::stats::count;
use crate::sync::{Arc, Condvar, Mutex, Ordering};
use crate::writeback_errors::WritebackErrors;

/// The cached contents of one file, and its size as writers see it. A handle: clones are the same
/// mapping.
///
/// Cheap to make and drop: a file of one folio needs one allocation besides its buffer. Dropping
/// the last handle drops all contents, dirty or not.
#[derive(Clone)]
pub struct Mapping {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    cache: Cache,
    state: Mutex<State>,
    /// Signalled when all is over that one of `state.waiting` waits for, and, if `state.kept_off`
    /// isn't 0, when pages may be fetched again.
    ended: Condvar,
}

/// What the mapping's lock protects.
#[derive(Debug, Default)]
struct State {
    folios: Folios,
    tally: Tally,
    errors: WritebackErrors,
    /// Threads in `wait_writeback`, one each.
    waiting: Vec<Waiting>,
    /// Of the next one that waits.
    next_id: u64,
    /// Threads that wait in `missing`.
    kept_off: u32,
}

/// Who waits for writeback of pages of one folio.
#[derive(Debug)]
struct Waiting {
    id: u64,
    index: u64,
    /// Pages of which the writeback that was found has not ended. What is claimed later is not
    /// waited for.
    left: PageMask,
}

/// What is known of the file as a whole.
#[derive(Debug, Default)]
struct Tally {
    size: u64,
    changes: Changes,
    dirty: u64,
    writeback: u64,
    unsettled: u64,
    wanted: Wanted,
}

/// Folios that writers were told to fill, and that stay until these come back: or else the memory
/// for one page could evict the other one, or the write's own buffer both, again and again.
#[derive(Debug, Default)]
struct Wanted(Vec<u64>);

impl Wanted {
    /// As many writers who wait for a fill are protected at a time; one who gives up and does not say so
    /// leaves something that only these and `forget` push out.
    const MOST: usize = 16;

    fn add(&mut self, index: u64) {
        if !self.0.contains(&index) {
            if self.0.len() == Self::MOST {
                self.0.remove(0);
            }
            self.0.push(index);
        }
    }

    fn remove(&mut self, folios: &Range<u64>) {
        if !self.0.is_empty() {
            self.0.retain(|index| !folios.contains(index));
        }
    }
}

/// What became of a folio that reclaim looked at.
pub(crate) enum Eviction {
    /// Gone; bytes that were freed.
    Evicted(u64),
    Kept,
}

/// A folio's marks before an operation, to account for what it changed.
#[derive(Clone, Copy)]
struct Before {
    dirty: PageMask,
    writeback: PageMask,
}

impl Before {
    fn of(folio: &Folio) -> Self {
        Self {
            dirty: folio.dirty,
            writeback: folio.writeback,
        }
    }
}

impl Mapping {
    /// An empty file.
    #[must_use]
    pub fn new(cache: &Cache) -> Self {
        Self::with_size(cache, 0)
    }

    /// A file of `size` bytes of which nothing is cached.
    #[must_use]
    pub fn with_size(cache: &Cache, size: u64) -> Self {
        Self {
            inner: Arc::new(Inner {
                cache: cache.clone(),
                state: Mutex::new(State {
                    tally: Tally {
                        size,
                        ..Tally::default()
                    },
                    ..State::default()
                }),
                ended: Condvar::default(),
            }),
        }
    }

    /// The cache that this mapping's memory comes from.
    #[must_use]
    pub fn cache(&self) -> &Cache {
        &self.inner.cache
    }

    /// The file's size: as given at first, extended by writes, set by
    /// [`truncate`](Self::truncate).
    #[must_use]
    pub fn size(&self) -> u64 {
        self.inner.state.lock().tally.size
    }

    /// Whether nothing of it is in the cache, nor on its way from there.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.inner
            .state
            .lock()
            .folios
            .first_in(0..u64::MAX)
            .is_none()
    }

    /// Bytes of this mapping's dirty pages.
    #[must_use]
    pub fn dirty_bytes(&self) -> u64 {
        self.inner.state.lock().tally.dirty
    }

    /// Bytes of this mapping's pages under writeback.
    #[must_use]
    pub fn writeback_bytes(&self) -> u64 {
        self.inner.state.lock().tally.writeback
    }

    /// Panics if an invariant of a folio or of a counter is broken; for tests of what is built on
    /// this.
    pub fn check_invariants(&self) {
        let state = self.inner.state.lock();
        let (mut dirty, mut writeback, mut unsettled) = (0, 0, 0);
        for (index, folio) in state.folios.range(0..u64::MAX) {
            folio.check(below(state.tally.size, index));
            assert!(!folio.is_vacant(), "a vacant folio was left behind");
            assert!(
                !folio.is_clean() || folio.ticket.is_some(),
                "a clean folio that reclaim doesn't know"
            );
            dirty += bytes_of(folio.dirty);
            writeback += bytes_of(folio.writeback);
            unsettled += bytes_of(folio.dirty | folio.writeback);
        }
        assert_eq!(dirty, state.tally.dirty, "dirty bytes");
        assert_eq!(writeback, state.tally.writeback, "bytes under writeback");
        assert_eq!(unsettled, state.tally.unsettled, "bytes of either");
    }
}

impl Inner {
    /// Does `step` on folio `index` under the lock, with as many buffers as it asks for, which are
    /// allocated (and others evicted for them) while no lock is held.
    ///
    /// `step` changes nothing where it refuses. The folio exists during the step and is removed
    /// again if nothing is in it.
    fn with_folio<T>(
        self: &Arc<Self>,
        index: u64,
        mut step: impl FnMut(&mut Folio, &mut Tally, &mut Option<Buffer>) -> Result<T, Refused>,
    ) -> Result<T, PageMask> {
        let mut spare = None;
        loop {
            let mut guard = self.state.lock();
            let state = &mut *guard;
            let folio = state.folios.entry(index);
            let before = Before::of(folio);
            let outcome = step(folio, &mut state.tally, &mut spare);
            // Or else the folio could be evicted for the very buffer that is wanted for it.
            let pin = match &outcome {
                Err(Refused::Need(_)) => folio.keep(),
                _ => None,
            };
            if let Err(Refused::Missing(_)) = &outcome {
                state.tally.wanted.add(index);
            }
            if self.settle(index, folio, &mut state.tally, before) {
                state.folios.remove(index);
            }
            drop(guard);
            match outcome {
                Ok(done) => return Ok(done),
                Err(Refused::Missing(pages)) => return Err(pages),
                Err(Refused::Need(len)) => {
                    // A spare of another size goes back first, so that it can be reused.
                    drop(spare.take());
                    spare = Some(self.cache.buffer(len));
                    drop(pin);
                }
            }
        }
    }

    /// Accounts for what an operation changed in a folio; whether it has to be removed now.
    fn settle(
        self: &Arc<Self>,
        index: u64,
        folio: &mut Folio,
        tally: &mut Tally,
        before: Before,
    ) -> bool {
        let remove = folio.is_vacant() || (folio.forgotten && folio.is_clean());
        if remove {
            if folio.written && folio.uptodate != 0 {
                tally.changes.add(in_file(index, 0..FOLIO));
            }
            if let Some(ticket) = folio.ticket.take() {
                self.cache.shared.delist(ticket);
            }
            folio.ahead.replace(PageMask::MAX, 0);
            self.tell_ahead(folio);
            *folio = Folio::default();
        } else {
            self.tell_ahead(folio);
            if folio.is_clean() && folio.ticket.is_none() {
                folio.ticket = Some(self.enlist(index, false));
            }
        }
        // Last: who sees that nothing is dirty any more finds the room that this makes.
        self.account(folio, tally, before);
        remove
    }

    /// Accounts for what became of pages that were filled ahead.
    fn tell_ahead(&self, folio: &mut Folio) {
        let counters = &self.cache.shared.counters;
        let (hits, wasted) = folio.ahead.tell();
        count(&counters.readahead_hits, hits.into());
        count(&counters.readahead_wasted, wasted.into());
    }

    fn account(&self, folio: &Folio, tally: &mut Tally, before: Before) {
        let counters = &self.cache.shared.counters;
        let (dirty, writeback) = (bytes_of(folio.dirty), bytes_of(folio.writeback));
        let (was_dirty, was_writeback) = (bytes_of(before.dirty), bytes_of(before.writeback));
        tally.dirty = tally.dirty + dirty - was_dirty;
        tally.writeback = tally.writeback + writeback - was_writeback;
        let unsettled = bytes_of(folio.dirty | folio.writeback);
        let was_unsettled = bytes_of(before.dirty | before.writeback);
        tally.unsettled = tally.unsettled + unsettled - was_unsettled;
        if unsettled > was_unsettled {
            counters
                .unsettled
                .fetch_add(unsettled - was_unsettled, Ordering::SeqCst);
        }
        // What rises does so before the other falls: a page that goes from one to the other is
        // never seen in neither.
        if dirty > was_dirty {
            counters
                .dirty
                .fetch_add(dirty - was_dirty, Ordering::SeqCst);
        }
        if writeback > was_writeback {
            counters
                .writeback
                .fetch_add(writeback - was_writeback, Ordering::SeqCst);
        }
        if dirty < was_dirty {
            counters
                .dirty
                .fetch_sub(was_dirty - dirty, Ordering::SeqCst);
        }
        if writeback < was_writeback {
            counters
                .writeback
                .fetch_sub(was_writeback - writeback, Ordering::SeqCst);
        }
        if unsettled < was_unsettled {
            counters
                .unsettled
                .fetch_sub(was_unsettled - unsettled, Ordering::SeqCst);
        }
        let fell = dirty < was_dirty || writeback < was_writeback;
        if fell {
            self.cache.shared.wake();
        }
    }

    fn enlist(self: &Arc<Self>, index: u64, again: bool) -> Ticket {
        let mapping = Arc::downgrade(self);
        self.cache
            .shared
            .enlist(Candidate { mapping, index }, again)
    }

    /// Reclaim took the folio's entry `ticket` out of the clock: drop the folio, or put it back.
    pub(crate) fn evict(self: &Arc<Self>, index: u64, ticket: Ticket) -> Eviction {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        let Some(folio) = state.folios.get_mut(index) else {
            return Eviction::Kept;
        };
        if folio.ticket != Some(ticket) {
            return Eviction::Kept;
        }
        folio.ticket = None;
        if !folio.is_clean() {
            // Comes back to the clock when it is clean.
            return Eviction::Kept;
        }
        let wanted = state.tally.wanted.0.contains(&index);
        if std::mem::take(&mut folio.referenced) || wanted || folio.is_shared() {
            folio.ticket = Some(self.enlist(index, true));
            return Eviction::Kept;
        }
        if folio.written {
            state.tally.changes.add(in_file(index, 0..FOLIO));
        }
        let evicted = state.folios.remove(index);
        drop(guard);
        let counters = &self.cache.shared.counters;
        count(&counters.evictions, 1);
        let unread = evicted.as_ref().map_or(0, |folio| folio.ahead.unread);
        count(&counters.readahead_wasted, unread.count_ones().into());
        Eviction::Evicted(evicted.map_or(0, |folio| folio.capacity()))
    }

    /// Does `step` on every folio in `range` that exists.
    fn each_folio(
        self: &Arc<Self>,
        state: &mut State,
        range: Range<u64>,
        mut step: impl FnMut(u64, &mut Folio),
    ) {
        let mut from = range.start;
        while let Some(index) = state.folios.first_in(from..range.end) {
            from = index + 1;
            let Some(folio) = state.folios.get_mut(index) else {
                continue;
            };
            let before = Before::of(folio);
            step(index, folio);
            if self.settle(index, folio, &mut state.tally, before) {
                state.folios.remove(index);
            }
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let state = std::mem::take(self.state.get_mut());
        let counters = &self.cache.shared.counters;
        counters
            .dirty
            .fetch_sub(state.tally.dirty, Ordering::SeqCst);
        counters
            .writeback
            .fetch_sub(state.tally.writeback, Ordering::SeqCst);
        counters
            .unsettled
            .fetch_sub(state.tally.unsettled, Ordering::SeqCst);
        for (_, folio) in state.folios.range(0..u64::MAX) {
            count(
                &counters.readahead_wasted,
                folio.ahead.unread.count_ones().into(),
            );
            if let Some(ticket) = folio.ticket {
                self.cache.shared.delist(ticket);
            }
        }
        if state.tally.unsettled > 0 {
            self.cache.shared.wake();
        }
    }
}

impl fmt::Debug for Mapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.inner.state.lock();
        f.debug_struct("Mapping")
            .field("size", &state.tally.size)
            .field("dirty", &state.tally.dirty)
            .field("writeback", &state.tally.writeback)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inner").finish_non_exhaustive()
    }
}

/// Adds the pages of folio `index` in `pages` to a list of ranges of the file.
fn push_pages(list: &mut Vec<Range<u64>>, index: u64, pages: PageMask) {
    for run in runs(pages) {
        push_joined(list, in_file(index, to_bytes(run)));
    }
}
