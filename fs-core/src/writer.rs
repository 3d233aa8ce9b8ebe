//! The writer thread: takes what was submitted to the device, then finishes ordered extents.
//!
//! One thread, first in first out, so completions enter the volume in submission order.

use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use compress::CodecId;
use delalloc::{Ordered, OrderedHandle};
use ordered_wq::Permit;
use smallvec::SmallVec;

use crate::failures::WriteFailure;
use crate::inode::Inode;
use crate::pipeline_trace::PipelineStep;
use crate::shared::Shared;
use crate::stats::add;
use crate::sync::{Arc, AtomicU64, Condvar, Duration, Mutex, MutexGuard, Ordering, thread};
use crate::under_writeback::UnderWriteback;
use crate::unrecorded::Unrecorded;
use crate::volume::{FileExtent, Volume, VolumeError};

/// Bytes that one vectored write gathers at most.
const GATHER: u64 = 4 << 20;

/// Bytes for which the thread is woken. A thread that wakes for every extent takes the processor,
/// and its caches, from those who compress.
const BATCH: u64 = 1 << 20;
/// The same in jobs, since small ones have no bytes.
const BATCH_JOBS: usize = 256;
/// How long the thread, once it has written, leaves less than that alone before it looks by itself.
const DOZE: Duration = Duration::from_millis(2);

/// An ordered extent on its way to the device.
pub(crate) struct WriteJob<V: Volume> {
    // Dropped first: what is claimable is not under writeback.
    pub(crate) pages: SmallVec<[UnderWriteback<V>; 1]>,
    pub(crate) shared: Arc<Shared<V>>,
    pub(crate) inode: Arc<Inode>,
    pub(crate) ordered: Ordered,
    pub(crate) handle: OrderedHandle<(), WriteFailure>,
    pub(crate) what: Submitted<V>,
    /// Dropped behind `ordered`: what is given back while it is still promised counts twice.
    pub(crate) space: Option<Unrecorded<V>>,
    /// Given back when the bytes need no memory any more.
    pub(crate) permits: SmallVec<[Permit; 1]>,
}

/// What is stored.
pub(crate) enum Submitted<V: Volume> {
    Extent {
        extent: FileExtent<V::Locator>,
        /// Consecutive on the device.
        buffers: SmallVec<[Bytes; 1]>,
    },
    Inline {
        data: Bytes,
        codec: Option<CodecId>,
        ram_bytes: u64,
    },
}

struct Jobs<V: Volume> {
    waiting: VecDeque<WriteJob<V>>,
    /// Bytes of `waiting`.
    waiting_bytes: u64,
    /// How many came so far.
    pushed: u64,
    /// How many of them, from the first one on, are finished.
    finished: u64,
    /// Those who wait for what they wrote. While there are any, nothing is held back.
    hurried: usize,
    /// The thread may take what waits.
    due: bool,
    /// The thread wakes by itself before long.
    dozing: bool,
    closed: bool,
}

struct Core<V: Volume> {
    jobs: Mutex<Jobs<V>>,
    work: Condvar,
    /// A batch was finished.
    progress: Condvar,
    /// Bytes of files that were finished so far, whether they got there or not.
    finished_bytes: AtomicU64,
}

/// Owns the thread.
pub(crate) struct Writer<V: Volume> {
    core: Arc<Core<V>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl<V: Volume> Writer<V> {
    pub(crate) fn start() -> io::Result<Self> {
        let core = Arc::new(Core {
            jobs: Mutex::new(Jobs {
                waiting: VecDeque::new(),
                waiting_bytes: 0,
                pushed: 0,
                finished: 0,
                hurried: 0,
                due: false,
                dozing: false,
                closed: false,
            }),
            work: Condvar::new(),
            progress: Condvar::new(),
            finished_bytes: AtomicU64::new(0),
        });
        let thread = thread::Builder::new().name("writer".into()).spawn({
            let core = Arc::clone(&core);
            move || core.run()
        })?;
        Ok(Self {
            core,
            thread: Some(thread),
        })
    }

    /// Adds a job. It is written once there is enough of them, or somebody waits, or for a while
    /// nothing was, or [`Self::no_more`] is called, which every item of the queue does that is the
    /// last one.
    pub(crate) fn push(&self, job: WriteJob<V>) {
        let mut jobs = self.core.jobs.lock();
        jobs.waiting_bytes += job.ordered.disk_num_bytes();
        jobs.waiting.push_back(job);
        jobs.pushed += 1;
        let due =
            jobs.hurried > 0 || jobs.waiting_bytes >= BATCH || jobs.waiting.len() >= BATCH_JOBS;
        self.core.wake_if(jobs, due);
    }

    /// Nothing else is about to be pushed: writes what waits, now or after a doze. The queue runs
    /// empty between any two small files, so that what comes steadily is not written piece by piece.
    pub(crate) fn no_more(&self) {
        let jobs = self.core.jobs.lock();
        let due = !jobs.dozing;
        self.core.wake_if(jobs, due);
    }

    /// Until it is dropped, everything is written at once.
    pub(crate) fn hurry(&self) -> Hurry<'_, V> {
        let mut jobs = self.core.jobs.lock();
        jobs.hurried += 1;
        self.core.wake_if(jobs, true);
        Hurry(&self.core)
    }

