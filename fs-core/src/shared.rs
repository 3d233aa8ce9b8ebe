//! What all handles of one filesystem share.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ops::Range;

use compress::Workspaces;
use delalloc::{Reservation, Space, SpaceLedger, SyncMode};
use foldhash::fast::RandomState;
use ordered_wq::{Budget, OrderedQueue};
use pagecache::{Cache, FOLIO_SIZE, PAGE_SIZE};
use readpath::{ExtentKind, ReadPath};

use crate::error::{Error, ErrorKind};
use crate::failures::WriteFailure;
use crate::flusher::Flusher;
use crate::inode::{Inode, Reach};
use crate::piece::Piece;
use crate::pipeline_trace::{PipelineEvent, PipelineObserver, PipelineStep};
use crate::policy::{Compression, Policy};
use crate::read::VolumeDisk;
use crate::stats::{Counters, add};
use crate::submit::RawRun;
use crate::sync::{Arc, AtomicBool, AtomicU64, Mutex, Ordering, RwLock};
use crate::volume::{
    FileType, InodeId, Volume, VolumeError, VolumeErrorKind, VolumeLimits, VolumeResult,
};
use crate::writeback::WHOLE_FILE;
use crate::writer::Writer;

/// The parts. The queue holds the pool.
pub(crate) struct Shared<V: Volume> {
    pub(crate) queue: OrderedQueue<Piece<V>>,
    pub(crate) writer: Writer<V>,
    pub(crate) reads: ReadPath<V::Locator, VolumeDisk<V>>,
    pub(crate) volume: Arc<V>,
    pub(crate) limits: VolumeLimits,
    pub(crate) ledger: SpaceLedger,
    pub(crate) cache: Cache,
    pub(crate) budget: Budget,
    pub(crate) workspaces: Arc<Workspaces>,
    pub(crate) policy: Policy,
    pub(crate) inodes: Mutex<HashMap<InodeId, Arc<Inode>, RandomState>>,
    /// Held by whoever changes attributes, from reading them to storing them, and by whoever lets the
    /// volume change them.
    pub(crate) attrs: Mutex<()>,
    /// Raw pieces of the claim whose ordered parts run now, not yet submitted. Taken by the
    /// ordered part alone.
    pub(crate) raw_run: Mutex<Option<RawRun<V>>>,
    pub(crate) counters: Counters,
    pub(crate) observer: Option<PipelineObserver>,
    /// Metadata that the operations since the last commit will make, at a guess that depends on
    /// them alone.
    pub(crate) metadata_due: AtomicU64,
    pub(crate) claims: AtomicU64,
    /// Shared by whoever takes space from the volume or gives it back, until the ledger says the
    /// same; alone when the two are compared.
    pub(crate) books: RwLock<()>,
    /// Shared by whoever makes changes that one commit must hold; alone by who commits.
    pub(crate) whole: RwLock<()>,
    pub(crate) flusher: Flusher,
    pub(crate) commit_for_room: bool,
    /// A commit failed, and nothing can be written since.
    pub(crate) failed: AtomicBool,
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

    pub(crate) fn is_quick_on_noise(&self, how: Compression) -> bool {
        let codec = self.workspaces.registry().get(how.codec);
        codec.is_some_and(|codec| codec.is_quick_on_noise(how.level))
    }

