//! What is worked on: the same each time.

/// A xorshift generator, whose seed is not 0.
pub fn random(seed: &mut u64) -> u64 {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    seed.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
}

/// The same each time, and about as compressible as source code.
#[must_use]
pub fn text(len: usize) -> Vec<u8> {
    const WORDS: [&str; 16] = [
        "fn ", "let ", "self.", "extent", "(", ")", ";\n    ", "range", " = ", "start", "end",
        "&mut ", "queue", "match ", "// the ", "0x",
    ];
    let mut seed = 0x9e37_79b9_7f4a_7c15;
    let mut text = Vec::with_capacity(len + 16);
    while text.len() < len {
        let number = random(&mut seed);
        text.extend_from_slice(WORDS[(number >> 20) as usize % WORDS.len()].as_bytes());
        if number.is_multiple_of(5) {
            text.extend_from_slice(format!("{:x}", number >> 28).as_bytes());
        }
    }
    text.truncate(len);
    text
}

/// `0..count` in random order.
#[must_use]
pub fn shuffled(count: u64, mut seed: u64) -> Vec<u64> {
    let mut order: Vec<u64> = (0..count).collect();
    for last in (1..order.len()).rev() {
        order.swap(last, (random(&mut seed) % (last as u64 + 1)) as usize);
    }
    order
}
