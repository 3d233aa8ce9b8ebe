use std::fmt;
use std::ops::Range;

use crate::guard::Held;
use crate::locks::Locks;
use crate::states::{Edit, States};
use crate::sync::{Arc, Mutex, MutexGuard, Pace, Sleeper};
use crate::waits::Waits;
use crate::{Change, OwnedRangeGuard, RangeGuard, Select, StateBits};

/// The state bits and range locks of one file.
///
/// All offsets and lengths are bytes.
#[derive(Default)]
pub struct ExtentIoTree {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    states: States,
    locks: Locks,
    waits: Waits,
    pace: Pace,
}

impl ExtentIoTree {
    /// A tree in which no byte has a bit.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets `bits` on the whole range.
    ///
    /// The answer lists the bytes that lacked one of them.
    pub fn set_bits(&self, range: Range<u64>, bits: StateBits) -> Change {
        self.convert_bits(range, bits, StateBits::empty())
    }

    /// Clears `bits` on the whole range and wakes those who waited for it.
    ///
    /// The answer lists the bytes that had one of them.
    pub fn clear_bits(&self, range: Range<u64>, bits: StateBits) -> Change {
        self.convert_bits(range, StateBits::empty(), bits)
    }

    /// Clears and sets bits in one step, on every byte of the range whatever
    /// its state. A bit named in both is set.
    ///
    /// To move only bytes that are in a certain state, which is what claiming
    /// needs, use [`ExtentIoTree::convert_where`].
    pub fn convert_bits(&self, range: Range<u64>, set: StateBits, clear: StateBits) -> Change {
        let only = None;
        self.edit(range, &Edit { only, set, clear })
    }

    /// Clears and sets bits in one step, on those bytes of the range that match
    /// `only`. A bit named in both is set.
    ///
    /// Of two callers who ask for the same change of the same bytes, each byte
    /// is reported to one, provided that a changed byte no longer matches.
    pub fn convert_where(
        &self,
        range: Range<u64>,
        only: Select,
        set: StateBits,
        clear: StateBits,
    ) -> Change {
        let only = Some(only);
        self.edit(range, &Edit { only, set, clear })
    }

    /// Whether some byte of the range has one of `bits`.
    #[must_use]
    pub fn test_any(&self, range: Range<u64>, bits: StateBits) -> bool {
        !bits.is_empty() && self.test_any_where(range, Select::any(bits))
    }

    /// Whether some byte of the range matches.
    #[must_use]
    pub fn test_any_where(&self, range: Range<u64>, select: Select) -> bool {
        self.lock_inner().states.find(range, select).is_some()
    }

    /// Whether every byte of the range has every one of `bits`.
    #[must_use]
    pub fn test_all(&self, range: Range<u64>, bits: StateBits) -> bool {
        bits.is_empty() || self.test_all_where(range, Select::all(bits))
    }

    /// Whether every byte of the range matches.
    #[must_use]
    pub fn test_all_where(&self, range: Range<u64>, select: Select) -> bool {
        self.lock_inner().states.covered(range, select)
    }

    /// The first bytes at or after `from` that have one of `bits`, as far as
    /// they share one state; and that state.
    #[must_use]
    pub fn find_first(&self, from: u64, bits: StateBits) -> Option<(Range<u64>, StateBits)> {
        if bits.is_empty() {
            return None;
        }
        self.find_first_where(from..u64::MAX, Select::any(bits))
    }

    /// The first bytes within a range that match, as far as they share one
    /// state; and that state.
    #[must_use]
    pub fn find_first_where(
        &self,
        within: Range<u64>,
        select: Select,
    ) -> Option<(Range<u64>, StateBits)> {
        self.lock_inner().states.find(within, select)
    }

    /// The first bytes at or after `from` that have all of `bits`, as many as
    /// are contiguous, whatever else their states, and at most `max_len`.
    #[must_use]
    pub fn find_contiguous(&self, from: u64, bits: StateBits, max_len: u64) -> Option<Range<u64>> {
        if bits.is_empty() {
            return None;
        }
        self.find_contiguous_where(from..u64::MAX, Select::all(bits), max_len)
    }

    /// The first bytes within a range that match, as many as are contiguous,
    /// whatever else their states, and at most `max_len`.
    #[must_use]
    pub fn find_contiguous_where(
        &self,
        within: Range<u64>,
        select: Select,
        max_len: u64,
    ) -> Option<Range<u64>> {
        let inner = self.lock_inner();
        inner.states.find_contiguous(within, select, max_len)
    }

    /// How many bytes of the range have all of `bits`.
    #[must_use]
    pub fn count(&self, range: Range<u64>, bits: StateBits) -> u64 {
        if bits.is_empty() {
            return range.end.saturating_sub(range.start);
        }
        self.count_where(range, Select::all(bits))
    }

    /// How many bytes of the range match.
    #[must_use]
    pub fn count_where(&self, range: Range<u64>, select: Select) -> u64 {
        self.lock_inner().states.count(range, select)
    }

    /// Calls `f` with each maximal run of bytes of the range that match,
    /// ascending, cut to the range.
    ///
    /// The tree's mutex is held meanwhile: `f` must be short, and must not use
    /// the tree.
    pub fn for_each_run(&self, range: Range<u64>, select: Select, mut f: impl FnMut(Range<u64>)) {
        let inner = self.lock_inner();
        let mut run: Option<Range<u64>> = None;
        for (part, bits) in inner.states.iter(range) {
            if !select.matches(bits) {
                continue;
            }
            match &mut run {
                Some(run) if run.end == part.start => run.end = part.end,
                _ => {
                    if let Some(done) = run.replace(part) {
                        f(done);
                    }
                }
            }
        }
        run.into_iter().for_each(f);
    }

