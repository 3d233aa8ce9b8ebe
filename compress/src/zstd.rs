//! zstd: one frame, its window no larger than an extent, its content size pledged.

use std::ops::RangeInclusive;

use zstd_safe::zstd_sys::ZSTD_ErrorCode;
use zstd_safe::{
    CCtx, CParameter, DCtx, DParameter, InBuffer, OutBuffer, ResetDirective, SafeResult,
    get_error_name, is_error_kind,
};

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

    /// On 128 KiB of noise level 3 takes 4 times as long as copying them, level 9 takes 9 times, and
    /// asking 3 (`cargo bench -p compress --bench overhead`).
    fn is_quick_on_noise(&self, level: i32) -> bool {
        level < 9
    }

    fn compressor(&self, level: i32) -> Result<Box<dyn Compressor>, Error> {
        Error::check_level(NAME, level, LEVELS)?;
        let mut context = CCtx::try_create().ok_or(Error::Context { codec: NAME })?;
        for parameter in [
            CParameter::CompressionLevel(level),
            CParameter::WindowLog(MAX_WINDOW_LOG),
            CParameter::ContentSizeFlag(true),
            CParameter::ChecksumFlag(false),
        ] {
            context
                .set_parameter(parameter)
                .map_err(|code| failed(0, code))?;
        }
        Ok(Box::new(ZstdCompressor(context)))
    }

    fn decompressor(&self) -> Result<Box<dyn Decompressor>, Error> {
        let mut context = DCtx::try_create().ok_or(Error::Context { codec: NAME })?;
        // What a frame may make the context allocate; kernels refuse larger windows, too.
        context
            .set_parameter(DParameter::WindowLogMax(MAX_WINDOW_LOG))
            .map_err(|code| failed(0, code))?;
        Ok(Box::new(ZstdDecompressor(context)))
    }
}

struct ZstdCompressor(CCtx<'static>);

impl Compressor for ZstdCompressor {
    /// One call knows all of the source: that is what pledges the size, and narrows the window to
    /// the source as if it were not bounded.
    fn compress(&mut self, src: &[u8], dst: &mut [u8]) -> Result<Option<usize>, Error> {
        outcome(src.len(), self.0.compress2(dst, src))
    }
}

struct ZstdDecompressor(DCtx<'static>);

impl Decompressor for ZstdDecompressor {
    fn decompress(&mut self, src: &[u8], dst: &mut [u8]) -> Result<usize, Error> {
        let bad = |why: &str| Error::Decompress {
            codec: NAME,
            len: src.len(),
            why: why.to_owned(),
        };
        self.0
            .reset(ResetDirective::SessionOnly)
            .map_err(|code| bad(get_error_name(code)))?;
        // A whole frame for which there is room takes libzstd's path without a window.
        let mut input = InBuffer::around(src);
        let mut output = OutBuffer::around(dst);
        loop {
            let before = (input.pos(), output.pos());
            let left = self
                .0
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

/// That the result does not fit is no error.
fn outcome(src_len: usize, answer: SafeResult) -> Result<Option<usize>, Error> {
    match answer {
        Ok(len) => Ok(Some(len)),
        Err(code) if is_error_kind(code, ZSTD_ErrorCode::ZSTD_error_dstSize_tooSmall) => Ok(None),
        Err(code) => Err(failed(src_len, code)),
    }
}

fn failed(len: usize, code: usize) -> Error {
    Error::Compress {
        codec: NAME,
        len,
        why: get_error_name(code).to_owned(),
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::*;

    #[test]
    fn only_a_full_destination_means_no_gain() {
        let answer = |kind: ZSTD_ErrorCode| outcome(10, Err((kind as usize).wrapping_neg()));
        let no_gain = answer(ZSTD_ErrorCode::ZSTD_error_dstSize_tooSmall);
        assert_eq!(no_gain, Ok(None));
        let no_memory = answer(ZSTD_ErrorCode::ZSTD_error_memory_allocation);
        assert!(matches!(no_memory, Err(Error::Compress { len: 10, .. })));
    }
}
