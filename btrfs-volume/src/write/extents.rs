//! Extents of files.

use std::ops::Range;

use bytes::Bytes;

use super::csums;
use super::names::dir_type_of;
use super::refs::DataRef;
use super::space::Kind;
use super::state::State;
use crate::address::Bytenr;
use crate::error::{Error, Result};
use crate::ondisk::csum::CSUM_SIZE;
use crate::ondisk::objectid::CSUM_TREE;
use crate::ondisk::{ExtentKind, FileExtentItem, Key, compression, dir_type, incompat, item_type};

/// No file is longer.
const MAX_SIZE: u64 = i64::MAX as u64;
/// Most bytes of a compressed extent, on the device and decompressed.
const MAX_COMPRESSED: u64 = 128 << 10;

/// An extent of a file whose bytes are on the device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewExtent {
    /// Where in the file, in bytes; sector-aligned.
    pub file_offset: u64,
    /// How much of the file it covers, in bytes; sector-aligned.
    pub num_bytes: u64,
    /// What [`Volume::allocate`](crate::Volume::allocate) gave, and no extent took yet.
    pub bytenr: Bytenr,
    /// Bytes on the device; sector-aligned. As many as `num_bytes` if it is not compressed, and both at
    /// most 128 KiB if it is.
    pub disk_num_bytes: u64,
    /// See [`compression`].
    pub compression: u8,
    /// One checksum for each sector on the device, packed; or none.
    pub checksums: Bytes,
}

impl State {
    /// Takes contiguous space for data, but leaves enough for the metadata.
    pub(crate) fn allocate_data(&mut self, len: u64) -> Result<Bytenr> {
        self.check_some_room()?;
        let sector = u64::from(self.engine.storage.geometry().sectorsize);
        if len == 0 || !len.is_multiple_of(sector) {
            return Err(Error::Invalid {
                what: "length of an extent",
                problem: format!("{len} is no multiple of {sector}"),
            });
        }
        let wanted = self.metadata_wanted();
        self.engine.space.keep_for_metadata(wanted);
        self.engine.space.allocate(Kind::Data, len)
    }

    /// Bytes of data that may still be promised.
    pub(crate) fn data_available(&self) -> u64 {
        self.engine.space.data_available(self.metadata_wanted())
    }

    /// Gives back what [`allocate_data`](Self::allocate_data) gave, and nothing else.
    pub(crate) fn release_data(&mut self, at: Bytenr, len: u64) {
        if self.is_reserved(at, len) {
            self.engine.space.release(at.0, len);
        }
    }

    /// Whether all of it was allocated and became no extent since.
    fn is_reserved(&self, at: Bytenr, len: u64) -> bool {
        let Some(end) = at.0.checked_add(len).filter(|&end| end > at.0) else {
            return false;
        };
        let extent = self.engine.refs.data.range(..end).next_back();
        let taken = extent.is_some_and(|(start, extent)| start + extent.num_bytes > at.0);
        !taken && self.engine.space.is_reserved(at.0..end)
    }

    fn check_extent(&self, new: &NewExtent) -> Result<()> {
        let invalid = |problem: &str| {
            Err(Error::Invalid {
                what: "extent",
                problem: format!("{problem}: {new:?}"),
            })
        };
        let sector = u64::from(self.engine.storage.geometry().sectorsize);
        let aligned = |bytes: u64| bytes.is_multiple_of(sector);
        if new.num_bytes == 0 || !aligned(new.file_offset) || !aligned(new.num_bytes) {
            return invalid("not whole sectors of the file");
        }
        let end = new.file_offset.checked_add(new.num_bytes);
        if end.is_none_or(|end| end > MAX_SIZE) {
            return invalid("beyond the largest file");
        }
        if !aligned(new.bytenr.0) || !aligned(new.disk_num_bytes) {
            return invalid("not whole sectors of the device");
        }
        if !self.is_reserved(new.bytenr, new.disk_num_bytes) {
            return invalid("not allocated, or an extent already");
        }
        let sectors = new.disk_num_bytes / sector;
        if !new.checksums.is_empty() && new.checksums.len() as u64 != sectors * CSUM_SIZE as u64 {
            return invalid("not one checksum for each sector");
        }
        match new.compression {
            compression::NONE if new.num_bytes == new.disk_num_bytes => Ok(()),
            compression::ZLIB..=compression::ZSTD
                if new.num_bytes.max(new.disk_num_bytes) <= MAX_COMPRESSED =>
            {
                Ok(())
            }
            _ => invalid("not so many bytes with that compression"),
        }
    }

