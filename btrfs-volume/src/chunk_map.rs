//! Logical to physical addresses.

use std::collections::BTreeMap;
use std::ops::Bound;

use crate::address::{Bytenr, Physical};
use crate::error::{Error, Result};
use crate::ondisk::block_group_flags::{self as flags, profile_name};
use crate::ondisk::objectid::{CHUNK_TREE, FIRST_CHUNK_TREE};
use crate::ondisk::{Chunk, Key, item_type};

/// All chunks of a volume on one device.
///
/// Invariant C1: chunks don't overlap, are not empty, and every stripe is on our device and
/// ends within `u64`; each stripe is a whole copy of the chunk.
#[derive(Debug, Clone, Default)]
pub struct ChunkMap {
    devid: u64,
    chunks: BTreeMap<u64, Chunk>,
}

impl ChunkMap {
    /// No chunks yet, on the device `devid`.
    #[must_use]
    pub fn new(devid: u64) -> Self {
        Self {
            devid,
            chunks: BTreeMap::new(),
        }
    }

    /// Adds the chunk that starts at `start`, in place of one that starts there already.
    ///
    /// # Errors
    /// [`Error::Item`] if it makes no sense, [`Error::Unsupported`] for its profile.
    pub fn insert(&mut self, start: Bytenr, chunk: Chunk) -> Result<()> {
        let bad = |problem: String| {
            let key = Key::new(FIRST_CHUNK_TREE, item_type::CHUNK_ITEM, start.0);
            Error::bad_item(CHUNK_TREE, key, problem)
        };
        let Some(end) = start.0.checked_add(chunk.length).filter(|&e| e > start.0) else {
            return Err(bad(format!("length is {}", chunk.length)));
        };
        self.check_profile(&chunk)
            .map_err(|problem| match problem {
                Profile::Unsupported(what) => Error::Unsupported {
                    features: vec![what],
                    writing: false,
                },
                Profile::Bad(problem) => bad(problem),
            })?;
        let overlapping = self
            .chunks
            .range(..end)
            .rev()
            .find(|(other, _)| **other != start.0)
            .filter(|(other, chunk)| *other + chunk.length > start.0);
        if let Some((other, _)) = overlapping {
            return Err(bad(format!("overlaps the chunk at {other}")));
        }
        self.chunks.insert(start.0, chunk);
        Ok(())
    }

    /// Removes the chunk that starts at `start`.
    pub fn remove(&mut self, start: Bytenr) -> Option<Chunk> {
        self.chunks.remove(&start.0)
    }

    /// The chunk that `bytenr` is in, with its first byte.
    #[must_use]
    pub fn find(&self, bytenr: Bytenr) -> Option<(Bytenr, &Chunk)> {
        let (&start, chunk) = self.chunks.range(..=bytenr.0).next_back()?;
        (bytenr.0 - start < chunk.length).then_some((Bytenr(start), chunk))
    }

    /// All chunks, ascending.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (Bytenr, &Chunk)> {
        self.chunks
            .iter()
            .map(|(&start, chunk)| (Bytenr(start), chunk))
    }

    /// The first chunk that starts after `bytenr`.
    #[must_use]
    pub fn next_after(&self, bytenr: Bytenr) -> Option<(Bytenr, &Chunk)> {
        let range = (Bound::Excluded(bytenr.0), Bound::Unbounded);
        let (&start, chunk) = self.chunks.range(range).next()?;
        Some((Bytenr(start), chunk))
    }

    /// How many copies there are of `bytenr`; 0 if no chunk has it.
    #[must_use]
    pub fn mirrors(&self, bytenr: Bytenr) -> usize {
        self.find(bytenr)
            .map_or(0, |(_, chunk)| chunk.stripes.len())
    }

    /// Where copy `mirror` (from 0) of `len` bytes at `bytenr` is.
    ///
    /// # Errors
    /// [`Error::Unmapped`] unless one chunk holds all of it and has that many copies.
    pub fn physical(&self, bytenr: Bytenr, len: u64, mirror: usize) -> Result<Physical> {
        self.find(bytenr)
            .filter(|(start, chunk)| len <= chunk.length - (bytenr.0 - start.0))
            .and_then(|(start, chunk)| {
                let stripe = chunk.stripes.get(mirror)?;
                // C1: cannot overflow.
                Some(Physical(stripe.offset + (bytenr.0 - start.0)))
            })
            .ok_or(Error::Unmapped { bytenr, len })
    }

    fn check_profile(&self, chunk: &Chunk) -> Result<(), Profile> {
        let profile = chunk.flags & flags::PROFILE_MASK;
        let copies = chunk.stripes.len();
        // With one stripe, a striped chunk is laid out like a single one.
        let known = match profile {
            0 | flags::RAID0 => copies == 1,
            flags::DUP => copies == 2,
            flags::RAID1 => copies <= 2,
            _ => false,
        };
        if !known {
            return Err(Profile::Unsupported(format!(
                "{} chunks with {copies} stripes",
                profile_name(chunk.flags)
            )));
        }
        if chunk.flags & flags::TYPE_MASK == 0 {
            return Err(Profile::Bad(format!("flags are {:#x}", chunk.flags)));
        }
        for stripe in &chunk.stripes {
            if stripe.devid != self.devid {
                return Err(Profile::Unsupported(format!(
                    "chunks on device {}",
                    stripe.devid
                )));
            }
            if stripe.offset.checked_add(chunk.length).is_none() {
                return Err(Profile::Bad(format!("stripe is at {}", stripe.offset)));
            }
        }
        Ok(())
    }
}

