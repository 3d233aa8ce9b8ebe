//! What each codec makes can be read back, and is what a kernel takes.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use codecs::all_codecs;
use compress::{CodecId, Error, Registry, SECTOR_SIZE, Workspaces};
use proptest::prelude::*;
use sources::{padded_bytes, some_bytes};

mod codecs;
mod sources;

const CODECS: &[(CodecId, i32)] = &[
    (CodecId::ZLIB, 1),
    (CodecId::ZLIB, 3),
    (CodecId::ZLIB, 9),
    (CodecId::LZO, 1),
    (CodecId::ZSTD, -15),
    (CodecId::ZSTD, 3),
    (CodecId::ZSTD, 15),
    #[cfg(feature = "lz4")]
    (compress::Lz4::ID, 1),
];

fn workspaces() -> Workspaces {
    Workspaces::new(all_codecs(), 1)
}

fn packed(spaces: &Workspaces, (id, level): (CodecId, i32), source: &[u8]) -> Vec<u8> {
    let mut packed = vec![0xaa; source.len() * 2 + 1024];
    let mut compressor = spaces.compressor(id, level).unwrap();
    let len = compressor.compress(source, &mut packed).unwrap().unwrap();
    packed.truncate(len);
    packed
}

fn round_trip(spaces: &Workspaces, codec: (CodecId, i32), source: &[u8]) -> Vec<u8> {
    let packed = packed(spaces, codec, source);
    // As on disk: zeros up to the sector; and as in the tree: none.
    let mut stored = packed.clone();
    stored.resize(packed.len().next_multiple_of(SECTOR_SIZE), 0);
    for bytes in [&packed, &stored] {
        // Room for more than there is must stay as it was reported.
        let mut back = vec![0x55; source.len() + 5000];
        let mut decompressor = spaces.decompressor(codec.0).unwrap();
        let got = decompressor.decompress(bytes, &mut back).unwrap();
        assert_eq!(got, source.len(), "{codec:?}");
        assert!(back[..got] == *source, "{codec:?} gave other bytes back");
        let mut exact = vec![0x55; source.len()];
        let got = decompressor.decompress(bytes, &mut exact).unwrap();
        assert_eq!(got, source.len(), "{codec:?}");
        assert!(exact == *source, "{codec:?} gave other bytes back");
    }
    packed
}

/// A codec looked for more behind the last whole sector. Guarded by `at < total` in
/// `LzoDecompressor::unframe`.
#[test]
fn every_codec_with_exactly_one_sector() {
    for &codec in CODECS {
        for spread in [1, 9, 4000] {
            round_trip(&workspaces(), codec, &some_bytes(SECTOR_SIZE, spread, 7));
        }
        round_trip(&workspaces(), codec, &[0; SECTOR_SIZE]);
    }
}

#[test]
fn lengths_around_every_limit() {
    let spaces = workspaces();
    for &codec in CODECS {
        for len in (0..=20).chain([4095, 4097, 8191, 8192, 8193, 65_536, 131_071, 131_072]) {
            round_trip(&spaces, codec, &some_bytes(len, 30, 5));
            round_trip(&spaces, codec, &vec![7; len]);
        }
        for len in (20..5000).step_by(331) {
            round_trip(&spaces, codec, &some_bytes(len, 1, len as u64));
        }
    }
}

#[test]
fn incompressible_input_comes_back() {
    let source = some_bytes(120_000, 1, 77);
    for &codec in CODECS {
        let packed = round_trip(&workspaces(), codec, &source);
        assert!(packed.len() > source.len(), "{codec:?}");
    }
}

#[test]
fn the_beginning_of_an_extent_can_be_had_alone() {
    let spaces = workspaces();
    let source = some_bytes(131_072, 20, 3);
    for &codec in CODECS {
        let packed = round_trip(&spaces, codec, &source);
        let mut decompressor = spaces.decompressor(codec.0).unwrap();
        for len in [0, 1, 4095, 4096, 4097, 70_000, 131_071] {
            let mut part = vec![0; len];
            let got = decompressor.decompress(&packed, &mut part);
            assert_eq!(got, Ok(len), "{codec:?}");
            assert!(part == source[..len], "{codec:?}");
        }
    }
}

