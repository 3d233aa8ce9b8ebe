//! Space promised to dirty data before it has an address, and the way from
//! there into the trees.
//!
//! The kernel's counterparts are btrfs's `delalloc-space.c`, `space-info.c`,
//! `ordered-data.c`, the delalloc search of `extent_io.c` and the writeback
//! control block of the VFS.
//!
//! # Model
//!
//! A write reserves for its worst case in the [`SpaceLedger`], where it learns
//! that there is no room, then makes its range delalloc in the file's
//! [`Delalloc`]. Writeback, under a [`WritebackControl`], takes ranges as
//! [`Claim`]s; [`plan_writeback`] and [`plan_pieces`] say what becomes of one.
//! A claim is cut and joined like the pieces it stands for. Submitted, it
//! becomes an [`Ordered`] with an address; when its metadata is in the trees,
//! the space counts as used.
//!
//! ```text
//!  bits   -> DELALLOC ----------> IN_FLIGHT -------> ORDERED ----------> (none)
//!  owner  Delalloc::dirty   Delalloc::claim    Claim::order    Ordered::complete
//!  space  bytes_may_use     bytes_may_use      bytes_reserved  bytes_used
//! ```
//!
//! Beside it stand the [`OrderedExtents`] of a file, to be looked up and
//! waited for; the [`OrderedCompletion`] of a filesystem, which hands finished
//! I/O to the trees in the order of submission; and [`wait_for_range`].
//!
//! # Invariants
//!
//! - I1: every byte of delalloc has one byte of data promised, and every run
//!   of delalloc within a window of 128 KiB has the metadata of one extent
//!   promised: the promise can be recomputed from what is dirty.
//! - I2: what is promised is settled exactly once, on every path, because it
//!   is owned: a [`Reservation`], [`Claim`], [`Allocated`] or [`Ordered`] that
//!   is dropped gives its space back.
//! - I3: no byte is in two claims, and none is claimed before the extent that
//!   it was claimed for last has finished.
//! - I4: a claimed byte is IN_FLIGHT or ORDERED until it is done: a waiter sees
//!   it at every moment.
//! - I5: pages are locked before the state, ascending, and never before the
//!   start of the walk.
//! - I6: only who takes pages counts them in `nr_written`.
//!
//! # Locking
//!
//! Every type locks itself. A file's promise is changed under one mutex, which
//! is held around the tree's and the ledger's, and so is the one of a file's
//! ordered extents; nothing sleeps under any of
//! them, and no function of a caller runs under one, but for the clone and the
//! drop of its error.
//!
//! # Errors
//!
//! [`Error::NoSpace`] at reservation, nowhere later. Errors of I/O are the
//! caller's type; they stay with the extent, and are counted for the file.
//!
//! # What it is not
//!
//! It holds no contents and does no I/O; it allocates no address: it counts.
//!
//! # Example
//!
//! ```
//! use delalloc::{Delalloc, Limits, NoPageLocks, Space, SpaceLedger, SyncMode, WritebackControl};
//!
//! let ledger = SpaceLedger::new(Limits { data: 1 << 20, ..Limits::UNLIMITED });
//! let file = Delalloc::new(&ledger);
//!
//! // Write.
//! let reservation = file.reserve(0..8192)?;
//! file.dirty(0..8192, reservation).ignore();
//! assert!(file.reserve(0..1 << 20).is_err());
//!
//! // Write back: claim, compress to one sector, submit, finish.
//! let mut wbc = WritebackControl::whole(SyncMode::All);
//! let (claim, pages) = file.claim_next(&NoPageLocks, 0, &mut wbc, 128 << 20).expect("dirty");
//! drop(pages);
//! let ordered = claim.order(4096);
//! assert_eq!(ledger.counters(Space::Data).bytes_reserved, 4096);
//! ordered.complete();
//!
//! assert_eq!(ledger.counters(Space::Data).bytes_used, 4096);
//! assert!(ledger.is_settled() && file.is_settled());
//! # Ok::<(), delalloc::Error>(())
//! ```
#![cfg_attr(test, expect(clippy::unwrap_used, reason = "a test may panic"))]

mod claim;
mod completion;
mod control;
mod error;
mod find;
mod inode;
mod ledger;
mod ordered;
mod pages;
mod plan;
mod reservation;
mod sync;
mod units;
mod wait;

#[cfg(all(test, shuttle))]
mod models;

pub use claim::{Claim, Ordered};
pub use completion::{OrderedCompletion, Ticket};
pub use control::{MAX_RAISED_PAGES, SyncMode, WritebackControl};
pub use error::{Error, Space};
pub use find::{CLAIMABLE, LockedDelalloc, MAX_CLAIM, find_lock_delalloc};
pub use inode::Delalloc;
pub use ledger::{Counters, Limits, SpaceLedger};
pub use ordered::{OrderedExtent, OrderedExtents, OrderedHandle, Unfinished};
pub use pages::{NoPageLocks, PageLocks};
pub use plan::{InlineLimits, Piece, Pieces, WritebackPlan, plan_pieces, plan_writeback};
pub use reservation::{Allocated, Reservation};
pub use units::{PAGE_SIZE, WINDOW, windows};
pub use wait::{RangeWriteback, Until, wait_for_range, wait_in_flight};
