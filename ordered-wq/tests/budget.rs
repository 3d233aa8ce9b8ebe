//! The budget bounds, is fair, and loses nothing.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use ordered_wq::{Budget, OrderedQueue, Pool, work};
use proptest::prelude::*;

mod support;

use support::within_10_s;

#[test]
fn permits_shrink_split_and_return() {
    let budget = Budget::new(100);
    let mut permit = budget.try_acquire(60).unwrap();
    assert!(budget.try_acquire(41).is_none());
    permit.shrink(80);
    assert_eq!(permit.bytes(), 60, "shrinking never grows");
    let part = permit.split(20);
    assert_eq!((permit.bytes(), part.bytes(), budget.used()), (40, 20, 60));
    permit.shrink(10);
    assert_eq!(budget.used(), 30);
    drop(permit);
    drop(part);
    assert_eq!((budget.used(), budget.high_water()), (0, 60));
}

/// Guarded by `booked == 0` in `State::fits`.
#[test]
fn a_request_larger_than_the_whole_is_granted_alone() {
    let budget = Budget::new(10);
    let small = budget.try_acquire(1).unwrap();
    assert!(budget.try_acquire(11).is_none());
    drop(small);
    let large = budget.try_acquire(u64::MAX).unwrap();
    assert!(budget.try_acquire(1).is_none());
    drop(large);
    assert_eq!(budget.used(), 0);
}

/// Guarded by the look at `waiters` in `Core::grant`.
#[test]
fn a_large_request_is_not_passed_over_by_small_ones() {
    within_10_s(|| {
        let budget = Budget::new(10);
        let first = budget.acquire(6);
        let granted = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                let _large = budget.acquire(8);
                granted.store(true, Ordering::SeqCst);
            });
            until_so_many_waited(&budget, 1);
            assert!(budget.try_acquire(1).is_none(), "would pass the large one");
            scope.spawn(|| {
                let _small = budget.acquire(3);
                assert!(granted.load(Ordering::SeqCst), "I8: in order");
            });
            until_so_many_waited(&budget, 2);
            assert!(!granted.load(Ordering::SeqCst));
            drop(first);
        });
        assert_eq!((budget.used(), budget.waited()), (0, 2));
    });
}

fn until_so_many_waited(budget: &Budget, waited: u64) {
    while budget.waited() < waited {
        thread::yield_now();
    }
}

/// Submitter and workers woke each other for every item. Guarded by `low` in `Core::serve`.
#[test]
fn who_waits_is_woken_for_every_item() {
    within_10_s(|| {
        let budget = Budget::new(10);
        let mut out: Vec<_> = (0..10).map(|_| budget.acquire(1)).collect();
        let mut waiters: Vec<_> = (1..=7)
            .map(|waited| {
                let of_waiter = budget.clone();
                let waiter = thread::spawn(move || of_waiter.acquire(1));
                until_so_many_waited(&budget, waited);
                waiter
            })
            .collect();
        for left in (6..10).rev() {
            drop(out.pop());
            assert_eq!(budget.used(), left, "less than half is free");
        }
        drop(out.pop());
        assert_eq!(budget.used(), 10, "half was free: as many as fit");
        let granted = waiters.drain(..5).map(|waiter| waiter.join().unwrap());
        for (granted, used) in granted.zip([9, 8, 7, 6, 7]) {
            drop(granted);
            assert_eq!(budget.used(), used);
        }
        for waiter in waiters {
            drop(waiter.join().unwrap());
        }
        drop(out);
        assert_eq!((budget.used(), budget.waited()), (0, 7));
    });
}

/// Guarded by `take_spare`, which looks at nobody who waits.
#[test]
fn a_request_for_nothing_never_waits() {
    within_10_s(|| {
        let budget = Budget::new(1);
        let out = budget.acquire(1);
        thread::scope(|scope| {
            scope.spawn(|| drop(budget.acquire(1)));
            until_so_many_waited(&budget, 1);
            drop(budget.acquire(0));
            assert!(budget.try_acquire(0).is_some());
            assert_eq!((budget.used(), budget.waited()), (1, 1));
            drop(out);
        });
        assert_eq!((budget.used(), budget.high_water()), (0, 1));
    });
}

/// Guarded by `most` in `Core::put_spare`.
#[test]
fn the_high_water_mark_is_what_was_really_out() {
    let budget = Budget::new(100);
    for _ in 0..300 {
        drop(budget.acquire(1));
    }
    assert_eq!((budget.used(), budget.high_water()), (0, 1));
    let two = [budget.acquire(20), budget.acquire(30)];
    assert_eq!(budget.high_water(), 50);
    for _ in 0..300 {
        let more = budget.try_acquire(10).unwrap();
        assert_eq!(budget.used(), 60);
        drop(more);
    }
    drop(two);
    assert_eq!((budget.used(), budget.high_water()), (0, 60));
    assert_eq!(budget.waited(), 0);
}

