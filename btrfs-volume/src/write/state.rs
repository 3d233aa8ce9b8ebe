//! The running transaction: changes over the trees of the last commit.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use bytes::Bytes;

use super::arena::Arena;
use super::btree::Changes;
use super::engine::Engine;
use super::inodes::{Hot, Inodes};
use super::space::Kind;
use crate::error::{Error, Result};
use crate::items::Items;
use crate::ondisk::objectid::is_subvolume;
use crate::ondisk::{InodeItem, Key, RootItem, Superblock, item_type};
use crate::sync::Arc;
use crate::tree::Root;
use crate::volume::Committed;

/// What a pending change costs in memory besides its data.
const CHANGE_BYTES: usize = 80;
/// How much may be added before the room for metadata is looked at again.
const ROOM_STEP: u64 = 64 << 10;
/// Metadata that a commit rewrites whatever the changes are.
const ROOM_BASE: u64 = 2 << 20;

/// A tree with its root item.
#[derive(Debug)]
pub(crate) struct Tree {
    pub(crate) root: Root,
    /// Unused for the root and the chunk tree, which the superblock leads to.
    pub(crate) item: RootItem,
    pub(crate) next_ino: Option<u64>,
}

/// The transaction that is open.
#[derive(Debug)]
pub(crate) struct State {
    /// `None` until the first commit of a new volume.
    pub(crate) committed: Option<Arc<Committed>>,
    pub(crate) engine: Engine,
    pub(crate) trees: BTreeMap<u64, Tree>,
    /// What the nodes of each tree don't have yet.
    pub(crate) overlays: BTreeMap<u64, Changes>,
    pub(crate) inodes: Inodes,
    pub(crate) superblock: Superblock,
    /// Why nothing can be written any more.
    pub(crate) failed: Option<String>,
    pub(crate) pending_bytes: u64,
    /// What was wanted for metadata when there was room for it last; `None` since the last commit.
    pub(crate) room_checked_at: Option<u64>,
    /// Changes of what earlier commits have, each of which may copy a node.
    pub(crate) scattered: u64,
    pub(crate) arena: Arena,
    /// Where items are encoded.
    pub(crate) scratch: Vec<u8>,
}

impl State {
    /// # Errors
    /// [`Error::ReadOnly`] once something failed for good.
    pub(crate) fn check_writable(&self) -> Result<()> {
        match &self.failed {
            None => Ok(()),
            Some(reason) => Err(Error::ReadOnly {
                reason: reason.clone(),
            }),
        }
    }

    /// Before a change that makes metadata: leaves some room for data that is promised and comes yet.
    ///
    /// # Errors
    /// As [`check_some_room`](Self::check_some_room).
    pub(crate) fn check_room(&mut self) -> Result<()> {
        self.check_writable()?;
        let changed = self.most_changed();
        if self.room_checked(changed) {
            return Ok(());
        }
        self.room_for(self.metadata_wanted() + 2 * ROOM_STEP + ROOM_BASE)?;
        self.room_checked_at = Some(changed);
        Ok(())
    }

    /// Before any other change: what is promised, or gives space back, may take the last of the room.
    ///
    /// # Errors
    /// [`Error::ReadOnly`]; [`Error::NoSpace`] if the commit could run out of metadata space.
    pub(crate) fn check_some_room(&self) -> Result<()> {
        self.check_writable()?;
        if self.room_checked(self.most_changed()) {
            return Ok(());
        }
        // Leaves are filled better than by half, so that there is something left where names are refused.
        self.room_for(self.metadata_wanted() - self.pending_bytes / 2)
    }

    /// Whether there was room when almost as much had been changed.
    fn room_checked(&self, changed: u64) -> bool {
        self.room_checked_at
            .is_some_and(|at| changed < at + ROOM_STEP)
    }

    fn room_for(&self, wanted: u64) -> Result<()> {
        let available = self.metadata_available();
        if wanted > available {
            return Err(Error::NoSpace {
                what: "metadata",
                wanted,
                available,
            });
        }
        Ok(())
    }

    /// Bytes of metadata that there is room for.
    fn metadata_available(&self) -> u64 {
        let space = &self.engine.space;
        space.free(Kind::Metadata) + space.unallocated() / 2
    }

