//! What the crate promises, one promise a test.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::io;
use std::time::Duration;

use pagecache::{Cache, Error, FOLIO_SIZE, Mapping, PAGE_SIZE, Stale, WritebackEnd};

const P: u64 = PAGE_SIZE;

fn source(mut data: &[u8]) -> impl FnMut(&mut [u8]) -> io::Result<usize> {
    move |window| io::Read::read(&mut data, window)
}

#[test]
fn a_writer_during_writeback_leaves_the_snapshot_alone_and_the_page_dirty() {
    let cache = Cache::new(1 << 20);
    let file = Mapping::new(&cache);
    file.write(0, &[1; 9000]).unwrap();
    let snapshot = file.claim(0..3 * P).unwrap();
    file.write(5000, &[2; 10]).unwrap();
    assert_eq!(&snapshot.bytes[..9000], &[1; 9000][..]);
    assert!(snapshot.bytes[9000..].iter().all(|&byte| byte == 0));
    assert_eq!(file.dirty_ranges(0..u64::MAX), vec![P..2 * P]);
    assert!(
        file.claim(P..2 * P).is_none(),
        "claimed while under writeback"
    );
    assert!(file.claim_next(0..3 * P).is_none());
    file.end_writeback(0..3 * P, WritebackEnd::Done);
    assert_eq!(
        file.dirty_ranges(0..u64::MAX),
        vec![P..2 * P],
        "a store was lost"
    );
    let again = file.claim_next(0..3 * P).unwrap();
    assert_eq!(again.range(), P..2 * P);
    assert_eq!(again.bytes[5000 - 4096], 2);
    assert_eq!(cache.stats().cow_copies, 1);
    file.end_writeback(again.range(), WritebackEnd::Done);
    file.check_invariants();
}

#[test]
fn writing_a_range_leaves_the_next_page_dirty() {
    let cache = Cache::new(1 << 20);
    let file = Mapping::new(&cache);
    file.write(0, &vec![1; 4 * P as usize]).unwrap();
    let snapshot = file.claim(P..2 * P).unwrap();
    file.end_writeback(P..3 * P, WritebackEnd::Done);
    assert_eq!(snapshot.bytes.len() as u64, P);
    assert_eq!(file.dirty_ranges(0..4 * P), vec![0..P, 2 * P..4 * P]);
}

#[test]
fn a_failed_write_makes_the_pages_dirty_again() {
    let cache = Cache::new(1 << 20);
    let file = Mapping::new(&cache);
    file.write(0, &[1; 100]).unwrap();
    let snapshot = file.claim_next(0..P).unwrap();
    file.end_writeback(snapshot.range(), WritebackEnd::Redirty);
    assert_eq!((file.dirty_bytes(), file.writeback_bytes()), (P, 0));
}

#[test]
fn the_end_of_writeback_of_dropped_contents_changes_nothing() {
    let cache = Cache::new(1 << 20);
    let file = Mapping::new(&cache);
    file.write(0, &vec![1; 4 * P as usize]).unwrap();
    let old = file.claim(0..4 * P).unwrap();
    file.truncate(P);
    assert_eq!(file.writeback_bytes(), 4 * P, "a waiter must still see it");
    file.write(P, &vec![2; P as usize]).unwrap();
    assert!(
        file.claim(P..2 * P).is_none(),
        "an older completion would come later"
    );
    file.truncate(4 * P);
    file.fill(2 * P, &vec![3; P as usize]);
    file.end_writeback(old.range(), WritebackEnd::Redirty);
    assert_eq!(
        file.dirty_ranges(0..u64::MAX),
        vec![0..2 * P],
        "a clean fill became dirty"
    );
    assert_eq!(file.read_bytes(P..2 * P).unwrap(), vec![2; P as usize]);
    assert_eq!(file.writeback_bytes(), 0);
    file.check_invariants();
}

#[test]
fn a_file_that_shrinks_and_grows_reads_zeros() {
    let cache = Cache::new(1 << 20);
    let file = Mapping::new(&cache);
    file.write(0, &[1; 3000]).unwrap();
    let snapshot = file.claim_next(0..P).unwrap();
    file.truncate(1000);
    file.truncate(4000);
    let mut want = vec![1; 1000];
    want.resize(4000, 0);
    assert_eq!(file.read_bytes(0..4000).unwrap(), want);
    assert_eq!(snapshot.bytes[2999], 1, "the snapshot changed");
    assert_eq!(snapshot.file_size, 3000);
}

