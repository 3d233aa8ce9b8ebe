//! An inode with data in memory.

use std::ops::Range;

use delalloc::{Delalloc, OrderedExtents, PAGE_SIZE, SpaceLedger};
use extent_tree::{ExtentIoTree, RangeGuard, Select, StateBits};
use pagecache::{Cache, Mapping};

use crate::failures::{Failures, WriteFailure};
use crate::policy::Policy;
use crate::stats::add;
use crate::sync::{Arc, AtomicBool, AtomicU64, AtomicUsize, Mutex, Ordering, Weak};
use crate::volume::InodeId;

/// What the filesystem knows of one file while it is open or has anything to write.
///
/// Locking: whoever changes content or size locks the range in `writers` for the whole of the
/// call; the queue and the writer thread never do, and readers only past the cache, or when writers
/// disturbed them again and again.
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
    /// Nor is any of it there, as somebody found who looked.
    pub(crate) left_tree: AtomicBool,
    /// Its size, as soon as what it grew by is dirty, and not only in the cache, or needs no writing.
    grown_to: AtomicU64,
    /// What others wait for, to store a size afterwards.
    reaches: Mutex<Vec<Weak<AtomicU64>>>,
    /// There may be extents behind its size: what it grew by entered the trees, and before its size
    /// was stored the power failed.
    pub(crate) lost_tail: AtomicBool,
    /// Milliseconds of the filesystem's life at which it became dirty; 0: it is not.
    pub(crate) dirty_since: AtomicU64,
    pub(crate) policy: Mutex<Policy>,
    pub(crate) failures: Mutex<Failures>,
}

/// Up to where a file was dirty at most at some moment, and was not cut since: what it was cut by and
/// grew by again is other data.
#[derive(Debug)]
pub(crate) struct Reach(Arc<AtomicU64>);

impl Reach {
    /// The size that may be stored of a file that was written up to here. The caller keeps others from
    /// cutting it.
    pub(crate) fn end(&self) -> u64 {
        self.0.load(Ordering::Acquire)
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
            left_tree: AtomicBool::new(false),
            grown_to: AtomicU64::new(size),
            reaches: Mutex::default(),
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
        let mut reaches = self.reaches.lock();
        reaches.retain(|reach| reach.strong_count() > 0);
        let size = self.grown_to.load(Ordering::Acquire);
        let reach = Arc::new(AtomicU64::new(size));
        reaches.push(Arc::downgrade(&reach));
        Reach(reach)
    }

    /// What it has before `end` can be waited for, as far as it is not on the device. The caller keeps
    /// others from letting it grow if this does.
    pub(crate) fn grew_to(&self, end: u64) {
        self.grown_to.fetch_max(end, Ordering::AcqRel);
    }

    /// It was cut at `size`, which is its size now.
    pub(crate) fn cut_at(&self, size: u64) {
        let reaches = self.reaches.lock();
        self.grown_to.store(size, Ordering::Release);
        for reach in reaches.iter().filter_map(Weak::upgrade) {
            reach.fetch_min(size, Ordering::AcqRel);
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

    /// Nobody can want anything of it any more. The caller has the table of inodes.
    pub(crate) fn is_gone(&self) -> bool {
        self.unlinked.load(Ordering::Acquire) && self.opens.load(Ordering::Relaxed) == 0
    }

    /// Bytes of a range that are dirty or on their way.
    pub(crate) fn unstored_bytes(&self, range: Range<u64>) -> u64 {
        let unstored = StateBits::DELALLOC | StateBits::IN_FLIGHT | StateBits::ORDERED;
        let tree = self.delalloc.tree();
        tree.count_where(range, Select::any(unstored))
    }

    /// Nothing is on its way, and nobody has to be told of anything.
    pub(crate) fn is_settled(&self) -> bool {
        self.delalloc.is_settled() && self.ordered.is_empty() && !self.failures.lock().is_untold()
    }
}
