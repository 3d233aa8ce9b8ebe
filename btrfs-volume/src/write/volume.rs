//! The changes that a volume takes.

use std::io::IoSlice;
use std::ops::{ControlFlow, Range, RangeInclusive};

use bytes::Bytes;

use super::extents::NewExtent;
use super::mkfs::{self, MkfsOptions};
use super::space::Kind;
use super::state::State;
use crate::address::Bytenr;
use crate::device::BlockDevice;
use crate::error::{Error, Result};
use crate::ondisk::objectid::{EXTENT_TREE, FREE_SPACE_TREE};
use crate::ondisk::{InodeItem, Key, Timespec, item_type};
use crate::sync::{Arc, Mutex, MutexGuard};
use crate::volume::Volume;

/// Items that a scan takes out of the transaction at once.
const SCAN_BATCH: usize = 512;
/// Free data that [`Volume::finish_growth`] leaves.
const DATA_ROOM: u64 = 8 << 20;
/// Free metadata that [`Volume::finish_growth`] leaves at least.
const METADATA_ROOM: u64 = 16 << 20;

/// The write side of a volume.
#[derive(Debug)]
pub(crate) struct Writer {
    state: Mutex<State>,
}

impl Writer {
    pub(crate) fn new(state: State) -> Self {
        Self {
            state: Mutex::new(state),
        }
    }

    /// See [`Items`](crate::Items).
    pub(crate) fn get(&self, tree: u64, key: &Key) -> Result<Option<Bytes>> {
        self.state.lock().get(tree, key)
    }

    /// An inode that the running transaction has at hand.
    #[cfg(feature = "fs-core")]
    pub(crate) fn hot_inode(&self, tree: u64, ino: u64) -> Option<InodeItem> {
        let state = self.state.lock();
        state.inodes.get(tree, ino).map(|hot| hot.item)
    }

    /// See [`Items`](crate::Items).
    pub(crate) fn scan(
        &self,
        tree: u64,
        range: RangeInclusive<Key>,
        visit: &mut dyn FnMut(Key, &Bytes) -> ControlFlow<()>,
    ) -> Result<()> {
        let (mut first, last) = range.into_inner();
        loop {
            let items = self.state.lock().collect(tree, first..=last, SCAN_BATCH)?;
            let more = items.len() >= SCAN_BATCH;
            let next = items.last().and_then(|(key, _)| key.successor());
            for (key, data) in items {
                if visit(key, &data).is_break() {
                    return Ok(());
                }
            }
            match next {
                Some(next) if more && next <= last => first = next,
                _ => return Ok(()),
            }
        }
    }

    /// See [`Items`](crate::Items).
    pub(crate) fn scan_around(
        &self,
        tree: u64,
        [first, from, last]: [Key; 3],
        visit: &mut dyn FnMut(Key, &Bytes) -> ControlFlow<()>,
    ) -> Result<()> {
        let items = {
            let mut state = self.state.lock();
            let before = state.last(tree, first..=from)?;
            let from = before.map_or(from, |(key, _)| key);
            state.collect(tree, from..=last, usize::MAX)?
        };
        for (key, data) in items {
            if visit(key, &data).is_break() {
                break;
            }
        }
        Ok(())
    }

    /// See [`Items`](crate::Items).
    pub(crate) fn last(
        &self,
        tree: u64,
        range: RangeInclusive<Key>,
    ) -> Result<Option<(Key, Bytes)>> {
        self.state.lock().last(tree, range)
    }
}

impl Volume {
    /// Makes a volume on `device` and commits it.
    ///
    /// # Errors
    /// [`Error::Invalid`] for options that make no sense; [`Error::Io`].
    pub fn mkfs(device: Arc<dyn BlockDevice>, options: &MkfsOptions) -> Result<Self> {
        let mut state = mkfs::start(device, options)?;
        let committed = state.commit()?.expect("a new volume's first commit");
        Ok(Self::with_writer(committed, Writer::new(state)))
    }