#[test]
fn write_with_takes_only_what_the_source_put() {
    let cache = Cache::new(1 << 20);
    // Memory with old contents, to be shown to nobody.
    let mut old = cache.buffer(FOLIO_SIZE as usize);
    old.fill(0xaa);
    drop(old);
    let file = Mapping::new(&cache);
    let written = file
        .write_with(100, FOLIO_SIZE - 200, source(&[1; 5000]))
        .unwrap();
    assert_eq!((written, file.size()), (5000, 5100));
    assert_eq!(file.dirty_ranges(0..u64::MAX), vec![0..2 * P]);
    let snapshot = file.claim_next(0..2 * P).unwrap();
    let mut want = vec![0; 100];
    want.resize(5100, 1);
    want.resize(8192, 0);
    assert_eq!(snapshot.bytes, want);
    let resident = cache.stats().resident;
    assert_eq!(resident, 2 * P, "a small file in a large buffer");
}

#[test]
fn write_with_keeps_what_came_before_an_error() {
    let cache = Cache::new(1 << 20);
    let file = Mapping::new(&cache);
    let mut calls = 0;
    let result = file.write_with(0, 10_000, |window| {
        calls += 1;
        match calls {
            1 => Err(io::ErrorKind::Interrupted.into()),
            2 => {
                window[..6000].fill(1);
                Ok(6000)
            }
            _ => Err(io::Error::other("broken")),
        }
    });
    assert!(
        matches!(result, Err(Error::Source { written: 6000, .. })),
        "{result:?}"
    );
    assert_eq!(file.read_bytes(0..6000).unwrap(), vec![1; 6000]);
    assert_eq!(file.size(), 6000);
}

#[test]
fn a_source_that_ends_early_in_an_old_page_loses_nothing() {
    let cache = Cache::new(1 << 20);
    let file = Mapping::with_size(&cache, 3 * P);
    let result = file.write_with(0, 3 * P, source(&[9; 5000]));
    let Err(Error::MissingTail {
        written,
        offset,
        bytes,
        missing,
    }) = result
    else {
        panic!("{result:?}");
    };
    assert_eq!((written, offset, bytes.len()), (P, P, 904));
    assert_eq!(missing.ranges, vec![P..2 * P]);
    file.fill(P, &vec![1; P as usize]);
    file.write(offset, &bytes).unwrap();
    assert_eq!(file.read_bytes(4999..5001).unwrap(), &[9, 1][..]);
    assert_eq!(file.dirty_ranges(0..3 * P), vec![0..2 * P]);
}

#[test]
fn partial_writes_name_exactly_the_pages_that_they_need() {
    let cache = Cache::new(1 << 20);
    let file = Mapping::with_size(&cache, 2 * FOLIO_SIZE + 100);
    let missing = |at: u64, len: u64| match file.write(at, &vec![1; len as usize]) {
        Ok(()) => Vec::new(),
        Err(missing) => missing.ranges,
    };
    assert_eq!(missing(10, 10), vec![0..P]);
    assert_eq!(missing(10, P), vec![0..2 * P], "head and tail, joined");
    assert_eq!(
        missing(10, FOLIO_SIZE),
        vec![0..P, FOLIO_SIZE..FOLIO_SIZE + P]
    );
    assert_eq!(file.dirty_bytes(), 0, "something was written before");
    assert_eq!(
        missing(2 * FOLIO_SIZE, 99),
        vec![2 * FOLIO_SIZE..2 * FOLIO_SIZE + P]
    );
    assert_eq!(
        missing(2 * FOLIO_SIZE, 100),
        vec![],
        "covers all that exists"
    );
    assert_eq!(missing(2 * FOLIO_SIZE + P + 7, 1), vec![], "behind the end");
    assert_eq!(missing(0, P), vec![]);
}

