//! What pool, queue and budget tell of themselves, and help that is really given.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use ordered_wq::{Budget, Pool};

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

/// Nobody but the helper can run the job that gives the bytes back.
#[test]
fn who_helps_for_the_budget_gets_it_when_it_is_free() {
    let pool = Pool::new(0);
    let budget = Budget::new(1);
    let ran = Arc::new(AtomicU32::new(0));
    let held = budget.acquire(1);
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
