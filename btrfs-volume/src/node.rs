//! Tree nodes in memory: decoded with every check that a node allows by itself, and encoded.
//!
//! The items of a decoded leaf are slices of the buffer that it was decoded from; nothing is
//! copied. A node that is to be written is encoded from its items or pointers; the data of the
//! items lies at the node's end in reverse order, without gaps, as the kernel demands.

use bytes::{Buf, Bytes};
use uuid::Uuid;

use crate::address::Bytenr;
use crate::ondisk::csum;
use crate::ondisk::key::Key;
use crate::ondisk::objectid;

/// Bytes that the header takes.
pub const HEADER_SIZE: usize = 101;
/// Bytes that an item takes in front, besides its data.
pub const ITEM_SIZE: usize = 25;
/// Bytes that a pointer takes.
pub const KEY_PTR_SIZE: usize = 33;
/// Levels that a tree may have; the leaves' level is 0.
pub const MAX_LEVEL: u8 = 8;

/// Header flag: the node has been written.
pub const FLAG_WRITTEN: u64 = 1;
/// Header flags: revision 1 of back references, the only one since 2009.
pub const FLAG_MIXED_BACKREF: u64 = 1 << 56;

/// What every node starts with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The filesystem (the metadata UUID where there is one).
    pub fsid: Uuid,
    /// Its own logical address.
    pub bytenr: Bytenr,
    /// `FLAG_*` bits.
    pub flags: u64,
    /// The chunk tree.
    pub chunk_tree_uuid: Uuid,
    /// The transaction that wrote it.
    pub generation: u64,
    /// The tree that it was allocated for.
    pub owner: u64,
    /// How many items or pointers follow.
    pub nritems: u32,
    /// 0 for a leaf.
    pub level: u8,
}

/// An item of a leaf.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// What it is found by.
    pub key: Key,
    /// What it holds.
    pub data: Bytes,
}

impl Item {
    /// Bytes that it takes in a leaf.
    #[must_use]
    pub fn space(&self) -> usize {
        ITEM_SIZE + self.data.len()
    }
}

/// A pointer of an internal node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyPtr {
    /// First key of the child.
    pub key: Key,
    /// Where the child is.
    pub bytenr: Bytenr,
    /// The transaction that wrote the child.
    pub generation: u64,
}

/// A node of level 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaf {
    /// Its header.
    pub header: Header,
    /// In ascending key order.
    pub items: Vec<Item>,
}

/// A node above the leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Internal {
    /// Its header.
    pub header: Header,
    /// In ascending key order; at least one.
    pub ptrs: Vec<KeyPtr>,
}

/// A node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// With items.
    Leaf(Leaf),
    /// With pointers.
    Internal(Internal),
}

/// What is known of a node before it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expect {
    /// The tree that leads to it.
    pub tree: u64,
    /// Its address.
    pub bytenr: Bytenr,
    /// The filesystem (the metadata UUID where there is one).
    pub fsid: Uuid,
    /// By its parent, its root item or the superblock.
    pub generation: Option<u64>,
    /// One less than its parent's, or by the root item.
    pub level: Option<u8>,
    /// By its parent.
    pub first_key: Option<Key>,
}

/// Bytes that the items, data and all, of a leaf may take.
#[must_use]
pub const fn leaf_capacity(nodesize: usize) -> usize {
    nodesize - HEADER_SIZE
}

/// Pointers that fit into an internal node.
#[must_use]
pub const fn internal_capacity(nodesize: usize) -> usize {
    (nodesize - HEADER_SIZE) / KEY_PTR_SIZE
}

impl Node {
    /// The header.
    #[must_use]
    pub fn header(&self) -> &Header {
        match self {
            Self::Leaf(leaf) => &leaf.header,
            Self::Internal(internal) => &internal.header,
        }
    }

    /// Decodes the node in `buf`, whose length is the nodesize.
    ///
    /// Checked are the checksum; address, filesystem, owner, generation, level and first key
    /// against `expect`; the number of items against the size; the order of the keys; and that
    /// the items' data fill the node's end without gaps.
    ///
    /// # Errors
    /// What was expected and what was found, in words.
    pub fn decode(buf: &Bytes, expect: &Expect) -> Result<Self, String> {
        let header = decode_header(buf, expect)?;
        let body = buf.slice(HEADER_SIZE..);
        let node = if header.level == 0 {
            Self::Leaf(Leaf {
                items: decode_items(&body, header.nritems)?,
                header,
            })
        } else {
            Self::Internal(Internal {
                ptrs: decode_ptrs(&body, header.nritems)?,
                header,
            })
        };
        if let Some(expected) = expect.first_key {
            match node.first_key() {
                Some(found) if found == expected => {}
                Some(found) => {
                    return Err(format!("first key is {found}, expected {expected}"));
                }
                None => return Err(format!("is empty, expected first key {expected}")),
            }
        }
        Ok(node)
    }

