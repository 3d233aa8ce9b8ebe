//! lz4, which btrfs does not have: a total length, then 64 KiB of the source at a time, each with
//! its length before it.
//!
//! All lengths are 32 bits, little-endian; the total counts itself. What stands behind a length is
//! an lz4 block. A block tells neither where it ends nor what it holds, so zeros up to a sector and
//! the beginning of an extent need the lengths.

use std::ops::RangeInclusive;

use lz4_flex::block::{
    CompressTable, DecompressError, compress_into_with_table, decompress_into,
    get_maximum_output_size,
};

use crate::{Codec, CodecId, Compressor, Decompressor, Error};

const NAME: &str = "lz4";
const LEVELS: RangeInclusive<i32> = 1..=1;
const HEADER: usize = 4;
/// As far as a match reaches back.
const SEGMENT: usize = 64 << 10;

/// lz4, which has one level. For volumes of one's own: no kernel reads it, and
/// [`Registry::btrfs`](crate::Registry::btrfs) does not have it.
#[derive(Debug, Clone, Copy)]
pub struct Lz4;

impl Lz4 {
    /// Its number, which is none of btrfs's.
    pub const ID: CodecId = CodecId(132);
}

impl Codec for Lz4 {
    fn id(&self) -> CodecId {
        Self::ID
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
        Ok(Box::new(Lz4Compressor {
            // The other table is exchanged for this one at the first long segment, and gives other
            // bytes: I5.
            table: CompressTable::large(),
            block: vec![0; get_maximum_output_size(SEGMENT)],
        }))
    }

    fn decompressor(&self) -> Result<Box<dyn Decompressor>, Error> {
        Ok(Box::new(Lz4Decompressor {
            segment: vec![0; SEGMENT],
        }))
    }
}

struct Lz4Compressor {
    table: CompressTable,
    /// lz4_flex asks for room for the worst case, which the destination seldom has.
    block: Vec<u8>,
}

impl Compressor for Lz4Compressor {
    fn compress(&mut self, src: &[u8], dst: &mut [u8]) -> Result<Option<usize>, Error> {
        let mut end = HEADER;
        for piece in src.chunks(SEGMENT) {
            let len = compress_into_with_table(piece, &mut self.block, &mut self.table).map_err(
                |error| Error::Compress {
                    codec: NAME,
                    len: src.len(),
                    why: error.to_string(),
                },
            )?;
            let Some(room) = dst
                .get_mut(end..)
                .and_then(|rest| rest.get_mut(..HEADER + len))
            else {
                return Ok(None);
            };
            let (header, payload) = room.split_at_mut(HEADER);
            header.copy_from_slice(&(len as u32).to_le_bytes());
            payload.copy_from_slice(&self.block[..len]);
            end += HEADER + len;
        }
        let (Some(total), Ok(len)) = (dst.first_chunk_mut(), u32::try_from(end)) else {
            return Ok(None);
        };
        *total = len.to_le_bytes();
        Ok(Some(end))
    }
}

struct Lz4Decompressor {
    /// For a segment of which `dst` has only room for the beginning.
    segment: Vec<u8>,
}

impl Decompressor for Lz4Decompressor {
    fn decompress(&mut self, src: &[u8], dst: &mut [u8]) -> Result<usize, Error> {
        self.unframe(src, dst).map_err(|why| Error::Decompress {
            codec: NAME,
            len: src.len(),
            why,
        })
    }
}

impl Lz4Decompressor {
    fn unframe(&mut self, src: &[u8], dst: &mut [u8]) -> Result<usize, String> {
        let total = read_le32(src, 0).ok_or("there is no length")?;
        let Some(src) = src.get(..total).filter(|src| src.len() >= HEADER) else {
            return Err(format!("its length is said to be {total}"));
        };
        let mut at = HEADER;
        let mut made = 0;
        while at < total && made < dst.len() {
            let len = read_le32(src, at).ok_or_else(|| format!("no length at {at}"))?;
            let payload = src
                .get(at + HEADER..)
                .and_then(|rest| rest.get(..len))
                .ok_or_else(|| format!("segment {at} is said to have {len} bytes"))?;
            made += self
                .segment(payload, &mut dst[made..])
                .map_err(|error| format!("segment {at}: {error}"))?;
            at += HEADER + len;
        }
        Ok(made)
    }

