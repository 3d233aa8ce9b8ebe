//! Checksums of data: kept as they come, cut into large items at the commit.

use std::ops::Range;

use bytes::{Bytes, BytesMut};

use super::btree::Changes;
use super::state::State;
use crate::error::Result;
use crate::node::{ITEM_SIZE, leaf_capacity};
use crate::ondisk::csum::CSUM_SIZE;
use crate::ondisk::objectid::{CSUM_TREE, EXTENT_CSUM};
use crate::ondisk::{Key, item_type};
use crate::storage::Geometry;

/// The key of the checksums from `bytenr` on.
pub(crate) fn key(bytenr: u64) -> Key {
    Key::new(EXTENT_CSUM, item_type::EXTENT_CSUM, bytenr)
}

/// Most bytes of checksums in an item, by the kernel's rule.
fn max_item(nodesize: u32) -> usize {
    let most = (leaf_capacity(nodesize as usize) - 2 * ITEM_SIZE) / CSUM_SIZE - 1;
    most.min(4096) * CSUM_SIZE
}

/// Joins checksums of neighbouring extents and cuts them into items. Nothing is left of items of the
/// last commit at `shortened`, though what they are now may become part of another.
pub(crate) fn pack(overlay: Changes, shortened: &[Key], geometry: &Geometry) -> Changes {
    let max = max_item(geometry.nodesize);
    let sector = u64::from(geometry.sectorsize);
    let covers = |bytes: &Bytes| (bytes.len() / CSUM_SIZE) as u64 * sector;
    let mut packed: Changes = shortened.iter().map(|&key| (key, None)).collect();
    let mut run: Vec<Bytes> = Vec::new();
    let mut start = 0;
    let mut end = 0;
    for (key, data) in overlay {
        let Some(data) = data else {
            packed.insert(key, None);
            continue;
        };
        if key.offset != end {
            emit(&mut packed, start, std::mem::take(&mut run), max, sector);
            start = key.offset;
            end = start;
        }
        end += covers(&data);
        run.push(data);
    }
    emit(&mut packed, start, run, max, sector);
    packed
}

fn emit(packed: &mut Changes, start: u64, run: Vec<Bytes>, max: usize, sector: u64) {
    let mut bytes = BytesMut::with_capacity(run.iter().map(Bytes::len).sum());
    for piece in &run {
        bytes.extend_from_slice(piece);
    }
    let mut at = start;
    while !bytes.is_empty() {
        let item = bytes.split_to(max.min(bytes.len()));
        let sectors = (item.len() / CSUM_SIZE) as u64;
        // A copy, so that the item does not keep the whole run.
        packed.insert(key(at), Some(Bytes::copy_from_slice(&item)));
        at += sectors * sector;
    }
}

/// Deletes the checksums of `range`. Items of which the beginning is left are added to `shortened`.
pub(crate) fn delete(state: &mut State, range: Range<u64>, shortened: &mut Vec<Key>) -> Result<()> {
    let sector = u64::from(state.engine.storage.geometry().sectorsize);
    let before = state.last(CSUM_TREE, key(0)..=key(range.start))?;
    let from = before.map_or(range.start, |(key, _)| key.offset);
    let items = state.collect(CSUM_TREE, key(from)..=key(range.end - 1), usize::MAX)?;
    for (item, data) in items {
        let start = item.offset;
        let end = start + (data.len() / CSUM_SIZE) as u64 * sector;
        if end <= range.start {
            continue;
        }
        state.delete(CSUM_TREE, item);
        let cut = |at: u64| ((at - start) / sector) as usize * CSUM_SIZE;
        if start < range.start {
            state.put(CSUM_TREE, item, data.slice(..cut(range.start)));
            shortened.push(item);
        }
        if range.end < end {
            state.put(CSUM_TREE, key(range.end), data.slice(cut(range.end)..));
        }
    }
    Ok(())
}