    /// The first key; `None` if it is an empty leaf.
    #[must_use]
    pub fn first_key(&self) -> Option<Key> {
        match self {
            Self::Leaf(leaf) => leaf.items.first().map(|item| item.key),
            Self::Internal(internal) => internal.ptrs.first().map(|ptr| ptr.key),
        }
    }
}

impl Leaf {
    /// Index of the item with `key`, or of where it would be.
    ///
    /// # Errors
    /// The index where it would be.
    pub fn find(&self, key: &Key) -> Result<usize, usize> {
        self.items.binary_search_by(|item| item.key.cmp(key))
    }
}

impl Internal {
    /// Index of the child that holds `key` if any does.
    #[must_use]
    pub fn child_for(&self, key: &Key) -> usize {
        self.ptrs
            .partition_point(|ptr| ptr.key <= *key)
            .saturating_sub(1)
    }
}

fn decode_header(buf: &Bytes, expect: &Expect) -> Result<Header, String> {
    if buf.len() < HEADER_SIZE {
        return Err(format!("has {} bytes, fewer than a header", buf.len()));
    }
    if !csum::is_sealed(buf) {
        return Err(format!(
            "checksum is {:#010x}, expected {:#010x}",
            (&buf[..]).get_u32_le(),
            csum::crc32c(&buf[csum::CSUM_FIELD..])
        ));
    }
    let mut at = &buf[csum::CSUM_FIELD..HEADER_SIZE];
    let header = Header {
        fsid: get_uuid(&mut at),
        bytenr: Bytenr(at.get_u64_le()),
        flags: at.get_u64_le(),
        chunk_tree_uuid: get_uuid(&mut at),
        generation: at.get_u64_le(),
        owner: at.get_u64_le(),
        nritems: at.get_u32_le(),
        level: at.get_u8(),
    };
    if header.bytenr != expect.bytenr {
        return Err(format!("says that it is node {}", header.bytenr));
    }
    if header.fsid != expect.fsid {
        return Err(format!(
            "belongs to filesystem {}, expected {}",
            header.fsid, expect.fsid
        ));
    }
    if let Some(expected) = expect.generation
        && header.generation != expected
    {
        return Err(format!(
            "generation is {}, expected {expected}",
            header.generation
        ));
    }
    if let Some(expected) = expect.level
        && header.level != expected
    {
        return Err(format!("level is {}, expected {expected}", header.level));
    }
    if header.level >= MAX_LEVEL {
        return Err(format!("level is {}, expected at most 7", header.level));
    }
    if !owner_fits(expect.tree, header.owner) {
        return Err(format!("belongs to tree {}", header.owner));
    }
    Ok(header)
}

/// Whether a node that was allocated for `owner` may be found in `tree`: subvolumes share nodes
/// with their snapshots, other trees share none.
fn owner_fits(tree: u64, owner: u64) -> bool {
    tree == owner || (objectid::is_subvolume(tree) && objectid::is_subvolume(owner))
}

fn decode_items(body: &Bytes, nritems: u32) -> Result<Vec<Item>, String> {
    let count = checked_count(body, nritems, ITEM_SIZE)?;
    let heads_end = count * ITEM_SIZE;
    let mut items: Vec<Item> = Vec::with_capacity(count);
    let mut end = body.len();
    let mut heads = &body[..heads_end];
    for index in 0..count {
        let key = get_key(&mut heads);
        let start = heads.get_u32_le() as usize;
        let size = heads.get_u32_le() as usize;
        if let Some(previous) = items.last()
            && previous.key >= key
        {
            return Err(format!(
                "item {index}: key {key} is not above {}",
                previous.key
            ));
        }
        if start.checked_add(size) != Some(end) || start < heads_end {
            return Err(format!(
                "item {index} {key}: {size} bytes at {start}, expected them to end at {end} \
                 and to start at {heads_end} or later"
            ));
        }
        items.push(Item {
            key,
            data: body.slice(start..end),
        });
        end = start;
    }
    Ok(items)
}

