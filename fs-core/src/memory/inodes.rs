//! Inodes, names and file extents.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use bytes::Bytes;
use compress::CodecId;
use readpath::{ExtentKind, ExtentMap};

use super::space::Space;
use super::{MemoryLocator, no_inode};
use crate::policy::Policy;
use crate::volume::{
    Attrs, DirEntry, FileExtent, FileType, InodeId, NewInode, Unlinked, VolumeError,
    VolumeErrorKind, VolumeResult,
};

/// Longest name, as on Linux.
const NAME_MAX: usize = 255;

#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) attrs: Attrs,
    pub(super) symlink_target: Bytes,
    pub(super) xattrs: BTreeMap<Bytes, Bytes>,
    pub(super) policy: Option<Policy>,
    /// Cursor to entry.
    entries: BTreeMap<u64, DirEntry>,
    names: HashMap<Bytes, u64>,
    extents: BTreeMap<u64, Stored>,
}

/// A file extent.
#[derive(Debug, Clone)]
struct Stored {
    map: ExtentMap<MemoryLocator>,
    /// Its disk extent, of which it holds a reference; inline ones have none.
    disk: Option<u64>,
}

#[derive(Debug, Clone)]
pub(super) struct Inodes {
    nodes: HashMap<InodeId, Node>,
    next_ino: u64,
    next_cursor: u64,
}

fn error(kind: VolumeErrorKind, what: String) -> VolumeError {
    VolumeError::new(kind, what)
}

impl Inodes {
    pub(super) const ROOT: InodeId = InodeId { tree: 0, ino: 256 };

    pub(super) fn new() -> Self {
        let root = NewInode::new(FileType::Directory, 0o755);
        Self {
            nodes: HashMap::from([(Self::ROOT, node(&root))]),
            next_ino: Self::ROOT.ino + 1,
            next_cursor: 1,
        }
    }

    pub(super) fn get(&self, id: InodeId) -> VolumeResult<&Node> {
        self.nodes.get(&id).ok_or_else(|| no_inode(id))
    }

    pub(super) fn get_mut(&mut self, id: InodeId) -> VolumeResult<&mut Node> {
        self.nodes.get_mut(&id).ok_or_else(|| no_inode(id))
    }

    fn directory(&self, id: InodeId) -> VolumeResult<&Node> {
        let node = self.get(id)?;
        if node.attrs.file_type == FileType::Directory {
            return Ok(node);
        }
        Err(error(
            VolumeErrorKind::NotADirectory,
            format!("inode {} is not a directory", id.ino),
        ))
    }

    pub(super) fn lookup(&self, dir: InodeId, name: &[u8]) -> VolumeResult<Option<InodeId>> {
        let dir = self.directory(dir)?;
        Ok(dir.names.get(name).map(|cursor| dir.entries[cursor].id))
    }

    pub(super) fn read_dir(
        &self,
        dir: InodeId,
        after: u64,
        max: usize,
    ) -> VolumeResult<Vec<DirEntry>> {
        let entries = &self.directory(dir)?.entries;
        Ok(entries
            .range(after.saturating_add(1)..)
            .take(max)
            .map(|(_, e)| e.clone())
            .collect())
    }

    pub(super) fn create(
        &mut self,
        dir: InodeId,
        name: &[u8],
        new: &NewInode,
    ) -> VolumeResult<InodeId> {
        let id = InodeId {
            tree: 0,
            ino: self.next_ino,
        };
        self.add_name(dir, name, id, new.file_type)?;
        self.next_ino += 1;
        self.nodes.insert(id, node(new));
        self.get_mut(dir)?.attrs.mtime = new.ctime;
        Ok(id)
    }

    pub(super) fn link(&mut self, id: InodeId, dir: InodeId, name: &[u8]) -> VolumeResult<()> {
        let attrs = &self.get(id)?.attrs;
        let file_type = attrs.file_type;
        if attrs.nlink == 0 {
            return Err(error(
                VolumeErrorKind::NotFound,
                format!("inode {} was removed", id.ino),
            ));
        }
        if file_type == FileType::Directory {
            return Err(error(
                VolumeErrorKind::Invalid,
                format!("inode {} is a directory and has one name only", id.ino),
            ));
        }
        self.add_name(dir, name, id, file_type)?;
        self.get_mut(id)?.attrs.nlink += 1;
        Ok(())
    }

