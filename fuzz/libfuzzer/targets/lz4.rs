//! Streams for the lz4 decoder.
#![no_main]

use compress::Lz4;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| fuzz::decode(Lz4::ID, input));
