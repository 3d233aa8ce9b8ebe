//! Devices, chunks and their stripes.

use uuid::Uuid;
use zerocopy::IntoBytes;

use super::bad_item::BadItem;
use super::raw::{RawChunk, RawDevExtent, RawDevItem, RawStripe, finish, impl_encode, take, uuid};

/// `DEV_ITEM`: key ([`DEV_ITEMS`](super::objectid::DEV_ITEMS), type, devid).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DevItem {
    /// Number of the device in its volume, from 1.
    pub devid: u64,
    /// Size in bytes.
    pub total_bytes: u64,
    /// Bytes in chunks.
    pub bytes_used: u64,
    /// Alignment for I/O; the sector size.
    pub io_align: u32,
    /// Width for I/O; the sector size.
    pub io_width: u32,
    /// The sector size.
    pub sector_size: u32,
    /// 0.
    pub dev_type: u64,
    /// 0.
    pub generation: u64,
    /// 0.
    pub start_offset: u64,
    /// 0.
    pub dev_group: u32,
    /// 0.
    pub seek_speed: u8,
    /// 0.
    pub bandwidth: u8,
    /// Of the device.
    pub uuid: Uuid,
    /// Of the volume.
    pub fsid: Uuid,
}

impl DevItem {
    /// The item in `bytes`.
    ///
    /// # Errors
    /// Not an item of this kind.
    pub fn decode(mut bytes: &[u8]) -> Result<Self, BadItem> {
        const WHAT: &str = "device item";
        let raw: &RawDevItem = take(WHAT, &mut bytes)?;
        finish(WHAT, bytes)?;
        Ok(Self::from_raw(raw))
    }

    /// Appends its bytes to `out`.
    pub fn encode_into(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.to_raw().as_bytes());
    }

    pub(super) fn from_raw(raw: &RawDevItem) -> Self {
        Self {
            devid: raw.devid.get(),
            total_bytes: raw.total_bytes.get(),
            bytes_used: raw.bytes_used.get(),
            io_align: raw.io_align.get(),
            io_width: raw.io_width.get(),
            sector_size: raw.sector_size.get(),
            dev_type: raw.dev_type.get(),
            generation: raw.generation.get(),
            start_offset: raw.start_offset.get(),
            dev_group: raw.dev_group.get(),
            seek_speed: raw.seek_speed,
            bandwidth: raw.bandwidth,
            uuid: uuid(raw.uuid),
            fsid: uuid(raw.fsid),
        }
    }

    pub(super) fn to_raw(self) -> RawDevItem {
        RawDevItem {
            devid: self.devid.into(),
            total_bytes: self.total_bytes.into(),
            bytes_used: self.bytes_used.into(),
            io_align: self.io_align.into(),
            io_width: self.io_width.into(),
            sector_size: self.sector_size.into(),
            dev_type: self.dev_type.into(),
            generation: self.generation.into(),
            start_offset: self.start_offset.into(),
            dev_group: self.dev_group.into(),
            seek_speed: self.seek_speed,
            bandwidth: self.bandwidth,
            uuid: self.uuid.into_bytes(),
            fsid: self.fsid.into_bytes(),
        }
    }
}

/// One place on one device that a chunk maps to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stripe {
    /// The device.
    pub devid: u64,
    /// First byte on the device.
    pub offset: u64,
    /// The device's UUID.
    pub dev_uuid: Uuid,
}

/// `CHUNK_ITEM`: key ([`FIRST_CHUNK_TREE`](super::objectid::FIRST_CHUNK_TREE), type, first
/// logical byte).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// Logical bytes.
    pub length: u64,
    /// The extent tree.
    pub owner: u64,
    /// Bytes before the next stripe's turn where it is striped; 64 KiB.
    pub stripe_len: u64,
    /// See [`block_group_flags`](super::block_group_flags).
    pub flags: u64,
    /// Alignment for I/O; `stripe_len`.
    pub io_align: u32,
    /// Width for I/O; `stripe_len`.
    pub io_width: u32,
    /// The sector size.
    pub sector_size: u32,
    /// Copies in a RAID10 group, else 0 or 1.
    pub sub_stripes: u16,
    /// Where it is; at least one, at most `u16::MAX`.
    pub stripes: Vec<Stripe>,
}

impl Chunk {
    const WHAT: &str = "chunk item";

