//! Range locks and waits under a scheduler that tries interleavings.
//!
//! A lost wake-up is a deadlock here, which the checker reports; a second one
//! trips the assertion in [`crate::sync::Sleeper`].

use std::env;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use shuttle::thread;

use crate::locks::PASSES;
use crate::{ExtentIoTree, StateBits};

/// Runs a model under random schedules and under ones with few preemptions.
fn check(model: impl Fn() + Send + Sync + Copy + 'static) {
    let told = env::var("UBTRFS_MODEL_ITERATIONS").ok();
    let iterations = told.map_or(3000, |told| told.parse().expect("a number"));
    shuttle::check_random(model, iterations);
    shuttle::check_pct(model, iterations, 3);
}

#[test]
fn overlapping_locks_exclude_and_all_are_granted() {
    check(|| {
        let tree = Arc::new(ExtentIoTree::new());
        let inside = Arc::new([const { AtomicU32::new(0) }; 4]);
        let threads: Vec<_> = [0..2_usize, 1..3, 2..4, 0..4]
            .into_iter()
            .map(|bytes| {
                let (tree, inside) = (Arc::clone(&tree), Arc::clone(&inside));
                thread::spawn(move || {
                    for _ in 0..2 {
                        let _guard = tree.lock(bytes.start as u64..bytes.end as u64);
                        for byte in &inside[bytes.clone()] {
                            assert_eq!(byte.fetch_add(1, Ordering::SeqCst), 0);
                        }
                        thread::yield_now();
                        for byte in &inside[bytes.clone()] {
                            byte.fetch_sub(1, Ordering::SeqCst);
                        }
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        assert!(tree.is_empty());
    });
}

#[test]
fn waits_end_whatever_happens_in_between() {
    check(|| {
        let tree = Arc::new(ExtentIoTree::new());
        tree.set_bits(0..4, StateBits::IN_FLIGHT).ignore();
        let mut threads = Vec::new();
        for start in 0..2 {
            let tree = Arc::clone(&tree);
            threads.push(thread::spawn(move || {
                tree.wait_clear(start..4, StateBits::IN_FLIGHT | StateBits::ORDERED);
            }));
        }
        for byte in [3, 0, 2, 1] {
            let tree = Arc::clone(&tree);
            threads.push(thread::spawn(move || {
                let bits = (StateBits::ORDERED, StateBits::IN_FLIGHT);
                tree.convert_bits(byte..byte + 1, bits.0, bits.1).ignore();
                tree.clear_bits(byte..byte + 1, bits.0).ignore();
            }));
        }
        for thread in threads {
            thread.join().unwrap();
        }
        assert!(tree.is_empty());
        assert_eq!(tree.sleepers(), 0);
    });
}

/// Whoever waits is overtaken so many times at most by those who come later, however many keep parts
/// of its range busy by turns.
#[test]
fn nobody_starves() {
    check(|| {
        let tree = Arc::new(ExtentIoTree::new());
        let granted = Arc::new(AtomicBool::new(false));
        let overtook = Arc::new(AtomicU32::new(0));
        let first = tree.lock(0..4);
        let waiter = {
            let (tree, granted) = (Arc::clone(&tree), Arc::clone(&granted));
            thread::spawn(move || {
                let _guard = tree.lock(0..4);
                granted.store(true, Ordering::SeqCst);
            })
        };
        while tree.sleepers() == 0 {
            thread::yield_now();
        }
        let mut threads: Vec<_> = [0..2, 2..4, 1..3]
            .into_iter()
            .map(|range| {
                let (tree, granted) = (Arc::clone(&tree), Arc::clone(&granted));
                let overtook = Arc::clone(&overtook);
                thread::spawn(move || {
                    if let Some(_guard) = tree.try_lock(range.clone()) {
                        assert!(granted.load(Ordering::SeqCst), "I4: overtaken by a try");
                    }
                    for _ in 0..2 {
                        let _guard = tree.lock(range.clone());
                        if !granted.load(Ordering::SeqCst) {
                            let before = overtook.fetch_add(1, Ordering::SeqCst);
                            assert!(before < PASSES, "I4: overtaken too often");
                        }
                        thread::yield_now();
                    }
                })
            })
            .collect();
        thread::yield_now();
        drop(first);
        threads.push(waiter);
        for thread in threads {
            thread.join().unwrap();
        }
        assert!(tree.is_empty());
        assert_eq!(tree.sleepers(), 0);
    });
}
