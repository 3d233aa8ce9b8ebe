//! Data space: allocated extents and their bytes.

use std::collections::BTreeMap;

use bytes::{BufMut, Bytes, BytesMut};

use super::SECTOR;
use super::faults::Rng;
use crate::volume::{VolumeError, VolumeErrorKind, VolumeResult};

#[derive(Debug)]
struct DiskExtent {
    num_bytes: u64,
    data: Vec<u8>,
    /// Recorded by `insert_extent`; until then there is nothing to verify against.
    checksums: Option<Bytes>,
    /// File extents that point here.
    refs: u64,
    /// Was recorded, and no file extent points here any more. The last commit may need it still.
    pinned: bool,
}

impl DiskExtent {
    fn put(&mut self, from: usize, bytes: &[u8]) {
        let to = from + bytes.len();
        if self.data.len() < to {
            self.data.resize(to, 0);
        }
        self.data[from..to].copy_from_slice(bytes);
    }
}

/// Allocates upwards and, unless it is told to, never reuses an address, so that an address names one
/// extent for good.
///
/// What was recorded and is referred to no more keeps its space until the next commit.
#[derive(Debug)]
pub(super) struct Space {
    capacity: u64,
    allocated: u64,
    next: u64,
    extents: BTreeMap<u64, DiskExtent>,
    pinned: Vec<u64>,
    /// Address and length of what was freed, if that is used again.
    free: Option<Vec<(u64, u64)>>,
    unflushed: Option<Unflushed>,
    /// Times that something was given back which was not allocated.
    freed_twice: u64,
}

/// The cache of a device that can lose it.
#[derive(Debug)]
struct Unflushed {
    rng: Rng,
    /// What extents held when it was flushed last, of those that were written since.
    stable: BTreeMap<u64, Vec<u8>>,
    /// Extent, where in it, and the bytes, in the order of writing.
    writes: Vec<(u64, usize, Vec<u8>)>,
}

impl Space {
    /// `loses`: what decides what of the writes that were not flushed a power cut loses.
    pub(super) fn new(capacity: u64, loses: Option<Rng>, reuses: bool) -> Self {
        Self {
            capacity,
            allocated: 0,
            next: SECTOR,
            extents: BTreeMap::new(),
            pinned: Vec::new(),
            free: reuses.then(Vec::new),
            freed_twice: 0,
            unflushed: loses.map(|rng| Unflushed {
                rng,
                stable: BTreeMap::new(),
                writes: Vec::new(),
            }),
        }
    }

    /// Whatever was written survives a power cut from now on.
    pub(super) fn flush(&mut self) {
        if let Some(unflushed) = &mut self.unflushed {
            unflushed.stable.clear();
            unflushed.writes.clear();
        }
    }

    /// Loses some of what was written since the last flush, and tears one write.
    fn lose_unflushed(&mut self) {
        let Some(unflushed) = &mut self.unflushed else {
            return;
        };
        for (at, stable) in std::mem::take(&mut unflushed.stable) {
            if let Some(extent) = self.extents.get_mut(&at) {
                extent.data = stable;
            }
        }
        let writes = std::mem::take(&mut unflushed.writes);
        let rng = &mut unflushed.rng;
        // All, none, or one in two.
        let kept_of_4 = 2 * rng.below(3);
        let torn = rng.below(writes.len().max(1) as u64) as usize;
        for (n, (at, from, bytes)) in writes.into_iter().enumerate() {
            let sectors = (bytes.len() as u64).div_ceil(SECTOR);
            let cut = (rng.below(sectors + 1) * SECTOR) as usize;
            let kept = match rng.below(2) {
                _ if n != torn => {
                    0..if rng.below(4) < kept_of_4 {
                        bytes.len()
                    } else {
                        0
                    }
                }
                0 => 0..cut.min(bytes.len()),
                _ => cut.min(bytes.len())..bytes.len(),
            };
            if let Some(extent) = self.extents.get_mut(&at) {
                extent.put(from + kept.start, &bytes[kept]);
            }
        }
    }

    /// Frees what is pinned: a commit made the state durable that does without it.
    pub(super) fn unpin(&mut self) {
        for at in std::mem::take(&mut self.pinned) {
            if self.extents.get(&at).is_some_and(|extent| extent.pinned) {
                self.free(at);
            }
        }
    }

    /// The power was cut: `refs` are the places that the last commit refers to.
    pub(super) fn recover(&mut self, refs: impl Iterator<Item = u64>) {
        self.lose_unflushed();
        for extent in self.extents.values_mut() {
            extent.refs = 0;
        }
        for at in refs {
            if let Some(extent) = self.extents.get_mut(&at) {
                extent.refs += 1;
                extent.pinned = false;
            }
        }
        self.pinned.clear();
        let lost: Vec<u64> = self
            .extents
            .iter()
            .filter(|(_, e)| e.refs == 0)
            .map(|(at, _)| *at)
            .collect();
        for at in lost {
            self.free(at);
        }
    }

    pub(super) fn allocated(&self) -> u64 {
        self.allocated
    }

    pub(super) fn available(&self) -> u64 {
        self.capacity.saturating_sub(self.allocated)
    }

    pub(super) fn allocate(&mut self, num_bytes: u64) -> VolumeResult<u64> {
        if num_bytes > self.available() {
            return Err(VolumeError::new(
                VolumeErrorKind::NoSpace,
                format!(
                    "{num_bytes} bytes wanted, {} of {} free",
                    self.available(),
                    self.capacity
                ),
            ));
        }
        let at = self.freed(num_bytes).unwrap_or(self.next);
        self.next = self.next.max(at + num_bytes);
        self.allocated += num_bytes;
        self.extents.insert(
            at,
            DiskExtent {
                num_bytes,
                data: Vec::new(),
                checksums: None,
                refs: 0,
                pinned: false,
            },
        );
        Ok(at)
    }

