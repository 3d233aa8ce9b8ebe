//! Checksums: crc32c, of nodes, superblocks and data sectors.

/// Bytes that a checksum takes at the front of a node or superblock.
pub const CSUM_FIELD: usize = 32;

/// Bytes that one checksum takes in the csum tree.
pub const CSUM_SIZE: usize = 4;

/// The checksum of `bytes`.
#[must_use]
pub fn crc32c(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes)
}

/// Whether a node or superblock carries the checksum of its own contents. One too short for the
/// field does not.
#[must_use]
pub fn is_sealed(block: &[u8]) -> bool {
    let Some((field, body)) = block.split_at_checked(CSUM_FIELD) else {
        return false;
    };
    field[..CSUM_SIZE] == crc32c(body).to_le_bytes()
}

/// Puts its checksum into a node or superblock.
///
/// # Panics
/// `block` is shorter than [`CSUM_FIELD`].
pub fn seal(block: &mut [u8]) {
    let (field, body) = block.split_at_mut(CSUM_FIELD);
    field.fill(0);
    field[..CSUM_SIZE].copy_from_slice(&crc32c(body).to_le_bytes());
}

/// Checksums of `bytes`, one for each `sector_size` bytes, packed as the csum tree holds them.
///
/// # Panics
/// `sector_size` is 0.
#[must_use]
pub fn checksum_sectors(bytes: &[u8], sector_size: usize) -> Vec<u8> {
    let mut packed = Vec::with_capacity(bytes.len().div_ceil(sector_size) * CSUM_SIZE);
    for sector in bytes.chunks(sector_size) {
        packed.extend_from_slice(&crc32c(sector).to_le_bytes());
    }
    packed
}
