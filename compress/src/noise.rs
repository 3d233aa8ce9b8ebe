//! Whether bytes are noise beyond doubt: encrypted, or compressed already.
//!
//! [`advise`](crate::advise) is a guess that is sometimes wrong either way. This is wrong one way
//! only: what passes for noise in every respect that is looked at has nothing left for a compressor
//! to find, and what does not may still be noise. All arithmetic is on integers, and nothing but the
//! bytes is asked.

use memchr::memchr_iter;

/// Bytes of one sample.
const SAMPLE: usize = 64;
/// Samples of whatever is looked at.
const SAMPLES: usize = 16;
/// Bytes with one sample, where more are taken.
const WINDOW: usize = 2 << 10;
/// So many are enough for any length, and their counts fit into 16 bits: none has a byte more often
/// than 21 times.
const MOST_SAMPLES: usize = 1 << 10;
/// Of 64 bytes of noise 57 are distinct on average, and fewer than these once in 8 million samples.
/// Text has some 25.
const LEAST_DISTINCT: u32 = 44;
/// Standard deviations that a statistic may be off.
const OFF: i64 = 6;

/// With this byte begins what is looked for again: wherever a copy of some bytes stands, the same
/// places of it are marked. Any byte does; this one is rare in text and code.
const MARK: u8 = 0xb5;
/// Of the tables of words that were seen.
const SLOT_BITS: u32 = 12;

/// Whether a codec that is [quick on noise](crate::Codec::is_quick_on_noise) has nothing to find in
/// `src`. `false` if it has less than 2 KiB.
///
/// Of 16 samples of 64 bytes each has as many distinct bytes as noise should, and in all of them
/// each byte is as frequent; and nothing comes again where zstd would look at level 3: at every byte
/// of the first 256, every second of the next, and so on. Most of what can be compressed is told by
/// the first sample.
#[must_use]
pub fn is_noise(src: &[u8]) -> bool {
    may_be_noise(src) && repeats_nothing_in_passing(src)
}

/// Whether the samples of [`is_noise`] look like noise, which takes a tenth of the time: it is worth
/// asking. `false`: it is not noise.
#[must_use]
pub fn may_be_noise(src: &[u8]) -> bool {
    src.len() >= WINDOW && looks_random(src, src.len() / SAMPLES)
}

/// Whether any codec has nothing to find in `src`: it [is noise](is_noise), more samples say the
/// same, one byte is as frequent in all of it as in noise, and no five bytes that begin with that one
/// come again, whatever stands between. This takes three times as long.
#[must_use]
pub fn is_noise_throughout(src: &[u8]) -> bool {
    // The first to read all goes straight ahead, so that the others have it in the cache.
    is_noise(src)
        && has_as_many_marks(src)
        && repeats_nothing(src)
        && looks_random(src, dense(src.len()))
}

/// Bytes with one sample, where more are taken, of a source of `len` bytes.
fn dense(len: usize) -> usize {
    (len / MOST_SAMPLES).max(WINDOW)
}

/// Looks at one sample of each `window` bytes.
fn looks_random(src: &[u8], window: usize) -> bool {
    // For each byte how often it was seen, and in which sample last.
    let mut seen = [(0_u16, 0_u16); 256];
    let mut len = 0;
    for (number, window) in (1_u16..).zip(src.chunks(window)) {
        let Some(last) = window.len().checked_sub(SAMPLE) else {
            break;
        };
        // Not always at the same place of a page or a record.
        let start = (u32::from(number).wrapping_mul(0x9e37_79b9) >> 16) as usize % (last + 1);
        let mut distinct = 0;
        for byte in &window[start..start + SAMPLE] {
            let (count, sample) = &mut seen[usize::from(*byte)];
            *count += 1;
            distinct += u32::from(*sample != number);
            *sample = number;
        }
        if distinct < LEAST_DISTINCT {
            return false;
        }
        len += SAMPLE as i64;
    }
    // Pearson's chi-squared with 255 degrees of freedom, times `len`.
    let counts = seen.iter().map(|(count, _)| i64::from(*count));
    let squares: i64 = counts.map(|count| count * count).sum();
    is_near(squares * 256 - len * len, len * 255, len * len * 510)
}

