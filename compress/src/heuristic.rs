//! A guess from a sample whether bytes are worth compressing.
//!
//! The rules and their order are those of the kernel's `fs/btrfs/compression.c`. Unlike the kernel,
//! ask about each piece and forget the answer: the beginning of a file says little about its end.
//! All arithmetic is on integers, so that every machine gives the same answer.

/// Bytes that are looked at in a row.
const RUN: usize = 16;
/// Bytes from the beginning of one run to that of the next.
const STEP: usize = 256;
/// Bytes of the source beyond which nothing is looked at.
const MAX_SOURCE: usize = 128 << 10;
const MAX_SAMPLE: usize = MAX_SOURCE / STEP * RUN;

/// So few distinct bytes: compress.
const FEW_SYMBOLS: usize = 64;
/// Symbols that make up 90 % of the sample: at most so many, compress; at least so many, don't.
const CORE_PERCENT: usize = 90;
const SMALL_CORE: usize = 64;
const LARGE_CORE: usize = 200;
/// Entropy in percent of 8 bits a byte.
const LOW_ENTROPY: u32 = 65;
const HIGH_ENTROPY: u32 = 80;

/// What a sample says about a piece, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Advice {
    /// It should shrink.
    Compress(Likely),
    /// It should not.
    Dont(Unlikely),
}

/// Why a piece should shrink.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Likely {
    /// Both halves of the sample are the same.
    Repeats,
    /// There are fewer than 64 distinct bytes.
    FewSymbols,
    /// At most 64 distinct bytes make up 90 % of the sample.
    SmallCore,
    /// Entropy is at most 65 % of that of noise.
    LowEntropy,
    /// Entropy is less than 80 %.
    MediumEntropy,
}

/// Why a piece should not shrink.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unlikely {
    /// It takes at least 200 distinct bytes to make up 90 % of the sample.
    LargeCore,
    /// Entropy is at least 80 % of that of noise.
    HighEntropy,
}

impl Advice {
    /// Whether to try.
    #[must_use]
    pub fn is_compress(self) -> bool {
        matches!(self, Self::Compress(_))
    }
}

/// Guesses from 16 bytes of every 256 whether `src` is worth compressing. Looks at the first 128 KiB.
#[must_use]
pub fn advise(src: &[u8]) -> Advice {
    let mut sample = [0; MAX_SAMPLE];
    let mut len = 0;
    for window in src[..src.len().min(MAX_SOURCE)].chunks(STEP) {
        let run = &window[..window.len().min(RUN)];
        sample[len..len + run.len()].copy_from_slice(run);
        len += run.len();
    }
    judge(&sample[..len])
}

fn judge(sample: &[u8]) -> Advice {
    let (left, right) = sample.split_at(sample.len() / 2);
    if left == right {
        return Advice::Compress(Likely::Repeats);
    }
    let mut counts = [0_u32; 256];
    for byte in sample {
        counts[usize::from(*byte)] += 1;
    }
    if counts.iter().filter(|count| **count > 0).count() < FEW_SYMBOLS {
        return Advice::Compress(Likely::FewSymbols);
    }
    match core(counts, sample.len()) {
        ..=SMALL_CORE => return Advice::Compress(Likely::SmallCore),
        LARGE_CORE.. => return Advice::Dont(Unlikely::LargeCore),
        _ => {}
    }
    match entropy_percent(&counts, sample.len()) {
        ..=LOW_ENTROPY => Advice::Compress(Likely::LowEntropy),
        percent if percent < HIGH_ENTROPY => Advice::Compress(Likely::MediumEntropy),
        _ => Advice::Dont(Unlikely::HighEntropy),
    }
}

/// How many distinct bytes, the most frequent first, make up 90 % of the sample.
fn core(mut counts: [u32; 256], len: usize) -> usize {
    counts.sort_unstable_by(|a, b| b.cmp(a));
    let mut seen = 0;
    let enough = |count: &u32| {
        seen += *count as usize;
        seen * 100 >= len * CORE_PERCENT
    };
    counts
        .iter()
        .position(enough)
        .map_or(counts.len(), |last| last + 1)
}

