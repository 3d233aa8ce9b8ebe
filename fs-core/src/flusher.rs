//! Background writeback: by age and by the amount of what is dirty, with back-pressure on writers.

use crate::inode::Inode;
use crate::shared::Shared;
use crate::stats::add;
use crate::sync::{Arc, AtomicBool, Condvar, Duration, Instant, Mutex, Ordering, Weak, thread};
use crate::volume::Volume;
use crate::writeback::WHOLE_FILE;
use delalloc::SyncMode;

/// When to write back without being asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Background {
    /// Data that has been dirty for so long is written back.
    pub expire: Duration,
    /// How often to look for it.
    pub interval: Duration,
    /// Bytes of dirty data from which on it is written back whatever its age.
    pub dirty_background: u64,
    /// Bytes that are dirty or on their way at which writers stand still. From halfway between
    /// `dirty_background` and this they are slowed down, the more the closer.
    pub dirty_limit: u64,
}

impl Background {
    /// 30 s of age, looked at every 5 s; a quarter and half of a cache of `cache_bytes`.
    #[must_use]
    pub fn for_cache(cache_bytes: u64) -> Self {
        Self {
            expire: Duration::from_secs(30),
            interval: Duration::from_secs(5),
            dirty_background: cache_bytes / 4,
            dirty_limit: cache_bytes / 2,
        }
    }

    /// Bytes that have to reach the device before a writer who brought `wrote` goes on, with `dirty`
    /// bytes dirty or on their way: none below halfway, twice what it brought at the limit.
    pub(crate) fn owed(&self, wrote: u64, dirty: u64) -> u64 {
        let from = self.dirty_background.midpoint(self.dirty_limit);
        if dirty <= from {
            return 0;
        }
        if dirty >= self.dirty_limit {
            return 2 * wrote;
        }
        let part = u128::from(dirty - from) * u128::from(2 * wrote);
        (part / u128::from(self.dirty_limit - from)) as u64
    }
}

/// The thread, if there is one, and the clock by which data ages.
pub(crate) struct Flusher {
    pub(crate) background: Option<Background>,
    start: Instant,
    core: Arc<Core>,
    thread: Mutex<Option<thread::JoinHandle<()>>>,
}

#[derive(Default)]
struct Core {
    stop: Mutex<bool>,
    wake: Condvar,
    /// Somebody rang since the thread looked last.
    rung: AtomicBool,
}

impl Flusher {
    pub(crate) fn new(background: Option<Background>) -> Self {
        Self {
            background,
            start: Instant::now(),
            core: Arc::default(),
            thread: Mutex::new(None),
        }
    }

    /// Starts the thread for the filesystem that this is a part of, unless it runs.
    pub(crate) fn start<V: Volume>(shared: &Arc<Shared<V>>) -> std::io::Result<()> {
        let flusher = &shared.flusher;
        let Some(background) = flusher.background else {
            return Ok(());
        };
        let mut running = flusher.thread.lock();
        if running.is_some() {
            return Ok(());
        }
        let core = Arc::clone(&flusher.core);
        *core.stop.lock() = false;
        let shared = Arc::downgrade(shared);
        let thread = thread::Builder::new()
            .name("flusher".into())
            .spawn(move || core.run(&shared, background))?;
        *running = Some(thread);
        Ok(())
    }

    /// Milliseconds since the filesystem was built, at least 1.
    pub(crate) fn now_ms(&self) -> u64 {
        self.start
            .elapsed()
            .as_millis()
            .try_into()
            .unwrap_or(u64::MAX - 1)
            + 1
    }

    /// There is more dirty data than there should be.
    pub(crate) fn ring(&self) {
        if !self.core.rung.swap(true, Ordering::AcqRel) {
            let _stop = self.core.stop.lock();
            self.core.wake.notify_one();
        }
    }
}

impl Flusher {
    /// Ends the thread.
    pub(crate) fn stop(&self) {
        *self.core.stop.lock() = true;
        self.core.wake.notify_one();
        let thread = self.thread.lock().take();
        // The thread itself may have held the last handle of the filesystem.
        if let Some(thread) = thread
            && thread.thread().id() != thread::current().id()
        {
            let _ = thread.join();
        }
    }
}

