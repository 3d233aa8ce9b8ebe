//! Finding the superblock to go by.

use tracing::warn;

use crate::device::BlockDevice;
use crate::error::{Error, Result};
use crate::features::csum_name;
use crate::node::MAX_LEVEL;
use crate::ondisk::{SUPER_MAGIC, SUPER_OFFSETS, SUPER_SIZE, Superblock, csum};

/// What one copy turned out to be.
enum Copy {
    Good(Box<Superblock>),
    Bad(Problem),
}

/// Why a copy is of no use; the later, the more it looks like a superblock.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Problem {
    Absent,
    NoMagic,
    Damaged(String),
    Csum(u16),
}

/// The superblock to go by, and what was wrong with the primary if it is another one.
///
/// The primary is taken where it is whole: the others may be older, for it is written first.
/// Otherwise the mirror of the highest generation, with a warning.
///
/// # Errors
/// [`Error::NotBtrfs`], [`Error::Superblock`], [`Error::Unsupported`] for its checksum type,
/// [`Error::Io`].
pub(crate) fn read(device: &dyn BlockDevice) -> Result<(Superblock, Option<String>)> {
    let size = device.size().map_err(|source| Error::Io {
        op: "read",
        offset: 0,
        len: 0,
        source,
    })?;
    let primary = match read_copy(device, size, SUPER_OFFSETS[0])? {
        Copy::Good(superblock) => return Ok((*superblock, None)),
        Copy::Bad(problem) => problem,
    };
    let mut best: Option<Box<Superblock>> = None;
    let mut worst = (primary.clone(), SUPER_OFFSETS[0]);
    for &at in &SUPER_OFFSETS[1..] {
        match read_copy(device, size, at)? {
            Copy::Good(found) => {
                if best
                    .as_ref()
                    .is_none_or(|b| b.generation < found.generation)
                {
                    best = Some(found);
                }
            }
            Copy::Bad(problem) => worst = worst.max((problem, at)),
        }
    }
    if let Some(best) = best {
        let warning = format!(
            "superblock at {} is unusable ({}); going by the copy at {}, generation {}",
            SUPER_OFFSETS[0],
            primary.words(),
            best.bytenr,
            best.generation
        );
        warn!("{warning}");
        return Ok((*best, Some(warning)));
    }
    let (problem, at) = worst;
    Err(match problem {
        Problem::Absent | Problem::NoMagic => Error::NotBtrfs {
            reason: problem.words(),
        },
        Problem::Csum(csum_type) => Error::Unsupported {
            features: vec![format!("{} checksums", csum_name(csum_type))],
            writing: false,
        },
        Problem::Damaged(problem) => Error::Superblock { at, problem },
    })
}

impl Problem {
    fn words(&self) -> String {
        match self {
            Self::Absent => "the device is too small".into(),
            Self::NoMagic => "no magic number".into(),
            Self::Damaged(problem) => problem.clone(),
            Self::Csum(csum_type) => format!("{} checksums", csum_name(*csum_type)),
        }
    }
}

fn read_copy(device: &dyn BlockDevice, size: u64, at: u64) -> Result<Copy> {
    if size < at + SUPER_SIZE as u64 {
        return Ok(Copy::Bad(Problem::Absent));
    }
    let mut bytes = vec![0; SUPER_SIZE];
    device.read_at(at, &mut bytes).map_err(|source| Error::Io {
        op: "read",
        offset: at,
        len: SUPER_SIZE as u64,
        source,
    })?;
    Ok(match examine(&bytes, at) {
        Ok(superblock) => Copy::Good(Box::new(superblock)),
        Err(problem) => Copy::Bad(problem),
    })
}

/// The superblock in the copy that lies at `at`, if it is whole and makes sense.
fn examine(bytes: &[u8], at: u64) -> Result<Superblock, Problem> {
    let magic = bytes
        .get(64..72)
        .is_some_and(|m| m == SUPER_MAGIC.to_le_bytes());
    let sealed = csum::is_sealed(bytes);
    if !magic {
        return Err(if sealed {
            Problem::Damaged("no magic number".into())
        } else {
            Problem::NoMagic
        });
    }
    let superblock = Superblock::decode(bytes).map_err(|bad| Problem::Damaged(bad.to_string()))?;
    if !sealed {
        return Err(match superblock.csum_type {
            csum_type @ 1..=3 => Problem::Csum(csum_type),
            _ => Problem::Damaged("checksum does not match".into()),
        });
    }
    sane(&superblock, at).map_err(Problem::Damaged)?;
    Ok(superblock)
}

/// What must hold of every superblock.
fn sane(superblock: &Superblock, at: u64) -> Result<(), String> {
    let sb = superblock;
    let field = |name: &str, found: u64, good: bool, expected: &str| {
        if good {
            Ok(())
        } else {
            Err(format!("{name} is {found}, expected {expected}"))
        }
    };
    let sector = u64::from(sb.sectorsize);
    let node = u64::from(sb.nodesize);
    let size = |size: u64| size.is_power_of_two() && (4096..=65536).contains(&size);
    field(
        "bytenr",
        sb.bytenr,
        sb.bytenr == at,
        "its offset on the device",
    )?;
    field(
        "sectorsize",
        sector,
        size(sector),
        "a power of two of 4096..=65536",
    )?;
    field(
        "nodesize",
        node,
        size(node) && node >= sector,
        "a power of two of sectorsize..=65536",
    )?;
    for (name, level) in [
        ("level of the root tree", sb.root_level),
        ("level of the chunk tree", sb.chunk_root_level),
        ("level of the log tree", sb.log_root_level),
    ] {
        field(name, level.into(), level < MAX_LEVEL, "less than 8")?;
    }
    for (name, bytenr) in [
        ("root of the root tree", sb.root),
        ("root of the chunk tree", sb.chunk_root),
        ("root of the log tree", sb.log_root),
    ] {
        field(
            name,
            bytenr,
            bytenr.is_multiple_of(sector),
            "a multiple of the sector size",
        )?;
    }
    field(
        "number of devices",
        sb.num_devices,
        sb.num_devices > 0,
        "at least 1",
    )?;
    field(
        "generation of the chunk tree",
        sb.chunk_root_generation,
        sb.chunk_root_generation <= sb.generation,
        "at most that of the superblock",
    )?;
    if sb.dev_item.fsid != sb.node_fsid() {
        return Err(format!(
            "its device belongs to volume {}, expected {}",
            sb.dev_item.fsid,
            sb.node_fsid()
        ));
    }
    Ok(())
}
