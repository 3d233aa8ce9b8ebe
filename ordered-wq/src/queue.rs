//! The ordered queue: the order of its items, and the threads that come by.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use crate::order::Order;
use crate::panics::caught;
use crate::pool::Job;
use crate::sync::{Arc, AtomicU64, Mutex, MutexGuard, Ordering, Pace, Sleeper, thread_local};
use crate::{Error, Outcome, Pool, Work, WorkId};

/// Items that run in parallel on a pool and finish one at a time, in the order
/// in which they were submitted.
///
/// One made by [`Self::new`] takes items of any type, and puts each into a box. One made by
/// [`Self::of_one_type`] takes items of one type as they are, which costs no allocation.
///
/// Dropping the queue waits as [`Self::drain`] does, except inside one of its
/// own items, where it doesn't wait: the items finish all the same.
pub struct OrderedQueue<W: Work = Box<dyn Work>> {
    core: Arc<Core<W>>,
    pool: Pool,
}

/// A queue as the pool sees it.
pub(crate) trait Unordered: Send + Sync {
    /// Starts items, again and again as long as `another` says so, and finishes what can be
    /// finished. `come_again` brings another thread, or this one.
    fn come_by(&self, come_again: &dyn Fn(), another: &dyn Fn() -> bool, visit: Visit);
}

/// How much a thread that comes by claims at once.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Visit {
    One,
    /// A run of items, if they are quick.
    Run,
}

/// Most items of a run.
const MOST: usize = 32;
/// Of a queue that is new. Models have few items.
const FIRST: usize = if cfg!(any(loom, shuttle)) { 2 } else { 1 };
/// A run that took less was quick, and the next may be twice as long.
const QUICK: Duration = Duration::from_micros(5);
/// After one that took more, a run is a single item again.
const SLOW: Duration = Duration::from_micros(25);

/// In [`Core::finished`]: somebody waits for items.
const WAITED_FOR: u64 = 1;
const ONE: u64 = 2;

struct Core<W> {
    state: Mutex<State<W>>,
    /// [`ONE`] for each item that is finished, and [`WAITED_FOR`]. One number, so that of a thread
    /// that finishes an item and one that begins to wait, one sees the other without a lock.
    finished: AtomicU64,
}

struct State<W> {
    order: Order<W>,
    /// A thread was asked to come by and has not come yet. While any item is not started, one is:
    /// so there is always a job for who looks for one, and never more than that.
    asked: bool,
    /// Most items of the next run.
    run_len: usize,
    /// What threads have claimed and not started. It is started by whoever comes first.
    runs: Vec<Arc<Run<W>>>,
    idle: Vec<Desk<W>>,
    /// Items that are finished and will be freed when the thread that ran them
    /// has left the queue (I5): at most one a thread.
    unfreed: Vec<u64>,
    waiters: Vec<Waiter>,
    /// The first panic after a parallel part since the last report.
    panic: Option<(WorkId, String)>,
}

/// Items by id, ascending; one of a thread's own is taken without the queue's lock.
type Run<W> = Mutex<VecDeque<(u64, W)>>;

/// What a thread needs while it is at the queue.
struct Desk<W> {
    run: Arc<Run<W>>,
    due: Vec<(u64, W, Outcome)>,
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
        Self::of_one_type(pool)
    }

    /// Appends an item. Never waits, and runs no part of any item.
    pub fn submit(&self, work: impl Work) -> WorkId {
        self.push(Box::new(work))
    }
}

impl<W: Work> OrderedQueue<W> {
    /// Makes an empty queue of items of one type, to be submitted with [`Self::push`].
    #[must_use]
    pub fn of_one_type(pool: &Pool) -> Self {
        let state = State {
            order: Order::new(),
            asked: false,
            run_len: FIRST,
            runs: Vec::new(),
            idle: Vec::new(),
            unfreed: Vec::new(),
            waiters: Vec::new(),
            panic: None,
        };
        Self {
            core: Arc::new(Core {
                state: Mutex::new(state),
                finished: AtomicU64::new(0),
            }),
            pool: pool.clone(),
        }
    }

