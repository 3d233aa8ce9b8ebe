//! `ubtrfs info`

use std::io::{Write, stdout};

use crate::cli::InfoArgs;
use crate::failure::Failure;
use crate::image::Image;
use crate::quote::quoted;

pub(crate) fn run(args: &InfoArgs) -> Result<(), Failure> {
    let image = Image::open(&args.image)?;
    let info = image.fs.volume().committed().info();
    let info = info.map_err(|error| Failure::At {
        path: args.image.display().to_string(),
        cause: error.to_string(),
    })?;
    let mut out = stdout().lock();
    writeln!(out, "label        {}", quoted(&info.label))?;
    writeln!(out, "uuid         {}", info.fsid)?;
    if let Some(uuid) = info.metadata_uuid {
        writeln!(out, "metadata     {uuid}")?;
    }
    writeln!(out, "size         {}", info.total_bytes)?;
    writeln!(out, "used         {}", info.bytes_used)?;
    writeln!(out, "sector size  {}", info.sectorsize)?;
    writeln!(out, "node size    {}", info.nodesize)?;
    writeln!(out, "generation   {}", info.generation)?;
    writeln!(out, "checksum     {}", info.checksum)?;
    writeln!(out, "features     {}", info.features.join(" "))?;
    Ok(())
}
