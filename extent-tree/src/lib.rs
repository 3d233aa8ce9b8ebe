//! File ranges with state bits, and fair locks on ranges.
//!
//! The kernel's counterpart is the in-memory `extent_io_tree` of btrfs
//! (`fs/btrfs/extent-io-tree.c`), not the extent tree on disk.
//!
//! # Model
//!
//! An [`ExtentIoTree`] gives every byte of a file a set of [`StateBits`], at
//! first none. Bits are set, cleared and converted on half-open ranges of
//! bytes, and every change is answered with a [`Change`]: exactly the bytes
//! whose state differs now. That is what accounting is built on: a byte is
//! paid for once, by whoever really changed it. [`Select`] narrows a search or
//! a conversion to bytes in certain states, in one atomic step.
//!
//! Beside the bits there are locks. [`ExtentIoTree::lock`] gives a guard that
//! is alone on its range. The kernel keeps this as one more bit; here locks
//! have a queue of their own, so that taking one splits no state and a release
//! knows whom to wake.
//!
//! # Invariants
//!
//! - I1: stored states are disjoint, not empty, and have at least one bit.
//! - I2: neighbours that touch have different bits, so memory is proportional
//!   to the number of distinct states and nothing else.
//! - I3: a [`Change`] lists each byte whose bits differ after the call, once,
//!   ascending, merged; and no other byte.
//! - I4: of two overlapping lock requests that wait, the earlier one is granted
//!   first. A request is overtaken 64 times at most, by later ones that don't
//!   wait: while its thread sleeps, or was woken and has not come yet, they take
//!   the range. Nobody overtakes one whose thread is awake, nor a sleeper where
//!   locks are held for long (20 us and more).
//! - I5: a sleeper is woken exactly once each time it sleeps: for state bits,
//!   when what it waits for is true; for a lock, when nothing is before it any
//!   more, and, if it is overtaken before it comes, once more when the range
//!   is handed to it. A release visits the requests that waited for it and no
//!   others; a clear visits the waiters that watch a byte that it cleared and
//!   no others.
//!
//! # Locking
//!
//! One mutex inside; no call sleeps while holding it, and none calls out. The
//! range locks exclude each other only: [`ExtentIoTree::set_bits`] and the
//! like don't look at them. A thread that locks a range overlapping one that
//! it holds waits for itself.
//!
//! # Errors
//!
//! None. Empty and inverted ranges are ranges of no bytes.
//!
//! # What it is not
//!
//! It knows nothing of pages, sectors or disks, and aligns nothing. It is no
//! general interval map: one value type, a set of bits. Locks are exclusive
//! and not re-entrant, and a request cannot be given up.
//!
//! # Example
//!
//! ```
//! use extent_tree::{ExtentIoTree, Select, StateBits};
//!
//! let tree = ExtentIoTree::new();
//! assert_eq!(tree.set_bits(0..8192, StateBits::DELALLOC).bytes(), 8192);
//! // The second write pays only for what was not paid yet.
//! let change = tree.set_bits(4096..16384, StateBits::DELALLOC);
//! assert_eq!(change.ranges().collect::<Vec<_>>(), [8192..16384]);
//!
//! // Claim, atomically, what is delalloc and not on its way already.
//! let guard = tree.lock(0..12288);
//! let claim = Select::all(StateBits::DELALLOC).without(StateBits::IN_FLIGHT);
//! let claimed = tree.convert_where(0..12288, claim, StateBits::IN_FLIGHT, StateBits::DELALLOC);
//! assert_eq!(claimed.bytes(), 12288);
//! drop(guard);
//!
//! assert_eq!(tree.count(0..u64::MAX, StateBits::DELALLOC), 4096);
//! tree.clear_bits(0..12288, StateBits::IN_FLIGHT);
//! tree.wait_clear(0..12288, StateBits::IN_FLIGHT);
//! ```
#![cfg_attr(test, expect(clippy::unwrap_used, reason = "a test may panic"))]

mod bits;
mod change;
mod guard;
mod locks;
mod segments;
mod select;
mod states;
mod sync;
mod tree;
mod waits;

#[cfg(all(test, shuttle))]
mod models;

pub use bits::StateBits;
pub use change::Change;
pub use guard::{OwnedRangeGuard, RangeGuard};
pub use select::Select;
pub use tree::ExtentIoTree;
