//! The cache: memory for folios under one budget, and the reclaim that keeps it there.

use crate::buffer::{Buffer, CLASSES, class_of, class_size};
use crate::clock::{Clock, Ticket};
use crate::mapping::{Eviction, Inner};
use crate::pages::{FOLIO, FOLIO_SIZE};
use crate::stats::{Counters, Stats};
use crate::sync::{Arc, AtomicU32, Condvar, Mutex, Ordering, Weak};

/// A byte budget over the folios of many mappings. A handle: clones are the same cache.
#[derive(Clone, Debug)]
pub struct Cache {
    pub(crate) shared: Arc<Shared>,
}

/// A clean folio that may be evicted.
#[derive(Debug)]
pub(crate) struct Candidate {
    pub(crate) mapping: Weak<Inner>,
    pub(crate) index: u64,
}

#[derive(Debug)]
pub(crate) struct Shared {
    budget: u64,
    pool: Mutex<Pool>,
    /// Signalled when memory may have become free, if `waiting` isn't 0.
    room: Condvar,
    /// Threads in [`Cache::wait_for_room`]. Written under the pool's lock.
    waiting: AtomicU32,
    pub(crate) counters: Counters,
}

#[derive(Debug)]
struct Pool {
    /// Recycled memory by class.
    free: [Vec<Box<[u8]>>; CLASSES],
    free_bytes: u64,
    /// All memory that came from the system and did not go back, `free_bytes` included.
    allocated: u64,
    high_water: u64,
    clock: Clock<Candidate>,
    /// Moves on whenever a waiter for room should look again.
    events: u64,
    fresh_buffers: u64,
}

impl Cache {
    /// A cache that takes buffers within `budget_bytes`, except beside what is dirty, under
    /// writeback, held by callers, or filled for writers who have not come back yet.
    #[must_use]
    pub fn new(budget_bytes: u64) -> Self {
        let pool = Pool {
            free: std::array::from_fn(|_| Vec::new()),
            free_bytes: 0,
            allocated: 0,
            high_water: 0,
            clock: Clock::new(),
            events: 0,
            fresh_buffers: 0,
        };
        Self {
            shared: Arc::new(Shared {
                budget: budget_bytes,
                pool: Mutex::new(pool),
                room: Condvar::default(),
                waiting: AtomicU32::new(0),
                counters: Counters::default(),
            }),
        }
    }

    /// The budget in bytes.
    #[must_use]
    pub fn budget(&self) -> u64 {
        self.shared.budget
    }

