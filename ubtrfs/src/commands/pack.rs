//! `ubtrfs pack`

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::{self, File, Metadata};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use btrfs_volume::device::FileDevice;
use btrfs_volume::{MkfsOptions, Volume};
use bytes::Bytes;
use compress::Registry;
use fs_core::{Compression, FileType, Filesystem, InodeId, NewInode, SetAttrs, Timestamp};
use tempfile::NamedTempFile;

use crate::cli::PackArgs;
use crate::failure::Failure;
use crate::quote::quoted;

/// How much is asked of a file at a time: it is what large folios are made for, and a file may
/// grow while it is read.
const AT_ONCE: u64 = 128 << 10;

pub(crate) fn run(args: &PackArgs) -> Result<(), Failure> {
    let compression = compression(&args.compress)?;
    let source = fs::symlink_metadata(&args.dir).map_err(|error| at(&args.dir, &error))?;
    if !source.is_dir() {
        return Err(at(&args.dir, &"not a directory"));
    }
    if !args.force && fs::symlink_metadata(&args.image).is_ok() {
        return Err(at(&args.image, &"exists already; --force replaces it"));
    }
    let parent = match args.image.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    // Nothing half made is ever to be seen under the final name.
    let unnamed = NamedTempFile::new_in(parent).map_err(|error| at(parent, &error))?;
    let own = unnamed.as_file().metadata();
    let own = own.map_err(|error| at(&args.image, &error))?;
    let device = unnamed.as_file().try_clone();
    let device = device.map_err(|error| at(&args.image, &error))?;
    let mut options = MkfsOptions::default();
    options.label = args.label.clone().into_bytes();
    let volume = Volume::mkfs(Arc::new(FileDevice::from_file(device)), &options);
    let volume = volume.map_err(|error| at(&args.image, &error))?;
    let mut builder = Filesystem::builder(volume).compression(compression);
    if let Some(threads) = args.threads {
        builder = builder.threads(threads);
    }
    let fs = builder.build().map_err(|error| at(&args.image, &error))?;
    let mut packer = Packer {
        fs: &fs,
        own: (own.dev(), own.ino()),
        links: HashMap::new(),
        files: 0,
        failed: 0,
    };
    let whole = |error: &dyn std::fmt::Display| at(&args.image, error);
    packer.tree(&args.dir, &source).map_err(|e| whole(&e))?;
    let (files, failed) = (packer.files, packer.failed);
    fs.sync().map_err(|error| whole(&error))?;
    fs.volume().finish_growth().map_err(|error| whole(&error))?;
    let stats = fs.stats();
    fs.unmount().map_err(|error| whole(&error))?;
    unnamed
        .as_file()
        .sync_all()
        .map_err(|error| whole(&error))?;
    let named = if args.force {
        unnamed.persist(&args.image)
    } else {
        unnamed.persist_noclobber(&args.image)
    };
    named.map_err(|error| whole(&error.error))?;
    if !args.quiet {
        println!(
            "{files} files, {} bytes, {} on disk; pieces: {} compressed, {} raw, {} inline",
            stats.bytes_written,
            stats.bytes_stored,
            stats.pieces_compressed,
            stats.pieces_raw,
            stats.pieces_inline
        );
    }
    match failed {
        0 => Ok(()),
        failed => Err(Failure::Partly(failed)),
    }
}

/// What `--compress` says.
fn compression(spec: &str) -> Result<Option<Compression>, Failure> {
    let bad = |cause: String| Failure::At {
        path: format!("--compress {spec}"),
        cause,
    };
    if spec == "none" {
        return Ok(None);
    }
    let (name, level) = match spec.split_once(':') {
        Some((name, level)) => (name, Some(level)),
        None => (spec, None),
    };
    let registry = Registry::btrfs();
    let codec = registry
        .by_name(name)
        .ok_or_else(|| bad("there are zstd, zlib, lzo and none".to_owned()))?;
    let level = match level {
        Some(level) => level
            .parse()
            .map_err(|_| bad(format!("{level:?} is not a level")))?,
        None => codec.default_level(),
    };
    codec.compressor(level).map_err(|e| bad(e.to_string()))?;
    Ok(Some(Compression {
        codec: codec.id(),
        level,
    }))
}

