//! Whether the compressed form of a piece is worth keeping.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::{Codec, Error, Method, Workspaces};

/// What to store of a piece.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The destination begins with the compressed form.
    Compressed {
        /// Bytes of the stream.
        len: usize,
        /// Bytes to store: the stream and, of an extent, zeros up to a whole sector.
        stored: usize,
    },
    /// Store the source as it is.
    Raw(RawReason),
}

/// Why a piece is stored as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RawReason {
    /// The source is so short that nothing could be saved.
    TooShort,
    /// The compressed form does not save enough.
    NoGain,
    /// There is no memory for a workspace, or the codec failed, panicked, or claims what cannot be.
    Failed(Error),
}

/// The most bytes that a compressed piece may have: whole sectors, one fewer than the source takes.
/// `None` if the source has only one.
#[must_use]
pub fn room_to_save(src_len: usize, sector_size: usize) -> Option<usize> {
    let room = src_len.checked_next_multiple_of(sector_size)?;
    room.checked_sub(sector_size).filter(|room| *room > 0)
}

/// Compresses an extent's piece, and keeps the result only if it saves at least one sector.
///
/// `dst` should have at least [`room_to_save`] bytes; with fewer the result must fit there. The
/// stream is followed by zeros up to a whole sector. Takes a compressor, so it may wait for one.
///
/// Never fails: what cannot be compressed for whatever reason is stored raw.
pub fn compress_piece(
    workspaces: &Workspaces,
    method: Method,
    src: &[u8],
    dst: &mut [u8],
    sector_size: usize,
) -> Verdict {
    let Some(room) = room_to_save(src.len(), sector_size) else {
        return Verdict::Raw(RawReason::TooShort);
    };
    let room = room.min(dst.len() - dst.len() % sector_size);
    let Some(len) = attempt(workspaces, method, src, &mut dst[..room]) else {
        return Verdict::Raw(RawReason::TooShort);
    };
    match len {
        Ok(Some(len)) => {
            let stored = len.next_multiple_of(sector_size);
            dst[len..stored].fill(0);
            Verdict::Compressed { len, stored }
        }
        Ok(None) => Verdict::Raw(RawReason::NoGain),
        Err(error) => Verdict::Raw(RawReason::Failed(error)),
    }
}

/// Compresses the content of a small file that is to be stored in the tree, and keeps the result
/// only if it has at most `limit` bytes and is shorter than the source. Otherwise as
/// [`compress_piece`]; there is no padding.
pub fn compress_inline(
    workspaces: &Workspaces,
    method: Method,
    src: &[u8],
    dst: &mut [u8],
    limit: usize,
) -> Verdict {
    let room = src.len().saturating_sub(1).min(limit).min(dst.len());
    match attempt(workspaces, method, src, &mut dst[..room]) {
        None => Verdict::Raw(RawReason::TooShort),
        Some(Ok(Some(len))) => Verdict::Compressed { len, stored: len },
        Some(Ok(None)) => Verdict::Raw(RawReason::NoGain),
        Some(Err(error)) => Verdict::Raw(RawReason::Failed(error)),
    }
}

