//! `ubtrfs usage`

use std::io::{Write, stdout};

use btrfs_volume::reader::CodecUsage;
use btrfs_volume::{InodeId, Reader};
use serde_json::json;

use crate::cli::Usage;
use crate::error::Error;
use crate::image;
use crate::path_in_image::resolve;
use crate::report::Report;
use crate::size::human;

const MEMORY: u64 = 128 << 20;

/// Tells how much space files take.
///
/// # Errors
///
/// The image cannot be opened, there is no such path, or the image is damaged.
pub fn run(args: &Usage, report: &Report) -> Result<(), Error> {
    let fs = image::open(&args.image, MEMORY, Some(1), report)?;
    let path = args.path.as_deref().unwrap_or("/".as_ref());
    let path = path.as_encoded_bytes();
    let id = resolve(&fs, path, true)?;
    let usage = fs.volume().usage(InodeId::new(id.tree, id.ino));
    let usage = usage.map_err(|error| Error::in_image(path, error))?;
    report.warnings_of(&args.image, fs.volume());
    let total = usage.total();
    let mut rows = vec![("total".to_owned(), total)];
    rows.extend(
        usage
            .by_codec
            .iter()
            .map(|(codec, one)| (name(*codec), *one)),
    );
    if usage.prealloc != CodecUsage::default() {
        rows.push(("prealloc".to_owned(), usage.prealloc));
    }
    let mut out = stdout().lock();
    if args.json {
        let rows: serde_json::Map<_, _> = rows
            .into_iter()
            .map(|(name, row)| {
                let row = json!({
                    "extents": row.extents,
                    "disk_bytes": row.disk_bytes,
                    "uncompressed_bytes": row.uncompressed_bytes,
                    "referenced_bytes": row.referenced_bytes,
                });
                (name, row)
            })
            .collect();
        let all = json!({
            "files": usage.files,
            "references": usage.references,
            "inline_extents": usage.inline_extents,
            "types": rows,
        });
        writeln!(out, "{all}")?;
        return Ok(());
    }
    writeln!(
        out,
        "{} files with data, {} extents, {} references, {} inline",
        usage.files, total.extents, usage.references, usage.inline_extents
    )?;
    writeln!(
        out,
        "{:<10} {:>5} {:>12} {:>12} {:>12}",
        "Type", "Perc", "Disk Usage", "Uncompressed", "Referenced"
    )?;
    for (name, row) in rows {
        let percent = u128::from(row.disk_bytes) * 100;
        let percent = percent
            .checked_div(row.uncompressed_bytes.into())
            .map_or_else(|| "-".to_owned(), |percent| format!("{percent}%"));
        writeln!(
            out,
            "{name:<10} {percent:>5} {:>12} {:>12} {:>12}",
            human(row.disk_bytes),
            human(row.uncompressed_bytes),
            human(row.referenced_bytes)
        )?;
    }
    Ok(())
}

fn name(codec: u8) -> String {
    match codec {
        0 => "none".to_owned(),
        1 => "zlib".to_owned(),
        2 => "lzo".to_owned(),
        3 => "zstd".to_owned(),
        other => format!("codec {other}"),
    }
}