    /// The item in `bytes`.
    ///
    /// # Errors
    /// Not an item of this kind.
    pub fn decode(mut bytes: &[u8]) -> Result<Self, BadItem> {
        let chunk = Self::decode_prefix(&mut bytes)?;
        finish(Self::WHAT, bytes)?;
        Ok(chunk)
    }

    /// Takes an item off the front of `bytes`, as the superblock's array holds them.
    ///
    /// # Errors
    /// What is there is not an item of this kind.
    pub fn decode_prefix(bytes: &mut &[u8]) -> Result<Self, BadItem> {
        let raw: &RawChunk = take(Self::WHAT, bytes)?;
        if raw.num_stripes.get() == 0 {
            return Err(BadItem::Field {
                what: Self::WHAT,
                field: "number of stripes",
                found: 0,
                expected: "at least 1",
            });
        }
        let stripes = (0..raw.num_stripes.get())
            .map(|_| {
                let stripe: &RawStripe = take(Self::WHAT, bytes)?;
                Ok(Stripe {
                    devid: stripe.devid.get(),
                    offset: stripe.offset.get(),
                    dev_uuid: uuid(stripe.dev_uuid),
                })
            })
            .collect::<Result<_, _>>()?;
        Ok(Self {
            length: raw.length.get(),
            owner: raw.owner.get(),
            stripe_len: raw.stripe_len.get(),
            flags: raw.flags.get(),
            io_align: raw.io_align.get(),
            io_width: raw.io_width.get(),
            sector_size: raw.sector_size.get(),
            sub_stripes: raw.sub_stripes.get(),
            stripes,
        })
    }

    /// Appends its bytes to `out`.
    ///
    /// # Panics
    /// It has more than `u16::MAX` stripes.
    pub fn encode_into(&self, out: &mut Vec<u8>) {
        let num_stripes = u16::try_from(self.stripes.len()).expect("at most u16::MAX stripes");
        let raw = RawChunk {
            length: self.length.into(),
            owner: self.owner.into(),
            stripe_len: self.stripe_len.into(),
            flags: self.flags.into(),
            io_align: self.io_align.into(),
            io_width: self.io_width.into(),
            sector_size: self.sector_size.into(),
            num_stripes: num_stripes.into(),
            sub_stripes: self.sub_stripes.into(),
        };
        out.extend_from_slice(raw.as_bytes());
        for stripe in &self.stripes {
            let raw = RawStripe {
                devid: stripe.devid.into(),
                offset: stripe.offset.into(),
                dev_uuid: stripe.dev_uuid.into_bytes(),
            };
            out.extend_from_slice(raw.as_bytes());
        }
    }
}

/// `DEV_EXTENT`: key (devid, type, first byte on the device).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DevExtent {
    /// The chunk tree.
    pub chunk_tree: u64,
    /// [`FIRST_CHUNK_TREE`](super::objectid::FIRST_CHUNK_TREE).
    pub chunk_objectid: u64,
    /// First logical byte of the chunk.
    pub chunk_offset: u64,
    /// Bytes on the device.
    pub length: u64,
    /// Of the chunk tree.
    pub chunk_tree_uuid: Uuid,
}

impl DevExtent {
    /// The item in `bytes`.
    ///
    /// # Errors
    /// Not an item of this kind.
    pub fn decode(mut bytes: &[u8]) -> Result<Self, BadItem> {
        const WHAT: &str = "device extent";
        let raw: &RawDevExtent = take(WHAT, &mut bytes)?;
        finish(WHAT, bytes)?;
        Ok(Self {
            chunk_tree: raw.chunk_tree.get(),
            chunk_objectid: raw.chunk_objectid.get(),
            chunk_offset: raw.chunk_offset.get(),
            length: raw.length.get(),
            chunk_tree_uuid: uuid(raw.chunk_tree_uuid),
        })
    }

    /// Appends its bytes to `out`.
    pub fn encode_into(&self, out: &mut Vec<u8>) {
        let raw = RawDevExtent {
            chunk_tree: self.chunk_tree.into(),
            chunk_objectid: self.chunk_objectid.into(),
            chunk_offset: self.chunk_offset.into(),
            length: self.length.into(),
            chunk_tree_uuid: self.chunk_tree_uuid.into_bytes(),
        };
        out.extend_from_slice(raw.as_bytes());
    }
}

impl_encode!(DevItem, Chunk, DevExtent);