#[test]
fn a_fill_never_overwrites_and_never_goes_behind_the_end() {
    let cache = Cache::new(1 << 20);
    let file = Mapping::with_size(&cache, 3 * P + 5);
    file.write(P, &vec![1; P as usize]).unwrap();
    assert_eq!(file.fill(0, &vec![2; 8 * P as usize]), 3 * P);
    assert_eq!(file.read_bytes(P..2 * P).unwrap(), vec![1; P as usize]);
    let tail = file.read_bytes(3 * P..4 * P).unwrap();
    assert_eq!((tail[4], tail[5]), (2, 0));
    assert!(file.read_bytes(4 * P..5 * P).is_none());
    file.check_invariants();
}

#[test]
fn a_buffer_becomes_the_folio_without_a_copy() {
    let cache = Cache::new(1 << 20);
    let file = Mapping::with_size(&cache, FOLIO_SIZE);
    let mut buffer = cache.buffer(FOLIO_SIZE as usize);
    buffer.fill(5);
    let memory = buffer.as_ptr();
    assert_eq!(file.insert(0, buffer), FOLIO_SIZE);
    assert_eq!(file.read_bytes(0..P).unwrap().as_ptr(), memory);
    assert_eq!(cache.stats().resident, FOLIO_SIZE);
    let (mut called, mut none) = (false, cache.buffer(0));
    none.truncate(0);
    assert_eq!(file.insert(0, none), 0);
    let result = file.fill_with(0, 100, |_| {
        called = true;
        Err("broken")
    });
    assert_eq!((called, result), (true, Err("broken")));
}

#[test]
fn what_was_fetched_before_a_write_that_was_evicted_is_stale() {
    let cache = Cache::new(1 << 20);
    let file = Mapping::with_size(&cache, P);
    let epoch = file.lookup(0..P).epoch;
    let fetched = [1; P as usize];
    file.write(0, &[2; P as usize]).unwrap();
    let snapshot = file.claim(0..P).unwrap();
    file.end_writeback(0..P, WritebackEnd::Done);
    drop(snapshot);
    assert_eq!(cache.reclaim(u64::MAX), P);
    assert_eq!(file.fill_as_of(epoch, 0, &fetched), Err(Stale));
    assert!(file.read_bytes(0..P).is_none());
    let epoch = file.epoch();
    let mut buffer = cache.buffer(P as usize);
    buffer.fill(2);
    file.truncate(0);
    file.truncate(P);
    assert_eq!(file.insert_as_of(epoch, 0, buffer), Err(Stale));
    assert_eq!(file.fill_as_of(file.epoch(), 0, &fetched), Ok(P));
}

#[test]
fn what_was_fetched_before_a_write_that_was_forgotten_is_stale() {
    let cache = Cache::new(1 << 20);
    let file = Mapping::with_size(&cache, 2 * FOLIO_SIZE);
    let epoch = file.lookup(0..2 * FOLIO_SIZE).epoch;
    file.write(0, &[2; P as usize]).unwrap();
    file.forget();
    let snapshot = file.claim(0..P).unwrap();
    file.end_writeback(snapshot.range(), WritebackEnd::Done);
    assert!(file.read_bytes(0..P).is_none());
    assert_eq!(file.fill_as_of(epoch, 0, &[1; P as usize]), Err(Stale));
    // Nothing happened there.
    assert_eq!(file.fill_as_of(epoch, FOLIO_SIZE, &[1; P as usize]), Ok(P));
}

#[test]
fn a_lookup_lists_each_page_once_whatever_the_range() {
    let cache = Cache::new(1 << 20);
    let file = Mapping::with_size(&cache, 1 << 50);
    file.fill(3 * FOLIO_SIZE + P, &[1; 2 * P as usize]);
    let lookup = file.lookup(100..1 << 50);
    assert_eq!(
        lookup.missing,
        vec![0..3 * FOLIO_SIZE + P, 3 * FOLIO_SIZE + 3 * P..1 << 50]
    );
    assert_eq!(lookup.present.len(), 1);
    let start = 3 * FOLIO_SIZE + P;
    let lookup = file.lookup(start + 1..start + P + 1);
    assert_eq!(lookup.present[0].range, start + 1..start + P + 1);
    assert!(lookup.missing.is_empty());
    assert!(file.lookup(5..5).missing.is_empty());
}

