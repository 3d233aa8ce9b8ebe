//! Decoders refuse what nobody made, without panic, and never write more than they say.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use codecs::all_codecs;
use compress::{CodecId, Error, Workspaces};
use proptest::prelude::*;
use sources::{padded_bytes, some_bytes};

mod codecs;
mod sources;

const CODECS: &[(CodecId, i32)] = &[
    (CodecId::ZLIB, 3),
    (CodecId::LZO, 1),
    (CodecId::ZSTD, 3),
    #[cfg(feature = "lz4")]
    (compress::Lz4::ID, 1),
];
const EXTENT: usize = 131_072;

/// Decompresses into rooms of several sizes; errors or bytes are both fine.
fn survive(id: CodecId, bytes: &[u8]) {
    let spaces = Workspaces::new(all_codecs(), 1);
    let mut decompressor = spaces.decompressor(id).unwrap();
    for room in [EXTENT, 5000, 4096, 100, 1, 0] {
        let mut out = vec![0; room];
        if let Ok(made) = decompressor.decompress(bytes, &mut out) {
            assert!(made <= room);
        }
    }
    // And the same decompressor is good for the next one.
    let source = some_bytes(9000, 9, 1);
    let mut packed = vec![0; 20_000];
    let level = CODECS.iter().find(|codec| codec.0 == id).unwrap().1;
    let mut compressor = spaces.compressor(id, level).unwrap();
    let len = compressor.compress(&source, &mut packed).unwrap().unwrap();
    let mut out = vec![0; 9000];
    assert_eq!(decompressor.decompress(&packed[..len], &mut out), Ok(9000));
    assert!(out == source);
}

fn refused(id: CodecId, bytes: &[u8]) -> String {
    let spaces = Workspaces::new(all_codecs(), 1);
    let mut out = vec![0; EXTENT];
    let result = spaces.decompressor(id).unwrap().decompress(bytes, &mut out);
    match result.unwrap_err() {
        Error::Decompress { why, len, .. } => {
            assert_eq!(len, bytes.len());
            why
        }
        other => panic!("{other}"),
    }
}

/// LE32 words.
fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

#[test]
fn nothing_at_all_is_refused() {
    for &(id, _) in CODECS {
        refused(id, &[]);
        refused(id, &[0; 4096]);
        refused(id, &[0xff; 4096]);
    }
}

#[test]
fn lzo_totals_are_checked() {
    let framed = |total: u32, len: usize| {
        let mut bytes = words(&[total, 5]);
        bytes.extend([18, b'x', 17, 0, 0]);
        bytes.resize(len, 0);
        bytes
    };
    let spaces = Workspaces::new(all_codecs(), 1);
    let mut out = [0; 10];
    let mut decompressor = spaces.decompressor(CodecId::LZO).unwrap();
    assert_eq!(decompressor.decompress(&framed(13, 13), &mut out), Ok(1));
    assert_eq!(decompressor.decompress(&framed(13, 4096), &mut out), Ok(1));
    for (total, len) in [
        (0, 4096),
        (3, 4096),
        (14, 13),
        (u32::MAX, 4096),
        (4097, 4096),
        // More than a sector of padding.
        (13, 8192),
        // More than 128 KiB.
        (131_073, 135_168),
    ] {
        let why = refused(CodecId::LZO, &framed(total, len));
        assert_eq!(why, format!("its length is said to be {total}"));
    }
}

#[test]
fn lzo_segments_are_checked() {
    let framed = |segment: u32, payload: &[u8]| {
        let total = 8 + payload.len() as u32;
        let mut bytes = words(&[total, segment]);
        bytes.extend(payload);
        bytes
    };
    let why = |segment: u32, payload: &[u8]| refused(CodecId::LZO, &framed(segment, payload));
    // Longer than the total says, than lzo can make of a sector, than memory.
    assert_eq!(
        why(6, &[18, b'x', 17, 0, 0]),
        "segment 4 is said to have 6 bytes"
    );
    assert_eq!(
        why(5000, &[0; 5000]),
        "segment 4 is said to have 5000 bytes"
    );
    assert_eq!(
        why(u32::MAX, &[0; 9]),
        "segment 4 is said to have 4294967295 bytes"
    );
    assert_eq!(why(0, &[]), "segment 4: it is cut short");
    assert_eq!(why(2, &[18, b'x']), "segment 4: it is cut short");
    assert_eq!(
        why(6, &[18, b'x', 17, 0, 0, 0]),
        "segment 4: there are bytes behind its end"
    );
    assert_eq!(why(3, &[16, 0, 0]), "segment 4: it is cut short");
    assert_eq!(why(3, &[18, 0, 0]), "segment 4: it is cut short");
    // 64 and 1 are a match of three bytes, nine before.
    assert_eq!(
        why(7, &[18, b'x', 64, 1, 17, 0, 0]),
        "segment 4: it copies from before its start"
    );
    // A match that runs on for 32 + 255 * 17 bytes.
    let mut long = vec![18, b'x', 32];
    long.extend([0; 17]);
    long.extend([1, 0, 0, 17, 0, 0]);
    assert_eq!(
        why(long.len() as u32, &long),
        "segment 4: it holds more than a sector"
    );
    // Literals that do.
    let mut long = vec![0];
    long.extend([0; 16]);
    long.push(1);
    long.extend([b'x'; 4200]);
    let why = why(long.len() as u32, &long);
    assert_eq!(why, "segment 4: it holds more than a sector");
    // Bytes behind the segment that are too few for a length.
    let mut bytes = words(&[15, 5]);
    bytes.extend([18, b'x', 17, 0, 0, 1, 1]);
    assert_eq!(refused(CodecId::LZO, &bytes), "no length at 13");
}

