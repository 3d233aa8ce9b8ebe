//! Streams for the zlib decoder.
#![no_main]

use compress::CodecId;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| fuzz::decode(CodecId::ZLIB, input));
