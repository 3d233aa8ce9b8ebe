//! Who else uses a file or block device.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

/// Who uses the file or block device at `path`, as far as can be told: a loop device, or the
/// kernel (a mounted or otherwise claimed block device). `None`: nobody, or no such file.
///
/// # Errors
/// `path` cannot be examined.
pub fn in_use(path: &Path) -> io::Result<Option<String>> {
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    if metadata.file_type().is_block_device() {
        return claimed_device(path);
    }
    Ok(loop_device(metadata.dev(), metadata.ino()))
}

/// The kernel lets nobody open a block device exclusively that it has mounted.
fn claimed_device(path: &Path) -> io::Result<Option<String>> {
    use rustix::fs::{Mode, OFlags, open};
    use rustix::io::Errno;
    match open(
        path,
        OFlags::RDONLY | OFlags::EXCL | OFlags::CLOEXEC,
        Mode::empty(),
    ) {
        Ok(_) => Ok(None),
        Err(Errno::BUSY) => Ok(Some("it is mounted or claimed by the kernel".into())),
        Err(errno) => Err(errno.into()),
    }
}

/// The loop device behind which the file is, by what sysfs says. Without sysfs: none.
fn loop_device(dev: u64, ino: u64) -> Option<String> {
    for entry in fs::read_dir("/sys/block").ok()?.flatten() {
        let Ok(backing) = fs::read_to_string(entry.path().join("loop/backing_file")) else {
            continue;
        };
        let Ok(metadata) = fs::metadata(backing.trim_end_matches('\n')) else {
            continue;
        };
        if (metadata.dev(), metadata.ino()) == (dev, ino) {
            return Some(format!("it is behind /dev/{}", entry.file_name().display()));
        }
    }
    None
}
