//! Extended attributes of what is read.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::buffer::Buffer;
use rustix::fs::{fgetxattr, flistxattr, lgetxattr, llistxattr};
use rustix::io::Errno;

/// Linux allows no more, for the list as for a value.
const MAX: usize = 64 << 10;
/// Enough for most. The kernel allocates as much as it is offered, each time.
const FEW: usize = 512;

/// Reads extended attributes into buffers that it keeps.
#[derive(Debug)]
pub struct Xattrs {
    list: Vec<u8>,
    value: Vec<u8>,
}

/// Whose they are.
#[derive(Debug, Clone, Copy)]
enum Of<'a> {
    Open(BorrowedFd<'a>),
    Path(&'a CStr),
}

impl Default for Xattrs {
    fn default() -> Self {
        Self {
            list: vec![0; MAX],
            value: vec![0; MAX],
        }
    }
}

impl Xattrs {
    /// Tells `each` name and value of an open file, by name.
    ///
    /// # Errors
    ///
    /// The list cannot be read. Errors of single values go to `each`.
    pub fn of_open(
        &mut self,
        file: BorrowedFd<'_>,
        each: impl FnMut(&[u8], io::Result<&[u8]>),
    ) -> io::Result<()> {
        self.of(Of::Open(file), each)
    }

    /// The same of a name in a directory, which is not followed if it is a symlink. Nothing is
    /// told where there is no `/proc`: what cannot be opened has no other access that cannot be
    /// led astray.
    ///
    /// # Errors
    ///
    /// As for [`Xattrs::of_open`].
    pub fn of_name(
        &mut self,
        dir: BorrowedFd<'_>,
        name: &CStr,
        each: impl FnMut(&[u8], io::Result<&[u8]>),
    ) -> io::Result<()> {
        let mut path = format!("/proc/self/fd/{}/", dir.as_raw_fd()).into_bytes();
        path.extend_from_slice(name.to_bytes());
        let path = CString::new(path).expect("neither part has a NUL");
        match self.of(Of::Path(&path), each) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }

    fn of(&mut self, of: Of<'_>, mut each: impl FnMut(&[u8], io::Result<&[u8]>)) -> io::Result<()> {
        let len = match in_full(&mut self.list, |buffer| list(of, buffer)) {
            Ok(0) | Err(Errno::OPNOTSUPP) => return Ok(()),
            Ok(len) => len,
            Err(errno) => return Err(errno.into()),
        };
        let mut names: Vec<&CStr> = Vec::new();
        let mut rest = &self.list[..len];
        while let Ok(name) = CStr::from_bytes_until_nul(rest) {
            rest = &rest[name.to_bytes_with_nul().len()..];
            names.push(name);
        }
        names.sort_unstable();
        for name in names {
            match in_full(&mut self.value, |buffer| value(of, name, buffer)) {
                Ok(len) => each(name.to_bytes(), Ok(&self.value[..len])),
                // It was removed meanwhile.
                Err(Errno::NODATA) => {}
                Err(errno) => each(name.to_bytes(), Err(errno.into())),
            }
        }
        Ok(())
    }
}

/// What `ask` writes into the buffer, of which it gets the whole only if a small part won't do.
fn in_full(
    buffer: &mut [u8],
    ask: impl Fn(&mut [u8]) -> rustix::io::Result<usize>,
) -> rustix::io::Result<usize> {
    match ask(&mut buffer[..FEW]) {
        Err(Errno::RANGE) => ask(buffer),
        other => other,
    }
}

fn list<B: Buffer<u8>>(of: Of<'_>, buffer: B) -> rustix::io::Result<B::Output> {
    match of {
        Of::Open(fd) => flistxattr(fd, buffer),
        Of::Path(path) => llistxattr(path, buffer),
    }
}

fn value<B: Buffer<u8>>(of: Of<'_>, name: &CStr, buffer: B) -> rustix::io::Result<B::Output> {
    match of {
        Of::Open(fd) => fgetxattr(fd, name, buffer),
        Of::Path(path) => lgetxattr(path, name, buffer),
    }
}
