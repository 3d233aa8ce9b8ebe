//! A guess from a sample whether bytes are worth compressing.
//!
//! The rules and their order are those of the kernel's `fs/btrfs/compression.c`, and one more: what
//! the kernel would refuse is looked at again for matches, which frequencies don't show. Machine
//! code looks like noise to them and shrinks by a third. Unlike the kernel, ask about each piece and
//! forget the answer: the beginning of a file says little about its end. All arithmetic is on
//! integers, so that every machine gives the same answer.

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

/// Where matches are looked for, that many windows of at most so many bytes.
const WINDOWS: usize = 8;
const WINDOW: usize = 512;
/// Of the hashes of the four bytes of a match.
const HASH_BITS: u32 = 10;
/// A match at one place in so many: compress. Noise has none at all.
const PLACES_A_MATCH: usize = 256;

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
    /// It looks like noise, but one in 256 of its places repeats what stands shortly before.
    Matches,
}

/// Why a piece should not shrink. It has hardly any matches, either.
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

/// Guesses from 16 bytes of every 256, and if need be from eight windows of 512, whether `src` is worth
/// compressing. Looks at the first 128 KiB.
#[must_use]
pub fn advise(src: &[u8]) -> Advice {
    let src = &src[..src.len().min(MAX_SOURCE)];
    match judge(src) {
        Advice::Dont(_) if has_matches(src) => Advice::Compress(Likely::Matches),
        advice => advice,
    }
}

fn judge(src: &[u8]) -> Advice {
    let mut sample = [0; MAX_SAMPLE];
    let mut len = 0;
    for window in src.chunks(STEP) {
        let run = &window[..window.len().min(RUN)];
        sample[len..len + run.len()].copy_from_slice(run);
        len += run.len();
    }
    judge_sample(&sample[..len])
}

fn judge_sample(sample: &[u8]) -> Advice {
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

fn has_matches(src: &[u8]) -> bool {
    let (mut places, mut matched) = (0, 0);
    for part in src.chunks((src.len() / WINDOWS).max(WINDOW)) {
        let window = &part[..part.len().min(WINDOW)];
        places += window.len();
        matched += matches_in(window);
    }
    matched * PLACES_A_MATCH >= places
}

/// At how many places of `window` four bytes stand that stood before, as far as a table of hashes
/// remembers.
fn matches_in(window: &[u8]) -> usize {
    let mut table = [0_u32; 1 << HASH_BITS];
    let mut matched = 0;
    for bytes in window.windows(4) {
        let word = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        let hash = word.wrapping_mul(0x9e37_79b1) >> (u32::BITS - HASH_BITS);
        let seen = std::mem::replace(&mut table[hash as usize], word);
        // No branch: nobody could predict it.
        matched += usize::from(seen == word);
    }
    matched
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

    /// Noise to whoever counts bytes, half the size to whoever looks for matches.
    #[test]
    fn machine_code_looks_like_noise() {
        for len in [8192, 65_536, 131_072] {
            let all_new = noise(len, 256, 7);
            assert!(!advise(&all_new).is_compress(), "{len}");
            let twice: Vec<u8> = all_new
                .chunks(100)
                .flat_map(|part| [part, part].concat())
                .take(len)
                .collect();
            assert!(!judge(&twice).is_compress(), "{len}");
            assert_eq!(advise(&twice), Advice::Compress(Likely::Matches), "{len}");
        }
    }

    #[test]
    fn one_place_in_256_must_match() {
        // Eight windows of 512 bytes have 16 times 256 places.
        for (matches, enough) in [(0, false), (15, false), (16, true)] {
            let mut bytes = noise(131_072, 256, 8);
            for n in 0..matches {
                let at = n % WINDOWS * 16_384 + 100 + n / WINDOWS * 20;
                bytes.copy_within(at..at + 4, at + 10);
            }
            assert_eq!(advise(&bytes).is_compress(), enough, "{matches} matches");
        }
        // Between the windows nobody looks.
        let mut bytes = noise(131_072, 256, 8);
        for start in (0..131_072).step_by(16_384) {
            bytes[start + WINDOW..start + 4096].fill(0);
        }
        assert!(!has_matches(&bytes));
    }

    #[test]
    fn matches_are_of_four_bytes() {
        let is = |window: &[u8], expected| assert_eq!(matches_in(window), expected);
        is(b"", 0);
        is(b"abc", 0);
        is(b"abcabc", 0);
        is(b"abcdabcd", 1);
        is(b"abcd-abcd", 1);
        is(b"abcde-abcde", 2);
        is(&[7; 512], 508);
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
