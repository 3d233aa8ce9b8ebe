//! An open regular file.

mod change;
mod direct;
mod sync;
mod unwanted;
mod write;

use std::ops::Range;

use delalloc::SyncMode;
use extent_tree::RangeGuard;
use pagecache::{PAGE_SIZE, ReadaheadWindow};

use crate::error::Error;
use crate::failures::FailureCursor;
use crate::inode::Inode;
use crate::shared::Shared;
use crate::sync::{Arc, Mutex, Ordering};
use crate::volume::{InodeId, Volume, VolumeError, VolumeErrorKind};
use crate::writeback::WHOLE_FILE;

/// Bytes that are read ahead of a sequential reader, at most; less where the cache is small.
const MAX_READAHEAD: u64 = 4 << 20;

/// Largest offset that a file can reach.
const MAX_SIZE: u64 = i64::MAX as u64 & !(PAGE_SIZE - 1);

/// An open regular file. Dropping it loses nothing: what is dirty stays dirty.
pub struct File<V: Volume> {
    pub(crate) shared: Arc<Shared<V>>,
    pub(crate) inode: Arc<Inode>,
    pub(crate) readahead: Mutex<ReadaheadWindow>,
    told: Mutex<FailureCursor>,
}

impl<V: Volume> File<V> {
    /// Takes over a handle's share of `inode`.
    pub(crate) fn new(shared: Arc<Shared<V>>, inode: Arc<Inode>) -> Self {
        let told = Mutex::new(inode.failures.lock().cursor());
        Self {
            shared,
            inode,
            readahead: Mutex::new(ReadaheadWindow::new(MAX_READAHEAD)),
            told,
        }
    }

    /// Which inode it is.
    #[must_use]
    pub fn id(&self) -> InodeId {
        self.inode.id
    }

    /// Its size in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.inode.size()
    }

    /// Starts writing what is left and lets go of the cache as it completes: for a writer who has
    /// finished with the file. Errors are told by [`Filesystem::sync`](crate::Filesystem::sync).
    ///
    /// # Errors
    ///
    /// None today; errors of starting writeback will be told here.
    pub fn finish(self) -> Result<(), Error> {
        self.shared
            .start_writeback(&self.inode, WHOLE_FILE, SyncMode::None);
        self.inode.mapping.forget();
        self.inode.parting.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Keeps other writers away from the pages of a range.
    pub(crate) fn lock(&self, range: Range<u64>) -> RangeGuard<'_> {
        self.inode.lock(range, &self.shared.counters.lock_waits)
    }

    /// Says so now if nothing may be written: what is dirty would be lost later.
    fn writable(&self) -> Result<(), Error> {
        if !self.shared.limits.read_only && !self.shared.failed.load(Ordering::Relaxed) {
            return Ok(());
        }
        let why = VolumeError::new(VolumeErrorKind::ReadOnly, "the volume is read-only");
        Err(Error::volume("changing a file")(why))
    }

    /// Where a range ends, if a file can have it.
    fn end_of(&self, offset: u64, len: u64) -> Result<u64, Error> {
        let end = offset.checked_add(len).filter(|end| *end <= MAX_SIZE);
        end.ok_or(Error::FileTooLarge { id: self.inode.id })
    }

    /// All whole pages of a range.
    fn pages(range: &Range<u64>) -> Range<u64> {
        range.start / PAGE_SIZE * PAGE_SIZE..range.end.next_multiple_of(PAGE_SIZE)
    }
}

impl<V: Volume> Drop for File<V> {
    fn drop(&mut self) {
        self.shared.close(&self.inode);
    }
}