/// Guarded by `checked_add` in `State::fits`.
#[test]
fn a_budget_without_bounds_counts_on() {
    let budget = Budget::new(u64::MAX);
    for _ in 0..3 {
        let most = budget.acquire(u64::MAX - 5);
        let rest = budget.acquire(5);
        assert!(budget.try_acquire(1).is_none());
        drop((most, rest));
        assert_eq!((budget.used(), budget.high_water()), (0, u64::MAX));
    }
}

/// Who waits made the sum of what was given back overflow. Guarded by `saturating_sub` where
/// `Core::serve` makes `ahead`.
#[test]
fn who_waits_for_a_budget_without_bounds_is_served() {
    within_10_s(|| {
        for out in [u64::MAX, u64::MAX - 1, u64::MAX / 2 + 2] {
            for wanted in [u64::MAX, u64::MAX - 1, u64::MAX / 2 + 1] {
                let budget = Budget::new(u64::MAX);
                let mut out = budget.acquire(out);
                thread::scope(|scope| {
                    scope.spawn(|| drop(budget.acquire(wanted)));
                    until_so_many_waited(&budget, 1);
                    out.shrink(1 << 20);
                    drop(out);
                });
                assert_eq!(budget.used(), 0);
            }
        }
    });
}

/// Guarded by `help_until` in `Budget::acquire_helping`.
#[test]
fn a_submitter_is_throttled_and_may_help_meanwhile() {
    within_10_s(|| {
        let pool = Pool::new(0);
        let queue = OrderedQueue::new(&pool);
        let budget = Budget::new(4);
        let ran = Arc::new(AtomicUsize::new(0));
        for _ in 0..100 {
            let permit = budget.acquire_helping(1, &pool);
            let ran = Arc::clone(&ran);
            queue.submit(work(
                move || ran.fetch_add(1, Ordering::SeqCst),
                move |_| drop(permit),
            ));
        }
        // Who helps may do some more than it must.
        assert!(ran.load(Ordering::SeqCst) >= 96);
        queue.drain().unwrap();
        assert_eq!((budget.used(), budget.high_water()), (0, 4));
    });
}

/// One item in a hundred is fifty times slower; what piles up behind it is
/// bounded by the budget alone. Guarded by `limit` in `State::fits`.
#[test]
fn memory_behind_a_slow_item_is_bounded() {
    within_10_s(|| {
        let pool = Pool::new(2);
        let queue = OrderedQueue::new(&pool);
        let budget = Budget::new(32 * 128);
        for n in 0..600_u64 {
            let permit = budget.acquire(128);
            let pause = Duration::from_micros(if n % 100 == 7 { 2500 } else { 50 });
            queue.submit(work(move || thread::sleep(pause), move |_| drop(permit)));
        }
        queue.drain().unwrap();
        assert_eq!(budget.used(), 0);
        assert!(budget.high_water() <= budget.limit());
    });
}

/// What each thread asks for, and how much of that it keeps for a moment.
type Requests = Vec<Vec<(u64, u64)>>;

fn all_are_served(limit: u64, requests: &Requests) {
    let budget = Budget::new(limit);
    let (out, served) = mpsc::channel();
    thread::scope(|scope| {
        for requests in requests {
            let (budget, out) = (budget.clone(), out.clone());
            scope.spawn(move || {
                for (bytes, keep) in requests {
                    let mut permit = budget.acquire(*bytes);
                    let used = budget.used();
                    assert!(used <= budget.limit() || used == *bytes);
                    permit.shrink(*keep);
                    thread::yield_now();
                    out.send(()).unwrap();
                }
            });
        }
    });
    let wanted = requests.iter().map(Vec::len).sum::<usize>();
    assert_eq!(served.try_iter().count(), wanted);
    assert_eq!(budget.used(), 0);
    let bytes = requests.iter().flatten().map(|(bytes, _)| *bytes);
    assert!(budget.high_water() <= limit.max(bytes.max().unwrap_or(0)));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    /// Guarded by `ahead` in `Core::serve`: who gives back the last byte that is waited for serves
    /// those who wait.
    #[test]
    fn never_exceeded_and_everybody_is_served(
        limit in 1..50_u64,
        requests in prop::collection::vec(prop::collection::vec((1..70_u64, 0..70_u64), 0..20), 1..5),
    ) {
        within_10_s(move || all_are_served(limit, &requests));
    }
}
