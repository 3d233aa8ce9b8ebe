//! Where the pieces of a file are.

use bytes::Bytes;
use zerocopy::IntoBytes;

use super::bad_item::BadItem;
use super::raw::{RawFileExtent, RawFileExtentDisk, finish, impl_encode, take};

/// Values of [`FileExtentItem::compression`].
pub mod compression {
    /// Raw.
    pub const NONE: u8 = 0;
    /// zlib.
    pub const ZLIB: u8 = 1;
    /// lzo.
    pub const LZO: u8 = 2;
    /// zstd.
    pub const ZSTD: u8 = 3;

    /// The name of a codec.
    #[must_use]
    pub fn name(compression: u8) -> Option<&'static str> {
        Some(match compression {
            NONE => "none",
            ZLIB => "zlib",
            LZO => "lzo",
            ZSTD => "zstd",
            _ => return None,
        })
    }
}

/// `EXTENT_DATA`: key (inode, type, offset in the file).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileExtentItem {
    /// Transaction that made it.
    pub generation: u64,
    /// Bytes of the whole extent once decompressed.
    pub ram_bytes: u64,
    /// See [`compression`].
    pub compression: u8,
    /// 0.
    pub encryption: u8,
    /// 0.
    pub other_encoding: u16,
    /// Where the bytes are.
    pub kind: ExtentKind,
}

/// Where the bytes of an extent are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExtentKind {
    /// In the item itself.
    Inline {
        /// As stored.
        data: Bytes,
    },
    /// In an extent, or nowhere where `disk_bytenr` is 0 (a hole).
    Regular {
        /// First byte of the extent.
        disk_bytenr: u64,
        /// Bytes of the extent on the device.
        disk_num_bytes: u64,
        /// Where in the decompressed extent this piece starts.
        offset: u64,
        /// Bytes of the file that this piece covers.
        num_bytes: u64,
    },
    /// In an extent that is allocated but not written; reads as zeros.
    Prealloc {
        /// First byte of the extent.
        disk_bytenr: u64,
        /// Bytes of the extent on the device.
        disk_num_bytes: u64,
        /// Where in the extent this piece starts.
        offset: u64,
        /// Bytes of the file that this piece covers.
        num_bytes: u64,
    },
}

impl FileExtentItem {
    /// Bytes before an inline extent's data.
    pub const INLINE_HEADER: usize = size_of::<RawFileExtent>();

    /// The item in `bytes`.
    ///
    /// # Errors
    /// Not an item of this kind.
    pub fn decode(bytes: &Bytes) -> Result<Self, BadItem> {
        const WHAT: &str = "file extent item";
        let mut rest: &[u8] = bytes;
        let raw: &RawFileExtent = take(WHAT, &mut rest)?;
        let kind = match raw.extent_type {
            0 => ExtentKind::Inline {
                data: bytes.slice_ref(rest),
            },
            1 | 2 => {
                let disk: &RawFileExtentDisk = take(WHAT, &mut rest)?;
                finish(WHAT, rest)?;
                let disk_bytenr = disk.disk_bytenr.get();
                let disk_num_bytes = disk.disk_num_bytes.get();
                let offset = disk.offset.get();
                let num_bytes = disk.num_bytes.get();
                if raw.extent_type == 1 {
                    ExtentKind::Regular {
                        disk_bytenr,
                        disk_num_bytes,
                        offset,
                        num_bytes,
                    }
                } else {
                    ExtentKind::Prealloc {
                        disk_bytenr,
                        disk_num_bytes,
                        offset,
                        num_bytes,
                    }
                }
            }
            other => {
                return Err(BadItem::Field {
                    what: WHAT,
                    field: "type",
                    found: other.into(),
                    expected: "0 (inline), 1 (regular) or 2 (prealloc)",
                });
            }
        };
        Ok(Self {
            generation: raw.generation.get(),
            ram_bytes: raw.ram_bytes.get(),
            compression: raw.compression,
            encryption: raw.encryption,
            other_encoding: raw.other_encoding.get(),
            kind,
        })
    }

    /// Appends its bytes to `out`.
    pub fn encode_into(&self, out: &mut Vec<u8>) {
        let extent_type = match &self.kind {
            ExtentKind::Inline { .. } => 0,
            ExtentKind::Regular { .. } => 1,
            ExtentKind::Prealloc { .. } => 2,
        };
        let raw = RawFileExtent {
            generation: self.generation.into(),
            ram_bytes: self.ram_bytes.into(),
            compression: self.compression,
            encryption: self.encryption,
            other_encoding: self.other_encoding.into(),
            extent_type,
        };
        out.extend_from_slice(raw.as_bytes());
        match &self.kind {
            ExtentKind::Inline { data } => out.extend_from_slice(data),
            &ExtentKind::Regular {
                disk_bytenr,
                disk_num_bytes,
                offset,
                num_bytes,
            }
            | &ExtentKind::Prealloc {
                disk_bytenr,
                disk_num_bytes,
                offset,
                num_bytes,
            } => {
                let raw = RawFileExtentDisk {
                    disk_bytenr: disk_bytenr.into(),
                    disk_num_bytes: disk_num_bytes.into(),
                    offset: offset.into(),
                    num_bytes: num_bytes.into(),
                };
                out.extend_from_slice(raw.as_bytes());
            }
        }
    }
}

impl_encode!(FileExtentItem);
