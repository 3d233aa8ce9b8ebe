//! zlib: one stream with its header and checksum.
//!
//! libdeflate makes and reads whole streams, faster than zlib-rs and smaller at each level; it
//! cannot stop where the destination ends, so zlib-rs reads the beginnings of streams.

use std::ops::RangeInclusive;

use flate2::{Decompress, FlushDecompress, Status};
use libdeflater::{CompressionError, CompressionLvl, DecompressionError};

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
        Error::check_level(NAME, level, LEVELS)?;
        let level = CompressionLvl::new(level).expect("libdeflate has levels 0 to 12");
        Ok(Box::new(ZlibCompressor(libdeflater::Compressor::new(
            level,
        ))))
    }

    fn decompressor(&self) -> Result<Box<dyn Decompressor>, Error> {
        Ok(Box::new(ZlibDecompressor {
            whole: libdeflater::Decompressor::new(),
            beginning: None,
        }))
    }
}

struct ZlibCompressor(libdeflater::Compressor);

impl Compressor for ZlibCompressor {
    fn compress(&mut self, src: &[u8], dst: &mut [u8]) -> Result<Option<usize>, Error> {
        match self.0.zlib_compress(src, dst) {
            Ok(len) => Ok(Some(len)),
            Err(CompressionError::InsufficientSpace) => Ok(None),
        }
    }
}

struct ZlibDecompressor {
    whole: libdeflater::Decompressor,
    /// Made when it is first needed.
    beginning: Option<Decompress>,
}

impl Decompressor for ZlibDecompressor {
    fn decompress(&mut self, src: &[u8], dst: &mut [u8]) -> Result<usize, Error> {
        let bad = |why: String| Error::Decompress {
            codec: NAME,
            len: src.len(),
            why,
        };
        match self.whole.zlib_decompress(src, dst) {
            Ok(made) => return Ok(made),
            Err(DecompressionError::BadData) => {
                return Err(bad("the stream is damaged".to_owned()));
            }
            Err(DecompressionError::InsufficientSpace) => {}
        }
        let stream = self.beginning.get_or_insert_with(|| Decompress::new(true));
        stream.reset(true);
        let status = stream
            .decompress(src, dst, FlushDecompress::Finish)
            .map_err(|error| bad(error.to_string()))?;
        let made = usize::try_from(stream.total_out()).unwrap_or(usize::MAX);
        if status == Status::StreamEnd || made == dst.len() {
            return Ok(made);
        }
        Err(bad("the stream is cut short".to_owned()))
    }
}