    fn check_regular(&mut self, tree: u64, ino: u64) -> Result<()> {
        if dir_type_of(self.inode(tree, ino)?.item.mode) != dir_type::REG_FILE {
            return Err(Error::WrongType {
                tree,
                ino,
                what: "a regular file",
            });
        }
        Ok(())
    }

    /// Records an extent in place of what it covers.
    pub(crate) fn insert_extent(&mut self, tree: u64, ino: u64, new: NewExtent) -> Result<()> {
        self.check_writable()?;
        self.check_extent(&new)?;
        self.check_regular(tree, ino)?;
        let range = new.file_offset..new.file_offset + new.num_bytes;
        self.drop_extents(tree, ino, range.clone())?;
        match new.compression {
            compression::LZO => self.superblock.incompat_flags |= incompat::COMPRESS_LZO,
            compression::ZSTD => self.superblock.incompat_flags |= incompat::COMPRESS_ZSTD,
            _ => {}
        }
        let item = FileExtentItem {
            generation: self.engine.transid,
            ram_bytes: new.num_bytes,
            compression: new.compression,
            encryption: 0,
            other_encoding: 0,
            kind: ExtentKind::Regular {
                disk_bytenr: new.bytenr.0,
                disk_num_bytes: new.disk_num_bytes,
                offset: 0,
                num_bytes: new.num_bytes,
            },
        };
        let key = Key::new(ino, item_type::EXTENT_DATA, new.file_offset);
        self.put_encoded(tree, key, |out| item.encode_into(out));
        let data_ref = DataRef {
            root: tree,
            objectid: ino,
            offset: new.file_offset,
        };
        self.engine
            .refs
            .change_data(new.bytenr.0, new.disk_num_bytes, data_ref, 1, true);
        if !new.checksums.is_empty() {
            self.put(CSUM_TREE, csums::key(new.bytenr.0), new.checksums);
        }
        let hot = self.inode_mut(tree, ino)?;
        hot.item.nbytes += new.num_bytes;
        hot.extents_end = hot.extents_end.map(|end| end.max(range.end));
        Ok(())
    }

    /// Makes `data` the whole content of a file.
    pub(crate) fn insert_inline(
        &mut self,
        tree: u64,
        ino: u64,
        data: Bytes,
        compression: u8,
        ram_bytes: u64,
    ) -> Result<()> {
        self.check_some_room()?;
        let sector = u64::from(self.engine.storage.geometry().sectorsize);
        if data.is_empty() || data.len() as u64 >= sector || ram_bytes > sector {
            return Err(Error::TooLarge {
                what: "an inline extent",
                len: ram_bytes,
                max: sector,
            });
        }
        let raw = compression == compression::NONE;
        if ram_bytes == 0
            || compression > compression::ZSTD
            || raw && ram_bytes != data.len() as u64
        {
            return Err(Error::Invalid {
                what: "inline extent",
                problem: format!(
                    "{} bytes, {ram_bytes} with compression {compression} undone",
                    data.len()
                ),
            });
        }
        self.check_regular(tree, ino)?;
        self.drop_extents(tree, ino, 0..u64::MAX)?;
        match compression {
            compression::LZO => self.superblock.incompat_flags |= incompat::COMPRESS_LZO,
            compression::ZSTD => self.superblock.incompat_flags |= incompat::COMPRESS_ZSTD,
            _ => {}
        }
        let item = FileExtentItem {
            generation: self.engine.transid,
            ram_bytes,
            compression,
            encryption: 0,
            other_encoding: 0,
            kind: ExtentKind::Inline { data },
        };
        let key = Key::new(ino, item_type::EXTENT_DATA, 0);
        self.put_encoded(tree, key, |out| item.encode_into(out));
        let hot = self.inode_mut(tree, ino)?;
        hot.item.nbytes += ram_bytes;
        hot.extents_end = hot.extents_end.map(|end| end.max(sector));
        Ok(())
    }

