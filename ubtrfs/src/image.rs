//! An image that is open for reading, and paths in it.

use std::path::Path;
use std::sync::Arc;

use btrfs_volume::device::FileDevice;
use btrfs_volume::{OpenOptions, Volume};
use fs_core::{FileType, Filesystem, InodeId};

use crate::failure::Failure;
use crate::quote::quoted;

/// Symbolic links that one path may lead through, as in Linux.
const MAX_LINKS: usize = 40;

pub(crate) struct Image {
    pub(crate) fs: Filesystem<Volume>,
}

impl Image {
    /// Opens an image; what its user should know is told on standard error.
    pub(crate) fn open(path: &Path) -> Result<Self, Failure> {
        let at = |cause: &dyn std::fmt::Display| Failure::At {
            path: quoted(path.as_os_str().as_encoded_bytes()).into_owned(),
            cause: cause.to_string(),
        };
        let options = OpenOptions::default();
        let device = FileDevice::open(path, options.access).map_err(|e| at(&e))?;
        let volume = Volume::open(Arc::new(device), &options).map_err(|e| at(&e))?;
        for warning in volume.warnings().0 {
            eprintln!("ubtrfs: {}: warning: {warning}", path.display());
        }
        let fs = Filesystem::builder(volume).build().map_err(|e| at(&e))?;
        Ok(Self { fs })
    }

    /// Where a path leads. Symbolic links are followed within the image, the last one only if
    /// `follow_last`.
    pub(crate) fn resolve(&self, path: &[u8], follow_last: bool) -> Result<InodeId, Failure> {
        let at = |cause: String| Failure::At {
            path: quoted(path).into_owned(),
            cause,
        };
        let mut links = 0;
        // The directories on the way, the root first; the names still to come, the next one last.
        let mut way = vec![self.fs.root()];
        let mut names = components(path);
        while let Some(name) = names.pop() {
            let here = way[way.len() - 1];
            match name.as_slice() {
                b"." => continue,
                b".." => {
                    if way.len() > 1 {
                        way.pop();
                    }
                    continue;
                }
                _ => {}
            }
            let found = self.fs.lookup(here, &name).map_err(|e| at(e.to_string()))?;
            let id = found.ok_or_else(|| at("no such file or directory".to_owned()))?;
            let attrs = self.fs.attrs(id).map_err(|e| at(e.to_string()))?;
            if attrs.file_type == FileType::Symlink && (follow_last || !names.is_empty()) {
                links += 1;
                if links > MAX_LINKS {
                    return Err(at("too many symbolic links".to_owned()));
                }
                let target = self.fs.read_link(id).map_err(|e| at(e.to_string()))?;
                if target.starts_with(b"/") {
                    way.truncate(1);
                }
                names.extend(components(&target));
                continue;
            }
            way.push(id);
        }
        Ok(way[way.len() - 1])
    }
}

/// The names of a path, the first one last.
fn components(path: &[u8]) -> Vec<Vec<u8>> {
    let names = path.split(|byte| *byte == b'/');
    let mut names: Vec<Vec<u8>> = names
        .filter(|n| !n.is_empty())
        .map(<[u8]>::to_vec)
        .collect();
    names.reverse();
    names
}