    /// Decompresses one segment, or as much of it as there is room for.
    fn segment(&mut self, payload: &[u8], room: &mut [u8]) -> Result<usize, DecompressError> {
        let len = room.len().min(SEGMENT);
        let room = &mut room[..len];
        match decompress_into(payload, room) {
            Err(DecompressError::OutputTooSmall { .. }) if len < SEGMENT => {
                let made = decompress_into(payload, &mut self.segment)?.min(len);
                room[..made].copy_from_slice(&self.segment[..made]);
                Ok(made)
            }
            made => made,
        }
    }
}

fn read_le32(src: &[u8], at: usize) -> Option<usize> {
    let bytes = src.get(at..)?.first_chunk::<HEADER>()?;
    usize::try_from(u32::from_le_bytes(*bytes)).ok()
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::*;
    use crate::{Registry, Spec};

    fn refused(src: &[u8]) -> String {
        let mut out = vec![0; 1 << 18];
        let mut decompressor = Lz4.decompressor().unwrap();
        match decompressor.decompress(src, &mut out).unwrap_err() {
            Error::Decompress { why, .. } => why,
            other => panic!("{other}"),
        }
    }

    /// A total and one segment, as long as they are said to be.
    fn framed(total: u32, len: u32, block: &[u8]) -> Vec<u8> {
        let head = [total.to_le_bytes(), len.to_le_bytes()];
        [head.as_flattened(), block].concat()
    }

    #[test]
    fn lz4_never_reaches_an_image() {
        for registry in [
            Registry::btrfs(),
            Registry::btrfs_with_sectors(65_536).unwrap(),
        ] {
            assert!(registry.get(Lz4::ID).is_none());
            assert!(registry.by_name("lz4").is_none());
            assert_eq!(registry.iter().count(), 3);
        }
        assert!("lz4".parse::<Spec>().is_err());
        assert!(![CodecId::ZLIB, CodecId::LZO, CodecId::ZSTD].contains(&Lz4::ID));
        let spec = Spec::parse("lz4", &Registry::btrfs().with(Lz4)).unwrap();
        assert_eq!(spec.method().unwrap().codec, Lz4::ID);
    }

    #[test]
    fn lengths_are_checked() {
        // One literal.
        let block = [0x10, b'x'];
        let mut out = [0; 9];
        let mut decompressor = Lz4.decompressor().unwrap();
        let mut good = framed(10, 2, &block);
        assert_eq!(decompressor.decompress(&good, &mut out), Ok(1));
        good.resize(4096, 0);
        assert_eq!(decompressor.decompress(&good, &mut out), Ok(1));
        for total in [0, 3, 11, u32::MAX] {
            let why = refused(&framed(total, 2, &block));
            assert_eq!(why, format!("its length is said to be {total}"));
        }
        for len in [3, 4096, u32::MAX] {
            let why = refused(&framed(10, len, &block));
            assert_eq!(why, format!("segment 4 is said to have {len} bytes"));
        }
        // A literal that is not there, no token, a match that begins before the segment, and bytes
        // behind it that are too few for a length.
        for (block, why) in [
            (
                &[0x10][..],
                "segment 4: literal is out of bounds of the input",
            ),
            (&[], "segment 4: expected another byte, found none"),
            (
                &[0x10, b'x', 2, 0, 0],
                "segment 4: the offset to copy is not contained in the decompressed buffer",
            ),
            (
                &[0x10, b'x', 0, 0, 0],
                "segment 4: 0 is not a valid match offset",
            ),
        ] {
            let (total, len) = (8 + block.len() as u32, block.len() as u32);
            assert_eq!(refused(&framed(total, len, block)), why);
        }
        assert_eq!(
            refused(&framed(12, 2, &[0x10, b'x', 1, 1])),
            "no length at 10"
        );
    }

    /// A block of 64 KiB of zeros and one more: 19 + 255 * 256 + 253 of them from one match.
    #[test]
    fn no_segment_holds_more_than_64_kib() {
        let zeros = |last: u8| {
            let mut block = vec![0x1f, 0, 1, 0];
            block.extend([255; 256]);
            block.extend([last, 0x00]);
            framed(8 + block.len() as u32, block.len() as u32, &block)
        };
        let mut out = vec![1; SEGMENT];
        let mut decompressor = Lz4.decompressor().unwrap();
        assert_eq!(decompressor.decompress(&zeros(236), &mut out), Ok(SEGMENT));
        assert!(out.iter().all(|byte| *byte == 0));
        let why = refused(&zeros(237));
        assert!(why.contains("output is too small"), "{why}");
        // Where there is room for its beginning alone, it is no more welcome.
        assert!(decompressor.decompress(&zeros(237), &mut out[..9]).is_err());
        assert_eq!(decompressor.decompress(&zeros(236), &mut out[..9]), Ok(9));
    }
}