    /// What was freed of just that length, first what was so first.
    fn freed(&mut self, num_bytes: u64) -> Option<u64> {
        let free = self.free.as_mut()?;
        let fits = free.iter().position(|(_, len)| *len == num_bytes)?;
        Some(free.remove(fits).0)
    }

    pub(super) fn free(&mut self, at: u64) {
        match self.extents.remove(&at) {
            Some(extent) => {
                self.allocated -= extent.num_bytes;
                if let Some(free) = &mut self.free {
                    free.push((at, extent.num_bytes));
                }
            }
            None => self.freed_twice += 1,
        }
    }

    /// Bytes that nothing refers to and nobody will free, and how often something was freed twice.
    pub(super) fn audit(&self) -> (u64, u64) {
        let lost = self.extents.values().filter(|e| e.refs == 0 && !e.pinned);
        (lost.map(|e| e.num_bytes).sum(), self.freed_twice)
    }

    pub(super) fn record(&mut self, at: u64, checksums: Bytes) {
        if let Some(extent) = self.extents.get_mut(&at) {
            extent.checksums = Some(checksums);
            extent.refs += 1;
        }
    }

    pub(super) fn add_ref(&mut self, at: u64) {
        if let Some(extent) = self.extents.get_mut(&at) {
            extent.refs += 1;
        }
    }

    pub(super) fn drop_ref(&mut self, at: u64) {
        if let Some(extent) = self.extents.get_mut(&at) {
            extent.refs -= 1;
            if extent.refs == 0 {
                extent.pinned = true;
                self.pinned.push(at);
            }
        }
    }

    fn find(&self, at: u64) -> VolumeResult<(u64, &DiskExtent)> {
        self.extents
            .range(..=at)
            .next_back()
            .filter(|(start, e)| at - **start < e.num_bytes)
            .map(|(start, e)| (*start, e))
            .ok_or_else(|| {
                VolumeError::new(
                    VolumeErrorKind::Corrupt,
                    format!("nothing is stored at {at}"),
                )
            })
    }

    pub(super) fn store(&mut self, at: u64, bytes: &[u8]) -> VolumeResult<()> {
        let (start, _) = self.find(at)?;
        let extent = self.extents.get_mut(&start).expect("just found");
        let from = (at - start) as usize;
        let to = from + bytes.len();
        if to as u64 > extent.num_bytes {
            return Err(VolumeError::new(
                VolumeErrorKind::Invalid,
                format!(
                    "a write at {at} of {} bytes crosses its extent",
                    bytes.len()
                ),
            ));
        }
        if let Some(unflushed) = &mut self.unflushed {
            let stable = unflushed.stable.entry(start);
            stable.or_insert_with(|| extent.data.clone());
            unflushed.writes.push((start, from, bytes.to_vec()));
        }
        extent.put(from, bytes);
        Ok(())
    }

    pub(super) fn load(&self, at: u64, len: usize) -> VolumeResult<Bytes> {
        let mut out = BytesMut::with_capacity(len);
        let mut at = at;
        // A reader may ask for neighbours in one read.
        while out.len() < len {
            let (start, extent) = self.find(at)?;
            let from = (at - start) as usize;
            let take = (len - out.len()).min(extent.num_bytes as usize - from);
            let have = extent.data.get(from..).unwrap_or_default();
            let copied = take.min(have.len());
            out.put_slice(&have[..copied]);
            out.put_bytes(0, take - copied);
            at += take as u64;
        }
        Ok(out.freeze())
    }

    pub(super) fn flip(&mut self, at: u64) -> bool {
        let Ok((start, _)) = self.find(at) else {
            return false;
        };
        let extent = self.extents.get_mut(&start).expect("just found");
        match extent.data.get_mut((at - start) as usize) {
            Some(byte) => {
                *byte ^= 1;
                true
            }
            None => false,
        }
    }

    pub(super) fn verify(&self, at: u64, bytes: &[u8]) -> VolumeResult<Vec<usize>> {
        let mut bad = Vec::new();
        for (index, sector) in bytes.chunks(SECTOR as usize).enumerate() {
            let place = at + index as u64 * SECTOR;
            let (start, extent) = self.find(place)?;
            let from = ((place - start) / SECTOR * 8) as usize;
            let stored = extent
                .checksums
                .as_ref()
                .and_then(|c| c.get(from..from + 8));
            if stored.is_some_and(|stored| stored != fnv(sector).to_le_bytes()) {
                bad.push(index);
            }
        }
        Ok(bad)
    }
}

pub(super) fn checksum(bytes: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(bytes.len().div_ceil(SECTOR as usize) * 8);
    for sector in bytes.chunks(SECTOR as usize) {
        out.put_u64_le(fnv(sector));
    }
    out.freeze()
}

/// FNV-1a over words: only meant to notice the faults that tests inject.
fn fnv(sector: &[u8]) -> u64 {
    sector.chunks(8).fold(0xcbf2_9ce4_8422_2325, |hash, word| {
        let mut le = [0; 8];
        le[..word.len()].copy_from_slice(word);
        (hash ^ u64::from_le_bytes(le)).wrapping_mul(0x0100_0000_01b3)
    })
}