    /// Whether no byte has a bit, and nobody holds or waits for a lock.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let inner = self.lock_inner();
        inner.states.is_empty() && inner.locks.outstanding() == 0
    }

    /// All states, ascending: for tests and for debugging.
    #[must_use]
    pub fn states(&self) -> Vec<(Range<u64>, StateBits)> {
        self.lock_inner().states.iter(0..u64::MAX).collect()
    }

    /// Locks a range, after the earlier requests that overlap it: but it may pass some whose
    /// threads sleep, each of which is passed 64 times at most.
    pub fn lock(&self, range: Range<u64>) -> RangeGuard<'_> {
        RangeGuard::new(self, self.acquire(range))
    }

    /// Locks a range if nobody holds or waits for a byte of it.
    pub fn try_lock(&self, range: Range<u64>) -> Option<RangeGuard<'_>> {
        self.try_acquire(range)
            .map(|held| RangeGuard::new(self, held))
    }

    /// As [`ExtentIoTree::lock`], with a guard that owns a share of the tree.
    pub fn lock_owned(self: &Arc<Self>, range: Range<u64>) -> OwnedRangeGuard {
        OwnedRangeGuard::new(Arc::clone(self), self.acquire(range))
    }

    /// As [`ExtentIoTree::try_lock`], with a guard that owns a share of the
    /// tree.
    pub fn try_lock_owned(self: &Arc<Self>, range: Range<u64>) -> Option<OwnedRangeGuard> {
        self.try_acquire(range)
            .map(|held| OwnedRangeGuard::new(Arc::clone(self), held))
    }

    /// Whether somebody holds or waits for a lock on a byte of the range.
    #[must_use]
    pub fn is_locked(&self, range: Range<u64>) -> bool {
        self.lock_inner().locks.overlaps(range)
    }

    /// Sleeps until no byte of the range has any of `bits`.
    ///
    /// It was so at one moment; it need not be so any more on return.
    pub fn wait_clear(&self, range: Range<u64>, bits: StateBits) {
        if bits.is_empty() {
            return;
        }
        let sleeper = {
            let inner = &mut *self.lock_inner();
            let busy = Select::any(bits);
            inner.waits.wait(&inner.states, range.clone(), busy)
        };
        if let Some(sleeper) = sleeper {
            tracing::trace!(?range, ?bits, "waits for state bits");
            sleeper.wait();
        }
    }

    /// How many threads sleep in [`ExtentIoTree::lock`] and
    /// [`ExtentIoTree::wait_clear`]: for tests and for debugging.
    #[must_use]
    pub fn sleepers(&self) -> usize {
        let inner = self.lock_inner();
        inner.locks.sleeping() + inner.waits.waiting()
    }

    fn edit(&self, range: Range<u64>, edit: &Edit) -> Change {
        let mut guard = self.lock_inner();
        let inner = &mut *guard;
        let alone = inner.states.edit_alone(&range, edit);
        // The usual case returns from here, so that the answer is made in its place: to copy what
        // was just written takes as long as the search.
        if let Some(changed) = alone
            && inner.waits.is_empty()
        {
            return Change::of(range, changed);
        }
        let change = match alone {
            Some(changed) => Change::of(range, changed),
            None => inner.states.edit_touching(range, edit),
        };
        let mut wake = Vec::new();
        if !edit.clear.is_empty() {
            inner.waits.changed(&inner.states, &change, &mut wake);
        }
        drop(guard);
        wake_all(&wake);
        change
    }

    fn acquire(&self, range: Range<u64>) -> Held {
        if range.is_empty() {
            return Held { range, slot: None };
        }
        let queued = self.lock_inner().locks.request(range.clone());
        if let Some(sleeper) = queued.sleeper {
            tracing::trace!(?range, "waits for a range lock");
            self.wait_for_grant(queued.slot, &sleeper);
        }
        Held {
            range,
            slot: Some(queued.slot),
        }
    }

    /// Sleeps twice at most: until it is called, and, if others passed it before it came, until the
    /// range is handed to it.
    fn wait_for_grant(&self, slot: usize, sleeper: &Sleeper) {
        if sleeper.look() || self.lock_inner().locks.granted_or_asleep(slot) {
            return;
        }
        sleeper.sleep();
        let granted = {
            let inner = &mut *self.lock_inner();
            // Not when it was handed over, so that the time to wake is no part.
            inner.pace.acquired();
            inner.locks.granted_or_awake(slot)
        };
        if !granted {
            sleeper.wait();
        }
    }

    fn try_acquire(&self, range: Range<u64>) -> Option<Held> {
        if range.is_empty() {
            return Some(Held { range, slot: None });
        }
        let mut inner = self.lock_inner();
        if inner.locks.overlaps(range.clone()) {
            return None;
        }
        let slot = Some(inner.locks.request(range.clone()).slot);
        Some(Held { range, slot })
    }

    pub(crate) fn unlock(&self, held: &Held) {
        let Some(slot) = held.slot else { return };
        let mut wake = Vec::new();
        {
            let inner = &mut *self.lock_inner();
            let long = || inner.pace.released();
            inner
                .locks
                .release(slot, held.range.clone(), long, &mut wake);
        }
        wake_all(&wake);
    }

    fn lock_inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock()
    }
}

impl fmt::Debug for ExtentIoTree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = self.lock_inner();
        f.debug_map()
            .entries(inner.states.iter(0..u64::MAX))
            .finish()
    }
}

fn wake_all(sleepers: &[Arc<Sleeper>]) {
    for sleeper in sleepers {
        sleeper.wake();
    }
}