#[test]
fn the_budget_holds_and_memory_is_recycled() {
    let budget = 1 << 20;
    let cache = Cache::new(budget);
    let file = Mapping::new(&cache);
    for at in (0..16 << 20).step_by(FOLIO_SIZE as usize) {
        file.write_with(at, FOLIO_SIZE, source(&vec![1; FOLIO_SIZE as usize]))
            .unwrap();
        let snapshot = file.claim_next(at..at + FOLIO_SIZE).unwrap();
        file.end_writeback(snapshot.range(), WritebackEnd::Done);
    }
    let stats = cache.stats();
    assert_eq!(stats.high_water, budget);
    assert_eq!(stats.fresh_buffers, budget / FOLIO_SIZE);
    assert_eq!(stats.evictions, 128 - budget / FOLIO_SIZE);
    assert!(!cache.over_budget());
    // The oldest went first.
    assert_eq!(file.lookup(0..16 << 20).missing, vec![0..15 << 20]);
}

#[test]
fn what_is_read_again_stays_longer() {
    let cache = Cache::new(8 * P);
    let file = Mapping::with_size(&cache, 100 * FOLIO_SIZE);
    file.fill(0, &[1; P as usize]);
    for folio in 1..50 {
        assert!(file.read_bytes(0..P).is_some(), "evicted after {folio}");
        file.fill(folio * FOLIO_SIZE, &[1; P as usize]);
    }
    assert_eq!(cache.stats().high_water, 8 * P);
}

#[test]
fn dirty_data_overruns_the_budget_until_it_is_written() {
    let cache = Cache::new(2 * FOLIO_SIZE);
    let file = Mapping::new(&cache);
    file.write(0, &vec![1; 4 * FOLIO_SIZE as usize]).unwrap();
    assert!(cache.over_budget());
    assert_eq!(cache.reclaim(u64::MAX), 0);
    let waiter = std::thread::spawn({
        let cache = cache.clone();
        move || cache.wait_for_room(FOLIO_SIZE)
    });
    for folio in 0..4 {
        assert!(!waiter.is_finished() || folio == 3);
        std::thread::sleep(Duration::from_millis(5));
        let snapshot = file.claim_next(0..4 * FOLIO_SIZE).unwrap();
        file.end_writeback(snapshot.range(), WritebackEnd::Done);
    }
    waiter.join().unwrap();
    assert!(cache.stats().resident <= FOLIO_SIZE);
    // Nothing to wait for: a request larger than the budget doesn't block.
    cache.wait_for_room(1 << 40);
}

#[test]
fn a_forgotten_file_gives_its_memory_back_when_it_is_clean() {
    let cache = Cache::new(1 << 20);
    let file = Mapping::new(&cache);
    file.write(0, &vec![1; 2 * FOLIO_SIZE as usize]).unwrap();
    let first = file.claim(0..FOLIO_SIZE).unwrap();
    file.end_writeback(first.range(), WritebackEnd::Done);
    drop(first);
    file.forget();
    assert_eq!(
        cache.stats().resident,
        FOLIO_SIZE,
        "what was clean is still here"
    );
    let second = file.claim_next(0..2 * FOLIO_SIZE).unwrap();
    file.end_writeback(second.range(), WritebackEnd::Done);
    drop(second);
    assert_eq!(cache.stats().resident, 0);
    file.check_invariants();
}

#[test]
fn a_dropped_mapping_leaves_nothing() {
    let cache = Cache::new(1 << 20);
    let file = Mapping::new(&cache);
    file.write(0, &vec![1; 3 * FOLIO_SIZE as usize]).unwrap();
    let snapshot = file.claim(0..FOLIO_SIZE).unwrap();
    let clean = Mapping::with_size(&cache, FOLIO_SIZE);
    clean.fill(0, b"x");
    assert_eq!(cache.stats().clean_folios, 1);
    drop((file, clean));
    let stats = cache.stats();
    assert_eq!(
        (stats.dirty, stats.writeback, stats.clean_folios),
        (0, 0, 0)
    );
    assert_eq!(stats.resident, FOLIO_SIZE, "the snapshot's");
    assert_eq!(snapshot.bytes[0], 1);
    drop(snapshot);
    assert_eq!(cache.stats().resident, 0);
}

