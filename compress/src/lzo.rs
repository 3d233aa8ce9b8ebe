//! lzo: a total length, then a sector of the source at a time, each with its length before it.
//!
//! All lengths are 32 bits, little-endian. The total counts itself. A segment's payload may cross
//! a sector boundary; its length may not, so up to three zeros stand before it. An inline extent is
//! at most a sector of source, so it has a single segment.

use std::ops::RangeInclusive;

use crate::lzo1x::{self, Table};
use crate::{Codec, CodecId, Compressor, Decompressor, Error};

/// Bytes in a sector, unless a volume was made with larger ones.
pub const SECTOR_SIZE: usize = 4096;

const NAME: &str = "lzo";
const LEVELS: RangeInclusive<i32> = 1..=1;
const HEADER: usize = 4;
/// `BTRFS_MAX_COMPRESSED`: kernels refuse a larger total.
const MAX_COMPRESSED: usize = 128 << 10;

/// lzo1x, which has one level.
#[derive(Debug, Clone, Copy)]
pub struct Lzo {
    sector_size: usize,
}

impl Lzo {
    /// For volumes with sectors of so many bytes.
    ///
    /// # Errors
    ///
    /// [`Error::SectorSize`] if btrfs has no such sectors.
    pub fn new(sector_size: usize) -> Result<Self, Error> {
        if sector_size.is_power_of_two() && (4096..=lzo1x::MAX_SEGMENT).contains(&sector_size) {
            Ok(Self { sector_size })
        } else {
            Err(Error::SectorSize(sector_size))
        }
    }
}

impl Default for Lzo {
    fn default() -> Self {
        Self {
            sector_size: SECTOR_SIZE,
        }
    }
}

impl Codec for Lzo {
    fn id(&self) -> CodecId {
        CodecId::LZO
    }

    fn name(&self) -> &'static str {
        NAME
    }

    fn levels(&self) -> RangeInclusive<i32> {
        LEVELS
    }

    fn default_level(&self) -> i32 {
        1
    }

    fn is_quick_on_noise(&self, _: i32) -> bool {
        true
    }

    fn compressor(&self, level: i32) -> Result<Box<dyn Compressor>, Error> {
        Error::check_level(NAME, level, LEVELS)?;
        Ok(Box::new(LzoCompressor {
            sector_size: self.sector_size,
            table: Table::new(),
        }))
    }

    fn decompressor(&self) -> Result<Box<dyn Decompressor>, Error> {
        Ok(Box::new(LzoDecompressor {
            sector_size: self.sector_size,
            segment: vec![0; self.sector_size],
        }))
    }
}

/// Where the next segment's header stands if the last one ended at `at`: not across a sector
/// boundary.
fn header_at(at: usize, sector_size: usize) -> usize {
    let left = sector_size - at % sector_size;
    if left < HEADER { at + left } else { at }
}

struct LzoCompressor {
    sector_size: usize,
    table: Box<Table>,
}

impl Compressor for LzoCompressor {
    fn compress(&mut self, src: &[u8], dst: &mut [u8]) -> Result<Option<usize>, Error> {
        let room = dst.len().min(MAX_COMPRESSED);
        Ok(self.frame(src, &mut dst[..room]))
    }
}

impl LzoCompressor {
    /// The total does not count what would stand before a further header: kernels before 5.16
    /// look for a segment there.
    fn frame(&mut self, src: &[u8], dst: &mut [u8]) -> Option<usize> {
        let mut end = HEADER;
        for piece in src.chunks(self.sector_size) {
            let header = header_at(end, self.sector_size);
            dst.get_mut(end..header)?.fill(0);
            let segment = dst.get_mut(header..)?;
            let (len, payload) = segment.split_first_chunk_mut::<HEADER>()?;
            let made = lzo1x::compress(piece, payload, &mut self.table)?;
            *len = le32(made);
            end = header + HEADER + made;
        }
        *dst.first_chunk_mut()? = le32(end);
        Some(end)
    }
}

fn le32(len: usize) -> [u8; HEADER] {
    u32::try_from(len)
        .expect("at most MAX_COMPRESSED")
        .to_le_bytes()
}

struct LzoDecompressor {
    sector_size: usize,
    /// For a segment of which `dst` has only room for the beginning.
    segment: Vec<u8>,
}

impl Decompressor for LzoDecompressor {
    fn decompress(&mut self, src: &[u8], dst: &mut [u8]) -> Result<usize, Error> {
        self.unframe(src, dst).map_err(|why| Error::Decompress {
            codec: NAME,
            len: src.len(),
            why,
        })
    }
}

impl LzoDecompressor {
    fn unframe(&mut self, src: &[u8], dst: &mut [u8]) -> Result<usize, String> {
        let sector = self.sector_size;
        let total = read_le32(src, 0).ok_or("there is no length")?;
        // As kernels check it: more than a sector of padding is not what anybody wrote.
        if total < HEADER
            || total > src.len().min(MAX_COMPRESSED)
            || total.next_multiple_of(sector) < src.len()
        {
            return Err(format!("its length is said to be {total}"));
        }
        let src = &src[..total];
        let mut at = HEADER;
        let mut made = 0;
        while at < total && made < dst.len() {
            let len = read_le32(src, at).ok_or_else(|| format!("no length at {at}"))?;
            let payload = src
                .get(at + HEADER..)
                .and_then(|rest| rest.get(..len))
                .filter(|payload| payload.len() <= lzo1x::worst_case(sector))
                .ok_or_else(|| format!("segment {at} is said to have {len} bytes"))?;
            let room = &mut dst[made..];
            made += match room.get_mut(..sector) {
                Some(whole) => lzo1x::decompress(payload, whole),
                None => lzo1x::decompress(payload, &mut self.segment).map(|got| {
                    let len = got.min(room.len());
                    room[..len].copy_from_slice(&self.segment[..len]);
                    len
                }),
            }
            .map_err(|damage| format!("segment {at}: {}", damage.why()))?;
            at = header_at(at + HEADER + len, sector);
        }
        Ok(made)
    }
}

fn read_le32(src: &[u8], at: usize) -> Option<usize> {
    let bytes = src.get(at..)?.first_chunk::<HEADER>()?;
    usize::try_from(u32::from_le_bytes(*bytes)).ok()
}
