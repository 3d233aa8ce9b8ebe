//! Commit: the changes enter the trees, the trees the device, and the superblock makes it last.

use std::io::IoSlice;
use std::ops::Range;

use bytes::Bytes;

use super::btree::{self, Changes};
use super::csums;
use super::refs::NodeRef;
use super::space::Group;
use super::state::State;
use crate::error::{Error, Result};
use crate::items::Items;
use crate::ondisk::objectid::{
    CHUNK_TREE, CSUM_TREE, DEV_ITEMS, DEV_TREE, EXTENT_TREE, FIRST_CHUNK_TREE, FREE_SPACE_TREE,
    FS_TREE, ROOT_TREE,
};
use crate::ondisk::{
    BackupRoot, BlockGroupItem, DevExtent, ExtentData, ExtentItem, FreeSpaceInfo, InlineRef, Key,
    SUPER_OFFSETS, SUPER_SIZE, Superblock, block_group_flags, extent_flags, item_type,
};
use crate::sync::Arc;
use crate::volume::Committed;

/// Rounds after which the trees must have settled; each makes fewer new nodes than the last.
const MAX_ROUNDS: usize = 64;

impl State {
    /// Makes all changes durable. `None`: there were none.
    ///
    /// # Errors
    /// After any the transaction is broken and nothing can be written any more.
    pub(crate) fn commit(&mut self) -> Result<Option<Arc<Committed>>> {
        self.check_writable()?;
        self.flush_inodes();
        let pending = !self.overlays.is_empty()
            || !self.engine.refs.data.is_empty()
            || !self.engine.space.new_chunks.is_empty()
            || self.committed.is_none();
        if !pending {
            return Ok(None);
        }
        let transid = self.engine.transid;
        // Stands if a device panics: half a commit must not become part of the next one.
        self.failed = Some(format!("commit {transid} was broken off"));
        let result = self.try_commit();
        self.failed = match &result {
            Ok(_) => None,
            Err(error) => Some(format!("commit {transid} failed: {error}")),
        };
        result.map(Some)
    }

    fn try_commit(&mut self) -> Result<Arc<Committed>> {
        let shortened = self.run_data_refs()?;
        self.pack_csums(&shortened);
        self.settle()?;
        self.engine.write_nodes()?;
        self.flush_device()?;
        self.write_superblocks()?;
        self.flush_device()?;
        self.engine.space.unpin();
        self.engine.transid += 1;
        self.inodes.clear();
        self.arena.reuse();
        self.pending_bytes = 0;
        self.room_checked_at = None;
        self.scattered = 0;
        let storage = Arc::clone(&self.engine.storage);
        let committed = Arc::new(Committed::new(storage, self.superblock.clone()));
        self.committed = Some(Arc::clone(&committed));
        Ok(committed)
    }

    fn flush_device(&self) -> Result<()> {
        self.engine
            .storage
            .device()
            .flush()
            .map_err(|source| Error::Io {
                op: "flush",
                offset: 0,
                len: 0,
                source,
            })
    }

    /// Enters all changes into the trees. Changing a tree changes others, until none does.
    fn settle(&mut self) -> Result<()> {
        for _ in 0..MAX_ROUNDS {
            // The order of the trees is part of what makes equal input give equal images.
            let trees: Vec<u64> = self.overlays.keys().copied().collect();
            for tree in trees {
                let changes = self.overlays.remove(&tree).unwrap_or_default();
                self.apply(tree, changes)?;
            }
            self.enter_chunks();
            self.run_node_refs();
            self.enter_groups();
            self.enter_roots();
            if self.overlays.is_empty() {
                return Ok(());
            }
        }
        Err(Error::Invalid {
            what: "transaction",
            problem: format!("its trees did not settle in {MAX_ROUNDS} rounds"),
        })
    }

    fn apply(&mut self, tree: u64, changes: Changes) -> Result<()> {
        let state = self.trees.get_mut(&tree).ok_or(Error::NoTree { tree })?;
        btree::apply(&mut self.engine, &mut state.root, changes)
    }

    /// Enters chunks that were made since the last round.
    fn enter_chunks(&mut self) {
        let new = std::mem::take(&mut self.engine.space.new_chunks);
        if new.is_empty() {
            return;
        }
        for start in new {
            self.enter_chunk(start);
        }
        self.enter_device();
    }