/// What is wrong with a chunk's layout.
enum Profile {
    Unsupported(String),
    Bad(String),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ondisk::Stripe;
    use uuid::Uuid;

    fn chunk(length: u64, flags: u64, offsets: &[u64]) -> Chunk {
        Chunk {
            length,
            owner: 2,
            stripe_len: 65536,
            flags,
            io_align: 65536,
            io_width: 65536,
            sector_size: 4096,
            sub_stripes: 0,
            stripes: offsets
                .iter()
                .map(|&offset| Stripe {
                    devid: 1,
                    offset,
                    dev_uuid: Uuid::nil(),
                })
                .collect(),
        }
    }

    #[test]
    fn maps_each_copy_and_nothing_outside() {
        let mut map = ChunkMap::new(1);
        let dup = chunk(1000, flags::METADATA | flags::DUP, &[5000, 9000]);
        map.insert(Bytenr(100), dup.clone()).unwrap();
        map.insert(Bytenr(1100), chunk(50, flags::DATA, &[0]))
            .unwrap();
        map.insert(Bytenr(100), dup).unwrap();
        assert_eq!(map.physical(Bytenr(150), 950, 1).unwrap(), Physical(9050));
        assert!(map.physical(Bytenr(150), 951, 1).is_err());
        assert!(map.physical(Bytenr(150), u64::MAX, 1).is_err());
        assert!(map.physical(Bytenr(150), 1, 2).is_err());
        assert!(map.physical(Bytenr(99), 1, 0).is_err());
        assert!(map.physical(Bytenr(1150), 1, 0).is_err());
        assert_eq!(map.mirrors(Bytenr(1099)), 2);
        assert_eq!(map.mirrors(Bytenr(1100)), 1);
        assert_eq!(map.next_after(Bytenr(100)).unwrap().0, Bytenr(1100));
    }

    #[test]
    fn refuses_what_overlaps_overflows_or_is_elsewhere() {
        let mut map = ChunkMap::new(1);
        map.insert(Bytenr(100), chunk(100, flags::DATA, &[0]))
            .unwrap();
        for (start, length) in [(50, 51), (50, 500), (99, 2), (199, 1), (150, 10)] {
            let other = chunk(length, flags::DATA, &[0]);
            assert!(map.insert(Bytenr(start), other).is_err(), "{start}");
        }
        assert!(
            map.insert(Bytenr(u64::MAX), chunk(1, flags::DATA, &[0]))
                .is_err()
        );
        assert!(
            map.insert(Bytenr(300), chunk(0, flags::DATA, &[0]))
                .is_err()
        );
        assert!(map.insert(Bytenr(300), chunk(1, 0, &[0])).is_err());
        let wrapping = chunk(2, flags::DATA, &[u64::MAX - 1]);
        assert!(map.insert(Bytenr(300), wrapping).is_err());
        for profile in [flags::RAID5, flags::RAID10, flags::RAID0, flags::RAID1C3] {
            let striped = chunk(10, flags::DATA | profile, &[0, 100, 200]);
            let error = map.insert(Bytenr(300), striped).unwrap_err();
            assert!(error.to_string().contains("RAID"), "{error}");
        }
        let mut elsewhere = chunk(10, flags::DATA, &[0]);
        elsewhere.stripes[0].devid = 2;
        assert!(map.insert(Bytenr(300), elsewhere).is_err());
    }
}
