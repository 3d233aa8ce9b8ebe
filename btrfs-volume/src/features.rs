//! Features of a volume by name, and which of them this crate knows.

use crate::device::Access;
use crate::error::{Error, Result};
use crate::ondisk::{Superblock, compat_ro, incompat};

/// Incompatible features that a reader here knows.
const READABLE: u64 = incompat::MIXED_BACKREF
    | incompat::DEFAULT_SUBVOL
    | incompat::MIXED_GROUPS
    | incompat::COMPRESS_LZO
    | incompat::COMPRESS_ZSTD
    | incompat::BIG_METADATA
    | incompat::EXTENDED_IREF
    | incompat::SKINNY_METADATA
    | incompat::NO_HOLES
    | incompat::METADATA_UUID
    | incompat::SIMPLE_QUOTA;

/// Incompatible features that a writer here knows.
const WRITABLE: u64 = incompat::MIXED_BACKREF
    | incompat::DEFAULT_SUBVOL
    | incompat::COMPRESS_LZO
    | incompat::COMPRESS_ZSTD
    | incompat::BIG_METADATA
    | incompat::EXTENDED_IREF
    | incompat::SKINNY_METADATA
    | incompat::NO_HOLES;

/// Features compatible for reading that a writer here knows.
const WRITABLE_COMPAT_RO: u64 = compat_ro::FREE_SPACE_TREE | compat_ro::FREE_SPACE_TREE_VALID;

/// The name of bit `bit` of the incompatible features.
#[must_use]
pub fn incompat_name(bit: u32) -> String {
    let name = match bit {
        0 => "mixed-backref",
        1 => "default-subvol",
        2 => "mixed-groups",
        3 => "compress-lzo",
        4 => "compress-zstd",
        5 => "big-metadata",
        6 => "extended-iref",
        7 => "raid56",
        8 => "skinny-metadata",
        9 => "no-holes",
        10 => "metadata-uuid",
        11 => "raid1c34",
        12 => "zoned",
        13 => "extent-tree-v2",
        14 => "raid-stripe-tree",
        16 => "simple-quota",
        17 => "remap-tree",
        _ => return format!("unknown incompat feature (bit {bit})"),
    };
    name.into()
}

/// The name of bit `bit` of the features compatible for reading.
#[must_use]
pub fn compat_ro_name(bit: u32) -> String {
    let name = match bit {
        0 => "free-space-tree",
        1 => "free-space-tree-valid",
        2 => "verity",
        3 => "block-group-tree",
        _ => return format!("unknown compat_ro feature (bit {bit})"),
    };
    name.into()
}

/// The name of a checksum type.
#[must_use]
pub fn csum_name(csum_type: u16) -> String {
    let name = match csum_type {
        0 => "crc32c",
        1 => "xxhash64",
        2 => "sha256",
        3 => "blake2b",
        _ => return format!("unknown checksum type {csum_type}"),
    };
    name.into()
}

/// The names of all features of a volume, as `info` lists them.
#[must_use]
pub fn names(superblock: &Superblock) -> Vec<String> {
    let incompat = bits(superblock.incompat_flags).map(incompat_name);
    incompat
        .chain(bits(superblock.compat_ro_flags).map(compat_ro_name))
        .collect()
}

/// Refuses a volume with features that are unknown here.
///
/// # Errors
/// [`Error::Unsupported`] with the names of all of them.
pub fn check(superblock: &Superblock, access: Access) -> Result<()> {
    let refuse = |features: Vec<String>, writing| {
        if features.is_empty() {
            Ok(())
        } else {
            Err(Error::Unsupported { features, writing })
        }
    };
    let mut features: Vec<_> = bits(superblock.incompat_flags & !READABLE)
        .map(incompat_name)
        .collect();
    if superblock.num_devices > 1 {
        features.push(format!("{} devices", superblock.num_devices));
    }
    if superblock.csum_type != 0 {
        features.push(format!("{} checksums", csum_name(superblock.csum_type)));
    }
    refuse(features, false)?;
    if access == Access::Read {
        return Ok(());
    }
    let incompat = bits(superblock.incompat_flags & !WRITABLE).map(incompat_name);
    let compat_ro = bits(superblock.compat_ro_flags & !WRITABLE_COMPAT_RO).map(compat_ro_name);
    let mut features: Vec<_> = incompat.chain(compat_ro).collect();
    if superblock.log_root != 0 {
        features.push("replaying a log tree".into());
    }
    refuse(features, true)
}

/// Numbers of the bits that are set.
fn bits(flags: u64) -> impl Iterator<Item = u32> {
    (0..u64::BITS).filter(move |bit| flags >> bit & 1 != 0)
}
