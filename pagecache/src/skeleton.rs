#![expect(clippy::unimplemented, reason = "skeleton")]
use bytes::Bytes;
use std::{io, ops::Range};

/// One byte budget over many mappings; a cheap handle, `Clone`.
#[derive(Clone, Debug)]
pub struct Cache(std::sync::Arc<()>);
/// What the cache holds and did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// The budget.
    pub budget: u64,
    /// Bytes of buffers in use (folios, snapshots, `Buffer`s held by callers).
    pub resident: u64,
    /// Bytes of recycled buffers that wait to be used again; `resident + free` is what counts against the budget.
    pub free: u64,
    /// Highest `resident + free` so far.
    pub high_water: u64,
    /// Bytes of dirty pages.
    pub dirty: u64,
    /// Bytes of pages under writeback.
    pub writeback: u64,
    /// Pages found / not found by lookups.
    pub hits: u64,
    /// See `hits`.
    pub misses: u64,
    /// Folios that reclaim dropped.
    pub evictions: u64,
    /// Folio buffers copied because a snapshot shared them.
    pub cow_copies: u64,
}
impl Cache {
    /// A cache of this budget.
    pub fn new(_budget_bytes: u64) -> Self { unimplemented!() }
    /// Counters.
    pub fn stats(&self) -> Stats { unimplemented!() }
    /// Budget in bytes.
    pub fn budget(&self) -> u64 { unimplemented!() }
    /// Dirty bytes now (cheap, no lock).
    pub fn dirty_bytes(&self) -> u64 { unimplemented!() }
    /// Bytes under writeback now (cheap, no lock).
    pub fn writeback_bytes(&self) -> u64 { unimplemented!() }
    /// More is in use than the budget allows (dirty data, snapshots or held buffers pin it).
    pub fn over_budget(&self) -> bool { unimplemented!() }
    /// Waits until `bytes` more fit, reclaiming; returns at once when nothing is dirty or under
    /// writeback. The caller has started writeback and holds nothing that writeback needs.
    pub fn wait_for_room(&self, _bytes: u64) { unimplemented!() }
    /// Evicts clean folios, oldest first, until `bytes` were given back; returns how many were.
    pub fn reclaim(&self, _bytes: u64) -> u64 { unimplemented!() }
    /// A private recycled buffer of `len` <= FOLIO_SIZE bytes, contents arbitrary.
    pub fn buffer(&self, _len: usize) -> Buffer { unimplemented!() }
}
/// A private buffer out of the cache's budget; goes back there when dropped. `Deref<Target=[u8]>`, `DerefMut`.
#[derive(Debug)]
pub struct Buffer(Vec<u8>);
impl std::ops::Deref for Buffer { type Target = [u8]; fn deref(&self) -> &[u8] { &self.0 } }
impl std::ops::DerefMut for Buffer { fn deref_mut(&mut self) -> &mut [u8] { &mut self.0 } }
impl Buffer {
    /// Cuts the length, e.g. to what the decompressor produced.
    pub fn truncate(&mut self, _len: usize) { unimplemented!() }
    /// Zero-copy `Bytes`; the memory returns to the cache with the last clone.
    pub fn freeze(self) -> Bytes { unimplemented!() }
}

/// The cached contents of one file; a cheap handle, `Clone`. Knows the file's size: writes extend it, `truncate` sets it.
#[derive(Clone, Debug)]
pub struct Mapping(std::sync::Arc<()>);
/// Page-aligned ranges that must be read (`fill`, `insert`) before the write can be done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("pages to be read first: {ranges:?}")]
pub struct MissingPages {
    /// How many bytes of this call went in before (usually 0); go on behind them.
    pub written: u64,
    /// Ascending, page-aligned.
    pub ranges: Vec<Range<u64>>,
}
/// Why `write_with` stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// See [`MissingPages`]; nothing was taken from the source for the part not written.
    #[error(transparent)]
    MissingPages(#[from] MissingPages),
    /// The source ended inside a page that must be read first. Fill it, then `write(offset, &bytes)`.
    #[error("the source ended inside a page that must be read first, at {offset}")]
    MissingTail {
        /// Bytes that are in the cache.
        written: u64,
        /// Where `bytes` belong.
        offset: u64,
        /// Taken from the source, not in the cache yet.
        bytes: Bytes,
        /// What to read.
        missing: MissingPages,
    },
    /// The source failed after `written` bytes, which are in the cache.
    #[error("the source failed after {written} bytes")]
    Source {
        /// Bytes that are in the cache.
        written: u64,
        /// The failure.
        source: io::Error,
    },
}
/// The bytes of claimed pages, unchanged by later writers.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// File offset of the first byte.
    pub offset: u64,
    /// Exactly the claimed range, zero-copy; zero behind the file's end.
    pub bytes: Bytes,
    /// The file's size at the moment of the claim.
    pub file_size: u64,
}
/// How writeback ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WritebackEnd {
    /// The device has the bytes.
    Done,
    /// Not written: the pages are dirty again.
    Redirty,
}
/// One contiguous run of cached bytes within a folio.
#[derive(Clone, Debug)]
pub struct Present {
    /// Clipped to what was asked for.
    pub range: Range<u64>,
    /// `range`'s bytes, zero-copy.
    pub bytes: Bytes,
}
/// The mapping's contents version: moves on whenever contents leave the cache that the device may not have had when a reader fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Epoch(u64);
/// What `lookup` found.
#[derive(Clone, Debug)]
pub struct Lookup {
    /// Ascending.
    pub present: Vec<Present>,
    /// Page-aligned, ascending, merged.
    pub missing: Vec<Range<u64>>,
    /// For `fill_as_of` / `insert_as_of` of what is missing.
    pub epoch: Epoch,
    /// The file's size.
    pub file_size: u64,
}
/// The fetched bytes may be older than the file's contents: look up and fetch again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the mapping changed since the bytes were fetched")]
pub struct Stale;

