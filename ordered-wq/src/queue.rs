//! The ordered queue: the order of its items, and the threads that come by.

use std::cell::RefCell;
use std::fmt;

use crate::order::Order;
use crate::panics::caught;
use crate::pool::Job;
use crate::sync::{Arc, Mutex, MutexGuard, Sleeper, thread_local};
use crate::{Error, Outcome, Pool, Work, WorkId};

/// Items that run in parallel on a pool and finish one at a time, in the order
/// in which they were submitted.
///
/// Dropping the queue waits as [`Self::drain`] does, except inside one of its
/// own items, where it doesn't wait: the items finish all the same.
pub struct OrderedQueue {
    core: Arc<Core>,
    pool: Pool,
}

/// A queue as the pool sees it.
pub(crate) trait Unordered: Send + Sync {
    /// Starts items that are pending, as many as `another` says, and finishes what can be finished.
    /// `come_again` brings another thread, or this one.
    fn come_by(&self, come_again: &dyn Fn(), another: &dyn Fn() -> bool);
}

struct Core {
    state: Mutex<State>,
}

struct State {
    order: Order<Box<dyn Work>>,
    /// A thread was asked to come by and has not come yet. While anything is pending, one is: so
    /// there is always a job for who looks for one, and never more than that.
    asked: bool,
    /// Items that are finished and will be freed when the thread that ran them
    /// has left the queue (I5): at most one a thread.
    unfreed: Vec<u64>,
    waiters: Vec<Waiter>,
    /// The first panic after a parallel part since the last report.
    panic: Option<(WorkId, String)>,
}

/// Somebody waits until all items before `target` are finished and freed.
struct Waiter {
    target: u64,
    sleeper: Arc<Sleeper>,
}

impl OrderedQueue {
    /// Makes an empty queue whose items run on `pool`.
    #[must_use]
    pub fn new(pool: &Pool) -> Self {
        let state = State {
            order: Order::new(),
            asked: false,
            unfreed: Vec::new(),
            waiters: Vec::new(),
            panic: None,
        };
        Self {
            core: Arc::new(Core {
                state: Mutex::new(state),
            }),
            pool: pool.clone(),
        }
    }

    /// Appends an item. Never waits, and runs no part of any item.
    pub fn submit(&self, work: impl Work) -> WorkId {
        let work = Box::new(work);
        let mut state = self.core.state.lock();
        let id = state.order.push(work);
        let ask = !std::mem::replace(&mut state.asked, true);
        drop(state);
        if ask {
            self.pool.push(Job::Queue(Arc::clone(&self.core) as _));
        }
        WorkId(id)
    }

    /// Returns when all items submitted before the call are finished and
    /// freed. The calling thread runs those that no thread has started.
    ///
    /// # Errors
    ///
    /// [`Error::Panicked`] for the first panic in an ordered part, or in
    /// freeing an item, since the last report; the wait is complete
    /// nevertheless. [`Error::WaitsForItself`] if called inside an item of this
    /// queue; nothing was waited for then.
    pub fn drain(&self) -> Result<(), Error> {
        let end = self.core.state.lock().order.end();
        self.wait_until(end)
    }

    /// Returns when the item, and all before it, are finished and freed. Like
    /// [`Self::drain`] otherwise.
    ///
    /// # Errors
    ///
    /// As [`Self::drain`].
    pub fn wait(&self, id: WorkId) -> Result<(), Error> {
        let end = self.core.state.lock().order.end();
        self.wait_until(id.0.saturating_add(1).min(end))
    }

    /// Cancels the items that have not been started, and says how many these
    /// were. Each is finished in its turn, with [`Outcome::Cancelled`], perhaps
    /// by the calling thread. The queue can be used on.
    pub fn cancel(&self) -> u64 {
        let _inside = Inside::enter(&self.core);
        let mut state = self.core.state.lock();
        let cancelled = state.order.cancel();
        drop(self.core.finish_due(state, None));
        cancelled
    }

    /// How many items are submitted and not yet finished.
    #[must_use]
    pub fn unfinished(&self) -> u64 {
        let state = self.core.state.lock();
        state.order.end() - state.order.head()
    }

    /// The pool that the items run on.
    #[must_use]
    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    fn wait_until(&self, target: u64) -> Result<(), Error> {
        if Inside::is(&self.core) {
            return Err(Error::WaitsForItself);
        }
        while self.core.advance(target) {}
        let mut state = self.core.state.lock();
        if !state.reached(target) {
            let sleeper = Arc::new(Sleeper::default());
            state.waiters.push(Waiter {
                target,
                sleeper: Arc::clone(&sleeper),
            });
            drop(state);
            sleeper.sleep();
            state = self.core.state.lock();
        }
        match state.panic.take() {
            None => Ok(()),
            Some((id, message)) => Err(Error::Panicked { id, message }),
        }
    }
}