/// Looks where `zstd_double_fast.c` looks as long as it finds nothing: ever faster.
fn repeats_nothing_in_passing(src: &[u8]) -> bool {
    let mut words = Words::new();
    let mut seen = 0;
    let (mut at, mut next) = (1, 2);
    let (mut step, mut faster_from) = (1, 257);
    while let Some(word) = src.get(at..).and_then(<[u8]>::first_chunk) {
        // No branch: all of it is looked at, as a rule.
        seen += usize::from(words.has_seen(*word));
        if next >= faster_from {
            step += 1;
            faster_from += 256;
        }
        at = next;
        next += step;
    }
    seen == 0
}

fn has_as_many_marks(src: &[u8]) -> bool {
    let marks = memchr_iter(MARK, src).count() as i64;
    let len = src.len() as i64;
    is_near(marks * 256, len, len * 255)
}

fn repeats_nothing(src: &[u8]) -> bool {
    let mut words = Words::new();
    let mut places = memchr_iter(MARK, src).filter_map(|at| src[at + 1..].first_chunk());
    !places.any(|word| words.has_seen(*word))
}

/// Some of the words that were seen. It remembers the latest that have the same hash, and zero from
/// the beginning.
struct Words([u32; 1 << SLOT_BITS]);

impl Words {
    fn new() -> Self {
        Self([0; 1 << SLOT_BITS])
    }

    fn has_seen(&mut self, word: [u8; 4]) -> bool {
        let word = u32::from_le_bytes(word);
        let slot = word.wrapping_mul(0x9e37_79b1) >> (u32::BITS - SLOT_BITS);
        std::mem::replace(&mut self.0[slot as usize], word) == word
    }
}

