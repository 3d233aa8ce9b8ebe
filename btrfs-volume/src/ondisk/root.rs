//! Roots of trees, and the names of subvolumes.

use bytes::Bytes;
use uuid::Uuid;
use zerocopy::IntoBytes;

use super::bad_item::BadItem;
use super::inode::{InodeItem, Timespec};
use super::key::Key;
use super::raw::{
    RawRootItem, RawRootItemV2, RawRootRef, finish, impl_encode, take, take_bytes, uuid,
};

/// Bits of [`RootItem::flags`].
pub mod root_flags {
    /// A read-only subvolume.
    pub const READONLY: u64 = 1 << 0;
    /// The subvolume is being deleted.
    pub const DEAD: u64 = 1 << 48;
}

/// `ROOT_ITEM`: key (tree, type, 0; or the transaction that made a snapshot).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RootItem {
    /// Template of the root directory's inode.
    pub inode: InodeItem,
    /// Transaction that wrote the root node last.
    pub generation: u64,
    /// Inode number of the root directory; 0 in trees without files.
    pub root_dirid: u64,
    /// Logical address of the root node.
    pub bytenr: u64,
    /// 0.
    pub byte_limit: u64,
    /// Bytes in nodes, as far as known.
    pub bytes_used: u64,
    /// Transaction of the last snapshot of this tree.
    pub last_snapshot: u64,
    /// See [`root_flags`].
    pub flags: u64,
    /// 1; 0 while it is being deleted.
    pub refs: u32,
    /// How far deletion got.
    pub drop_progress: Option<(Key, u8)>,
    /// Level of the root node.
    pub level: u8,
    /// `generation` again if what follows is valid.
    pub generation_v2: u64,
    /// Of the subvolume; nil in trees without files.
    pub uuid: Uuid,
    /// Of the subvolume that this is a snapshot of.
    pub parent_uuid: Uuid,
    /// Of the subvolume that this was received from.
    pub received_uuid: Uuid,
    /// Transaction of the last change.
    pub ctransid: u64,
    /// Transaction of its creation.
    pub otransid: u64,
    /// Transaction of its sending.
    pub stransid: u64,
    /// Transaction of its receipt.
    pub rtransid: u64,
    /// Last change.
    pub ctime: Timespec,
    /// Creation.
    pub otime: Timespec,
    /// Sending.
    pub stime: Timespec,
    /// Receipt.
    pub rtime: Timespec,
}

impl RootItem {
    const WHAT: &str = "root item";

    /// Bytes of the item as this crate writes it.
    pub const SIZE: usize = size_of::<RawRootItem>() + size_of::<RawRootItemV2>();

    /// The item in `bytes`, also in the short form of old kernels, which lacks all from
    /// `generation_v2` on. Fields that a kernel too old for them left stale read as zero.
    ///
    /// # Errors
    /// Not an item of this kind.
    pub fn decode(mut bytes: &[u8]) -> Result<Self, BadItem> {
        let raw: &RawRootItem = take(Self::WHAT, &mut bytes)?;
        let drop_key = Key::from(raw.drop_progress);
        let mut item = Self {
            inode: InodeItem::from_raw(&raw.inode),
            generation: raw.generation.get(),
            root_dirid: raw.root_dirid.get(),
            bytenr: raw.bytenr.get(),
            byte_limit: raw.byte_limit.get(),
            bytes_used: raw.bytes_used.get(),
            last_snapshot: raw.last_snapshot.get(),
            flags: raw.flags.get(),
            refs: raw.refs.get(),
            drop_progress: (drop_key != Key::MIN || raw.drop_level != 0)
                .then_some((drop_key, raw.drop_level)),
            level: raw.level,
            ..Self::default()
        };
        if bytes.is_empty() {
            return Ok(item);
        }
        let v2: &RawRootItemV2 = take(Self::WHAT, &mut bytes)?;
        finish(Self::WHAT, bytes)?;
        if v2.generation_v2 != raw.generation {
            return Ok(item);
        }
        item.generation_v2 = v2.generation_v2.get();
        item.uuid = uuid(v2.uuid);
        item.parent_uuid = uuid(v2.parent_uuid);
        item.received_uuid = uuid(v2.received_uuid);
        item.ctransid = v2.ctransid.get();
        item.otransid = v2.otransid.get();
        item.stransid = v2.stransid.get();
        item.rtransid = v2.rtransid.get();
        item.ctime = v2.ctime.into();
        item.otime = v2.otime.into();
        item.stime = v2.stime.into();
        item.rtime = v2.rtime.into();
        Ok(item)
    }

    /// Appends its bytes to `out`.
    pub fn encode_into(&self, out: &mut Vec<u8>) {
        let (drop_progress, drop_level) = self.drop_progress.unwrap_or((Key::MIN, 0));
        let raw = RawRootItem {
            inode: self.inode.to_raw(),
            generation: self.generation.into(),
            root_dirid: self.root_dirid.into(),
            bytenr: self.bytenr.into(),
            byte_limit: self.byte_limit.into(),
            bytes_used: self.bytes_used.into(),
            last_snapshot: self.last_snapshot.into(),
            flags: self.flags.into(),
            refs: self.refs.into(),
            drop_progress: drop_progress.into(),
            drop_level,
            level: self.level,
        };
        out.extend_from_slice(raw.as_bytes());
        let raw = RawRootItemV2 {
            generation_v2: self.generation_v2.into(),
            uuid: self.uuid.into_bytes(),
            parent_uuid: self.parent_uuid.into_bytes(),
            received_uuid: self.received_uuid.into_bytes(),
            ctransid: self.ctransid.into(),
            otransid: self.otransid.into(),
            stransid: self.stransid.into(),
            rtransid: self.rtransid.into(),
            ctime: self.ctime.into(),
            otime: self.otime.into(),
            stime: self.stime.into(),
            rtime: self.rtime.into(),
            reserved: Default::default(),
        };
        out.extend_from_slice(raw.as_bytes());
    }
}

/// `ROOT_REF`: key (parent tree, type, tree); and `ROOT_BACKREF`: key (tree, type, parent tree).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootRef {
    /// The directory of the parent tree that holds the entry.
    pub dirid: u64,
    /// Index of the entry.
    pub sequence: u64,
    /// The name; at most `u16::MAX` bytes.
    pub name: Bytes,
}

impl RootRef {
    /// The item in `bytes`.
    ///
    /// # Errors
    /// Not an item of this kind.
    pub fn decode(bytes: &Bytes) -> Result<Self, BadItem> {
        const WHAT: &str = "root reference";
        let mut rest: &[u8] = bytes;
        let raw: &RawRootRef = take(WHAT, &mut rest)?;
        let name = take_bytes(WHAT, &mut rest, raw.name_len.get().into())?;
        finish(WHAT, rest)?;
        Ok(Self {
            dirid: raw.dirid.get(),
            sequence: raw.sequence.get(),
            name: bytes.slice_ref(name),
        })
    }

    /// Appends its bytes to `out`.
    ///
    /// # Panics
    /// The name is longer than `u16::MAX`.
    pub fn encode_into(&self, out: &mut Vec<u8>) {
        let name_len = u16::try_from(self.name.len()).expect("a name fits a node");
        let raw = RawRootRef {
            dirid: self.dirid.into(),
            sequence: self.sequence.into(),
            name_len: name_len.into(),
        };
        out.extend_from_slice(raw.as_bytes());
        out.extend_from_slice(&self.name);
    }
}

impl_encode!(RootItem, RootRef);
