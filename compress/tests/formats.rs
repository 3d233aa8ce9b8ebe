//! What each codec makes can be read back, and what nobody made is refused.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use compress::{CodecId, Error, Registry, SECTOR_SIZE, Workspaces};
use proptest::prelude::*;

const CODECS: [(CodecId, i32); 5] = [
    (CodecId::ZLIB, 3),
    (CodecId::LZO, 1),
    (CodecId::ZSTD, 3),
    (CodecId::ZSTD, -15),
    (CodecId::ZSTD, 15),
];

fn workspaces() -> Workspaces {
    Workspaces::new(Registry::btrfs(), 1)
}

/// `len` bytes of which about one in `spread` is new.
fn some_bytes(len: usize, spread: u64, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let mut bytes: Vec<u8> = Vec::with_capacity(len);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let byte = match bytes.len().checked_sub(64) {
            Some(back) if !state.is_multiple_of(spread) => bytes[back],
            _ => (state >> 32) as u8,
        };
        bytes.push(byte);
    }
    bytes
}

fn round_trip(spaces: &Workspaces, (id, level): (CodecId, i32), source: &[u8]) -> Option<Vec<u8>> {
    let mut packed = vec![0xaa; source.len() * 2 + 1024];
    let len = spaces
        .compressor(id, level)
        .unwrap()
        .compress(source, &mut packed)
        .unwrap()?;
    // As on disk: zeros up to the sector.
    packed.truncate(len);
    packed.resize(len.next_multiple_of(SECTOR_SIZE), 0);
    let mut back = vec![0x55; source.len()];
    let got = spaces
        .decompressor(id)
        .unwrap()
        .decompress(&packed, &mut back)
        .unwrap();
    assert_eq!(got, source.len(), "{id:?}");
    assert!(back == source, "{id:?} gave other bytes back");
    packed.truncate(len);
    Some(packed)
}

#[test]
fn every_codec_with_exactly_one_sector() {
    for codec in CODECS {
        let source = some_bytes(SECTOR_SIZE, 9, 7);
        assert!(round_trip(&workspaces(), codec, &source).is_some());
    }
}

#[test]
fn the_beginning_of_an_extent_can_be_had_alone() {
    let spaces = workspaces();
    let source = some_bytes(131_072, 20, 3);
    for codec in CODECS {
        let packed = round_trip(&spaces, codec, &source).unwrap();
        for len in [1, 4095, 4096, 4097, 70_000] {
            let mut part = vec![0; len];
            let got = spaces
                .decompressor(codec.0)
                .unwrap()
                .decompress(&packed, &mut part);
            assert_eq!(got.unwrap(), len, "{codec:?}");
            assert!(part == source[..len], "{codec:?}");
        }
    }
}

#[test]
fn what_does_not_fit_is_no_error() {
    let source = some_bytes(131_072, 1, 11);
    for (id, level) in CODECS {
        let mut out = vec![0; source.len() - SECTOR_SIZE];
        let spaces = workspaces();
        let mut compressor = spaces.compressor(id, level).unwrap();
        assert_eq!(compressor.compress(&source, &mut out), Ok(None), "{id:?}");
        // And the same compressor is good for the next one.
        let easy = vec![b'e'; 131_072];
        assert!(compressor.compress(&easy, &mut out).unwrap().is_some());
        assert_eq!(compressor.compress(&source, &mut []), Ok(None), "{id:?}");
    }
}

#[test]
fn zstd_frames_are_what_a_kernel_takes() {
    // RFC 8878, 3.1.1: magic, descriptor, then a window descriptor unless single-segment.
    for len in [1_usize, 4096, 5000, 65_536, 131_072] {
        for level in [-15, 1, 3, 9, 15] {
            let source = some_bytes(len, 6, len as u64);
            let packed = round_trip(&workspaces(), (CodecId::ZSTD, level), &source).unwrap();
            assert_eq!(packed[..4], [0x28, 0xb5, 0x2f, 0xfd]);
            let descriptor = packed[4];
            let single_segment = descriptor & 0x20 != 0;
            let has_size = single_segment || descriptor >> 6 != 0;
            assert!(has_size, "the content size is not pledged");
            assert_eq!(descriptor & 0x04, 0, "a checksum nobody asked for");
            if !single_segment {
                let exponent = u32::from(packed[5] >> 3);
                assert!(10 + exponent <= 17, "window log {}", 10 + exponent);
            }
        }
    }
}

/// Segments of sources of several lengths end 0 to 4 and more bytes before a sector boundary; each
/// header must be found where the format puts it.
#[test]
fn other_readers_reject_our_lzo() {
    let spaces = workspaces();
    let mut padded = [false; 4];
    for seed in 0..3000_u64 {
        // A first segment of nearly a sector, so that the second header is at the boundary.
        let mut source = some_bytes(3900 + (seed % 196) as usize, 1, seed);
        source.resize(SECTOR_SIZE, 0);
        source.extend(some_bytes(SECTOR_SIZE, 5, seed));
        let packed = round_trip(&spaces, (CodecId::LZO, 1), &source).unwrap();
        let le32 = |at: usize| u32::from_le_bytes(packed[at..at + 4].try_into().unwrap()) as usize;
        assert_eq!(le32(0), packed.len());
        let end = 8 + le32(4);
        let left = SECTOR_SIZE - end % SECTOR_SIZE;
        let header = if left < 4 { end + left } else { end };
        assert!(packed[end..header].iter().all(|byte| *byte == 0));
        assert_eq!(header + 4 + le32(header), packed.len());
        if left < 4 {
            padded[left] = true;
        }
    }
    assert_eq!(padded[1..], [true; 3], "a padding was never needed");
}

#[test]
fn levels_and_numbers_that_are_not_there() {
    let spaces = workspaces();
    for (id, level) in [(CodecId::ZSTD, 16), (CodecId::ZLIB, 0), (CodecId::LZO, 2)] {
        let error = spaces.compressor(id, level).err().unwrap();
        assert!(matches!(error, Error::Level { .. }), "{error}");
    }
    let error = spaces.decompressor(CodecId(77)).err().unwrap();
    assert_eq!(error, Error::Unknown(CodecId(77)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_goes_in_comes_out(
        len in 1_usize..=131_072,
        spread in 1_u64..40,
        seed in any::<u64>(),
        codec in prop::sample::select(CODECS.to_vec()),
    ) {
        round_trip(&workspaces(), codec, &some_bytes(len, spread, seed));
    }

    #[test]
    fn lengths_trusted_when_checksums_are_off(
        noise in prop::collection::vec(any::<u8>(), 0..600),
        at in any::<prop::sample::Index>(),
        codec in prop::sample::select(CODECS.to_vec()),
    ) {
        let spaces = workspaces();
        let mut decompressor = spaces.decompressor(codec.0).unwrap();
        let mut out = vec![0; 131_072];
        // Errors or bytes, but no panic and nothing behind `out`.
        let _ = decompressor.decompress(&noise, &mut out);
        let mut packed = round_trip(&spaces, codec, &some_bytes(20_000, 9, 5)).unwrap();
        let from = at.index(packed.len());
        for (byte, wrong) in packed[from..].iter_mut().zip(&noise) {
            *byte ^= wrong;
        }
        let _ = decompressor.decompress(&packed, &mut out);
        packed.truncate(from);
        let _ = decompressor.decompress(&packed, &mut out);
    }
}