    /// Waits until everything pushed before is finished, whatever others push meanwhile.
    pub(crate) fn drain(&self) {
        let _hurry = self.hurry();
        let mut jobs = self.core.jobs.lock();
        let all = jobs.pushed;
        while jobs.finished < all {
            self.core.progress.wait(&mut jobs);
        }
    }

    /// Bytes of files whose way has ended so far.
    pub(crate) fn finished_bytes(&self) -> u64 {
        self.core.finished_bytes.load(Ordering::Relaxed)
    }

    /// Waits until a batch is finished, or for a moment: what is still with the queue may be
    /// anything. Whether any was.
    pub(crate) fn wait_progress(&self) -> bool {
        let before = self.finished_bytes();
        let _hurry = self.hurry();
        let mut jobs = self.core.jobs.lock();
        self.core
            .progress
            .wait_for(&mut jobs, Duration::from_millis(5));
        drop(jobs);
        self.finished_bytes() != before
    }
}

/// Somebody waits.
pub(crate) struct Hurry<'a, V: Volume>(&'a Core<V>);

impl<V: Volume> Drop for Hurry<'_, V> {
    fn drop(&mut self) {
        self.0.jobs.lock().hurried -= 1;
    }
}

impl<V: Volume> Drop for Writer<V> {
    fn drop(&mut self) {
        self.core.jobs.lock().closed = true;
        self.core.work.notify_one();
        if let Some(thread) = self.thread.take()
            && thread.thread().id() != thread::current().id()
        {
            // A panic of the thread was printed where it happened.
            let _ = thread.join();
        }
    }
}

impl<V: Volume> Core<V> {
    fn run(&self) {
        // Taken out and filled again, so that neither list grows anew each time.
        let mut batch = VecDeque::new();
        while self.take(&mut batch) {
            let taken = batch.len() as u64;
            let bytes: u64 = batch
                .iter()
                .map(|job| range_len(&job.ordered.range()))
                .sum();
            // The last job may hold the last handle of the filesystem. What panics, a volume or an
            // observer, costs the batch: what of it is dropped says so.
            let written = catch_unwind(AssertUnwindSafe(|| write_batch(&mut batch)));
            let dropped = catch_unwind(AssertUnwindSafe(|| batch.clear()));
            if written.is_err() || dropped.is_err() {
                tracing::error!("a batch of writes panicked");
            }
            self.finished_bytes.fetch_add(bytes, Ordering::Relaxed);
            self.jobs.lock().finished += taken;
            self.progress.notify_all();
        }
    }

    fn wake_if(&self, mut jobs: MutexGuard<'_, Jobs<V>>, due: bool) {
        if due && !jobs.due && !jobs.waiting.is_empty() {
            jobs.due = true;
            drop(jobs);
            self.work.notify_one();
        }
    }