#[test]
fn one_page_at_the_end_of_a_folio_costs_one_page() {
    let cache = Cache::new(1 << 20);
    let file = Mapping::with_size(&cache, FOLIO_SIZE);
    let mut places = std::collections::HashSet::new();
    for page in (0..32).rev() {
        file.fill(page * P, &[page as u8; P as usize]);
        if page == 31 {
            assert_eq!(cache.stats().resident, P);
        }
        places.insert(file.read_bytes(31 * P..32 * P).unwrap().as_ptr());
    }
    for page in 0..32 {
        assert_eq!(
            file.read_bytes(page * P..page * P + 1).unwrap()[0],
            page as u8
        );
    }
    assert_eq!(places.len(), 6, "a new buffer for each page");
    file.check_invariants();
}

#[test]
fn waiting_for_writeback_sees_its_end() {
    let cache = Cache::new(1 << 20);
    let file = Mapping::new(&cache);
    file.write(0, &vec![1; 2 * P as usize]).unwrap();
    let snapshot = file.claim(0..P).unwrap();
    file.wait_writeback(P..2 * P);
    let waiter = std::thread::spawn({
        let file = file.clone();
        move || file.wait_writeback(0..1)
    });
    std::thread::sleep(Duration::from_millis(20));
    assert!(!waiter.is_finished());
    file.end_writeback(snapshot.range(), WritebackEnd::Redirty);
    waiter.join().unwrap();
}

#[test]
fn clean_pages_are_invalidated_and_others_stay() {
    let cache = Cache::new(1 << 20);
    let file = Mapping::with_size(&cache, 3 * P + 1);
    file.fill(0, &vec![1; 4 * P as usize]);
    file.write(P, &[2]).unwrap();
    assert_eq!(
        file.invalidate(1..3 * P + 1),
        2 * P,
        "the last page counts as whole"
    );
    assert_eq!(file.lookup(0..4 * P).missing, vec![2 * P..4 * P]);
    assert_eq!(file.discard(0..2 * P), 2 * P);
    assert_eq!(file.dirty_bytes(), 0);
    file.check_invariants();
}

#[test]
#[should_panic(expected = "within one folio")]
fn claims_are_within_one_folio() {
    let cache = Cache::new(1 << 20);
    let _ = Mapping::new(&cache).claim(0..2 * FOLIO_SIZE);
}

#[test]
fn pages_filled_for_a_write_stay_for_it() {
    let cache = Cache::new(0);
    let file = Mapping::with_size(&cache, 2 * FOLIO_SIZE);
    let data = vec![1; FOLIO_SIZE as usize];
    let missing = file.write(10, &data).unwrap_err();
    assert_eq!(missing.ranges.len(), 2);
    for range in missing.ranges {
        file.fill(range.start, &[2; P as usize]);
    }
    file.write(10, &data).unwrap();
    let missing = file.write_with(5 * P + 1, 7, source(&[3; 7]));
    assert_eq!(missing.unwrap(), 7);
    let snapshots: Vec<_> = std::iter::from_fn(|| file.claim_next(0..2 * FOLIO_SIZE)).collect();
    for snapshot in snapshots {
        file.end_writeback(snapshot.range(), WritebackEnd::Done);
    }
    cache.reclaim(u64::MAX);
    assert_eq!(cache.stats().resident, 0, "still kept after the write");
}

#[test]
fn what_a_reader_holds_is_not_evicted() {
    let cache = Cache::new(1 << 20);
    let file = Mapping::with_size(&cache, FOLIO_SIZE);
    file.fill(0, b"x");
    let held = file.read_bytes(0..1).unwrap();
    assert_eq!(cache.reclaim(u64::MAX), 0, "evicted, and nothing was freed");
    drop(held);
    assert_eq!(cache.reclaim(u64::MAX), P);
}

#[test]
fn old_contents_of_a_buffer_are_not_inserted() {
    let cache = Cache::new(1 << 20);
    let file = Mapping::with_size(&cache, P + 10);
    let mut buffer = cache.buffer(2 * P as usize);
    buffer.fill(0xaa);
    file.insert(0, buffer);
    file.check_invariants();
    file.truncate(2 * P);
    assert_eq!(file.read_bytes(P + 9..P + 11).unwrap(), &[0xaa, 0][..]);
    let short = Mapping::with_size(&cache, 2 * P);
    let mut buffer = cache.buffer(2 * P as usize);
    buffer.fill(0xaa);
    buffer.truncate(P as usize + 1);
    assert_eq!(short.insert(0, buffer), 2 * P);
    assert_eq!(short.read_bytes(P..P + 2).unwrap(), &[0xaa, 0][..]);
}