    /// Appends an item as it is. Never waits, and runs no part of any item.
    pub fn push(&self, work: W) -> WorkId {
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
        let core = &*self.core;
        let _inside = Inside::enter(core);
        let mut state = core.state.lock();
        let cancelled = state.cancel();
        if state.order.turn_due() {
            let mut desk = state.desk();
            state = core.finish_due(state, None, None, &mut desk);
            state.idle.push(desk);
        }
        cancelled
    }

    /// How many items are submitted and not yet finished.
    #[must_use]
    pub fn unfinished(&self) -> u64 {
        let state = self.core.state.lock();
        state.order.end() - self.core.finished()
    }

    /// The pool that the items run on.
    #[must_use]
    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    fn wait_until(&self, target: u64) -> Result<(), Error> {
        let core = &*self.core;
        if Inside::is(core) {
            return Err(Error::WaitsForItself);
        }
        while core.advance(target) {}
        let mut state = core.state.lock();
        if let Some(sleeper) = core.must_wait(&mut state, target) {
            drop(state);
            sleeper.sleep();
            state = core.state.lock();
        }
        match state.panic.take() {
            None => Ok(()),
            Some((id, message)) => Err(Error::Panicked { id, message }),
        }
    }
}

impl<W: Work> Drop for OrderedQueue<W> {
    fn drop(&mut self) {
        match self.drain() {
            Ok(()) | Err(Error::WaitsForItself) => {}
            Err(error) => tracing::error!(%error, "an ordered queue was dropped with an error"),
        }
    }
}

impl<W: Work> fmt::Debug for OrderedQueue<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OrderedQueue")
            .field("unfinished", &self.unfinished())
            .finish_non_exhaustive()
    }
}

impl<W: Work> Unordered for Core<W> {
    fn come_by(&self, come_again: &dyn Fn(), another: &dyn Fn() -> bool, visit: Visit) {
        let _inside = Inside::enter(self);
        let mut state = self.state.lock();
        state.asked = false;
        let mut desk = state.desk();
        let mut pace = Pace::start();
        loop {
            let most = match visit {
                Visit::One => 1,
                Visit::Run => state.run_len,
            };
            let Some(first) = state.claim(&desk, most) else {
                break;
            };
            state = self.carry_out(state, first, &mut desk, Some(come_again));
            if visit == Visit::Run {
                state.learn(pace.lap());
            }
            if !another() {
                break;
            }
        }
        state.idle.push(desk);
        // What was submitted since found nobody asked, or asked somebody.
        if state.must_ask() {
            drop(state);
            come_again();
        }
    }
}

impl<W: Work> Core<W> {
    /// How many items are finished.
    fn finished(&self) -> u64 {
        self.finished.load(Ordering::Acquire) / ONE
    }

    /// Starts the first item before `below` that nobody has started, if there is one, and does what
    /// is due then. `false` if there was none.
    fn advance(&self, below: u64) -> bool {
        let _inside = Inside::enter(self);
        let mut state = self.state.lock();
        let Some(first) = state.start(below) else {
            return false;
        };
        let mut desk = state.desk();
        state = self.carry_out(state, first, &mut desk, None);
        state.idle.push(desk);
        true
    }

