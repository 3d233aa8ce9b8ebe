//! zlib: one stream with its header and checksum.

use std::ops::RangeInclusive;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use crate::{Codec, CodecId, Compressor, Decompressor, Error};

const NAME: &str = "zlib";
const LEVELS: RangeInclusive<i32> = 1..=9;

/// zlib at levels 1 to 9.
#[derive(Debug, Clone, Copy)]
pub struct Zlib;

impl Codec for Zlib {
    fn id(&self) -> CodecId {
        CodecId::ZLIB
    }

    fn name(&self) -> &'static str {
        NAME
    }

    fn levels(&self) -> RangeInclusive<i32> {
        LEVELS
    }

    fn default_level(&self) -> i32 {
        3
    }

    fn compressor(&self, level: i32) -> Result<Box<dyn Compressor>, Error> {
        match u32::try_from(level) {
            Ok(accepted) if LEVELS.contains(&level) => Ok(Box::new(ZlibCompressor(Compress::new(
                Compression::new(accepted),
                true,
            )))),
            _ => Err(Error::Level {
                codec: NAME,
                level,
                levels: LEVELS,
            }),
        }
    }

    fn decompressor(&self) -> Result<Box<dyn Decompressor>, Error> {
        Ok(Box::new(ZlibDecompressor(Decompress::new(true))))
    }
}

struct ZlibCompressor(Compress);

impl Compressor for ZlibCompressor {
    fn compress(&mut self, src: &[u8], dst: &mut [u8]) -> Result<Option<usize>, Error> {
        self.0.reset();
        match self.0.compress(src, dst, FlushCompress::Finish) {
            Ok(Status::StreamEnd) => Ok(usize::try_from(self.0.total_out()).ok()),
            Ok(Status::Ok | Status::BufError) => Ok(None),
            Err(error) => Err(Error::Compress {
                codec: NAME,
                len: src.len(),
                why: error.to_string(),
            }),
        }
    }
}

struct ZlibDecompressor(Decompress);

impl Decompressor for ZlibDecompressor {
    fn decompress(&mut self, src: &[u8], dst: &mut [u8]) -> Result<usize, Error> {
        let bad = |why: String| Error::Decompress {
            codec: NAME,
            len: src.len(),
            why,
        };
        self.0.reset(true);
        let status = self
            .0
            .decompress(src, dst, FlushDecompress::Finish)
            .map_err(|error| bad(error.to_string()))?;
        let made = usize::try_from(self.0.total_out()).unwrap_or(usize::MAX);
        if status == Status::StreamEnd || made == dst.len() {
            return Ok(made);
        }
        Err(bad("the stream is cut short".to_owned()))
    }
}
