//! Races that were found by looking for them, each a test named after what went wrong, with one of the
//! two held up in a call of the volume.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::sync::Arc;

use fs_core::{FileType, Filesystem, InodeId, MemoryVolume, Policy};
use support::gate::*;
use support::hooked::{Call, Hooked};
use support::*;

/// A filesystem that halts at the calls that `at` names, and what halts it.
fn halting(
    inner: MemoryVolume,
    at: impl Fn(&Call) -> bool + Send + Sync + 'static,
) -> (Filesystem<Hooked>, Arc<Halt>) {
    let halt = Arc::new(Halt::default());
    let passes = Arc::clone(&halt);
    let volume = Hooked::new(inner, move |call| {
        if at(&call) {
            // Others may have to wait until this is done.
            passes.pass(ms(1000));
        }
        true
    });
    let fs = Filesystem::builder(volume).threads(2);
    (fs.policy(Policy::Always(ZSTD)).build().unwrap(), halt)
}

fn make(fs: &Filesystem<Hooked>, name: &[u8], file_type: FileType) -> InodeId {
    fs.create(fs.root(), name, &inode(file_type)).unwrap()
}

/// Two set a policy at once, and what the volume had of the second was in memory that of the first.
/// Guard: the table of inodes is locked in `Filesystem::set_policy`.
#[test]
fn a_policy_in_memory_was_not_that_of_the_volume() {
    within(20, || {
        let (fs, halt) = halting(MemoryVolume::new(u64::MAX), |call| {
            matches!(call, Call::SetPolicy)
        });
        let id = make(&fs, b"a", FileType::Regular);
        let f = fs.open(id).unwrap();
        halt.set();
        let first = {
            let fs = fs.clone();
            std::thread::spawn(move || fs.set_policy(id, Some(Policy::Always(ZSTD))).unwrap())
        };
        halt.wait_held();
        fs.set_policy(id, Some(Policy::Never)).unwrap();
        halt.let_go();
        first.join().unwrap();
        assert_eq!(fs.policy(id).unwrap(), Some(Policy::Never));
        f.write(0, &text(100_000)).unwrap();
        f.fsync().unwrap();
        assert_eq!(fs.stats().pieces_compressed, 0);
    });
}
