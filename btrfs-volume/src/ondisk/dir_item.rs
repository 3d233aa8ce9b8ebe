//! Directory entries and extended attributes.

use bytes::Bytes;
use zerocopy::IntoBytes;

use super::bad_item::BadItem;
use super::key::Key;
use super::raw::{RawDirItem, impl_encode, take, take_bytes};

/// What a directory entry leads to.
pub mod dir_type {
    /// Not known.
    pub const UNKNOWN: u8 = 0;
    /// Regular file.
    pub const REG_FILE: u8 = 1;
    /// Directory, or subvolume.
    pub const DIR: u8 = 2;
    /// Character device.
    pub const CHRDEV: u8 = 3;
    /// Block device.
    pub const BLKDEV: u8 = 4;
    /// Fifo.
    pub const FIFO: u8 = 5;
    /// Socket.
    pub const SOCK: u8 = 6;
    /// Symbolic link.
    pub const SYMLINK: u8 = 7;
    /// Extended attribute.
    pub const XATTR: u8 = 8;
}

/// One entry of a `DIR_ITEM`, `DIR_INDEX` or `XATTR_ITEM`; the first and last may hold several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirItem {
    /// Key of the inode item, or of the root item of a subvolume. Zero for an attribute.
    pub location: Key,
    /// Transaction that made it.
    pub transid: u64,
    /// See [`dir_type`].
    pub dir_type: u8,
    /// The name; at most `u16::MAX` bytes.
    pub name: Bytes,
    /// The value of an attribute; at most `u16::MAX` bytes.
    pub data: Bytes,
}

impl DirItem {
    const WHAT: &str = "directory item";

    /// The entries in `bytes`, one after the other. Ends behind the first error.
    pub fn iter(bytes: &Bytes) -> impl Iterator<Item = Result<Self, BadItem>> {
        let mut rest: &[u8] = bytes;
        std::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            let item = Self::decode_prefix(bytes, &mut rest);
            if item.is_err() {
                rest = &[];
            }
            Some(item)
        })
    }

    fn decode_prefix(bytes: &Bytes, rest: &mut &[u8]) -> Result<Self, BadItem> {
        let raw: &RawDirItem = take(Self::WHAT, rest)?;
        let name = take_bytes(Self::WHAT, rest, raw.name_len.get().into())?;
        let data = take_bytes(Self::WHAT, rest, raw.data_len.get().into())?;
        Ok(Self {
            location: raw.location.into(),
            transid: raw.transid.get(),
            dir_type: raw.dir_type,
            name: bytes.slice_ref(name),
            data: bytes.slice_ref(data),
        })
    }

    /// Appends its bytes to `out`.
    ///
    /// # Panics
    /// Name or data are longer than `u16::MAX`.
    pub fn encode_into(&self, out: &mut Vec<u8>) {
        let (location, transid) = (self.location, self.transid);
        Self::encode_parts(
            location,
            transid,
            self.dir_type,
            &self.name,
            &self.data,
            out,
        );
    }

    /// Appends an entry of these parts.
    pub(crate) fn encode_parts(
        location: Key,
        transid: u64,
        dir_type: u8,
        name: &[u8],
        data: &[u8],
        out: &mut Vec<u8>,
    ) {
        let data_len = u16::try_from(data.len()).expect("data fits a node");
        let name_len = u16::try_from(name.len()).expect("a name fits a node");
        let raw = RawDirItem {
            location: location.into(),
            transid: transid.into(),
            data_len: data_len.into(),
            name_len: name_len.into(),
            dir_type,
        };
        out.extend_from_slice(raw.as_bytes());
        out.extend_from_slice(name);
        out.extend_from_slice(data);
    }
}

impl_encode!(DirItem);
