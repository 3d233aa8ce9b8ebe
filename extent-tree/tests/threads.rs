//! Threads against each other: exclusion, fairness, wake-ups.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use extent_tree::{ExtentIoTree, StateBits};

/// Waits until `done`, and fails the test where that never happens.
fn eventually(done: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !done() {
        assert!(Instant::now() < deadline, "it never happens");
        thread::yield_now();
    }
}

fn random(seed: &mut u64) -> u64 {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    *seed
}

#[test]
fn holders_of_a_byte_are_alone() {
    let tree = ExtentIoTree::new();
    let held: Vec<AtomicBool> = (0..64).map(|_| AtomicBool::new(false)).collect();
    thread::scope(|scope| {
        for thread in 1..=8_u64 {
            let (tree, held) = (&tree, &held);
            scope.spawn(move || {
                let mut seed = thread.wrapping_mul(0x9e37_79b9_7f4a_7c15);
                for _ in 0..2000 {
                    let start = random(&mut seed) % 64;
                    let end = (start + 1 + random(&mut seed) % 12).min(64);
                    let guard = if random(&mut seed).is_multiple_of(4) {
                        tree.try_lock(start..end)
                    } else {
                        Some(tree.lock(start..end))
                    };
                    let Some(guard) = guard else { continue };
                    for byte in &held[start as usize..end as usize] {
                        assert!(!byte.swap(true, Ordering::AcqRel));
                    }
                    if random(&mut seed).is_multiple_of(8) {
                        thread::yield_now();
                    }
                    for byte in &held[start as usize..end as usize] {
                        byte.store(false, Ordering::Release);
                    }
                    drop(guard);
                }
            });
        }
    });
    assert!(tree.is_empty());
    assert_eq!(tree.sleepers(), 0);
}

#[test]
fn a_wide_request_is_not_starved_by_narrow_ones() {
    let tree = ExtentIoTree::new();
    let stop = AtomicBool::new(false);
    let taken = AtomicU64::new(0);
    thread::scope(|scope| {
        for thread in 0..4_u64 {
            let (tree, stop, taken) = (&tree, &stop, &taken);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    // Neighbours overlap, so some lock is held at all times.
                    let _guard = tree.lock(thread * 10..thread * 10 + 15);
                    taken.fetch_add(1, Ordering::Relaxed);
                    thread::yield_now();
                }
            });
        }
        eventually(|| taken.load(Ordering::Relaxed) > 100);
        for _ in 0..50 {
            drop(tree.lock(0..100));
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert!(tree.is_empty());
}

#[test]
fn overlapping_requests_are_granted_in_order() {
    let tree = ExtentIoTree::new();
    let (send, granted) = mpsc::channel();
    let first = tree.lock(0..100);
    thread::scope(|scope| {
        for (id, range) in [0..10, 5..20, 0..100, 50..60, 0..1].into_iter().enumerate() {
            let (tree, send) = (&tree, send.clone());
            scope.spawn(move || {
                let _guard = tree.lock(range);
                send.send(id).unwrap();
            });
            eventually(|| tree.sleepers() == id + 1);
        }
        assert!(tree.try_lock(99..100).is_none());
        drop(first);
    });
    let order: Vec<usize> = granted.try_iter().collect();
    let at = |id| order.iter().position(|&other| other == id).unwrap();
    assert!(at(0) < at(1) && at(1) < at(2) && at(2) < at(3) && at(2) < at(4));
}

#[test]
fn disjoint_requests_pass_each_other() {
    let tree = Arc::new(ExtentIoTree::new());
    let _low = tree.lock(0..10);
    let high = tree.lock_owned(10..20);
    assert!(tree.try_lock(20..u64::MAX).is_some());
    assert!(tree.try_lock(19..20).is_none());
    assert!(tree.is_locked(0..1) && !tree.is_locked(20..30));
    thread::spawn(move || drop(high)).join().unwrap();
    assert!(tree.try_lock_owned(10..20).is_some());
}

#[test]
fn empty_ranges_are_never_in_the_way() {
    let tree = ExtentIoTree::new();
    let _whole = tree.lock(0..100);
    let _nothing = tree.lock(50..50);
    assert!(tree.try_lock(7..7).is_some());
    assert!(tree.set_bits(9..9, StateBits::USER0).is_empty());
    tree.wait_clear(3..3, StateBits::all());
}

#[test]
fn a_wait_ends_with_the_last_bit_and_not_before() {
    let tree = ExtentIoTree::new();
    let busy = StateBits::IN_FLIGHT | StateBits::ORDERED;
    tree.set_bits(0..10, StateBits::IN_FLIGHT).ignore();
    tree.set_bits(20..30, StateBits::ORDERED).ignore();
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            tree.wait_clear(0..100, busy);
            over.store(true, Ordering::SeqCst);
        });
        eventually(|| tree.sleepers() == 1);
        let still = |what: &str| {
            assert_eq!(tree.sleepers(), 1, "{what}");
            assert!(!over.load(Ordering::SeqCst), "{what}");
        };
        // Handed over without a gap: no moment at which neither bit is there.
        tree.convert_bits(0..10, StateBits::ORDERED, StateBits::IN_FLIGHT)
            .ignore();
        still("converted");
        tree.clear_bits(0..9, busy).ignore();
        still("all but a byte of the first");
        tree.clear_bits(20..30, busy).ignore();
        still("the second");
        tree.set_bits(50..51, StateBits::IN_FLIGHT).ignore();
        tree.clear_bits(0..10, busy).ignore();
        still("another came meanwhile");
        tree.set_bits(100..200, StateBits::IN_FLIGHT).ignore();
        tree.clear_bits(40..60, busy).ignore();
        eventually(|| over.load(Ordering::SeqCst));
    });
    assert_eq!(tree.sleepers(), 0);
}

