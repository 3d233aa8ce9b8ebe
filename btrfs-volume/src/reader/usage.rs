//! How much space files take: what `compsize` tells.

use std::collections::{BTreeMap, HashSet};
use std::ops::{ControlFlow, RangeInclusive};

use crate::error::{Error, InItem, Result};
use crate::items::Items;
use crate::ondisk::objectid::{FIRST_FREE, ROOT_TREE};
use crate::ondisk::{ExtentKind, FileExtentItem, Key, dir_type, item_type};
use crate::reader::inodes::{DIRECTORY, TYPE_MASK, inode};
use crate::reader::{InodeId, Reader};

/// Directory entries that are read at once.
const BATCH: usize = 1024;

/// What the extents of one codec take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CodecUsage {
    /// Extents, each disk extent once.
    pub extents: u64,
    /// Bytes on the device, each disk extent once.
    pub disk_bytes: u64,
    /// The same once decompressed.
    pub uncompressed_bytes: u64,
    /// Bytes of files that are there: more than `uncompressed_bytes` where extents are shared,
    /// less where parts of them are used no more.
    pub referenced_bytes: u64,
}

/// What files take.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Usage {
    /// Files that have extents.
    pub files: u64,
    /// Items that refer to extents on the device.
    pub references: u64,
    /// Inline extents.
    pub inline_extents: u64,
    /// By [`compression`](crate::ondisk::compression).
    pub by_codec: BTreeMap<u8, CodecUsage>,
    /// Preallocated and not written.
    pub prealloc: CodecUsage,
}

impl Usage {
    /// All codecs and what is preallocated.
    #[must_use]
    pub fn total(&self) -> CodecUsage {
        let mut total = self.prealloc;
        for usage in self.by_codec.values() {
            total.extents += usage.extents;
            total.disk_bytes = total.disk_bytes.saturating_add(usage.disk_bytes);
            total.uncompressed_bytes = total
                .uncompressed_bytes
                .saturating_add(usage.uncompressed_bytes);
            total.referenced_bytes = total
                .referenced_bytes
                .saturating_add(usage.referenced_bytes);
        }
        total
    }
}

impl CodecUsage {
    /// Sums saturate: in a damaged image anything may be claimed.
    fn add(&mut self, is_new: bool, disk: u64, uncompressed: u64, referenced: u64) {
        if is_new {
            self.extents += 1;
            self.disk_bytes = self.disk_bytes.saturating_add(disk);
            self.uncompressed_bytes = self.uncompressed_bytes.saturating_add(uncompressed);
        }
        self.referenced_bytes = self.referenced_bytes.saturating_add(referenced);
    }
}

pub(super) fn of<I: Items + ?Sized>(items: &I, id: InodeId) -> Result<Usage> {
    let mut walk = Walk::default();
    if inode(items, id)?.mode & TYPE_MASK != DIRECTORY {
        walk.file(items, id)?;
        return Ok(walk.usage);
    }
    let mut todo = vec![id];
    // Also cuts loops, which only a damaged image has.
    let mut seen = HashSet::from([id]);
    while let Some(dir) = todo.pop() {
        if dir.ino == FIRST_FREE {
            // All of a subvolume: its tree in one go.
            walk.tree(items, dir.tree)?;
            let below = children(items, dir.tree)?;
            todo.extend(below.into_iter().filter(|&id| seen.insert(id)));
            continue;
        }
        let mut after = 0;
        loop {
            let entries = items.read_dir(dir, after, BATCH)?;
            let Some(last) = entries.last() else { break };
            after = last.index;
            for entry in entries {
                // Files with several names count once, directories too.
                let is_new = match entry.dir_type {
                    dir_type::DIR => seen.insert(entry.id),
                    dir_type::REG_FILE => {
                        inode(items, entry.id)?.nlink < 2 || seen.insert(entry.id)
                    }
                    _ => false,
                };
                if is_new && entry.dir_type == dir_type::DIR {
                    todo.push(entry.id);
                } else if is_new {
                    walk.file(items, entry.id)?;
                }
            }
        }
    }
    Ok(walk.usage)
}