fn decode_ptrs(body: &Bytes, nritems: u32) -> Result<Vec<KeyPtr>, String> {
    let count = checked_count(body, nritems, KEY_PTR_SIZE)?;
    if count == 0 {
        return Err("is an internal node without children".into());
    }
    let mut ptrs: Vec<KeyPtr> = Vec::with_capacity(count);
    let mut at = &body[..count * KEY_PTR_SIZE];
    for index in 0..count {
        let ptr = KeyPtr {
            key: get_key(&mut at),
            bytenr: Bytenr(at.get_u64_le()),
            generation: at.get_u64_le(),
        };
        if let Some(previous) = ptrs.last()
            && previous.key >= ptr.key
        {
            return Err(format!(
                "pointer {index}: key {} is not above {}",
                ptr.key, previous.key
            ));
        }
        if ptr.bytenr.0 == 0 || !ptr.bytenr.0.is_multiple_of(4096) {
            return Err(format!(
                "pointer {index} leads to {}, which is not the address of a node",
                ptr.bytenr
            ));
        }
        ptrs.push(ptr);
    }
    Ok(ptrs)
}

fn checked_count(body: &Bytes, nritems: u32, size: usize) -> Result<usize, String> {
    let most = body.len() / size;
    match usize::try_from(nritems) {
        Ok(count) if count <= most => Ok(count),
        _ => Err(format!("has {nritems} items, expected at most {most}")),
    }
}

fn get_uuid(at: &mut &[u8]) -> Uuid {
    let mut bytes = [0; 16];
    at.copy_to_slice(&mut bytes);
    Uuid::from_bytes(bytes)
}

fn get_key(at: &mut &[u8]) -> Key {
    Key {
        objectid: at.get_u64_le(),
        item_type: at.get_u8(),
        offset: at.get_u64_le(),
    }
}

/// Encodes a leaf of `items` into `buf`, whose length is the nodesize, checksum and all.
/// `header.nritems` and `header.level` are not looked at.
///
/// # Panics
/// The items do not fit.
pub fn encode_leaf(header: &Header, items: &[Item], buf: &mut [u8]) {
    encode_header(header, items.len(), 0, buf);
    let (heads, data) = buf[HEADER_SIZE..].split_at_mut(items.len() * ITEM_SIZE);
    let heads_end = heads.len();
    let mut end = data.len();
    for (item, head) in items.iter().zip(heads.chunks_exact_mut(ITEM_SIZE)) {
        let start = end - item.data.len();
        data[start..end].copy_from_slice(&item.data);
        put_key(&item.key, head);
        // A node has at most 64 KiB.
        head[17..21].copy_from_slice(&((heads_end + start) as u32).to_le_bytes());
        head[21..25].copy_from_slice(&(item.data.len() as u32).to_le_bytes());
        end = start;
    }
    data[..end].fill(0);
    csum::seal(buf);
}

/// Encodes an internal node of `ptrs` into `buf`, whose length is the nodesize, checksum and all.
/// `header.nritems` is not looked at.
///
/// # Panics
/// The pointers do not fit.
pub fn encode_internal(header: &Header, ptrs: &[KeyPtr], buf: &mut [u8]) {
    encode_header(header, ptrs.len(), header.level, buf);
    let (slots, rest) = buf[HEADER_SIZE..].split_at_mut(ptrs.len() * KEY_PTR_SIZE);
    for (ptr, slot) in ptrs.iter().zip(slots.chunks_exact_mut(KEY_PTR_SIZE)) {
        put_key(&ptr.key, slot);
        slot[17..25].copy_from_slice(&ptr.bytenr.0.to_le_bytes());
        slot[25..33].copy_from_slice(&ptr.generation.to_le_bytes());
    }
    rest.fill(0);
    csum::seal(buf);
}

fn encode_header(header: &Header, nritems: usize, level: u8, buf: &mut [u8]) {
    buf[32..48].copy_from_slice(header.fsid.as_bytes());
    buf[48..56].copy_from_slice(&header.bytenr.0.to_le_bytes());
    buf[56..64].copy_from_slice(&header.flags.to_le_bytes());
    buf[64..80].copy_from_slice(header.chunk_tree_uuid.as_bytes());
    buf[80..88].copy_from_slice(&header.generation.to_le_bytes());
    buf[88..96].copy_from_slice(&header.owner.to_le_bytes());
    // A node has at most 64 KiB.
    buf[96..100].copy_from_slice(&(nritems as u32).to_le_bytes());
    buf[100] = level;
}

