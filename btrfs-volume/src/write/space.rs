//! Space: block groups, what is free in them, and chunks as the volume fills.
//!
//! Each block group has two sets of free ranges. `listed` is what the free space tree says: all
//! that no extent item covers. `free` is what may be allocated: less what is reserved and what
//! was freed since the last commit, which must survive until the next superblock is durable.
//!
//! Allocation goes upwards from a cursor, wraps around once, and then takes another chunk; where
//! it ends up depends on the sequence of calls alone. Chunks are never placed over a superblock
//! copy, nor in the first MiB, so no block group has to leave out part of itself.

use std::collections::BTreeMap;
use std::ops::Range;

use uuid::Uuid;

use super::ranges::RangeSet;
use crate::address::Bytenr;
use crate::error::{Error, Result};
use crate::ondisk::block_group_flags as flags;
use crate::ondisk::{Chunk, SUPER_OFFSETS, Stripe, objectid};
use crate::storage::Storage;
use crate::sync::Arc;

/// What superblock copies and chunks are aligned to.
const STRIPE: u64 = 64 << 10;
/// The device's first bytes belong to boot loaders.
const FIRST_PHYSICAL: u64 = 1 << 20;
/// First logical address that chunks get.
const FIRST_LOGICAL: u64 = 1 << 20;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// What space is wanted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Data,
    Metadata,
    System,
}

impl Kind {
    fn flag(self) -> u64 {
        match self {
            Self::Data => flags::DATA,
            Self::Metadata => flags::METADATA,
            Self::System => flags::SYSTEM,
        }
    }
}

/// A block group.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) length: u64,
    pub(crate) flags: u64,
    pub(crate) used: u64,
    pub(crate) listed: RangeSet,
    free: RangeSet,
    /// No free range is longer.
    longest: u64,
    /// Physical start of each stripe.
    pub(crate) stripes: Vec<u64>,
    /// Its items in the trees are not what is here.
    pub(crate) changed: bool,
}

/// All block groups, and the device that they are on.
#[derive(Debug)]
pub(crate) struct Space {
    storage: Arc<Storage>,
    pub(crate) groups: BTreeMap<u64, Group>,
    /// What chunks cover on the device.
    device: RangeSet,
    /// End of what chunks may cover.
    pub(crate) total_bytes: u64,
    /// Whether the device grows with the chunks.
    pub(crate) grows: bool,
    dev_uuid: Uuid,
    metadata_profile: u64,
    cursors: [u64; 3],
    /// Freed since the last commit.
    pinned: Vec<Range<u64>>,
    /// Bytes of metadata that data chunks must leave room for.
    metadata_wanted: u64,
    /// Starts of chunks whose items are not in the trees.
    pub(crate) new_chunks: Vec<u64>,
}

impl Space {
    /// No chunks yet, on a device of `total_bytes`; `None`: one that grows.
    pub(crate) fn new(
        storage: Arc<Storage>,
        total_bytes: Option<u64>,
        dev_uuid: Uuid,
        metadata_profile: u64,
    ) -> Self {
        Self {
            storage,
            groups: BTreeMap::new(),
            device: RangeSet::default(),
            total_bytes: total_bytes.unwrap_or(FIRST_PHYSICAL),
            grows: total_bytes.is_none(),
            dev_uuid,
            metadata_profile,
            cursors: [0; 3],
            pinned: Vec::new(),
            metadata_wanted: 0,
            new_chunks: Vec::new(),
        }
    }

    /// Bytes of the device that chunks cover.
    pub(crate) fn device_used(&self) -> u64 {
        self.device.total()
    }

    /// Bytes that extents take up.
    pub(crate) fn used(&self) -> u64 {
        self.groups.values().map(|group| group.used).sum()
    }

    /// Free bytes in the block groups of `kind`.
    pub(crate) fn free(&self, kind: Kind) -> u64 {
        self.groups
            .values()
            .filter(|group| group.flags & kind.flag() != 0)
            .map(|group| group.free.total())
            .sum()
    }

    /// Bytes that extents take up in the block groups of `kind`.
    pub(crate) fn used_for(&self, kind: Kind) -> u64 {
        self.groups
            .values()
            .filter(|group| group.flags & kind.flag() != 0)
            .map(|group| group.used)
            .sum()
    }

