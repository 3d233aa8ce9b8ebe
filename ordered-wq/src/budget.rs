//! Bytes in transit, bounded.

use std::collections::VecDeque;
use std::fmt;

use crate::Pool;
use crate::sync::{Arc, Mutex, Sleeper};

/// A number of bytes that may be in transit at once. Cloning gives another
/// handle to the same budget.
///
/// I8: permits are granted in the order in which they were asked for, so a
/// large request isn't passed over for ever by small ones.
///
/// Those who had to wait are granted theirs once half of the budget is
/// free, as many as fit.
#[derive(Clone)]
pub struct Budget {
    core: Arc<Core>,
}

struct Core {
    limit: u64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    used: u64,
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
    /// while there are any instead of sleeping. Hold no lock that a job takes.
    pub fn acquire_helping(&self, bytes: u64, pool: &Pool) -> Permit {
        if let Some(sleeper) = self.ask(bytes) {
            tracing::trace!(bytes, "helps while it waits for the budget");
            while !sleeper.is_awake() {
                if !pool.help() {
                    sleeper.sleep();
                }
            }
        }
        self.permit(bytes)
    }

    /// `None` if [`Self::acquire`] would sleep.
    #[must_use]
    pub fn try_acquire(&self, bytes: u64) -> Option<Permit> {
        let granted = self.core.state.lock().grant(bytes, self.core.limit);
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
        self.core.state.lock().used
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
        let mut state = self.core.state.lock();
        if state.grant(bytes, self.core.limit) {
            return None;
        }
        let sleeper = Arc::new(Sleeper::default());
        state.waited += 1;
        state.waiters.push_back(Waiter {
            bytes,
            sleeper: Arc::clone(&sleeper),
        });
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
    fn release(&self, bytes: u64) {
        let mut state = self.state.lock();
        debug_assert!(state.used >= bytes, "only what was granted is released");
        state.used -= bytes;
        let mut granted = Vec::new();
        // Who had to wait is woken when half is free: or else submitter and workers would wake
        // each other for every item.
        let low = self.limit / 2;
        while let Some(first) = state.waiters.front() {
            if (granted.is_empty() && state.used > low) || !state.fits(first.bytes, self.limit) {
                break;
            }
            let Some(waiter) = state.waiters.pop_front() else {
                break;
            };
            state.take(waiter.bytes);
            granted.push(waiter.sleeper);
        }
        drop(state);
        for sleeper in granted {
            sleeper.wake();
        }
    }
}

impl State {
    fn fits(&self, bytes: u64, limit: u64) -> bool {
        self.used == 0 || self.used.checked_add(bytes).is_some_and(|sum| sum <= limit)
    }

    fn grant(&mut self, bytes: u64, limit: u64) -> bool {
        let granted = self.waiters.is_empty() && self.fits(bytes, limit);
        if granted {
            self.take(bytes);
        }
        granted
    }

    fn take(&mut self, bytes: u64) {
        self.used += bytes;
        self.high_water = self.high_water.max(self.used);
    }
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.core.state.lock();
        f.debug_struct("Budget")
            .field("limit", &self.core.limit)
            .field("used", &state.used)
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
