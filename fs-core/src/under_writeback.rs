//! Pages on their way to the device.

use std::ops::Range;

use pagecache::WritebackEnd;

use crate::error::ErrorKind;
use crate::inode::Inode;
use crate::shared::Shared;
use crate::sync::Arc;
use crate::volume::Volume;

/// Pages that are under writeback as long as this lives.
///
/// Dropped without [`UnderWriteback::end`], as when an item panics, their data is lost: that is
/// recorded, and whoever waits for them wakes.
pub(crate) struct UnderWriteback<V: Volume> {
    shared: Arc<Shared<V>>,
    inode: Arc<Inode>,
    range: Range<u64>,
    ended: bool,
}

impl<V: Volume> UnderWriteback<V> {
    /// Takes over pages that were claimed.
    pub(crate) fn new(shared: &Arc<Shared<V>>, inode: &Arc<Inode>, range: Range<u64>) -> Self {
        Self {
            shared: Arc::clone(shared),
            inode: Arc::clone(inode),
            range,
            ended: false,
        }
    }

    /// Takes those before `at`, which is within them, out.
    pub(crate) fn split_to(&mut self, at: u64) -> Self {
        let before = self.range.start..at;
        self.range.start = at;
        Self::new(&self.shared, &self.inode, before)
    }

    /// The device has them, or their inode was told that it hasn't.
    pub(crate) fn end(mut self) {
        self.ended = true;
    }
}

impl<V: Volume> Drop for UnderWriteback<V> {
    fn drop(&mut self) {
        let (inode, range) = (&self.inode, self.range.clone());
        if !self.ended {
            let why = "it was given up on the way";
            self.shared.failed(inode, range.clone(), why, ErrorKind::Io);
        }
        inode.mapping.end_writeback(range, WritebackEnd::Done);
    }
}