fn put_key(key: &Key, at: &mut [u8]) {
    at[..8].copy_from_slice(&key.objectid.to_le_bytes());
    at[8] = key.item_type;
    at[9..17].copy_from_slice(&key.offset.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NODESIZE: usize = 4096;

    fn header(level: u8) -> Header {
        Header {
            fsid: Uuid::from_u128(1),
            bytenr: Bytenr(65536),
            flags: FLAG_WRITTEN | FLAG_MIXED_BACKREF,
            chunk_tree_uuid: Uuid::from_u128(2),
            generation: 7,
            owner: 5,
            nritems: 0,
            level,
        }
    }

    fn expect() -> Expect {
        Expect {
            tree: 5,
            bytenr: Bytenr(65536),
            fsid: Uuid::from_u128(1),
            generation: Some(7),
            level: None,
            first_key: None,
        }
    }

    fn leaf(count: u64) -> (Vec<Item>, Vec<u8>) {
        let items: Vec<_> = (0..count)
            .map(|i| Item {
                key: Key::new(i, 1, i),
                data: Bytes::from(vec![i as u8; i as usize]),
            })
            .collect();
        let mut buf = vec![0xee; NODESIZE];
        encode_leaf(&header(0), &items, &mut buf);
        (items, buf)
    }

    #[test]
    fn a_leaf_comes_back() {
        let (items, buf) = leaf(40);
        let node = Node::decode(&Bytes::from(buf), &expect()).unwrap();
        let Node::Leaf(leaf) = node else {
            panic!("not a leaf")
        };
        assert_eq!(leaf.items, items);
        assert_eq!(leaf.header.nritems, 40);
        assert_eq!(leaf.find(&Key::new(3, 1, 3)), Ok(3));
        assert_eq!(leaf.find(&Key::new(3, 1, 4)), Err(4));
    }

    #[test]
    fn an_internal_node_comes_back() {
        let ptrs: Vec<_> = (1..=internal_capacity(NODESIZE) as u64)
            .map(|i| KeyPtr {
                key: Key::new(i * 10, 0, 0),
                bytenr: Bytenr(i * 4096),
                generation: i,
            })
            .collect();
        let mut buf = vec![0xee; NODESIZE];
        encode_internal(&header(3), &ptrs, &mut buf);
        let node = Node::decode(&Bytes::from(buf), &expect()).unwrap();
        let Node::Internal(internal) = node else {
            panic!("not internal")
        };
        assert_eq!(internal.ptrs, ptrs);
        assert_eq!(internal.child_for(&Key::new(0, 0, 0)), 0);
        assert_eq!(internal.child_for(&Key::new(20, 0, 0)), 1);
        assert_eq!(internal.child_for(&Key::new(29, 0, 0)), 1);
    }

    #[test]
    fn what_differs_from_the_expectation_is_named() {
        let (_, buf) = leaf(3);
        let buf = Bytes::from(buf);
        let problem = |change: &dyn Fn(&mut Expect)| {
            let mut expect = expect();
            change(&mut expect);
            Node::decode(&buf, &expect).unwrap_err()
        };
        assert!(problem(&|e| e.tree = 2).contains("tree 5"));
        assert!(problem(&|e| e.bytenr = Bytenr(4096)).contains("65536"));
        assert!(problem(&|e| e.fsid = Uuid::nil()).contains("filesystem"));
        assert!(problem(&|e| e.generation = Some(8)).contains("generation is 7"));
        assert!(problem(&|e| e.level = Some(1)).contains("level is 0"));
        assert!(problem(&|e| e.first_key = Some(Key::MAX)).contains("first key"));
        let mut snapshot = expect();
        snapshot.tree = 257;
        assert!(Node::decode(&buf, &snapshot).is_ok());
    }

    proptest! {
        #[test]
        fn a_damaged_node_never_panics(
            changes in prop::collection::vec((0..NODESIZE, any::<u8>()), 1..20),
            heads in prop::collection::vec((HEADER_SIZE - 5..HEADER_SIZE + 100, any::<u8>()), 0..5),
            cut in 0..NODESIZE + 1,
        ) {
            let (_, mut buf) = leaf(40);
            for (at, byte) in changes.into_iter().chain(heads) {
                buf[at] = byte;
            }
            csum::seal(&mut buf);
            let mut expect = expect();
            for tree in [5, 2] {
                expect.tree = tree;
                let _ = Node::decode(&Bytes::from(buf.clone()), &expect);
                let _ = Node::decode(&Bytes::copy_from_slice(&buf[..cut]), &expect);
            }
        }
    }
}