#[test]
fn what_does_not_fit_is_no_error() {
    let source = some_bytes(131_072, 1, 11);
    for &(id, level) in CODECS {
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

/// One byte too few, exactly enough, one more.
#[test]
fn what_just_fits_fits() {
    let spaces = workspaces();
    for &codec in CODECS {
        for (len, spread) in [(1, 1), (300, 1), (4096, 9), (20_000, 12)] {
            let source = some_bytes(len, spread, 21);
            let expected = packed(&spaces, codec, &source);
            let mut compressor = spaces.compressor(codec.0, codec.1).unwrap();
            let mut room = vec![0; expected.len() + 1];
            let mut fits = |len: usize| compressor.compress(&source, &mut room[..len]).unwrap();
            assert_eq!(fits(expected.len() - 1), None, "{codec:?}");
            if codec.0 == CodecId::LZO || codec.0 > CodecId::ZSTD {
                assert_eq!(fits(expected.len()), Some(expected.len()));
            }
            // Others may ask for some bytes more than they fill.
            assert!(fits(expected.len() + 1).is_none_or(|len| len <= expected.len() + 1));
        }
    }
}

/// Otherwise the same tree would give different images from run to run.
#[test]
fn the_result_does_not_depend_on_what_was_compressed_before() {
    let sources = [
        some_bytes(131_072, 9, 1),
        some_bytes(200_000, 5, 2),
        some_bytes(100, 3, 3),
        // Short enough for smaller tables, if a codec has any.
        some_bytes(30_000, 3, 5),
        some_bytes(131_072, 1, 4),
    ];
    for &codec in CODECS {
        let used = workspaces();
        for source in &sources {
            if codec.0 == CodecId::LZO && source.len() > 131_000 {
                let mut small = vec![0; 60_000];
                let mut compressor = used.compressor(codec.0, codec.1).unwrap();
                let _ = compressor.compress(source, &mut small).unwrap();
                continue;
            }
            let fresh = packed(&workspaces(), codec, source);
            assert!(packed(&used, codec, source) == fresh, "{codec:?}");
        }
    }
}

#[test]
fn zstd_frames_are_what_a_kernel_takes() {
    // RFC 8878, 3.1.1: magic, descriptor, then a window descriptor unless single-segment.
    for len in [
        1_usize, 255, 256, 4096, 5000, 65_535, 65_536, 65_792, 131_072, 300_000,
    ] {
        for level in [-15, -1, 1, 3, 9, 15] {
            let source = some_bytes(len, 6, len as u64);
            let frame = round_trip(&workspaces(), (CodecId::ZSTD, level), &source);
            assert_eq!(frame[..4], [0x28, 0xb5, 0x2f, 0xfd]);
            let descriptor = frame[4];
            let single_segment = descriptor & 0x20 != 0;
            assert_eq!(descriptor & 0x04, 0, "a checksum nobody asked for");
            assert_eq!(descriptor & 0x03, 0, "a dictionary");
            let at = if single_segment {
                assert!(len <= 1 << 17, "the window is the content");
                5
            } else {
                let (exponent, mantissa) = (u32::from(frame[5] >> 3), frame[5] & 7);
                assert!(10 + exponent <= 17, "window log {}", 10 + exponent);
                assert!(10 + exponent < 17 || mantissa == 0);
                6
            };
            let size = match descriptor >> 6 {
                0 if single_segment => u64::from(frame[at]),
                1 => 256 + u64::from(u16::from_le_bytes(frame[at..at + 2].try_into().unwrap())),
                2 => u64::from(u32::from_le_bytes(frame[at..at + 4].try_into().unwrap())),
                _ => panic!("the content size is not pledged as it should be"),
            };
            assert_eq!(size, len as u64);
        }
    }
}

/// A bound on the window must not change what zstd chooses for a source that is shorter.
#[test]
fn zstd_is_as_good_as_bare_libzstd() {
    for level in [-15, 1, 3, 6, 9, 12, 15] {
        for len in [100, 4096, 16_384, 16_385, 100_000, 131_072] {
            let source = some_bytes(len, 12, 8);
            let ours = packed(&workspaces(), (CodecId::ZSTD, level), &source);
            let mut bare = vec![0; len * 2 + 1024];
            let made = zstd_safe::compress(&mut bare[..], &source, level).unwrap();
            assert!(ours == bare[..made], "level {level}, {len} bytes");
        }
    }
}

/// Segments end 0 to 4 and more bytes before a sector boundary; each header must be found where
/// the format puts it. `if left < HEADER { at + left }` in lzo.rs puts it there, for writing and for
/// reading; kernel_vectors.rs has the kernel's own.
#[test]
fn other_readers_reject_our_lzo() {
    let spaces = workspaces();
    let mut padded = [false; 5];
    for zeros in 8..80 {
        let source = padded_bytes(9000, 9, zeros);
        let framed = round_trip(&spaces, (CodecId::LZO, 1), &source);
        let le32 = |at: usize| u32::from_le_bytes(framed[at..at + 4].try_into().unwrap()) as usize;
        assert_eq!(le32(0), framed.len());
        let first_end = 8 + le32(4);
        let left = first_end.next_multiple_of(SECTOR_SIZE) - first_end;
        let second = if left < 4 {
            first_end + left
        } else {
            first_end
        };
        assert!(framed[first_end..second].iter().all(|byte| *byte == 0));
        // Independent of our reader: another crate's lzo reads each segment.
        let mut at = 4;
        for piece in source.chunks(SECTOR_SIZE) {
            assert_eq!(at / SECTOR_SIZE, (at + 3) / SECTOR_SIZE, "a header crosses");
            let mut back = vec![0; piece.len()];
            let payload = &framed[at + 4..at + 4 + le32(at)];
            let made = lzokay::decompress::decompress(payload, &mut back).unwrap();
            assert_eq!(back[..made], *piece);
            at += 4 + payload.len();
            let left = at.next_multiple_of(SECTOR_SIZE) - at;
            at += if left < 4 { left } else { 0 };
        }
        if left <= 4 {
            padded[left] = true;
        }
    }
    assert_eq!(padded, [true; 5], "a padding was never needed");
}

#[test]
fn lzo_of_larger_sectors() {
    for sector_size in [8192, 16_384, 32_768, 65_536] {
        let registry = Registry::btrfs_with_sectors(sector_size).unwrap();
        let spaces = Workspaces::new(registry, 1);
        for (len, spread) in [(1, 1), (65_536, 50), (131_072, 20), (100_000, 2)] {
            let source = some_bytes(len, spread, 6);
            let framed = packed(&spaces, (CodecId::LZO, 1), &source);
            let mut back = vec![0; len];
            let mut decompressor = spaces.decompressor(CodecId::LZO).unwrap();
            assert_eq!(decompressor.decompress(&framed, &mut back), Ok(len));
            assert!(back == source);
        }
    }
    for sector_size in [0, 512, 2048, 4095, 12_288, 131_072] {
        let error = Registry::btrfs_with_sectors(sector_size).unwrap_err();
        assert_eq!(error, Error::SectorSize(sector_size));
    }
}

#[test]
fn what_gives_noise_up_soon_says_so() {
    let registry = Registry::btrfs();
    for (id, level, quick) in [
        (CodecId::ZLIB, 1, false),
        (CodecId::LZO, 1, true),
        (CodecId::ZSTD, -15, true),
        (CodecId::ZSTD, 8, true),
        (CodecId::ZSTD, 9, false),
        (CodecId::ZSTD, 15, false),
    ] {
        let codec = registry.get(id).unwrap();
        assert_eq!(codec.is_quick_on_noise(level), quick, "{id:?} {level}");
    }
}

#[test]
fn levels_and_numbers_that_are_not_there() {
    let spaces = workspaces();
    for (id, level) in [
        (CodecId::ZSTD, 16),
        (CodecId::ZSTD, -16),
        (CodecId::ZLIB, 0),
        (CodecId::ZLIB, 10),
        (CodecId::LZO, 2),
    ] {
        let error = spaces.compressor(id, level).err().unwrap();
        assert!(matches!(error, Error::Level { .. }), "{error}");
        assert!(spaces.reserve(id, level).is_err());
        let codec = spaces.registry().get(id).unwrap();
        assert!(codec.compressor(level).is_err());
    }
    let error = spaces.decompressor(CodecId(77)).err().unwrap();
    assert_eq!(error, Error::Unknown(CodecId(77)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn what_goes_in_comes_out(
        len in 1_usize..=131_072,
        spread in 1_u64..200,
        seed in any::<u64>(),
        codec in prop::sample::select(CODECS.to_vec()),
    ) {
        // The framing of lzo may not exceed 128 KiB.
        let len = if codec.0 == CodecId::LZO { len * 15 / 16 } else { len };
        round_trip(&workspaces(), codec, &some_bytes(len, spread, seed));
    }

    #[test]
    fn what_has_few_symbols_comes_out(
        source in prop::collection::vec(0_u8..4, 0..10_000),
        codec in prop::sample::select(CODECS.to_vec()),
    ) {
        round_trip(&workspaces(), codec, &source);
    }
}