    /// Waits for jobs, and moves them into `batch`, which is empty. Whether there are any.
    fn take(&self, batch: &mut VecDeque<WriteJob<V>>) -> bool {
        let mut jobs = self.jobs.lock();
        while !jobs.due {
            if jobs.closed {
                if jobs.waiting.is_empty() {
                    return false;
                }
                break;
            }
            if !jobs.dozing {
                self.work.wait(&mut jobs);
            } else if self.work.wait_for(&mut jobs, DOZE).timed_out() {
                jobs.dozing = false;
                if !jobs.waiting.is_empty() {
                    break;
                }
            }
        }
        if jobs.waiting_bytes <= GATHER {
            std::mem::swap(&mut jobs.waiting, batch);
            jobs.waiting_bytes = 0;
        } else {
            let mut bytes = 0;
            while bytes < GATHER
                && let Some(job) = jobs.waiting.pop_front()
            {
                bytes += job.ordered.disk_num_bytes();
                batch.push_back(job);
            }
            jobs.waiting_bytes -= bytes;
        }
        jobs.due = !jobs.waiting.is_empty();
        jobs.dozing = true;
        true
    }
}

fn range_len(range: &Range<u64>) -> u64 {
    range.end - range.start
}

fn write_batch<V: Volume>(batch: &mut VecDeque<WriteJob<V>>) {
    let Some(volume) = batch.front().map(|job| Arc::clone(&job.shared)) else {
        return;
    };
    let list: Vec<_> = batch.iter().flat_map(|job| job.io()).collect();
    if list.is_empty() || volume.volume.write(&list).is_ok() {
        drop(list);
        while let Some(job) = batch.pop_front() {
            job.finish(Ok(()));
        }
        return;
    }
    // Which of them failed? Each is tried alone, so that one bad place spoils one extent.
    drop(list);
    while let Some(job) = batch.pop_front() {
        let io: Vec<_> = job.io().collect();
        let result = if io.is_empty() {
            Ok(())
        } else {
            volume.volume.write(&io)
        };
        drop(io);
        job.finish(result);
    }
}

impl<V: Volume> WriteJob<V> {
    fn io(&self) -> impl Iterator<Item = (V::Locator, Bytes)> {
        use crate::volume::Locator;
        let (at, buffers) = match &self.what {
            Submitted::Extent { extent, buffers } => (Some(extent.stored.at), buffers.as_slice()),
            Submitted::Inline { .. } => (None, [].as_slice()),
        };
        let mut offset = 0;
        buffers.iter().filter_map(move |bytes| {
            let place = at?.plus(offset);
            offset += bytes.len() as u64;
            Some((place, bytes.clone()))
        })
    }

    fn finish(self, written: Result<(), VolumeError>) {
        let Self {
            shared,
            inode,
            ordered,
            handle,
            what,
            space,
            pages,
            permits,
        } = self;
        let range = ordered.range();
        let stored = match &what {
            Submitted::Extent { extent, .. } => extent.stored.disk_num_bytes,
            Submitted::Inline { data, .. } => data.len() as u64,
        };
        if written.is_ok() {
            shared.observe(inode.id, &range, PipelineStep::Written);
        }
        let covered = match &what {
            Submitted::Extent { extent, .. } => extent.num_bytes,
            Submitted::Inline { ram_bytes, .. } => *ram_bytes,
        };
        let books = shared.books.read();
        let result = written.and_then(|()| match what {
            Submitted::Extent { extent, .. } => {
                let insert = || shared.volume.insert_extent(inode.id, extent);
                match space {
                    Some(space) => space.enter(insert),
                    None => insert(),
                }
            }
            Submitted::Inline {
                data,
                codec,
                ram_bytes,
            } => {
                let insert = || {
                    let data = data.clone();
                    shared
                        .volume
                        .insert_inline(inode.id, data, codec, ram_bytes)
                };
                shared.volume_with_room(insert)
            }
        });
        inode.touch();
        // The volume knows the extent before its pages may be evicted.
        match result {
            Ok(()) => {
                pages.into_iter().for_each(UnderWriteback::end);
                add(&shared.counters.extents_finished, 1);
                add(&shared.counters.bytes_finished, covered);
                add(&shared.counters.bytes_stored, stored);
                shared.observe(inode.id, &range, PipelineStep::Finished);
                shared.made_extents(&range);
                handle.settle(ordered, Ok(()));
                drop(books);
            }
            Err(error) => {
                let failure = shared.failed(&inode, range, &error.to_string(), error.kind().into());
                pages.into_iter().for_each(UnderWriteback::end);
                handle.settle(ordered, Err(failure));
                drop(books);
            }
        }
        drop(permits);
        shared.let_go(&inode);
    }
}
