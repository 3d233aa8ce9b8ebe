//! Hashes that serve as key offsets.

/// crc32c without the inversions, from `seed` on.
fn raw_crc32c(seed: u32, bytes: &[u8]) -> u32 {
    !crc32c::crc32c_append(!seed, bytes)
}

/// Hash of a name: the offset of the keys of `DIR_ITEM` and `XATTR_ITEM`.
#[must_use]
pub fn name_hash(name: &[u8]) -> u64 {
    u64::from(raw_crc32c(!1, name))
}

/// Hash of a name in the directory `parent`: the offset of the keys of `INODE_EXTREF`.
#[must_use]
pub fn extref_hash(parent: u64, name: &[u8]) -> u64 {
    // By the format only the low half of the parent counts.
    u64::from(raw_crc32c(parent as u32, name))
}

/// Hash of a data back reference: the offset of the keys of `EXTENT_DATA_REF`, and what inline
/// references are sorted by.
#[must_use]
pub fn extent_data_ref_hash(root: u64, objectid: u64, offset: u64) -> u64 {
    let high = raw_crc32c(!0, &root.to_le_bytes());
    let low = raw_crc32c(!0, &objectid.to_le_bytes());
    let low = raw_crc32c(low, &offset.to_le_bytes());
    (u64::from(high) << 31) ^ u64::from(low)
}
