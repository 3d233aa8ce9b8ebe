//! Where a file's bytes are.

use std::ops::{ControlFlow, Range};

use bytes::Bytes;

use crate::address::Bytenr;
use crate::error::{Error, InItem, Result};
use crate::items::Items;
use crate::ondisk::{ExtentKind, FileExtentItem, Key, compression, item_type};
use crate::reader::InodeId;

/// Most bytes of a compressed extent, on disk and decompressed.
const MAX_COMPRESSED: u64 = 128 << 10;
/// Most bytes of an inline extent, decompressed: less than a sector, which is at most this.
const MAX_INLINE: u64 = 64 << 10;

/// A piece of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extent {
    /// Where in the file, in bytes.
    pub start: u64,
    /// How much of the file, in bytes; not 0.
    pub len: u64,
    /// Where its bytes are.
    pub source: ExtentSource,
}

/// Where the bytes of an [`Extent`] are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExtentSource {
    /// Nowhere: it reads as zeros.
    Hole,
    /// On the device, but not written yet: it reads as zeros.
    Prealloc {
        /// First byte of the disk extent.
        bytenr: Bytenr,
        /// Bytes of the disk extent.
        disk_num_bytes: u64,
        /// Where in it this piece starts.
        offset: u64,
    },
    /// In the item. What lies behind `ram_bytes` reads as zeros.
    Inline {
        /// As stored.
        data: Bytes,
        /// See [`compression`].
        compression: u8,
        /// Bytes once decompressed.
        ram_bytes: u64,
    },
    /// On the device as it is.
    Raw {
        /// First byte of the disk extent.
        bytenr: Bytenr,
        /// Bytes of the disk extent.
        disk_num_bytes: u64,
        /// Where in it this piece starts; `offset + len <= disk_num_bytes`.
        offset: u64,
    },
    /// On the device, compressed.
    Compressed {
        /// First byte of the disk extent.
        bytenr: Bytenr,
        /// Bytes of the disk extent; at most 128 KiB.
        disk_num_bytes: u64,
        /// Bytes once decompressed; at most 128 KiB.
        ram_bytes: u64,
        /// Where in the decompressed extent this piece starts.
        offset: u64,
        /// See [`compression`]; not `NONE`.
        compression: u8,
    },
}

impl Extent {
    /// Where in the file it ends. Does not overflow for what `Reader::extents` returns.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.start + self.len
    }
}

pub(super) fn list<I: Items + ?Sized>(
    items: &I,
    id: InodeId,
    range: Range<u64>,
) -> Result<Vec<Extent>> {
    let sector = u64::from(items.geometry().sectorsize);
    let start = range.start - range.start % sector;
    // The last sector of the address space is nobody's.
    let end = range
        .end
        .checked_next_multiple_of(sector)
        .unwrap_or(u64::MAX - (sector - 1));
    let mut cover = Cover {
        id,
        sector,
        at: start,
        extents: Vec::new(),
    };
    if start >= end {
        return Ok(cover.extents);
    }
    let key = |offset| Key::new(id.ino, item_type::EXTENT_DATA, offset);
    let mut bad = None;
    let keys = [key(0), key(start), key(end - 1)];
    items.scan_around(id.tree, keys, &mut |key, data| {
        let pushed = decode(id, sector, key, data).and_then(|extent| {
            if key.offset <= start {
                if extent.end() <= start {
                    return Ok(());
                }
                cover.at = extent.start;
            }
            cover.push(key, extent)
        });
        match pushed {
            Ok(()) => ControlFlow::Continue(()),
            Err(problem) => {
                bad = Some(problem);
                ControlFlow::Break(())
            }
        }
    })?;
    if let Some(bad) = bad {
        return Err(bad);
    }
    cover.hole_until(end);
    Ok(cover.extents)
}

/// Extents so far, which end at `at`.
struct Cover {
    id: InodeId,
    sector: u64,
    at: u64,
    extents: Vec<Extent>,
}

impl Cover {
    fn push(&mut self, key: Key, extent: Extent) -> Result<()> {
        if extent.start < self.at || !extent.start.is_multiple_of(self.sector) {
            let problem = format!(
                "starts at {}, expected a multiple of {} and at least {}, where the one before ends",
                extent.start, self.sector, self.at
            );
            return Err(Error::bad_item(self.id.tree, key, problem));
        }
        if extent.source == ExtentSource::Hole {
            self.hole_until(extent.end());
            return Ok(());
        }
        self.hole_until(extent.start);
        self.at = extent.end();
        self.extents.push(extent);
        Ok(())
    }