    /// Makes `range` a hole.
    pub(crate) fn drop_extents(&mut self, tree: u64, ino: u64, range: Range<u64>) -> Result<()> {
        self.check_writable()?;
        let hot = self.inode_mut(tree, ino)?;
        if range.is_empty() || hot.extents_end.is_some_and(|end| end <= range.start) {
            return Ok(());
        }
        let key = |offset| Key::new(ino, item_type::EXTENT_DATA, offset);
        let before = self.last(tree, key(0)..=key(range.start))?;
        let from = before.map_or(range.start, |(key, _)| key.offset);
        let items = self.collect(tree, key(from)..=key(range.end - 1), usize::MAX)?;
        let mut dropped = 0;
        for (key, data) in items {
            dropped += self.drop_part(tree, key, &data, &range)?;
        }
        let nbytes = &mut self.inode_mut(tree, ino)?.item.nbytes;
        *nbytes = nbytes.saturating_sub(dropped);
        Ok(())
    }

    /// Takes `range` out of one extent of a file. Returns by how much `nbytes` shrinks.
    fn drop_part(&mut self, tree: u64, key: Key, data: &Bytes, range: &Range<u64>) -> Result<u64> {
        let bad = |problem: &dyn std::fmt::Display| Error::bad_item(tree, key, problem);
        let item = FileExtentItem::decode(data).map_err(|problem| bad(&problem))?;
        let (disk_bytenr, disk_num_bytes, offset, num_bytes) = match item.kind {
            ExtentKind::Inline { .. } => {
                if key.offset >= range.end || key.offset + item.ram_bytes <= range.start {
                    return Ok(0);
                }
                self.delete(tree, key);
                return Ok(item.ram_bytes);
            }
            ExtentKind::Regular {
                disk_bytenr,
                disk_num_bytes,
                offset,
                num_bytes,
            }
            | ExtentKind::Prealloc {
                disk_bytenr,
                disk_num_bytes,
                offset,
                num_bytes,
            } => (disk_bytenr, disk_num_bytes, offset, num_bytes),
        };
        let start = key.offset;
        let end = start
            .checked_add(num_bytes)
            .ok_or_else(|| bad(&"reaches beyond the largest offset"))?;
        let lost = range.start.max(start)..range.end.min(end);
        if lost.is_empty() {
            return Ok(0);
        }
        self.delete(tree, key);
        if item.generation != self.engine.transid {
            // The leaf that it is in, and those of its extent, its checksums and its space.
            self.scattered += 4;
        }
        let mut pieces = 0;
        for piece in [start..lost.start, lost.end..end] {
            if piece.is_empty() {
                continue;
            }
            pieces += 1;
            let mut part = item.clone();
            let (ExtentKind::Regular {
                offset: part_offset,
                num_bytes: part_bytes,
                ..
            }
            | ExtentKind::Prealloc {
                offset: part_offset,
                num_bytes: part_bytes,
                ..
            }) = &mut part.kind
            else {
                continue;
            };
            if disk_bytenr != 0 {
                *part_offset = offset + (piece.start - start);
            }
            *part_bytes = piece.end - piece.start;
            let key = Key::new(key.objectid, key.item_type, piece.start);
            self.put_encoded(tree, key, |out| part.encode_into(out));
        }
        if disk_bytenr == 0 {
            return Ok(0);
        }
        let data_ref = DataRef {
            root: tree,
            objectid: key.objectid,
            offset: start.wrapping_sub(offset),
        };
        self.engine
            .refs
            .change_data(disk_bytenr, disk_num_bytes, data_ref, pieces - 1, false);
        Ok(lost.end - lost.start)
    }
}