impl Mapping {
    /// An empty file.
    pub fn new(_cache: &Cache) -> Self { unimplemented!() }
    /// A file of `size` bytes of which nothing is cached.
    pub fn with_size(_cache: &Cache, _size: u64) -> Self { unimplemented!() }
    /// The cache.
    pub fn cache(&self) -> &Cache { unimplemented!() }
    /// The file's size as writers see it.
    pub fn size(&self) -> u64 { unimplemented!() }
    /// Copies `data` in; dirty.
    pub fn write(&self, _offset: u64, _data: &[u8]) -> Result<(), MissingPages> { unimplemented!() }
    /// `f` puts bytes into windows (contiguous, at most one folio each; contents arbitrary) and says how many; 0 = the source ended. No lock is held while it runs.
    pub fn write_with(&self, _offset: u64, _len: u64, _f: impl FnMut(&mut [u8]) -> io::Result<usize>) -> Result<u64, Error> { unimplemented!() }
    /// Page-aligned, merged.
    pub fn dirty_ranges(&self, _range: Range<u64>) -> Vec<Range<u64>> { unimplemented!() }
    /// Bytes of this mapping's dirty pages.
    pub fn dirty_bytes(&self) -> u64 { unimplemented!() }
    /// Bytes of this mapping's pages under writeback.
    pub fn writeback_bytes(&self) -> u64 { unimplemented!() }
    /// All of the range (page-aligned, within one folio) must be dirty and not under writeback, else `None`.
    pub fn claim(&self, _range: Range<u64>) -> Option<Snapshot> { unimplemented!() }
    /// Claims the first run of claimable pages of `range` (page-aligned, any length), within one folio.
    pub fn claim_next(&self, _range: Range<u64>) -> Option<Snapshot> { unimplemented!() }
    /// Ends writeback of `range` (page-aligned, any length); harmless for pages dropped meanwhile.
    pub fn end_writeback(&self, _range: Range<u64>, _end: WritebackEnd) { unimplemented!() }
    /// Waits until no page of the range is under writeback.
    pub fn wait_writeback(&self, _range: Range<u64>) { unimplemented!() }
    /// What of the range is cached, zero-copy, and what is not.
    pub fn lookup(&self, _range: Range<u64>) -> Lookup { unimplemented!() }
    /// Like `lookup` for a range within one folio: all of it or `None`.
    pub fn read_bytes(&self, _range: Range<u64>) -> Option<Bytes> { unimplemented!() }
    /// Copies cached bytes from `offset` on, up to the first missing page; how many. Does not look at the file's size.
    pub fn read(&self, _offset: u64, _dst: &mut [u8]) -> usize { unimplemented!() }
    /// The version to fetch against.
    pub fn epoch(&self) -> Epoch { unimplemented!() }
    /// Copies into missing pages only (offset page-aligned; a short last page is zero-filled; nothing beyond the file's size); bytes of pages newly uptodate.
    pub fn fill(&self, _offset: u64, _data: &[u8]) -> u64 { unimplemented!() }
    /// `fill`, unless the mapping moved on.
    pub fn fill_as_of(&self, _epoch: Epoch, _offset: u64, _data: &[u8]) -> Result<u64, Stale> { unimplemented!() }
    /// Installs the buffer (at a page-aligned offset, within one folio) as the folio where nothing of it is cached, else copies its missing pages; bytes of pages newly uptodate.
    pub fn insert(&self, _offset: u64, _buffer: Buffer) -> u64 { unimplemented!() }
    /// `insert`, unless the mapping moved on.
    pub fn insert_as_of(&self, _epoch: Epoch, _offset: u64, _buffer: Buffer) -> Result<u64, Stale> { unimplemented!() }
    /// A buffer of `len`, `f` fills it outside of locks, then `insert`.
    pub fn fill_with<E>(&self, _offset: u64, _len: usize, _f: impl FnOnce(&mut [u8]) -> Result<(), E>) -> Result<u64, E> { unimplemented!() }
    /// Sets the size; zeroes the tail of the last page, drops pages beyond, dirty or not; writeback of them is detached.
    pub fn truncate(&self, _new_size: u64) { unimplemented!() }
    /// Drops the clean pages that lie wholly in the range; how many bytes.
    pub fn invalidate(&self, _range: Range<u64>) -> u64 { unimplemented!() }
    /// Drops the pages that lie wholly in the range, dirty or not (punch hole); writeback of them is detached.
    pub fn discard(&self, _range: Range<u64>) -> u64 { unimplemented!() }
    /// Drops clean folios now, the others as they become clean.
    pub fn forget(&self) { unimplemented!() }
}

/// Sequential readahead of one open file.
#[derive(Clone, Debug)]
pub struct ReadaheadWindow { _max: u64 }
impl ReadaheadWindow {
    /// Grows up to `max_len`, at least one folio.
    pub fn new(_max_len: u64) -> Self { unimplemented!() }
    /// The reader asks for `len` bytes at `offset`: what to prefetch behind it (folio-aligned end; empty if nothing). The caller clips to the file's size.
    pub fn next(&mut self, _offset: u64, _len: u64) -> Range<u64> { unimplemented!() }
}