/// Root directories of the subvolumes directly below one.
fn children<I: Items + ?Sized>(items: &I, tree: u64) -> Result<Vec<InodeId>> {
    let first = Key::new(tree, item_type::ROOT_REF, 0);
    let last = Key::new(tree, item_type::ROOT_REF, u64::MAX);
    let mut found = Vec::new();
    items.scan(ROOT_TREE, first..=last, &mut |key, _| {
        found.push(InodeId::new(key.offset, FIRST_FREE));
        ControlFlow::Continue(())
    })?;
    Ok(found)
}

#[derive(Default)]
struct Walk {
    usage: Usage,
    /// First bytes of the disk extents that have been counted.
    counted: HashSet<u64>,
    /// The file that was counted last.
    file: Option<InodeId>,
}

impl Walk {
    fn file<I: Items + ?Sized>(&mut self, items: &I, id: InodeId) -> Result<()> {
        let first = Key::new(id.ino, item_type::EXTENT_DATA, 0);
        let last = Key::new(id.ino, item_type::EXTENT_DATA, u64::MAX);
        self.range(items, id.tree, first..=last)
    }

    fn tree<I: Items + ?Sized>(&mut self, items: &I, tree: u64) -> Result<()> {
        self.range(items, tree, Key::MIN..=Key::MAX)
    }

    fn range<I: Items + ?Sized>(
        &mut self,
        items: &I,
        tree: u64,
        range: RangeInclusive<Key>,
    ) -> Result<()> {
        let mut symlink = None;
        let mut bad: Option<Error> = None;
        items.scan(tree, range, &mut |key, data| {
            if key.item_type == item_type::INODE_ITEM {
                // A symlink's target is no data, though stored like it.
                symlink = crate::ondisk::InodeItem::decode(data)
                    .is_ok_and(|inode| inode.mode & TYPE_MASK == 0o120_000)
                    .then_some(key.objectid);
            }
            if key.item_type != item_type::EXTENT_DATA || symlink == Some(key.objectid) {
                return ControlFlow::Continue(());
            }
            match FileExtentItem::decode(data).in_item(tree, key) {
                Ok(item) => {
                    self.count(InodeId::new(tree, key.objectid), &item);
                    ControlFlow::Continue(())
                }
                Err(problem) => {
                    bad = Some(problem);
                    ControlFlow::Break(())
                }
            }
        })?;
        bad.map_or(Ok(()), Err)
    }

    fn count(&mut self, id: InodeId, item: &FileExtentItem) {
        let usage = &mut self.usage;
        let by_codec = usage.by_codec.entry(item.compression);
        match item.kind {
            ExtentKind::Regular { disk_bytenr: 0, .. } => return,
            ExtentKind::Inline { ref data } => {
                usage.inline_extents += 1;
                let len = data.len() as u64;
                by_codec
                    .or_default()
                    .add(true, len, item.ram_bytes, item.ram_bytes);
            }
            ExtentKind::Regular {
                disk_bytenr,
                disk_num_bytes,
                num_bytes,
                ..
            } => {
                usage.references += 1;
                let is_new = self.counted.insert(disk_bytenr);
                by_codec
                    .or_default()
                    .add(is_new, disk_num_bytes, item.ram_bytes, num_bytes);
            }
            ExtentKind::Prealloc {
                disk_bytenr,
                disk_num_bytes,
                num_bytes,
                ..
            } => {
                usage.references += 1;
                let is_new = self.counted.insert(disk_bytenr);
                usage
                    .prealloc
                    .add(is_new, disk_num_bytes, item.ram_bytes, num_bytes);
            }
        }
        if self.file.replace(id) != Some(id) {
            usage.files += 1;
        }
    }
}
