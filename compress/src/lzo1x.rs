//! LZO1X streams of one segment: what stands between the framing's lengths.
//!
//! Written from the description of the format in the kernel's `Documentation/staging/lzo.rst`. The
//! compressor is greedy, with one table of hashes, since lzo is chosen for its speed; the
//! decompressor takes all of the format but the run-length extension, which btrfs never stores.
//!
//! An instruction copies a match from what was already written, then up to three literals, whose
//! number is in its two lowest bits. Longer runs of literals are an instruction of their own. The
//! four lengths and distances of matches are called M1 to M4 in that document.

/// Bits of a hash: a segment of 4 KiB has fewer places than the table.
const HASH_BITS: u32 = 12;
/// Bytes that a match must share, as many as are hashed.
const MIN_MATCH: usize = 4;
const M2_MAX_LEN: usize = 8;
const M2_MAX_DISTANCE: usize = 0x800;
const M3_MAX_LEN: usize = 33;
const M3_MAX_DISTANCE: usize = 0x4000;
const M4_MAX_LEN: usize = 9;
const M4_MAX_DISTANCE: usize = 0xbfff;
const M3: u8 = 0x20;
const M4: u8 = 0x10;
/// An M4 of distance 0.
const END: [u8; 3] = [M4 | 1, 0, 0];
/// Places that are not looked at grow by one for so many in vain, as a power of two.
const SKIP: u32 = 5;

/// The longest segment: places are 16 bits.
pub(crate) const MAX_SEGMENT: usize = 1 << 16;

/// The most bytes that any compressor makes of `len`.
pub(crate) const fn worst_case(len: usize) -> usize {
    len + len / 16 + 64 + 3
}

/// Where in the segment a hash was last seen.
pub(crate) struct Table([u16; 1 << HASH_BITS]);

impl Table {
    pub(crate) fn new() -> Box<Self> {
        Box::new(Self([0; 1 << HASH_BITS]))
    }
}

/// Compresses a segment of at most [`MAX_SEGMENT`] bytes to the beginning of `dst`; `None` if it
/// does not fit.
///
/// The same bytes always give the same stream, whatever the table holds.
pub(crate) fn compress(src: &[u8], dst: &mut [u8], table: &mut Table) -> Option<usize> {
    debug_assert!(src.len() <= MAX_SEGMENT, "places are 16 bits");
    table.0.fill(0);
    let mut out = Out { dst, at: 0 };
    // Literals not yet written begin here.
    let mut pending = 0;
    // Place 0 stands for "never seen" in the table.
    let mut at = 1;
    while let Some(word) = load4(src, at) {
        let slot = &mut table.0[hash(word)];
        let seen = usize::from(*slot);
        *slot = at as u16;
        let distance = at - seen;
        if distance > M4_MAX_DISTANCE || load4(src, seen) != Some(word) {
            at += 1 + ((at - pending) >> SKIP);
            continue;
        }
        let len = MIN_MATCH + common_prefix(src, seen + MIN_MATCH, at + MIN_MATCH);
        // What was skipped may match, too.
        let back = common_suffix(&src[pending..at], &src[..seen]);
        out.literals(&src[pending..at - back])?;
        out.copy(len + back, distance)?;
        at += len;
        pending = at;
        if let Some(word) = load4(src, at - 2) {
            table.0[hash(word)] = (at - 2) as u16;
        }
    }
    out.literals(&src[pending..])?;
    out.put(&END)?;
    Some(out.at)
}

struct Out<'a> {
    dst: &'a mut [u8],
    at: usize,
}