    /// A reading of all counters.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let counters = &self.shared.counters;
        let pool = self.shared.pool.lock();
        Stats {
            budget: self.shared.budget,
            resident: pool.resident(),
            free: pool.free_bytes,
            high_water: pool.high_water,
            dirty: counters.dirty.load(Ordering::Relaxed),
            writeback: counters.writeback.load(Ordering::Relaxed),
            clean_folios: pool.clock.len() as u64,
            hits: counters.hits.load(Ordering::Relaxed),
            misses: counters.misses.load(Ordering::Relaxed),
            readahead_pages: counters.readahead_pages.load(Ordering::Relaxed),
            readahead_hits: counters.readahead_hits.load(Ordering::Relaxed),
            readahead_wasted: counters.readahead_wasted.load(Ordering::Relaxed),
            evictions: counters.evictions.load(Ordering::Relaxed),
            cow_copies: counters.cow_copies.load(Ordering::Relaxed),
            fresh_buffers: pool.fresh_buffers,
        }
    }

    /// Bytes of dirty pages now; takes no lock.
    #[must_use]
    pub fn dirty_bytes(&self) -> u64 {
        self.shared.counters.dirty.load(Ordering::Relaxed)
    }

    /// Bytes of pages under writeback now; takes no lock.
    #[must_use]
    pub fn writeback_bytes(&self) -> u64 {
        self.shared.counters.writeback.load(Ordering::Relaxed)
    }

    /// Whether more is in use than the budget allows.
    ///
    /// It can be, because a writer is never refused memory: what is dirty, under writeback or held
    /// by a caller cannot be evicted. Start writeback and [wait](Self::wait_for_room).
    #[must_use]
    pub fn over_budget(&self) -> bool {
        self.shared.pool.lock().resident() > self.shared.budget
    }

    /// Waits until `bytes` more fit into the budget, evicting clean folios.
    ///
    /// The caller has started writeback and holds nothing that it needs. Returns at once if
    /// nothing is dirty or under writeback, since then waiting could not help.
    pub fn wait_for_room(&self, bytes: u64) {
        let shared = &*self.shared;
        if self.try_room(bytes) {
            return;
        }
        {
            let _pool = shared.pool.lock();
            // SeqCst here and in `wake`: either the waker sees this, or the look below sees what
            // the waker did before.
            shared.waiting.fetch_add(1, Ordering::SeqCst);
        }
        tracing::trace!(bytes, "waits for room in the page cache");
        loop {
            let seen = shared.pool.lock().events;
            // In this order: what settles in between is room.
            let settled = self.nothing_to_wait_for();
            if self.try_room(bytes) || settled {
                break;
            }
            let pool = shared.pool.lock();
            if pool.events == seen {
                drop(shared.room.wait(pool));
            }
        }
        let _pool = shared.pool.lock();
        shared.waiting.fetch_sub(1, Ordering::SeqCst);
    }

    /// Evicts clean folios as needed; whether `bytes` more then fit into the budget.
    pub fn try_room(&self, bytes: u64) -> bool {
        let excess = || {
            let pool = self.shared.pool.lock();
            (pool.resident().saturating_add(bytes)).saturating_sub(self.shared.budget)
        };
        match excess() {
            0 => true,
            too_many => {
                self.reclaim(too_many);
                excess() == 0
            }
        }
    }

    fn nothing_to_wait_for(&self) -> bool {
        // One counter: pages go to and from writeback between looks at two.
        self.shared.counters.unsettled.load(Ordering::SeqCst) == 0
    }

    /// Evicts clean folios, oldest first, until `bytes` of buffers were freed; returns how many
    /// were. Folios that were read since the last look get a second chance.
    ///
    /// Takes mapping locks one at a time; the caller holds none.
    pub fn reclaim(&self, bytes: u64) -> u64 {
        let mut freed = 0;
        // Twice around: the first may only find folios that were referenced.
        let mut turns = 2 * self.shared.pool.lock().clock.len();
        while freed < bytes && turns > 0 {
            turns -= 1;
            let popped = self.shared.pool.lock().clock.pop();
            let Some((ticket, candidate)) = popped else {
                break;
            };
            // A mapping that is being dropped gives its buffers back itself.
            let Some(mapping) = candidate.mapping.upgrade() else {
                continue;
            };
            match mapping.evict(candidate.index, ticket) {
                Eviction::Evicted(bytes) => freed += bytes,
                Eviction::Kept => {}
            }
        }
        freed
    }

    /// A private buffer of `len` bytes with arbitrary contents, recycled where possible.
    ///
    /// # Panics
    ///
    /// If `len` is more than [`FOLIO_SIZE`].
    #[must_use]
    pub fn buffer(&self, len: usize) -> Buffer {
        assert!(
            len <= FOLIO,
            "a buffer holds at most {FOLIO_SIZE} bytes, not {len}"
        );
        match self.take(len) {
            Some(buffer) => buffer,
            None => {
                let size = class_size(class_of(len));
                self.shared.pool.lock().grant(size as u64);
                self.fresh(len)
            }
        }
    }

    /// [`buffer`](Self::buffer), but `None` rather than more than the budget: for readahead, which
    /// must not press on memory that writers wait for.
    ///
    /// # Panics
    ///
    /// If `len` is more than [`FOLIO_SIZE`].
    #[must_use]
    pub fn try_buffer(&self, len: usize) -> Option<Buffer> {
        assert!(
            len <= FOLIO,
            "a buffer holds at most {FOLIO_SIZE} bytes, not {len}"
        );
        self.take(len)
    }

    /// A buffer within the budget, if one can be had by evicting.
    fn take(&self, len: usize) -> Option<Buffer> {
        let class = class_of(len);
        loop {
            let taken = self.shared.pool.lock().take(class, self.shared.budget);
            match taken {
                Taken::Recycled(memory) => return Some(self.wrap(memory, len)),
                Taken::Granted => return Some(self.fresh(len)),
                // Other classes' memory goes first, since nobody misses it.
                Taken::MakeRoom(unused) => {
                    if unused.is_empty() && self.reclaim(class_size(class) as u64) == 0 {
                        return None;
                    }
                }
            }
        }
    }

    fn fresh(&self, len: usize) -> Buffer {
        self.wrap(vec![0; class_size(class_of(len))].into_boxed_slice(), len)
    }

    fn wrap(&self, memory: Box<[u8]>, len: usize) -> Buffer {
        Buffer::new(memory, len, Arc::clone(&self.shared))
    }
}