    /// Enters the items of the chunk at `start`.
    pub(crate) fn enter_chunk(&mut self, start: u64) {
        let space = &self.engine.space;
        let group = &space.groups[&start];
        let chunk = space.chunk(group);
        let dev_extent = DevExtent {
            chunk_tree: CHUNK_TREE,
            chunk_objectid: FIRST_CHUNK_TREE,
            chunk_offset: start,
            length: group.length,
            chunk_tree_uuid: self.engine.chunk_tree_uuid,
        };
        let stripes = group.stripes.clone();
        let free: Vec<Range<u64>> = group.listed.iter().collect();
        let devid = self.superblock.dev_item.devid;
        let key = Key::new(FIRST_CHUNK_TREE, item_type::CHUNK_ITEM, start);
        self.put(CHUNK_TREE, key, chunk.encode());
        for stripe in stripes {
            let key = Key::new(devid, item_type::DEV_EXTENT, stripe);
            self.put(DEV_TREE, key, dev_extent.encode());
        }
        for range in free {
            self.put(FREE_SPACE_TREE, free_key(&range), Bytes::new());
        }
    }

    /// Enters the device's item.
    pub(crate) fn enter_device(&mut self) {
        let space = &self.engine.space;
        let item = &mut self.superblock.dev_item;
        item.total_bytes = space.total_bytes;
        item.bytes_used = space.device_used();
        let (devid, data) = (item.devid, item.encode());
        let key = Key::new(DEV_ITEMS, item_type::DEV_ITEM, devid);
        self.put(CHUNK_TREE, key, data);
    }

    /// Enters nodes that were made or freed since the last round.
    fn run_node_refs(&mut self) {
        let nodesize = u64::from(self.engine.storage.geometry().nodesize);
        let generation = self.engine.transid;
        let mut taken = Runs::default();
        let mut given = Runs::default();
        for (bytenr, change) in std::mem::take(&mut self.engine.refs.nodes) {
            match change {
                NodeRef::Add { tree, level } => {
                    let item = ExtentItem {
                        refs: 1,
                        generation,
                        flags: extent_flags::TREE_BLOCK,
                        tree_block: None,
                        inline_refs: vec![InlineRef::TreeBlock { root: tree }],
                    };
                    let key = Key::new(bytenr, item_type::METADATA_ITEM, level.into());
                    self.put_encoded(EXTENT_TREE, key, |out| item.encode_into(out));
                    taken.push(bytenr, nodesize);
                }
                NodeRef::Drop { level, fresh } => {
                    let key = Key::new(bytenr, item_type::METADATA_ITEM, level.into());
                    self.delete(EXTENT_TREE, key);
                    given.push(bytenr, nodesize);
                    if fresh {
                        self.engine.space.release(bytenr, nodesize);
                    } else {
                        self.engine.space.pin(bytenr, nodesize);
                    }
                }
            }
        }
        self.list(taken, given);
    }

    /// Enters data extents that were made, freed, or referred to by more or fewer items. Answers
    /// which checksum items lost their end.
    fn run_data_refs(&mut self) -> Result<Vec<Key>> {
        let mut shortened = Vec::new();
        let mut taken = Runs::default();
        let mut given = Runs::default();
        for (bytenr, change) in std::mem::take(&mut self.engine.refs.data) {
            let key = Key::new(bytenr, item_type::EXTENT_ITEM, change.num_bytes);
            let mut item = ExtentItem {
                refs: 0,
                generation: self.engine.transid,
                flags: extent_flags::DATA,
                tree_block: None,
                inline_refs: Vec::new(),
            };
            if !change.fresh {
                let data = match &self.committed {
                    Some(committed) => committed.get(EXTENT_TREE, &key)?,
                    None => None,
                };
                let data = data.ok_or_else(|| {
                    Error::bad_item(EXTENT_TREE, key, "is missing, but a file refers to it")
                })?;
                item = ExtentItem::decode(key.item_type, &data)
                    .map_err(|bad| Error::bad_item(EXTENT_TREE, key, bad))?;
            }
            for (data_ref, by) in change.counts.into_iter().filter(|(_, by)| *by != 0) {
                let found = item.inline_refs.iter_mut().find_map(|have| match have {
                    InlineRef::ExtentData(have)
                        if (have.root, have.objectid, have.offset)
                            == (data_ref.root, data_ref.objectid, data_ref.offset) =>
                    {
                        Some(have)
                    }
                    _ => None,
                });
                let bad = || Error::bad_item(EXTENT_TREE, key, "wrong number of references");
                match found {
                    Some(have) => {
                        have.count = i64::from(have.count)
                            .checked_add(by)
                            .and_then(|count| u32::try_from(count).ok())
                            .ok_or_else(bad)?;
                    }
                    None => item.inline_refs.push(InlineRef::ExtentData(ExtentData {
                        root: data_ref.root,
                        objectid: data_ref.objectid,
                        offset: data_ref.offset,
                        count: u32::try_from(by).map_err(|_| bad())?,
                    })),
                }
                item.refs = item.refs.checked_add_signed(by).ok_or_else(bad)?;
            }
            item.inline_refs
                .retain(|have| !matches!(have, InlineRef::ExtentData(have) if have.count == 0));
            if item.refs > 0 {
                self.put_encoded(EXTENT_TREE, key, |out| item.encode_into(out));
                if change.fresh {
                    taken.push(bytenr, change.num_bytes);
                }
                continue;
            }
            let range = bytenr..bytenr + change.num_bytes;
            csums::delete(self, range, &mut shortened)?;
            if change.fresh {
                self.engine.space.release(bytenr, change.num_bytes);
            } else {
                self.delete(EXTENT_TREE, key);
                given.push(bytenr, change.num_bytes);
                self.engine.space.pin(bytenr, change.num_bytes);
            }
        }
        self.list(taken, given);
        Ok(shortened)
    }