impl Out<'_> {
    fn put(&mut self, bytes: &[u8]) -> Option<()> {
        let to = self.dst.get_mut(self.at..)?.get_mut(..bytes.len())?;
        to.copy_from_slice(bytes);
        self.at += bytes.len();
        Some(())
    }

    /// A length that the instruction has no room for: 255 for every zero.
    fn long(&mut self, mut rest: usize) -> Option<()> {
        while rest > 255 {
            self.put(&[0])?;
            rest -= 255;
        }
        self.put(&[rest as u8])
    }

    fn literals(&mut self, bytes: &[u8]) -> Option<()> {
        match bytes.len() {
            0 => return Some(()),
            len @ ..=238 if self.at == 0 => self.put(&[17 + len as u8])?,
            // Into the match before, which always ends with two bytes of which the first has the
            // number of literals.
            len @ ..=3 => self.dst[self.at - 2] |= len as u8,
            len @ ..=18 => self.put(&[len as u8 - 3])?,
            len => {
                self.put(&[0])?;
                self.long(len - 18)?;
            }
        }
        self.put(bytes)
    }

    fn copy(&mut self, len: usize, distance: usize) -> Option<()> {
        if len <= M2_MAX_LEN && distance <= M2_MAX_DISTANCE {
            let distance = distance - 1;
            let first = (len - 1) << 5 | (distance & 7) << 2;
            return self.put(&[first as u8, (distance >> 3) as u8]);
        }
        let (marker, max_len, distance) = if distance <= M3_MAX_DISTANCE {
            (M3, M3_MAX_LEN, distance - 1)
        } else {
            let distance = distance - M3_MAX_DISTANCE;
            (M4 | (distance >> 11 & 8) as u8, M4_MAX_LEN, distance)
        };
        if len <= max_len {
            self.put(&[marker | (len - 2) as u8])?;
        } else {
            self.put(&[marker])?;
            self.long(len - max_len)?;
        }
        self.put(&((distance << 2) as u16).to_le_bytes())
    }
}

fn load4(bytes: &[u8], at: usize) -> Option<u32> {
    let word = bytes.get(at..)?.first_chunk::<4>()?;
    Some(u32::from_le_bytes(*word))
}

fn load8(bytes: &[u8], at: usize) -> Option<u64> {
    let word = bytes.get(at..)?.first_chunk::<8>()?;
    Some(u64::from_le_bytes(*word))
}

fn hash(word: u32) -> usize {
    (word.wrapping_mul(0x9e37_79b1) >> (32 - HASH_BITS)) as usize
}

/// How many bytes from `a` are the same as those from `b`, which is behind it.
fn common_prefix(bytes: &[u8], a: usize, b: usize) -> usize {
    let mut len = 0;
    while let (Some(x), Some(y)) = (load8(bytes, a + len), load8(bytes, b + len)) {
        if x != y {
            return len + ((x ^ y).trailing_zeros() / 8) as usize;
        }
        len += 8;
    }
    let rest = bytes[a + len..].iter().zip(&bytes[b + len..]);
    len + rest.take_while(|(x, y)| x == y).count()
}

fn common_suffix(a: &[u8], b: &[u8]) -> usize {
    let pairs = a.iter().rev().zip(b.iter().rev());
    pairs.take_while(|(x, y)| x == y).count()
}

/// Why a stream cannot be decompressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Damage {
    Truncated,
    TooLong,
    BeforeTheStart,
    NoEnd,
    BehindTheEnd,
}

impl Damage {
    pub(crate) fn why(self) -> &'static str {
        match self {
            Self::Truncated => "it is cut short",
            Self::TooLong => "it holds more than a sector",
            Self::BeforeTheStart => "it copies from before its start",
            Self::NoEnd => "its end is not marked as the format asks",
            Self::BehindTheEnd => "there are bytes behind its end",
        }
    }
}

