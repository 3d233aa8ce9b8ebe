//! The decision how to read: pure.

use std::ops::Range;

use bytes::Bytes;
use compress::CodecId;
use pagecache::PAGE_SIZE;

use crate::extent_map::{ExtentKind, ExtentMap};

/// The largest compressed extent, on disk and in memory, as btrfs limits them.
pub const MAX_COMPRESSED: u64 = 128 * 1024;

/// Raw extents are read in pieces of this many bytes, cut at its multiples in the file.
pub const RAW_PIECE: u64 = 256 * 1024;

/// A part of a file that is read as one, out of one extent map only, even where the next map points
/// to the same disk extent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece<L> {
    /// The pages to fill; page-aligned, ends at the last page of the file at most.
    pub fill: Range<u64>,
    /// The pages somebody asked for: within `fill`, from the first to the last.
    pub wanted: Range<u64>,
    /// How.
    pub plan: ReadPlan<L>,
}

/// How a [`Piece`] is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReadPlan<L> {
    /// Zeroes.
    Hole,
    /// Out of the metadata; zeroes follow.
    Inline {
        /// What is stored.
        data: Bytes,
        /// How it is compressed, if it is.
        codec: Option<CodecId>,
        /// Length once decompressed.
        ram_bytes: usize,
    },
    /// Sectors as they are.
    Raw {
        /// The disk extent.
        disk: L,
        /// Its length: nothing behind it is read.
        disk_num_bytes: u64,
        /// Where in it the first page to fill is.
        offset: u64,
    },
    /// Fetch all, decompress from the beginning, skip.
    Compressed {
        /// The disk extent.
        disk: L,
        /// Its length.
        disk_num_bytes: usize,
        /// Its length once decompressed.
        ram_bytes: usize,
        /// Where in the decompressed bytes the first page to fill is. (The file offset of the
        /// extent's own first byte may lie before the file, so nothing counts from there.)
        skip: usize,
        /// How it is compressed.
        codec: CodecId,
    },
    /// An error for these pages.
    Invalid(InvalidMap),
}

/// What is wrong with an extent map.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidMap {
    /// No map covers these pages.
    #[error("no extent map covers them")]
    Gap,
    /// Data does not begin or end at a page.
    #[error("the extent is not aligned to pages")]
    Misaligned,
    /// An offset or length overflows, or points outside of the extent.
    #[error("the extent map points outside of its extent")]
    OutOfBounds,
    /// Larger than the format allows, or empty.
    #[error("a compressed extent of {disk_num_bytes} bytes for {ram_bytes}")]
    Size {
        /// Bytes on disk.
        disk_num_bytes: u64,
        /// Bytes in memory.
        ram_bytes: u64,
    },
}

/// Plans how to read the pages `missing` (page-aligned, ascending, disjoint) of a file of
/// `file_size` bytes, of which `maps` tell where they are.
///
/// The pieces are in file order, disjoint, and each holds something of `missing`. Compressed and
/// inline extents are filled as far as their map goes, raw ones and holes where pages are missing.
/// Nothing behind the last page of the file is filled.
#[must_use]
pub fn plan<L: Copy>(
    maps: &[ExtentMap<L>],
    missing: &[Range<u64>],
    file_size: u64,
) -> Vec<Piece<L>> {
    let file_end = page_up(file_size);
    let mut pieces = Vec::new();
    let mut maps = maps.iter().peekable();
    // Everything before is decided.
    let mut cursor = 0;
    for missing in missing {
        let end = missing.end.min(file_end);
        cursor = cursor.max(missing.start);
        while cursor < end {
            while maps
                .next_if(|map| page_end(map, file_size) <= cursor)
                .is_some()
            {}
            let covering = maps.peek().filter(|map| page_down(map.start) <= cursor);
            let Some(map) = covering else {
                // Up to the next map, if there is one.
                let next = maps.peek().map_or(end, |map| page_down(map.start).min(end));
                push_gap(&mut pieces, cursor..next);
                cursor = next;
                continue;
            };
            let map_pages = page_down(map.start)..page_end(map, file_size).min(file_end);
            let wanted = cursor..map_pages.end.min(end);
            cursor = push(&mut pieces, map, map_pages, wanted, file_size);
        }
    }
    pieces
}

