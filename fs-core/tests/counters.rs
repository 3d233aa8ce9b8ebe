//! What the counters say, to the page.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::sync::mpsc;

use fs_core::{File, Filesystem, MemoryVolume, Policy, SetAttrs, Stats};
use support::gate::{eventually, within};
use support::*;

/// A file on the device of which nothing is cached, and that nobody has read.
fn cold(policy: Policy, data: &[u8]) -> (Filesystem<MemoryVolume>, File<MemoryVolume>) {
    let fs = builder(MemoryVolume::new(u64::MAX))
        .policy(policy)
        .build()
        .unwrap();
    let id = new_file(&fs, "a");
    let file = fs.open(id).unwrap();
    file.write(0, data).unwrap();
    file.fsync().unwrap();
    fs.drop_caches();
    let file = fs.open(id).unwrap();
    (fs, file)
}

/// Pages filled ahead, hits among them, and waste.
fn ahead(fs: &Filesystem<MemoryVolume>) -> [u64; 3] {
    let Stats {
        readahead_pages,
        readahead_hits,
        readahead_wasted,
        ..
    } = fs.stats();
    [readahead_pages, readahead_hits, readahead_wasted]
}

fn read_page(file: &File<MemoryVolume>, page: u64) {
    assert_eq!(file.read(page * 4096, &mut [0; 4096]).unwrap(), 4096);
}

/// Guards: `Ahead::read` forgets a page that was read, and looking for what is missing is no read.
#[test]
fn a_sequential_reader_hits_each_page_once() {
    within(60, || {
        let (fs, file) = cold(Policy::Never, &noise(1 << 20, 1));
        for page in 0..256 {
            read_page(&file, page);
        }
        assert_eq!(ahead(&fs), [255, 255, 0], "the first was asked for");
        for page in 0..256 {
            read_page(&file, page);
        }
        assert_eq!(ahead(&fs), [255, 255, 0], "and read again");
        fs.drop_caches();
        assert_eq!(ahead(&fs), [255, 255, 0], "and evicted");
        drop(file);
        fs.unmount().unwrap();
    });
}

/// Guard: `evict` counts what it drops unread.
#[test]
fn a_reader_who_jumps_away_leaves_waste_behind() {
    within(60, || {
        let (fs, file) = cold(Policy::Never, &noise(4 << 20, 1));
        read_page(&file, 0);
        eventually(|| ahead(&fs) == [31, 0, 0]);
        read_page(&file, 700);
        read_page(&file, 1);
        assert_eq!(ahead(&fs), [31, 1, 0]);
        fs.drop_caches();
        assert_eq!(ahead(&fs), [31, 1, 30]);
        drop(file);
        fs.unmount().unwrap();
    });
}

/// Guard: `asked_until` in `ReadPath::attempt`, since a long read is filled folio by folio.
#[test]
fn what_one_read_asks_for_is_not_ahead_of_it() {
    within(60, || {
        let (fs, file) = cold(Policy::Never, &noise(1 << 20, 1));
        let all = file.read_bytes(0, u64::MAX).unwrap().concat();
        assert!(all == noise(1 << 20, 1));
        assert_eq!(ahead(&fs), [0, 0, 0]);
        drop(file);
        fs.unmount().unwrap();
    });
}

/// A page of a compressed extent brings its neighbours along. Guards: `Ahead::replace` in
/// `Folio::mark_written` and `Folio::discard`.
#[test]
fn writers_use_or_waste_what_came_along() {
    within(60, || {
        let (fs, file) = cold(Policy::Always(ZSTD), &text(256 << 10));
        read_page(&file, 40);
        assert_eq!(ahead(&fs), [31, 0, 0]);
        read_page(&file, 41);
        assert_eq!(ahead(&fs), [31, 1, 0]);
        file.write(42 * 4096, &noise(4096, 1)).unwrap();
        assert_eq!(ahead(&fs), [31, 1, 1], "all of a page is overwritten");
        file.write(43 * 4096 + 5, b"part").unwrap();
        assert_eq!(ahead(&fs), [31, 2, 1], "a part of one");
        file.write(42 * 4096, &noise(8192, 2)).unwrap();
        assert_eq!(ahead(&fs), [31, 2, 1], "both again");
        file.set_size(60 * 4096).unwrap();
        assert_eq!(ahead(&fs), [31, 2, 5], "four are cut off");
        drop(file);
        fs.sync().unwrap();
        fs.drop_caches();
        assert_eq!(ahead(&fs), [31, 2, 29]);
        fs.unmount().unwrap();
    });
}

/// Guard: the failed `try_lock` in `Inode::lock`.
#[test]
fn a_writer_who_waits_for_another_is_counted() {
    within(60, || {
        let fs = filesystem(MemoryVolume::new(u64::MAX));
        let id = new_file(&fs, "a");
        let (a, b) = (fs.open(id).unwrap(), fs.open(id).unwrap());
        a.set_size(1 << 20).unwrap();
        assert_eq!(fs.stats().lock_waits, 0);
        let (inside, wait_inside) = mpsc::channel();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                a.write_from(0, 4096, &mut |window| {
                    inside.send(()).unwrap();
                    // Lets go once the other one waits.
                    eventually(|| fs.stats().lock_waits == 1);
                    window.fill(1);
                    Ok(window.len())
                })
                .unwrap();
            });
            wait_inside.recv().unwrap();
            b.write(500_000, b"elsewhere").unwrap();
            assert_eq!(fs.stats().lock_waits, 0);
            b.write(0, &[2; 4096]).unwrap();
        });
        assert_eq!(fs.stats().lock_waits, 1);
        assert_eq!(content(&fs, id)[..4096], [2; 4096]);
        drop((a, b));
        fs.unmount().unwrap();
    });
}

/// Who changed nothing but attributes never came to a commit, and the volume kept all of it in memory.
/// Guard: `will_change` in `Filesystem::set_attrs` and `Filesystem::set_policy`.
#[test]
fn attributes_and_policies_alone_were_never_committed() {
    let fs = builder(MemoryVolume::new(u64::MAX)).build().unwrap();
    let id = new_file(&fs, "a");
    fs.sync().unwrap();
    let file = fs.open(id).unwrap();
    let changes: [&dyn Fn(); 4] = [
        &|| fs.set_attrs(id, &SetAttrs::default()).unwrap(),
        &|| fs.set_policy(id, Some(Policy::Never)).unwrap(),
        &|| file.set_size(1 << 20).unwrap(),
        &|| file.punch_hole(4096..8192).unwrap(),
    ];
    for change in changes {
        let before = fs.stats().commits;
        let calls = (1..1_000_000).find(|_| {
            change();
            fs.commit_if_due().unwrap();
            fs.stats().commits > before
        });
        assert!(calls.is_some_and(|calls| calls > 10_000), "{calls:?}");
    }
}
