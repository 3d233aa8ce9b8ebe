//! The filesystem: names, attributes, and the moments at which everything is made to last.

use bytes::Bytes;
use delalloc::{SyncMode, Until};
use pagecache::{PAGE_SIZE, Stats as CacheStats};
use readpath::Stats as ReadStats;

use crate::builder::Builder;
use crate::builder::check_policy;
use crate::error::Error;
use crate::file::File;
use crate::flusher::Flusher;
use crate::policy::Policy;
use crate::shared::Shared;
use crate::stats::{Stats, add};
use crate::sync::{Arc, Duration, Ordering, thread};
use crate::volume::{
    Attrs, DirEntry, FileType, InodeId, NewInode, Timestamp, Unlinked, Volume, XattrSet,
};
use crate::writeback::WHOLE_FILE;

/// Bytes of metadata after which [`Filesystem::commit_if_due`] commits. A constant, so that where
/// commits fall depends on the operations alone.
const COMMIT_EVERY: u64 = 24 << 20;

/// A filesystem on a volume. Clones are handles of the same one.
pub struct Filesystem<V: Volume> {
    shared: Arc<Shared<V>>,
}

impl<V: Volume> Clone for Filesystem<V> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
        }
    }
}

/// Attributes to change; `None` leaves one as it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SetAttrs {
    /// Permission bits with setuid, setgid and sticky.
    pub mode: Option<u32>,
    /// Owner.
    pub uid: Option<u32>,
    /// Group.
    pub gid: Option<u32>,
    /// Last access.
    pub atime: Option<Timestamp>,
    /// Last change of the content.
    pub mtime: Option<Timestamp>,
    /// Last change of the inode.
    pub ctime: Option<Timestamp>,
    /// Creation.
    pub otime: Option<Timestamp>,
}

impl<V: Volume> Filesystem<V> {
    /// Starts building one on `volume`.
    pub fn builder(volume: V) -> Builder<V> {
        Builder::new(volume)
    }

    pub(crate) fn new(shared: Arc<Shared<V>>) -> Self {
        Self { shared }
    }

    /// The volume.
    #[must_use]
    pub fn volume(&self) -> &V {
        &self.shared.volume
    }

    /// The volume back, if this is the last handle and no file is open. What is dirty is lost; see
    /// [`Filesystem::unmount`].
    #[must_use]
    pub fn into_volume(self) -> Option<V> {
        let volume = Arc::clone(&self.shared.volume);
        // What is on its way holds handles of its own.
        self.shared.flusher.stop();
        let _ = self.shared.queue.drain();
        self.shared.writer.drain();
        self.shared.reads.quiesce();
        let others = Arc::downgrade(&self.shared);
        let Some(shared) = the_last(self.shared) else {
            if let Some(shared) = others.upgrade() {
                // They go on, and their data ages.
                let _ = Flusher::start(&shared);
            }
            return None;
        };
        drop(shared);
        the_last(volume)
    }

    /// The root directory.
    #[must_use]
    pub fn root(&self) -> InodeId {
        self.shared.volume.root()
    }

