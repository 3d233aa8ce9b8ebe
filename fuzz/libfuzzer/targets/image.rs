//! Edits of a good image.
#![no_main]

use std::sync::OnceLock;

use fuzz::BaseImage;
use libfuzzer_sys::fuzz_target;

static BASE: OnceLock<BaseImage> = OnceLock::new();

fuzz_target!(|edits: &[u8]| {
    let _ = BASE.get_or_init(BaseImage::new).exercise(edits);
});
