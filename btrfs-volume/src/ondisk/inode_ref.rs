//! Names of an inode.

use bytes::Bytes;
use zerocopy::IntoBytes;

use super::bad_item::BadItem;
use super::raw::{RawInodeExtref, RawInodeRef, impl_encode, take, take_bytes};

/// One entry of an `INODE_REF`: key (inode, type, parent).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InodeRef {
    /// Index of the entry in the parent.
    pub index: u64,
    /// The name; at most `u16::MAX` bytes.
    pub name: Bytes,
}

impl InodeRef {
    /// The entries in `bytes`, one after the other. Ends behind the first error.
    pub fn iter(bytes: &Bytes) -> impl Iterator<Item = Result<Self, BadItem>> {
        const WHAT: &str = "inode reference";
        entries(bytes, |rest| {
            let raw: &RawInodeRef = take(WHAT, rest)?;
            let name = take_bytes(WHAT, rest, raw.name_len.get().into())?;
            Ok(Self {
                index: raw.index.get(),
                name: bytes.slice_ref(name),
            })
        })
    }

    /// Appends its bytes to `out`.
    ///
    /// # Panics
    /// The name is longer than `u16::MAX`.
    pub fn encode_into(&self, out: &mut Vec<u8>) {
        Self::encode_parts(self.index, &self.name, out);
    }

    /// Appends an entry that leads to `name`.
    pub(crate) fn encode_parts(index: u64, name: &[u8], out: &mut Vec<u8>) {
        let name_len = u16::try_from(name.len()).expect("a name fits a node");
        let raw = RawInodeRef {
            index: index.into(),
            name_len: name_len.into(),
        };
        out.extend_from_slice(raw.as_bytes());
        out.extend_from_slice(name);
    }

    /// Bytes that an entry takes.
    pub(crate) fn encoded_len(name: &[u8]) -> usize {
        size_of::<RawInodeRef>() + name.len()
    }
}

/// One entry of an `INODE_EXTREF`: key (inode, type, [`extref_hash`](super::hash::extref_hash)).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InodeExtref {
    /// The directory.
    pub parent: u64,
    /// Index of the entry in the parent.
    pub index: u64,
    /// The name; at most `u16::MAX` bytes.
    pub name: Bytes,
}

impl InodeExtref {
    /// The entries in `bytes`, one after the other. Ends behind the first error.
    pub fn iter(bytes: &Bytes) -> impl Iterator<Item = Result<Self, BadItem>> {
        const WHAT: &str = "extended inode reference";
        entries(bytes, |rest| {
            let raw: &RawInodeExtref = take(WHAT, rest)?;
            let name = take_bytes(WHAT, rest, raw.name_len.get().into())?;
            Ok(Self {
                parent: raw.parent.get(),
                index: raw.index.get(),
                name: bytes.slice_ref(name),
            })
        })
    }

    /// Appends its bytes to `out`.
    ///
    /// # Panics
    /// The name is longer than `u16::MAX`.
    pub fn encode_into(&self, out: &mut Vec<u8>) {
        let name_len = u16::try_from(self.name.len()).expect("a name fits a node");
        let raw = RawInodeExtref {
            parent: self.parent.into(),
            index: self.index.into(),
            name_len: name_len.into(),
        };
        out.extend_from_slice(raw.as_bytes());
        out.extend_from_slice(&self.name);
    }
}

/// Takes entries off the front of `bytes` until nothing is left or one is bad.
fn entries<'a, T>(
    bytes: &'a Bytes,
    mut next: impl FnMut(&mut &'a [u8]) -> Result<T, BadItem>,
) -> impl Iterator<Item = Result<T, BadItem>> {
    let mut rest: &[u8] = bytes;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let entry = next(&mut rest);
        if entry.is_err() {
            rest = &[];
        }
        Some(entry)
    })
}

impl_encode!(InodeRef, InodeExtref);
