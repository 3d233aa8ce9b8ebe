//! Making a file durable.

use std::ops::Range;

use delalloc::{SyncMode, Until};

use super::File;
use crate::error::Error;
use crate::volume::Volume;
use crate::writeback::WHOLE_FILE;

impl<V: Volume> File<V> {
    /// Makes the file's content, size and attributes durable.
    ///
    /// # Errors
    ///
    /// A failure of this file's writeback that this handle was not told of yet, or that of the
    /// commit.
    pub fn fsync(&self) -> Result<(), Error> {
        let _span = tracing::debug_span!("fsync", ino = self.inode.id.ino).entered();
        let reach = self.inode.reach();
        self.shared
            .wait_range(&self.inode, WHOLE_FILE, Until::Written);
        let shared = &self.shared;
        let stored = shared.with_room(|| shared.store_attrs(&self.inode, &reach));
        let committed = self.shared.commit();
        self.told().and(stored).and(committed)
    }

    /// Makes the file's content durable, with what it takes to read it again. A commit holds all
    /// attributes anyway, so this is [`File::fsync`] by another name.
    ///
    /// # Errors
    ///
    /// As [`File::fsync`].
    pub fn fdatasync(&self) -> Result<(), Error> {
        self.fsync()
    }

    /// Starts writing a range, and with `wait` waits until the device has it. That alone makes
    /// nothing durable: there is no commit.
    ///
    /// # Errors
    ///
    /// With `wait`, a failure of this file's writeback that this handle was not told of yet.
    pub fn sync_range(&self, range: Range<u64>, wait: bool) -> Result<(), Error> {
        let range = Self::pages(&(range.start..range.end.min(WHOLE_FILE.end)));
        if !wait {
            self.shared
                .start_writeback(&self.inode, range, SyncMode::None);
            return Ok(());
        }
        self.shared.wait_range(&self.inode, range, Until::Written);
        self.told()
    }

    /// Waits until a range is on the device, for who asks what is there. Nobody is told by that of a
    /// failure meanwhile but the caller.
    pub(crate) fn wait_to_look(&self, range: Range<u64>, until: Until) -> Result<(), Error> {
        let inode = &self.inode;
        let before = inode.failures.lock().count();
        self.shared.wait_range(inode, range, until);
        inode.failures.lock().since(before, inode.id)
    }

    /// What this handle was not told of yet.
    pub(super) fn told(&self) -> Result<(), Error> {
        let mut told = self.told.lock();
        self.inode.failures.lock().check(&mut told, self.inode.id)
    }
}