    /// Bytes of metadata that may be promised, beside data that takes all chunks there are not yet; of
    /// more chunks if there are fewer than `wanted`, as long as they leave room for `data`.
    pub(crate) fn promise_metadata(&mut self, wanted: u64, data: u64) -> u64 {
        // After a failure for good it is not room that is lacking, and who asks for more hears of it.
        if self.engine.space.grows || self.failed.is_some() {
            return u64::MAX;
        }
        let kept = self.metadata_wanted() + 2 * ROOM_STEP;
        let space = &mut self.engine.space;
        let mut available = space.free(Kind::Metadata).saturating_sub(kept);
        while available < wanted && space.add_metadata_beside(data, kept) {
            available = space.free(Kind::Metadata).saturating_sub(kept);
        }
        available
    }

    /// Bytes of nodes that what is pending makes or copies, if no two changes share a node.
    fn most_changed(&self) -> u64 {
        2 * self.pending_bytes + self.scattered * self.nodesize()
    }

    fn nodesize(&self) -> u64 {
        u64::from(self.engine.storage.geometry().nodesize)
    }

    /// Most bytes of nodes that a commit of what is pending may take.
    pub(crate) fn metadata_wanted(&self) -> u64 {
        let copied = match self.scattered * self.nodesize() {
            0 => 0,
            // No more can be copied than there is.
            most => most.min(self.engine.space.used_for(Kind::Metadata)),
        };
        2 * self.pending_bytes + copied + ROOM_BASE
    }

    /// Puts an item.
    pub(crate) fn put(&mut self, tree: u64, key: Key, data: impl Into<Bytes>) {
        let data = data.into();
        self.pending_bytes += (CHANGE_BYTES + data.len()) as u64;
        self.overlays
            .entry(tree)
            .or_default()
            .insert(key, Some(data));
    }

    /// Puts the item that `encode` appends.
    pub(crate) fn put_encoded(&mut self, tree: u64, key: Key, encode: impl FnOnce(&mut Vec<u8>)) {
        self.scratch.clear();
        encode(&mut self.scratch);
        let data = self.arena.copy(&self.scratch);
        self.put(tree, key, data);
    }

    /// Deletes an item.
    pub(crate) fn delete(&mut self, tree: u64, key: Key) {
        self.pending_bytes += CHANGE_BYTES as u64;
        self.overlays.entry(tree).or_default().insert(key, None);
    }

    /// The item with `key`.
    pub(crate) fn get(&self, tree: u64, key: &Key) -> Result<Option<Bytes>> {
        if key.item_type == item_type::INODE_ITEM
            && key.offset == 0
            && let Some(hot) = self.inodes.get(tree, key.objectid)
        {
            return Ok(Some(hot.item.encode().into()));
        }
        if let Some(change) = self.overlays.get(&tree).and_then(|o| o.get(key)) {
            return Ok(change.clone());
        }
        match &self.committed {
            Some(committed) => committed.get(tree, key),
            None => Ok(None),
        }
    }

    /// A commit that failed leaves neither what the trees were to be nor what is not in them: what a file
    /// has got since the last one is not known any more, and must not be taken for a hole.
    fn check_readable(&self, tree: u64, key: &Key) -> Result<()> {
        let Some(reason) = &self.failed else {
            return Ok(());
        };
        let hot = self.inodes.get(tree, key.objectid);
        let changed = hot.is_some_and(|hot| hot.item.transid == self.engine.transid);
        if key.item_type != item_type::EXTENT_DATA || !changed {
            return Ok(());
        }
        Err(Error::Io {
            op: "read extents",
            offset: 0,
            len: 0,
            source: std::io::Error::other(reason.clone()),
        })
    }

    /// At most `max` items of `range`, ascending.
    pub(crate) fn collect(
        &mut self,
        tree: u64,
        range: RangeInclusive<Key>,
        max: usize,
    ) -> Result<Vec<(Key, Bytes)>> {
        self.check_readable(tree, range.start())?;
        self.flush_inodes();
        let mut out = Vec::new();
        if range.is_empty() {
            return Ok(out);
        }
        let empty = Changes::new();
        let overlay = self.overlays.get(&tree).unwrap_or(&empty);
        let mut changes = overlay.range(range.clone()).peekable();
        if let Some(committed) = &self.committed {
            committed.scan(tree, range, &mut |key, data| {
                while let Some((&changed, change)) = changes.next_if(|(changed, _)| **changed < key)
                {
                    out.extend(change.clone().map(|data| (changed, data)));
                }
                match changes.next_if(|(changed, _)| **changed == key) {
                    Some((_, change)) => out.extend(change.clone().map(|data| (key, data))),
                    None => out.push((key, data.clone())),
                }
                if out.len() >= max {
                    std::ops::ControlFlow::Break(())
                } else {
                    std::ops::ControlFlow::Continue(())
                }
            })?;
        }
        while out.len() < max
            && let Some((&key, change)) = changes.next()
        {
            out.extend(change.clone().map(|data| (key, data)));
        }
        Ok(out)
    }

