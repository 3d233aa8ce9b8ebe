//! Work that runs in parallel and finishes one at a time, in the order in
//! which it was submitted.
//!
//! The kernel's counterpart is btrfs's ordered work queue
//! (`fs/btrfs/async-thread.c`), on which compressed writeback and checksumming
//! run.
//!
//! # Model
//!
//! An item of [`Work`] has three parts. [`Work::run`] runs in parallel with
//! other items on a [`Pool`] of threads. [`Work::finish`], the ordered part,
//! runs after the item's own parallel part and after the ordered parts of all
//! items submitted to the same [`OrderedQueue`] before it. Dropping the item
//! frees it. Many queues share one pool; each has an order of its own.
//!
//! No thread is set aside for ordered parts. Whoever completes an item looks
//! at the head of its queue, and if that is done and nobody is at it, runs its
//! ordered part, and then that of the next, until it meets an item that isn't
//! done. An item stays at the head while its ordered part runs: that is the
//! barrier.
//!
//! A [`Budget`] bounds the bytes in transit: the submitter acquires a
//! [`Permit`], the item owns it, and what it covers is given back when the
//! permit shrinks or is dropped.
//!
//! # Invariants
//!
//! - I1: every submitted item is finished exactly once and then freed exactly
//!   once, whether it ran, panicked or was cancelled.
//! - I2: ordered parts of one queue never overlap and follow the order of
//!   submission.
//! - I3: an item is known by its id, which is never used again.
//! - I4: no part of an item runs under a lock of this crate.
//! - I5: a thread frees its own item after the last ordered part that it runs.
//!   A waiter for the item waits for that, too.
//! - I6: a panic in any part of an item ends that part only. In the parallel
//!   part it becomes the item's [`Outcome`]; later, it reaches the queue's
//!   owner through [`OrderedQueue::drain`].
//! - I7: a sleeper is woken once, when what it waits for is so. A worker is
//!   woken only for a job that no thread awake is sure to take. Before it sleeps,
//!   a thread looks again for some microseconds, and not longer.
//! - I8: permits are granted in the order in which they were asked for; those who
//!   had to wait get theirs once half of the budget is free. Only one for no bytes
//!   never waits.
//! - I9: while an item of a queue is not started, a job of it waits in the pool or
//!   is about to, and never two. A worker claims a run of up to 32 items if the
//!   last ones were quick, and up to 64 runs in a row, as long as no other job
//!   waits; [`Pool::help`] takes one item. What is claimed and not started anybody
//!   may start who comes by, helps or waits, so that items start in the order of
//!   submission.
//!
//! # Locking
//!
//! One lock a pool, one a queue, one a run of claimed items, one a budget, and one a
//! sleeper. Under a queue's lock those of its runs and of sleepers are taken, under
//! the others none, and none is held while foreign code runs.
//! [`OrderedQueue::drain`] and
//! [`OrderedQueue::wait`] run items of that queue on the calling thread rather
//! than sleep, and [`OrderedQueue::cancel`] finishes them there, so call them
//! without locks that these items take; the same goes for [`Pool::help`],
//! [`Budget::acquire_helping`], the drop of a pool's last handle, and every item of
//! the pool. An item of one queue that cancels another one finishes that one's
//! items in its own place: they must not wait for what waits for it.
//!
//! An ordered part may wait for another queue of the same pool through `drain`
//! or `wait`, whatever the number of threads, because the wait does the work.
//! One that sleeps by other means occupies a thread meanwhile. No item can
//! wait for its own queue: that is [`Error::WaitsForItself`].
//!
//! # Errors
//!
//! [`Error`]: a thread that could not be started, a panic in an ordered part
//! or in freeing, a wait that could never end. Errors of the work itself are
//! the work's own matter: `run` keeps them in the item and `finish` reads them.
//!
//! # What it is not
//!
//! No async runtime, no fork-join (an item can't borrow), no priorities. Jobs
//! start in the order in which they came, so items should be of similar size.
//!
//! # Example
//!
//! ```
//! use std::sync::mpsc;
//! use ordered_wq::{Budget, OrderedQueue, Outcome, Permit, Pool, Work};
//!
//! struct Square { n: u64, _memory: Permit, out: mpsc::Sender<u64> }
//!
//! impl Work for Square {
//!     fn run(&mut self) {
//!         self.n *= self.n;
//!     }
//!     fn finish(&mut self, outcome: Outcome) {
//!         if outcome == Outcome::Done {
//!             self.out.send(self.n).expect("the receiver outlives the queue");
//!         }
//!     }
//! }
//!
//! let pool = Pool::new(2);
//! let queue = OrderedQueue::new(&pool);
//! let budget = Budget::new(64);
//! let (out, results) = mpsc::channel();
//! for n in 0..100 {
//!     // Sleeps while eight items are in transit.
//!     let memory = budget.acquire(8);
//!     queue.submit(Square { n, _memory: memory, out: out.clone() });
//! }
//! queue.drain()?;
//! assert!(results.try_iter().eq((0..100).map(|n| n * n)));
//! assert_eq!((budget.used(), budget.high_water()), (0, 64));
//! # Ok::<(), ordered_wq::Error>(())
//! ```
#![cfg_attr(test, expect(clippy::unwrap_used, reason = "a test may panic"))]

mod budget;
mod closure;
mod error;
mod order;
mod panics;
mod pool;
mod queue;
mod sync;
mod work;

#[cfg(all(test, shuttle))]
mod models;
#[cfg(all(test, loom))]
mod orderings;

pub use budget::{Budget, Permit};
pub use closure::{Closures, work};
pub use error::Error;
pub use pool::Pool;
pub use queue::OrderedQueue;
pub use work::{Outcome, Work, WorkId};
