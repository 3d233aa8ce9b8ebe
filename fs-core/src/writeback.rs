//! Writeback: from delalloc to the ordered work queue, and the wait for what is on its way.

use std::ops::Range;

use delalloc::{
    Claim, NoPageLocks, RangeWriteback, SyncMode, Until, WritebackControl, plan_pieces,
    wait_for_range,
};
use extent_tree::ExtentIoTree;
use pagecache::{PAGE_SIZE, Snapshot};

use crate::failures::WriteFailure;
use crate::inode::Inode;
use crate::piece::Piece;
use crate::pipeline_trace::PipelineStep;
use crate::shared::Shared;
use crate::stats::add;
use crate::sync::{Arc, Ordering};
use crate::under_writeback::UnderWriteback;
use crate::volume::Volume;

/// Bytes that one claim takes at most, and so the longest raw extent. A constant, so that no
/// memory setting changes an image; the byte budget must be larger.
pub(crate) const MAX_CLAIM: u64 = 4 << 20;

/// Every page that a file can have.
pub(crate) const WHOLE_FILE: Range<u64> = 0..!4095;

impl<V: Volume> Shared<V> {
    /// Claims and queues what is delalloc in `range` and not on its way already.
    pub(crate) fn start_writeback(
        self: &Arc<Self>,
        inode: &Arc<Inode>,
        range: Range<u64>,
        mode: SyncMode,
    ) -> u64 {
        let mut wbc = WritebackControl::new(range.clone(), mode);
        let mut from = range.start;
        while let Some((claim, ())) =
            inode
                .delalloc
                .claim_next(&NoPageLocks, from, &mut wbc, MAX_CLAIM)
        {
            from = claim.range().end;
            self.queue_claim(inode, claim);
        }
        // What was claimed and is gone ended here.
        self.let_go(inode);
        wbc.nr_written()
    }

    fn queue_claim(self: &Arc<Self>, inode: &Arc<Inode>, claim: Claim) {
        let range = claim.range();
        let mut unqueued = Unqueued {
            last: None,
            part: None,
            rest: Some(claim),
        };
        self.observe(inode.id, &range, PipelineStep::Claimed);
        let claim_number = self.claims.fetch_add(1, Ordering::Relaxed);
        let i_size = inode.mapping.size();
        let pieces = plan_pieces(range.clone(), i_size);
        if !pieces.past_eof().is_empty() {
            inode.mapping.discard(pieces.past_eof());
        }
        // For all of it at once: who waited for the next piece's bytes with those of the last one in
        // hand could wait for others who do the same.
        let bytes = range.end - range.start;
        let mut permits = self.budget.acquire_helping(bytes, self.queue.pool());
        for piece in pieces {
            let Some(rest) = &mut unqueued.rest else {
                break;
            };
            let part = unqueued.part.insert(rest.split_to(piece.range.end));
            let mut permit = Some(permits.split(piece.range.end - piece.range.start));
            while !part.range().is_empty() {
                let Some(snapshot) = claim_pages(inode, part) else {
                    break;
                };
                let range = snapshot.range();
                let pages = UnderWriteback::new(self, inode, range.clone());
                self.observe(inode.id, &range, PipelineStep::Queued);
                // Size and content of one moment: another one's size would cut off what was
                // written since, or show what was not.
                let data_len = snapshot
                    .file_size
                    .min(range.end)
                    .saturating_sub(range.start);
                let next = Piece {
                    shared: Arc::clone(self),
                    inode: Arc::clone(inode),
                    pages: Some(pages),
                    claim: Some(part.split_to(range.end)),
                    claim_number,
                    last_of_claim: false,
                    snapshot: snapshot.bytes,
                    data_len,
                    i_size: snapshot.file_size,
                    permit: permit.take(),
                    prepared: None,
                };
                if let Some(piece) = unqueued.last.replace(next) {
                    self.queue.push(piece);
                }
            }
        }
        // Of what is left no page is dirty.
        (unqueued.part, unqueued.rest) = (None, None);
    }