    /// The item with the largest key of `range`.
    pub(crate) fn last(
        &mut self,
        tree: u64,
        range: RangeInclusive<Key>,
    ) -> Result<Option<(Key, Bytes)>> {
        self.check_readable(tree, range.start())?;
        self.flush_inodes();
        if range.is_empty() {
            return Ok(None);
        }
        let (first, mut until) = range.into_inner();
        let empty = Changes::new();
        let overlay = self.overlays.get(&tree).unwrap_or(&empty);
        let put = overlay
            .range(first..=until)
            .rev()
            .find_map(|(key, data)| data.clone().map(|data| (*key, data)));
        let Some(committed) = &self.committed else {
            return Ok(put);
        };
        loop {
            let Some((key, data)) = committed.last(tree, first..=until)? else {
                return Ok(put);
            };
            if put.as_ref().is_some_and(|(have, _)| *have >= key) {
                return Ok(put);
            }
            if !matches!(overlay.get(&key), Some(None)) {
                return Ok(Some((key, data)));
            }
            match predecessor(key) {
                Some(before) if before >= first => until = before,
                _ => return Ok(put),
            }
        }
    }

    /// Enters changed inodes into the overlays.
    pub(crate) fn flush_inodes(&mut self) {
        let mut inodes = std::mem::take(&mut self.inodes);
        inodes.take_dirty(|(tree, ino), item| {
            let key = Key::new(ino, item_type::INODE_ITEM, 0);
            self.put_encoded(tree, key, |out| item.encode_into(out));
        });
        self.inodes = inodes;
    }

    /// The inode, ready to be changed; changes go into the transaction.
    pub(crate) fn inode_mut(&mut self, tree: u64, ino: u64) -> Result<&mut Hot> {
        let at = self.warm(tree, ino)?;
        let hot = self.inodes.dirty(at);
        if !hot.fresh && hot.item.transid != self.engine.transid {
            self.scattered += 1;
        }
        hot.item.transid = self.engine.transid;
        Ok(hot)
    }

    /// The inode.
    pub(crate) fn inode(&mut self, tree: u64, ino: u64) -> Result<&Hot> {
        let at = self.warm(tree, ino)?;
        Ok(self.inodes.at(at))
    }

    /// Sees to it that the inode is among those in use, and tells where.
    fn warm(&mut self, tree: u64, ino: u64) -> Result<usize> {
        if let Some(at) = self.inodes.find(tree, ino) {
            return Ok(at);
        }
        // Other trees have inodes, too, but none that is a file of somebody's.
        if !is_subvolume(tree) {
            return Err(Error::NoInode { tree, ino });
        }
        let key = Key::new(ino, item_type::INODE_ITEM, 0);
        let data = self.get(tree, &key)?.ok_or(Error::NoInode { tree, ino })?;
        let item = InodeItem::decode(&data).map_err(|bad| Error::bad_item(tree, key, bad))?;
        let hot = Hot {
            item,
            dirty: false,
            next_index: None,
            extents_end: None,
            fresh: item.generation == self.engine.transid,
            scattered: 0,
        };
        Ok(self.inodes.insert(tree, ino, hot))
    }
}

/// The next smaller key.
fn predecessor(key: Key) -> Option<Key> {
    if let Some(offset) = key.offset.checked_sub(1) {
        return Some(Key { offset, ..key });
    }
    if let Some(item_type) = key.item_type.checked_sub(1) {
        return Some(Key::new(key.objectid, item_type, u64::MAX));
    }
    key.objectid
        .checked_sub(1)
        .map(|objectid| Key::new(objectid, u8::MAX, u64::MAX))
}
