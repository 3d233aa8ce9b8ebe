//! `ubtrfs info`

use std::io::{Write, stdout};

use btrfs_volume::ondisk::block_group_flags::{DATA, DUP, METADATA, SYSTEM};
use serde_json::json;

use crate::cli::Info;
use crate::error::Error;
use crate::image;
use crate::quote::quoted;
use crate::report::Report;
use crate::size::human;

const MEMORY: u64 = 32 << 20;

/// Tells what an image is.
///
/// # Errors
///
/// It cannot be opened, or the block groups cannot be read.
pub fn run(args: &Info, report: &Report) -> Result<(), Error> {
    let fs = image::open(&args.image, MEMORY, Some(1), report)?;
    let info = fs.volume().committed().info();
    let info = info.map_err(|error| Error::path(&args.image, error))?;
    report.warnings_of(&args.image, fs.volume());
    let mut out = stdout().lock();
    if args.json {
        let groups: Vec<_> = info
            .block_groups
            .iter()
            .map(|group| {
                json!({
                    "kind": kind(group.flags),
                    "profile": profile(group.flags),
                    "total_bytes": group.total_bytes,
                    "used_bytes": group.used_bytes,
                })
            })
            .collect();
        let all = json!({
            "label": String::from_utf8_lossy(&info.label),
            "uuid": info.fsid.to_string(),
            "metadata_uuid": info.metadata_uuid.map(|uuid| uuid.to_string()),
            "total_bytes": info.total_bytes,
            "bytes_used": info.bytes_used,
            "sectorsize": info.sectorsize,
            "nodesize": info.nodesize,
            "generation": info.generation,
            "checksum": info.checksum,
            "features": info.features,
            "has_log": info.has_log,
            "block_groups": groups,
        });
        writeln!(out, "{all}")?;
        return Ok(());
    }
    let sized = |bytes: u64| format!("{bytes} ({})", human(bytes));
    let label = match info.label.is_empty() {
        true => "(none)".to_owned(),
        false => quoted(&info.label).to_string(),
    };
    writeln!(out, "label        {label}")?;
    writeln!(out, "uuid         {}", info.fsid)?;
    if let Some(uuid) = info.metadata_uuid {
        writeln!(out, "metadata     {uuid}")?;
    }
    writeln!(out, "size         {}", sized(info.total_bytes))?;
    writeln!(out, "used         {}", sized(info.bytes_used))?;
    writeln!(out, "sector size  {}", info.sectorsize)?;
    writeln!(out, "node size    {}", info.nodesize)?;
    writeln!(out, "generation   {}", info.generation)?;
    writeln!(out, "checksum     {}", info.checksum)?;
    writeln!(out, "features     {}", info.features.join(" "))?;
    for group in &info.block_groups {
        writeln!(
            out,
            "{:<12} {}, {} of {} used",
            kind(group.flags),
            profile(group.flags),
            human(group.used_bytes),
            human(group.total_bytes),
        )?;
    }
    Ok(())
}

fn kind(flags: u64) -> &'static str {
    match (
        flags & DATA != 0,
        flags & METADATA != 0,
        flags & SYSTEM != 0,
    ) {
        (true, true, _) => "mixed",
        (true, ..) => "data",
        (_, true, _) => "metadata",
        (.., true) => "system",
        _ => "unknown",
    }
}

fn profile(flags: u64) -> &'static str {
    match flags & !(DATA | METADATA | SYSTEM) {
        0 => "single",
        DUP => "dup",
        _ => "other",
    }
}