/// I3: who wants the beginning of an extent gets it, whatever follows.
#[test]
fn lzo_behind_a_full_destination_is_not_read() {
    let mut bytes = words(&[15, 5]);
    bytes.extend([18, b'x', 17, 0, 0, 1, 1]);
    let spaces = Workspaces::new(all_codecs(), 1);
    let mut decompressor = spaces.decompressor(CodecId::LZO).unwrap();
    for room in [0, 1] {
        let mut out = vec![0; room];
        assert_eq!(decompressor.decompress(&bytes, &mut out), Ok(room));
        assert!(out.iter().all(|byte| *byte == b'x'));
    }
}

/// A stored block is said to be longer than the destination and than the stream: what of it there is
/// does not fill the destination.
#[test]
fn zlib_that_ends_before_the_destination_is_full_is_refused() {
    let mut stream = vec![0x78, 0x9c, 1];
    stream.extend(9000_u16.to_le_bytes());
    stream.extend((!9000_u16).to_le_bytes());
    stream.extend([b'x'; 100]);
    let spaces = Workspaces::new(all_codecs(), 1);
    let mut decompressor = spaces.decompressor(CodecId::ZLIB).unwrap();
    let mut beginning = [0; 100];
    assert_eq!(decompressor.decompress(&stream, &mut beginning), Ok(100));
    assert!(decompressor.decompress(&stream, &mut [0; 101]).is_err());
}

/// A frame that asks for a window of 2 GiB must not get it.
#[test]
fn zstd_windows_are_bounded() {
    for descriptor in [8 << 3, 21 << 3] {
        // Magic, no size and no single segment, the window, then a raw block of one byte.
        let frame = [0x28, 0xb5, 0x2f, 0xfd, 0, descriptor, 9, 0, 0, b'x'];
        refused(CodecId::ZSTD, &frame);
    }
    // 128 KiB are fine.
    let frame = [0x28, 0xb5, 0x2f, 0xfd, 0, 7 << 3, 9, 0, 0, b'x'];
    let spaces = Workspaces::new(all_codecs(), 1);
    let mut decompressor = spaces.decompressor(CodecId::ZSTD).unwrap();
    assert_eq!(decompressor.decompress(&frame, &mut [0; 9]), Ok(1));
}

#[test]
fn streams_cut_anywhere_are_refused() {
    let spaces = Workspaces::new(all_codecs(), 1);
    let source = padded_bytes(9000, 9, 38);
    for &(id, level) in CODECS {
        let mut packed = vec![0; 20_000];
        let mut compressor = spaces.compressor(id, level).unwrap();
        let len = compressor.compress(&source, &mut packed).unwrap().unwrap();
        for cut in 0..len {
            let mut out = vec![0; 9000];
            let mut decompressor = spaces.decompressor(id).unwrap();
            let result = decompressor.decompress(&packed[..cut], &mut out);
            // zlib may lack its checksum alone: all bytes were made then.
            let whole = result == Ok(9000) && out == source;
            assert!(result.is_err() || whole, "{id:?} cut at {cut}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Nothing trusts them: `total > src.len()` and `get(..len)` in lzo.rs, `end > dst.len()` and
    /// `checked_sub(distance)` in lzo1x.rs. Where safe code would panic instead of writing elsewhere,
    /// that is what this finds. (`WindowLogMax` in zstd.rs is for `zstd_windows_are_bounded`.)
    #[test]
    fn lengths_trusted_when_checksums_are_off(
        noise in prop::collection::vec(any::<u8>(), 0..600),
        at in any::<prop::sample::Index>(),
        spread in 1_u64..60,
        codec in prop::sample::select(CODECS.to_vec()),
    ) {
        let (id, level) = codec;
        survive(id, &noise);
        let mut packed = vec![0; 30_000];
        let spaces = Workspaces::new(all_codecs(), 1);
        let source = some_bytes(20_000, spread, 5);
        let mut compressor = spaces.compressor(id, level).unwrap();
        let len = compressor.compress(&source, &mut packed).unwrap().unwrap();
        packed.truncate(len);
        let from = at.index(len);
        // A run of damage, then one flipped byte, then a cut.
        let mut damaged = packed.clone();
        for (byte, wrong) in damaged[from..].iter_mut().zip(&noise) {
            *byte ^= wrong;
        }
        survive(id, &damaged);
        // That anywhere, and among the first lengths.
        for place in [from, from % 12] {
            let mut damaged = packed.clone();
            damaged[place] ^= noise.first().copied().unwrap_or(1);
            survive(id, &damaged);
        }
        packed.truncate(from);
        survive(id, &packed);
    }

    /// Beginnings that look right, so that the noise behind them is read as instructions.
    #[test]
    fn noise_behind_a_right_beginning(
        noise in prop::collection::vec(any::<u8>(), 1..5000),
        few in prop::collection::vec(0_u8..70, 1..300),
        window in 0_u8..64,
    ) {
        for noise in [&noise, &few] {
            let mut lzo = words(&[8 + noise.len() as u32, noise.len() as u32]);
            lzo.extend(noise);
            survive(CodecId::LZO, &lzo);
            let mut zlib = vec![0x78, 0x9c];
            zlib.extend(noise);
            survive(CodecId::ZLIB, &zlib);
            let mut zstd = vec![0x28, 0xb5, 0x2f, 0xfd, 0, window];
            zstd.extend(noise);
            survive(CodecId::ZSTD, &zstd);
            #[cfg(feature = "lz4")]
            survive(compress::Lz4::ID, &lzo);
        }
    }
}
