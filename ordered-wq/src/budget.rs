//! Bytes in transit, bounded.

use std::collections::VecDeque;
use std::fmt;

use crate::Pool;
use crate::sync::{Arc, AtomicU64, Mutex, MutexGuard, Ordering, Sleeper};

/// A number of bytes that may be in transit at once. Cloning gives another
/// handle to the same budget.
///
/// I8: permits are granted in the order in which they were asked for, so a
/// large request isn't passed over for ever by small ones.
///
/// Those who had to wait are granted theirs once half of the budget is
/// free, as many as fit. Who asks for no bytes takes nothing from them, and
/// never waits.
#[derive(Clone)]
pub struct Budget {
    core: Arc<Core>,
}

struct Core {
    limit: u64,
    state: Mutex<State>,
    /// Bytes that are granted in advance: whoever wants some takes them without the lock. Never so
    /// many that the high-water mark would rise, and none while somebody waits.
    spare: AtomicU64,
    /// Bytes that were given back and are still booked, and [`State::ahead`]. One number, so that
    /// of a thread that gives back and one that begins to wait, one sees the other.
    returned: AtomicU64,
}

/// Who brings [`Core::returned`] to so much serves those who wait. No sum overflows: what was given
/// back is booked, and who waits wants room for half of a budget at most.
const ENOUGH: u64 = 0x8000_0000_0000_0000;

#[derive(Default)]
struct State {
    /// What is out, what is spare, and what was given back since it was last looked at.
    booked: u64,
    /// While somebody waits, [`Core::returned`] is ahead by so much, and reaches [`ENOUGH`] when he can
    /// be served.
    ahead: u64,
    high_water: u64,
    /// How many requests had to wait.
    waited: u64,
    waiters: VecDeque<Waiter>,
}

/// Whoever releases grants: the sleeper owns its bytes when it wakes.
struct Waiter {
    bytes: u64,
    sleeper: Arc<Sleeper>,
}

/// Bytes of a [`Budget`], given back when dropped.
#[must_use = "a permit that is dropped at once bounds nothing"]
pub struct Permit {
    core: Arc<Core>,
    bytes: u64,
}

impl Budget {
    /// Makes a budget of `limit` bytes.
    #[must_use]
    pub fn new(limit: u64) -> Self {
        Self {
            core: Arc::new(Core {
                limit,
                state: Mutex::new(State::default()),
                spare: AtomicU64::new(0),
                returned: AtomicU64::new(0),
            }),
        }
    }

    /// Sleeps until `bytes` are free and nobody who asked before still waits.
    /// A request for more than the whole budget is granted when nothing else is
    /// out.
    pub fn acquire(&self, bytes: u64) -> Permit {
        if let Some(sleeper) = self.ask(bytes) {
            tracing::trace!(bytes, "waits for the budget");
            sleeper.sleep();
        }
        self.permit(bytes)
    }

    /// As [`Self::acquire`], but runs jobs of the pool on the calling thread
    /// while there are any instead of sleeping, and those that come later, too, if the
    /// pool has no thread for them. Hold no lock that a job takes.
    pub fn acquire_helping(&self, bytes: u64, pool: &Pool) -> Permit {
        if let Some(sleeper) = self.ask(bytes) {
            tracing::trace!(bytes, "helps while it waits for the budget");
            while !sleeper.is_awake() {
                if !pool.help_until(&|| sleeper.is_awake()) {
                    pool.nap(&sleeper);
                }
            }
            pool.pass_on();
        }
        self.permit(bytes)
    }

    /// `None` if [`Self::acquire`] would sleep.
    #[must_use]
    pub fn try_acquire(&self, bytes: u64) -> Option<Permit> {
        let core = &*self.core;
        let granted = core.take_spare(bytes) || core.grant(&mut core.state.lock(), bytes);
        granted.then(|| self.permit(bytes))
    }

    /// The whole budget, in bytes.
    #[must_use]
    pub fn limit(&self) -> u64 {
        self.core.limit
    }

    /// Bytes out now.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.core.used(&self.core.state.lock())
    }

    /// The most bytes that were ever out at once.
    #[must_use]
    pub fn high_water(&self) -> u64 {
        self.core.state.lock().high_water
    }

    /// How many requests could not be granted at once.
    #[must_use]
    pub fn waited(&self) -> u64 {
        self.core.state.lock().waited
    }

    /// Takes the bytes, or joins those who wait.
    fn ask(&self, bytes: u64) -> Option<Arc<Sleeper>> {
        let core = &*self.core;
        if core.take_spare(bytes) {
            return None;
        }
        let mut state = core.state.lock();
        if core.grant(&mut state, bytes) {
            return None;
        }
        let sleeper = Arc::new(Sleeper::default());
        state.waited += 1;
        state.waiters.push_back(Waiter {
            bytes,
            sleeper: Arc::clone(&sleeper),
        });
        core.serve(state);
        Some(sleeper)
    }

    fn permit(&self, bytes: u64) -> Permit {
        Permit {
            core: Arc::clone(&self.core),
            bytes,
        }
    }
}