fn at(path: &Path, cause: &dyn std::fmt::Display) -> Failure {
    Failure::At {
        path: quoted(path.as_os_str().as_bytes()).into_owned(),
        cause: cause.to_string(),
    }
}

struct Packer<'a> {
    fs: &'a Filesystem<Volume>,
    /// The image itself, which may lie inside what is packed.
    own: (u64, u64),
    /// Files with several names, by device and number.
    links: HashMap<(u64, u64), InodeId>,
    files: u64,
    failed: usize,
}

/// A directory whose names are still to be packed, the next one last.
struct Level {
    path: PathBuf,
    id: InodeId,
    times: SetAttrs,
    names: Vec<OsString>,
}

impl Packer<'_> {
    /// Packs all below `dir`. An error here ends it; what concerns one file is told and counted.
    fn tree(&mut self, dir: &Path, meta: &Metadata) -> Result<(), fs_core::Error> {
        let root = self.fs.root();
        let mut levels = vec![self.level(dir.to_owned(), root, meta)];
        self.xattrs(dir, root)?;
        while let Some(level) = levels.last_mut() {
            let Some(name) = level.names.pop() else {
                // Only now, as adding names has changed them.
                self.fs.set_attrs(level.id, &level.times)?;
                levels.pop();
                continue;
            };
            let path = level.path.join(&name);
            let parent = level.id;
            let meta = match fs::symlink_metadata(&path) {
                Ok(meta) => meta,
                Err(error) => {
                    self.skip(&path, &error);
                    continue;
                }
            };
            if let Some(id) = self.entry(parent, &name, &path, &meta)?
                && meta.is_dir()
            {
                levels.push(self.level(path, id, &meta));
            }
            self.fs.commit_if_due()?;
        }
        Ok(())
    }

    fn level(&mut self, path: PathBuf, id: InodeId, meta: &Metadata) -> Level {
        let mut names = Vec::new();
        match fs::read_dir(&path) {
            Ok(entries) => {
                for entry in entries {
                    match entry {
                        Ok(entry) => names.push(entry.file_name()),
                        Err(error) => self.skip(&path, &error),
                    }
                }
            }
            Err(error) => self.skip(&path, &error),
        }
        names.sort_by(|a, b| b.as_bytes().cmp(a.as_bytes()));
        let new = inode(FileType::Directory, meta, Bytes::new());
        let times = SetAttrs {
            mode: Some(new.mode),
            uid: Some(new.uid),
            gid: Some(new.gid),
            atime: Some(new.atime),
            mtime: Some(new.mtime),
            ctime: Some(new.ctime),
            otime: None,
        };
        Level {
            path,
            id,
            times,
            names,
        }
    }

    /// Packs one name; the inode that was made, if there is one.
    fn entry(
        &mut self,
        parent: InodeId,
        name: &OsString,
        path: &Path,
        meta: &Metadata,
    ) -> Result<Option<InodeId>, fs_core::Error> {
        let place = (meta.dev(), meta.ino());
        if place == self.own {
            return Ok(None);
        }
        let name = name.as_bytes();
        if !meta.is_dir()
            && let Some(id) = self.links.get(&place)
        {
            let linked = self.fs.link(*id, parent, name);
            self.told(path, linked)?;
            return Ok(None);
        }
        let kind = meta.file_type();
        let file_type = match () {
            () if kind.is_file() => FileType::Regular,
            () if kind.is_dir() => FileType::Directory,
            () if kind.is_symlink() => FileType::Symlink,
            () if kind.is_fifo() => FileType::Fifo,
            () if kind.is_socket() => FileType::Socket,
            () if kind.is_char_device() => FileType::CharDevice,
            () => FileType::BlockDevice,
        };
        let target = match file_type {
            FileType::Symlink => match fs::read_link(path) {
                Ok(target) => Bytes::copy_from_slice(target.as_os_str().as_bytes()),
                Err(error) => {
                    self.skip(path, &error);
                    return Ok(None);
                }
            },
            _ => Bytes::new(),
        };
        // What cannot be read is left out altogether.
        let content = match file_type {
            FileType::Regular => match File::open(path) {
                Ok(file) => Some(file),
                Err(error) => {
                    self.skip(path, &error);
                    return Ok(None);
                }
            },
            _ => None,
        };
        let made = self
            .fs
            .create(parent, name, &inode(file_type, meta, target));
        let Some(id) = self.told(path, made)? else {
            return Ok(None);
        };
        self.files += 1;
        if meta.nlink() > 1 && !meta.is_dir() {
            self.links.insert(place, id);
        }
        self.xattrs(path, id)?;
        if let Some(content) = content {
            self.content(id, path, content, meta.len())?;
        }
        Ok(Some(id))
    }

    fn content(
        &mut self,
        id: InodeId,
        path: &Path,
        mut from: File,
        len: u64,
    ) -> Result<(), fs_core::Error> {
        let file = self.fs.open(id)?;
        let mut offset = 0;
        let mut source = |window: &mut [u8]| from.read(window);
        while offset < len {
            let want = (len - offset).min(AT_ONCE);
            match file.write_from(offset, want, &mut source) {
                Ok(got) => {
                    offset += got;
                    if got < want {
                        break;
                    }
                }
                Err(fs_core::Error::Source(error)) => {
                    self.skip(path, &error);
                    return file.finish();
                }
                Err(error) => return Err(error),
            }
        }
        if offset < len {
            self.skip(path, &format!("shrank to {offset} bytes while it was read"));
        }
        file.finish()
    }

    fn xattrs(&mut self, path: &Path, id: InodeId) -> Result<(), fs_core::Error> {
        let mut names = vec![0; 64 << 10];
        let len = match rustix::fs::llistxattr(path, &mut names) {
            Ok(len) => len,
            Err(rustix::io::Errno::OPNOTSUPP) => return Ok(()),
            Err(error) => {
                self.skip(path, &error);
                return Ok(());
            }
        };
        let names = names[..len].split(|byte| *byte == 0);
        for name in names.filter(|name| !name.is_empty()) {
            let mut value = vec![0; 64 << 10];
            match rustix::fs::lgetxattr(path, name, &mut value) {
                Ok(len) => {
                    let set = self.fs.set_xattr(id, name, &value[..len]);
                    self.told(path, set)?;
                }
                Err(error) => self.skip(path, &error),
            }
        }
        Ok(())
    }

    /// What concerns one file only is told; the rest ends the packing.
    fn told<T>(
        &mut self,
        path: &Path,
        result: Result<T, fs_core::Error>,
    ) -> Result<Option<T>, fs_core::Error> {
        use fs_core::ErrorKind::{Exists, Invalid, TooLarge, TooManyLinks};
        match result {
            Ok(value) => Ok(Some(value)),
            Err(error) if matches!(error.kind(), Exists | Invalid | TooLarge | TooManyLinks) => {
                self.skip(path, &error);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn skip(&mut self, path: &Path, why: &dyn std::fmt::Display) {
        eprintln!("ubtrfs: {}", at(path, why));
        self.failed += 1;
    }
}

fn inode(file_type: FileType, meta: &Metadata, symlink_target: Bytes) -> NewInode {
    let time = |secs: i64, nanos: i64| Timestamp {
        secs,
        nanos: u32::try_from(nanos).unwrap_or(0),
    };
    NewInode {
        file_type,
        mode: meta.mode() & 0o7777,
        uid: meta.uid(),
        gid: meta.gid(),
        rdev: (
            rustix::fs::major(meta.rdev()),
            rustix::fs::minor(meta.rdev()),
        ),
        atime: time(meta.atime(), meta.atime_nsec()),
        mtime: time(meta.mtime(), meta.mtime_nsec()),
        ctime: time(meta.ctime(), meta.ctime_nsec()),
        otime: time(meta.ctime(), meta.ctime_nsec()),
        symlink_target,
    }
}
