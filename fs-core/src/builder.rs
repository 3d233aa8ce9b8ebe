//! Putting a filesystem together.

use std::collections::HashMap;

use compress::{Registry, Workspaces};
use delalloc::{Limits, SpaceLedger};
use ordered_wq::{Budget, OrderedQueue, Pool};
use pagecache::{Cache, PAGE_SIZE};
use readpath::{Decode, ReadPath};

use crate::error::Error;
use crate::filesystem::Filesystem;
use crate::flusher::{Background, Flusher};
use crate::pipeline_trace::{PipelineEvent, PipelineObserver};
use crate::policy::{Compression, Policy};
use crate::read::{PoolThreads, VolumeDisk};
use crate::shared::Shared;
use crate::stats::Counters;
use crate::sync::{Arc, AtomicBool, AtomicU64, Mutex, RwLock, thread};
use crate::volume::{Volume, VolumeLimits};
use crate::writeback::MAX_CLAIM;
use crate::writer::Writer;

/// The smallest byte budgets that keep the pipeline going.
const MIN_QUEUE: u64 = 2 * MAX_CLAIM;
const MIN_CACHE: u64 = 2 * MAX_CLAIM;

/// Builds a [`Filesystem`].
#[must_use]
pub struct Builder<V: Volume> {
    volume: V,
    threads: usize,
    cache_bytes: u64,
    queue_bytes: u64,
    policy: Policy,
    background: Option<Background>,
    commit_for_room: bool,
    codecs: Registry,
    observer: Option<PipelineObserver>,
}

impl<V: Volume> Builder<V> {
    pub(crate) fn new(volume: V) -> Self {
        Self {
            volume,
            threads: thread::available_parallelism().map_or(1, usize::from),
            cache_bytes: 64 << 20,
            queue_bytes: 32 << 20,
            policy: Policy::Never,
            background: None,
            commit_for_room: true,
            codecs: Registry::btrfs(),
            observer: None,
        }
    }

    /// Threads that compress and decompress; as many as there are processors by default. Whoever
    /// waits for room or for data is one of them and lends a hand, so the pool has one fewer, but
    /// at least one.
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = threads.max(1);
        self
    }

    /// Bytes of the page cache, 64 MiB by default, 8 MiB at least.
    pub fn cache_bytes(mut self, bytes: u64) -> Self {
        self.cache_bytes = bytes.max(MIN_CACHE);
        self
    }

    /// Bytes that may be on their way from the cache to the device, 32 MiB by default, 8 MiB at
    /// least.
    pub fn queue_bytes(mut self, bytes: u64) -> Self {
        self.queue_bytes = bytes.max(MIN_QUEUE);
        self
    }

    /// How to compress what is written, always trying; not at all by default.
    pub fn compression(self, compression: Option<Compression>) -> Self {
        self.policy(compression.map_or(Policy::Never, Policy::Always))
    }

    /// Whether and how to compress what is written to files that have no policy of their own;
    /// [`Policy::Never`] by default.
    pub fn policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// When to write back without being asked; by default only when the cache has no room, or as
    /// much of a file goes by as one claim takes, so that what is written depends on the calls
    /// alone.
    pub fn background(mut self, background: Option<Background>) -> Self {
        self.background = background;
        self
    }

    /// Whether room is looked for by all means, as it is by default: metadata is promised to what is
    /// dirty, as data is, and what there is no room for is tried again after a commit. When there is
    /// room depends on what has reached the volume so far. Where the same calls must make the same
    /// volume, they do so only without that; then a volume whose metadata has no room says so at
    /// writeback.
    pub fn commit_for_room(mut self, commit: bool) -> Self {
        self.commit_for_room = commit;
        self
    }

    /// The codecs there are; btrfs's own by default.
    pub fn codecs(mut self, codecs: Registry) -> Self {
        self.codecs = codecs;
        self
    }

    /// Shows every step of every write to `observer`.
    pub fn observe(mut self, observer: impl Fn(&PipelineEvent) + Send + Sync + 'static) -> Self {
        self.observer = Some(Arc::new(observer));
        self
    }

    /// The filesystem.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if the codec is not registered, the volume cannot store it, it can be written and
    /// has other sectors than pages, or a thread cannot be started.
    pub fn build(self) -> Result<Filesystem<V>, Error> {
        let limits = self.volume.limits();
        check_policy(self.policy, &self.codecs, &limits)?;
        // Dirty data is of whole pages, and nobody rounds it to anything else.
        if !limits.read_only && u64::from(limits.sector_size) != PAGE_SIZE {
            let size = limits.sector_size;
            let why = format!("sectors of {size} bytes can be read only");
            return Err(Error::Config(why));
        }
        let threads = |error: &dyn std::fmt::Display| Error::Config(error.to_string());
        let workers = self.threads.saturating_sub(1).max(1);
        let pool = Pool::try_new(workers).map_err(|e| threads(&e))?;
        let ledger = SpaceLedger::new(match self.commit_for_room {
            true => Limits {
                // First: what is set aside for metadata is not there for data.
                metadata: self.volume.metadata_available(0, 0),
                metadata_per_extent: limits.metadata_per_extent.into(),
                data: self.volume.data_available(),
                global_reserve: 0,
            },
            false => Limits {
                data: self.volume.data_available(),
                ..Limits::UNLIMITED
            },
        });
        let volume = Arc::new(self.volume);
        let workspaces = Arc::new(Workspaces::new(self.codecs, self.threads + 1));
        let shared = Shared {
            queue: OrderedQueue::of_one_type(&pool),
            writer: Writer::start().map_err(|e| threads(&e))?,
            ledger,
            cache: Cache::new(self.cache_bytes),
            budget: Budget::new(self.queue_bytes),
            policy: self.policy,
            inodes: Mutex::new(HashMap::default()),
            attrs: Mutex::new(()),
            raw_run: Mutex::new(None),
            counters: Counters::default(),
            observer: self.observer,
            metadata_due: AtomicU64::new(0),
            claims: AtomicU64::new(0),
            books: RwLock::new(()),
            commit_for_room: self.commit_for_room,
            whole: RwLock::new(()),
            failed: AtomicBool::new(false),
            flusher: Flusher::new(self.background),
            reads: ReadPath::new(
                Arc::new(VolumeDisk::new(&volume, limits.sector_size)),
                Arc::clone(&workspaces) as Arc<dyn Decode>,
                Arc::new(PoolThreads(pool)),
            ),
            limits,
            workspaces,
            volume,
        };
        let shared = Arc::new(shared);
        Flusher::start(&shared).map_err(|e| threads(&e))?;
        Ok(Filesystem::new(shared))
    }
}

/// Whether files can be written that way.
pub(crate) fn check_policy(
    policy: Policy,
    codecs: &Registry,
    limits: &VolumeLimits,
) -> Result<(), Error> {
    let Some(how) = policy.compression() else {
        return Ok(());
    };
    let id = how.codec.0;
    let Some(codec) = codecs.get(how.codec) else {
        return Err(Error::Config(format!("no codec has the id {id}")));
    };
    if !limits.codecs.contains(&how.codec) {
        return Err(Error::Config(format!(
            "the volume cannot store what codec {id} makes"
        )));
    }
    let levels = codec.levels();
    if !levels.contains(&how.level) {
        return Err(Error::Config(format!(
            "{} has levels {} to {}, not {}",
            codec.name(),
            levels.start(),
            levels.end(),
            how.level
        )));
    }
    Ok(())
}