    pub(super) fn unlink(&mut self, dir: InodeId, name: &[u8]) -> VolumeResult<Unlinked> {
        let parent = self.directory(dir)?;
        let cursor = *parent.names.get(name).ok_or_else(|| {
            let name = String::from_utf8_lossy(name);
            error(VolumeErrorKind::NotFound, format!("there is no {name:?}"))
        })?;
        let id = parent.entries[&cursor].id;
        if !self.get(id)?.entries.is_empty() {
            return Err(error(
                VolumeErrorKind::NotEmpty,
                format!("inode {} is a directory with entries", id.ino),
            ));
        }
        let parent = self.get_mut(dir)?;
        parent.entries.remove(&cursor);
        parent.names.remove(name);
        let node = self.get_mut(id)?;
        node.attrs.nlink -= 1;
        let last = node.attrs.nlink == 0;
        Ok(Unlinked { id, last })
    }

    /// Frees an inode that has no name.
    pub(super) fn free(&mut self, id: InodeId, space: &mut Space) -> VolumeResult<()> {
        if self.get(id)?.attrs.nlink > 0 {
            return Err(error(
                VolumeErrorKind::Invalid,
                format!("inode {} has a name", id.ino),
            ));
        }
        self.drop_extents(id, 0..u64::MAX, space)?;
        self.nodes.remove(&id);
        Ok(())
    }

    /// Forgets inodes that have no name; their space is the caller's to recover.
    pub(super) fn free_orphans(&mut self) {
        self.nodes.retain(|_, node| node.attrs.nlink > 0);
    }

    /// Where the file extents lie, each as often as there are file extents there.
    pub(super) fn places(&self) -> impl Iterator<Item = u64> {
        let all = self.nodes.values().flat_map(|node| node.extents.values());
        all.filter_map(|stored| stored.disk)
    }

    pub(super) fn preallocate(
        &mut self,
        id: InodeId,
        range: Range<u64>,
        at: MemoryLocator,
    ) -> VolumeResult<()> {
        let node = self.get_mut(id)?;
        let len = range.end - range.start;
        node.attrs.nbytes += len;
        let start = range.start;
        let kind = ExtentKind::Prealloc;
        let map = ExtentMap { start, len, kind };
        let disk = Some(at.0);
        node.extents.insert(start, Stored { map, disk });
        Ok(())
    }

    fn add_name(
        &mut self,
        dir: InodeId,
        name: &[u8],
        id: InodeId,
        file_type: FileType,
    ) -> VolumeResult<()> {
        if name.is_empty()
            || name == b"."
            || name == b".."
            || name.iter().any(|b| b"/\0".contains(b))
        {
            return Err(error(
                VolumeErrorKind::Invalid,
                format!("{:?} is not a name", String::from_utf8_lossy(name)),
            ));
        }
        if name.len() > NAME_MAX {
            return Err(error(
                VolumeErrorKind::TooLarge,
                format!("a name of {} bytes", name.len()),
            ));
        }
        if self.lookup(dir, name)?.is_some() {
            return Err(error(
                VolumeErrorKind::Exists,
                format!("{:?} exists already", String::from_utf8_lossy(name)),
            ));
        }
        let cursor = self.next_cursor;
        self.next_cursor += 1;
        let name = Bytes::copy_from_slice(name);
        let entry = DirEntry {
            name: name.clone(),
            id,
            file_type,
            cursor,
        };
        let parent = self.get_mut(dir)?;
        parent.entries.insert(cursor, entry);
        parent.names.insert(name, cursor);
        Ok(())
    }

    pub(super) fn disk_extent(&self, id: InodeId, file_offset: u64) -> Option<u64> {
        let node = self.nodes.get(&id)?;
        let (_, stored) = node.extents.range(..=file_offset).next_back()?;
        stored.disk
    }

    pub(super) fn extent_maps(
        &self,
        id: InodeId,
        range: Range<u64>,
    ) -> VolumeResult<Vec<ExtentMap<MemoryLocator>>> {
        let extents = &self.get(id)?.extents;
        let first = extents
            .range(..=range.start)
            .next_back()
            .filter(|(_, s)| s.map.start + s.map.len > range.start)
            .map_or(range.start, |(start, _)| *start);
        let mut maps = Vec::new();
        let mut at = range.start;
        for map in extents.range(first..range.end).map(|(_, s)| &s.map) {
            if map.start > at {
                maps.push(hole(at, map.start));
            }
            at = map.start + map.len;
            maps.push(map.clone());
        }
        if at < range.end {
            maps.push(hole(at, range.end));
        }
        Ok(maps)
    }

