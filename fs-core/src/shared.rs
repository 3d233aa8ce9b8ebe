//! What all handles of one filesystem share.

use std::collections::HashMap;
use std::ops::Range;

use compress::Workspaces;
use delalloc::SpaceLedger;
use ordered_wq::{Budget, OrderedQueue};
use pagecache::Cache;
use readpath::ReadPath;

use crate::error::{Error, ErrorKind};
use crate::inode::{Inode, WriteFailure};
use crate::pipeline_trace::{PipelineEvent, PipelineObserver, PipelineStep};
use crate::policy::Compression;
use crate::read::VolumeDisk;
use crate::stats::{Counters, add};
use crate::submit::RawRun;
use crate::sync::{Arc, AtomicU64, Mutex, Ordering};
use crate::volume::{InodeId, Volume, VolumeLimits};
use crate::writer::Writer;

/// The parts. The queue holds the pool.
pub(crate) struct Shared<V: Volume> {
    pub(crate) queue: OrderedQueue,
    pub(crate) writer: Writer<V>,
    pub(crate) reads: ReadPath<V::Locator, VolumeDisk<V>>,
    pub(crate) volume: Arc<V>,
    pub(crate) limits: VolumeLimits,
    pub(crate) ledger: SpaceLedger,
    pub(crate) cache: Cache,
    pub(crate) budget: Budget,
    pub(crate) workspaces: Arc<Workspaces>,
    pub(crate) compression: Option<Compression>,
    pub(crate) inodes: Mutex<HashMap<InodeId, Arc<Inode>>>,
    /// Held by whoever changes attributes, from reading them to storing them.
    pub(crate) attrs: Mutex<()>,
    /// Raw pieces of the claim whose ordered parts run now, not yet submitted. Taken by the
    /// ordered part alone.
    pub(crate) raw_run: Mutex<Option<RawRun>>,
    pub(crate) counters: Counters,
    pub(crate) observer: Option<PipelineObserver>,
    /// Metadata that the operations since the last commit will make, at a guess that depends on
    /// them alone.
    pub(crate) metadata_due: AtomicU64,
    pub(crate) claims: AtomicU64,
}

impl<V: Volume> Shared<V> {
    pub(crate) fn observe(&self, id: InodeId, range: &Range<u64>, step: PipelineStep) {
        if let Some(observer) = &self.observer {
            observer(&PipelineEvent {
                id,
                range: range.clone(),
                step,
            });
        }
    }

    /// Tells the inode, the counters and the observer that a range is lost.
    pub(crate) fn failed(
        &self,
        inode: &Inode,
        range: Range<u64>,
        message: &str,
        kind: ErrorKind,
    ) -> WriteFailure {
        tracing::warn!(inode = inode.id.ino, ?range, message, "writeback failed");
        let failure = WriteFailure {
            range: range.clone(),
            message: message.into(),
            kind,
        };
        inode.fail(failure.clone());
        add(&self.counters.ranges_failed, 1);
        self.observe(inode.id, &range, PipelineStep::Failed);
        failure
    }

    /// The inode's state in memory, made if there is none.
    pub(crate) fn inode(&self, id: InodeId, size: u64) -> Arc<Inode> {
        let mut inodes = self.inodes.lock();
        let inode = inodes
            .entry(id)
            .or_insert_with(|| Inode::new(id, size, &self.cache, &self.ledger));
        inode.parting.store(false, Ordering::Relaxed);
        Arc::clone(inode)
    }

    /// Lets go of an inode if that is wanted, nobody has it, and all of it is on the device. Called
    /// by whoever ends something of it. Under the table's lock, so that nobody can open it
    /// meanwhile and make it larger than what was written.
    pub(crate) fn let_go(&self, inode: Arc<Inode>) {
        if !inode.parting.load(Ordering::Relaxed) {
            return;
        }
        let id = inode.id;
        drop(inode);
        let mut inodes = self.inodes.lock();
        let idle = inodes.get(&id).is_some_and(|inode| {
            Arc::strong_count(inode) == 1
                && inode.parting.load(Ordering::Relaxed)
                && inode.is_settled()
                && self.store_attrs(inode).is_ok()
        });
        let gone = if idle { inodes.remove(&id) } else { None };
        drop(inodes);
        drop(gone);
    }

    pub(crate) fn loaded(&self, id: InodeId) -> Option<Arc<Inode>> {
        self.inodes.lock().get(&id).cloned()
    }

    /// Stores size and times of an inode whose content is on the device.
    pub(crate) fn store_attrs(&self, inode: &Inode) -> Result<(), Error> {
        if !inode.attrs_dirty.swap(false, Ordering::AcqRel) {
            return Ok(());
        }
        let _attrs = self.attrs.lock();
        let stored = (|| {
            let mut attrs = self.volume.attrs(inode.id)?;
            attrs.size = inode.mapping.size();
            self.volume.put_attrs(inode.id, &attrs)
        })();
        stored.map_err(|error| {
            inode.touch();
            Error::volume("storing an inode")(error)
        })
    }
}