    /// Bytes of the device that no chunk covers.
    pub(crate) fn unallocated(&self) -> u64 {
        if self.grows {
            return u64::MAX / 4;
        }
        self.holes(self.total_bytes)
            .map(|hole| (hole.end - hole.start) / MIB * MIB)
            .sum()
    }

    /// Data chunks must leave room for so many bytes of metadata.
    pub(crate) fn keep_for_metadata(&mut self, wanted: u64) {
        self.metadata_wanted = wanted;
    }

    fn profile(&self, kind: Kind) -> u64 {
        match kind {
            Kind::Data => 0,
            Kind::Metadata => self.metadata_profile,
            // There is little of it, and everything depends on it.
            Kind::System => flags::DUP,
        }
    }

    fn copies(&self, kind: Kind) -> u64 {
        match self.profile(kind) {
            flags::DUP => 2,
            _ => 1,
        }
    }

    /// Adds a chunk of metadata where the device has room for one besides `data` bytes of data and
    /// `wanted` bytes of metadata. Whether it has.
    pub(crate) fn add_metadata_beside(&mut self, data: u64, wanted: u64) -> bool {
        let room = self.data_available(wanted).saturating_sub(data);
        let room = room.min(self.unallocated()) / self.copies(Kind::Metadata) / MIB * MIB;
        room > 0 && self.add_chunk_of(Kind::Metadata, MIB, room).is_ok()
    }

    /// Bytes of the device that must be left if `wanted` bytes of metadata must fit.
    fn missing_for(&self, wanted: u64) -> u64 {
        wanted.saturating_sub(self.free(Kind::Metadata)) * self.copies(Kind::Metadata)
    }

    /// Bytes of the device that data chunks may take if so many are kept.
    fn data_room(&self, kept: u64) -> u64 {
        let unallocated = self.unallocated();
        // New data needs checksums, too.
        unallocated.saturating_sub(kept + unallocated / 64) / MIB * MIB
    }

    /// Bytes of data that are free, now or once chunks are allocated, if `wanted` bytes of
    /// metadata must fit.
    pub(crate) fn data_available(&self, wanted: u64) -> u64 {
        let missing = self.missing_for(wanted);
        // A chunk is an eighth of what is unallocated, or refused: not all of the rest can be had.
        self.free(Kind::Data) + self.data_room(missing + missing / 6)
    }

    /// Bytes of a new volume's smallest device.
    pub(crate) fn smallest() -> u64 {
        48 * MIB
    }

    /// Takes `len` contiguous bytes.
    pub(crate) fn allocate(&mut self, kind: Kind, len: u64) -> Result<Bytenr> {
        let cursor = self.cursors[kind as usize];
        let start = match self
            .find(kind, cursor..u64::MAX, len)
            .or_else(|| self.find(kind, 0..cursor, len))
        {
            Some(start) => start,
            None => {
                self.add_chunk(kind, len)?;
                self.find(kind, 0..u64::MAX, len).ok_or(Error::NoSpace {
                    what: "an extent",
                    wanted: len,
                    available: 0,
                })?
            }
        };
        let group = self.group_mut(start);
        let taken = group.free.remove(start..start + len);
        debug_assert!(taken.is_some(), "found free, but is not");
        self.cursors[kind as usize] = start + len;
        Ok(Bytenr(start))
    }

    fn find(&mut self, kind: Kind, within: Range<u64>, len: u64) -> Option<u64> {
        // The group that `within` starts in may start before it.
        let first = self
            .groups
            .range(..=within.start)
            .next_back()
            .map_or(within.start, |(&start, _)| start);
        for (&start, group) in self.groups.range_mut(first..within.end) {
            if group.flags & kind.flag() == 0 || group.longest < len {
                continue;
            }
            let from = within.start.max(start);
            match group.free.first_fit(from, len) {
                Ok(at) => return Some(at),
                Err(longest) if from == start => group.longest = longest,
                Err(_) => {}
            }
        }
        None
    }

    fn group_mut(&mut self, bytenr: u64) -> &mut Group {
        self.groups
            .range_mut(..=bytenr)
            .next_back()
            .map(|(_, group)| group)
            .expect("allocated space is in a block group")
    }

