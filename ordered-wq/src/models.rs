//! Pool, queue and budget under a scheduler that tries interleavings.
//!
//! A lost wake-up is a deadlock here, which the checker reports; a second one
//! trips the assertion in [`crate::sync::Sleeper`].

use std::env;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use shuttle::thread;

use crate::{Budget, OrderedQueue, Outcome, Permit, Pool, Work};

/// Runs a model under random schedules and under ones with few preemptions.
fn check(model: impl Fn() + Send + Sync + Copy + 'static) {
    let told = env::var("UBTRFS_MODEL_ITERATIONS").ok();
    let iterations = told.map_or(3000, |told| told.parse().expect("a number"));
    shuttle::check_random(model, iterations);
    shuttle::check_pct(model, iterations, 3);
}

#[derive(Default)]
struct Log {
    inside: AtomicUsize,
    finished: AtomicUsize,
    freed: AtomicUsize,
}

struct Item {
    index: usize,
    ran: bool,
    log: Arc<Log>,
    _permit: Option<Permit>,
}

impl Item {
    fn new(index: usize, log: &Arc<Log>) -> Self {
        Self {
            index,
            ran: false,
            log: Arc::clone(log),
            _permit: None,
        }
    }
}

impl Work for Item {
    fn run(&mut self) {
        thread::yield_now();
        self.ran = true;
    }

    fn finish(&mut self, outcome: Outcome) {
        assert_eq!(self.ran, outcome == Outcome::Done);
        assert_eq!(self.log.inside.fetch_add(1, Ordering::SeqCst), 0);
        thread::yield_now();
        let before = self.log.finished.fetch_add(1, Ordering::SeqCst);
        assert_eq!(before, self.index, "I2");
        assert_eq!(self.log.inside.fetch_sub(1, Ordering::SeqCst), 1);
    }
}

