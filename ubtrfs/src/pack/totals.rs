//! How much there is to do, for the progress bar.

use std::os::fd::{AsFd, OwnedFd};

use indicatif::ProgressBar;
use rustix::fs::{AtFlags, Mode, OFlags, fstat, openat, statat};

use crate::report::bar_style;
use crate::source::{Kind, Walk};
use crate::sync::{Arc, AtomicBool, Ordering, thread};

/// Counts in the background until it is dropped.
pub(super) struct Counting {
    stop: Arc<AtomicBool>,
}

impl Drop for Counting {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// Starts adding up the bytes below `dir`, and gives `bar` its length once all are counted.
pub(super) fn count(dir: &OwnedFd, bar: ProgressBar) -> Option<Counting> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let dir = openat(dir, c".", flags, Mode::empty()).ok()?;
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    thread::Builder::new()
        .name("counting".into())
        .spawn(move || {
            if let Some(bytes) = bytes_below(dir, &stopped) {
                bar.set_style(bar_style(true));
                bar.set_length(bytes);
            }
        })
        .ok()?;
    Some(Counting { stop })
}

fn bytes_below(dir: OwnedFd, stopped: &AtomicBool) -> Option<u64> {
    let mut bytes = 0u64;
    let mut walk = Walk::default();
    let stat = fstat(&dir).ok()?;
    walk.enter(dir, (stat.st_dev, stat.st_ino), ()).ok()?;
    while walk.depth() > 0 {
        if stopped.load(Ordering::Relaxed) {
            return None;
        }
        if !walk.advance() {
            walk.leave();
            continue;
        }
        let (dir, name, kind, ()) = walk.current()?;
        match kind {
            Kind::Other => {}
            Kind::Regular => {
                if let Ok(stat) = statat(dir.as_fd(), name, AtFlags::SYMLINK_NOFOLLOW) {
                    let allocated = (stat.st_blocks as u64).saturating_mul(512);
                    bytes = bytes.saturating_add(allocated.min(stat.st_size as u64));
                }
            }
            Kind::Directory => {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                if let Ok(fd) = openat(dir, name, flags, Mode::empty())
                    && let Ok(stat) = fstat(&fd)
                {
                    let _ = walk.enter(fd, (stat.st_dev, stat.st_ino), ());
                }
            }
        }
    }
    Some(bytes)
}