    /// Start and group of the block group that holds `bytenr`.
    pub(crate) fn group_of(&mut self, bytenr: u64) -> (u64, &mut Group) {
        self.groups
            .range_mut(..=bytenr)
            .next_back()
            .map(|(&start, group)| (start, group))
            .expect("allocated space is in a block group")
    }

    /// Whether `range` is in a block group for data, neither free nor of an extent of the last commit.
    pub(crate) fn is_reserved(&self, range: Range<u64>) -> bool {
        let group = self.groups.range(..=range.start).next_back();
        group.is_some_and(|(_, group)| {
            let listed = group.listed.containing(range.start);
            group.flags & flags::DATA != 0
                && listed.is_some_and(|listed| range.end <= listed.end)
                && !group.free.overlaps(range)
        })
    }

    /// Gives back at once what no committed tree refers to.
    pub(crate) fn release(&mut self, start: u64, len: u64) {
        let group = self.group_mut(start);
        let (_, joined) = group.free.insert(start..start + len);
        group.longest = group.longest.max(joined.end - joined.start);
    }

    /// Gives back at the end of the commit what the last one refers to.
    pub(crate) fn pin(&mut self, start: u64, len: u64) {
        self.pinned.push(start..start + len);
    }

    /// The superblock is durable: nothing refers to what was freed before it.
    pub(crate) fn unpin(&mut self) {
        for range in std::mem::take(&mut self.pinned) {
            self.release(range.start, range.end - range.start);
        }
    }

    /// Adds a chunk that can hold `len` contiguous bytes.
    pub(crate) fn add_chunk(&mut self, kind: Kind, len: u64) -> Result<()> {
        let is_data = |group: &Group| group.flags & flags::DATA != 0;
        let most = match kind {
            // Less and less, and not as much as there is room for: what is pending depends on timing.
            Kind::Data if !self.grows && self.groups.values().any(is_data) => {
                self.unallocated() / 8 / MIB * MIB
            }
            _ => u64::MAX,
        };
        self.add_chunk_of(kind, len, most)
    }

    /// The same, of no more than `most` bytes unless `len` are more.
    fn add_chunk_of(&mut self, kind: Kind, len: u64, most: u64) -> Result<()> {
        let profile = self.profile(kind);
        // What is too long for that is too long for any device.
        let least = len.checked_next_multiple_of(MIB).unwrap_or(len).max(MIB);
        let wanted = self.chunk_size(kind).min(most).max(least);
        let crowds_metadata = kind == Kind::Data
            && !self.grows
            && wanted > self.data_room(self.missing_for(self.metadata_wanted));
        let placed = match crowds_metadata {
            true => None,
            false => self.place(wanted, least, self.copies(kind) as usize),
        };
        let (length, stripes) = placed.ok_or(Error::NoSpace {
            what: match kind {
                Kind::Data => "data",
                Kind::Metadata => "metadata",
                Kind::System => "the chunk tree",
            },
            wanted: len,
            available: self.free(kind),
        })?;
        let start = self
            .groups
            .last_key_value()
            .map_or(FIRST_LOGICAL, |(&start, group)| start + group.length);
        if self.grows {
            let end = stripes.iter().map(|stripe| stripe + length).max();
            let total_bytes = self.total_bytes.max(end.unwrap_or(0));
            // First: a volume must not count on what its device does not have.
            self.storage
                .device()
                .set_size(total_bytes)
                .map_err(|source| Error::Io {
                    op: "resize",
                    offset: 0,
                    len: total_bytes,
                    source,
                })?;
            self.total_bytes = total_bytes;
        }
        for &stripe in &stripes {
            self.device.insert(stripe..stripe + length);
        }
        let mut whole = RangeSet::default();
        whole.insert(start..start + length);
        let group = Group {
            length,
            flags: kind.flag() | profile,
            used: 0,
            listed: whole.clone(),
            free: whole,
            longest: length,
            stripes,
            changed: true,
        };
        self.storage.add_chunk(Bytenr(start), self.chunk(&group))?;
        self.groups.insert(start, group);
        self.new_chunks.push(start);
        Ok(())
    }

