//! An inode with data in memory.

use pagecache::{Cache, Mapping};

use crate::error::{Error, ErrorKind};
use crate::sync::{Arc, AtomicBool, Mutex, Ordering};
use crate::volume::InodeId;
use delalloc::{Delalloc, OrderedExtents, SpaceLedger, Unfinished};
use std::ops::Range;

/// Why a range did not reach the device.
#[derive(Debug, Clone)]
pub(crate) struct WriteFailure {
    pub(crate) range: Range<u64>,
    pub(crate) message: Arc<str>,
    pub(crate) kind: ErrorKind,
}

impl From<Unfinished> for WriteFailure {
    fn from(error: Unfinished) -> Self {
        Self {
            range: 0..0,
            message: error.to_string().into(),
            kind: ErrorKind::Io,
        }
    }
}

impl WriteFailure {
    pub(crate) fn of(self, id: InodeId) -> Error {
        Error::Writeback {
            id,
            range: self.range,
            message: self.message.to_string(),
            kind: self.kind,
        }
    }
}

/// What the filesystem knows of one file while it is open or has anything to write.
///
/// Locking: `writer` is taken by whoever changes content or size, for the whole of the call, and
/// never by the queue or the writer thread.
#[derive(Debug)]
pub(crate) struct Inode {
    pub(crate) id: InodeId,
    /// Its size is `i_size`.
    pub(crate) mapping: Mapping,
    pub(crate) delalloc: Arc<Delalloc>,
    pub(crate) ordered: OrderedExtents<(), WriteFailure>,
    pub(crate) writer: Mutex<()>,
    /// Size or content changed since the attributes were last stored.
    pub(crate) attrs_dirty: AtomicBool,
    /// The one who wrote it has finished with it: it leaves memory with the last of its data.
    pub(crate) parting: AtomicBool,
    /// The first failure that nobody was told of.
    failure: Mutex<Option<WriteFailure>>,
}

impl Inode {
    pub(crate) fn new(id: InodeId, size: u64, cache: &Cache, ledger: &SpaceLedger) -> Arc<Self> {
        Arc::new(Self {
            id,
            mapping: Mapping::with_size(cache, size),
            delalloc: Delalloc::new(ledger),
            ordered: OrderedExtents::new(),
            writer: Mutex::new(()),
            attrs_dirty: AtomicBool::new(false),
            parting: AtomicBool::new(false),
            failure: Mutex::new(None),
        })
    }

    pub(crate) fn touch(&self) {
        self.attrs_dirty.store(true, Ordering::Release);
    }

    /// Nothing is on its way, and nobody has to be told of anything.
    pub(crate) fn is_settled(&self) -> bool {
        self.delalloc.is_settled() && self.ordered.is_empty() && self.failure.lock().is_none()
    }

    pub(crate) fn fail(&self, failure: WriteFailure) {
        self.failure.lock().get_or_insert(failure);
    }

    /// Takes the failure, so that it is reported once.
    pub(crate) fn take_failure(&self) -> Result<(), Error> {
        match self.failure.lock().take() {
            Some(failure) => Err(failure.of(self.id)),
            None => Ok(()),
        }
    }
}