    fn state(&self) -> Result<MutexGuard<'_, State>> {
        match self.writer() {
            Some(writer) => Ok(writer.state.lock()),
            None => Err(Error::ReadOnly {
                reason: "it was opened for reading".into(),
            }),
        }
    }

    /// Sets how many threads may encode and write the nodes of a commit at once; 1 before.
    /// Nothing of the image depends on it.
    ///
    /// # Errors
    /// [`Error::ReadOnly`].
    pub fn set_threads(&self, threads: usize) -> Result<()> {
        self.state()?.engine.threads = threads.max(1);
        Ok(())
    }

    /// Whether changes are refused.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        !self
            .state()
            .is_ok_and(|state| state.check_writable().is_ok())
    }

    /// Bytes of memory that changes take which are not committed.
    #[must_use]
    pub fn pending_bytes(&self) -> u64 {
        self.state().map_or(0, |state| state.pending_bytes)
    }

    /// Makes all changes so far durable, in one transaction.
    ///
    /// # Errors
    /// [`Error::ReadOnly`], [`Error::Io`], [`Error::NoSpace`]. After any the volume is read-only
    /// for good, and what is on the device is the last commit.
    pub fn commit(&self) -> Result<()> {
        let mut state = self.state()?;
        if let Some(committed) = state.commit()? {
            self.set_committed(committed);
        }
        Ok(())
    }

    /// Commits, cuts the last chunks and the device of a volume that
    /// [grew](MkfsOptions::size) to what is in use and some room for a kernel to work in, and
    /// commits that. The volume does not grow any more.
    ///
    /// # Errors
    /// As for [`commit`](Self::commit).
    pub fn finish_growth(&self) -> Result<()> {
        let mut state = self.state()?;
        state.check_writable()?;
        let grows = state.engine.space.grows;
        if let Some(committed) = state.commit()? {
            self.set_committed(committed);
        }
        if !grows {
            return Ok(());
        }
        state.finish_growth()?;
        if let Some(committed) = state.commit()? {
            self.set_committed(committed);
        }
        let size = state.engine.space.total_bytes;
        let device = state.engine.storage.device();
        device.set_size(size).map_err(|source| Error::Io {
            op: "resize",
            offset: 0,
            len: size,
            source,
        })
    }

    /// Makes an inode with the type and attributes of `new` and its first name. Its size, link
    /// count, flags and generation are set here; a symbolic link leads to `target`, which is empty for
    /// everything else.
    ///
    /// # Errors
    /// [`Error::Exists`], [`Error::Invalid`] and [`Error::TooLarge`] for the name; [`Error::Invalid`] for
    /// a mode without a type, or a target that does not go with it; ...
    pub fn create(
        &self,
        tree: u64,
        dir: u64,
        name: &[u8],
        new: &InodeItem,
        target: &[u8],
    ) -> Result<u64> {
        self.state()?.create(tree, dir, name, new, target)
    }

    /// Gives an inode another name.
    ///
    /// # Errors
    /// [`Error::TooManyLinks`], and as for [`create`](Self::create).
    pub fn link(&self, tree: u64, ino: u64, dir: u64, name: &[u8], now: Timespec) -> Result<()> {
        self.state()?.link(tree, ino, dir, name, now)
    }

    /// Changes attributes of an inode.
    ///
    /// # Errors
    /// [`Error::NoInode`].
    pub fn change_inode(
        &self,
        tree: u64,
        ino: u64,
        change: impl FnOnce(&mut InodeItem),
    ) -> Result<()> {
        let mut state = self.state()?;
        state.check_some_room()?;
        change(&mut state.inode_mut(tree, ino)?.item);
        Ok(())
    }

    /// Sets an extended attribute.
    ///
    /// # Errors
    /// [`Error::TooLarge`]; [`Error::Invalid`] for a name with NUL. Nothing is changed then.
    pub fn set_xattr(&self, tree: u64, ino: u64, name: &[u8], value: &[u8]) -> Result<()> {
        self.state()?.set_xattr(tree, ino, name, value)
    }

    /// Takes `num_bytes` of contiguous space for data.
    ///
    /// # Errors
    /// [`Error::NoSpace`].
    pub fn allocate(&self, num_bytes: u64) -> Result<Bytenr> {
        self.state()?.allocate_data(num_bytes)
    }

    /// Gives back what [`allocate`](Self::allocate) gave and no extent took. Does nothing to anything else.
    pub fn release(&self, at: Bytenr, num_bytes: u64) {
        if let Ok(mut state) = self.state() {
            state.release_data(at, num_bytes);
        }
    }

    /// Bytes of data that may still be promised.
    #[must_use]
    pub fn data_available(&self) -> u64 {
        self.state().map_or(0, |state| state.data_available())
    }

    /// Bytes of metadata that may still be promised. If there are fewer than `wanted`, more chunks
    /// are made for them where the device has room beside `data` bytes of data. Without an end after a
    /// failure for good, since it is not room that is lacking then.
    #[must_use]
    pub fn metadata_available(&self, wanted: u64, data: u64) -> u64 {
        self.state()
            .map_or(0, |mut state| state.promise_metadata(wanted, data))
    }

    /// Records an extent whose bytes are on the device, in place of what it covers in the file.
    ///
    /// # Errors
    /// [`Error::NoInode`]; [`Error::WrongType`] of anything but a regular file; [`Error::Invalid`] for an
    /// extent that cannot be, or whose place was not allocated for it.
    pub fn insert_extent(&self, tree: u64, ino: u64, extent: NewExtent) -> Result<()> {
        self.state()?.insert_extent(tree, ino, extent)
    }

    /// Makes `data` the whole content of a file. `ram_bytes`: its length once decompressed.
    ///
    /// # Errors
    /// [`Error::TooLarge`] from a sector on; [`Error::Invalid`] for lengths that contradict each other;
    /// [`Error::WrongType`] of anything but a regular file.
    pub fn insert_inline(
        &self,
        tree: u64,
        ino: u64,
        data: Bytes,
        compression: u8,
        ram_bytes: u64,
    ) -> Result<()> {
        self.state()?
            .insert_inline(tree, ino, data, compression, ram_bytes)
    }

    /// Makes `range`, sector-aligned, of a file a hole.
    ///
    /// # Errors
    /// [`Error::NoInode`].
    pub fn drop_extents(&self, tree: u64, ino: u64, range: Range<u64>) -> Result<()> {
        let mut state = self.state()?;
        state.check_some_room()?;
        state.drop_extents(tree, ino, range)
    }

    /// Writes data where it was allocated; neighbours go out together.
    ///
    /// # Errors
    /// [`Error::Unmapped`], [`Error::Io`]. Anything may have been written then.
    pub fn write_data(&self, what: &[(Bytenr, Bytes)]) -> Result<()> {
        let storage = self.storage();
        let mut rest = what;
        let mut slices: Vec<IoSlice<'_>> = Vec::new();
        while let Some((start, _)) = rest.first() {
            let mut end = start.0;
            let mut count = 0;
            for (at, bytes) in rest {
                let next = end.saturating_add(bytes.len() as u64);
                let together = at.0 == end && storage.physical(*start, next - start.0, 0).is_ok();
                if count > 0 && !together {
                    break;
                }
                end = next;
                count += 1;
            }
            let (run, behind) = rest.split_at(count);
            rest = behind;
            slices.clear();
            slices.extend(run.iter().map(|(_, bytes)| IoSlice::new(bytes)));
            for mirror in 0..storage.mirrors(*start).max(1) {
                let at = storage.physical(*start, end - start.0, mirror)?;
                storage
                    .device()
                    .write_vectored_at(at.0, &slices)
                    .map_err(|source| Error::Io {
                        op: "write",
                        offset: at.0,
                        len: end - start.0,
                        source,
                    })?;
            }
        }
        Ok(())
    }
}