    /// Runs an item that was started, then those of the desk's run, and finishes what is due.
    fn carry_out<'a>(
        &'a self,
        mut state: MutexGuard<'a, State<W>>,
        first: (u64, W),
        desk: &mut Desk<W>,
        come_again: Option<&dyn Fn()>,
    ) -> MutexGuard<'a, State<W>> {
        let (mut id, mut work) = first;
        let mut turn = state.order.turn_of(id);
        let ask = come_again.filter(|_| state.must_ask());
        drop(state);
        if let Some(ask) = ask {
            ask();
        }
        loop {
            let outcome = match caught(|| work.run()) {
                Ok(()) => Outcome::Done,
                Err(message) => Outcome::Panicked(message),
            };
            let mut state = if turn {
                let panic = caught(|| work.finish(outcome)).err();
                let follows = |next: Option<&(u64, W)>| next.is_some_and(|next| next.0 == id + 1);
                // Bound, for a lock in the condition would be held for all of it.
                let own_is_next = follows(desk.run.lock().front());
                let own_work = if own_is_next {
                    // This thread finishes nothing but own items for now, so it may free this one.
                    let panic = panic.or(caught(|| drop(work)).err());
                    self.count(id, panic);
                    let next = desk.run.lock().pop_front_if(|next| next.0 == id + 1);
                    if let Some(next) = next {
                        (id, work) = next;
                        continue;
                    }
                    None
                } else {
                    let mut state = self.state.lock();
                    state.unfreed.push(id);
                    self.count_locked(&mut state, id, panic);
                    Some(work)
                };
                let mut state = self.state.lock();
                state.order.unlist(self.finished());
                self.finish_due(state, Some(id), own_work, desk)
            } else {
                let mut state = self.state.lock();
                state.order.complete(id, work, outcome);
                match state.order.turn_due() {
                    true => self.finish_due(state, Some(id), None, desk),
                    false => state,
                }
            };
            // Not earlier: what this thread doesn't start at once, others may.
            let Some(next) = desk.run.lock().pop_front() else {
                return state;
            };
            turn = state.order.turn_of(next.0);
            drop(state);
            (id, work) = next;
        }
    }

    /// Who has the turn finishes heads until one isn't done, and ends the turn. No
    /// wake-up is lost: whoever completes an item looks at the head under the
    /// lock under which it became done.
    ///
    /// The thread's own item is freed last. If it is finished already, it is given too.
    fn finish_due<'a>(
        &'a self,
        mut state: MutexGuard<'a, State<W>>,
        own: Option<u64>,
        mut own_work: Option<W>,
        desk: &mut Desk<W>,
    ) -> MutexGuard<'a, State<W>> {
        loop {
            state.order.take_due(MOST, &mut desk.due);
            if desk.due.is_empty() {
                break;
            }
            if let Some(own) = own
                && desk.due.iter().any(|due| due.0 == own)
            {
                state.unfreed.push(own);
            }
            drop(state);
            for (id, mut work, outcome) in desk.due.drain(..) {
                let mut panic = caught(|| work.finish(outcome)).err();
                if own == Some(id) {
                    own_work = Some(work);
                } else {
                    panic = panic.or(caught(|| drop(work)).err());
                }
                self.count(id, panic);
            }
            state = self.state.lock();
            state.order.unlist(self.finished());
        }
        state.order.end_turn();
        if let (Some(work), Some(id)) = (own_work, own) {
            drop(state);
            let panic = caught(|| drop(work)).err();
            state = self.state.lock();
            state.unfreed.retain(|unfreed| *unfreed != id);
            state.note(id, panic);
            self.wake(&mut state);
        }
        state
    }

    /// An item is finished, and freed unless it is told as unfreed.
    fn count(&self, id: u64, panic: Option<String>) {
        if panic.is_some() {
            self.count_locked(&mut self.state.lock(), id, panic);
        } else if self.finished.fetch_add(ONE, Ordering::AcqRel) & WAITED_FOR != 0 {
            self.wake(&mut self.state.lock());
        }
    }

    fn count_locked(&self, state: &mut State<W>, id: u64, panic: Option<String>) {
        // First, so that who sees the item finished is told.
        state.note(id, panic);
        self.finished.fetch_add(ONE, Ordering::AcqRel);
        self.wake(state);
    }

    /// Where to sleep until all items before `target` are finished and freed; nowhere if they are.
    fn must_wait(&self, state: &mut State<W>, target: u64) -> Option<Arc<Sleeper>> {
        let finished = self.finished.fetch_or(WAITED_FOR, Ordering::AcqRel) / ONE;
        if state.reached(finished, target) {
            self.wake(state);
            return None;
        }
        let sleeper = Arc::new(Sleeper::default());
        state.waiters.push(Waiter {
            target,
            sleeper: Arc::clone(&sleeper),
        });
        Some(sleeper)
    }

    /// Wakes those who waited for what is so now.
    fn wake(&self, state: &mut State<W>) {
        let finished = self.finished();
        for waiter in std::mem::take(&mut state.waiters) {
            if state.reached(finished, waiter.target) {
                waiter.sleeper.wake();
            } else {
                state.waiters.push(waiter);
            }
        }
        if state.waiters.is_empty() {
            self.finished.fetch_and(!WAITED_FOR, Ordering::AcqRel);
        }
    }
}

