//! A write-back page cache: cached file contents as folios, under one byte budget.
//!
//! Kernel counterpart: the page cache (`mm/filemap.c`, `mm/page-writeback.c`, `mm/readahead.c`)
//! with large folios and a bit for each block of them.
//!
//! # Model
//!
//! A [`Cache`] owns memory, within a budget. A [`Mapping`] is the cached part of one file. It holds
//! *folios*, aligned windows of [`FOLIO_SIZE`] bytes, each with one buffer only as large as what is
//! cached of it and with three bits for each page of [`PAGE_SIZE`] bytes:
//!
//! - *uptodate*: the cache has the page's contents;
//! - *dirty*: the device doesn't have them and nobody is writing them;
//! - *writeback*: somebody is writing them, or what they were when they were claimed.
//!
//! ```text
//!              write                     claim                    end_writeback(Done)
//! (missing) ----------> uptodate, dirty ------> uptodate, writeback ----> uptodate
//!     |                     ^    ^                  |        |               |
//!     |                     |    | end_writeback    | write  |               |
//!     |                     |    +---(Redirty)------+        v               |
//!     |                     |                  uptodate, dirty, writeback    |
//!     |        fill         +----------------- end_writeback --+             |
//!     +------------------------------------------------------> uptodate <----+
//! ```
//!
//! Claimed contents are a [`Snapshot`]: the folio's own buffer, shared. Who writes to a folio whose
//! buffer is shared copies it first, once, so no writer ever waits for a device, and what is
//! compressed or checksummed never changes underneath. Readers share in the same way.
//!
//! Memory that is no longer used is kept for the next buffer of its size, because touching fresh
//! memory costs more than filling it.
//!
//! # Invariants
//!
//! - I1: dirty pages are uptodate; uptodate pages lie inside the folio's buffer.
//! - I2: bytes of uptodate pages behind the file's end are zero; no page wholly behind it is
//!   uptodate.
//! - I3: the end of writeback of contents that were dropped changes nothing but the writeback bit.
//!   A page is claimed again only after that.
//! - I4: what is uptodate is never overwritten by a fill.
//! - I5: only folios without dirty and writeback bits are evicted, and only buffers that nobody
//!   shares.
//! - I6: whoever takes memory beyond the budget evicts first what can be. What was dirty or held
//!   then, and is not any more, goes when memory is taken next, or by [`Cache::try_room`].
//! - I7: an [`Epoch`] moves on before contents leave the cache that the device may not have had
//!   when the epoch was read.
//!
//! # Locking
//!
//! One mutex for each mapping, held for copies within one folio at most; one for the cache, held
//! for a few list operations when a buffer is taken or returned and when a folio becomes clean or
//! goes. Order: mapping, then cache. Two mappings are never locked at once. Memory is taken, and
//! folios evicted for it, while no lock is held; sources and fetchers run without locks, too. Only
//! [`Cache::wait_for_room`], [`Mapping::wait_writeback`] and, while pages are
//! [held off](Mapping::hold_off), [`Mapping::missing`] wait.
//!
//! # Errors
//!
//! [`MissingPages`] tells which pages to read before a partial write; [`Stale`] that fetched bytes
//! may be old; [`Error`] is those and a source's own. What went wrong in writeback is
//! [recorded](Mapping::record_error) and told once to each opener. Misaligned ranges are mistakes of the caller
//! and panic. Memory is never refused: where nothing can be evicted the budget is overrun, which
//! [`Cache::over_budget`] tells.
//!
//! # What it is not
//!
//! It does no I/O, starts no writeback and knows no extents. It orders no writers: who must keep
//! two writes, or a write and a truncate, apart has a range lock for that.
//!
//! # Example
//!
//! ```
//! use pagecache::{Cache, Mapping, PAGE_SIZE, WritebackEnd};
//!
//! let cache = Cache::new(1 << 20);
//! let file = Mapping::new(&cache);
//! file.write(0, b"hello")?;
//!
//! let snapshot = file.claim(0..PAGE_SIZE).expect("the page is dirty");
//! file.write(0, b"HELLO")?; // waits for nobody
//! assert_eq!(&snapshot.bytes[..5], b"hello"); // to be compressed, checksummed, written
//! file.end_writeback(snapshot.range(), WritebackEnd::Done);
//! assert_eq!(file.dirty_ranges(0..PAGE_SIZE), [0..PAGE_SIZE]);
//!
//! // A page that exists and isn't cached must be read before a part of it is written.
//! let old = Mapping::with_size(&cache, 10);
//! assert_eq!(old.write(3, b"x").unwrap_err().ranges, [0..PAGE_SIZE]);
//! old.fill(0, b"0123456789");
//! old.write(3, b"x")?;
//! assert_eq!(old.read_bytes(0..10).as_deref(), Some(&b"012x456789"[..]));
//! # Ok::<(), pagecache::MissingPages>(())
//! ```

#![cfg_attr(test, expect(clippy::unwrap_used, reason = "a test may panic"))]

mod sync;

mod buffer;
mod cache;
mod clock;
mod epoch;
mod error;
mod folio;
mod folios;
mod mapping;
mod pages;
mod readahead;
mod stats;
mod writeback_errors;

#[cfg(all(test, shuttle))]
mod models;

pub use buffer::{Buffer, Pinned};
pub use cache::Cache;
pub use epoch::Epoch;
pub use error::{Error, MissingPages, Stale};
pub use mapping::{Fetch, HeldOff, Lookup, Mapping, Missing, Present, Snapshot, WritebackEnd};
pub use pages::{FOLIO_SIZE, PAGE_SIZE};
pub use readahead::ReadaheadWindow;
pub use stats::Stats;
pub use writeback_errors::ErrorCursor;
