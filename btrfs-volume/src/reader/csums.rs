//! Checksums of data.

use std::ops::ControlFlow;

use bytes::Bytes;

use crate::address::Bytenr;
use crate::error::{Error, Result};
use crate::items::Items;
use crate::ondisk::csum::{CSUM_SIZE, crc32c};
use crate::ondisk::objectid::{CSUM_TREE, EXTENT_CSUM};
use crate::ondisk::{Key, item_type};

pub(super) fn list<I: Items + ?Sized>(
    items: &I,
    bytenr: Bytenr,
    sectors: usize,
) -> Result<Vec<Option<u32>>> {
    let mut found = vec![None; sectors];
    for_each(items, bytenr, sectors, &mut |index, csum| {
        found[index] = Some(csum);
    })?;
    Ok(found)
}

pub(super) fn verify<I: Items + ?Sized>(
    items: &I,
    bytenr: Bytenr,
    bytes: &[u8],
) -> Result<Vec<usize>> {
    let sector = items.geometry().sectorsize as usize;
    let sectors = bytes.len() / sector;
    let mut bad = Vec::new();
    for_each(items, bytenr, sectors, &mut |index, csum| {
        if crc32c(&bytes[index * sector..][..sector]) != csum {
            bad.push(index);
        }
    })?;
    Ok(bad)
}

/// Calls `found` for each of the sectors that has a checksum, ascending.
fn for_each<I: Items + ?Sized>(
    items: &I,
    bytenr: Bytenr,
    sectors: usize,
    found: &mut dyn FnMut(usize, u32),
) -> Result<()> {
    let sector = u64::from(items.geometry().sectorsize);
    let end = (sectors as u64)
        .checked_mul(sector)
        .and_then(|len| bytenr.0.checked_add(len));
    let Some(end) = end.filter(|&end| end > bytenr.0) else {
        return Ok(());
    };
    let key = |offset| Key::new(EXTENT_CSUM, item_type::EXTENT_CSUM, offset);
    let mut take = |key: Key, data: &Bytes| -> Result<()> {
        let covered = (data.len() / CSUM_SIZE) as u64 * sector;
        if data.is_empty()
            || !data.len().is_multiple_of(CSUM_SIZE)
            || !key.offset.is_multiple_of(sector)
            || key.offset.checked_add(covered).is_none()
        {
            let problem = format!("{} bytes of checksums", data.len());
            return Err(Error::bad_item(CSUM_TREE, key, problem));
        }
        let from = bytenr.0.max(key.offset);
        let until = end.min(key.offset + covered);
        if from >= until {
            return Ok(());
        }
        // Both quotients are within what is in memory.
        let skip = ((from - key.offset) / sector) as usize;
        let first = ((from - bytenr.0) / sector) as usize;
        let count = ((until - from) / sector) as usize;
        let packed = data[skip * CSUM_SIZE..].chunks_exact(CSUM_SIZE);
        for (csum, index) in packed.take(count).zip(first..) {
            let csum = csum.try_into().expect("a chunk of that size");
            found(index, u32::from_le_bytes(csum));
        }
        Ok(())
    };
    // Usually one item holds them all: the last one that starts at or before the first sector.
    if let Some((key, data)) = items.last(CSUM_TREE, key(0)..=key(bytenr.0))? {
        let covered = (data.len() / CSUM_SIZE) as u64 * sector;
        if key.offset.saturating_add(covered) >= end {
            return take(key, &data);
        }
    }
    // Of one moment, that one included: a commit cuts and joins items anew.
    let mut bad = None;
    let keys = [key(0), key(bytenr.0), key(end - 1)];
    items.scan_around(CSUM_TREE, keys, &mut |key, data| match take(key, data) {
        Ok(()) => ControlFlow::Continue(()),
        Err(problem) => {
            bad = Some(problem);
            ControlFlow::Break(())
        }
    })?;
    bad.map_or(Ok(()), Err)
}
