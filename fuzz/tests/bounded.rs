//! A few random rounds of each fuzz target: the same ones every time.

use compress::{CodecId, Lz4};
use fuzz::{BaseImage, decode, decoder_seeds};

/// xorshift64: a failure can be looked at again.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }
}

#[test]
fn an_image_that_was_not_edited_has_no_errors() {
    assert_eq!(BaseImage::new().exercise(&[]), 0);
}

#[test]
fn edited_images_are_errors_at_most() {
    let base = BaseImage::new();
    let mut random = Random(0x1234_5678_9abc_def1);
    let mut with_errors = 0;
    const ROUNDS: usize = 400;
    for _ in 0..ROUNDS {
        let mut edits = Vec::new();
        for _ in 0..=random.below(4) {
            // Rarely the superblock, mostly sealed again; the headers and item headers more than
            // the rest.
            let flags = match random.below(16) {
                0 => 0b111,
                1 => 0b1000,
                _ => 0,
            } | (random.below(8) << 4) as u8;
            let at = match random.below(3) {
                0 => random.below(300),
                1 => random.below(16_384),
                _ => 12_000 + random.below(4300),
            };
            let value = match random.below(4) {
                0 => 0,
                1 => u64::MAX,
                2 => random.next() & 0xff,
                _ => random.next(),
            };
            edits.push(flags);
            edits.extend((random.next() as u16).to_le_bytes());
            edits.extend((at as u16).to_le_bytes());
            edits.extend(value.to_le_bytes());
        }
        with_errors += usize::from(base.exercise(&edits) > 0);
    }
    // The edits reach something, and the image is whole again after each.
    assert!(with_errors > ROUNDS / 4, "{with_errors}");
    assert_eq!(base.exercise(&[]), 0);
}

#[test]
fn edited_streams_are_errors_at_most() {
    for (codec, least, seed) in [
        (CodecId::ZLIB, 13, 3),
        (CodecId::LZO, 18, 5),
        (CodecId::ZSTD, 13, 7),
        (Lz4::ID, 3, 9),
    ] {
        let seeds = decoder_seeds(codec);
        assert!(seeds.len() >= least, "{codec:?}: {}", seeds.len());
        let mut random = Random(seed);
        for seed in &seeds {
            decode(codec, seed);
            for _ in 0..100 {
                let mut input = seed.clone();
                for _ in 0..=random.below(5) {
                    let at = match random.below(2) {
                        0 => random.below(input.len().min(40)),
                        _ => random.below(input.len()),
                    };
                    input[at] = random.next() as u8;
                }
                if random.below(3) == 0 {
                    let end = random.below(input.len()) + 1;
                    input.truncate(end);
                }
                decode(codec, &input);
            }
        }
    }
}
