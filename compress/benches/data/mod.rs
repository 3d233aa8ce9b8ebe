//! Data to compress, the same in every run.

/// Its name, and so many bytes of it.
type Kind = (&'static str, fn(usize) -> Vec<u8>);

/// What there is to compress.
pub(crate) const KINDS: [Kind; 5] = [
    ("text", text),
    ("binary", binary),
    ("database", database),
    ("random", random),
    ("mixed", mixed),
];

/// Marsaglia's xorshift.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: u64) -> u64 {
        (self.next() >> 20) % end
    }

    /// Small numbers far more often than large ones.
    fn skewed(&mut self, end: u64) -> u64 {
        let end = 1 + self.below(end);
        self.below(end).min(self.below(end))
    }
}

/// Made-up words, the first of them the most frequent, in lines.
pub(crate) fn text(len: usize) -> Vec<u8> {
    let mut noise = Noise(0x7465_7874);
    let word = |noise: &mut Noise| -> Vec<u8> {
        let letters = b"etaoinshrdlucmfwypvbgkqjxz";
        let len = 2 + noise.skewed(9);
        (0..len)
            .map(|_| letters[noise.skewed(26) as usize])
            .collect()
    };
    let words: Vec<Vec<u8>> = (0..6000).map(|_| word(&mut noise)).collect();
    let mut out = Vec::with_capacity(len + 16);
    while out.len() < len {
        out.extend(&words[noise.skewed(6000) as usize]);
        out.extend(match noise.below(24) {
            0 => &b".\n"[..],
            1 => b", ",
            2 => b"(",
            _ => b" ",
        });
    }
    out.truncate(len);
    out
}

/// Instructions with operands, tables of addresses, and gaps of zeros.
pub(crate) fn binary(len: usize) -> Vec<u8> {
    let mut noise = Noise(0x6269_6e61);
    let mut out = Vec::with_capacity(len + 64);
    let mut address = 0x40_1000_u64;
    let templates: Vec<[u8; 3]> = (0..160)
        .map(|_| noise.next().to_le_bytes()[..3].try_into().expect("3 of 8"))
        .collect();
    while out.len() < len {
        match noise.below(64) {
            0 => out.resize(out.len().next_multiple_of(64), 0),
            1..=3 => {
                address += noise.below(512) * 8;
                out.extend(address.to_le_bytes());
                out.extend((noise.skewed(64) as u32).to_le_bytes());
            }
            4..=7 => out.extend((noise.next() as u32).to_le_bytes()),
            _ => {
                out.extend(templates[noise.skewed(160) as usize]);
                out.push((noise.skewed(24) * 8) as u8);
            }
        }
    }
    out.truncate(len);
    out
}

/// Pages of 8 KiB: a header, places of rows, free space, and rows from the end.
pub(crate) fn database(len: usize) -> Vec<u8> {
    const PAGE: usize = 8 << 10;
    let mut noise = Noise(0x6462_7061);
    let mut out = Vec::with_capacity(len + PAGE);
    let mut id = 1_u64;
    let remarks = text(1 << 16);
    while out.len() < len {
        let mut page = vec![0; PAGE];
        let rows = 40 + noise.below(40) as usize;
        let mut end = PAGE;
        page[..8].copy_from_slice(&noise.next().to_le_bytes());
        page[8..10].copy_from_slice(&(rows as u16).to_le_bytes());
        for row in 0..rows {
            let mut bytes = Vec::new();
            bytes.extend(id.to_le_bytes());
            bytes.extend((1_700_000_000 + id * 37 + noise.below(30)).to_le_bytes());
            bytes.extend((noise.below(1 << 20) as f64 / 64.0).to_le_bytes());
            bytes.extend([1, noise.below(4) as u8]);
            bytes.extend(format!("user{:05}@example.org", noise.below(100_000)).bytes());
            let remark = noise.below(1 << 15) as usize;
            bytes.extend(&remarks[remark..][..16 + noise.below(32) as usize]);
            end -= bytes.len();
            page[end..end + bytes.len()].copy_from_slice(&bytes);
            let slot = 16 + row * 4;
            page[slot..slot + 2].copy_from_slice(&(end as u16).to_le_bytes());
            page[slot + 2..slot + 4].copy_from_slice(&(bytes.len() as u16).to_le_bytes());
            id += 1;
        }
        out.extend(page);
    }
    out.truncate(len);
    out
}

pub(crate) fn random(len: usize) -> Vec<u8> {
    let mut noise = Noise(0x7261_6e64);
    let mut out = Vec::with_capacity(len + 8);
    while out.len() < len {
        out.extend(noise.next().to_le_bytes());
    }
    out.truncate(len);
    out
}

/// A little of each in turn.
pub(crate) fn mixed(len: usize) -> Vec<u8> {
    const RUN: usize = 3000;
    let sources = [text(len), random(len), binary(len), database(len)];
    let starts = (0..len).step_by(RUN).enumerate();
    starts
        .flat_map(|(n, start)| &sources[n % 4][start..len.min(start + RUN)])
        .copied()
        .collect()
}
