//! zstd: one frame, its window no larger than an extent, its content size pledged.

use std::ops::RangeInclusive;

use zstd_safe::{CCtx, CParameter, DCtx, InBuffer, OutBuffer, ResetDirective, get_error_name};

use crate::{Codec, CodecId, Compressor, Decompressor, Error};

const NAME: &str = "zstd";
const LEVELS: RangeInclusive<i32> = -15..=15;
/// 128 KiB: `ZSTD_BTRFS_MAX_WINDOWLOG`.
const MAX_WINDOW_LOG: u32 = 17;

/// zstd at levels -15 to 15.
#[derive(Debug, Clone, Copy)]
pub struct Zstd;

impl Codec for Zstd {
    fn id(&self) -> CodecId {
        CodecId::ZSTD
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
        if !LEVELS.contains(&level) {
            return Err(Error::Level {
                codec: NAME,
                level,
                levels: LEVELS,
            });
        }
        let mut context = CCtx::try_create().ok_or(Error::Context { codec: NAME })?;
        for parameter in [
            CParameter::CompressionLevel(level),
            CParameter::ContentSizeFlag(true),
            CParameter::ChecksumFlag(false),
        ] {
            context
                .set_parameter(parameter)
                .map_err(|code| failed(0, code))?;
        }
        Ok(Box::new(ZstdCompressor {
            context,
            windowed: false,
        }))
    }

    fn decompressor(&self) -> Result<Box<dyn Decompressor>, Error> {
        let context = DCtx::try_create().ok_or(Error::Context { codec: NAME })?;
        Ok(Box::new(ZstdDecompressor { context }))
    }
}

struct ZstdCompressor {
    context: CCtx<'static>,
    /// Whether the window was bounded: only sources longer than it need that, and zstd chooses
    /// better parameters itself for shorter ones.
    windowed: bool,
}

impl Compressor for ZstdCompressor {
    fn compress(&mut self, src: &[u8], dst: &mut [u8]) -> Result<Option<usize>, Error> {
        if src.len() > 1 << MAX_WINDOW_LOG && !self.windowed {
            self.context
                .set_parameter(CParameter::WindowLog(MAX_WINDOW_LOG))
                .map_err(|code| failed(src.len(), code))?;
            self.windowed = true;
        }
        match self.context.compress2(dst, src) {
            Ok(len) => Ok(Some(len)),
            Err(code) if get_error_name(code) == "Destination buffer is too small" => Ok(None),
            Err(code) => Err(failed(src.len(), code)),
        }
    }
}

struct ZstdDecompressor {
    context: DCtx<'static>,
}

impl Decompressor for ZstdDecompressor {
    fn decompress(&mut self, src: &[u8], dst: &mut [u8]) -> Result<usize, Error> {
        let bad = |why: &str| Error::Decompress {
            codec: NAME,
            len: src.len(),
            why: why.to_owned(),
        };
        self.context
            .reset(ResetDirective::SessionOnly)
            .map_err(|code| bad(get_error_name(code)))?;
        let mut input = InBuffer::around(src);
        let mut output = OutBuffer::around(dst);
        loop {
            let before = (input.pos(), output.pos());
            let left = self
                .context
                .decompress_stream(&mut output, &mut input)
                .map_err(|code| bad(get_error_name(code)))?;
            if left == 0 || output.pos() == output.capacity() {
                return Ok(output.pos());
            }
            if (input.pos(), output.pos()) == before {
                return Err(bad("the frame is cut short"));
            }
        }
    }
}

fn failed(len: usize, code: usize) -> Error {
    Error::Compress {
        codec: NAME,
        len,
        why: get_error_name(code).to_owned(),
    }
}
