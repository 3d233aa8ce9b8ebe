//! Extended attributes.

use std::ops::ControlFlow;

use bytes::Bytes;

use crate::error::{InItem, Result};
use crate::items::Items;
use crate::ondisk::hash::name_hash;
use crate::ondisk::{DirItem, Key, item_type};
use crate::reader::InodeId;

pub(super) fn list<I: Items + ?Sized>(items: &I, id: InodeId) -> Result<Vec<(Bytes, Bytes)>> {
    let first = Key::new(id.ino, item_type::XATTR_ITEM, 0);
    let last = Key::new(id.ino, item_type::XATTR_ITEM, u64::MAX);
    let mut found = Vec::new();
    let mut bad = None;
    items.scan(id.tree, first..=last, &mut |key, data| {
        for entry in DirItem::iter(data) {
            match entry.in_item(id.tree, key) {
                Ok(entry) => found.push((
                    Bytes::copy_from_slice(&entry.name),
                    Bytes::copy_from_slice(&entry.data),
                )),
                Err(problem) => {
                    bad = Some(problem);
                    return ControlFlow::Break(());
                }
            }
        }
        ControlFlow::Continue(())
    })?;
    bad.map_or(Ok(found), Err)
}

pub(super) fn get<I: Items + ?Sized>(items: &I, id: InodeId, name: &[u8]) -> Result<Option<Bytes>> {
    let key = Key::new(id.ino, item_type::XATTR_ITEM, name_hash(name));
    let Some(data) = items.get(id.tree, &key)? else {
        return Ok(None);
    };
    for entry in DirItem::iter(&data) {
        let entry = entry.in_item(id.tree, key)?;
        if entry.name == name {
            return Ok(Some(Bytes::copy_from_slice(&entry.data)));
        }
    }
    Ok(None)
}
