//! A btrfs volume as what `fs-core` stands on.
//!
//! A volume that was opened for reading answers whatever changes something with
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
use crate::{Bytenr, Items, NewExtent, reader};

/// Longest content of a file in the tree, in bytes: what a stock mount takes.
const MAX_INLINE: u32 = 2048;

/// Twice what an extent adds to a transaction, since leaves may be half empty: its own item and that of
/// its file, its checksums or its content, the inode, and what is left of up to 32 others that it
/// covers.
const METADATA_PER_EXTENT: u32 = 2 * (4096 + MAX_INLINE);

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

fn timespec(at: Timestamp) -> Timespec {
    Timespec {
        secs: at.secs,
        nanos: at.nanos,
    }
}

fn type_bits(file_type: FileType) -> u32 {
    match file_type {
        FileType::Regular => 0o10_0000,
        FileType::Directory => 0o04_0000,
        FileType::Symlink => 0o12_0000,
        FileType::CharDevice => 0o02_0000,
        FileType::BlockDevice => 0o06_0000,
        FileType::Fifo => 0o01_0000,
        FileType::Socket => 0o14_0000,
    }
}

fn device_number((major, minor): (u32, u32)) -> VolumeResult<u64> {
    InodeItem::encode_device(major, minor).ok_or_else(|| {
        VolumeError::new(
            VolumeErrorKind::TooLarge,
            format!("device number {major}:{minor}: at most 4095:1048575 fit"),
        )
    })
}

fn compression(codec: Option<CodecId>) -> VolumeResult<u8> {
    match codec {
        None => Ok(0),
        Some(codec @ (CodecId::ZLIB | CodecId::LZO | CodecId::ZSTD)) => Ok(codec.0),
        Some(codec) => Err(VolumeError::new(
            VolumeErrorKind::Unsupported,
            format!("btrfs has no codec {}", codec.0),
        )),
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
        let hot = self
            .writer()
            .and_then(|writer| writer.hot_inode(id.tree, id.ino));
        match hot {
            Some(item) => attrs(id, &item),
            None => attrs(id, &self.inode(ours(id))?),
        }
    }

    /// `nbytes` is the volume's own, too: it follows from the extents.
    fn put_attrs(&self, id: InodeId, attrs: &Attrs) -> VolumeResult<()> {
        let rdev = device_number(attrs.rdev)?;
        Ok(self.change_inode(id.tree, id.ino, |item| {
            item.mode = (item.mode & S_IFMT) | (attrs.mode & 0o7777);
            item.uid = attrs.uid;
            item.gid = attrs.gid;
            item.rdev = rdev;
            if item.mode & S_IFMT == type_bits(FileType::Regular) {
                item.size = attrs.size;
            }
            item.atime = timespec(attrs.atime);
            item.mtime = timespec(attrs.mtime);
            item.ctime = timespec(attrs.ctime);
            item.otime = timespec(attrs.otime);
        })?)
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

    fn create(&self, dir: InodeId, name: &[u8], new: &NewInode) -> VolumeResult<InodeId> {
        let item = InodeItem {
            mode: type_bits(new.file_type) | (new.mode & 0o7777),
            uid: new.uid,
            gid: new.gid,
            rdev: device_number(new.rdev)?,
            atime: timespec(new.atime),
            mtime: timespec(new.mtime),
            ctime: timespec(new.ctime),
            otime: timespec(new.otime),
            ..InodeItem::default()
        };
        let ino = crate::Volume::create(self, dir.tree, dir.ino, name, &item, &new.symlink_target)?;
        Ok(InodeId {
            tree: dir.tree,
            ino,
        })
    }

    /// The inode's own ctime stands for now: what is told here is not the time.
    fn link(&self, id: InodeId, dir: InodeId, name: &[u8]) -> VolumeResult<()> {
        if id.tree != dir.tree {
            return Err(VolumeError::new(
                VolumeErrorKind::Invalid,
                "a link cannot lead into another subvolume",
            ));
        }
        let now = self.inode(ours(id))?.ctime;
        Ok(crate::Volume::link(
            self, id.tree, id.ino, dir.ino, name, now,
        )?)
    }
}

impl XattrStore for crate::Volume {
    fn xattrs(&self, id: InodeId) -> VolumeResult<XattrSet> {
        Ok(Reader::xattrs(self, ours(id))?)
    }

    fn set_xattr(&self, id: InodeId, name: &[u8], value: &[u8]) -> VolumeResult<()> {
        Ok(crate::Volume::set_xattr(
            self, id.tree, id.ino, name, value,
        )?)
    }
}

impl ExtentStore for crate::Volume {
    type Locator = Bytenr;

    fn extent_maps(&self, id: InodeId, range: Range<u64>) -> VolumeResult<Vec<ExtentMap<Bytenr>>> {
        let extents = self.extents(ours(id), range)?;
        Ok(extents.into_iter().map(extent_map).collect())
    }

    fn insert_extent(&self, id: InodeId, extent: FileExtent<Bytenr>) -> VolumeResult<()> {
        let new = NewExtent {
            file_offset: extent.file_offset,
            num_bytes: extent.num_bytes,
            bytenr: extent.stored.at,
            disk_num_bytes: extent.stored.disk_num_bytes,
            compression: compression(extent.stored.codec)?,
            checksums: extent.checksums,
        };
        Ok(crate::Volume::insert_extent(self, id.tree, id.ino, new)?)
    }

    fn insert_inline(
        &self,
        id: InodeId,
        data: Bytes,
        codec: Option<CodecId>,
        ram_bytes: u64,
    ) -> VolumeResult<()> {
        let compression = compression(codec)?;
        Ok(crate::Volume::insert_inline(
            self,
            id.tree,
            id.ino,
            data,
            compression,
            ram_bytes,
        )?)
    }

    fn drop_extents(&self, id: InodeId, range: Range<u64>) -> VolumeResult<()> {
        Ok(crate::Volume::drop_extents(self, id.tree, id.ino, range)?)
    }
}

impl DataSpace for crate::Volume {
    fn data_available(&self) -> u64 {
        crate::Volume::data_available(self)
    }

    fn metadata_available(&self, wanted: u64, data: u64) -> u64 {
        crate::Volume::metadata_available(self, wanted, data)
    }

    fn allocate(&self, num_bytes: u64) -> VolumeResult<Bytenr> {
        Ok(crate::Volume::allocate(self, num_bytes)?)
    }

    fn release(&self, at: Bytenr, num_bytes: u64) {
        crate::Volume::release(self, at, num_bytes);
    }
}

impl DataIo for crate::Volume {
    fn write(&self, what: &[(Bytenr, Bytes)]) -> VolumeResult<()> {
        Ok(self.write_data(what)?)
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

    fn healed(&self, at: Bytenr, sectors: usize) {
        self.storage().warn(format!(
            "data at {at}: {sectors} damaged sectors were read from another copy"
        ));
    }
}

impl Commit for crate::Volume {
    fn commit(&self) -> VolumeResult<()> {
        // A volume that was opened for reading never has anything to commit.
        if self.writer().is_none() {
            return Ok(());
        }
        Ok(crate::Volume::commit(self)?)
    }
}

impl Volume for crate::Volume {
    fn limits(&self) -> VolumeLimits {
        VolumeLimits {
            sector_size: self.sector_size(),
            max_inline: MAX_INLINE,
            metadata_per_extent: METADATA_PER_EXTENT,
            codecs: vec![CodecId::ZLIB, CodecId::LZO, CodecId::ZSTD],
            read_only: self.is_read_only(),
        }
    }
}
