//! What went wrong once, each as a test.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::io;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use pagecache::{Cache, Error, FOLIO_SIZE, Mapping, MissingPages, PAGE_SIZE, Stale, WritebackEnd};

/// A source put some bytes into a page that must be read first, then failed: the writer was told
/// that the source had ended, and took the file for whole. Guarded by `Taken::Failed` beside
/// `Error::MissingTail` in `Mapping::write_with`.
#[test]
fn a_source_that_fails_in_an_old_page_seems_to_end() {
    let cache = Cache::new(1 << 20);
    let file = Mapping::with_size(&cache, 4 * PAGE_SIZE);
    let mut answers = vec![
        Err(io::Error::from(io::ErrorKind::TimedOut)),
        Ok(PAGE_SIZE as usize + 100),
    ];
    let error = file
        .write_with(0, 2 * PAGE_SIZE, |window| {
            window.fill(7);
            answers.pop().unwrap()
        })
        .unwrap_err();
    match error {
        Error::Source { written, source } => {
            assert_eq!(written, PAGE_SIZE);
            assert_eq!(source.kind(), io::ErrorKind::TimedOut);
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(file.dirty_bytes(), PAGE_SIZE);
    file.check_invariants();
}

/// Who gives a write up because its source failed leaves nothing that reclaim may not have. Guarded
/// by the removal from `Tally::wanted` for both ends of a source in `Mapping::write_with`.
#[test]
fn a_failed_source_pins_the_page_that_was_filled_for_it() {
    let cache = Cache::new(1 << 20);
    let file = Mapping::with_size(&cache, 2 * PAGE_SIZE);
    let fail = |_: &mut [u8]| Err(io::Error::from(io::ErrorKind::TimedOut));
    let error = file.write_with(0, 100, fail).unwrap_err();
    assert!(matches!(error, Error::MissingPages(_)), "{error:?}");
    file.fill(0, &[1; 4096]);
    let error = file.write_with(0, 100, fail).unwrap_err();
    assert!(matches!(error, Error::Source { written: 0, .. }));
    assert_eq!(cache.reclaim(u64::MAX), PAGE_SIZE);
}

/// The same where one of the pages could not be read. Guarded by `Mapping::give_up_write`.
#[test]
fn a_failed_fill_pins_the_pages_that_were_filled_before() {
    let cache = Cache::new(1 << 20);
    let file = Mapping::with_size(&cache, 2 * FOLIO_SIZE);
    let range = 100..FOLIO_SIZE + 100;
    let missing = file.write(100, &vec![1; FOLIO_SIZE as usize]).unwrap_err();
    file.fill(missing.ranges[0].start, &[1; 4096]);
    assert_eq!(cache.reclaim(u64::MAX), 0, "it stays for the write");
    file.give_up_write(range);
    assert_eq!(cache.reclaim(u64::MAX), PAGE_SIZE);
}

/// A buffer of one cache became a folio of another: the one could neither evict it nor count on its
/// memory, the other evicted it and got nothing. Guarded by `Buffer::is_of` in `Inner::insert`.
#[test]
fn memory_of_another_cache_is_inserted() {
    let [mine, other] = [1 << 20, 1 << 20].map(Cache::new);
    let file = Mapping::with_size(&mine, PAGE_SIZE);
    let mut buffer = other.buffer(4096);
    buffer.fill(7);
    assert_eq!(file.insert(0, buffer), PAGE_SIZE);
    assert_eq!(file.read_bytes(0..PAGE_SIZE).unwrap(), [7; 4096][..]);
    assert_eq!((mine.stats().resident, other.stats().resident), (4096, 0));
    assert_eq!(mine.reclaim(4096) + mine.reclaim(4096), 4096);
    assert_eq!(mine.stats().resident, 0);
}

/// Who waited for writeback of a page waited on as long as somebody else wrote that page again and
/// again: each time it looked, the page was under writeback anew. Guarded by `Waiting::left`, from
/// which `Mapping::end_writeback` takes what has ended.
#[test]
fn a_busy_writer_holds_up_who_waits_for_writeback() {
    let cache = Cache::new(1 << 20);
    let file = Mapping::new(&cache);
    let page = 0..PAGE_SIZE;
    let write_back = || {
        file.write(0, b"again").unwrap();
        file.claim(page.clone()).expect("it is dirty")
    };
    let mut snapshot = write_back();
    let (ended, end) = mpsc::channel();
    thread::scope(|scope| {
        let waiter = scope.spawn(|| {
            file.wait_writeback(0..u64::MAX);
            ended.send(()).unwrap();
        });
        // Until it sleeps.
        thread::sleep(Duration::from_millis(50));
        file.end_writeback(snapshot.range(), WritebackEnd::Done);
        snapshot = write_back();
        let waited = end.recv_timeout(Duration::from_secs(5));
        file.end_writeback(snapshot.range(), WritebackEnd::Done);
        waiter.join().unwrap();
        assert_eq!(waited, Ok(()));
    });
}

/// The other way round: it does not return before each page's writeback has ended once.
#[test]
fn a_wait_for_writeback_ends_with_the_last_page() {
    let cache = Cache::new(1 << 20);
    let file = Mapping::new(&cache);
    file.write(0, &vec![1; 2 * FOLIO_SIZE as usize]).unwrap();
    let pages = [0, PAGE_SIZE, FOLIO_SIZE].map(|at| at..at + PAGE_SIZE);
    for page in &pages {
        drop(file.claim(page.clone()).unwrap());
    }
    let (ended, end) = mpsc::channel();
    thread::scope(|scope| {
        for page in [0..u64::MAX, PAGE_SIZE..PAGE_SIZE + 1] {
            let (ended, file) = (ended.clone(), &file);
            scope.spawn(move || {
                file.wait_writeback(page.clone());
                ended.send(page.start).unwrap();
            });
        }
        for (page, done) in pages.iter().zip([None, Some(PAGE_SIZE), Some(0)]) {
            let early = end.recv_timeout(Duration::from_millis(30));
            assert_eq!(early, Err(mpsc::RecvTimeoutError::Timeout));
            file.end_writeback(page.clone(), WritebackEnd::Done);
            if let Some(start) = done {
                assert_eq!(end.recv(), Ok(start));
            }
        }
    });
}

/// Offsets near the end of the address space overflowed: a panic, or misses counted by the exabyte.
/// Guarded by the saturating arithmetic of `pages`, and of `Mapping::read` and `Inner::fill`.
#[test]
fn the_end_of_the_address_space_overflows() {
    let cache = Cache::new(1 << 20);
    let file = Mapping::with_size(&cache, u64::MAX);
    let last = u64::MAX - (PAGE_SIZE - 1);
    let mut bytes = [0; 8192];
    for offset in [last, last + 1, u64::MAX - 1, u64::MAX] {
        assert_eq!(file.read(offset, &mut bytes), 0);
        assert!(file.pin(offset..u64::MAX).is_none());
    }
    assert!(cache.stats().misses < 20, "{:?}", cache.stats());
    assert_eq!(file.fill(last, &[7; 4096]), PAGE_SIZE);
    assert_eq!(file.fill(last - PAGE_SIZE, &[6; 8192]), PAGE_SIZE);
    assert_eq!(file.read(last - 1, &mut bytes), 4096);
    assert_eq!((bytes[0], bytes[1], bytes[4095]), (6, 7, 7));
    assert_eq!(*file.pin(last..u64::MAX).unwrap(), [7; 4095]);
    let lookup = file.lookup(last - 2 * PAGE_SIZE..u64::MAX);
    let missing = last - 2 * PAGE_SIZE..last - PAGE_SIZE;
    assert_eq!(lookup.missing, [missing]);
    assert_eq!(file.missing(last..u64::MAX).ranges, []);
    assert_eq!(file.invalidate(0..u64::MAX), 2 * PAGE_SIZE);
    let mut buffer = cache.buffer(4096);
    buffer.fill(5);
    assert_eq!(file.insert(last, buffer), PAGE_SIZE);
    file.truncate(u64::MAX - 10);
    assert_eq!(*file.pin(u64::MAX - 12..u64::MAX - 9).unwrap(), [5, 5, 0]);
    file.check_invariants();
    assert!(file.write(100, b"x").is_err());
}

/// A page of which a write keeps a part was evicted while the source ran, or before its folio's turn
/// came: the writer was told that the source had ended, and stopped before its end. Guarded by
/// `Inner::hold_old`, which `Mapping::write_with` asks before each window.
#[test]
fn a_source_seems_to_end_where_reclaim_was_quick() {
    let cache = Cache::new(1 << 20);
    let end = 2 * FOLIO_SIZE;
    let file = Mapping::with_size(&cache, end);
    let all = |window: &mut [u8], squeeze: bool| {
        if squeeze {
            // Twice: what was referenced has a second chance.
            let _ = cache.reclaim(u64::MAX) + cache.reclaim(u64::MAX);
        }
        window.fill(7);
        Ok(window.len())
    };
    // The head: it is there when the source runs, and stays.
    file.fill(0, &[1; 4096]);
    let wrote = file.write_with(100, FOLIO_SIZE, |window| all(window, true));
    let tail_at = FOLIO_SIZE..FOLIO_SIZE + PAGE_SIZE;
    match wrote {
        // The tail is another folio's.
        Err(Error::MissingPages(missing)) => {
            assert_eq!(missing.ranges[..], *std::slice::from_ref(&tail_at))
        }
        other => panic!("{other:?}"),
    }
    file.fill(tail_at.start, &[2; 4096]);
    // It waits for this write, and then for no other.
    let mut calls = 0;
    let wrote = file.write_with(100, FOLIO_SIZE, |window| {
        calls += 1;
        all(window, true)
    });
    assert_eq!((wrote.unwrap(), calls), (FOLIO_SIZE, 2));
    let mut bytes = [0; 200];
    assert_eq!(file.read(0, &mut bytes), 200);
    assert_eq!((bytes[99], bytes[100]), (1, 7));
    assert_eq!(file.read(FOLIO_SIZE, &mut bytes), 200);
    assert_eq!((bytes[99], bytes[100]), (7, 2));
    // Cached when the write begins, evicted before its turn comes: nothing is taken for it.
    let file = Mapping::with_size(&cache, end);
    file.fill(0, &[1; 4096]);
    file.fill(tail_at.start, &[2; 4096]);
    let mut calls = 0;
    let error = file.write_with(100, FOLIO_SIZE, |window| {
        calls += 1;
        all(window, true)
    });
    match error {
        Err(Error::MissingPages(missing)) => {
            let tail = MissingPages {
                written: FOLIO_SIZE - 100,
                ranges: vec![tail_at],
            };
            assert_eq!((missing, calls), (tail, 1));
        }
        other => panic!("{other:?}"),
    }
    file.check_invariants();
}

/// While something slow was fetched, a writer elsewhere in the file went through more than 32 folios
/// that were written back and evicted: what was fetched counted as old, and a reader beside such a
/// writer, whatever it read, gave up in the end. Guarded by `Changes::fold`.
#[test]
fn a_writer_elsewhere_makes_all_that_is_fetched_stale() {
    let cache = Cache::new(4 * FOLIO_SIZE);
    let file = Mapping::with_size(&cache, 1 << 30);
    let epoch = file.epoch();
    let folios = 100..600;
    for at in folios.clone().map(|folio| folio * FOLIO_SIZE) {
        file.write(at, &[1; FOLIO_SIZE as usize]).unwrap();
        let snapshot = file.claim(at..at + FOLIO_SIZE).unwrap();
        file.end_writeback(snapshot.range(), WritebackEnd::Done);
    }
    let _ = cache.reclaim(u64::MAX) + cache.reclaim(u64::MAX);
    for at in [0, 99 * FOLIO_SIZE / 2, 900 * FOLIO_SIZE].map(|at| at / PAGE_SIZE * PAGE_SIZE) {
        assert_eq!(
            file.fill_as_of(epoch, at, &[2; 4096]),
            Ok(PAGE_SIZE),
            "{at}"
        );
    }
    for at in folios.map(|folio| folio * FOLIO_SIZE) {
        assert_eq!(file.fill_as_of(epoch, at, &[2; 4096]), Err(Stale), "{at}");
    }
    // Whatever reaches to the end is everywhere behind its start.
    let epoch = file.epoch();
    file.truncate(900 * FOLIO_SIZE + 1);
    file.extend(1 << 30);
    for _ in 0..40 {
        let _ = file.invalidate(0..PAGE_SIZE);
    }
    for at in [900, 901, 5000, 8191].map(|folio| folio * FOLIO_SIZE) {
        assert_eq!(file.fill_as_of(epoch, at, &[2; 4096]), Err(Stale), "{at}");
    }
    let elsewhere = 600 * FOLIO_SIZE;
    assert_eq!(
        file.fill_as_of(file.epoch(), elsewhere, &[2; 4096]),
        Ok(PAGE_SIZE)
    );
    file.check_invariants();
}