/// Whether `value` is near to what is expected of noise.
fn is_near(value: i64, expected: i64, variance: i64) -> bool {
    let off = i128::from(value - expected);
    off * off <= i128::from(OFF * OFF) * i128::from(variance)
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::*;

    const LEN: usize = 128 << 10;

    /// splitmix64, of whose bytes only those that `keep` are there.
    fn noise_of(seed: u64, len: usize, keep: impl Fn(u8) -> bool) -> Vec<u8> {
        let mut state = seed.wrapping_mul(0x2545_f491_4f6c_dd1d);
        let words = std::iter::repeat_with(move || {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let word = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            (word ^ (word >> 31)).to_le_bytes()
        });
        words
            .flatten()
            .filter(|byte| keep(*byte))
            .take(len)
            .collect()
    }

    fn noise(seed: u64, len: usize) -> Vec<u8> {
        noise_of(seed, len, |_| true)
    }

    fn text(len: usize) -> Vec<u8> {
        let words = [
            "ordered ",
            "extent ",
            "writeback\n",
            "folio ",
            "delalloc, ",
            "sector ",
        ];
        let numbers = noise(1, len);
        let words = numbers.iter().map(|n| words[usize::from(*n) % 6].bytes());
        words.flatten().take(len).collect()
    }

    #[test]
    fn noise_is_believed() {
        for len in [WINDOW, 16 << 10, 70_001, LEN, 1 << 20] {
            let noises = || (0..300).map(|seed| noise(seed, len));
            let believed = noises().filter(|noise| is_noise_throughout(noise)).count();
            assert!(believed >= 299, "{believed} of 300 with {len} bytes");
        }
        assert!(!is_noise(&noise(1, WINDOW - 1)));
        assert!(!is_noise(&[]));
    }

    /// What comes again is not looked for by the samples.
    #[test]
    fn the_samples_alone_say_only_what_is_worth_asking() {
        assert!(!may_be_noise(&text(LEN)) && !may_be_noise(&noise(1, WINDOW - 1)));
        let twice = noise(1, LEN / 2).repeat(2);
        assert!(may_be_noise(&twice) && !is_noise_throughout(&twice));
    }

    /// What saves a sector of 128 KiB, wherever it stands.
    #[test]
    fn a_little_of_something_else_is_found() {
        let zeros = vec![0; 4200];
        let base64 = noise_of(2, 20 << 10, |byte| {
            byte.is_ascii_alphanumeric() || b"+/".contains(&byte)
        });
        for (name, part) in [
            ("zeros", zeros),
            ("text", text(8 << 10)),
            ("base64", base64),
        ] {
            for seed in 0..50 {
                let mut bytes = noise(seed, LEN);
                let at = (seed as usize * 2477) % (LEN - part.len());
                bytes[at..at + part.len()].copy_from_slice(&part);
                assert!(!looks_random(&bytes, WINDOW), "{name} at {at}");
                assert!(!is_noise_throughout(&bytes), "{name} at {at}");
            }
        }
    }

    /// Each sample has as many distinct bytes as one of noise may have; 205 bytes need 7.68 bits.
    #[test]
    fn bytes_that_are_not_equally_frequent_are_found() {
        for seed in 0..50 {
            let bytes = noise_of(seed, LEN, |byte| byte < 205);
            assert!(!looks_random(&bytes, LEN / SAMPLES));
        }
        // Each is, but no noise is that even.
        let counted: Vec<u8> = (0..LEN).map(|n| (n % 256) as u8).collect();
        assert!(!looks_random(&counted, LEN / SAMPLES));
    }

    /// Records of 512 bytes that begin with a hash: a sample never stands where all others do.
    #[test]
    fn records_that_begin_with_noise_are_not_noise() {
        for record in [256, 512, 2048, 4096] {
            let mut bytes = text(LEN);
            for (seed, record) in (0..).zip(bytes.chunks_mut(record)) {
                record[..64].copy_from_slice(&noise(seed, 64));
            }
            assert!(!is_noise(&bytes), "{record}");
        }
    }

    #[test]
    fn repeats_are_found_at_any_distance() {
        for (len, distance) in [
            (4200, 5000),
            (8000, 100_001),
            (65_536, 65_536),
            (4200, 126_000),
        ] {
            for seed in 0..20 {
                let mut bytes = noise(seed, LEN);
                bytes.copy_within(0..len, distance);
                assert!(looks_random(&bytes, WINDOW), "{len} {distance}");
                assert!(!repeats_nothing(&bytes), "{len} {distance}");
            }
        }
        // Two hundred times 30 bytes.
        let mut bytes = noise(1, LEN);
        for n in 0..200 {
            bytes.copy_within(n * 300..n * 300 + 30, 60_000 + n * 350);
        }
        assert!(looks_random(&bytes, WINDOW) && !repeats_nothing(&bytes));
    }

    /// What zstd meets in passing: zeros at the end of noise, where it takes steps of 500 bytes, and
    /// the first half again.
    #[test]
    fn what_zstd_would_meet_is_found() {
        for seed in 0..50 {
            let mut bytes = noise(seed, LEN);
            bytes[LEN - 4200..].fill(0x77);
            assert!(!repeats_nothing_in_passing(&bytes));
            let mut bytes = noise(seed, LEN);
            bytes.copy_within(..LEN / 2, LEN / 2);
            assert!(looks_random(&bytes, LEN / SAMPLES));
            assert!(!repeats_nothing_in_passing(&bytes));
        }
    }

    #[test]
    fn one_byte_is_counted_everywhere() {
        assert!(has_as_many_marks(&noise(3, LEN)));
        let without = noise_of(3, LEN, |byte| byte != MARK);
        assert!(!has_as_many_marks(&without) && !is_noise_throughout(&without));
        let often = noise_of(3, LEN, |byte| byte > 127);
        assert!(!has_as_many_marks(&often));
    }

    /// Sums overflowed with more than some 100 KiB: a panic, or any answer. Guarded by the width of the
    /// sums in `is_near`, and by `MOST_SAMPLES`.
    #[test]
    fn long_sources_overflow() {
        // Distinct enough, but for one byte of every four.
        let even = (0..64).map(|n| if n % 4 == 0 { 0xaa } else { n });
        let even: Vec<u8> = even.collect();
        for len in [1 << 20, 16 << 20] {
            let bytes = even.repeat(len / even.len());
            assert!(!looks_random(&bytes, dense(len)), "{len}");
        }
        assert!(!has_as_many_marks(&vec![MARK; 16 << 20]));
        assert!(is_noise_throughout(&noise(5, 8 << 20)));
    }

    #[test]
    fn the_last_bytes_are_no_problem() {
        for behind in 0..6 {
            let mut bytes = noise(4, LEN);
            bytes[LEN - 1 - behind] = MARK;
            assert!(is_noise_throughout(&bytes), "{behind}");
        }
    }
}
