//! The budget bounds, is fair, and loses nothing.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use ordered_wq::{Budget, OrderedQueue, Pool, work};
use proptest::prelude::*;

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

#[test]
fn a_large_request_is_not_passed_over_by_small_ones() {
    let budget = Budget::new(10);
    let first = budget.acquire(6);
    let granted = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let _large = budget.acquire(8);
            granted.store(true, Ordering::SeqCst);
        });
        while budget.waited() == 0 {
            thread::yield_now();
        }
        assert!(budget.try_acquire(1).is_none(), "would pass the large one");
        scope.spawn(|| {
            let _small = budget.acquire(3);
            assert!(granted.load(Ordering::SeqCst), "I8: in order");
        });
        while budget.waited() < 2 {
            thread::yield_now();
        }
        assert!(!granted.load(Ordering::SeqCst));
        drop(first);
    });
    assert_eq!((budget.used(), budget.waited()), (0, 2));
}

#[test]
fn the_high_water_mark_is_what_was_really_out() {
    let budget = Budget::new(100);
    for _ in 0..300 {
        drop(budget.acquire(1));
    }
    assert_eq!((budget.used(), budget.high_water()), (0, 1));
    let two = [budget.acquire(20), budget.acquire(30)];
    for _ in 0..300 {
        let more = budget.try_acquire(10).unwrap();
        assert_eq!(budget.used(), 60);
        drop(more);
    }
    drop(two);
    assert_eq!((budget.used(), budget.high_water()), (0, 60));
    assert_eq!(budget.waited(), 0);
}

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

#[test]
fn a_submitter_is_throttled_and_may_help_meanwhile() {
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
}

/// One item in a hundred is fifty times slower; what piles up behind it is
/// bounded by the budget alone.
#[test]
fn memory_behind_a_slow_item_is_bounded() {
    let pool = Pool::new(2);
    let queue = OrderedQueue::new(&pool);
    let budget = Budget::new(32 * 128);
    for n in 0..600_u64 {
        let permit = budget.acquire(128);
        queue.submit(work(
            move || thread::sleep(Duration::from_micros(if n % 100 == 7 { 2500 } else { 50 })),
            move |_| drop(permit),
        ));
    }
    queue.drain().unwrap();
    assert_eq!(budget.used(), 0);
    assert!(budget.high_water() <= budget.limit());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn never_exceeded_and_everybody_is_served(
        limit in 1..50_u64,
        requests in prop::collection::vec(prop::collection::vec((1..70_u64, 0..70_u64), 0..20), 1..5),
    ) {
        let budget = Budget::new(limit);
        let (out, served) = mpsc::channel();
        thread::scope(|scope| {
            for requests in &requests {
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
        prop_assert_eq!(served.try_iter().count(), requests.iter().map(Vec::len).sum::<usize>());
        prop_assert_eq!(budget.used(), 0);
        let largest = requests.iter().flatten().map(|(bytes, _)| *bytes).max().unwrap_or(0);
        prop_assert!(budget.high_water() <= limit.max(largest));
    }
}
