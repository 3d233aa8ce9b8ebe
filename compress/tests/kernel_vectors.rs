//! Extents that a kernel wrote (see vectors/make.py) are read, and ours look like them.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::path::{Path, PathBuf};

use compress::{CodecId, Registry, SECTOR_SIZE, Workspaces};
use sources::{binary, padded_bytes, some_bytes, text};

mod sources;

struct Vector {
    codec: String,
    kind: String,
    source: Vec<u8>,
    stored: Vec<u8>,
}

fn vectors() -> Vec<Vector> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors");
    let mut paths: Vec<PathBuf> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ext| ext == "bin"))
        .collect();
    paths.sort();
    paths.iter().map(|path| vector(path)).collect()
}

fn vector(path: &Path) -> Vector {
    let name = path.file_stem().unwrap().to_str().unwrap();
    let parts: Vec<&str> = name.split('-').collect();
    let number = |at: usize| parts[at].parse::<u64>().unwrap();
    let (len, spread, seed) = (number(2) as usize, number(3), number(4));
    let source = match parts[1] {
        "padded" => padded_bytes(len, spread, seed as usize),
        "zeros" => vec![0; len],
        "text" => text(len, seed),
        "binary" => binary(len, seed),
        _ => some_bytes(len, spread, seed),
    };
    Vector {
        codec: parts[0].to_owned(),
        kind: parts[1].to_owned(),
        source,
        stored: std::fs::read(path).unwrap(),
    }
}

#[test]
fn what_a_kernel_wrote_is_read() {
    let workspaces = Workspaces::new(Registry::btrfs(), 1);
    let vectors = vectors();
    assert_eq!(vectors.len(), 35);
    for Vector {
        codec,
        kind,
        source,
        stored,
    } in vectors
    {
        let id = workspaces.registry().by_name(&codec).unwrap().id();
        let mut decompressor = workspaces.decompressor(id).unwrap();
        // Whole; a beginning; with room for whole pages and for more than the extent holds.
        let whole = source.len();
        for room in [
            1,
            4095,
            whole - 1,
            whole,
            whole.next_multiple_of(4096),
            140_000,
        ] {
            let mut back = vec![0x55; room];
            let made = decompressor.decompress(&stored, &mut back).unwrap();
            assert_eq!(made, whole.min(room), "{codec} {kind} {whole}");
            assert!(back[..made] == source[..made], "{codec} {kind} {whole}");
        }
    }
}

#[test]
fn ours_is_framed_as_the_kernel_frames() {
    let workspaces = Workspaces::new(Registry::btrfs(), 1);
    for vector in vectors() {
        let codec = workspaces.registry().by_name(&vector.codec).unwrap();
        let mut ours = vec![0; vector.source.len() + 1024];
        let len = workspaces
            .compressor(codec.id(), codec.default_level())
            .unwrap()
            .compress(&vector.source, &mut ours)
            .unwrap()
            .unwrap();
        ours.truncate(len);
        let theirs = &vector.stored;
        match codec.id() {
            CodecId::ZLIB => assert_eq!(ours[0], theirs[0], "method and window"),
            CodecId::ZSTD => {
                assert_eq!(ours[..4], theirs[..4], "magic");
                assert_eq!(content_size(&ours), Some(vector.source.len() as u64));
            }
            _ => {
                // The same number of segments, and one of an inline extent.
                let segments = |framed: &[u8]| headers(framed).len();
                assert_eq!(segments(&ours), segments(theirs));
                let sectors = vector.source.len().div_ceil(SECTOR_SIZE);
                assert_eq!(segments(theirs), sectors);
            }
        }
    }
}

/// The kernel's own paddings are those that our reader skips.
#[test]
fn the_vectors_have_every_padding() {
    let mut left: Vec<usize> = vectors()
        .iter()
        .filter(|vector| vector.kind == "padded")
        .map(|vector| {
            let first = u32::from_le_bytes(vector.stored[4..8].try_into().unwrap());
            let end = 8 + first as usize;
            end.next_multiple_of(SECTOR_SIZE) - end
        })
        .collect();
    left.sort_unstable();
    assert_eq!(left, [0, 1, 2, 3, 4]);
}

/// Where the lengths of segments stand.
fn headers(framed: &[u8]) -> Vec<usize> {
    let le32 = |at: usize| u32::from_le_bytes(framed[at..at + 4].try_into().unwrap()) as usize;
    let (mut at, mut found) = (4, Vec::new());
    while at < le32(0) {
        found.push(at);
        at += 4 + le32(at);
        let left = SECTOR_SIZE - at % SECTOR_SIZE;
        at += if left < 4 { left } else { 0 };
    }
    found
}

/// RFC 8878, 3.1.1.1.
fn content_size(frame: &[u8]) -> Option<u64> {
    let descriptor = frame[4];
    let single_segment = descriptor & 0x20 != 0;
    let at = 5 + usize::from(!single_segment) + [0, 1, 2, 4][usize::from(descriptor & 3)];
    match descriptor >> 6 {
        0 if single_segment => Some(u64::from(frame[at])),
        0 => None,
        1 => Some(256 + u64::from(u16::from_le_bytes(frame[at..at + 2].try_into().unwrap()))),
        2 => Some(u64::from(u32::from_le_bytes(
            frame[at..at + 4].try_into().unwrap(),
        ))),
        _ => Some(u64::from_le_bytes(frame[at..at + 8].try_into().unwrap())),
    }
}
