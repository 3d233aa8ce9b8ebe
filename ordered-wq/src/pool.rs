//! The threads on which work runs.

use std::cell::Cell;
use std::collections::VecDeque;
use std::fmt;
use std::io;

use crate::Error;
use crate::panics::caught;
use crate::queue::{Unordered, Visit};
use crate::sync::{
    Arc, AtomicUsize, Builder, Condvar, JoinHandle, Mutex, MutexGuard, Ordering, Sleeper, Spin,
    thread_local,
};

/// A pool of worker threads, shared by many queues. Cloning gives another
/// handle; when the last one is dropped, the jobs that are queued are run and
/// the threads are joined.
///
/// A pool of no threads is of use where nothing may happen by itself: its jobs
/// run where somebody helps or waits, and what is left where the last handle is
/// dropped.
#[derive(Clone)]
pub struct Pool {
    owner: Arc<Owner>,
}

struct Owner {
    core: Arc<Core>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    started: usize,
}

struct Core {
    state: Mutex<State>,
    wake: Condvar,
    /// How many jobs wait, for who can do with an old answer.
    waiting: AtomicUsize,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    /// Workers that sleep, or were woken and have not seen it yet.
    sleeping: usize,
    /// A worker was woken and has not seen it yet. One at a time: it wakes the
    /// next if there is more than it can take.
    waking: bool,
    stopping: bool,
    /// Workers that were started.
    workers: usize,
    /// Threads that help while they wait for something, and nap as no job is there.
    helpers: Vec<Arc<Sleeper>>,
    panics: u64,
}

/// Items of one queue that a worker runs before it looks for other jobs, if none is known to wait.
const MOST_AT_ONCE: u32 = 64;

/// What the pool runs.
pub(crate) enum Job {
    Call(Box<dyn FnOnce() + Send>),
    /// Come by at a queue, which has an item to start.
    Queue(Arc<dyn Unordered>),
}

thread_local! {
    /// The pool that this thread is a worker of, by the address of its core,
    /// which lives as long as the thread.
    static WORKER_OF: Cell<usize> = const { Cell::new(0) };
}

impl Pool {
    /// Starts a pool.
    ///
    /// # Panics
    ///
    /// If the system refuses a thread; see [`Self::try_new`].
    #[must_use]
    pub fn new(threads: usize) -> Self {
        match Self::try_new(threads) {
            Ok(pool) => pool,
            Err(error) => panic!("{error}"),
        }
    }

    /// Starts a pool, if the system lets it have that many threads.
    ///
    /// # Errors
    ///
    /// [`Error::Thread`] if not; none is left running.
    pub fn try_new(threads: usize) -> Result<Self, Error> {
        let refused = |index, source| Error::Thread {
            index,
            wanted: threads,
            source,
        };
        let mut handles = Vec::new();
        // More than memory could ever hold is refused like any other number.
        if handles.try_reserve_exact(threads).is_err() {
            return Err(refused(0, io::ErrorKind::OutOfMemory.into()));
        }
        let state = State {
            workers: threads,
            ..State::default()
        };
        let core = Arc::new(Core {
            state: Mutex::new(state),
            wake: Condvar::default(),
            waiting: AtomicUsize::new(0),
        });
        let mut owner = Owner {
            core,
            threads: Mutex::new(handles),
            started: 0,
        };
        for index in 0..threads {
            let core = Arc::clone(&owner.core);
            let thread = Builder::new()
                .name(format!("worker-{index}"))
                .spawn(move || core.work())
                .map_err(|source| refused(index, source))?;
            owner.threads.lock().push(thread);
            owner.started += 1;
        }
        Ok(Self {
            owner: Arc::new(owner),
        })
    }

    /// How many threads the pool was started with.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.owner.started
    }

    /// Queues a job. Should it panic, that is counted and traced, and nothing
    /// else happens.
    pub fn spawn(&self, job: impl FnOnce() + Send + 'static) {
        self.push(Job::Call(Box::new(job)));
    }

    /// Runs the job that has waited longest on the calling thread, whosever it
    /// is; `false` if none waits. Hold no lock that any job of the pool takes.
    pub fn help(&self) -> bool {
        let core = &self.owner.core;
        let Some(job) = core.take(&mut core.state.lock()) else {
            return false;
        };
        core.run(job, Visit::One, &|| false);
        true
    }

    /// As [`Self::help`], and of a queue more than one item until it is `enough`.
    pub(crate) fn help_until(&self, enough: &dyn Fn() -> bool) -> bool {
        let core = &self.owner.core;
        let Some(job) = core.take(&mut core.state.lock()) else {
            return false;
        };
        core.run(job, Visit::Run, enough);
        true
    }

    /// Sleeps until the sleeper is awake, or a job is there that no worker will take.
    pub(crate) fn nap(&self, sleeper: &Arc<Sleeper>) {
        let core = &self.owner.core;
        let mut state = core.state.lock();
        if !state.jobs.is_empty() {
            return;
        }
        state.helpers.push(Arc::clone(sleeper));
        drop(state);
        sleeper.nap();
        let mut state = core.state.lock();
        state.helpers.retain(|other| !Arc::ptr_eq(other, sleeper));
    }

    #[cfg(all(test, not(loom)))]
    pub(crate) fn napping(&self) -> usize {
        self.owner.core.state.lock().helpers.len()
    }

    /// Who helped and has what he waited for may have been called for a job nevertheless.
    pub(crate) fn pass_on(&self) {
        let core = &self.owner.core;
        let state = core.state.lock();
        if !state.jobs.is_empty() {
            core.wake_one(state);
        }
    }

    /// Runs the jobs that are queued and ends the threads. Jobs that come
    /// later run where somebody helps or waits.
    ///
    /// Returns when the threads have ended, unless called by one of them.
    pub fn shutdown(&self) {
        self.owner.shutdown();
    }

    /// How many spawned jobs have panicked.
    #[must_use]
    pub fn panics(&self) -> u64 {
        self.owner.core.state.lock().panics
    }

    /// How many jobs wait for a thread.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.owner.core.state.lock().jobs.len()
    }

    pub(crate) fn push(&self, job: Job) {
        self.owner.core.push(job);
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("threads", &self.threads())
            .field("queued", &self.queued())
            .finish()
    }
}

