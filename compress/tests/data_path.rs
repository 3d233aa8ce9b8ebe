//! What went wrong in other data paths, as far as it can go wrong here. Each test has the symptom
//! for its name, and tells which line keeps it away.
//!
//! Others of the kind: `other_readers_reject_our_lzo` in formats.rs,
//! `lengths_trusted_when_checksums_are_off` in hostile.rs, `writeback_fails_for_want_of_memory` in
//! src/piece.rs, `sleeper_never_woken` in src/models.rs.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use codecs::all_codecs;
use compress::{
    Method, RawReason, SECTOR_SIZE, Verdict, Workspaces, compress_inline, compress_piece,
};
use sources::{padded_bytes, some_bytes};

mod codecs;
mod sources;

const POISON: u8 = 0x55;

fn methods(spaces: &Workspaces) -> Vec<Method> {
    spaces
        .registry()
        .iter()
        .map(|codec| Method {
            codec: codec.id(),
            level: codec.default_level(),
        })
        .collect()
}

/// What the decompressor reports to have made in a room full of poison.
fn read(spaces: &Workspaces, method: Method, stored: &[u8], room: usize) -> Vec<u8> {
    let mut out = vec![POISON; room];
    let mut decompressor = spaces.decompressor(method.codec).unwrap();
    let made = decompressor.decompress(stored, &mut out).unwrap();
    out.truncate(made);
    out
}

/// Others left the end of the last sector as it was, on disk and in memory. On disk it is
/// `dst[len..stored].fill(0)` in piece.rs that does not. In memory the reader zeroes what the
/// decompressor did not make, and so must be told exactly how much that is, by the `Ok(made)` of
/// each decompressor: not the room, nor whole sectors.
#[test]
fn garbage_after_a_short_last_segment() {
    let spaces = Workspaces::new(all_codecs(), 1);
    for method in methods(&spaces) {
        let sources = [8193, 10_000, 12_287, 70_001, 131_071].map(|len| some_bytes(len, 40, 3));
        for source in sources.into_iter().chain([padded_bytes(12_001, 40, 38)]) {
            let len = source.len();
            let mut packed = vec![POISON; 131_072];
            let verdict = compress_piece(&spaces, method, &source, &mut packed, SECTOR_SIZE);
            let Verdict::Compressed { len: end, stored } = verdict else {
                panic!("{method} keeps {len} bytes raw");
            };
            assert!(packed[end..stored].iter().all(|byte| *byte == 0));
            let room = len.next_multiple_of(SECTOR_SIZE);
            for room in [room, room + SECTOR_SIZE, 140_000] {
                let back = read(&spaces, method, &packed[..stored], room);
                assert!(back == source, "{method}, {} of {len} bytes", back.len());
            }
        }
    }
}

/// A hole follows in the same sector, and the reader zeroes from where the inline bytes end. Guarded
/// like the one above; and `stored: len` in piece.rs, since a tree holds no padding.
#[test]
fn garbage_after_inline_then_hole() {
    let spaces = Workspaces::new(all_codecs(), 1);
    for method in methods(&spaces) {
        for len in [100, 1500, 2047, 4095] {
            let source = some_bytes(len, 60, 6);
            let mut packed = vec![POISON; SECTOR_SIZE];
            let verdict = compress_inline(&spaces, method, &source, &mut packed, 2048);
            let Verdict::Compressed { len: end, stored } = verdict else {
                // lzo's lengths take what so little saves.
                assert!(len == 100, "{method} keeps {len} bytes raw");
                continue;
            };
            assert_eq!(stored, end);
            assert!(read(&spaces, method, &packed[..stored], SECTOR_SIZE) == source);
        }
    }
}

/// An inline extent of exactly one sector: zstd crashed on it in the kernel. It is where
/// `room_to_save` finds no sector to save, where lzo's second segment would begin
/// (`while at < total && made < dst.len()` in lzo.rs must end), and where the room is full exactly
/// when the stream ends.
#[test]
fn crash_on_one_sector_inline() {
    let spaces = Workspaces::new(all_codecs(), 1);
    for method in methods(&spaces) {
        for source in [some_bytes(SECTOR_SIZE, 60, 7), vec![0; SECTOR_SIZE]] {
            let mut packed = vec![POISON; SECTOR_SIZE];
            let verdict = compress_piece(&spaces, method, &source, &mut packed, SECTOR_SIZE);
            assert_eq!(verdict, Verdict::Raw(RawReason::TooShort), "{method}");
            let verdict = compress_inline(&spaces, method, &source, &mut packed, 2048);
            let Verdict::Compressed { stored, .. } = verdict else {
                panic!("{method} keeps a sector raw");
            };
            for room in [SECTOR_SIZE, 2 * SECTOR_SIZE] {
                assert!(read(&spaces, method, &packed[..stored], room) == source);
            }
        }
        let noise = some_bytes(SECTOR_SIZE, 1, 8);
        let mut packed = vec![POISON; SECTOR_SIZE];
        let verdict = compress_inline(&spaces, method, &noise, &mut packed, SECTOR_SIZE);
        assert_eq!(verdict, Verdict::Raw(RawReason::NoGain), "{method}");
    }
}

/// Bytes that were stored raw, but said to be compressed. `Ok(None) => Verdict::Raw` in piece.rs:
/// what did not fit has no other verdict, and what is said to be compressed is a stream of the
/// method's codec that saves a sector.
#[test]
fn files_made_by_mkfs_give_eio() {
    let spaces = Workspaces::new(all_codecs(), 1);
    let (mut kept, mut raw) = (0, 0);
    for method in methods(&spaces) {
        for len in [4097, 8192, 20_000, 131_072] {
            for spread in [1, 2, 5, 200] {
                let source = some_bytes(len, spread, len as u64);
                let mut packed = vec![POISON; 131_072];
                match compress_piece(&spaces, method, &source, &mut packed, SECTOR_SIZE) {
                    Verdict::Raw(why) => {
                        assert_eq!(why, RawReason::NoGain);
                        raw += 1;
                    }
                    Verdict::Compressed { stored, .. } => {
                        assert!(stored + SECTOR_SIZE <= len.next_multiple_of(SECTOR_SIZE));
                        assert!(read(&spaces, method, &packed[..stored], len) == source);
                        kept += 1;
                    }
                }
            }
        }
    }
    assert!(kept > 0 && raw > 0, "{kept} kept, {raw} raw");
}