    /// The chunk item of a block group.
    pub(crate) fn chunk(&self, group: &Group) -> Chunk {
        Chunk {
            length: group.length,
            owner: objectid::EXTENT_TREE,
            stripe_len: STRIPE,
            flags: group.flags,
            // As the kernel and mkfs.btrfs write them; every reader ignores them.
            io_align: STRIPE as u32,
            io_width: STRIPE as u32,
            sector_size: self.storage.geometry().sectorsize,
            sub_stripes: 1,
            stripes: group
                .stripes
                .iter()
                .map(|&offset| Stripe {
                    devid: self.storage.geometry().devid,
                    offset,
                    dev_uuid: self.dev_uuid,
                })
                .collect(),
        }
    }

    fn chunk_size(&self, kind: Kind) -> u64 {
        let size = match kind {
            Kind::System => 8 * MIB,
            Kind::Metadata if self.grows => (self.total_bytes / 16).clamp(32 * MIB, 256 * MIB),
            Kind::Metadata => (self.total_bytes / 20).clamp(8 * MIB, 256 * MIB),
            Kind::Data if self.grows => (self.total_bytes / 8).clamp(64 * MIB, GIB),
            Kind::Data => (self.total_bytes / 8).clamp(8 * MIB, GIB),
        };
        size / MIB * MIB
    }

    /// Where a chunk of `wanted` bytes or, if there is no room, of at least `least` goes.
    fn place(&self, wanted: u64, least: u64, copies: usize) -> Option<(u64, Vec<u64>)> {
        let end = if self.grows {
            u64::MAX / 2
        } else {
            self.total_bytes
        };
        let mut length = wanted;
        loop {
            let stripes: Vec<u64> = self
                .holes(end)
                .flat_map(|hole| {
                    let fit = (hole.end - hole.start) / length;
                    (0..fit.min(copies as u64)).map(move |i| hole.start + i * length)
                })
                .take(copies)
                .collect();
            if stripes.len() == copies {
                return Some((length, stripes));
            }
            if length == least {
                return None;
            }
            length = (length / 2 / MIB * MIB).max(least);
        }
    }

    /// What chunks may still cover of the device up to `end`.
    fn holes(&self, end: u64) -> impl Iterator<Item = Range<u64>> {
        let supers = SUPER_OFFSETS.iter().map(|&at| at..at + STRIPE);
        let mut taken: Vec<Range<u64>> = supers.chain(self.device.iter()).collect();
        taken.sort_by_key(|range| range.start);
        taken.push(end..end);
        let mut at = FIRST_PHYSICAL;
        taken.into_iter().filter_map(move |range| {
            let hole = at..range.start.min(end);
            at = at.max(range.end);
            (hole.start < hole.end).then_some(hole)
        })
    }

    /// Cuts free space off the end of the last block group of `kind`, but leaves `room`. Returns
    /// start, old length and whether anything was cut. Nothing of the group may be pinned.
    pub(crate) fn cut_last(&mut self, kind: Kind, room: u64) -> Result<Option<(u64, u64)>> {
        let Some((&start, group)) = self
            .groups
            .iter_mut()
            .rev()
            .find(|(_, group)| group.flags & kind.flag() != 0)
        else {
            return Ok(None);
        };
        let old = group.length;
        let end = start + old;
        let used_end = match (
            group.free.iter().next_back(),
            group.listed.iter().next_back(),
        ) {
            (Some(free), Some(listed)) if free.end == end && listed.end == end => {
                free.start.max(listed.start)
            }
            _ => return Ok(None),
        };
        let length = (used_end - start + room).next_multiple_of(MIB);
        if length >= old {
            return Ok(None);
        }
        group.free.remove(start + length..end);
        group.listed.remove(start + length..end);
        group.length = length;
        group.changed = true;
        for &stripe in &group.stripes {
            self.device.remove(stripe + length..stripe + old);
        }
        let group = &self.groups[&start];
        self.storage.add_chunk(Bytenr(start), self.chunk(group))?;
        Ok(Some((start, old)))
    }

    /// Ends growing: the device ends behind the last chunk.
    pub(crate) fn end_growth(&mut self) {
        self.grows = false;
        let end = self.device.iter().next_back().map_or(0, |range| range.end);
        self.total_bytes = end.max(FIRST_PHYSICAL);
    }
}