impl<W: Work> State<W> {
    fn desk(&mut self) -> Desk<W> {
        self.idle.pop().unwrap_or_else(|| {
            let run: Arc<Run<W>> = Arc::default();
            self.runs.push(Arc::clone(&run));
            Desk {
                run,
                due: Vec::new(),
            }
        })
    }

    /// Takes the first item that waits to be started: of a run if there is one, and so items start
    /// in the order of submission. Else it is pending, and the desk's run gets what follows it, so
    /// that these are at most so many.
    fn claim(&mut self, desk: &Desk<W>, most: usize) -> Option<(u64, W)> {
        let of_run = self.runs.iter().find_map(|run| run.lock().pop_front());
        if of_run.is_some() {
            return of_run;
        }
        let pending = self.order.pending();
        let first = self.order.start(u64::MAX)?;
        // What is left is for others.
        let more = most.min(pending.div_ceil(2)) - 1;
        if more != 0 {
            let rest = (0..more).map_while(|_| self.order.start(u64::MAX));
            desk.run.lock().extend(rest);
        }
        Some(first)
    }

    /// Takes an item before `below` that waits to be started.
    fn start(&mut self, below: u64) -> Option<(u64, W)> {
        let of_run = |run: &Arc<Run<W>>| run.lock().pop_front_if(|first| first.0 < below);
        let claimed = self.runs.iter().find_map(of_run);
        claimed.or_else(|| self.order.start(below))
    }

    fn must_ask(&mut self) -> bool {
        let left = || self.runs.iter().any(|run| !run.lock().is_empty());
        let ask = !self.asked && (self.order.pending() > 0 || left());
        self.asked |= ask;
        ask
    }

    /// Completes as cancelled what is not started.
    fn cancel(&mut self) -> u64 {
        let mut cancelled = self.order.cancel();
        for run in &self.runs {
            for (id, work) in run.lock().drain(..) {
                self.order.complete(id, work, Outcome::Cancelled);
                cancelled += 1;
            }
        }
        cancelled
    }

    /// From what a run took, how long the next may be.
    fn learn(&mut self, took: Duration) {
        if took < QUICK {
            self.run_len = (self.run_len * 2).min(MOST);
        } else if took > SLOW {
            self.run_len = 1;
        }
    }

    fn reached(&self, finished: u64, target: u64) -> bool {
        finished >= target && self.unfreed.iter().all(|id| *id >= target)
    }