#[test]
fn many_waiters_are_each_woken_under_a_storm() {
    let tree = ExtentIoTree::new();
    let waits = AtomicUsize::new(0);
    thread::scope(|scope| {
        for writer in 0..4_u64 {
            let tree = &tree;
            scope.spawn(move || {
                let mut seed = 77 + writer;
                for _ in 0..2000 {
                    // Each has bytes of its own, so that what it set it clears.
                    let start = writer * 100 + random(&mut seed) % 90;
                    let end = start + 1 + random(&mut seed) % 10;
                    tree.set_bits(start..end, StateBits::IN_FLIGHT).ignore();
                    thread::yield_now();
                    tree.clear_bits(start..end, StateBits::IN_FLIGHT).ignore();
                }
            });
        }
        for waiter in 0..4_u64 {
            let (tree, waits) = (&tree, &waits);
            scope.spawn(move || {
                let mut seed = 99 + waiter;
                for _ in 0..500 {
                    let start = random(&mut seed) % 400;
                    tree.wait_clear(start..start + 40, StateBits::IN_FLIGHT);
                    waits.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!(waits.load(Ordering::Relaxed), 2000);
    assert!(tree.is_empty());
    assert_eq!(tree.sleepers(), 0);
}

#[test]
fn a_byte_is_claimed_by_one_of_many() {
    let tree = ExtentIoTree::new();
    const SIZE: u64 = 1 << 16;
    tree.set_bits(0..SIZE, StateBits::DELALLOC).ignore();
    let claimed = AtomicU64::new(0);
    thread::scope(|scope| {
        for thread in 0..4_u64 {
            let (tree, claimed) = (&tree, &claimed);
            scope.spawn(move || {
                let only = extent_tree::Select::all(StateBits::DELALLOC);
                let mut seed = 5 + thread;
                while tree.test_any(0..SIZE, StateBits::DELALLOC) {
                    let start = random(&mut seed) % SIZE;
                    let range = start..start + 1 + random(&mut seed) % 3000;
                    let change =
                        tree.convert_where(range, only, StateBits::IN_FLIGHT, StateBits::DELALLOC);
                    claimed.fetch_add(change.bytes(), Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!(claimed.load(Ordering::Relaxed), SIZE);
    assert_eq!(tree.states(), [(0..SIZE, StateBits::IN_FLIGHT)]);
}

#[test]
fn all_who_watch_one_byte_are_woken() {
    let tree = ExtentIoTree::new();
    tree.set_bits(5..6, StateBits::ORDERED).ignore();
    thread::scope(|scope| {
        for waiter in 1..=3 {
            let tree = &tree;
            scope.spawn(move || tree.wait_clear(0..10, StateBits::ORDERED));
            eventually(|| tree.sleepers() == waiter);
        }
        tree.clear_bits(0..10, StateBits::ORDERED).ignore();
        assert_eq!(tree.sleepers(), 0);
    });
}

#[test]
fn a_conversion_wakes_those_who_wait_for_what_it_clears() {
    let tree = ExtentIoTree::new();
    tree.set_bits(0..10, StateBits::IN_FLIGHT).ignore();
    thread::scope(|scope| {
        scope.spawn(|| tree.wait_clear(0..10, StateBits::IN_FLIGHT));
        scope.spawn(|| tree.wait_clear(0..10, StateBits::ORDERED | StateBits::IN_FLIGHT));
        eventually(|| tree.sleepers() == 2);
        tree.convert_bits(0..10, StateBits::ORDERED, StateBits::IN_FLIGHT)
            .ignore();
        assert_eq!(tree.sleepers(), 1);
        tree.clear_bits(0..10, StateBits::ORDERED).ignore();
    });
}

#[test]
fn whoever_sleeps_is_counted_whatever_for() {
    let tree = ExtentIoTree::new();
    let busy = StateBits::IN_FLIGHT;
    tree.set_bits(0..10, busy).ignore();
    let held = tree.lock(0..10);
    thread::scope(|scope| {
        scope.spawn(|| drop(tree.lock(0..1)));
        eventually(|| tree.sleepers() == 1);
        for sleepers in 2..4 {
            scope.spawn(|| tree.wait_clear(0..10, busy));
            eventually(|| tree.sleepers() == sleepers);
        }
        drop(held);
        tree.clear_bits(0..10, busy).ignore();
    });
    assert_eq!(tree.sleepers(), 0);
}

/// Threads that took a range in turns went no faster than each was woken for the next turn. Guarded
/// by `granted_or_asleep` in `ExtentIoTree::wait_for_grant`: whoever does not say that he sleeps is
/// never passed.
#[test]
fn each_turn_waits_for_a_thread_to_wake() {
    let tree = ExtentIoTree::new();
    let (taken, passed) = (AtomicU64::new(0), AtomicBool::new(false));
    let deadline = Instant::now() + Duration::from_secs(10);
    let take_turns = || {
        while !passed.load(Ordering::SeqCst) && Instant::now() < deadline {
            let guard = tree.lock(0..10);
            let turn = taken.fetch_add(1, Ordering::SeqCst);
            let others_wait = tree.sleepers() > 0;
            drop(guard);
            let _guard = tree.lock(0..10);
            let next = taken.fetch_add(1, Ordering::SeqCst);
            if others_wait && next == turn + 1 {
                passed.store(true, Ordering::SeqCst);
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(take_turns);
        }
    });
    assert!(passed.into_inner());
}