impl Drop for Flusher {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Core {
    fn run<V: Volume>(&self, shared: &Weak<Shared<V>>, background: Background) {
        loop {
            {
                let mut stop = self.stop.lock();
                if !*stop && !self.rung.load(Ordering::Acquire) {
                    // Not for ever busy, whatever was asked for.
                    let interval = background.interval.max(Duration::from_micros(200));
                    self.wake.wait_for(&mut stop, interval);
                }
                if *stop {
                    return;
                }
            }
            self.rung.store(false, Ordering::Release);
            let Some(shared) = shared.upgrade() else {
                return;
            };
            shared.flush_old(background);
            shared.flush_much(background);
        }
    }
}

impl<V: Volume> Shared<V> {
    /// Starts writeback of files that have been dirty for long.
    fn flush_old(self: &Arc<Self>, background: Background) {
        let expire = background.expire.as_millis().try_into().unwrap_or(u64::MAX);
        let before = self.flusher.now_ms().saturating_sub(expire);
        for inode in self.all_loaded() {
            let since = inode.dirty_since.load(Ordering::Relaxed);
            if since > 0 && since <= before {
                let pages = self.start_old(&inode);
                add(&self.counters.pages_flushed_by_age, pages);
            }
        }
    }

    /// Starts writeback, of what has been dirty longest first, until little enough is dirty.
    fn flush_much(self: &Arc<Self>, background: Background) {
        if self.cache.dirty_bytes() <= background.dirty_background {
            return;
        }
        let mut dirty: Vec<_> = self
            .all_loaded()
            .into_iter()
            .filter(|inode| !inode.delalloc.is_settled())
            .collect();
        dirty.sort_by_key(|inode| inode.dirty_since.load(Ordering::Relaxed));
        for inode in dirty {
            if self.cache.dirty_bytes() <= background.dirty_background / 2 {
                return;
            }
            let pages = self.start_old(&inode);
            add(&self.counters.pages_flushed_by_amount, pages);
        }
    }

    /// Starts writeback; what of it could not be claimed, since it is on its way already, and what is
    /// written from now on, is young.
    fn start_old(self: &Arc<Self>, inode: &Arc<Inode>) -> u64 {
        inode.dirty_since.store(0, Ordering::Relaxed);
        let pages = self.start_writeback(inode, WHOLE_FILE, SyncMode::None);
        if inode.delalloc.bytes() > 0 {
            self.grows_old(inode);
        }
        pages
    }

    /// Called by a writer who brought `wrote` bytes, with no lock but its range's: rings for the
    /// flusher where much is dirty, and stands in for it where it is too much.
    pub(crate) fn balance_dirty(self: &Arc<Self>, wrote: u64) {
        let Some(background) = self.flusher.background else {
            return;
        };
        if self.cache.dirty_bytes() > background.dirty_background {
            self.flusher.ring();
        }
        let owed = background.owed(
            wrote,
            self.cache.dirty_bytes() + self.cache.writeback_bytes(),
        );
        if owed == 0 {
            return;
        }
        let start = Instant::now();
        let target = self.writer.finished_bytes() + owed;
        while self.writer.finished_bytes() < target {
            if self.queue.pool().help() {
                continue;
            }
            if self.cache.writeback_bytes() == 0 && self.start_some() == 0 {
                break;
            }
            self.writer.wait_progress();
        }
        add(&self.counters.writers_throttled, 1);
        let waited = start.elapsed().as_micros().try_into().unwrap_or(u64::MAX);
        add(&self.counters.throttled_us, waited);
        tracing::trace!(wrote, owed, "a writer was slowed down");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writers_are_slowed_down_in_proportion() {
        let background = Background {
            dirty_background: 100,
            dirty_limit: 300,
            ..Background::for_cache(0)
        };
        let owed = |dirty| background.owed(10, dirty);
        assert_eq!([owed(0), owed(100), owed(200)], [0, 0, 0]);
        assert_eq!([owed(225), owed(250), owed(275)], [5, 10, 15]);
        assert_eq!([owed(300), owed(u64::MAX)], [20, 20]);
    }

    #[test]
    fn equal_limits_divide_by_nothing() {
        let background = Background {
            dirty_background: 100,
            dirty_limit: 100,
            ..Background::for_cache(0)
        };
        assert_eq!(background.owed(10, 100), 0);
        assert_eq!(background.owed(10, 101), 20);
    }
}
