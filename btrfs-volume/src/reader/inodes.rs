//! Attributes and symbolic links.

use bytes::Bytes;

use crate::error::{Error, InItem, Result};
use crate::items::Items;
use crate::ondisk::objectid::EMPTY_SUBVOL_DIR;
use crate::ondisk::{ExtentKind, FileExtentItem, InodeItem, Key, compression, item_type};
use crate::reader::InodeId;

/// Part of `mode` that says what an inode is.
pub(super) const TYPE_MASK: u32 = 0o170_000;
/// A directory.
pub(super) const DIRECTORY: u32 = 0o040_000;
/// A symbolic link.
const SYMLINK: u32 = 0o120_000;

pub(super) fn inode<I: Items + ?Sized>(items: &I, id: InodeId) -> Result<InodeItem> {
    let key = Key::new(id.ino, item_type::INODE_ITEM, 0);
    match items.get(id.tree, &key)? {
        Some(data) => {
            let item = InodeItem::decode(&data).in_item(id.tree, key)?;
            if item.size > i64::MAX as u64 {
                let problem = format!("size is {}, expected less than 2^63", item.size);
                return Err(Error::bad_item(id.tree, key, problem));
            }
            Ok(item)
        }
        // It has no item: it stands where a snapshot has an entry for a subvolume that the
        // snapshot does not hold.
        None if id.ino == EMPTY_SUBVOL_DIR => Ok(InodeItem {
            mode: DIRECTORY | 0o755,
            nlink: 1,
            ..InodeItem::default()
        }),
        None => Err(Error::NoInode {
            tree: id.tree,
            ino: id.ino,
        }),
    }
}

pub(super) fn check_directory<I: Items + ?Sized>(items: &I, id: InodeId) -> Result<()> {
    if inode(items, id)?.mode & TYPE_MASK == DIRECTORY {
        return Ok(());
    }
    Err(wrong_type(id, "a directory"))
}

fn wrong_type(id: InodeId, what: &'static str) -> Error {
    Error::WrongType {
        tree: id.tree,
        ino: id.ino,
        what,
    }
}

pub(super) fn read_link<I: Items + ?Sized>(items: &I, id: InodeId) -> Result<Bytes> {
    let inode = inode(items, id)?;
    if inode.mode & TYPE_MASK != SYMLINK {
        return Err(wrong_type(id, "a symbolic link"));
    }
    let key = Key::new(id.ino, item_type::EXTENT_DATA, 0);
    let Some(data) = items.get(id.tree, &key)? else {
        return Err(Error::bad_item(id.tree, key, "a symbolic link without it"));
    };
    let item = FileExtentItem::decode(&data).in_item(id.tree, key)?;
    match item.kind {
        ExtentKind::Inline { data } if item.compression == compression::NONE => {
            if data.len() as u64 == inode.size {
                return Ok(Bytes::copy_from_slice(&data));
            }
            let problem = format!("target has {} bytes, expected {}", data.len(), inode.size);
            Err(Error::bad_item(id.tree, key, problem))
        }
        _ => Err(Error::bad_item(
            id.tree,
            key,
            "the target of a symbolic link is not inline",
        )),
    }
}
