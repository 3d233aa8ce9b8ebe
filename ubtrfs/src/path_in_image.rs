//! Paths in an image.

use fs_core::{FileType, Filesystem, InodeId, Volume};

use crate::error::Error;

/// Symbolic links that one path may lead through, as in Linux.
const MAX_LINKS: usize = 40;
/// Names that one path may have, those of its links included.
const MAX_NAMES: usize = 1 << 16;

/// Where `path` leads, from the root directory on. Symbolic links are followed within the image;
/// the last name only if `follow_last`, or if a `/` is behind it, which only a directory may have.
///
/// # Errors
///
/// There is no such name, or the image is damaged on the way.
pub fn resolve<V: Volume>(
    fs: &Filesystem<V>,
    path: &[u8],
    follow_last: bool,
) -> Result<InodeId, Error> {
    let failed = |cause: &dyn std::fmt::Display| Error::in_image(path, cause);
    let mut links = 0;
    let mut taken = 0;
    // The directories on the way, the root first; the names still to come, the next one last.
    let mut way = vec![fs.root()];
    let mut names = components(path);
    while let Some(name) = names.pop() {
        taken += 1;
        if taken > MAX_NAMES {
            return Err(failed(&"the path is too long"));
        }
        let here = way[way.len() - 1];
        if fs.attrs(here).map_err(|e| failed(&e))?.file_type != FileType::Directory {
            return Err(failed(&"not a directory"));
        }
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
        if name.len() > 255 {
            return Err(failed(&"a name is too long"));
        }
        let found = fs.lookup(here, &name).map_err(|e| failed(&e))?;
        let id = found.ok_or_else(|| failed(&"no such file or directory"))?;
        let attrs = fs.attrs(id).map_err(|e| failed(&e))?;
        if attrs.file_type == FileType::Symlink && (follow_last || !names.is_empty()) {
            links += 1;
            if links > MAX_LINKS {
                return Err(failed(&"too many symbolic links"));
            }
            let target = fs.read_link(id).map_err(|e| failed(&e))?;
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

/// The names of a path, the first one last. Behind a `/` at the end there is one more: the directory
/// itself, so that it must be one.
fn components(path: &[u8]) -> Vec<Vec<u8>> {
    let names = path.split(|byte| *byte == b'/');
    let mut names: Vec<Vec<u8>> = names
        .filter(|name| !name.is_empty())
        .chain(path.ends_with(b"/").then_some(&b"."[..]))
        .map(<[u8]>::to_vec)
        .collect();
    names.reverse();
    names
}
