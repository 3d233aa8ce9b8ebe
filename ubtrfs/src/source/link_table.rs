//! Which file on the outside became which inode, for files with several names.

/// Numbers a record takes: inode number, device (as an index) and inode in the image.
const WORDS: usize = 5;
const SHARDS: usize = 256;
const MIN_SLOTS: usize = 8;

/// From (device, inode number) to a number that is not 0, in at most 32 bytes for each entry.
///
/// Open addressing in many small tables: one grows at a time, by a quarter, so that neither the
/// table nor its growing takes much more than what it holds.
#[derive(Debug)]
pub struct LinkTable {
    shards: Vec<Shard>,
    devices: Vec<u64>,
}

#[derive(Debug, Default)]
struct Shard {
    /// All zero: free.
    slots: Vec<[u32; WORDS]>,
    used: usize,
}

impl Default for LinkTable {
    fn default() -> Self {
        Self::new()
    }
}

impl LinkTable {
    /// An empty table.
    #[must_use]
    pub fn new() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Shard::default()).collect(),
            devices: Vec::new(),
        }
    }

    /// What was inserted for this file.
    #[must_use]
    pub fn get(&self, dev: u64, ino: u64) -> Option<u64> {
        let device = self.devices.iter().position(|known| *known == dev)?;
        let key = key(device as u32, ino);
        let slots = &self.shards[shard_of(key)].slots;
        if slots.is_empty() {
            return None;
        }
        let slot = slots[find(slots, key)];
        (slot != [0; WORDS]).then(|| u64::from(slot[3]) | u64::from(slot[4]) << 32)
    }

    /// Remembers a file that is not in the table yet.
    ///
    /// # Panics
    ///
    /// `value` is 0.
    pub fn insert(&mut self, dev: u64, ino: u64, value: u64) {
        assert_ne!(value, 0, "0 marks free slots");
        let known = self.devices.iter().position(|known| *known == dev);
        let device = known.unwrap_or_else(|| {
            self.devices.push(dev);
            self.devices.len() - 1
        });
        let key = key(device as u32, ino);
        let shard = &mut self.shards[shard_of(key)];
        // At most 6 of 7 are in use: more and searching takes long.
        if (shard.used + 1) * 7 > shard.slots.len() * 6 {
            shard.grow();
        }
        let at = find(&shard.slots, key);
        if shard.slots[at] == [0; WORDS] {
            shard.used += 1;
        }
        let [a, b, c] = key;
        shard.slots[at] = [a, b, c, value as u32, (value >> 32) as u32];
    }

    /// Bytes of memory that the table takes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let slots: usize = self.shards.iter().map(|shard| shard.slots.capacity()).sum();
        slots * size_of::<[u32; WORDS]>()
    }
}

impl Shard {
    fn grow(&mut self) {
        let len = (self.slots.len() * 5 / 4).max(self.slots.len() + MIN_SLOTS);
        let mut slots = Vec::with_capacity(len);
        slots.resize(len, [0; WORDS]);
        for slot in self.slots.drain(..).filter(|slot| *slot != [0; WORDS]) {
            let [a, b, c, ..] = slot;
            let at = find(&slots, [a, b, c]);
            slots[at] = slot;
        }
        self.slots = slots;
    }
}

fn key(device: u32, ino: u64) -> [u32; 3] {
    [ino as u32, (ino >> 32) as u32, device]
}

fn hash([low, high, device]: [u32; 3]) -> u64 {
    let mut hash = (u64::from(low) | u64::from(high) << 32) ^ u64::from(device) << 40;
    // The finalizer of splitmix64.
    hash = (hash ^ hash >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ hash >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ hash >> 31
}

fn shard_of(key: [u32; 3]) -> usize {
    (hash(key) >> 56) as usize
}

/// The slot of `key`, or the free one where it belongs; there always is a free one.
fn find(slots: &[[u32; WORDS]], key: [u32; 3]) -> usize {
    let mut at = ((u64::from(hash(key) as u32) * slots.len() as u64) >> 32) as usize;
    while slots[at] != [0; WORDS] && slots[at][..3] != key {
        at = (at + 1) % slots.len();
    }
    at
}

#[cfg(test)]
mod tests {
    use super::LinkTable;
    use std::collections::HashMap;

    #[test]
    fn it_finds_what_a_hash_map_finds_in_32_bytes_each() {
        let mut table = LinkTable::new();
        let mut oracle = HashMap::new();
        let mut state = 1u64;
        for i in 1..200_000u64 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let (dev, ino) = (state % 3, if i % 2 == 0 { i } else { state >> 5 });
            if oracle.insert((dev, ino), i).is_none() {
                table.insert(dev, ino, i);
            } else {
                oracle.insert((dev, ino), table.get(dev, ino).unwrap());
            }
            if i > 20_000 && i % 10_000 == 0 {
                assert!(table.bytes() <= 32 * oracle.len(), "{i}: {}", table.bytes());
            }
        }
        for ((dev, ino), value) in &oracle {
            assert_eq!(table.get(*dev, *ino), Some(*value));
        }
        assert_eq!(table.get(7, 1), None);
        assert_eq!(table.get(0, u64::MAX), None);
    }
}
