//! Subvolumes, and what the volume as a whole holds.

use std::ops::ControlFlow;

use bytes::Bytes;

use crate::error::{Error, InItem, Result};
use crate::items::Items;
use crate::ondisk::hash::name_hash;
use crate::ondisk::objectid::{
    FIRST_FREE, FS_TREE, LAST_FREE, ROOT_TREE, ROOT_TREE_DIR, is_subvolume,
};
use crate::ondisk::{DirItem, Key, RootItem, RootRef, item_type};
use crate::reader::InodeId;

/// A subvolume or snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subvolume {
    /// Its tree.
    pub id: u64,
    /// The subvolume that holds its entry, the directory there, and its name; `None` for the top
    /// level.
    pub parent: Option<(u64, u64, Bytes)>,
    /// Its root item.
    pub root: RootItem,
}

/// How full the block groups of one kind are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockGroupUsage {
    /// See [`block_group_flags`](crate::ondisk::block_group_flags).
    pub flags: u64,
    /// Bytes that they can hold.
    pub total_bytes: u64,
    /// Bytes that they hold.
    pub used_bytes: u64,
}

pub(super) fn default_root<I: Items + ?Sized>(items: &I) -> Result<InodeId> {
    let name = b"default";
    let key = Key::new(ROOT_TREE_DIR, item_type::DIR_ITEM, name_hash(name));
    let Some(data) = items.get(ROOT_TREE, &key)? else {
        return root_dir(items, FS_TREE);
    };
    for entry in DirItem::iter(&data) {
        let entry = entry.in_item(ROOT_TREE, key)?;
        if &entry.name[..] != name {
            continue;
        }
        if entry.location.item_type != item_type::ROOT_ITEM
            || !is_subvolume(entry.location.objectid)
        {
            let problem = format!("default subvolume is {}", entry.location);
            return Err(Error::bad_item(ROOT_TREE, key, problem));
        }
        return root_dir(items, entry.location.objectid);
    }
    root_dir(items, FS_TREE)
}

pub(super) fn root_dir<I: Items + ?Sized>(items: &I, tree: u64) -> Result<InodeId> {
    let root = root_item(items, tree)?.ok_or(Error::NoTree { tree })?;
    // A tree that holds files but whose item does not say where: the format has one place only.
    let ino = match root.root_dirid {
        0 => FIRST_FREE,
        dirid => dirid,
    };
    Ok(InodeId { tree, ino })
}

pub(super) fn root_item<I: Items + ?Sized>(items: &I, tree: u64) -> Result<Option<RootItem>> {
    let first = Key::new(tree, item_type::ROOT_ITEM, 0);
    let last = Key::new(tree, item_type::ROOT_ITEM, u64::MAX);
    match items.last(ROOT_TREE, first..=last)? {
        None => Ok(None),
        Some((key, data)) => RootItem::decode(&data).in_item(ROOT_TREE, key).map(Some),
    }
}

pub(super) fn list<I: Items + ?Sized>(items: &I) -> Result<Vec<Subvolume>> {
    let mut found: Vec<Subvolume> = Vec::new();
    if let Some(root) = root_item(items, FS_TREE)? {
        found.push(Subvolume {
            id: FS_TREE,
            parent: None,
            root,
        });
    }
    let first = Key::new(FIRST_FREE, item_type::ROOT_ITEM, 0);
    let last = Key::new(LAST_FREE, item_type::ROOT_BACKREF, u64::MAX);
    let mut bad = None;
    items.scan(ROOT_TREE, first..=last, &mut |key, data| {
        let taken = match key.item_type {
            item_type::ROOT_ITEM => RootItem::decode(data).map(|root| {
                found.push(Subvolume {
                    id: key.objectid,
                    parent: None,
                    root,
                });
            }),
            item_type::ROOT_BACKREF => RootRef::decode(data).map(|root_ref| {
                if let Some(subvolume) = found.last_mut().filter(|s| s.id == key.objectid) {
                    let name = Bytes::copy_from_slice(&root_ref.name);
                    subvolume.parent = Some((key.offset, root_ref.dirid, name));
                }
            }),
            _ => Ok(()),
        };
        if let Err(problem) = taken.in_item(ROOT_TREE, key) {
            bad = Some(problem);
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    })?;
    bad.map_or(Ok(found), Err)
}
