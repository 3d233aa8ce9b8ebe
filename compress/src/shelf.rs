//! A bounded number of things of one kind, to borrow.

use crate::Error;
use crate::sync::{Condvar, Mutex, MutexGuard, ThreadId, this_thread};

/// Lends what was returned, makes more up to a limit, and lets others wait.
pub(crate) struct Shelf<T: ?Sized> {
    state: Mutex<State<T>>,
    /// Something came back, or room to make one.
    changed: Condvar,
}

struct State<T: ?Sized> {
    /// With the thread that used it last: its memory may still be in that processor's cache.
    idle: Vec<(ThreadId, Box<T>)>,
    /// Idle and lent. Once there is one, there always is, unless it is discarded.
    existing: usize,
    /// Being made.
    making: usize,
    /// Threads that sleep.
    waiting: usize,
}

impl<T: ?Sized> State<T> {
    /// The one that this thread used last, or else the one that has lain there longest: the others
    /// are more likely to be wanted again by those who used them.
    fn take_idle(&mut self) -> Option<Box<T>> {
        if self.idle.is_empty() {
            return None;
        }
        let me = this_thread();
        let mine = self.idle.iter().rposition(|(user, _)| *user == me);
        Some(self.idle.remove(mine.unwrap_or(0)).1)
    }
}

impl<T: ?Sized> Default for State<T> {
    fn default() -> Self {
        Self {
            idle: Vec::new(),
            existing: 0,
            making: 0,
            waiting: 0,
        }
    }
}

impl<T: ?Sized> Default for Shelf<T> {
    fn default() -> Self {
        Self {
            state: Mutex::default(),
            changed: Condvar::default(),
        }
    }
}

impl<T: ?Sized> Shelf<T> {
    /// One to use. With `limit` (at least one) in use it waits until one comes back, and likewise
    /// if none can be made while others exist; so what was made once is always there in the end.
    ///
    /// # Errors
    ///
    /// What `make` gives, if there is none to wait for.
    pub(crate) fn take(
        &self,
        limit: usize,
        make: impl Fn() -> Result<Box<T>, Error>,
    ) -> Result<Box<T>, Error> {
        let mut state = self.state.lock();
        loop {
            if let Some(idle) = state.take_idle() {
                return Ok(idle);
            }
            if state.existing + state.making >= limit.max(1) {
                state = self.wait(state);
                continue;
            }
            state.making += 1;
            drop(state);
            let error = match Making(Some(self)).made(&make) {
                Ok(made) => return Ok(made),
                Err(error) => error,
            };
            state = self.state.lock();
            // Those that are being made are no hope: their makers may think the same of this one.
            if state.existing == 0 {
                return Err(error);
            }
            if state.idle.is_empty() {
                state = self.wait(state);
            }
        }
    }

    /// Makes one if there is none, so that nobody who takes one later can fail for want of memory.
    pub(crate) fn reserve(&self, make: impl Fn() -> Result<Box<T>, Error>) -> Result<(), Error> {
        if self.state.lock().existing > 0 {
            return Ok(());
        }
        let one = self.take(usize::MAX, make)?;
        self.put(one);
        Ok(())
    }

    pub(crate) fn put(&self, one: Box<T>) {
        let mut state = self.state.lock();
        state.idle.push((this_thread(), one));
        self.wake(state);
    }

    /// What was lent is of no use any more: there is room for another one.
    pub(crate) fn discard(&self, one: Box<T>) {
        let mut state = self.state.lock();
        state.existing -= 1;
        self.wake(state);
        drop(one);
    }

    /// Frees what nobody uses, all but one.
    pub(crate) fn shrink(&self) {
        let mut state = self.state.lock();
        // What is lent counts as the one to keep; what is being made does not, since that may fail.
        let spare = state.idle.len().min(state.existing.saturating_sub(1));
        let keep = state.idle.len() - spare;
        let freed = state.idle.split_off(keep);
        state.existing -= freed.len();
        drop(state);
        drop(freed);
    }

    /// How many there are, idle or lent.
    pub(crate) fn existing(&self) -> usize {
        self.state.lock().existing
    }

    fn wait<'a>(&'a self, mut state: MutexGuard<'a, State<T>>) -> MutexGuard<'a, State<T>> {
        state.waiting += 1;
        let mut state = self.changed.wait(state);
        state.waiting -= 1;
        state
    }

    /// Under the lock that a taker holds from its look at the state to its sleep, so that no wake-up
    /// is lost; and one is enough, since a taker who comes first will return what it took.
    fn wake(&self, state: MutexGuard<'_, State<T>>) {
        let anybody = state.waiting > 0;
        drop(state);
        if anybody {
            self.changed.notify_one();
        }
    }
}

/// Room for one that is being made; given up if that fails or panics.
struct Making<'a, T: ?Sized>(Option<&'a Shelf<T>>);

impl<T: ?Sized> Making<'_, T> {
    fn made(mut self, make: impl Fn() -> Result<Box<T>, Error>) -> Result<Box<T>, Error> {
        let made = make()?;
        if let Some(shelf) = self.0.take() {
            let mut state = shelf.state.lock();
            state.making -= 1;
            state.existing += 1;
        }
        Ok(made)
    }
}

impl<T: ?Sized> Drop for Making<'_, T> {
    fn drop(&mut self) {
        let Some(shelf) = self.0 else { return };
        let mut state = shelf.state.lock();
        state.making -= 1;
        // Who waits for one that exists is woken when it comes back. Waking it now would let two
        // that find no memory wake each other for ever.
        if state.existing == 0 {
            shelf.wake(state);
        }
    }
}
