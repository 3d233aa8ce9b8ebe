//! Streams for the lzo decoder.
#![no_main]

use compress::CodecId;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| fuzz::decode(CodecId::LZO, input));
