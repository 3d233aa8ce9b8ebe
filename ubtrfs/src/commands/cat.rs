//! `ubtrfs cat`

use std::io::{Write, stdout};

use crate::cli::CatArgs;
use crate::failure::Failure;
use crate::image::Image;
use crate::quote::quoted;

/// Bytes that are read before they are written.
const WINDOW: u64 = 1 << 20;

pub(crate) fn run(args: &CatArgs) -> Result<(), Failure> {
    let image = Image::open(&args.image)?;
    let mut failed = 0;
    for path in &args.paths {
        match one(&image, path.as_encoded_bytes()) {
            Ok(()) => {}
            Err(failure @ Failure::At { .. }) => {
                eprintln!("ubtrfs: {failure}");
                failed += 1;
            }
            Err(other) => return Err(other),
        }
    }
    if failed == 0 {
        return Ok(());
    }
    Err(Failure::Partly(failed))
}

fn one(image: &Image, path: &[u8]) -> Result<(), Failure> {
    let at = |cause: fs_core::Error| Failure::At {
        path: quoted(path).into_owned(),
        cause: cause.to_string(),
    };
    let file = image.fs.open(image.resolve(path, true)?).map_err(at)?;
    let mut out = stdout().lock();
    let mut offset = 0;
    while offset < file.size() {
        for bytes in file.read_bytes(offset, WINDOW).map_err(at)? {
            out.write_all(&bytes)?;
            offset += bytes.len() as u64;
        }
    }
    out.flush()?;
    Ok(())
}
