//! A device that is a file or a block device.

use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice};
use std::os::unix::fs::{FileExt, FileTypeExt};
use std::path::Path;

use crate::device::{BlockDevice, in_use};
use crate::error::{Error, Result};

/// Most buffers that one system call takes on Linux.
const IOV_MAX: usize = 1024;

/// What a [`FileDevice`] is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Reading; anybody else may read and write it, too.
    Read,
    /// Reading and writing; refused where somebody else uses it.
    ReadWrite,
}

/// A file or a block device.
#[derive(Debug)]
pub struct FileDevice {
    file: File,
}

impl FileDevice {
    /// Opens what is at `path`. For [`Access::ReadWrite`] it also locks the file against other
    /// users of this crate, until the device is dropped.
    ///
    /// # Errors
    /// [`Error::Open`], and [`Error::InUse`] if it is to be written and somebody uses it.
    pub fn open(path: impl AsRef<Path>, access: Access) -> Result<Self> {
        let path = path.as_ref();
        let failed = |source| Error::Open {
            path: path.to_owned(),
            source,
        };
        let file = OpenOptions::new()
            .read(true)
            .write(access == Access::ReadWrite)
            .open(path)
            .map_err(failed)?;
        let file_type = file.metadata().map_err(failed)?.file_type();
        if !file_type.is_file() && !file_type.is_block_device() {
            let what = if file_type.is_dir() {
                "is a directory"
            } else {
                "neither a file nor a block device"
            };
            return Err(failed(io::Error::new(io::ErrorKind::InvalidInput, what)));
        }
        if access == Access::ReadWrite {
            if let Some(by) = in_use(path).map_err(failed)? {
                return Err(Error::InUse {
                    path: path.to_owned(),
                    by,
                });
            }
            Self::lock(&file, path)?;
        }
        Ok(Self { file })
    }

    /// A device of an open file, which the caller has checked and locked.
    #[must_use]
    pub fn from_file(file: File) -> Self {
        Self { file }
    }

    fn lock(file: &File, path: &Path) -> Result<()> {
        use rustix::fs::{FlockOperation, flock};
        use rustix::io::Errno;
        match flock(file, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => Err(Error::InUse {
                path: path.to_owned(),
                by: "another process has locked it".into(),
            }),
            // Not every filesystem has locks; the check for other users was made already.
            _ => Ok(()),
        }
    }

    /// The file.
    #[must_use]
    pub fn file(&self) -> &File {
        &self.file
    }
}

impl BlockDevice for FileDevice {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(buf, offset).map_err(|error| {
            if error.kind() == io::ErrorKind::UnexpectedEof {
                return io::Error::new(error.kind(), "behind the end of the file");
            }
            error
        })
    }

    fn write_vectored_at(&self, offset: u64, bufs: &[IoSlice<'_>]) -> io::Result<()> {
        let mut at = offset;
        let mut bufs: &[IoSlice<'_>] = bufs;
        // Bytes of the first buffer that a short write has taken.
        let mut taken = 0;
        while let Some(first) = bufs.first() {
            if taken == first.len() {
                bufs = &bufs[1..];
                taken = 0;
                continue;
            }
            if taken > 0 {
                self.file.write_all_at(&first[taken..], at)?;
                at += (first.len() - taken) as u64;
                taken = first.len();
                continue;
            }
            let batch = &bufs[..bufs.len().min(IOV_MAX)];
            let mut written = match rustix::io::pwritev(&self.file, batch, at) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => written,
                Err(rustix::io::Errno::INTR) => continue,
                Err(errno) => return Err(errno.into()),
            };
            at += written as u64;
            while let Some(first) = bufs.first()
                && first.len() <= written
            {
                written -= first.len();
                bufs = &bufs[1..];
            }
            taken = written;
        }
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn size(&self) -> io::Result<u64> {
        let metadata = self.file.metadata()?;
        if metadata.file_type().is_block_device() {
            // A block device has no length of its own but an end. The file position is used by
            // nothing else here.
            return Ok(rustix::fs::seek(&self.file, rustix::fs::SeekFrom::End(0))?);
        }
        Ok(metadata.len())
    }

    fn set_size(&self, size: u64) -> io::Result<()> {
        self.file.set_len(size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_of_buffers_go_out_whole_and_in_order() {
        let file = tempfile::tempfile().unwrap();
        let device = FileDevice::from_file(file);
        let bytes: Vec<u8> = (0..9000u32).map(|i| i as u8).collect();
        let bufs: Vec<_> = bytes.chunks(3).map(IoSlice::new).collect();
        device.write_vectored_at(4096, &bufs).unwrap();
        device
            .write_vectored_at(0, &[IoSlice::new(&[]), IoSlice::new(b"x")])
            .unwrap();
        let mut back = vec![0; bytes.len()];
        device.read_at(4096, &mut back).unwrap();
        assert_eq!(back, bytes);
        assert_eq!(device.size().unwrap(), 4096 + 9000);
        device.set_size(5000).unwrap();
        assert!(device.read_at(4096, &mut back).is_err());
        device.flush().unwrap();
    }

    #[test]
    fn a_second_writer_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let first = FileDevice::open(file.path(), Access::ReadWrite).unwrap();
        assert!(matches!(
            FileDevice::open(file.path(), Access::ReadWrite),
            Err(Error::InUse { .. })
        ));
        FileDevice::open(file.path(), Access::Read).unwrap();
        drop(first);
        FileDevice::open(file.path(), Access::ReadWrite).unwrap();
    }
}