    /// Holes next to each other become one.
    fn hole_until(&mut self, end: u64) {
        if end <= self.at {
            return;
        }
        let len = end - self.at;
        match self.extents.last_mut() {
            Some(last) if last.source == ExtentSource::Hole => last.len += len,
            _ => self.extents.push(Extent {
                start: self.at,
                len,
                source: ExtentSource::Hole,
            }),
        }
        self.at = end;
    }
}

/// The extent of an item, whose fields fit each other.
fn decode(id: InodeId, sector: u64, key: Key, data: &Bytes) -> Result<Extent> {
    let item = FileExtentItem::decode(data).in_item(id.tree, key)?;
    let bad = |problem: String| Error::bad_item(id.tree, key, problem);
    if item.encryption != 0 || item.other_encoding != 0 {
        return Err(unsupported("encrypted extents".into()));
    }
    if compression::name(item.compression).is_none() {
        return Err(unsupported(format!("compression {}", item.compression)));
    }
    let compressed = item.compression != compression::NONE;
    let (len, source) = match item.kind {
        ExtentKind::Inline { data } => {
            if key.offset != 0 || item.ram_bytes > MAX_INLINE || item.ram_bytes == 0 {
                return Err(bad(format!("is inline with {} bytes", item.ram_bytes)));
            }
            if !compressed && (data.len() as u64) < item.ram_bytes {
                let (have, want) = (data.len(), item.ram_bytes);
                return Err(bad(format!("has {have} inline bytes, expected {want}")));
            }
            let source = ExtentSource::Inline {
                data,
                compression: item.compression,
                ram_bytes: item.ram_bytes,
            };
            (item.ram_bytes.next_multiple_of(sector), source)
        }
        ExtentKind::Regular {
            disk_bytenr: 0,
            num_bytes,
            ..
        } => (num_bytes, ExtentSource::Hole),
        ExtentKind::Regular {
            disk_bytenr,
            disk_num_bytes,
            offset,
            num_bytes,
        } => {
            let within = if compressed {
                item.ram_bytes.next_multiple_of(sector)
            } else {
                disk_num_bytes
            };
            if compressed && (disk_num_bytes > MAX_COMPRESSED || item.ram_bytes > MAX_COMPRESSED)
                || offset.checked_add(num_bytes).is_none_or(|end| end > within)
            {
                let ram_bytes = item.ram_bytes;
                return Err(bad(format!(
                    "covers {num_bytes} bytes from {offset} of an extent of {ram_bytes} bytes, \
                     {disk_num_bytes} on disk"
                )));
            }
            let bytenr = Bytenr(disk_bytenr);
            let source = if compressed {
                ExtentSource::Compressed {
                    bytenr,
                    disk_num_bytes,
                    ram_bytes: item.ram_bytes,
                    offset,
                    compression: item.compression,
                }
            } else {
                ExtentSource::Raw {
                    bytenr,
                    disk_num_bytes,
                    offset,
                }
            };
            (num_bytes, source)
        }
        ExtentKind::Prealloc {
            disk_bytenr,
            disk_num_bytes,
            offset,
            num_bytes,
        } => {
            let source = ExtentSource::Prealloc {
                bytenr: Bytenr(disk_bytenr),
                disk_num_bytes,
                offset,
            };
            (num_bytes, source)
        }
    };
    // So that no end overflows, not even once rounded up.
    let limit = i64::MAX.unsigned_abs();
    if len == 0 || !len.is_multiple_of(sector) || key.offset > limit || len > limit - key.offset {
        return Err(bad(format!("covers {len} bytes")));
    }
    if let ExtentSource::Raw { bytenr, .. } | ExtentSource::Compressed { bytenr, .. } = &source
        && !bytenr.0.is_multiple_of(sector)
    {
        return Err(bad(format!("is at {bytenr}, which is no sector's address")));
    }
    Ok(Extent {
        start: key.offset,
        len,
        source,
    })
}

fn unsupported(feature: String) -> Error {
    Error::Unsupported {
        features: vec![feature],
        writing: false,
    }
}
