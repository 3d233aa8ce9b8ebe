//! Writeback: from delalloc to the ordered work queue, and the wait for what is on its way.

use std::ops::Range;

use delalloc::{
    Claim, NoPageLocks, RangeWriteback, SyncMode, Until, WritebackControl, plan_pieces,
    wait_for_range,
};
use extent_tree::ExtentIoTree;

use crate::failures::WriteFailure;
use crate::inode::Inode;
use crate::piece::Piece;
use crate::pipeline_trace::PipelineStep;
use crate::shared::Shared;
use crate::stats::add;
use crate::sync::{Arc, Ordering};
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
        wbc.nr_written()
    }

    fn queue_claim(self: &Arc<Self>, inode: &Arc<Inode>, mut claim: Claim) {
        self.observe(inode.id, &claim.range(), PipelineStep::Claimed);
        let claim_number = self.claims.fetch_add(1, Ordering::Relaxed);
        let i_size = inode.mapping.size();
        let pieces = plan_pieces(claim.range(), i_size);
        if !pieces.past_eof().is_empty() {
            inode.mapping.discard(pieces.past_eof());
        }
        let mut pieces = pieces.peekable();
        while let Some(piece) = pieces.next() {
            let part = claim.split_to(piece.range.end);
            let permit = self
                .budget
                .acquire_helping(piece.range.end - piece.range.start, self.queue.pool());
            let Some(snapshot) = inode.mapping.claim(piece.range.clone()) else {
                // Truncated meanwhile: there is nothing to write any more. The pieces before may
                // wait for this one, if it is the last.
                drop((part, permit));
                if pieces.peek().is_none() {
                    self.queue
                        .submit(Piece::end_of_claim(self, inode, claim_number));
                }
                continue;
            };
            self.observe(inode.id, &piece.range, PipelineStep::Queued);
            self.queue.submit(Piece {
                shared: Arc::clone(self),
                inode: Arc::clone(inode),
                claim: Some(part),
                claim_number,
                last_of_claim: pieces.peek().is_none(),
                snapshot: snapshot.bytes,
                data_len: piece.data_len,
                i_size,
                permit: Some(permit),
                prepared: None,
            });
        }
    }

    /// Waits until the cache has room for `bytes` more, and lends a hand with what takes it.
    pub(crate) fn make_room(self: &Arc<Self>, bytes: u64) {
        while !self.cache.try_room(bytes) {
            if self.queue.pool().help() {
                continue;
            }
            // What is dirty in files that nobody writes back would stay there for ever.
            if self.cache.writeback_bytes() == 0 && self.start_some() > 0 {
                continue;
            }
            self.writer.no_more();
            add(&self.counters.room_waits, 1);
            self.cache.wait_for_room(bytes);
            return;
        }
    }

    /// Starts writeback of a file that has anything to write; of how many pages.
    pub(crate) fn start_some(self: &Arc<Self>) -> u64 {
        for inode in self.all_loaded() {
            let pages = self.start_writeback(&inode, WHOLE_FILE, SyncMode::None);
            if pages > 0 {
                add(&self.counters.pages_flushed_by_pressure, pages);
                return pages;
            }
        }
        0
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
        // A failure is recorded at the inode, where each handle is told.
        let _ = wait_for_range(&writeback, range, until);
    }
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