    pub(crate) fn codec_name(&self, how: Compression) -> &'static str {
        let codec = self.workspaces.registry().get(how.codec);
        codec.map_or("an unknown codec", |codec| codec.name())
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
        inode.failures.lock().record(failure.clone());
        add(&self.counters.ranges_failed, 1);
        self.observe(inode.id, &range, PipelineStep::Failed);
        failure
    }

    /// Tries `reserve` again after the ledger was told what the volume has: it does not see what
    /// is freed.
    pub(crate) fn reserve_anew<R>(
        &self,
        metadata: u64,
        reserve: impl FnOnce() -> Option<R>,
    ) -> Option<R> {
        let _alone = self.books.write();
        self.count_anew(metadata);
        reserve()
    }

    /// Reserves space, if need be out of what becomes free by looking for it. `None` if there is not
    /// enough. `metadata`: how much of it will be wanted, in bytes.
    pub(crate) fn reserve_by_all_means<R>(
        self: &Arc<Self>,
        metadata: u64,
        reserve: impl Fn() -> Option<R>,
    ) -> Result<Option<R>, Error> {
        if let Some(reserved) = reserve() {
            return Ok(Some(reserved));
        }
        // What is not promised any more may have come back, and metadata takes what is not measured
        // before somebody looks.
        if self.commit_for_room
            && let Some(reserved) = self.reserve_anew(metadata, &reserve)
        {
            return Ok(Some(reserved));
        }
        // What is dirty may need less room than was promised to it; what was overwritten or
        // truncated has come back; and some comes back with a commit only.
        for inode in self.all_loaded() {
            self.start_writeback(&inode, WHOLE_FILE, SyncMode::All);
        }
        let _ = self.queue.drain();
        self.writer.drain();
        if let Some(reserved) = self.reserve_anew(metadata, &reserve) {
            return Ok(Some(reserved));
        }
        if !self.commit_for_room {
            return Ok(None);
        }
        self.commit()?;
        Ok(self.reserve_anew(metadata, &reserve))
    }

    /// Keeps space for holes once more, as it was promised. The caller has the books alone.
    pub(crate) fn preallocate_again(
        &self,
        id: InodeId,
        holes: &[Range<u64>],
        mut promised: Reservation,
    ) {
        for hole in holes {
            let (mut at, mut most) = (hole.start, u64::MAX);
            while at < hole.end {
                let len = (hole.end - at).min(most);
                let Ok(place) = self.volume.allocate(len) else {
                    // There may be room for it in smaller parts.
                    if len <= PAGE_SIZE {
                        break;
                    }
                    most = (len / 2).next_multiple_of(PAGE_SIZE);
                    continue;
                };
                let part = promised.split(len, 0);
                match self.volume.preallocate(id, at..at + len, place) {
                    Ok(()) => part.allocate(len).commit(),
                    Err(_) => self.volume.release(place, len),
                }
                at += len;
            }
        }
    }

    /// Cuts a file at `size`: stores that, drops the extents behind it, which are on whole pages, and
    /// what is cached. Nothing is on its way there, and no writer comes.
    ///
    /// The size first: a commit in between leaves extents behind the end, which nobody sees, and not
    /// a file with zeroes that it never had. What fails leaves the file as it is.
    pub(crate) fn cut(&self, inode: &Inode, size: u64, behind: Range<u64>) -> Result<(), Error> {
        // Until the end: who stores attributes meanwhile would store the size of before, and who reads
        // would find holes before an end that is still the old one.
        let _attrs = self.attrs.lock();
        let _held_off = inode.mapping.hold_off(behind.clone());
        let (id, volume) = (inode.id, &self.volume);
        let stored = volume.attrs(id).and_then(|mut attrs| {
            attrs.size = attrs.size.min(size);
            volume.put_attrs(id, &attrs)
        });
        let cut = stored
            .map_err(Error::volume("storing an inode"))
            .and_then(|()| {
                let dropped = volume.drop_extents(id, behind);
                dropped.map_err(Error::volume("truncating"))
            });
        inode.touch();
        cut?;
        inode.mapping.truncate(size);
        inode.cut_at(size);
        Ok(())
    }

    /// Tells the ledger what the volume has, of which so many bytes of metadata will be wanted. The
    /// caller has the books alone.
    pub(crate) fn count_anew(&self, metadata: u64) {
        let data = self.ledger.counters(Space::Data).bytes_may_use;
        if self.counts_metadata() {
            let counters = self.ledger.counters(Space::Metadata);
            // Nobody has the metadata that is promised yet, so that it is among what is there.
            let wanted = counters.bytes_may_use.saturating_add(metadata);
            let there = self.volume.metadata_available(wanted, data);
            let capacity = counters.bytes_used.saturating_add(there);
            self.ledger.set_capacity(Space::Metadata, capacity);
        }
        let counters = self.ledger.counters(Space::Data);
        let taken = counters.bytes_reserved.saturating_add(counters.bytes_used);
        let capacity = taken.saturating_add(self.volume.data_available());
        self.ledger.set_capacity(Space::Data, capacity);
    }

    fn counts_metadata(&self) -> bool {
        self.commit_for_room && self.limits.metadata_per_extent > 0
    }

    /// Counts metadata that was promised as used up, until what the volume has is counted anew: who
    /// made it gives the promise back behind this.
    pub(crate) fn made_metadata(&self, bytes: u64) {
        if self.counts_metadata() {
            self.ledger.add_used(Space::Metadata, bytes);
        }
    }

    /// The same for the extents that a range may become.
    pub(crate) fn made_extents(&self, range: &Range<u64>) {
        let windows = (range.end - range.start).div_ceil(FOLIO_SIZE);
        self.made_metadata(self.ledger.metadata_for(windows));
    }

    pub(crate) fn commit(&self) -> Result<(), Error> {
        add(&self.counters.commits, 1);
        let _whole = self.whole.write();
        let committed = self.volume.commit();
        if committed.is_err() && self.volume.limits().read_only {
            self.failed.store(true, Ordering::Relaxed);
        }
        committed.map_err(Error::volume("committing"))
    }

    /// Makes a change that adds about so many bytes of metadata, and leaves room for what is promised to
    /// others. As [`Self::with_room`].
    pub(crate) fn with_promise<T>(
        self: &Arc<Self>,
        bytes: u64,
        change: impl FnMut() -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.will_change(bytes);
        if !self.counts_metadata() {
            return self.with_room(change);
        }
        // Leaves may be half empty.
        let per_extent = self.ledger.metadata_for(1);
        let extents = bytes.saturating_mul(2).div_ceil(per_extent);
        let metadata = self.ledger.metadata_for(extents);
        let reserve = || self.ledger.reserve(0, extents).ok();
        let Some(promised) = self.reserve_by_all_means(metadata, reserve)? else {
            return Err(self.no_metadata(metadata));
        };
        let done = self.with_room(change);
        self.made_metadata(metadata);
        drop(promised);
        done
    }

    pub(crate) fn no_metadata(&self, wanted: u64) -> Error {
        let available = self.ledger.available(Space::Metadata);
        let why = format!("{wanted} bytes of metadata wanted, {available} available");
        Error::volume("reserving space")(VolumeError::new(VolumeErrorKind::NoSpace, why))
    }

    /// Tries a change of metadata again after a commit if there is no room for it: then it is known what
    /// the changes before really take. The caller has no lock but that of a
    /// range.
    pub(crate) fn with_room<T>(
        &self,
        mut change: impl FnMut() -> Result<T, Error>,
    ) -> Result<T, Error> {
        match change() {
            Err(error) if self.commit_for_room && error.kind() == ErrorKind::NoSpace => {
                self.commit()?;
                change()
            }
            done => done,
        }
    }

    /// The same for what the volume is asked by who writes back.
    pub(crate) fn volume_with_room<T>(
        &self,
        mut change: impl FnMut() -> VolumeResult<T>,
    ) -> VolumeResult<T> {
        match change() {
            Err(error) if self.commit_for_room && error.kind() == VolumeErrorKind::NoSpace => {
                // Why it failed says what is asked again.
                let _ = self.commit();
                change()
            }
            done => done,
        }
    }

    /// Something of it became dirty: its age begins, if anybody asks for that.
    pub(crate) fn grows_old(&self, inode: &Inode) {
        if self.flusher.background.is_some() && inode.dirty_since.load(Ordering::Relaxed) == 0 {
            let now = self.flusher.now_ms();
            inode.dirty_since.store(now, Ordering::Relaxed);
        }
    }

    /// A handle's share of the inode's state in memory, which is made if there is none.
    pub(crate) fn open(&self, id: InodeId) -> Result<Arc<Inode>, Error> {
        let mut inodes = self.inodes.lock();
        let inode = match inodes.entry(id) {
            // It has no name and nobody has it open: it is emptied, and waits for what is on its way.
            Entry::Occupied(there) if there.get().is_gone() => {
                let why = VolumeError::new(VolumeErrorKind::NotFound, "it was removed");
                return Err(Error::volume("opening")(why));
            }
            Entry::Occupied(there) => Arc::clone(there.get()),
            Entry::Vacant(free) => Arc::clone(free.insert(self.load(id)?)),
        };
        inode.parting.store(false, Ordering::Relaxed);
        inode.opens.fetch_add(1, Ordering::Relaxed);
        // Those that nobody has open any more must not be without bound.
        let crowded = inodes.len() >= 1024 && inodes.len().is_power_of_two();
        drop(inodes);
        if crowded {
            self.forget_idle(false);
        }
        Ok(inode)
    }

    fn load(&self, id: InodeId) -> Result<Arc<Inode>, Error> {
        let attrs = self.volume.attrs(id).map_err(Error::volume("opening"))?;
        if attrs.file_type != FileType::Regular {
            return Err(Error::WrongType {
                id,
                what: "not a regular file",
            });
        }
        let policy = self.volume.policy(id);
        let policy = policy.map_err(Error::volume("reading a policy"))?;
        let policy = policy.unwrap_or(self.policy);
        let (cache, ledger) = (&self.cache, &self.ledger);
        let inode = Inode::new(id, attrs.size, policy, cache, ledger);
        // It has extents, or space for some, which content in the tree must not be put beside.
        let sector = u64::from(self.limits.sector_size);
        let beside = match attrs.nbytes == attrs.size && attrs.size == sector {
            // All of it, or space elsewhere.
            true => !self.is_in_tree(id)?,
            false => attrs.nbytes > attrs.size,
        };
        inode.no_inline.store(beside, Ordering::Relaxed);
        inode.lost_tail.store(attrs.nbytes > 0, Ordering::Relaxed);
        Ok(inode)
    }

    /// Whether the volume has content of a file in the tree.
    pub(crate) fn is_in_tree(&self, id: InodeId) -> Result<bool, Error> {
        let maps = self.volume.extent_maps(id, 0..PAGE_SIZE);
        let maps = maps.map_err(Error::volume("looking extents up"))?;
        let inline = |kind: &ExtentKind<_>| matches!(kind, ExtentKind::Inline { .. });
        Ok(maps.iter().any(|map| inline(&map.kind)))
    }

    /// A handle goes.
    pub(crate) fn close(&self, inode: &Inode) {
        let inodes = self.inodes.lock();
        let last = inode.opens.fetch_sub(1, Ordering::Relaxed) == 1;
        drop(inodes);
        if last {
            self.let_go(inode);
        }
    }

    pub(crate) fn loaded(&self, id: InodeId) -> Option<Arc<Inode>> {
        self.inodes.lock().get(&id).cloned()
    }

    /// All inodes in memory. The order of writeback must not depend on a hash.
    pub(crate) fn all_loaded(&self) -> Vec<Arc<Inode>> {
        let mut inodes: Vec<_> = self.inodes.lock().values().cloned().collect();
        inodes.sort_by_key(|inode| inode.id);
        inodes
    }

    /// Lets go of an inode if that is wanted, nobody has it open, and all of it is on the device;
    /// frees it if it has no name. Called by whoever ends something of it.
    ///
    /// Under the table's lock, so that nobody can open it meanwhile and make it larger than what
    /// was written.
    pub(crate) fn let_go(&self, inode: &Inode) {
        if !inode.unlinked.load(Ordering::Acquire) && !inode.parting.load(Ordering::Relaxed) {
            return;
        }
        let mut inodes = self.inodes.lock();
        let unlinked = inode.unlinked.load(Ordering::Acquire);
        let listed = inodes
            .get(&inode.id)
            .is_some_and(|listed| std::ptr::eq(&**listed, inode));
        if !listed || inode.opens.load(Ordering::Relaxed) > 0 {
            return;
        }
        if unlinked {
            // What is dirty will never be wanted; what is on its way ends here again.
            inode.mapping.truncate(0);
            inode.delalloc.discard(0..u64::MAX).ignore();
            let still_busy = !inode.delalloc.is_settled() || !inode.ordered.is_empty();
            if still_busy {
                return;
            }
            self.free(inode.id);
        } else if !inode.is_settled() || self.store_attrs(inode, &inode.reach()).is_err() {
            return;
        }
        let gone = inodes.remove(&inode.id);
        drop(inodes);
        drop(gone);
    }

    /// Frees an inode that has no name. Nobody can be told if that fails: the name is gone.
    pub(crate) fn free(&self, id: InodeId) {
        if let Err(error) = self.volume.free_inode(id) {
            let error = error.to_string();
            tracing::warn!(inode = id.ino, error, "stays an orphan");
            add(&self.counters.orphans_left, 1);
        }
    }

    /// Lets go of inodes that nobody has open and that have nothing on its way; `whatever_is_cached`
    /// of them, or only those of which nothing is.
    pub(crate) fn forget_idle(&self, whatever_is_cached: bool) {
        let mut inodes = self.inodes.lock();
        // Attributes that are about to be stored are not dirty, and not stored either.
        let attrs = self.attrs.lock();
        let idle: Vec<_> = inodes
            .extract_if(|_, inode| {
                inode.opens.load(Ordering::Relaxed) == 0
                    && inode.is_settled()
                    && !inode.unlinked.load(Ordering::Acquire)
                    && !inode.attrs_dirty.load(Ordering::Acquire)
                    && (whatever_is_cached || inode.mapping.is_empty())
            })
            .collect();
        drop((attrs, inodes));
        drop(idle);
    }

    /// Stores the size of an inode: a smaller one than before, or up to `written`, before which
    /// everything has been on the device at least once. The rest waits until that can be said of it.
    pub(crate) fn store_attrs(&self, inode: &Inode, written: &Reach) -> Result<(), Error> {
        // Whoever comes second finds it stored, and not only about to be.
        let _attrs = self.attrs.lock();
        // What has no name goes with its last handle, and may have gone already.
        let unlinked = inode.unlinked.load(Ordering::Relaxed);
        if unlinked || !inode.attrs_dirty.swap(false, Ordering::AcqRel) {
            return Ok(());
        }
        let stored = (|| {
            let mut attrs = self.volume.attrs(inode.id)?;
            let size = inode.size();
            attrs.size = size.min(attrs.size.max(written.end()));
            if attrs.size < size {
                inode.touch();
            }
            self.volume.put_attrs(inode.id, &attrs)
        })();
        stored.map_err(|error| {
            inode.touch();
            Error::volume("storing an inode")(error)
        })
    }
}