impl Permit {
    /// How many bytes it covers.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Gives back all but `to` bytes; nothing if it covers no more than that.
    pub fn shrink(&mut self, to: u64) {
        let released = self.bytes.saturating_sub(to);
        if released > 0 {
            self.bytes = to;
            self.core.release(released);
        }
    }

    /// Moves `bytes` of it, at most all, to a permit of their own.
    pub fn split(&mut self, bytes: u64) -> Self {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        Self {
            core: Arc::clone(&self.core),
            bytes,
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.shrink(0);
    }
}

impl Core {
    fn take_spare(&self, bytes: u64) -> bool {
        let take = |spare: u64| spare.checked_sub(bytes);
        let done = (Ordering::AcqRel, Ordering::Relaxed);
        self.spare.fetch_update(done.0, done.1, take).is_ok()
    }

    fn release(&self, bytes: u64) {
        let before = self.returned.fetch_add(bytes, Ordering::AcqRel);
        if before + bytes >= ENOUGH {
            self.serve(self.state.lock());
        }
    }

    /// Looks at what was given back, after which what is booked is what is out.
    fn settle(&self, state: &mut State) {
        let spare = self.spare.swap(0, Ordering::AcqRel);
        let returned = self.returned.swap(0, Ordering::AcqRel) - std::mem::take(&mut state.ahead);
        debug_assert!(state.booked >= spare + returned, "only what was granted");
        state.booked -= spare + returned;
    }

    /// Grants a request if it fits and nobody waits.
    fn grant(&self, state: &mut State, bytes: u64) -> bool {
        if !state.waiters.is_empty() {
            return false;
        }
        self.settle(state);
        let granted = state.fits(bytes, self.limit);
        if granted {
            state.take(bytes);
        }
        self.put_spare(state);
        granted
    }

    /// Nobody waits: what is free below the high-water mark may be taken without the lock.
    fn put_spare(&self, state: &mut State) {
        let most = state.high_water.min(self.limit);
        let spare = most.saturating_sub(state.booked);
        state.booked += spare;
        self.spare.store(spare, Ordering::Release);
    }

    /// Grants what can be granted to those who wait, and wakes them.
    fn serve(&self, mut state: MutexGuard<'_, State>) {
        // Who had to wait is woken when half is free: or else submitter and workers would wake
        // each other for every item.
        let low = self.limit / 2;
        let mut granted = Vec::new();
        loop {
            self.settle(&mut state);
            while let Some(first) = state.waiters.front() {
                let bytes = first.bytes;
                if (granted.is_empty() && state.booked > low) || !state.fits(bytes, self.limit) {
                    break;
                }
                state.take(bytes);
                granted.extend(state.waiters.pop_front().map(|waiter| waiter.sleeper));
            }
            let Some(first) = state.waiters.front() else {
                self.put_spare(&mut state);
                break;
            };
            let room = self.limit.saturating_sub(first.bytes).min(low);
            let wanted = state.booked.saturating_sub(room);
            state.ahead = ENOUGH.saturating_sub(wanted);
            let before = self.returned.fetch_add(state.ahead, Ordering::AcqRel);
            if before >= wanted {
                continue;
            }
            // Whoever gives back the last of these sees that he is waited for.
            break;
        }
        drop(state);
        for sleeper in granted {
            sleeper.wake();
        }
    }

    fn used(&self, state: &State) -> u64 {
        // In this order: of what is taken and given back meanwhile, too much is seen.
        let returned = self.returned.load(Ordering::Acquire) - state.ahead;
        let spare = self.spare.load(Ordering::Acquire);
        state.booked.saturating_sub(returned + spare)
    }
}

impl State {
    /// Once settled.
    fn fits(&self, bytes: u64, limit: u64) -> bool {
        self.booked == 0
            || self
                .booked
                .checked_add(bytes)
                .is_some_and(|sum| sum <= limit)
    }

    fn take(&mut self, bytes: u64) {
        self.booked += bytes;
        self.high_water = self.high_water.max(self.booked);
    }
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.core.state.lock();
        f.debug_struct("Budget")
            .field("limit", &self.core.limit)
            .field("used", &self.core.used(&state))
            .field("high_water", &state.high_water)
            .field("waiting", &state.waiters.len())
            .finish()
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Permit").field(&self.bytes).finish()
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::*;

    /// Guarded by `Core::put_spare`.
    #[test]
    fn every_item_is_paid_for_under_the_lock() {
        let budget = Budget::new(10);
        let core = &*budget.core;
        drop(budget.acquire(4));
        let first = budget.acquire(1);
        let state = core.state.lock();
        assert!(core.take_spare(3), "as much as was out before");
        assert!(!core.take_spare(1), "more than that was never out");
        core.release(3);
        drop(state);
        drop(first);
        assert_eq!((budget.used(), budget.high_water()), (0, 4));
    }
}
