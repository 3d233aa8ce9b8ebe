//! What pool, queue and budget tell of themselves, and waits that are really waits.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use ordered_wq::{Budget, Error, OrderedQueue, Outcome, Pool, Work, work};

#[test]
fn a_pool_has_as_many_threads_as_it_was_started_with() {
    for threads in [0, 1, 3] {
        assert_eq!(Pool::new(threads).threads(), threads);
        assert_eq!(Pool::try_new(threads).unwrap().threads(), threads);
    }
}

#[test]
fn jobs_are_queued_until_somebody_helps() {
    let pool = Pool::new(0);
    for queued in 0..3 {
        assert_eq!(pool.queued(), queued);
        pool.spawn(|| {});
    }
    for queued in (0..3).rev() {
        assert!(pool.help());
        assert_eq!(pool.queued(), queued);
    }
    assert!(!pool.help());
}

/// Nobody but the helper can run the jobs, of which the second gives the bytes back.
#[test]
fn who_helps_for_the_budget_gets_it_when_it_is_free() {
    let pool = Pool::new(0);
    let budget = Budget::new(1);
    let ran = Arc::new(AtomicU32::new(0));
    let held = budget.acquire(1);
    pool.spawn(|| {});
    pool.spawn({
        let ran = Arc::clone(&ran);
        move || {
            ran.fetch_add(1, Ordering::SeqCst);
            drop(held);
        }
    });
    let permit = budget.acquire_helping(1, &pool);
    assert_eq!(ran.load(Ordering::SeqCst), 1, "granted before it was free");
    assert_eq!((budget.used(), budget.high_water()), (1, 1));
    drop(permit);
    assert_eq!(budget.used(), 0);
}

#[test]
fn a_wait_for_an_item_ends_when_it_is_finished() {
    let pool = Pool::new(0);
    let queue = OrderedQueue::new(&pool);
    let finished = Arc::new(AtomicU32::new(0));
    let mut ids = Vec::new();
    for submitted in 0..3 {
        assert_eq!(queue.unfinished(), submitted);
        let finished = Arc::clone(&finished);
        ids.push(queue.submit(work(
            || (),
            move |_| {
                finished.fetch_add(1, Ordering::SeqCst);
            },
        )));
    }
    assert_eq!(ids[1].to_string(), "work item 1");
    for (id, left) in ids.into_iter().zip((0..3).rev()) {
        queue.wait(id).unwrap();
        assert_eq!(queue.unfinished(), left);
        assert_eq!(u64::from(finished.load(Ordering::SeqCst)), 3 - left);
    }
}

/// Guarded by `Order`, as with those in boxes. That there is no box, the types say.
#[test]
fn items_of_one_type_need_no_box() {
    struct Square(u64, mpsc::Sender<u64>);
    impl Work for Square {
        fn run(&mut self) {
            self.0 *= self.0;
        }
        fn finish(&mut self, outcome: Outcome) {
            assert_eq!(outcome, Outcome::Done);
            self.1.send(self.0).unwrap();
        }
    }
    let queue = OrderedQueue::of_one_type(&Pool::new(2));
    let (out, results) = mpsc::channel();
    for n in 0..500 {
        assert_eq!(queue.push(Square(n, out.clone())).sequence(), n);
    }
    queue.drain().unwrap();
    assert!(results.try_iter().eq((0..500).map(|n| n * n)));
}

/// A pool of one thread and a flag that a slow job on it sets.
fn busy() -> (Pool, Arc<AtomicBool>) {
    let pool = Pool::new(1);
    let done = Arc::new(AtomicBool::new(false));
    pool.spawn({
        let done = Arc::clone(&done);
        move || {
            thread::sleep(Duration::from_millis(50));
            done.store(true, Ordering::SeqCst);
        }
    });
    (pool, done)
}

#[test]
fn who_drops_a_pool_waits_for_its_jobs() {
    let (pool, done) = busy();
    drop(pool);
    assert!(done.load(Ordering::SeqCst));
}

/// A worker cannot wait for its own end, but well for another pool's.
#[test]
fn a_worker_that_drops_another_pool_waits_for_its_jobs() {
    let (other, done) = busy();
    let pool = Pool::new(1);
    let (tell, told) = mpsc::channel();
    pool.spawn(move || {
        drop(other);
        tell.send(done.load(Ordering::SeqCst)).unwrap();
    });
    assert!(told.recv().unwrap());
}

/// Guarded by `try_reserve_exact` in `Pool::try_new`.
#[test]
fn no_system_has_that_many_threads() {
    let error = Pool::try_new(usize::MAX).unwrap_err();
    assert!(matches!(
        error,
        Error::Thread {
            index: 0,
            wanted: usize::MAX,
            ..
        }
    ));
}