    /// Keeps the first panic.
    fn note(&mut self, id: u64, panic: Option<String>) {
        if let Some(message) = panic {
            tracing::error!(id, message, "an item panicked after its parallel part");
            self.panic.get_or_insert((WorkId(id), message));
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
    fn enter<W>(core: &Core<W>) -> Self {
        INSIDE.with(|inside| {
            inside.borrow_mut().push(std::ptr::from_ref(core).addr());
        });
        Self
    }

    fn is<W>(core: &Core<W>) -> bool {
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

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use std::cell::Cell;
    use std::sync::atomic::AtomicUsize;
    use std::sync::{Weak, mpsc};
    use std::thread;

    use super::*;
    use crate::work;

    /// A queue with so many items, which nobody runs by himself, and how many have run.
    fn queue_of(items: usize, pause: Duration) -> (OrderedQueue, Arc<AtomicUsize>) {
        let queue = OrderedQueue::new(&Pool::new(0));
        let ran = Arc::new(AtomicUsize::new(0));
        for _ in 0..items {
            let ran = Arc::clone(&ran);
            let run = move || {
                thread::sleep(pause);
                ran.fetch_add(1, Ordering::SeqCst)
            };
            queue.submit(work(run, |_| ()));
        }
        (queue, ran)
    }

    #[test]
    fn who_comes_by_claims_a_run_and_leaves_half() {
        for (visit, items, run_len, expected) in [
            (Visit::One, 10, 4, 1),
            (Visit::Run, 10, 4, 4),
            (Visit::Run, 10, 1, 1),
            (Visit::Run, 10, 32, 5),
            (Visit::Run, 3, 32, 2),
            (Visit::Run, 2, 32, 1),
            (Visit::Run, 1, 32, 1),
        ] {
            let (queue, ran) = queue_of(items, Duration::ZERO);
            queue.core.state.lock().run_len = run_len;
            let asked = Cell::new(0);
            let ask = || asked.set(asked.get() + 1);
            queue.core.come_by(&ask, &|| false, visit);
            assert_eq!(ran.load(Ordering::SeqCst), expected, "{items} {run_len}");
            assert_eq!(queue.unfinished(), (items - expected) as u64);
            // One job while any item is not started, and none for none.
            assert_eq!(asked.get(), u32::from(items > 1), "{items} {run_len}");
        }
    }

    #[test]
    fn who_comes_by_stays_as_long_as_he_is_told() {
        for visit in [Visit::One, Visit::Run] {
            let (queue, ran) = queue_of(10, Duration::ZERO);
            queue.core.come_by(&|| (), &|| true, visit);
            assert_eq!((ran.load(Ordering::SeqCst), queue.unfinished()), (10, 0));
        }
    }

    #[test]
    fn slow_items_are_claimed_one_by_one() {
        for (visit, run_len) in [(Visit::One, 4), (Visit::Run, 1)] {
            let (queue, _) = queue_of(1, SLOW * 2);
            queue.core.state.lock().run_len = 4;
            queue.core.come_by(&|| (), &|| false, visit);
            assert_eq!(queue.core.state.lock().run_len, run_len);
        }
    }

    #[test]
    fn a_run_is_as_long_as_the_last_one_was_quick() {
        let (queue, _) = queue_of(0, Duration::ZERO);
        let mut state = queue.core.state.lock();
        let nanosecond = Duration::from_nanos(1);
        for (took, run_len) in [
            (SLOW + nanosecond, 1),
            (QUICK, 1),
            (QUICK - nanosecond, 2),
            (Duration::ZERO, 4),
            (SLOW, 4),
            (Duration::ZERO, 8),
            (Duration::ZERO, 16),
            (Duration::ZERO, 32),
            (Duration::ZERO, 32),
            (SLOW + nanosecond, 1),
        ] {
            state.learn(took);
            assert_eq!(state.run_len, run_len, "{took:?}");
        }
    }

    #[test]
    fn who_waits_starts_what_is_claimed_and_nothing_behind_it() {
        let (queue, ran) = queue_of(4, Duration::ZERO);
        let mut state = queue.core.state.lock();
        let desk = state.desk();
        let mut started = vec![state.claim(&desk, 2).unwrap()];
        let ids = [1, 2, 2, 3].map(|below| {
            let item = state.start(below);
            let id = item.as_ref().map(|item| item.0);
            started.extend(item);
            id
        });
        for (id, work) in started {
            state.order.complete(id, work, Outcome::Cancelled);
        }
        drop(state);
        queue.drain().unwrap();
        assert_eq!(ids, [None, Some(1), None, Some(2)]);
        assert_eq!(ran.load(Ordering::SeqCst), 1, "the last one");
    }

    const LONG: Duration = Duration::from_secs(10);

    /// Guarded by `own_is_next` in `Core::carry_out`, and by `WAITED_FOR` in `Core::count`.
    #[test]
    fn every_item_of_a_run_takes_the_lock() {
        let queue = OrderedQueue::new(&Pool::new(0));
        let (start, started) = mpsc::channel();
        let (open, gate) = mpsc::channel::<()>();
        let run = move || {
            start.send(()).unwrap();
            gate.recv().unwrap();
        };
        queue.submit(work(run, |_| ()));
        let (out, finished) = mpsc::channel();
        for n in 1..8 {
            let out = out.clone();
            queue.submit(work(|| (), move |_| out.send(n).unwrap()));
        }
        let core = &*queue.core;
        core.state.lock().run_len = 4;
        thread::scope(|scope| {
            scope.spawn(|| core.come_by(&|| (), &|| false, Visit::Run));
            started.recv().unwrap();
            let state = core.state.lock();
            open.send(()).unwrap();
            let of_run = (0..3).map_while(|_| finished.recv_timeout(LONG).ok());
            let of_run: Vec<_> = of_run.collect();
            drop(state);
            assert_eq!(of_run, [1, 2, 3]);
        });
    }

    /// Guarded by `WAITED_FOR` in `Core::count`.
    #[test]
    fn who_waits_for_an_item_sleeps_until_its_run_is_over() {
        let queue = OrderedQueue::new(&Pool::new(0));
        let (start, started) = mpsc::channel();
        let (open, gate) = mpsc::channel::<()>();
        let run = move || {
            start.send(()).unwrap();
            gate.recv().unwrap();
        };
        let first = queue.submit(work(run, |_| ()));
        let (leave, left) = mpsc::channel();
        let (out, result) = mpsc::channel();
        let run = move || left.recv_timeout(LONG);
        queue.submit(work(run, move |left| out.send(left).unwrap()));
        queue.submit(work(|| (), |_| ()));
        let core = &*queue.core;
        core.state.lock().run_len = 2;
        thread::scope(|scope| {
            scope.spawn(|| core.come_by(&|| (), &|| false, Visit::Run));
            started.recv().unwrap();
            scope.spawn(|| {
                queue.wait(first).unwrap();
                leave.send(()).unwrap();
            });
            while core.finished.load(Ordering::SeqCst) & WAITED_FOR == 0 {
                thread::yield_now();
            }
            open.send(()).unwrap();
        });
        assert_eq!(result.recv().unwrap(), Ok(Ok(())));
    }

    /// Tells, when it is freed, what is finished and not freed.
    struct Last {
        core: Weak<Core<Self>>,
        start: mpsc::Sender<()>,
        gate: mpsc::Receiver<()>,
        unfreed: mpsc::Sender<Vec<u64>>,
    }

    impl Work for Last {
        fn run(&mut self) {
            self.start.send(()).unwrap();
            self.gate.recv().unwrap();
        }

        fn finish(&mut self, _: Outcome) {}
    }

    impl Drop for Last {
        fn drop(&mut self) {
            let core = self.core.upgrade().unwrap();
            let unfreed = core.state.lock().unfreed.clone();
            self.unfreed.send(unfreed).unwrap();
        }
    }

    /// Guarded by `State::unfreed`, of which `Core::carry_out` tells if the thread has the turn, and
    /// else `Core::finish_due`.
    #[test]
    fn an_item_counts_as_freed_before_it_is() {
        let pool = Pool::new(0);
        let queue = OrderedQueue::of_one_type(&pool);
        let (start, started) = mpsc::channel();
        let (unfreed, told) = mpsc::channel();
        let gates = [0, 1].map(|_| {
            let (open, gate) = mpsc::channel();
            queue.push(Last {
                core: Arc::downgrade(&queue.core),
                start: start.clone(),
                gate,
                unfreed: unfreed.clone(),
            });
            open
        });
        thread::scope(|scope| {
            let threads = gates.map(|open| {
                let thread = scope.spawn(|| pool.help());
                started.recv().unwrap();
                (thread, open)
            });
            for (id, (thread, open)) in (0..).zip(threads) {
                open.send(()).unwrap();
                assert!(thread.join().unwrap());
                assert_eq!(told.recv().unwrap(), [id]);
            }
        });
    }
}
