//! An open regular file.

use std::io;
use std::ops::Range;

use bytes::Bytes;
use delalloc::{SyncMode, Until};
use pagecache::{Error as CacheError, FOLIO_SIZE, MissingPages, PAGE_SIZE, ReadaheadWindow};

use crate::error::Error;
use crate::inode::Inode;
use crate::pipeline_trace::PipelineStep;
use crate::shared::Shared;
use crate::stats::add;
use crate::sync::{Arc, Mutex, Ordering};
use crate::volume::{InodeId, Volume};
use crate::writeback::MAX_CLAIM;

/// Bytes that are read ahead of a sequential reader, at most; less where the cache is small.
const MAX_READAHEAD: u64 = 4 << 20;

/// Largest offset that a file can reach.
const MAX_SIZE: u64 = i64::MAX as u64 & !(PAGE_SIZE - 1);

/// An open regular file. Dropping it loses nothing: what is dirty stays dirty.
pub struct File<V: Volume> {
    pub(crate) shared: Arc<Shared<V>>,
    pub(crate) inode: Arc<Inode>,
    pub(crate) readahead: Mutex<ReadaheadWindow>,
}

impl<V: Volume> File<V> {
    pub(crate) fn new(shared: Arc<Shared<V>>, inode: Arc<Inode>) -> Self {
        Self {
            shared,
            inode,
            readahead: Mutex::new(ReadaheadWindow::new(MAX_READAHEAD)),
        }
    }

    /// Which inode it is.
    #[must_use]
    pub fn id(&self) -> InodeId {
        self.inode.id
    }