/// Adds what is needed for `wanted`, which `map` covers, and returns where to go on.
fn push<L: Copy>(
    pieces: &mut Vec<Piece<L>>,
    map: &ExtentMap<L>,
    map_pages: Range<u64>,
    wanted: Range<u64>,
    file_size: u64,
) -> u64 {
    // What an earlier map was responsible for stays its own, should maps overlap.
    let decided = pieces.last().map_or(0, |piece| piece.fill.end);
    let whole = map_pages.start.max(decided)..map_pages.end;
    let invalid = |reason| Piece {
        fill: wanted.clone(),
        wanted: wanted.clone(),
        plan: ReadPlan::Invalid(reason),
    };
    let misaligned = !map.start.is_multiple_of(PAGE_SIZE)
        || !map.range().end.is_multiple_of(PAGE_SIZE) && map.range().end < file_size;
    match &map.kind {
        ExtentKind::Hole | ExtentKind::Prealloc => pieces.push(Piece {
            fill: wanted.clone(),
            wanted: wanted.clone(),
            plan: ReadPlan::Hole,
        }),
        ExtentKind::Inline {
            data,
            codec,
            ram_bytes,
        } => match check_inline(map, data.len(), *codec, *ram_bytes) {
            Ok(ram_bytes) => {
                let end = whole.end;
                pieces.push(Piece {
                    fill: whole,
                    wanted,
                    plan: ReadPlan::Inline {
                        data: data.clone(),
                        codec: *codec,
                        ram_bytes,
                    },
                });
                return end;
            }
            Err(reason) => pieces.push(invalid(reason)),
        },
        _ if misaligned => pieces.push(invalid(InvalidMap::Misaligned)),
        ExtentKind::Raw {
            disk,
            disk_num_bytes,
            offset,
        } => push_raw(pieces, map, &wanted, (*disk, *disk_num_bytes, *offset)),
        ExtentKind::Compressed {
            disk,
            disk_num_bytes,
            ram_bytes,
            offset,
            codec,
        } => match check_compressed(map, &whole, *disk_num_bytes, *ram_bytes, *offset) {
            Ok((disk_num_bytes, ram_bytes, skip)) => {
                let end = whole.end;
                pieces.push(Piece {
                    fill: whole,
                    wanted,
                    plan: ReadPlan::Compressed {
                        disk: *disk,
                        disk_num_bytes,
                        ram_bytes,
                        skip,
                        codec: *codec,
                    },
                });
                return end;
            }
            Err(reason) => pieces.push(invalid(reason)),
        },
    }
    pieces.last().map_or(map_pages.end, |piece| piece.fill.end)
}

fn push_gap<L>(pieces: &mut Vec<Piece<L>>, gap: Range<u64>) {
    pieces.push(Piece {
        fill: gap.clone(),
        wanted: gap,
        plan: ReadPlan::Invalid(InvalidMap::Gap),
    });
}

fn push_raw<L: Copy>(
    pieces: &mut Vec<Piece<L>>,
    map: &ExtentMap<L>,
    wanted: &Range<u64>,
    (disk, disk_num_bytes, map_offset): (L, u64, u64),
) {
    let mut start = wanted.start;
    while start < wanted.end {
        let cut = (start / RAW_PIECE + 1).saturating_mul(RAW_PIECE);
        let fill = start..wanted.end.min(cut);
        start = fill.end;
        // The last page of a map may be cut by the file's end; its bytes must be there, though.
        let needed = fill.end.min(map.range().end) - fill.start;
        let offset = map_offset.checked_add(fill.start - map.start);
        let inside = offset
            .and_then(|offset| offset.checked_add(needed))
            .is_some_and(|end| end <= disk_num_bytes);
        let plan = match offset {
            Some(offset) if inside => ReadPlan::Raw {
                disk,
                disk_num_bytes,
                offset,
            },
            _ => ReadPlan::Invalid(InvalidMap::OutOfBounds),
        };
        pieces.push(Piece {
            wanted: fill.clone(),
            fill,
            plan,
        });
    }
}

/// Decompressed length of a valid inline extent.
fn check_inline<L>(
    map: &ExtentMap<L>,
    stored: usize,
    codec: Option<CodecId>,
    ram_bytes: u64,
) -> Result<usize, InvalidMap> {
    let size = InvalidMap::Size {
        disk_num_bytes: stored as u64,
        ram_bytes,
    };
    if map.start != 0 {
        return Err(InvalidMap::Misaligned);
    }
    let len = usize::try_from(ram_bytes).map_err(|_| size)?;
    if ram_bytes > MAX_COMPRESSED || stored as u64 > MAX_COMPRESSED {
        return Err(size);
    }
    if page_up(map.len) > MAX_COMPRESSED {
        return Err(InvalidMap::OutOfBounds);
    }
    Ok(match codec {
        None => len.min(stored),
        Some(_) => len,
    })
}

/// Length on disk, length in memory, and bytes to skip of a valid compressed extent.
fn check_compressed<L>(
    map: &ExtentMap<L>,
    fill: &Range<u64>,
    disk_num_bytes: u64,
    ram_bytes: u64,
    offset: u64,
) -> Result<(usize, usize, usize), InvalidMap> {
    if disk_num_bytes == 0
        || disk_num_bytes > MAX_COMPRESSED
        || ram_bytes == 0
        || ram_bytes > MAX_COMPRESSED
    {
        return Err(InvalidMap::Size {
            disk_num_bytes,
            ram_bytes,
        });
    }
    if !offset.is_multiple_of(PAGE_SIZE) {
        return Err(InvalidMap::Misaligned);
    }
    let skip = offset
        .checked_add(fill.start - map.start)
        .ok_or(InvalidMap::OutOfBounds)?;
    // Old kernels wrote ram_bytes that are not a multiple of the sector.
    let inside = offset
        .checked_add(map.len)
        .is_some_and(|end| end <= page_up(ram_bytes));
    if !inside {
        return Err(InvalidMap::OutOfBounds);
    }
    Ok((disk_num_bytes as usize, ram_bytes as usize, skip as usize))
}

/// The end of the last page that `map` is responsible for.
fn page_end<L>(map: &ExtentMap<L>, file_size: u64) -> u64 {
    let end = map.range().end;
    let shared = matches!(map.kind, ExtentKind::Hole | ExtentKind::Prealloc) && end < file_size;
    match shared {
        // A hole gives way to data that begins within its last page.
        true => page_down(end),
        false => page_up(end),
    }
}

fn page_down(offset: u64) -> u64 {
    offset - offset % PAGE_SIZE
}

/// Rounded up; what has no page above it, down.
pub(crate) fn page_up(offset: u64) -> u64 {
    offset
        .checked_next_multiple_of(PAGE_SIZE)
        .unwrap_or(u64::MAX - (PAGE_SIZE - 1))
}