    /// Cuts the transaction's checksums into items as large as a leaf holds.
    fn pack_csums(&mut self, shortened: &[Key]) {
        let Some(overlay) = self.overlays.remove(&CSUM_TREE) else {
            return;
        };
        let geometry = self.engine.storage.geometry();
        let packed = csums::pack(overlay, shortened, &geometry);
        if !packed.is_empty() {
            self.overlays.insert(CSUM_TREE, packed);
        }
    }

    /// Tells block groups and the free space tree what is in use now.
    fn list(&mut self, taken: Runs, given: Runs) {
        for range in self.by_group(given) {
            let (_, group) = self.engine.space.group_of(range.start);
            group.used -= range.end - range.start;
            group.changed = true;
            let (neighbours, joined) = group.listed.insert(range);
            for neighbour in neighbours {
                self.delete(FREE_SPACE_TREE, free_key(&neighbour));
            }
            self.put(FREE_SPACE_TREE, free_key(&joined), Bytes::new());
        }
        for range in self.by_group(taken) {
            let (_, group) = self.engine.space.group_of(range.start);
            group.used += range.end - range.start;
            group.changed = true;
            let whole = group
                .listed
                .remove(range.clone())
                .expect("what was allocated was free");
            self.delete(FREE_SPACE_TREE, free_key(&whole));
            for left in [whole.start..range.start, range.end..whole.end] {
                if left.start < left.end {
                    self.put(FREE_SPACE_TREE, free_key(&left), Bytes::new());
                }
            }
        }
    }

    /// Cuts runs where block groups meet: neighbours may lie in two.
    fn by_group(&mut self, runs: Runs) -> Vec<Range<u64>> {
        let mut parts = Vec::with_capacity(runs.0.len());
        for mut run in runs.0 {
            while run.start < run.end {
                let (start, group) = self.engine.space.group_of(run.start);
                let end = run.end.min(start + group.length);
                parts.push(run.start..end);
                run.start = end;
            }
        }
        parts
    }

    /// Enters the items of changed block groups.
    fn enter_groups(&mut self) {
        let mut items = Vec::new();
        for (&start, group) in &mut self.engine.space.groups {
            if std::mem::take(&mut group.changed) {
                items.push((start, group.length, group_item(group), free_info(group)));
            }
        }
        for (start, length, group, info) in items {
            let key = Key::new(start, item_type::BLOCK_GROUP_ITEM, length);
            self.put(EXTENT_TREE, key, group.encode());
            let key = Key::new(start, item_type::FREE_SPACE_INFO, length);
            self.put(FREE_SPACE_TREE, key, info.encode());
        }
    }