impl Core {
    fn push(&self, job: Job) {
        let mut state = self.state.lock();
        state.jobs.push_back(job);
        self.waiting.store(state.jobs.len(), Ordering::Relaxed);
        self.wake_one(state);
    }

    fn take(&self, state: &mut State) -> Option<Job> {
        let job = state.jobs.pop_front();
        self.waiting.store(state.jobs.len(), Ordering::Relaxed);
        job
    }

    /// A worker's life.
    fn work(self: Arc<Self>) {
        WORKER_OF.with(|pool| pool.set(self.address()));
        let mut state = self.state.lock();
        let mut looked = false;
        loop {
            if let Some(job) = self.take(&mut state) {
                looked = false;
                if state.jobs.is_empty() {
                    drop(state);
                } else {
                    self.wake_one(state);
                }
                self.run(job, Visit::Run, &|| false);
                state = self.state.lock();
            } else if state.stopping {
                return;
            } else if !looked {
                looked = true;
                drop(state);
                Spin::until(|| self.waiting.load(Ordering::Relaxed) != 0);
                state = self.state.lock();
            } else {
                state.sleeping += 1;
                state = self.wake.wait(state);
                state.sleeping -= 1;
                state.waking = false;
            }
        }
    }

    /// I7: wakes a worker if one sleeps and none is on its way already, or a helper where
    /// there are no workers. A
    /// worker on its way looks for jobs before it sleeps again, and wakes the
    /// next one if it leaves any.
    fn wake_one(&self, mut state: MutexGuard<'_, State>) {
        if state.sleeping > 0 && !state.waking {
            state.waking = true;
            drop(state);
            self.wake.notify_one();
        } else if (state.workers == 0 || state.stopping)
            && let Some(helper) = state.helpers.pop()
        {
            drop(state);
            helper.call();
        }
    }

    /// Of a queue, items until it is `enough` or something else waits for a thread.
    fn run(&self, job: Job, visit: Visit, enough: &dyn Fn() -> bool) {
        match job {
            Job::Queue(queue) => {
                let left = Cell::new(match visit {
                    Visit::One => 1,
                    Visit::Run => MOST_AT_ONCE,
                });
                let another = || {
                    left.set(left.get() - 1);
                    // One that waits may be this queue's own.
                    left.get() > 0 && self.waiting.load(Ordering::Relaxed) <= 1 && !enough()
                };
                let again = || self.push(Job::Queue(Arc::clone(&queue)));
                queue.come_by(&again, &another, visit);
            }
            Job::Call(call) => {
                if let Err(message) = caught(call) {
                    self.state.lock().panics += 1;
                    tracing::error!(message, "a spawned job panicked");
                }
            }
        }
    }

    fn address(self: &Arc<Self>) -> usize {
        Arc::as_ptr(self).addr()
    }
}

impl Owner {
    fn on_worker(&self) -> bool {
        WORKER_OF
            .try_with(|pool| pool.get() == self.core.address())
            .unwrap_or(false)
    }