impl Drop for Item {
    fn drop(&mut self) {
        self.log.freed.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn all_items_finish_in_order_and_drain_sees_them_freed() {
    check(|| {
        let pool = Pool::new(2);
        let queue = OrderedQueue::new(&pool);
        let log = Arc::default();
        for index in 0..4 {
            queue.submit(Item::new(index, &log));
        }
        queue.drain().unwrap();
        assert_eq!(log.freed.load(Ordering::SeqCst), 4);
        queue.submit(Item::new(4, &log));
        drop(queue);
        assert_eq!(log.freed.load(Ordering::SeqCst), 5);
        drop(pool);
    });
}

/// Nobody helps here: the workers alone must see every job.
#[test]
fn workers_miss_no_job() {
    check(|| {
        let pool = Pool::new(2);
        let queue = OrderedQueue::new(&pool);
        let log: Arc<Log> = Arc::default();
        for index in 0..3 {
            queue.submit(Item::new(index, &log));
            if index == 1 {
                thread::yield_now();
            }
        }
        pool.shutdown();
        assert_eq!(log.freed.load(Ordering::SeqCst), 3);
    });
}

/// Jobs that need each other: a worker that is not woken is a deadlock.
#[test]
fn a_burst_wakes_as_many_workers_as_it_needs() {
    check(|| {
        let pool = Pool::new(3);
        for _ in 0..2 {
            let all_at_once = Arc::new(shuttle::sync::Barrier::new(4));
            for _ in 0..3 {
                let all_at_once = Arc::clone(&all_at_once);
                pool.spawn(move || {
                    all_at_once.wait();
                });
            }
            // Before the shutdown, which wakes all.
            all_at_once.wait();
        }
        drop(pool);
    });
}

#[test]
fn several_drain_at_once() {
    check(|| {
        let pool = Pool::new(1);
        let queue = Arc::new(OrderedQueue::new(&pool));
        let log: Arc<Log> = Arc::default();
        let first = queue.submit(Item::new(0, &log));
        queue.submit(Item::new(1, &log));
        let other = {
            let (queue, log) = (Arc::clone(&queue), Arc::clone(&log));
            thread::spawn(move || {
                queue.wait(first).unwrap();
                assert!(log.freed.load(Ordering::SeqCst) >= 1);
            })
        };
        queue.drain().unwrap();
        assert_eq!(log.freed.load(Ordering::SeqCst), 2);
        other.join().unwrap();
    });
}

#[test]
fn cancel_against_workers() {
    check(|| {
        let pool = Pool::new(1);
        let queue = OrderedQueue::new(&pool);
        let log: Arc<Log> = Arc::default();
        for index in 0..3 {
            queue.submit(Item::new(index, &log));
        }
        queue.cancel();
        queue.submit(Item::new(3, &log));
        queue.drain().unwrap();
        assert_eq!(log.freed.load(Ordering::SeqCst), 4);
    });
}

#[test]
fn two_queues_one_of_which_waits_for_the_other() {
    check(|| {
        let pool = Pool::new(1);
        let outer = OrderedQueue::new(&pool);
        let inner = Arc::new(OrderedQueue::new(&pool));
        let log: Arc<Log> = Arc::default();
        for index in 0..2 {
            let (inner, log) = (Arc::clone(&inner), Arc::clone(&log));
            outer.submit(crate::work(
                || (),
                move |_| {
                    let id = inner.submit(Item::new(index, &log));
                    inner.wait(id).unwrap();
                },
            ));
        }
        outer.drain().unwrap();
        assert_eq!(log.freed.load(Ordering::SeqCst), 2);
    });
}

#[test]
fn budget_throttles_and_wakes_everybody() {
    check(|| {
        let pool = Pool::new(1);
        let queue = OrderedQueue::new(&pool);
        let budget = Budget::new(2);
        let log: Arc<Log> = Arc::default();
        let other = {
            let budget = budget.clone();
            thread::spawn(move || {
                for bytes in [2, 1] {
                    let mut permit = budget.acquire(bytes);
                    permit.shrink(1);
                    thread::yield_now();
                }
            })
        };
        for index in 0..3 {
            let permit = budget.acquire(1);
            let mut item = Item::new(index, &log);
            item._permit = Some(permit);
            queue.submit(item);
        }
        queue.drain().unwrap();
        other.join().unwrap();
        assert_eq!(budget.used(), 0);
        assert!(budget.high_water() <= 2);
    });
}

#[test]
fn helping_for_the_budget_sleeps_when_there_is_nothing_to_help_with() {
    check(|| {
        let pool = Pool::new(1);
        let queue = OrderedQueue::new(&pool);
        let budget = Budget::new(1);
        let log: Arc<Log> = Arc::default();
        for index in 0..4 {
            let permit = budget.acquire_helping(1, &pool);
            let mut item = Item::new(index, &log);
            item._permit = Some(permit);
            queue.submit(item);
        }
        drop(queue);
        assert_eq!(log.freed.load(Ordering::SeqCst), 4);
    });
}

/// Submitters on a pool without threads, none of whom stays to run what it submitted: who waits for
/// the budget is called for it.
#[test]
fn who_helps_for_the_budget_misses_no_job() {
    for limit in 1..3 {
        let model = move || {
            let pool = Pool::new(0);
            let budget = Budget::new(limit);
            let log: Arc<Log> = Arc::default();
            let queue = Arc::new((OrderedQueue::new(&pool), crate::sync::Mutex::new(0)));
            let submitters: Vec<_> = (0..4)
                .map(|_| {
                    let (queue, budget, log) =
                        (Arc::clone(&queue), budget.clone(), Arc::clone(&log));
                    thread::spawn(move || {
                        let (queue, next) = &*queue;
                        let permit = budget.acquire_helping(1, queue.pool());
                        let mut next = next.lock();
                        let mut item = Item::new(*next, &log);
                        item._permit = Some(permit);
                        queue.submit(item);
                        *next += 1;
                    })
                })
                .collect();
            for submitter in submitters {
                submitter.join().unwrap();
            }
            queue.0.drain().unwrap();
            assert_eq!(log.freed.load(Ordering::SeqCst), 4);
        };
        check(model);
    }
}

/// Of two helpers one is called for a job, and has at the same moment what it waited for: it leaves, and
/// the other one has to come.
#[test]
fn a_helper_that_leaves_passes_the_call_on() {
    check(|| {
        let pool = Pool::new(0);
        let queue = OrderedQueue::new(&pool);
        let budget = Budget::new(2);
        let log: Arc<Log> = Arc::default();
        let mut item = Item::new(0, &log);
        item._permit = Some(budget.acquire(1));
        let other = budget.acquire(1);
        let helpers: Vec<_> = (0..2)
            .map(|_| {
                let (pool, budget) = (pool.clone(), budget.clone());
                thread::spawn(move || budget.acquire_helping(1, &pool))
            })
            .collect();
        while pool.napping() < 2 {
            thread::yield_now();
        }
        let other = thread::spawn(move || drop(other));
        queue.submit(item);
        other.join().unwrap();
        let kept: Vec<Permit> = helpers
            .into_iter()
            .map(|helper| helper.join().unwrap())
            .collect();
        assert_eq!(kept.len(), 2);
    });
}
