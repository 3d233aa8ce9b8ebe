//! A btrfs volume as what `fs-core` stands on.
//!
//! Reading only: whatever changes something is answered with
//! [`ReadOnly`](::fs_core::VolumeErrorKind::ReadOnly).

use std::ops::Range;

use ::fs_core::{
    Attrs, CodecId, Commit, DataIo, DataSpace, DirEntry, ExtentKind, ExtentMap, ExtentStore,
    FileExtent, FileType, InodeId, InodeStore, Locator, Namespace, NewInode, Timestamp, Volume,
    VolumeError, VolumeErrorKind, VolumeLimits, VolumeResult, XattrSet, XattrStore,
};
use bytes::Bytes;

use crate::error::{Error, ErrorKind};
use crate::ondisk::{InodeItem, Timespec, csum};
use crate::reader::{Extent, ExtentSource, Reader};
use crate::{Bytenr, Items, reader};

/// The type bits of `st_mode`, from POSIX.
const S_IFMT: u32 = 0o17_0000;

impl Locator for Bytenr {
    fn plus(self, bytes: u64) -> Self {
        Self(self.0.saturating_add(bytes))
    }
}

impl From<Error> for VolumeError {
    fn from(error: Error) -> Self {
        let kind = match error.kind() {
            ErrorKind::NotFound => VolumeErrorKind::NotFound,
            ErrorKind::Exists => VolumeErrorKind::Exists,
            ErrorKind::NotADirectory => VolumeErrorKind::NotADirectory,
            ErrorKind::TooLarge => VolumeErrorKind::TooLarge,
            ErrorKind::TooManyLinks => VolumeErrorKind::TooManyLinks,
            ErrorKind::NoSpace => VolumeErrorKind::NoSpace,
            ErrorKind::ReadOnly => VolumeErrorKind::ReadOnly,
            ErrorKind::Corrupt => VolumeErrorKind::Corrupt,
            ErrorKind::Unsupported => VolumeErrorKind::Unsupported,
            ErrorKind::Invalid => VolumeErrorKind::Invalid,
            ErrorKind::Busy | ErrorKind::Io => VolumeErrorKind::Io,
        };
        Self::new(kind, error)
    }
}

fn read_only<T>() -> VolumeResult<T> {
    Err(VolumeError::new(
        VolumeErrorKind::ReadOnly,
        "a btrfs volume cannot be written yet",
    ))
}

fn ours(id: InodeId) -> reader::InodeId {
    reader::InodeId::new(id.tree, id.ino)
}

fn theirs(id: reader::InodeId) -> InodeId {
    InodeId {
        tree: id.tree,
        ino: id.ino,
    }
}

fn time(at: Timespec) -> Timestamp {
    Timestamp {
        secs: at.secs,
        nanos: at.nanos,
    }
}

fn file_type(id: InodeId, mode: u32) -> VolumeResult<FileType> {
    Ok(match mode & S_IFMT {
        0o10_0000 => FileType::Regular,
        0o04_0000 => FileType::Directory,
        0o12_0000 => FileType::Symlink,
        0o02_0000 => FileType::CharDevice,
        0o06_0000 => FileType::BlockDevice,
        0o01_0000 => FileType::Fifo,
        0o14_0000 => FileType::Socket,
        _ => {
            return Err(VolumeError::new(
                VolumeErrorKind::Corrupt,
                format!("inode {}: mode {mode:o} says nothing of its type", id.ino),
            ));
        }
    })
}

fn attrs(id: InodeId, item: &InodeItem) -> VolumeResult<Attrs> {
    Ok(Attrs {
        file_type: file_type(id, item.mode)?,
        mode: item.mode & 0o7777,
        uid: item.uid,
        gid: item.gid,
        nlink: item.nlink,
        rdev: item.device(),
        size: item.size,
        nbytes: item.nbytes,
        atime: time(item.atime),
        mtime: time(item.mtime),
        ctime: time(item.ctime),
        otime: time(item.otime),
    })
}

fn extent_map(extent: Extent) -> ExtentMap<Bytenr> {
    let kind = match extent.source {
        ExtentSource::Hole => ExtentKind::Hole,
        ExtentSource::Prealloc { .. } => ExtentKind::Prealloc,
        ExtentSource::Inline {
            data,
            compression,
            ram_bytes,
        } => ExtentKind::Inline {
            data,
            codec: (compression != 0).then_some(CodecId(compression)),
            ram_bytes,
        },
        ExtentSource::Raw {
            bytenr,
            disk_num_bytes,
            offset,
        } => ExtentKind::Raw {
            disk: bytenr,
            disk_num_bytes,
            offset,
        },
        ExtentSource::Compressed {
            bytenr,
            disk_num_bytes,
            ram_bytes,
            offset,
            compression,
        } => ExtentKind::Compressed {
            disk: bytenr,
            disk_num_bytes,
            ram_bytes,
            offset,
            codec: CodecId(compression),
        },
    };
    ExtentMap {
        start: extent.start,
        len: extent.len,
        kind,
    }
}

impl crate::Volume {
    fn sector_size(&self) -> u32 {
        self.geometry().sectorsize
    }
}