/// `None` if there is no room at all.
fn attempt(
    workspaces: &Workspaces,
    method: Method,
    src: &[u8],
    dst: &mut [u8],
) -> Option<Result<Option<usize>, Error>> {
    if dst.is_empty() {
        return None;
    }
    let room = dst.len();
    let compress = || {
        let mut compressor = workspaces.compressor(method.codec, method.level)?;
        compressor.compress(src, dst)
    };
    let failed = |why: String| {
        let codec = workspaces.registry().get(method.codec);
        Err(Error::Compress {
            codec: codec.map_or("codec", Codec::name),
            len: src.len(),
            why,
        })
    };
    // Codecs may be others', and whoever writes is not to go down with one.
    Some(match catch_unwind(AssertUnwindSafe(compress)) {
        Ok(Ok(Some(len))) if len == 0 || len > room => failed(format!(
            "it says that it made {len} bytes where {room} have room"
        )),
        Ok(answer) => answer,
        Err(_) => failed("it panicked".to_owned()),
    })
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::*;
    use crate::{CodecId, Compressor, Decompressor, Registry};

    /// A codec whose result is as long as its level says.
    struct AsLong;

    impl Codec for AsLong {
        fn id(&self) -> CodecId {
            CodecId(99)
        }
        fn name(&self) -> &'static str {
            "aslong"
        }
        fn levels(&self) -> std::ops::RangeInclusive<i32> {
            -1..=1 << 20
        }
        fn default_level(&self) -> i32 {
            0
        }
        fn compressor(&self, level: i32) -> Result<Box<dyn Compressor>, Error> {
            match usize::try_from(level) {
                Ok(len) => Ok(Box::new(Fills(len))),
                Err(_) => Err(Error::Context { codec: "aslong" }),
            }
        }
        fn decompressor(&self) -> Result<Box<dyn Decompressor>, Error> {
            Err(Error::Context { codec: "aslong" })
        }
    }

    struct Fills(usize);

    impl Compressor for Fills {
        fn compress(&mut self, _: &[u8], dst: &mut [u8]) -> Result<Option<usize>, Error> {
            let room = dst.get_mut(..self.0);
            Ok(room.map(|room| {
                room.fill(0xcc);
                self.0
            }))
        }
    }

    fn spaces() -> Workspaces {
        Workspaces::new(Registry::btrfs().with(AsLong), 1)
    }

    fn method(len: i32) -> Method {
        Method {
            codec: CodecId(99),
            level: len,
        }
    }

    fn piece(src: usize, len: i32, room: usize) -> (Verdict, Vec<u8>) {
        let mut dst = vec![0x55; room];
        let verdict = compress_piece(&spaces(), method(len), &vec![0; src], &mut dst, 4096);
        (verdict, dst)
    }

    #[test]
    fn a_sector_must_be_saved() {
        let no_gain = Verdict::Raw(RawReason::NoGain);
        let keeps = |src: usize, len: i32| {
            let stored = (len as usize).next_multiple_of(4096);
            let len = len as usize;
            assert_eq!(
                piece(src, len as i32, 131_072).0,
                Verdict::Compressed { len, stored }
            );
        };
        keeps(8192, 4096);
        assert_eq!(piece(8192, 4097, 131_072).0, no_gain);
        keeps(4097, 4096);
        assert_eq!(piece(4097, 4097, 131_072).0, no_gain);
        keeps(131_072, 126_976);
        assert_eq!(piece(131_072, 126_977, 131_072).0, no_gain);
        keeps(12_289, 12_288);
        keeps(12_288, 8192);
        assert_eq!(piece(12_288, 8193, 131_072).0, no_gain);
    }

    #[test]
    fn one_sector_cannot_save_one() {
        for src in [0, 1, 4095, 4096] {
            assert_eq!(piece(src, 1, 8192).0, Verdict::Raw(RawReason::TooShort));
        }
        assert_eq!(room_to_save(4096, 4096), None);
        assert_eq!(room_to_save(4097, 4096), Some(4096));
        assert_eq!(room_to_save(65_536, 65_536), None);
        assert_eq!(room_to_save(usize::MAX, 4096), None);
    }

    #[test]
    fn zeros_follow_up_to_the_sector_and_no_further() {
        let (verdict, dst) = piece(20_000, 5000, 12_288);
        let (len, stored) = (5000, 8192);
        assert_eq!(verdict, Verdict::Compressed { len, stored });
        assert!(dst[..len].iter().all(|byte| *byte == 0xcc));
        assert!(dst[len..stored].iter().all(|byte| *byte == 0));
        assert!(dst[stored..].iter().all(|byte| *byte == 0x55));
    }

    #[test]
    fn a_short_destination_is_a_tighter_limit() {
        assert_eq!(piece(20_000, 5000, 8191).0, Verdict::Raw(RawReason::NoGain));
        assert_eq!(piece(20_000, 1, 4095).0, Verdict::Raw(RawReason::TooShort));
    }

    /// No memory for a context, and no way on without one. `Err(error) => Verdict::Raw` in
    /// `compress_piece` and `compress_inline` is the way.
    #[test]
    fn writeback_fails_for_want_of_memory() {
        let error = Error::Context { codec: "aslong" };
        let raw = Verdict::Raw(RawReason::Failed(error));
        assert_eq!(piece(8192, -1, 4096).0, raw);
        let mut dst = [0; 4096];
        let inline = compress_inline(&spaces(), method(-1), &[0; 4096], &mut dst, 2048);
        assert_eq!(inline, raw);
    }

    #[test]
    fn inline_is_limited_in_bytes() {
        let inline = |src: usize, len: i32, limit: usize| {
            let mut dst = [0x55; 4096];
            let verdict = compress_inline(&spaces(), method(len), &vec![0; src], &mut dst, limit);
            if let Verdict::Compressed { len, stored } = verdict {
                assert_eq!(len, stored);
                assert!(dst[len..].iter().all(|byte| *byte == 0x55));
            }
            verdict
        };
        let fits = |len| Verdict::Compressed { len, stored: len };
        assert_eq!(inline(4096, 2048, 2048), fits(2048));
        let no_gain = Verdict::Raw(RawReason::NoGain);
        assert_eq!(inline(4096, 2049, 2048), no_gain);
        assert_eq!(inline(100, 99, 2048), fits(99));
        assert_eq!(inline(100, 100, 2048), no_gain);
        for (src, limit) in [(0, 2048), (1, 2048), (100, 0)] {
            let too_short = Verdict::Raw(RawReason::TooShort);
            assert_eq!(inline(src, 1, limit), too_short);
        }
    }
}