    pub(super) fn insert_extent(
        &mut self,
        id: InodeId,
        extent: &FileExtent<MemoryLocator>,
    ) -> VolumeResult<()> {
        let disk = extent.stored.at;
        let disk_num_bytes = extent.stored.disk_num_bytes;
        let kind = match extent.stored.codec {
            None => ExtentKind::Raw {
                disk,
                disk_num_bytes,
                offset: 0,
            },
            Some(codec) => ExtentKind::Compressed {
                disk,
                disk_num_bytes,
                ram_bytes: extent.num_bytes,
                offset: 0,
                codec,
            },
        };
        let node = self.get_mut(id)?;
        node.attrs.nbytes += extent.num_bytes;
        let map = ExtentMap {
            start: extent.file_offset,
            len: extent.num_bytes,
            kind,
        };
        let disk = Some(disk.0);
        node.extents
            .insert(extent.file_offset, Stored { map, disk });
        Ok(())
    }

    pub(super) fn insert_inline(
        &mut self,
        id: InodeId,
        data: Bytes,
        codec: Option<CodecId>,
        ram_bytes: u64,
    ) -> VolumeResult<()> {
        let node = self.get_mut(id)?;
        node.attrs.nbytes = ram_bytes;
        let map = ExtentMap {
            start: 0,
            len: super::SECTOR,
            kind: ExtentKind::Inline {
                data,
                codec,
                ram_bytes,
            },
        };
        node.extents.insert(0, Stored { map, disk: None });
        Ok(())
    }

    /// Makes `range` a hole; what sticks out of it on either side stays and points into the same
    /// disk extent (a bookend).
    pub(super) fn drop_extents(
        &mut self,
        id: InodeId,
        range: Range<u64>,
        space: &mut Space,
    ) -> VolumeResult<()> {
        let node = self.get_mut(id)?;
        let hit: Vec<u64> = node
            .extents
            .range(..range.end)
            .rev()
            .take_while(|(_, s)| s.map.start + s.map.len > range.start)
            .map(|(start, _)| *start)
            .collect();
        for start in hit {
            let Stored { map, disk } = node.extents.remove(&start).expect("just listed");
            let end = map.start + map.len;
            let dropped = end.min(range.end) - map.start.max(range.start);
            if let ExtentKind::Inline { ram_bytes, .. } = &map.kind {
                node.attrs.nbytes -= ram_bytes;
                continue;
            }
            node.attrs.nbytes -= dropped;
            for part in [
                map.start..range.start.min(end),
                range.end.max(map.start)..end,
            ] {
                if part.start < part.end {
                    if let Some(at) = disk {
                        space.add_ref(at);
                    }
                    let map = cut(&map, part);
                    node.extents.insert(map.start, Stored { map, disk });
                }
            }
            if let Some(at) = disk {
                space.drop_ref(at);
            }
        }
        Ok(())
    }
}

fn hole(start: u64, end: u64) -> ExtentMap<MemoryLocator> {
    ExtentMap {
        start,
        len: end - start,
        kind: ExtentKind::Hole,
    }
}

/// `part` of `map`.
fn cut(map: &ExtentMap<MemoryLocator>, part: Range<u64>) -> ExtentMap<MemoryLocator> {
    let skip = part.start - map.start;
    let mut kind = map.kind.clone();
    match &mut kind {
        ExtentKind::Raw { offset, .. } | ExtentKind::Compressed { offset, .. } => *offset += skip,
        _ => {}
    }
    ExtentMap {
        start: part.start,
        len: part.end - part.start,
        kind,
    }
}

fn node(new: &NewInode) -> Node {
    Node {
        attrs: Attrs {
            file_type: new.file_type,
            mode: new.mode,
            uid: new.uid,
            gid: new.gid,
            nlink: 1,
            rdev: new.rdev,
            size: new.symlink_target.len() as u64,
            nbytes: 0,
            atime: new.atime,
            mtime: new.mtime,
            ctime: new.ctime,
            otime: new.otime,
        },
        symlink_target: new.symlink_target.clone(),
        xattrs: BTreeMap::new(),
        policy: None,
        entries: BTreeMap::new(),
        names: HashMap::new(),
        extents: BTreeMap::new(),
    }
}