impl InodeStore for crate::Volume {
    /// The root of the default subvolume; the top level's where that cannot be told.
    fn root(&self) -> InodeId {
        match self.default_root() {
            Ok(root) => theirs(root),
            Err(error) => {
                self.storage()
                    .warn(format!("the default subvolume cannot be told: {error}"));
                InodeId { tree: 5, ino: 256 }
            }
        }
    }

    fn attrs(&self, id: InodeId) -> VolumeResult<Attrs> {
        attrs(id, &self.inode(ours(id))?)
    }

    fn put_attrs(&self, _id: InodeId, _attrs: &Attrs) -> VolumeResult<()> {
        read_only()
    }

    fn read_link(&self, id: InodeId) -> VolumeResult<Bytes> {
        Ok(Reader::read_link(self, ours(id))?)
    }
}

impl Namespace for crate::Volume {
    fn lookup(&self, dir: InodeId, name: &[u8]) -> VolumeResult<Option<InodeId>> {
        let entry = Reader::lookup(self, ours(dir), name)?;
        Ok(entry.map(|entry| theirs(entry.id)))
    }

    fn read_dir(&self, dir: InodeId, after: u64, max: usize) -> VolumeResult<Vec<DirEntry>> {
        let entries = Reader::read_dir(self, ours(dir), after, max)?;
        entries
            .into_iter()
            .map(|entry| {
                let id = theirs(entry.id);
                let file_type = match entry.dir_type {
                    1 => FileType::Regular,
                    2 => FileType::Directory,
                    3 => FileType::CharDevice,
                    4 => FileType::BlockDevice,
                    5 => FileType::Fifo,
                    6 => FileType::Socket,
                    7 => FileType::Symlink,
                    _ => file_type(id, self.inode(entry.id)?.mode)?,
                };
                Ok(DirEntry {
                    name: entry.name,
                    id,
                    file_type,
                    cursor: entry.index,
                })
            })
            .collect()
    }

    fn create(&self, _dir: InodeId, _name: &[u8], _new: &NewInode) -> VolumeResult<InodeId> {
        read_only()
    }

    fn link(&self, _id: InodeId, _dir: InodeId, _name: &[u8]) -> VolumeResult<()> {
        read_only()
    }
}

impl XattrStore for crate::Volume {
    fn xattrs(&self, id: InodeId) -> VolumeResult<XattrSet> {
        Ok(Reader::xattrs(self, ours(id))?)
    }

    fn set_xattr(&self, _id: InodeId, _name: &[u8], _value: &[u8]) -> VolumeResult<()> {
        read_only()
    }
}

impl ExtentStore for crate::Volume {
    type Locator = Bytenr;

    fn extent_maps(&self, id: InodeId, range: Range<u64>) -> VolumeResult<Vec<ExtentMap<Bytenr>>> {
        let extents = self.extents(ours(id), range)?;
        Ok(extents.into_iter().map(extent_map).collect())
    }

    fn insert_extent(&self, _id: InodeId, _extent: FileExtent<Bytenr>) -> VolumeResult<()> {
        read_only()
    }

    fn insert_inline(
        &self,
        _id: InodeId,
        _data: Bytes,
        _codec: Option<CodecId>,
        _ram_bytes: u64,
    ) -> VolumeResult<()> {
        read_only()
    }

    fn drop_extents(&self, _id: InodeId, _range: Range<u64>) -> VolumeResult<()> {
        read_only()
    }
}

impl DataSpace for crate::Volume {
    fn data_available(&self) -> u64 {
        0
    }

    fn allocate(&self, _num_bytes: u64) -> VolumeResult<Bytenr> {
        read_only()
    }

    /// Nothing is ever allocated, so there is nothing to give back.
    fn release(&self, _at: Bytenr, _num_bytes: u64) {}
}

impl DataIo for crate::Volume {
    fn write(&self, _what: &[(Bytenr, Bytes)]) -> VolumeResult<()> {
        read_only()
    }

    fn read(&self, at: Bytenr, len: usize, mirror: usize) -> VolumeResult<Bytes> {
        Ok(self.storage().read(at, len, mirror)?)
    }

    fn mirrors(&self, at: Bytenr) -> usize {
        // Reading an address without a chunk then says so.
        self.storage().mirrors(at).max(1)
    }

    fn checksum(&self, bytes: &[u8]) -> Bytes {
        csum::checksum_sectors(bytes, self.sector_size() as usize).into()
    }

    fn verify(&self, at: Bytenr, bytes: &[u8]) -> VolumeResult<Vec<usize>> {
        Ok(Reader::verify(self, at, bytes)?)
    }
}

impl Commit for crate::Volume {
    /// There is never anything to commit.
    fn commit(&self) -> VolumeResult<()> {
        Ok(())
    }
}

impl Volume for crate::Volume {
    fn limits(&self) -> VolumeLimits {
        VolumeLimits {
            sector_size: self.sector_size(),
            max_inline: 2048,
            codecs: vec![CodecId::ZLIB, CodecId::LZO, CodecId::ZSTD],
            read_only: true,
        }
    }
}