    /// What has been done so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let cache = self.shared.cache.stats();
        Stats {
            budget_waits: self.shared.budget.waited(),
            readahead_pages: cache.readahead_pages,
            readahead_hits: cache.readahead_hits,
            readahead_wasted: cache.readahead_wasted,
            ..self.shared.counters.snapshot()
        }
    }

    /// Evicts everything clean from the cache, as far as nobody holds it, and returns how many bytes
    /// that were.
    pub fn drop_caches(&self) -> u64 {
        self.shared.cache.reclaim(u64::MAX)
    }

    /// Bytes of memory that the cache holds, its byte budget, and how much of them is dirty or on
    /// its way.
    #[must_use]
    pub fn cache_stats(&self) -> CacheStats {
        self.shared.cache.stats()
    }

    /// What has been read so far.
    #[must_use]
    pub fn read_stats(&self) -> ReadStats {
        self.shared.reads.stats()
    }

    /// The inode that `name` leads to.
    ///
    /// # Errors
    ///
    /// Those of the volume.
    pub fn lookup(&self, dir: InodeId, name: &[u8]) -> Result<Option<InodeId>, Error> {
        let found = self.shared.volume.lookup(dir, name);
        found.map_err(Error::volume("looking a name up"))
    }

    /// Entries of a directory; see [`Namespace::read_dir`](crate::Namespace::read_dir).
    ///
    /// # Errors
    ///
    /// Those of the volume.
    pub fn read_dir(&self, dir: InodeId, after: u64, max: usize) -> Result<Vec<DirEntry>, Error> {
        let entries = self.shared.volume.read_dir(dir, after, max);
        entries.map_err(Error::volume("reading a directory"))
    }

    /// The attributes, with the size that writers have given the file meanwhile, and with the bytes that
    /// are dirty or on their way.
    ///
    /// # Errors
    ///
    /// Those of the volume.
    pub fn attrs(&self, id: InodeId) -> Result<Attrs, Error> {
        // First what is in memory: it may go, and then the volume has it.
        let loaded = self.shared.loaded(id);
        let unstored = loaded.as_ref();
        let unstored = unstored.map_or(0, |inode| inode.unstored_bytes(WHOLE_FILE));
        let attrs = self.shared.volume.attrs(id);
        let mut attrs = attrs.map_err(Error::volume("reading an inode"))?;
        if let Some(inode) = loaded {
            attrs.size = inode.size();
            // A file that seems to take no room is taken for one hole by who copies it. What is
            // overwritten is not known: no more than all of it.
            let most = attrs.size.next_multiple_of(PAGE_SIZE);
            let both = attrs.nbytes.saturating_add(unstored).min(most);
            attrs.nbytes = attrs.nbytes.max(both);
        }
        Ok(attrs)
    }

    /// Changes attributes.
    ///
    /// # Errors
    ///
    /// Those of the volume.
    pub fn set_attrs(&self, id: InodeId, set: &SetAttrs) -> Result<(), Error> {
        self.shared.will_change(200);
        self.shared.with_room(|| self.try_set_attrs(id, set))
    }

    fn try_set_attrs(&self, id: InodeId, set: &SetAttrs) -> Result<(), Error> {
        let volume = &self.shared.volume;
        let _attrs = self.shared.attrs.lock();
        let changed = volume.attrs(id).and_then(|mut attrs| {
            attrs.mode = set.mode.unwrap_or(attrs.mode);
            attrs.uid = set.uid.unwrap_or(attrs.uid);
            attrs.gid = set.gid.unwrap_or(attrs.gid);
            attrs.atime = set.atime.unwrap_or(attrs.atime);
            attrs.mtime = set.mtime.unwrap_or(attrs.mtime);
            attrs.ctime = set.ctime.unwrap_or(attrs.ctime);
            attrs.otime = set.otime.unwrap_or(attrs.otime);
            volume.put_attrs(id, &attrs)
        });
        changed.map_err(Error::volume("changing an inode"))
    }

    /// Makes an inode.
    ///
    /// # Errors
    ///
    /// Those of the volume.
    pub fn create(&self, dir: InodeId, name: &[u8], new: &NewInode) -> Result<InodeId, Error> {
        let bytes = 600 + 2 * name.len() as u64 + new.symlink_target.len() as u64;
        self.shared
            .with_promise(bytes, || self.try_create(dir, name, new))
    }

    fn try_create(&self, dir: InodeId, name: &[u8], new: &NewInode) -> Result<InodeId, Error> {
        let volume = &self.shared.volume;
        let inherits = matches!(new.file_type, FileType::Regular | FileType::Directory);
        let inherited = match inherits {
            true => volume.policy(dir),
            // There is nothing to compress.
            false => Ok(None),
        };
        let inherited = inherited.map_err(Error::volume("reading a policy"))?;
        // Not the name in one commit, and the policy in the next.
        let _whole = inherited.map(|_| self.shared.whole.read());
        // The directory's times change along.
        let attrs = self.shared.attrs.lock();
        let created = volume.create(dir, name, new);
        drop(attrs);
        let id = created.map_err(Error::volume("creating an inode"))?;
        if inherited.is_some()
            && let Err(error) = volume.put_policy(id, inherited)
        {
            // All of it or nothing, as far as that goes.
            let undone = volume.unlink(dir, name);
            let _ = undone.and_then(|_| volume.free_inode(id));
            return Err(Error::volume("setting a policy")(error));
        }
        Ok(id)
    }

    /// Removes a name. If that was the last one, the inode goes with the last handle of it, and what
    /// of it is dirty is never written. An empty directory is removed alike.
    ///
    /// # Errors
    ///
    /// Those of the volume: [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) and
    /// [`ErrorKind::NotEmpty`](crate::ErrorKind::NotEmpty) among them.
    pub fn unlink(&self, dir: InodeId, name: &[u8]) -> Result<(), Error> {
        let _span = tracing::debug_span!("unlink", dir = dir.ino).entered();
        self.shared.will_change(600 + 2 * name.len() as u64);
        self.shared.with_room(|| self.try_unlink(dir, name))
    }

    fn try_unlink(&self, dir: InodeId, name: &[u8]) -> Result<(), Error> {
        let shared = &self.shared;
        // Under the table's lock, so that nobody opens what is being freed; and until that is done
        // nothing is made in a directory that has no name.
        let inodes = shared.inodes.lock();
        let attrs = shared.attrs.lock();
        let unlinked = shared.volume.unlink(dir, name);
        let Unlinked { id, last } = unlinked.map_err(Error::volume("removing a name"))?;
        if !last {
            return Ok(());
        }
        let Some(inode) = inodes.get(&id).cloned() else {
            // The name is gone, whatever comes of this.
            shared.free(id);
            return Ok(());
        };
        inode.unlinked.store(true, Ordering::Release);
        drop((attrs, inodes));
        shared.let_go(&inode);
        Ok(())
    }

    /// Whether and how a file is compressed; of a directory, what its new entries inherit. `None`:
    /// as the filesystem is built.
    ///
    /// # Errors
    ///
    /// Those of the volume.
    pub fn policy(&self, id: InodeId) -> Result<Option<Policy>, Error> {
        let policy = self.shared.volume.policy(id);
        policy.map_err(Error::volume("reading a policy"))
    }

    /// Sets that, for what is written back from now on.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if the codec is not registered, has no such level, or the volume cannot
    /// store it; those of the volume.
    pub fn set_policy(&self, id: InodeId, policy: Option<Policy>) -> Result<(), Error> {
        let shared = &self.shared;
        if let Some(policy) = policy {
            check_policy(policy, shared.workspaces.registry(), &shared.limits)?;
        }
        shared.will_change(200);
        // Under the table's lock, so that memory and volume have that of the same call.
        let inodes = shared.inodes.lock();
        let put = shared.volume.put_policy(id, policy);
        put.map_err(Error::volume("setting a policy"))?;
        if let Some(inode) = inodes.get(&id) {
            *inode.policy.lock() = policy.unwrap_or(shared.policy);
        }
        Ok(())
    }

    /// Gives an inode another name.
    ///
    /// # Errors
    ///
    /// Those of the volume.
    pub fn link(&self, id: InodeId, dir: InodeId, name: &[u8]) -> Result<(), Error> {
        // Four items, and an inode that may be of a commit long ago, whose leaf is copied.
        let bytes = 1200 + 3 * name.len() as u64;
        self.shared.with_promise(bytes, || {
            let _attrs = self.shared.attrs.lock();
            let linked = self.shared.volume.link(id, dir, name);
            linked.map_err(Error::volume("linking"))
        })
    }

    /// Where a symlink leads.
    ///
    /// # Errors
    ///
    /// Those of the volume.
    pub fn read_link(&self, id: InodeId) -> Result<Bytes, Error> {
        let target = self.shared.volume.read_link(id);
        target.map_err(Error::volume("reading a symlink"))
    }

    /// All extended attributes.
    ///
    /// # Errors
    ///
    /// Those of the volume.
    pub fn xattrs(&self, id: InodeId) -> Result<XattrSet, Error> {
        let all = self.shared.volume.xattrs(id);
        all.map_err(Error::volume("reading extended attributes"))
    }

    /// Sets an extended attribute.
    ///
    /// # Errors
    ///
    /// Those of the volume.
    pub fn set_xattr(&self, id: InodeId, name: &[u8], value: &[u8]) -> Result<(), Error> {
        let bytes = 100 + (name.len() + value.len()) as u64;
        self.shared.with_promise(bytes, || {
            let set = self.shared.volume.set_xattr(id, name, value);
            set.map_err(Error::volume("setting an extended attribute"))
        })
    }

    /// Opens a regular file.
    ///
    /// # Errors
    ///
    /// [`Error::WrongType`], and those of the volume.
    pub fn open(&self, id: InodeId) -> Result<File<V>, Error> {
        let inode = self.shared.open(id)?;
        Ok(File::new(Arc::clone(&self.shared), inode))
    }

    /// Makes everything written so far durable.
    ///
    /// # Errors
    ///
    /// The first failure of writeback that nobody was told of yet, or that of the commit. Everything
    /// that could be written is written nevertheless.
    pub fn sync(&self) -> Result<(), Error> {
        let _span = tracing::debug_span!("sync").entered();
        let shared = &self.shared;
        let inodes = shared.all_loaded();
        let reaches: Vec<_> = inodes.iter().map(|inode| inode.reach()).collect();
        for inode in &inodes {
            shared.start_writeback(inode, WHOLE_FILE, SyncMode::None);
        }
        let drained = shared.queue.drain();
        shared.writer.drain();
        let mut result = drained.map_err(|error| Error::Config(error.to_string()));
        for (inode, reach) in inodes.iter().zip(reaches) {
            shared.wait_range(inode, WHOLE_FILE, Until::Written);
            let stored = shared.with_room(|| shared.store_attrs(inode, &reach));
            // One at a time: what is told together is told of one only.
            if result.is_ok() {
                result = inode.failures.lock().check_untold(inode.id);
            }
            result = result.and(stored);
        }
        // What was redirtied meanwhile went through the queue once more.
        let drained = shared.queue.drain();
        shared.writer.drain();
        result = result.and(drained.map_err(|error| Error::Config(error.to_string())));
        drop(inodes);
        shared.forget_idle(true);
        let committed = shared.commit();
        shared.metadata_due.store(0, Ordering::Relaxed);
        result.and(committed)
    }

    /// Commits if enough has been done since the last commit. Call it between files: it bounds the
    /// metadata in memory, and falls on the same operation whenever the operations are the same.
    ///
    /// # Errors
    ///
    /// As [`Filesystem::sync`].
    pub fn commit_if_due(&self) -> Result<(), Error> {
        if self.shared.metadata_due.load(Ordering::Relaxed) >= COMMIT_EVERY {
            return self.sync();
        }
        Ok(())
    }

    /// Syncs, and asserts that nothing is left on its way.
    ///
    /// # Errors
    ///
    /// As [`Filesystem::sync`]; [`Error::NotIdle`] names what was left.
    pub fn unmount(self) -> Result<(), Error> {
        self.sync()?;
        // What was read ahead and nobody waited for.
        self.shared.reads.quiesce();
        self.check_idle()
    }

    /// Whether nothing is dirty, locked, in flight, ordered, reserved or queued.
    ///
    /// # Errors
    ///
    /// [`Error::NotIdle`] names what is not idle.
    pub fn check_idle(&self) -> Result<(), Error> {
        let shared = &self.shared;
        let mut left = Vec::new();
        if !shared.ledger.is_settled() {
            left.push("space is reserved".to_owned());
        }
        if shared.queue.unfinished() > 0 {
            left.push(format!("{} pieces are queued", shared.queue.unfinished()));
        }
        if !shared.reads.is_idle() {
            left.push("something is being read".to_owned());
        }
        let cache = shared.cache.stats();
        if cache.dirty > 0 || cache.writeback > 0 {
            left.push(format!(
                "{} bytes are dirty, {} under writeback",
                cache.dirty, cache.writeback
            ));
        }
        for inode in shared.inodes.lock().values() {
            if !inode.delalloc.is_settled() || !inode.ordered.is_empty() {
                left.push(format!("inode {} is {:?}", inode.id.ino, inode.delalloc));
            }
        }
        if left.is_empty() {
            return Ok(());
        }
        Err(Error::NotIdle(left.join("; ")))
    }
}

/// What nobody else has, or will have in a moment: a thread that ends something lets go of it after
/// it said so.
fn the_last<T>(mut shared: Arc<T>) -> Option<T> {
    for _ in 0..1000 {
        shared = match Arc::try_unwrap(shared) {
            Ok(it) => return Some(it),
            Err(shared) => shared,
        };
        thread::sleep(Duration::from_millis(1));
    }
    None
}

impl<V: Volume> Shared<V> {
    pub(crate) fn will_change(&self, metadata_bytes: u64) {
        add(&self.metadata_due, metadata_bytes);
    }
}
