//! Putting a filesystem together.

use std::collections::HashMap;

use compress::{Registry, Workspaces};
use delalloc::{Limits, SpaceLedger};
use ordered_wq::{Budget, OrderedQueue, Pool};
use pagecache::Cache;
use readpath::{Decode, ReadPath};

use crate::error::Error;
use crate::filesystem::Filesystem;
use crate::pipeline_trace::{PipelineEvent, PipelineObserver};
use crate::policy::Compression;
use crate::read::{PoolThreads, VolumeDisk};
use crate::shared::Shared;
use crate::stats::Counters;
use crate::sync::{Arc, AtomicU64, Mutex, thread};
use crate::volume::Volume;
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
    compression: Option<Compression>,
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
            compression: None,
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

    /// How to compress what is written; not at all by default.
    pub fn compression(mut self, compression: Option<Compression>) -> Self {
        self.compression = compression;
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
    /// [`Error::Config`] if the codec is not registered, the volume cannot store it, or a thread
    /// cannot be started.
    pub fn build(self) -> Result<Filesystem<V>, Error> {
        let limits = self.volume.limits();
        if let Some(how) = self.compression {
            if self.codecs.get(how.codec).is_none() {
                return Err(Error::Config(format!(
                    "no codec has the id {}",
                    how.codec.0
                )));
            }
            if !limits.codecs.contains(&how.codec) {
                return Err(Error::Config(format!(
                    "the volume cannot store what codec {} makes",
                    how.codec.0
                )));
            }
        }
        let threads = |error: &dyn std::fmt::Display| Error::Config(error.to_string());
        let workers = self.threads.saturating_sub(1).max(1);
        let pool = Pool::try_new(workers).map_err(|e| threads(&e))?;
        let ledger = SpaceLedger::new(Limits {
            data: self.volume.data_available(),
            ..Limits::UNLIMITED
        });
        let volume = Arc::new(self.volume);
        let workspaces = Arc::new(Workspaces::new(self.codecs, self.threads + 1));
        let shared = Shared {
            queue: OrderedQueue::new(&pool),
            writer: Writer::start().map_err(|e| threads(&e))?,
            ledger,
            cache: Cache::new(self.cache_bytes),
            budget: Budget::new(self.queue_bytes),
            compression: self.compression,
            inodes: Mutex::new(HashMap::new()),
            attrs: Mutex::new(()),
            raw_run: Mutex::new(None),
            counters: Counters::default(),
            observer: self.observer,
            metadata_due: AtomicU64::new(0),
            claims: AtomicU64::new(0),
            reads: ReadPath::new(
                Arc::new(VolumeDisk::new(&volume, limits.sector_size)),
                Arc::clone(&workspaces) as Arc<dyn Decode>,
                Arc::new(PoolThreads(pool)),
            ),
            limits,
            workspaces,
            volume,
        };
        Ok(Filesystem::new(Arc::new(shared)))
    }
}