impl Shared {
    /// Takes back the memory of a buffer that nobody uses any more.
    pub(crate) fn recycle(&self, memory: Box<[u8]>) {
        let mut pool = self.pool.lock();
        let size = memory.len() as u64;
        // Kept from going back to the system only while the budget holds.
        let surplus = if pool.allocated > self.budget {
            pool.allocated -= size;
            Some(memory)
        } else {
            pool.free_bytes += size;
            pool.free[class_of(memory.len())].push(memory);
            None
        };
        self.event(&mut pool);
        drop(pool);
        drop(surplus);
    }

    /// A folio became clean (`again`: was looked at by reclaim and stays).
    pub(crate) fn enlist(&self, candidate: Candidate, again: bool) -> Ticket {
        let mut pool = self.pool.lock();
        if !again {
            self.event(&mut pool);
        }
        pool.clock.push(candidate)
    }

    /// A clean folio is gone.
    pub(crate) fn delist(&self, ticket: Ticket) {
        // The candidate's weak reference is dropped after the lock.
        let _candidate = self.pool.lock().clock.remove(ticket);
    }

    /// Lets waiters for room look again, after a counter that they read went down.
    pub(crate) fn wake(&self) {
        if self.waiting.load(Ordering::SeqCst) > 0 {
            self.event(&mut self.pool.lock());
        }
    }

    fn event(&self, pool: &mut Pool) {
        pool.events += 1;
        if self.waiting.load(Ordering::SeqCst) > 0 {
            self.room.notify_all();
        }
    }
}

enum Taken {
    Recycled(Box<[u8]>),
    /// The budget allows new memory of this class; it is accounted for already.
    Granted,
    /// The budget is used up; here is recycled memory of other classes to give back, if any.
    MakeRoom(Vec<Box<[u8]>>),
}

impl Pool {
    fn resident(&self) -> u64 {
        self.allocated - self.free_bytes
    }

    fn take(&mut self, class: usize, budget: u64) -> Taken {
        let size = class_size(class) as u64;
        if let Some(memory) = self.free[class].pop() {
            self.free_bytes -= size;
            return Taken::Recycled(memory);
        }
        if self.allocated + size <= budget {
            self.grant(size);
            return Taken::Granted;
        }
        let mut unused = Vec::new();
        while self.allocated + size > budget {
            let Some(memory) = self.free.iter_mut().rev().find_map(Vec::pop) else {
                break;
            };
            self.free_bytes -= memory.len() as u64;
            self.allocated -= memory.len() as u64;
            unused.push(memory);
        }
        Taken::MakeRoom(unused)
    }

    fn grant(&mut self, size: u64) {
        self.allocated += size;
        self.high_water = self.high_water.max(self.allocated);
        self.fresh_buffers += 1;
    }
}