impl State {
    fn finish_growth(&mut self) -> Result<()> {
        let metadata: u64 = self
            .engine
            .space
            .groups
            .values()
            .filter(|group| group.flags & crate::ondisk::block_group_flags::METADATA != 0)
            .map(|group| group.used)
            .sum();
        let room = METADATA_ROOM.max(metadata / 4);
        for (kind, room) in [(Kind::Data, DATA_ROOM), (Kind::Metadata, room)] {
            let Some((start, old)) = self.engine.space.cut_last(kind, room)? else {
                continue;
            };
            let group = &self.engine.space.groups[&start];
            let end = start + group.length;
            let tail = group.listed.iter().next_back();
            let tail_start = tail.map_or(end, |tail| tail.start);
            let key = |item_type| Key::new(start, item_type, old);
            self.delete(EXTENT_TREE, key(item_type::BLOCK_GROUP_ITEM));
            self.delete(FREE_SPACE_TREE, key(item_type::FREE_SPACE_INFO));
            let tail_key = Key::new(
                tail_start,
                item_type::FREE_SPACE_EXTENT,
                start + old - tail_start,
            );
            self.delete(FREE_SPACE_TREE, tail_key);
            self.enter_chunk(start);
        }
        self.engine.space.end_growth();
        self.enter_device();
        Ok(())
    }
}