/// Decompresses all of `src` to the beginning of `dst` and returns how many bytes it holds. What
/// follows them in `dst` is undefined.
pub(crate) fn decompress(src: &[u8], dst: &mut [u8]) -> Result<usize, Damage> {
    let mut input = In { src, at: 0 };
    let mut made = 0;
    // Literals that the last instruction copied; 4 stands for that and more.
    let mut state = 0;
    let first = *src.first().ok_or(Damage::Truncated)?;
    if first > 17 {
        input.at = 1;
        let len = usize::from(first) - 17;
        input.copy_literals(dst, &mut made, len)?;
        state = len.min(4);
    }
    loop {
        let instruction = input.byte()?;
        let bits = usize::from(instruction);
        let (len, distance, literals);
        if instruction >= 64 {
            let high = usize::from(input.byte()?);
            len = (bits >> 5) + 1;
            distance = (high << 3) + (bits >> 2 & 7) + 1;
            literals = bits & 3;
        } else if instruction >= M3 {
            len = 2 + input.length(bits & 31, 31)?;
            let word = input.word()?;
            distance = (word >> 2) + 1;
            literals = word & 3;
        } else if instruction >= M4 {
            len = 2 + input.length(bits & 7, 7)?;
            let word = input.word()?;
            let beyond = ((bits & 8) << 11) + (word >> 2);
            if beyond == 0 {
                return match (len == 3, input.at == src.len()) {
                    (false, _) => Err(Damage::NoEnd),
                    (true, false) => Err(Damage::BehindTheEnd),
                    (true, true) => Ok(made),
                };
            }
            distance = beyond + M3_MAX_DISTANCE;
            literals = word & 3;
        } else if state == 0 {
            let len = 3 + input.length(bits, 15)?;
            input.copy_literals(dst, &mut made, len)?;
            state = 4;
            continue;
        } else {
            let low = (usize::from(input.byte()?) << 2) + (bits >> 2) + 1;
            (len, distance) = if state == 4 {
                (3, low + M2_MAX_DISTANCE)
            } else {
                (2, low)
            };
            literals = bits & 3;
        }
        copy_match(dst, &mut made, len, distance)?;
        input.copy_literals(dst, &mut made, literals)?;
        state = literals;
    }
}

struct In<'a> {
    src: &'a [u8],
    at: usize,
}

impl In<'_> {
    fn byte(&mut self) -> Result<u8, Damage> {
        let byte = *self.src.get(self.at).ok_or(Damage::Truncated)?;
        self.at += 1;
        Ok(byte)
    }

    fn word(&mut self) -> Result<usize, Damage> {
        let rest = self.src.get(self.at..).ok_or(Damage::Truncated)?;
        let word = rest.first_chunk().ok_or(Damage::Truncated)?;
        self.at += 2;
        Ok(usize::from(u16::from_le_bytes(*word)))
    }

    /// A length of which `bits` stood in the instruction. It is at most 255 times as long as `src`.
    fn length(&mut self, bits: usize, max: usize) -> Result<usize, Damage> {
        if bits != 0 {
            return Ok(bits);
        }
        let mut len = max;
        loop {
            match self.byte()? {
                0 => len += 255,
                last => return Ok(len + usize::from(last)),
            }
        }
    }

    fn copy_literals(
        &mut self,
        dst: &mut [u8],
        made: &mut usize,
        len: usize,
    ) -> Result<(), Damage> {
        let src = self.src.get(self.at..).ok_or(Damage::Truncated)?;
        let to = dst.get_mut(*made..).ok_or(Damage::TooLong)?;
        match (src.first_chunk::<16>(), to.first_chunk_mut::<16>()) {
            // A copy of known length is faster than an exact one; what is too much of it is
            // overwritten by the next.
            (Some(from), Some(to)) if len <= 16 => *to = *from,
            _ => {
                let from = src.get(..len).ok_or(Damage::Truncated)?;
                to.get_mut(..len)
                    .ok_or(Damage::TooLong)?
                    .copy_from_slice(from);
            }
        }
        self.at += len;
        *made += len;
        Ok(())
    }
}