    fn shutdown(&self) {
        self.core.state.lock().stopping = true;
        self.core.wake.notify_all();
        // A worker cannot wait for its own end; the threads end by themselves. Who comes later can:
        // the handles stay.
        if self.on_worker() {
            return;
        }
        // The lock is held until all have ended: who comes meanwhile waits for them, too.
        for thread in self.threads.lock().drain(..) {
            if thread.join().is_err() {
                tracing::error!("a worker thread panicked");
            }
        }
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.shutdown();
        if self.on_worker() {
            return;
        }
        // What no thread took, where there are none or no more. Nobody else can any longer.
        loop {
            let job = self.core.take(&mut self.core.state.lock());
            let Some(job) = job else { break };
            self.core.run(job, Visit::Run, &|| false);
        }
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use std::sync::mpsc;
    use std::thread;
    use std::time::{Duration, Instant};

    use super::*;
    use crate::{Budget, OrderedQueue, work};

    /// A pool without threads and a queue of a hundred items, each so slow that it is a run.
    fn slow_items() -> (Pool, OrderedQueue, Arc<AtomicUsize>) {
        let pool = Pool::new(0);
        let queue = OrderedQueue::new(&pool);
        let ran = Arc::new(AtomicUsize::new(0));
        for _ in 0..100 {
            let ran = Arc::clone(&ran);
            let run = move || {
                thread::sleep(Duration::from_micros(60));
                ran.fetch_add(1, Ordering::SeqCst)
            };
            queue.submit(work(run, |_| ()));
        }
        (pool, queue, ran)
    }

    #[test]
    fn a_queue_keeps_a_thread_from_other_jobs() {
        let (pool, _queue, ran) = slow_items();
        assert!(pool.help_until(&|| false));
        assert_eq!(ran.load(Ordering::SeqCst), MOST_AT_ONCE as usize);

        let (pool, _queue, ran) = slow_items();
        pool.spawn(|| ());
        assert!(pool.help_until(&|| false));
        assert_eq!(ran.load(Ordering::SeqCst), 1, "a job waits");
    }

    #[test]
    fn who_helps_leaves_when_it_is_enough() {
        let (pool, _queue, ran) = slow_items();
        assert!(pool.help_until(&|| ran.load(Ordering::SeqCst) == 3));
        assert_eq!(ran.load(Ordering::SeqCst), 3);
        assert!(pool.help());
        assert_eq!(ran.load(Ordering::SeqCst), 4);
        assert_eq!(pool.queued(), 1);
    }

    fn eventually(is_so: impl Fn() -> bool) {
        let start = Instant::now();
        while !is_so() {
            assert!(start.elapsed() < Duration::from_secs(10), "hangs");
            thread::yield_now();
        }
    }

    /// A thread that naps, and what wakes it.
    fn nap(pool: &Pool) -> (Arc<Sleeper>, JoinHandle<()>) {
        let sleeper = Arc::new(Sleeper::default());
        let (pool, own) = (pool.clone(), Arc::clone(&sleeper));
        (sleeper, thread::spawn(move || pool.nap(&own)))
    }

    /// Guarded by `Pool::nap`, which looks for jobs under the lock under which it says that it naps,
    /// and by its `retain`.
    #[test]
    fn a_nap_ends_with_what_was_waited_for_and_not_before() {
        let pool = Pool::new(0);
        let naps = [(); 3].map(|()| nap(&pool));
        eventually(|| pool.napping() == 3);
        for ((sleeper, thread), left) in naps.into_iter().zip((0..3).rev()) {
            assert!(!thread.is_finished());
            sleeper.wake();
            eventually(|| thread.is_finished());
            assert_eq!(pool.napping(), left);
        }
    }

    /// Guarded by `is_empty` in `Pool::nap`: whoever came with the job had nobody to call.
    #[test]
    fn nobody_naps_beside_a_job() {
        let pool = Pool::new(0);
        pool.spawn(|| ());
        let (_sleeper, thread) = nap(&pool);
        eventually(|| thread.is_finished());
        assert_eq!(pool.napping(), 0);
    }

    /// Of two helpers one was called for a job and left, and the other one slept on. Guarded by
    /// `Pool::pass_on`.
    #[test]
    fn a_call_that_is_passed_on_reaches_the_next() {
        let pool = Pool::new(0);
        let naps = [(); 2].map(|()| nap(&pool));
        eventually(|| pool.napping() == 2);
        pool.pass_on();
        assert_eq!(pool.napping(), 2, "there is no job");
        pool.spawn(|| ());
        assert_eq!(pool.napping(), 1);
        pool.pass_on();
        for (_sleeper, thread) in naps {
            eventually(|| thread.is_finished());
        }
    }

    /// Guarded by the `nap` of `Budget::acquire_helping`, which would do without for the price of a
    /// processor.
    #[test]
    fn who_helps_for_the_budget_naps_where_there_is_no_job() {
        let pool = Pool::new(0);
        let budget = Budget::new(1);
        let held = budget.acquire(1);
        let (other, asks) = (pool.clone(), budget.clone());
        let helper = thread::spawn(move || drop(asks.acquire_helping(1, &other)));
        eventually(|| pool.napping() == 1);
        drop(held);
        eventually(|| helper.is_finished());
    }

    /// Guarded by `workers`, as `Pool::try_new` sets it and `Core::wake_one` asks for it.
    #[test]
    fn no_helper_is_called_where_a_worker_will_come() {
        let pool = Pool::new(1);
        let (release, held) = mpsc::channel::<()>();
        let (tell, told) = mpsc::channel::<()>();
        pool.spawn(move || {
            drop(tell);
            assert!(held.recv().is_err(), "nothing is sent");
        });
        assert!(told.recv().is_err(), "the only worker is held up");
        let (sleeper, thread) = nap(&pool);
        eventually(|| pool.napping() == 1);
        pool.spawn(|| ());
        assert_eq!(pool.napping(), 1);
        drop(release);
        sleeper.wake();
        eventually(|| thread.is_finished());
    }
}