    /// Waits until the cache has room for `bytes` more, and lends a hand with what takes it.
    ///
    /// A writer is never refused memory: where nothing moves for a second it goes on without.
    pub(crate) fn make_room(self: &Arc<Self>, bytes: u64) {
        let mut idle = 0;
        while !self.cache.try_room(bytes) && idle < 200 {
            if self.queue.pool().help() {
                idle = 0;
                continue;
            }
            // What is dirty in files that nobody writes back would stay there for ever.
            if self.cache.writeback_bytes() < bytes && self.start_some() > 0 {
                idle = 0;
                continue;
            }
            let stats = self.cache.stats();
            if stats.dirty + stats.writeback == 0 {
                return;
            }
            add(&self.counters.room_waits, 1);
            idle = match self.writer.wait_progress() {
                true => 0,
                false => idle + 1,
            };
        }
    }

    /// Starts writeback of files that have anything to write, until as much as a claim is on its
    /// way; of how many pages.
    pub(crate) fn start_some(self: &Arc<Self>) -> u64 {
        let mut pages = 0;
        for inode in self.all_loaded() {
            if inode.delalloc.bytes() > 0 {
                pages += self.start_writeback(&inode, WHOLE_FILE, SyncMode::None);
            }
            if pages * PAGE_SIZE >= MAX_CLAIM {
                break;
            }
        }
        add(&self.counters.pages_flushed_by_pressure, pages);
        pages
    }

    /// Waits until `range` is on the device, with its metadata in the running transaction. Whether it
    /// got there, the inode's failures tell.
    pub(crate) fn wait_range(
        self: &Arc<Self>,
        inode: &Arc<Inode>,
        range: Range<u64>,
        until: Until,
    ) {
        let writeback = InodeWriteback {
            shared: self,
            inode,
        };
        let _hurry = self.writer.hurry();
        // A failure is recorded at the inode, where each handle is told. What failed is clean, so
        // that there is an end to looking again; and it ended the wait before what was dirtied behind
        // it was started.
        let mut once_more = true;
        while wait_for_range(&writeback, range.clone(), until).is_err()
            && (until == Until::Clean || std::mem::take(&mut once_more))
        {}
    }
}

/// What of a claim is not queued. Should whoever queues it panic, then what is queued does not wait for
/// the rest, which is dirty once more.
struct Unqueued<V: Volume> {
    /// Queued as soon as it is known whether it is the last one.
    last: Option<Piece<V>>,
    /// Of the piece that is cut out.
    part: Option<Claim>,
    rest: Option<Claim>,
}

impl<V: Volume> Drop for Unqueued<V> {
    fn drop(&mut self) {
        if let Some(mut piece) = self.last.take() {
            piece.last_of_claim = true;
            let shared = Arc::clone(&piece.shared);
            shared.queue.push(piece);
        }
        for claim in [self.part.take(), self.rest.take()].into_iter().flatten() {
            if !claim.range().is_empty() {
                claim.redirty();
            }
        }
    }
}

/// Takes the first dirty pages of `part` under writeback, and gives up the claim on those before,
/// and on all if there are none.
///
/// Not every page that was claimed need be dirty. A writer changes a page before it says so: if a
/// claim comes in between, that takes the change along, and the page is delalloc once more without
/// need. And what was truncated since is gone.
fn claim_pages(inode: &Inode, part: &mut Claim) -> Option<Snapshot> {
    let mapping = &inode.mapping;
    if let Some(snapshot) = mapping.claim(part.range()) {
        return Some(snapshot);
    }
    let snapshot = mapping.claim_next(part.range())?;
    if snapshot.offset > part.range().start {
        drop(part.split_to(snapshot.offset));
    }
    Some(snapshot)
}

struct InodeWriteback<'a, V: Volume> {
    shared: &'a Arc<Shared<V>>,
    inode: &'a Arc<Inode>,
}

impl<V: Volume> RangeWriteback for InodeWriteback<'_, V> {
    type Error = WriteFailure;

    fn tree(&self) -> &ExtentIoTree {
        self.inode.delalloc.tree()
    }

    fn start(&self, range: Range<u64>, mode: SyncMode) -> Result<(), WriteFailure> {
        self.shared.start_writeback(self.inode, range, mode);
        Ok(())
    }

    fn wait_writeback(&self, range: Range<u64>) -> Result<(), WriteFailure> {
        self.inode.mapping.wait_writeback(range);
        Ok(())
    }

    fn wait_ordered(&self, range: Range<u64>) -> Result<(), WriteFailure> {
        self.inode.ordered.wait_range(range)
    }
}