/// Runs `release` while somebody waits for room; that one must wake.
fn waits_until(cache: &Cache, bytes: u64, release: impl FnOnce()) {
    let waiter = std::thread::spawn({
        let cache = cache.clone();
        move || cache.wait_for_room(bytes)
    });
    std::thread::sleep(Duration::from_millis(20));
    assert!(!waiter.is_finished());
    release();
    let start = std::time::Instant::now();
    while !waiter.is_finished() {
        assert!(
            start.elapsed() < Duration::from_secs(20),
            "the waiter sleeps on"
        );
        std::thread::yield_now();
    }
}

#[test]
fn a_snapshot_that_outlives_its_writeback_wakes_who_waits_for_room() {
    let cache = Cache::new(2 * P);
    let file = Mapping::new(&cache);
    file.write(0, &[1; P as usize]).unwrap();
    let busy = cache.buffer(P as usize);
    waits_until(&cache, 2 * P, || {
        let snapshot = file.claim_next(0..P).unwrap();
        file.forget();
        file.end_writeback(0..P, WritebackEnd::Done);
        drop(snapshot);
        drop(busy);
    });
}

#[test]
fn the_last_dirty_page_wakes_who_waits_for_room() {
    let cache = Cache::new(2 * P);
    let file = Mapping::new(&cache);
    file.write(0, &[1; P as usize]).unwrap();
    let held = file.read_bytes(0..P).unwrap();
    waits_until(&cache, 2 * P, || {
        file.discard(0..P);
    });
    drop(held);
}

#[test]
fn memory_that_comes_back_wakes_who_waits_for_room() {
    let cache = Cache::new(2 * P);
    let (file, other) = (Mapping::new(&cache), Mapping::new(&cache));
    file.write(0, &[1; P as usize]).unwrap();
    other.write(0, &[1; P as usize]).unwrap();
    let held = other.read_bytes(0..P).unwrap();
    other.discard(0..P);
    waits_until(&cache, P, || drop(held));
    assert_eq!(file.dirty_bytes(), P);
}

#[test]
fn readahead_gets_no_memory_that_writers_wait_for() {
    let cache = Cache::new(2 * P);
    let file = Mapping::new(&cache);
    file.write(0, &[1; P as usize]).unwrap();
    let buffer = cache.try_buffer(P as usize).unwrap();
    assert!(cache.try_buffer(P as usize).is_none());
    drop(buffer);
    assert!(cache.try_buffer(2 * P as usize).is_none());
    let snapshot = file.claim_next(0..P).unwrap();
    file.end_writeback(snapshot.range(), WritebackEnd::Done);
    drop(snapshot);
    assert!(
        cache.try_buffer(2 * P as usize).is_some(),
        "the clean folio could go"
    );
    assert_eq!(cache.stats().high_water, 2 * P);
}

/// Pages of one folio that take turns under writeback: none of them is waited for twice.
#[test]
fn who_waits_for_writeback_is_not_held_up_by_pages_that_are_claimed_again() {
    let file = Mapping::new(&Cache::new(1 << 20));
    file.write(0, &[1; 2 * P as usize]).unwrap();
    let _first = file.claim(0..P).unwrap();
    let (done, waited) = std::sync::mpsc::channel();
    let waits = std::thread::spawn({
        let file = file.clone();
        move || {
            file.wait_writeback(0..2 * P);
            done.send(()).unwrap();
        }
    });
    // It waits by then.
    assert!(waited.recv_timeout(Duration::from_millis(100)).is_err());
    let _second = file.claim(P..2 * P).unwrap();
    file.end_writeback(0..P, WritebackEnd::Done);
    let ended = waited.recv_timeout(Duration::from_secs(5));
    file.end_writeback(P..2 * P, WritebackEnd::Done);
    waits.join().unwrap();
    assert!(ended.is_ok(), "it waited for a page that was claimed later");
}
