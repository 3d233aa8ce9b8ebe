//! lzo: a total length, then 4 KiB of the source at a time, each with its length before it.
//!
//! All lengths are 32 bits, little-endian. The total counts itself. A segment's payload may cross
//! a sector boundary; its length may not, so up to three zeros stand before it.

use std::ops::RangeInclusive;

use lzokay::compress::{Dict, compress_no_alloc};

use crate::{Codec, CodecId, Compressor, Decompressor, Error};

/// Bytes in a sector, as the framing of lzo needs it.
pub const SECTOR_SIZE: usize = 4096;

const NAME: &str = "lzo";
const LEVELS: RangeInclusive<i32> = 1..=1;
const HEADER: usize = 4;
/// The longest that lzo makes of a segment, as the format's documentation bounds it.
const MAX_SEGMENT: usize = SECTOR_SIZE + SECTOR_SIZE / 16 + 64 + 3;

/// lzo1x, which has one level.
#[derive(Debug, Clone, Copy)]
pub struct Lzo;

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

    fn compressor(&self, level: i32) -> Result<Box<dyn Compressor>, Error> {
        if !LEVELS.contains(&level) {
            return Err(Error::Level {
                codec: NAME,
                level,
                levels: LEVELS,
            });
        }
        Ok(Box::new(LzoCompressor {
            dict: Dict::new(),
            segment: vec![0; MAX_SEGMENT],
        }))
    }

    fn decompressor(&self) -> Result<Box<dyn Decompressor>, Error> {
        Ok(Box::new(LzoDecompressor {
            segment: vec![0; SECTOR_SIZE],
        }))
    }
}

/// Where the next segment's header stands: not across a sector boundary.
fn header_at(at: usize) -> usize {
    let left = SECTOR_SIZE - at % SECTOR_SIZE;
    if left < HEADER { at + left } else { at }
}

struct LzoCompressor {
    dict: Box<Dict>,
    segment: Vec<u8>,
}

impl Compressor for LzoCompressor {
    fn compress(&mut self, src: &[u8], dst: &mut [u8]) -> Result<Option<usize>, Error> {
        let mut at = HEADER;
        for piece in src.chunks(SECTOR_SIZE) {
            let len =
                compress_no_alloc(piece, &mut self.segment, &mut self.dict).map_err(|error| {
                    Error::Compress {
                        codec: NAME,
                        len: src.len(),
                        why: format!("{error:?}"),
                    }
                })?;
            let header = header_at(at);
            let end = header + HEADER + len;
            if end > dst.len() {
                return Ok(None);
            }
            dst[at..header].fill(0);
            dst[header..header + HEADER].copy_from_slice(&le32(len));
            dst[header + HEADER..end].copy_from_slice(&self.segment[..len]);
            at = end;
        }
        match dst.get_mut(..HEADER) {
            Some(total) => total.copy_from_slice(&le32(at)),
            None => return Ok(None),
        }
        Ok(Some(at))
    }
}

fn le32(len: usize) -> [u8; HEADER] {
    u32::try_from(len).unwrap_or(u32::MAX).to_le_bytes()
}

struct LzoDecompressor {
    segment: Vec<u8>,
}

impl Decompressor for LzoDecompressor {
    fn decompress(&mut self, src: &[u8], dst: &mut [u8]) -> Result<usize, Error> {
        let bad = |why: String| Error::Decompress {
            codec: NAME,
            len: src.len(),
            why,
        };
        let read = |at: usize| {
            let bytes = src.get(at..at + HEADER)?.first_chunk::<HEADER>()?;
            usize::try_from(u32::from_le_bytes(*bytes)).ok()
        };
        let total = read(0).ok_or_else(|| bad("there is no length".to_owned()))?;
        if total < HEADER || total > src.len() {
            return Err(bad(format!("its length is said to be {total}")));
        }
        let mut at = HEADER;
        let mut made = 0;
        while at < total && made < dst.len() {
            let header = header_at(at);
            let len = read(header).ok_or_else(|| bad(format!("segment {header} has no length")))?;
            let end = header + HEADER + len;
            if len > MAX_SEGMENT || end > total {
                return Err(bad(format!("segment {header} is said to have {len} bytes")));
            }
            let payload = src
                .get(header + HEADER..end)
                .ok_or_else(|| bad(format!("segment {header} ends behind the data")))?;
            let got = lzokay::decompress::decompress(payload, &mut self.segment)
                .map_err(|error| bad(format!("segment {header}: {error:?}")))?;
            let take = got.min(dst.len() - made);
            dst[made..made + take].copy_from_slice(&self.segment[..take]);
            made += take;
            at = end;
            if got < SECTOR_SIZE {
                break;
            }
        }
        Ok(made)
    }
}