    /// Its size in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.inode.mapping.size()
    }

    /// Writes all of `data` at `offset`.
    ///
    /// # Errors
    ///
    /// [`Error::NoSpace`], and those of reading a page that is overwritten in part. What was
    /// written before stays.
    pub fn write(&self, offset: u64, data: &[u8]) -> Result<(), Error> {
        let mut rest = data;
        self.write_from(offset, data.len() as u64, &mut |window| {
            let take = window.len().min(rest.len());
            window[..take].copy_from_slice(&rest[..take]);
            rest = &rest[take..];
            Ok(take)
        })?;
        Ok(())
    }

    /// Lets `source` put up to `max_len` bytes straight into the page cache, from `offset` on, and
    /// returns how many came. `source` gets windows of at most 128 KiB, says how many bytes it put
    /// there, and 0 when it has no more. Writeback starts as the bytes go by.
    ///
    /// # Errors
    ///
    /// [`Error::Source`] if `source` fails, and as [`File::write`].
    pub fn write_from(
        &self,
        offset: u64,
        max_len: u64,
        source: &mut dyn FnMut(&mut [u8]) -> io::Result<usize>,
    ) -> Result<u64, Error> {
        let end = offset
            .checked_add(max_len)
            .filter(|end| *end <= MAX_SIZE)
            .ok_or(Error::WrongType {
                id: self.inode.id,
                what: "a file cannot be that large",
            })?;
        let writer = self.inode.writer.lock();
        self.pin_inline(end)?;
        let mut at = offset;
        while at < end {
            let window = at..end.min((at / FOLIO_SIZE + 1) * FOLIO_SIZE);
            let (wrote, more) = self.write_window(window.clone(), source);
            at += wrote;
            if at % MAX_CLAIM < wrote {
                self.shared.start_writeback(
                    &self.inode,
                    0..at / FOLIO_SIZE * FOLIO_SIZE,
                    SyncMode::None,
                );
            }
            more?;
            if at < window.end {
                break;
            }
        }
        drop(writer);
        Ok(at - offset)
    }

    /// Writes one window: how many bytes went in, and why not more.
    fn write_window(
        &self,
        window: Range<u64>,
        source: &mut dyn FnMut(&mut [u8]) -> io::Result<usize>,
    ) -> (u64, Result<(), Error>) {
        let mut at = window.start;
        loop {
            let reservation = match self.reserve(at..window.end) {
                Ok(reservation) => reservation,
                Err(error) => return (at - window.start, Err(error)),
            };
            self.shared.make_room(FOLIO_SIZE);
            let written = self
                .inode
                .mapping
                .write_with(at, window.end - at, &mut *source);
            let (put, next) = match written {
                Ok(put) => (put, None),
                Err(CacheError::Source { written, source }) => {
                    (written, Some(Err(Error::Source(source))))
                }
                Err(CacheError::MissingPages(missing)) => {
                    (missing.written, Some(self.fill(&missing)))
                }
                Err(CacheError::MissingTail {
                    written,
                    offset,
                    bytes,
                    missing,
                }) => match self.write_tail(offset, &bytes, &missing) {
                    Ok(()) => (written + bytes.len() as u64, None),
                    Err(error) => (written, Some(Err(error))),
                },
                Err(other) => (
                    0,
                    Some(Err(Error::Config(format!("the page cache: {other}")))),
                ),
            };
            if put > 0 {
                let dirtied = at / PAGE_SIZE * PAGE_SIZE..(at + put).next_multiple_of(PAGE_SIZE);
                self.inode.touch();
                self.inode
                    .delalloc
                    .dirty(dirtied.clone(), reservation)
                    .ignore();
                self.shared
                    .observe(self.inode.id, &dirtied, PipelineStep::Dirtied);
                add(&self.shared.counters.bytes_written, put);
                // A small file may enter the tree with its content.
                let sector = u64::from(self.shared.limits.sector_size);
                let inline = if at + put <= sector { put } else { 0 };
                self.shared.will_change(200 + inline);
            }
            at += put;
            match next {
                None => return (at - window.start, Ok(())),
                Some(Ok(())) => {}
                Some(Err(error)) => return (at - window.start, Err(error)),
            }
        }
    }

    fn reserve(&self, range: Range<u64>) -> Result<delalloc::Reservation, Error> {
        let delalloc = &self.inode.delalloc;
        if let Ok(reservation) = delalloc.reserve(range.clone()) {
            return Ok(reservation);
        }
        // What is dirty may need less room than was promised to it.
        self.shared
            .start_writeback(&self.inode, 0..MAX_SIZE, SyncMode::All);
        let _ = self.shared.queue.drain();
        self.shared.writer.drain();
        delalloc.reserve(range.clone()).map_err(|_| Error::NoSpace {
            wanted: range.end - range.start,
            available: self.shared.ledger.available(delalloc::Space::Data),
        })
    }

    fn write_tail(&self, offset: u64, bytes: &Bytes, missing: &MissingPages) -> Result<(), Error> {
        self.fill(missing)?;
        // Reclaim may have taken a page again before the write.
        while let Err(missing) = self.inode.mapping.write(offset, bytes) {
            self.fill(&missing)?;
        }
        Ok(())
    }

    /// A file whose content is in the tree cannot also have extents: before it outgrows that, its
    /// content becomes dirty, so that it is written anew.
    fn pin_inline(&self, new_size: u64) -> Result<(), Error> {
        let sector = u64::from(self.shared.limits.sector_size);
        let size = self.size();
        if size == 0 || size > sector || new_size <= size {
            return Ok(());
        }
        let mut head = vec![0; size as usize];
        self.read_exact(0, &mut head)?;
        let reservation = self.reserve(0..size)?;
        while let Err(missing) = self.inode.mapping.write(0, &head) {
            self.fill(&missing)?;
        }
        self.inode
            .delalloc
            .dirty(0..size.next_multiple_of(PAGE_SIZE), reservation)
            .ignore();
        Ok(())
    }

    /// Sets the size: a larger one adds a hole, a smaller one drops what lies behind it.
    ///
    /// # Errors
    ///
    /// Those of writing back what is dirty, of reading the last page, and of the volume.
    pub fn set_size(&self, size: u64) -> Result<(), Error> {
        let _writer = self.inode.writer.lock();
        let old = self.size();
        self.pin_inline(size)?;
        if size < old {
            let cut = size / PAGE_SIZE * PAGE_SIZE;
            self.shared
                .wait_range(&self.inode, cut..MAX_SIZE, Until::Clean)?;
            let mut tail = vec![0; (size - cut) as usize];
            if !tail.is_empty() {
                self.read_exact(cut, &mut tail)?;
            }
            self.inode.mapping.truncate(size);
            let dropped = self
                .shared
                .volume
                .drop_extents(self.inode.id, cut..MAX_SIZE);
            dropped.map_err(Error::volume("truncating"))?;
            if !tail.is_empty() {
                // Written anew, so that nothing of the old tail is left behind the end.
                let reservation = self.reserve(cut..size)?;
                while let Err(missing) = self.inode.mapping.write(cut, &tail) {
                    self.fill(&missing)?;
                }
                self.inode
                    .delalloc
                    .dirty(cut..cut + PAGE_SIZE, reservation)
                    .ignore();
            }
        } else {
            self.inode.mapping.truncate(size);
        }
        self.inode.touch();
        Ok(())
    }

    /// Starts writing what is left and lets go of the cache as it completes: for a writer who has
    /// finished with the file. Errors are told by [`Filesystem::sync`](crate::Filesystem::sync).
    ///
    /// # Errors
    ///
    /// None today; errors of starting writeback will be told here.
    pub fn finish(self) -> Result<(), Error> {
        self.shared
            .start_writeback(&self.inode, 0..MAX_SIZE, SyncMode::None);
        self.inode.mapping.forget();
        self.inode.parting.store(true, Ordering::Relaxed);
        let Self { shared, inode, .. } = self;
        shared.let_go(inode);
        Ok(())
    }

    /// Makes the file's content and size durable.
    ///
    /// # Errors
    ///
    /// A failure of this file's writeback that nobody was told of yet, or that of the commit.
    pub fn fsync(&self) -> Result<(), Error> {
        let waited = self
            .shared
            .wait_range(&self.inode, 0..MAX_SIZE, Until::Written);
        let stored = self.shared.store_attrs(&self.inode);
        let committed = self.shared.volume.commit();
        waited
            .and(stored)
            .and(committed.map_err(Error::volume("committing")))
    }
}