    /// Enters the roots of trees that have moved.
    fn enter_roots(&mut self) {
        let nodesize = i64::from(self.engine.storage.geometry().nodesize);
        let mut items = Vec::new();
        for (&tree, state) in &mut self.trees {
            let root = state.root;
            let item = &mut state.item;
            if let Some(nodes) = self.engine.node_counts.remove(&tree) {
                item.bytes_used = item.bytes_used.saturating_add_signed(nodes * nodesize);
            }
            let moved = (item.bytenr, item.level, item.generation)
                != (root.bytenr.0, root.level, root.generation);
            if matches!(tree, ROOT_TREE | CHUNK_TREE) || !moved {
                continue;
            }
            item.bytenr = root.bytenr.0;
            item.level = root.level;
            item.generation = root.generation;
            item.generation_v2 = root.generation;
            item.ctransid = root.generation;
            items.push((Key::new(tree, item_type::ROOT_ITEM, 0), item.encode()));
        }
        for (key, data) in items {
            self.put(ROOT_TREE, key, data);
        }
    }

    fn write_superblocks(&mut self) -> Result<()> {
        self.fill_superblock();
        let device = self.engine.storage.device();
        for at in SUPER_OFFSETS {
            if at + SUPER_SIZE as u64 > self.superblock.total_bytes {
                break;
            }
            self.superblock.bytenr = at;
            let bytes = self.superblock.encode();
            device
                .write_vectored_at(at, &[IoSlice::new(&bytes)])
                .map_err(|source| Error::Io {
                    op: "write",
                    offset: at,
                    len: bytes.len() as u64,
                    source,
                })?;
        }
        self.superblock.bytenr = SUPER_OFFSETS[0];
        Ok(())
    }

    fn fill_superblock(&mut self) {
        let space = &self.engine.space;
        let root = self.trees[&ROOT_TREE].root;
        let chunk_root = self.trees[&CHUNK_TREE].root;
        let sys_chunks: Vec<_> = space
            .groups
            .iter()
            .filter(|(_, group)| group.flags & block_group_flags::SYSTEM != 0)
            .map(|(&start, group)| {
                let key = Key::new(FIRST_CHUNK_TREE, item_type::CHUNK_ITEM, start);
                (key, space.chunk(group))
            })
            .collect();
        let sb = &mut self.superblock;
        sb.generation = self.engine.transid;
        sb.root = root.bytenr.0;
        sb.root_level = root.level;
        sb.chunk_root = chunk_root.bytenr.0;
        sb.chunk_root_level = chunk_root.level;
        sb.chunk_root_generation = chunk_root.generation;
        sb.total_bytes = space.total_bytes;
        sb.bytes_used = space.used();
        sb.uuid_tree_generation = sb.generation;
        sb.sys_chunk_array = Superblock::pack_sys_chunks(&sys_chunks);
        let [extent, fs, dev, csum] =
            [EXTENT_TREE, FS_TREE, DEV_TREE, CSUM_TREE].map(|tree| self.trees[&tree].root);
        sb.backup_roots[(sb.generation % 4) as usize] = BackupRoot {
            tree_root: root.bytenr.0,
            tree_root_generation: root.generation,
            tree_root_level: root.level,
            chunk_root: chunk_root.bytenr.0,
            chunk_root_generation: chunk_root.generation,
            chunk_root_level: chunk_root.level,
            extent_root: extent.bytenr.0,
            extent_root_generation: extent.generation,
            extent_root_level: extent.level,
            fs_root: fs.bytenr.0,
            fs_root_generation: fs.generation,
            fs_root_level: fs.level,
            dev_root: dev.bytenr.0,
            dev_root_generation: dev.generation,
            dev_root_level: dev.level,
            csum_root: csum.bytenr.0,
            csum_root_generation: csum.generation,
            csum_root_level: csum.level,
            total_bytes: sb.total_bytes,
            bytes_used: sb.bytes_used,
            num_devices: sb.num_devices,
        };
    }
}

/// Ranges in ascending order, neighbours joined.
#[derive(Debug, Default)]
struct Runs(Vec<Range<u64>>);

impl Runs {
    fn push(&mut self, start: u64, len: u64) {
        match self.0.last_mut() {
            Some(last) if last.end == start => last.end += len,
            _ => self.0.push(start..start + len),
        }
    }
}

fn free_key(range: &Range<u64>) -> Key {
    Key::new(
        range.start,
        item_type::FREE_SPACE_EXTENT,
        range.end - range.start,
    )
}

fn group_item(group: &Group) -> BlockGroupItem {
    BlockGroupItem {
        used: group.used,
        chunk_objectid: FIRST_CHUNK_TREE,
        flags: group.flags,
    }
}

fn free_info(group: &Group) -> FreeSpaceInfo {
    FreeSpaceInfo {
        // A block group has at most 2^18 sectors in each GiB.
        extent_count: group.listed.len() as u32,
        flags: 0,
    }
}
