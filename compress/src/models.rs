//! Workspaces under a scheduler that tries interleavings.
//!
//! A lost wake-up is a deadlock here, which the checker reports.

use std::env;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use shuttle::thread;

use crate::Error;
use crate::shelf::Shelf;

const THREADS: usize = 4;

/// Runs a model under random schedules and under ones with few preemptions.
fn check(model: impl Fn() + Send + Sync + Copy + 'static) {
    let told = env::var("UBTRFS_MODEL_ITERATIONS").ok();
    let iterations = told.map_or(3000, |told| told.parse().expect("a number"));
    shuttle::check_random(model, iterations);
    shuttle::check_pct(model, iterations, 3);
}

/// `limit` things, more threads than that, each of which takes one twice; `spare` things can be
/// made, the next fails for want of memory.
fn storm(limit: usize, spare: usize) {
    let shelf = Arc::new(Shelf::<u8>::default());
    shelf.reserve(|| Ok(Box::new(0))).unwrap();
    let made = Arc::new(AtomicUsize::new(1));
    let in_use = Arc::new(AtomicUsize::new(0));
    let threads: Vec<_> = (0..THREADS)
        .map(|_| {
            let (shelf, made, in_use) =
                (Arc::clone(&shelf), Arc::clone(&made), Arc::clone(&in_use));
            thread::spawn(move || {
                for _ in 0..2 {
                    let make = || {
                        thread::yield_now();
                        if made.load(Ordering::SeqCst) > spare {
                            return Err(Error::Context { codec: "none" });
                        }
                        made.fetch_add(1, Ordering::SeqCst);
                        Ok(Box::new(0))
                    };
                    let one = shelf.take(limit, make).expect("one was made beforehand");
                    assert!(in_use.fetch_add(1, Ordering::SeqCst) < limit, "I6");
                    thread::yield_now();
                    in_use.fetch_sub(1, Ordering::SeqCst);
                    shelf.put(one);
                }
            })
        })
        .collect();
    shelf.shrink();
    for thread in threads {
        thread.join().unwrap();
    }
    assert!((1..=limit).contains(&shelf.existing()));
    shelf.shrink();
    assert_eq!(shelf.existing(), 1);
}

/// A workspace came back between the failed try and the sleep. `wait` in shelf.rs sleeps under the
/// lock that the taker has held since it looked, and `let anybody = state.waiting > 0` is read under
/// that lock by who brings one back.
#[test]
fn sleeper_never_woken() {
    check(|| storm(1, THREADS));
    check(|| storm(2, THREADS));
}

#[test]
fn without_memory_all_share_the_one_that_was_made_beforehand() {
    check(|| storm(3, 0));
    check(|| storm(3, 1));
}

/// Without any, and no memory for one, everybody gets the error and nobody sleeps.
#[test]
fn nobody_waits_for_what_never_comes() {
    check(|| {
        let shelf = Arc::new(Shelf::<u8>::default());
        let threads: Vec<_> = (0..3)
            .map(|_| {
                let shelf = Arc::clone(&shelf);
                thread::spawn(move || {
                    let make = || {
                        thread::yield_now();
                        Err(Error::Context { codec: "none" })
                    };
                    assert!(shelf.take(2, make).is_err());
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(shelf.existing(), 0);
    });
}

/// Every other thread gives up what it took, as a panic does: who waits makes another one.
#[test]
fn who_waits_for_one_that_is_given_up_sleeps_on() {
    for limit in 1..3 {
        let model = move || {
            let shelf = Arc::new(Shelf::<u8>::default());
            let threads: Vec<_> = (0..THREADS)
                .map(|number| {
                    let shelf = Arc::clone(&shelf);
                    thread::spawn(move || {
                        let one = shelf.take(limit, || Ok(Box::new(0))).unwrap();
                        thread::yield_now();
                        match number % 2 {
                            0 => shelf.put(one),
                            _ => shelf.discard(one),
                        }
                    })
                })
                .collect();
            for thread in threads {
                thread.join().unwrap();
            }
            assert!(shelf.existing() <= limit);
        };
        check(model);
    }
}
