//! Says what an image is and what is in it: `cargo run --example survey -- IMAGE`.

use std::error::Error;
use std::sync::Arc;
use std::time::Instant;

use btrfs_volume::device::{Access, FileDevice};
use btrfs_volume::ondisk::block_group_flags::{profile_name, type_name};
use btrfs_volume::ondisk::{compression, dir_type};
use btrfs_volume::reader::ExtentSource;
use btrfs_volume::{InodeId, OpenOptions, Reader, Volume};

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args_os().nth(1).ok_or("which image?")?;
    let device = Arc::new(FileDevice::open(path, Access::Read)?);
    let volume = Volume::open(device, &OpenOptions::default())?;
    let info = volume.committed().info()?;
    println!(
        "label {:?}, UUID {}",
        String::from_utf8_lossy(&info.label),
        info.fsid
    );
    println!("{} bytes, {} used", info.total_bytes, info.bytes_used);
    println!("features: {}", info.features.join(", "));
    for group in &info.block_groups {
        let (kind, profile) = (type_name(group.flags), profile_name(group.flags));
        println!(
            "{kind}, {profile}: {} of {}",
            group.used_bytes, group.total_bytes
        );
    }
    println!("{} subvolumes", volume.subvolumes()?.len());

    let root = volume.default_root()?;
    let usage = volume.usage(root)?;
    println!("{} files with data", usage.files);
    for (codec, usage) in &usage.by_codec {
        let name = compression::name(*codec).unwrap_or("unknown");
        println!(
            "{name}: {} on disk, {} uncompressed, {} referenced",
            usage.disk_bytes, usage.uncompressed_bytes, usage.referenced_bytes
        );
    }

    let start = Instant::now();
    let mut counts = Counts::default();
    survey(&volume, root, &mut counts)?;
    println!(
        "{} names, {} extents, {} bytes verified in {:?}",
        counts.names,
        counts.extents,
        counts.bytes,
        start.elapsed()
    );
    for warning in volume.warnings().0 {
        println!("warning: {warning}");
    }
    Ok(())
}

#[derive(Default)]
struct Counts {
    names: u64,
    extents: u64,
    bytes: u64,
}

/// Everything below `dir`: attributes, and data against its checksums.
fn survey(volume: &Volume, dir: InodeId, counts: &mut Counts) -> Result<(), Box<dyn Error>> {
    let mut todo = vec![dir];
    while let Some(dir) = todo.pop() {
        let mut after = 0;
        loop {
            let entries = volume.read_dir(dir, after, 256)?;
            let Some(last) = entries.last() else { break };
            after = last.index;
            for entry in entries {
                counts.names += 1;
                match entry.dir_type {
                    dir_type::DIR => todo.push(entry.id),
                    dir_type::REG_FILE => file(volume, entry.id, counts)?,
                    _ => {}
                }
            }
        }
    }
    Ok(())
}

fn file(volume: &Volume, id: InodeId, counts: &mut Counts) -> Result<(), Box<dyn Error>> {
    let inode = volume.inode(id)?;
    volume.xattrs(id)?;
    for extent in volume.extents(id, 0..inode.size)? {
        counts.extents += 1;
        if let ExtentSource::Raw {
            bytenr,
            disk_num_bytes,
            ..
        }
        | ExtentSource::Compressed {
            bytenr,
            disk_num_bytes,
            ..
        } = extent.source
        {
            let bytes = volume
                .storage()
                .read(bytenr, usize::try_from(disk_num_bytes)?, 0)?;
            if !volume.verify(bytenr, &bytes)?.is_empty() {
                println!("inode {}: checksum at {bytenr}", id.ino);
            }
            counts.bytes += disk_num_bytes;
        }
    }
    Ok(())
}
