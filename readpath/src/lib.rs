//! File ranges to bytes in folios: plan, fetch, verify, decompress once, fill.
//!
//! Kernel counterpart: btrfs's read path (`fs/btrfs/extent_io.c`, `fs/btrfs/compression.c`).
//!
//! # Model
//!
//! A reader looks into the page cache. For pages that are missing, and those of its readahead
//! window, [`ReadPath::read_range`] asks for the file's [extent maps](ExtentMap), [plans](plan) the
//! pieces, and makes jobs of them: fetch neighbours with one call, verify what came from the disk,
//! decompress once, fill every page that the extent covers and that is not cached. The reader works
//! on the jobs, too, and waits only for what it asked for.
//!
//! Whoever needs a piece that another reader has begun waits for that one's end. A piece that is
//! aligned with a folio of which nothing is cached is decompressed into the folio's own buffer;
//! any other one into a recycled buffer, from which missing pages are copied.
//!
//! # Invariants
//!
//! - I1: a piece comes of one extent map, even where the next map has the same disk extent, and
//!   fills nothing outside of that map nor behind the file's last page.
//! - I2: nothing is decompressed or cached whose checksum does not match.
//! - I3: what a disk extent does not reach is zero in every page that is filled.
//! - I4: of readers who look up the same piece while it is read, one reads it. Pages are cached
//!   before the flight ends, and whoever begins one looks again.
//! - I5: jobs never wait. Readers wait for flights only once all that they lead can be taken over
//!   by anybody, and take over what nobody has begun. So no number of threads is too small.
//! - I6: pages that were truncated, or written and evicted, since the plan was made are not filled
//!   from it.
//! - I7: one piece takes at most 128 KiB of compressed bytes, 128 KiB of decompressed ones, or
//!   [`RAW_PIECE`] of raw ones, whatever the extent map says.
//!
//! # Locking
//!
//! One lock for the table of flights, one for each flight, one for each batch of jobs. That of the
//! table is taken while a flight's is held, and no other while one is; none is held during I/O,
//! decompression or calls of the page cache.
//!
//! # Errors
//!
//! A damaged sector is an error of the pages that need it: its own where it is raw, all that the
//! map covers where it is compressed. Before that, every mirror is asked for every bad sector. Each
//! [`Error`] names file, range and disk extent. Readahead's errors are nobody's.
//!
//! # What it is not
//!
//! It finds no extents, knows no disk format and owns no threads. It orders no readers against
//! writers. Pages are 4096 bytes; sectors may be smaller or larger.
//!
//! # Example
//!
//! ```
//! use std::ops::Range;
//! use std::sync::Arc;
//!
//! use bytes::Bytes;
//! use compress::{Registry, Workspaces};
//! use pagecache::{Cache, Mapping};
//! use readpath::{
//!     BoxError, DiskRange, DiskRead, ExtentKind, ExtentMap, ExtentMaps, File, FileId,
//!     ReadContents, ReadPath, Verify,
//! };
//!
//! /// A disk of letters; the place of an extent is its letter.
//! struct Letters;
//!
//! impl DiskRead<u8> for Letters {
//!     fn sector_size(&self) -> u32 {
//!         4096
//!     }
//!     fn mirrors(&self, _: u8) -> usize {
//!         1
//!     }
//!     fn read(&self, all: &[DiskRange<u8>], _: usize) -> Vec<Result<Bytes, BoxError>> {
//!         all.iter().map(|at| Ok(vec![at.disk; at.len].into())).collect()
//!     }
//! }
//!
//! impl Verify<u8> for Letters {
//!     fn verify(&self, disk: u8, _: u64, bytes: &[u8]) -> Result<Vec<usize>, BoxError> {
//!         let sectors = bytes.chunks(4096).enumerate();
//!         Ok(sectors.filter(|(_, s)| s.iter().any(|&b| b != disk)).map(|(n, _)| n).collect())
//!     }
//! }
//!
//! struct Layout;
//!
//! impl ExtentMaps<u8> for Layout {
//!     fn extent_maps(&self, _: Range<u64>) -> Result<Vec<ExtentMap<u8>>, BoxError> {
//!         let raw = ExtentKind::Raw { disk: b'x', disk_num_bytes: 4096, offset: 0 };
//!         Ok(vec![
//!             ExtentMap { start: 0, len: 4096, kind: raw },
//!             ExtentMap { start: 4096, len: 4096, kind: ExtentKind::Hole },
//!         ])
//!     }
//! }
//!
//! let codecs = Arc::new(Workspaces::new(Registry::btrfs(), 2));
//! let path = ReadPath::new(Arc::new(Letters), codecs, Arc::new(()));
//! let mapping = Mapping::with_size(&Cache::new(1 << 20), 8000);
//! let file = File { id: FileId { tree: 5, ino: 257 }, mapping: &mapping, maps: &Layout };
//!
//! let mut bytes = [1; 4];
//! assert_eq!(path.read_into(&file, 4094, &mut bytes, 0)?, 4);
//! assert_eq!(&bytes, b"xx\0\0");
//! assert_eq!(path.read_into(&file, 7998, &mut bytes, 0)?, 2);
//! # Ok::<(), readpath::Error>(())
//! ```

mod sync;

mod extent_map;

mod ports;

mod plan;

mod error;

mod counters;

mod batch;
mod flight;

mod fetch;
mod load;

mod contents;
mod read_path;

pub use contents::ReadContents;
pub use counters::Stats;
pub use error::{Error, FileId, Source};
pub use extent_map::{ExtentKind, ExtentMap};
pub use plan::{InvalidMap, MAX_COMPRESSED, Piece, RAW_PIECE, ReadPlan, plan};
pub use ports::{BoxError, Decode, DiskRange, DiskRead, ExtentMaps, Job, Locator, Spawn, Verify};
pub use read_path::{File, ReadPath};