/// Shannon entropy of a byte, rounded down to percent of 8 bits.
fn entropy_percent(counts: &[u32; 256], len: usize) -> u32 {
    let len = len as u64;
    let of_all = log2(len);
    let present = counts.iter().filter(|count| **count > 0);
    // The sum over all of p * log2(1 / p), times `len`.
    let bits: u64 = present
        .map(|count| u64::from(*count) * (of_all - log2(u64::from(*count))))
        .sum();
    (bits * 100 / (len * (8 << FRACTION))) as u32
}

const FRACTION: u32 = 12;

/// The binary logarithm of `n` (1 to 2^15), with 12 bits behind the point.
fn log2(n: u64) -> u64 {
    let whole = n.ilog2();
    let mut log = u64::from(whole) << FRACTION;
    // 1 to 2 with 31 bits behind the point; squaring doubles the logarithm that is left.
    let mut rest = n << (31 - whole);
    for bit in (0..FRACTION).rev() {
        rest = (rest * rest) >> 31;
        if rest >> 32 != 0 {
            rest >>= 1;
            log |= 1 << bit;
        }
    }
    log
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Noise over the first `symbols` bytes.
    fn noise(len: usize, symbols: u64, seed: u64) -> Vec<u8> {
        let mut state = seed | 1;
        let step = |_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            ((state >> 33) % symbols) as u8
        };
        (0..len).map(step).collect()
    }

    #[test]
    fn noise_is_not_worth_it() {
        for len in [4096 * 8, 65_536, 131_072] {
            let advice = advise(&noise(len, 256, 9));
            assert_eq!(advice, Advice::Dont(Unlikely::LargeCore));
        }
        let short = advise(&noise(8192, 256, 9));
        assert_eq!(short, Advice::Dont(Unlikely::HighEntropy));
    }

    #[test]
    fn each_reason_has_its_data() {
        let is = |bytes: &[u8], why| assert_eq!(advise(bytes), Advice::Compress(why));
        is(&[], Likely::Repeats);
        is(&[0; 5000], Likely::Repeats);
        is(&noise(131_072, 63, 3), Likely::FewSymbols);
        is(&noise(131_072, 70, 3), Likely::SmallCore);
        // 80 symbols that are all as frequent have log2(80) / 8 = 79 % entropy.
        is(&noise(131_072, 80, 3), Likely::MediumEntropy);
        let mut skewed = noise(131_072, 256, 3);
        let rare = noise(131_072, 7, 4);
        for (byte, rare) in skewed.iter_mut().zip(rare) {
            if rare > 2 {
                *byte &= 1;
            }
        }
        is(&skewed, Likely::LowEntropy);
        let many = advise(&noise(131_072, 180, 3));
        assert_eq!(many, Advice::Dont(Unlikely::HighEntropy));
    }

    #[test]
    fn the_two_halves_must_be_all_of_the_sample() {
        let half = noise(65_536, 256, 5);
        let mut twice = [half.clone(), half].concat();
        assert_eq!(advise(&twice), Advice::Compress(Likely::Repeats));
        twice[STEP] ^= 1;
        assert!(!advise(&twice).is_compress());
    }

    #[test]
    fn only_the_first_128_kib_are_asked() {
        let mut bytes = noise(131_072, 256, 6);
        bytes.resize(1 << 20, 0);
        assert!(!advise(&bytes).is_compress());
    }

    #[test]
    fn logarithms_are_right_to_the_last_bit_but_one() {
        for n in 1..=u64::from(1_u16 << 15) {
            let exact = (n as f64).log2() * f64::from(1 << FRACTION);
            assert!((log2(n) as f64 - exact).abs() <= 1.01, "{n}");
        }
    }

    #[test]
    fn entropy_of_equal_symbols() {
        let mut counts = [0; 256];
        counts[..16].fill(10);
        assert_eq!(entropy_percent(&counts, 160), 50);
        assert_eq!(entropy_percent(&[32; 256], 8192), 100);
    }
}
