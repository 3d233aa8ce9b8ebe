//! Writes what a fuzzer may begin with: `seeds TARGET DIR`.

use std::path::Path;
use std::process::ExitCode;

use compress::{CodecId, Lz4};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [target, dir] = args.as_slice() else {
        eprintln!("usage: seeds TARGET DIR");
        return ExitCode::from(2);
    };
    let seeds = match target.as_str() {
        "zlib" => fuzz::decoder_seeds(CodecId::ZLIB),
        "lzo" => fuzz::decoder_seeds(CodecId::LZO),
        "lz4" => fuzz::decoder_seeds(Lz4::ID),
        "zstd" => fuzz::decoder_seeds(CodecId::ZSTD),
        // One edit that does nothing.
        _ => vec![[&[0x40][..], &[0; 12]].concat()],
    };
    let written = std::fs::create_dir_all(dir).and_then(|()| {
        seeds.iter().enumerate().try_for_each(|(n, seed)| {
            std::fs::write(Path::new(dir).join(format!("seed-{n}")), seed)
        })
    });
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{dir}: {error}");
            ExitCode::FAILURE
        }
    }
}
