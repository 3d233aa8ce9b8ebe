//! `ubtrfs usage`

use std::io::{Write, stdout};

use btrfs_volume::reader::CodecUsage;
use btrfs_volume::{InodeId, Reader};

use crate::cli::UsageArgs;
use crate::failure::Failure;
use crate::image::Image;

pub(crate) fn run(args: &UsageArgs) -> Result<(), Failure> {
    let image = Image::open(&args.image)?;
    let path = args.path.as_deref().unwrap_or("/".as_ref());
    let id = image.resolve(path.as_encoded_bytes(), true)?;
    let usage = image.fs.volume().usage(InodeId::new(id.tree, id.ino));
    let usage = usage.map_err(|error| Failure::At {
        path: path.display().to_string(),
        cause: error.to_string(),
    })?;
    let mut out = stdout().lock();
    writeln!(
        out,
        "{} files, {} extents, {} references, {} inline",
        usage.files,
        usage.total().extents,
        usage.references,
        usage.inline_extents
    )?;
    writeln!(
        out,
        "{:<10} {:>5} {:>16} {:>16} {:>16}",
        "", "ratio", "on disk", "uncompressed", "referenced"
    )?;
    let mut row = |name: &str, codec: &CodecUsage| {
        let percent = (codec.disk_bytes.saturating_mul(100))
            .checked_div(codec.uncompressed_bytes)
            .map_or_else(|| "-".to_owned(), |percent| format!("{percent}%"));
        writeln!(
            out,
            "{name:<10} {percent:>5} {:>16} {:>16} {:>16}",
            codec.disk_bytes, codec.uncompressed_bytes, codec.referenced_bytes
        )
    };
    row("total", &usage.total())?;
    for (codec, one) in &usage.by_codec {
        let name = match codec {
            0 => "none".to_owned(),
            1 => "zlib".to_owned(),
            2 => "lzo".to_owned(),
            3 => "zstd".to_owned(),
            other => format!("codec {other}"),
        };
        row(&name, one)?;
    }
    if usage.prealloc != CodecUsage::default() {
        row("prealloc", &usage.prealloc)?;
    }
    Ok(())
}
