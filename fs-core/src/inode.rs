//! An inode with data in memory.

use std::ops::Range;

use delalloc::{Delalloc, OrderedExtents, PAGE_SIZE, SpaceLedger};
use extent_tree::{ExtentIoTree, RangeGuard};
use pagecache::{Cache, Mapping};

use crate::failures::{Failures, WriteFailure};
use crate::policy::Policy;
use crate::stats::add;
use crate::sync::{Arc, AtomicBool, AtomicU64, AtomicUsize, Mutex, Ordering};
use crate::volume::InodeId;

/// What the filesystem knows of one file while it is open or has anything to write.
///
/// Locking: whoever changes content or size locks the range in `writers` for the whole of the
/// call; the queue and the writer thread never do, and readers only when writers disturbed them again
/// and again.
#[derive(Debug)]
pub(crate) struct Inode {
    pub(crate) id: InodeId,
    /// Its size is `i_size`.
    pub(crate) mapping: Mapping,
    pub(crate) delalloc: Arc<Delalloc>,
    pub(crate) ordered: OrderedExtents<(), WriteFailure>,
    writers: ExtentIoTree,
    /// Size or content changed since the attributes were last stored.
    pub(crate) attrs_dirty: AtomicBool,
    /// Handles. Changed under the lock of the table of inodes only.
    pub(crate) opens: AtomicUsize,
    /// The one who wrote it has finished with it: it leaves memory with the last of its data.
    pub(crate) parting: AtomicBool,
    /// It has no name: it is freed with the last handle.
    pub(crate) unlinked: AtomicBool,
    /// Its content is not to be stored in the tree: it has extents besides.
    pub(crate) no_inline: AtomicBool,
    /// How often it was cut.
    pub(crate) cuts: AtomicU64,
    /// There may be extents behind its size: what it grew by entered the trees, and before its size
    /// was stored the power failed.
    pub(crate) lost_tail: AtomicBool,
    /// Milliseconds of the filesystem's life at which it became dirty; 0: it is not.
    pub(crate) dirty_since: AtomicU64,
    pub(crate) policy: Mutex<Policy>,
    pub(crate) failures: Mutex<Failures>,
}

/// Up to where a file was dirty at most at some moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reach {
    size: u64,
    /// What a file was cut by since, and grew by again, is other data.
    cuts: u64,
}

impl Reach {
    /// The size that may be stored of a file that was written up to here.
    pub(crate) fn written_to(self, inode: &Inode) -> u64 {
        match self.cuts == inode.cuts.load(Ordering::Acquire) {
            true => self.size,
            false => 0,
        }
    }
}

impl Inode {
    pub(crate) fn new(
        id: InodeId,
        size: u64,
        policy: Policy,
        cache: &Cache,
        ledger: &SpaceLedger,
    ) -> Arc<Self> {
        Arc::new(Self {
            id,
            mapping: Mapping::with_size(cache, size),
            delalloc: Delalloc::new(ledger),
            ordered: OrderedExtents::new(),
            writers: ExtentIoTree::new(),
            attrs_dirty: AtomicBool::new(false),
            opens: AtomicUsize::new(0),
            parting: AtomicBool::new(false),
            unlinked: AtomicBool::new(false),
            no_inline: AtomicBool::new(false),
            cuts: AtomicU64::new(0),
            lost_tail: AtomicBool::new(false),
            dirty_since: AtomicU64::new(0),
            policy: Mutex::new(policy),
            failures: Mutex::default(),
        })
    }

    pub(crate) fn size(&self) -> u64 {
        self.mapping.size()
    }

    /// Its size now, to be stored once all that is dirty now is written.
    pub(crate) fn reach(&self) -> Reach {
        let cuts = self.cuts.load(Ordering::Acquire);
        Reach {
            cuts,
            size: self.size(),
        }
    }

    /// Keeps other writers away from the pages of `range`; `waited` counts if some were there first.
    pub(crate) fn lock(&self, range: Range<u64>, waited: &AtomicU64) -> RangeGuard<'_> {
        let end = range.end.checked_next_multiple_of(PAGE_SIZE);
        let pages = range.start - range.start % PAGE_SIZE..end.unwrap_or(u64::MAX);
        if let Some(free) = self.writers.try_lock(pages.clone()) {
            return free;
        }
        add(waited, 1);
        self.writers.lock(pages)
    }

    pub(crate) fn touch(&self) {
        self.attrs_dirty.store(true, Ordering::Release);
    }

    /// Nothing is on its way, and nobody has to be told of anything.
    pub(crate) fn is_settled(&self) -> bool {
        self.delalloc.is_settled() && self.ordered.is_empty() && !self.failures.lock().is_untold()
    }
}
