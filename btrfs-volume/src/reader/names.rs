//! Directory entries and the names of inodes.

use std::ops::ControlFlow;

use bytes::Bytes;

use crate::error::{Error, InItem, Result};
use crate::items::Items;
use crate::ondisk::hash::name_hash;
use crate::ondisk::objectid::{EMPTY_SUBVOL_DIR, ROOT_TREE, is_subvolume};
use crate::ondisk::{DirItem, InodeExtref, InodeRef, Key, RootRef, item_type};
use crate::reader::{InodeId, inodes, subvolumes};

/// A name in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirEntry {
    /// The name as stored.
    pub name: Bytes,
    /// Where it leads; the root directory of a subvolume where the entry is one.
    pub id: InodeId,
    /// See [`dir_type`](crate::ondisk::dir_type).
    pub dir_type: u8,
    /// Its place in the order of the directory; 0 in what `lookup` returns.
    pub index: u64,
}

/// A name of an inode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The directory.
    pub parent: u64,
    /// Its index there.
    pub index: u64,
    /// The name.
    pub name: Bytes,
}

pub(super) fn lookup<I: Items + ?Sized>(
    items: &I,
    dir: InodeId,
    name: &[u8],
) -> Result<Option<DirEntry>> {
    let key = Key::new(dir.ino, item_type::DIR_ITEM, name_hash(name));
    if let Some(data) = items.get(dir.tree, &key)? {
        for entry in DirItem::iter(&data) {
            let entry = entry.in_item(dir.tree, key)?;
            if entry.name == name {
                return resolve(items, dir, key, &entry, 0).map(Some);
            }
        }
    }
    inodes::check_directory(items, dir)?;
    Ok(None)
}

pub(super) fn read_dir<I: Items + ?Sized>(
    items: &I,
    dir: InodeId,
    after: u64,
    max: usize,
) -> Result<Vec<DirEntry>> {
    let Some(first) = after.checked_add(1) else {
        return Ok(Vec::new());
    };
    let first = Key::new(dir.ino, item_type::DIR_INDEX, first);
    let last = Key::new(dir.ino, item_type::DIR_INDEX, u64::MAX);
    // Entries are resolved once the scan is over: that looks at another tree.
    let mut found: Vec<(Key, DirItem)> = Vec::new();
    let mut bad = None;
    items.scan(dir.tree, first..=last, &mut |key, data| {
        if found.len() == max {
            return ControlFlow::Break(());
        }
        // An index has one entry.
        match DirItem::iter(data).next() {
            Some(Ok(entry)) => found.push((key, entry)),
            Some(Err(problem)) => {
                bad = Some(Error::bad_item(dir.tree, key, problem));
                return ControlFlow::Break(());
            }
            None => {
                bad = Some(Error::bad_item(dir.tree, key, "is empty"));
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    })?;
    if let Some(bad) = bad {
        // What comes before it can be listed; the next call starts with it.
        if found.is_empty() {
            return Err(bad);
        }
    }
    if found.is_empty() && after == 0 {
        inodes::check_directory(items, dir)?;
    }
    found
        .into_iter()
        .map(|(key, entry)| resolve(items, dir, key, &entry, key.offset))
        .collect()
}

/// Where an entry leads.
fn resolve<I: Items + ?Sized>(
    items: &I,
    dir: InodeId,
    key: Key,
    entry: &DirItem,
    index: u64,
) -> Result<DirEntry> {
    let location = entry.location;
    let id = match location.item_type {
        item_type::INODE_ITEM => InodeId::new(dir.tree, location.objectid),
        item_type::ROOT_ITEM if is_subvolume(location.objectid) => subvolume(items, dir, entry)?,
        _ => {
            let problem = format!("\"{}\" leads to {location}", entry.name.escape_ascii());
            return Err(Error::bad_item(dir.tree, key, problem));
        }
    };
    Ok(DirEntry {
        // A copy: a slice would keep the whole node in memory.
        name: Bytes::copy_from_slice(&entry.name),
        id,
        // The highest bit says that the name is encrypted.
        dir_type: entry.dir_type & 0x7f,
        index,
    })
}

/// The root of the subvolume that an entry leads to. In a snapshot, which does not hold the
/// subvolumes of its origin, an empty directory stands for it, as in the kernel: whether the
/// subvolume is here is what the root tree says.
fn subvolume<I: Items + ?Sized>(items: &I, dir: InodeId, entry: &DirItem) -> Result<InodeId> {
    let child = entry.location.objectid;
    let key = Key::new(dir.tree, item_type::ROOT_REF, child);
    let here = match items.get(ROOT_TREE, &key)? {
        None => false,
        Some(data) => {
            let root_ref = RootRef::decode(&data).in_item(ROOT_TREE, key)?;
            root_ref.dirid == dir.ino && root_ref.name == entry.name
        }
    };
    if here {
        subvolumes::root_dir(items, child)
    } else {
        Ok(InodeId::new(dir.tree, EMPTY_SUBVOL_DIR))
    }
}

pub(super) fn links<I: Items + ?Sized>(items: &I, id: InodeId) -> Result<Vec<Link>> {
    let first = Key::new(id.ino, item_type::INODE_REF, 0);
    let last = Key::new(id.ino, item_type::INODE_EXTREF, u64::MAX);
    let mut links = Vec::new();
    let mut bad = None;
    items.scan(id.tree, first..=last, &mut |key, data| {
        let complete = if key.item_type == item_type::INODE_REF {
            InodeRef::iter(data).try_for_each(|link| {
                let link = link?;
                links.push(Link {
                    parent: key.offset,
                    index: link.index,
                    name: Bytes::copy_from_slice(&link.name),
                });
                Ok(())
            })
        } else {
            InodeExtref::iter(data).try_for_each(|link| {
                let link = link?;
                links.push(Link {
                    parent: link.parent,
                    index: link.index,
                    name: Bytes::copy_from_slice(&link.name),
                });
                Ok(())
            })
        };
        if let Err(problem) = complete.in_item(id.tree, key) {
            bad = Some(problem);
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    })?;
    bad.map_or(Ok(links), Err)
}