/// Copies from what was made; source and destination may overlap, and then the copied bytes repeat.
fn copy_match(dst: &mut [u8], made: &mut usize, len: usize, distance: usize) -> Result<(), Damage> {
    let to = *made;
    let from = to.checked_sub(distance).ok_or(Damage::BeforeTheStart)?;
    let end = to + len;
    if end > dst.len() {
        return Err(Damage::TooLong);
    }
    *made = end;
    if distance >= 16 && len <= 16 && to + 16 <= dst.len() {
        let (before, behind) = dst.split_at_mut(to);
        if let (Some(from), Some(to)) = (
            before[from..].first_chunk::<16>(),
            behind.first_chunk_mut::<16>(),
        ) {
            *to = *from;
        }
    } else if distance >= len {
        dst.copy_within(from..from + len, to);
    } else if distance == 1 {
        let byte = dst[from];
        dst[to..end].fill(byte);
    } else {
        // What was copied is a source in its turn, twice as long every time.
        let mut have = distance;
        let mut at = to;
        while at < end {
            let step = have.min(end - at);
            dst.copy_within(from..from + step, at);
            at += step;
            have += step;
        }
    }
    Ok(())
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn packed(src: &[u8]) -> Vec<u8> {
        let mut dst = vec![0; worst_case(src.len())];
        let len = compress(src, &mut dst, &mut Table::new()).unwrap();
        dst.truncate(len);
        dst
    }

    /// Ours and another crate's agree on what a stream holds.
    fn both_read(stream: &[u8], src: &[u8]) {
        let mut back = vec![0x55; src.len()];
        assert_eq!(decompress(stream, &mut back), Ok(src.len()));
        assert!(back == src);
        let mut back = vec![0x55; src.len()];
        let made = lzokay::decompress::decompress(stream, &mut back);
        assert_eq!(made, Ok(src.len()));
        assert!(back == src);
    }

    /// Runs of bytes, copies from any distance, and single new bytes.
    fn sources() -> impl Strategy<Value = Vec<u8>> {
        let part = (any::<u16>(), 1_usize..600, 0_u8..3, any::<u8>());
        prop::collection::vec(part, 0..200).prop_map(|parts| {
            let mut bytes = Vec::new();
            for (place, len, kind, byte) in parts {
                match kind {
                    0 => bytes.resize(bytes.len() + len, byte),
                    1 if !bytes.is_empty() => {
                        let from = usize::from(place) % bytes.len();
                        for at in from..from + len {
                            bytes.push(bytes[at]);
                        }
                    }
                    _ => bytes.extend((0..len.min(300)).map(|n| byte.wrapping_mul(n as u8 | 1))),
                }
            }
            bytes.truncate(MAX_SEGMENT);
            bytes
        })
    }

    /// Every length around the limits of the instructions, of literals and of matches, near and far.
    #[test]
    fn limits_of_instructions() {
        for len in (0..300).chain([510, 511, 512, 527, 528, 529, 600]) {
            let literals: Vec<u8> = (0..len as u32)
                .flat_map(|n| (n * n).to_be_bytes())
                .collect();
            both_read(&packed(&literals[..len]), &literals[..len]);
            let repeated = [&literals[..len], &literals[..len], b"x"].concat();
            both_read(&packed(&repeated), &repeated);
            both_read(&packed(&vec![7; len]), &vec![7; len]);
            for distance in [2047, 2048, 2049, 16_383, 16_384, 16_385, 49_151, 49_152] {
                let mut far: Vec<u8> = b"the same words, "
                    .iter()
                    .copied()
                    .cycle()
                    .take(len)
                    .collect();
                far.extend(
                    literals
                        .iter()
                        .cycle()
                        .take(distance - len.min(distance))
                        .chain(&[0; 600])
                        .take(distance - len.min(distance)),
                );
                far.resize(distance, 0);
                far.extend_from_within(..len.min(far.len()));
                both_read(&packed(&far), &far);
            }
        }
    }

    proptest! {
        #[test]
        fn what_goes_in_comes_out(src in sources()) {
            let stream = packed(&src);
            prop_assert!(stream.len() <= worst_case(src.len()));
            both_read(&stream, &src);
            // The other way round. Of no bytes, the other crate makes a first literal run of none,
            // which the format reads as a match; segments of an extent are never empty.
            if !src.is_empty() {
                both_read(&lzokay::compress::compress(&src).unwrap(), &src);
            }
        }

        /// Both refuse, or both read the same.
        #[test]
        fn damage_is_judged_as_others_judge_it(
            src in sources(),
            at in any::<prop::sample::Index>(),
            byte in any::<u8>(),
        ) {
            let mut stream = packed(&src);
            *at.get_mut(&mut stream) = byte;
            let (mut ours, mut theirs) = (vec![0; 4096], vec![0; 4096]);
            let made = decompress(&stream, &mut ours);
            // What comes first is not always a literal there.
            if stream[0] > 17 {
                let expected = lzokay::decompress::decompress(&stream, &mut theirs);
                prop_assert_eq!(made.ok(), expected.ok());
                if let Ok(made) = made {
                    prop_assert!(ours[..made] == theirs[..made]);
                }
            }
        }
    }
}