impl Drop for OrderedQueue {
    fn drop(&mut self) {
        match self.drain() {
            Ok(()) | Err(Error::WaitsForItself) => {}
            Err(error) => tracing::error!(%error, "an ordered queue was dropped with an error"),
        }
    }
}

impl fmt::Debug for OrderedQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OrderedQueue")
            .field("unfinished", &self.unfinished())
            .finish_non_exhaustive()
    }
}

impl Unordered for Core {
    fn come_by(&self, come_again: &dyn Fn(), another: &dyn Fn() -> bool) {
        let _inside = Inside::enter(self);
        let mut state = self.state.lock();
        state.asked = false;
        let mut first = true;
        while first || another() {
            first = false;
            let Some((id, work)) = state.order.start(u64::MAX) else {
                break;
            };
            let ask = state.order.has_pending() && !std::mem::replace(&mut state.asked, true);
            drop(state);
            if ask {
                come_again();
            }
            state = self.run(id, work);
            state = self.finish_due(state, Some(id)).0;
        }
        // What was submitted since found nobody asked, or asked somebody.
        if state.order.has_pending() && !std::mem::replace(&mut state.asked, true) {
            drop(state);
            come_again();
            return;
        }
        drop(self.finish_due(state, None));
    }
}

impl Core {
    /// Runs the first pending item before `below`, if there is one, and then
    /// the ordered parts that are due. `false` if neither was there to do.
    fn advance(&self, below: u64) -> bool {
        let _inside = Inside::enter(self);
        let mut state = self.state.lock();
        let Some((id, work)) = state.order.start(below) else {
            return self.finish_due(state, None).1;
        };
        drop(state);
        let state = self.run(id, work);
        drop(self.finish_due(state, Some(id)));
        true
    }

    /// The parallel part; returns under the lock under which the item is done.
    fn run(&self, id: u64, mut work: Box<dyn Work>) -> MutexGuard<'_, State> {
        let outcome = match caught(|| work.run()) {
            Ok(()) => Outcome::Done,
            Err(message) => Outcome::Panicked(message),
        };
        let mut state = self.state.lock();
        state.order.complete(id, work, outcome);
        state
    }

    /// Finishes heads until one isn't done or another thread is at it. No
    /// wake-up is lost: whoever completes an item looks at the head under the
    /// lock under which it became done.
    fn finish_due<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        own: Option<u64>,
    ) -> (MutexGuard<'a, State>, bool) {
        let mut own_work = None;
        let mut any = false;
        while let Some((id, mut work, outcome)) = state.order.take_head() {
            any = true;
            drop(state);
            let mut panic = caught(|| work.finish(outcome)).err();
            if own == Some(id) {
                own_work = Some(work);
            } else {
                panic = panic.or(caught(|| drop(work)).err());
            }
            state = self.state.lock();
            if own == Some(id) {
                state.unfreed.push(id);
            }
            state.order.unlink_head();
            state.settle(id, panic);
        }
        if let (Some(work), Some(id)) = (own_work, own) {
            drop(state);
            let panic = caught(|| drop(work)).err();
            state = self.state.lock();
            state.unfreed.retain(|unfreed| *unfreed != id);
            state.settle(id, panic);
        }
        (state, any)
    }
}

impl State {
    fn reached(&self, target: u64) -> bool {
        self.order.head() >= target && self.unfreed.iter().all(|id| *id >= target)
    }

    /// Keeps the first panic and wakes whoever waited for this.
    fn settle(&mut self, id: u64, panic: Option<String>) {
        if let Some(message) = panic {
            tracing::error!(id, message, "an item panicked after its parallel part");
            self.panic.get_or_insert((WorkId(id), message));
        }
        if self.waiters.is_empty() {
            return;
        }
        let waiters = std::mem::take(&mut self.waiters);
        for waiter in waiters {
            if self.reached(waiter.target) {
                waiter.sleeper.wake();
            } else {
                self.waiters.push(waiter);
            }
        }
    }
}

thread_local! {
    /// The queues, by the addresses of their cores, whose items the thread is
    /// in; a core lives while a thread is in it.
    static INSIDE: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
}

/// The calling thread is in an item of a queue.
struct Inside;

impl Inside {
    fn enter(core: &Core) -> Self {
        INSIDE.with(|inside| {
            inside.borrow_mut().push(std::ptr::from_ref(core).addr());
        });
        Self
    }

    fn is(core: &Core) -> bool {
        let core = std::ptr::from_ref(core).addr();
        INSIDE
            .try_with(|inside| inside.borrow().contains(&core))
            .unwrap_or(false)
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        INSIDE.with(|inside| inside.borrow_mut().pop());
    }
}
