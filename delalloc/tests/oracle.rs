//! A file's promises and states against a naive copy, a page an entry.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::ops::Range;
use std::sync::Arc;

use delalloc::{
    Claim, Delalloc, Error, Limits, NoPageLocks, Ordered, PAGE_SIZE, Space, SpaceLedger, SyncMode,
    WINDOW, WritebackControl, windows,
};
use extent_tree::StateBits;
use proptest::prelude::*;

const PAGES: u64 = 80;
const PER_EXTENT: u64 = 1000;

#[derive(Clone, Debug)]
enum Op {
    Write(u64, u64),
    Discard(u64, u64),
    /// A walk from a page with a budget.
    Claim(u64, u64),
    Split(usize, u64),
    Join(usize),
    Order(usize, u64),
    Redirty(usize),
    GiveUp(usize),
    Complete(usize),
    Fail(usize),
}

fn op() -> impl Strategy<Value = Op> {
    let pages = || (0..PAGES, 1_u64..40);
    prop_oneof![
        4 => pages().prop_map(|(at, len)| Op::Write(at, len)),
        1 => pages().prop_map(|(at, len)| Op::Discard(at, len)),
        4 => (0..PAGES, 1_u64..60).prop_map(|(at, budget)| Op::Claim(at, budget)),
        2 => (any::<usize>(), any::<u64>()).prop_map(|(which, at)| Op::Split(which, at)),
        1 => any::<usize>().prop_map(Op::Join),
        3 => (any::<usize>(), any::<u64>()).prop_map(|(which, len)| Op::Order(which, len)),
        1 => any::<usize>().prop_map(Op::Redirty),
        1 => any::<usize>().prop_map(Op::GiveUp),
        3 => any::<usize>().prop_map(Op::Complete),
        1 => any::<usize>().prop_map(Op::Fail),
    ]
}

/// What every page should be.
struct Oracle {
    delalloc: [bool; PAGES as usize],
    in_flight: [bool; PAGES as usize],
    ordered: [bool; PAGES as usize],
    bytes_used: u64,
}

impl Oracle {
    fn set(pages: &mut [bool], range: Range<u64>, value: bool) {
        for at in range.start / PAGE_SIZE..range.end / PAGE_SIZE {
            pages[at as usize] = value;
        }
    }

    /// Runs of delalloc, cut at windows.
    fn extents(&self) -> u64 {
        let mut extents = 0;
        for at in 0..PAGES as usize {
            let first_of_run = at == 0 || !self.delalloc[at - 1];
            let first_of_window = (at as u64 * PAGE_SIZE).is_multiple_of(WINDOW);
            extents += u64::from(self.delalloc[at] && (first_of_run || first_of_window));
        }
        extents
    }

    fn check(&self, file: &Delalloc, ledger: &SpaceLedger, claims: &[Claim], done: &[Ordered]) {
        file.audit();
        for at in 0..PAGES {
            let page = at * PAGE_SIZE..(at + 1) * PAGE_SIZE;
            let at = at as usize;
            for (bit, expected) in [
                (StateBits::DELALLOC, self.delalloc[at]),
                (StateBits::IN_FLIGHT, self.in_flight[at]),
                (StateBits::ORDERED, self.ordered[at]),
            ] {
                assert_eq!(
                    file.tree().test_any(page.clone(), bit),
                    expected,
                    "{page:?}"
                );
            }
        }
        let count = |pages: &[bool]| pages.iter().filter(|&&page| page).count() as u64;
        let data = ledger.counters(Space::Data);
        assert_eq!(
            data.bytes_may_use,
            (count(&self.delalloc) + count(&self.in_flight)) * PAGE_SIZE
        );
        let on_disk = done.iter().map(Ordered::disk_num_bytes).sum::<u64>();
        assert_eq!(data.bytes_reserved, on_disk);
        assert_eq!(data.bytes_used, self.bytes_used);
        let claimed: u64 = claims.iter().map(|claim| windows(claim.range())).sum();
        let ordered: u64 = done.iter().map(|extent| windows(extent.range())).sum();
        assert_eq!(
            ledger.counters(Space::Metadata).bytes_may_use,
            (self.extents() + claimed + ordered) * PER_EXTENT
        );
    }
}

fn run(ops: Vec<Op>) {
    let ledger = SpaceLedger::new(Limits {
        metadata_per_extent: PER_EXTENT,
        ..Limits::UNLIMITED
    });
    let file = Delalloc::new(&ledger);
    let mut oracle = Oracle {
        delalloc: [false; PAGES as usize],
        in_flight: [false; PAGES as usize],
        ordered: [false; PAGES as usize],
        bytes_used: 0,
    };
    let mut claims: Vec<Claim> = Vec::new();
    let mut done: Vec<Ordered> = Vec::new();
    let range = |at: u64, len: u64| at * PAGE_SIZE..(at + len).min(PAGES) * PAGE_SIZE;
    for op in ops {
        match op {
            Op::Write(at, len) => {
                let range = range(at, len);
                let reservation = file.reserve(range.clone()).unwrap();
                file.dirty(range.clone(), reservation).ignore();
                Oracle::set(&mut oracle.delalloc, range, true);
            }
            Op::Discard(at, len) => {
                file.discard(range(at, len)).ignore();
                Oracle::set(&mut oracle.delalloc, range(at, len), false);
            }
            Op::Claim(at, budget) => {
                let mut wbc = WritebackControl::whole(SyncMode::None).limited_to(budget);
                let from = at * PAGE_SIZE;
                let claimed = file.claim_next(&NoPageLocks, from, &mut wbc, 50 * PAGE_SIZE);
                let Some((claim, ())) = claimed else {
                    assert_eq!(wbc.nr_written(), 0);
                    assert!((at as usize..PAGES as usize).all(|at| !oracle.delalloc[at]
                        || oracle.in_flight[at]
                        || oracle.ordered[at]));
                    continue;
                };
                let range = claim.range();
                assert!(range.start >= from);
                assert_eq!(wbc.nr_written(), (range.end - range.start) / PAGE_SIZE);
                for at in range.start / PAGE_SIZE..range.end / PAGE_SIZE {
                    let at = at as usize;
                    assert!(oracle.delalloc[at] && !oracle.in_flight[at] && !oracle.ordered[at]);
                }
                Oracle::set(&mut oracle.delalloc, range.clone(), false);
                Oracle::set(&mut oracle.in_flight, range, true);
                claims.push(claim);
            }
            Op::Split(which, at) if !claims.is_empty() => {
                let which = which % claims.len();
                let range = claims[which].range();
                let pages = (range.end - range.start) / PAGE_SIZE;
                if pages > 1 {
                    let at = range.start + (1 + at % (pages - 1)) * PAGE_SIZE;
                    let front = claims[which].split_to(at);
                    assert_eq!(front.range(), range.start..at);
                    claims.push(front);
                }
            }
            Op::Join(which) if !claims.is_empty() => {
                let which = which % claims.len();
                let end = claims[which].range().end;
                if let Some(next) = claims.iter().position(|claim| claim.range().start == end) {
                    let next = claims.remove(next);
                    let which = claims.iter().position(|claim| claim.range().end == end);
                    claims[which.unwrap()].join(next);
                }
            }
            Op::Order(which, len) if !claims.is_empty() => {
                let claim = claims.remove(which % claims.len());
                let range = claim.range();
                let ordered = claim.order(len % (range.end - range.start + 1));
                Oracle::set(&mut oracle.in_flight, range.clone(), false);
                Oracle::set(&mut oracle.ordered, range, true);
                done.push(ordered);
            }
            Op::Redirty(which) if !claims.is_empty() => {
                let claim = claims.remove(which % claims.len());
                let range = claim.range();
                claim.redirty();
                Oracle::set(&mut oracle.in_flight, range.clone(), false);
                Oracle::set(&mut oracle.delalloc, range, true);
            }
            Op::GiveUp(which) if !claims.is_empty() => {
                let claim = claims.remove(which % claims.len());
                Oracle::set(&mut oracle.in_flight, claim.range(), false);
            }
            Op::Complete(which) if !done.is_empty() => {
                let ordered = done.remove(which % done.len());
                oracle.bytes_used += ordered.disk_num_bytes();
                Oracle::set(&mut oracle.ordered, ordered.range(), false);
                ordered.complete();
            }
            Op::Fail(which) if !done.is_empty() => {
                let ordered = done.remove(which % done.len());
                Oracle::set(&mut oracle.ordered, ordered.range(), false);
            }
            _ => {}
        }
        oracle.check(&file, &ledger, &claims, &done);
    }
    drop((claims, done));
    file.discard(0..u64::MAX).ignore();
    assert!(file.is_settled() && ledger.is_settled());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn promises_and_states_agree_with_a_page_an_entry(
        ops in proptest::collection::vec(op(), 1..60),
    ) {
        run(ops);
    }

    #[test]
    fn what_fits_is_exact(
        capacity in 0_u64..100,
        asked in proptest::collection::vec((0_u64..60, any::<bool>()), 1..30),
    ) {
        let ledger = SpaceLedger::new(Limits { data: capacity, ..Limits::UNLIMITED });
        let mut held = Vec::new();
        let mut taken = 0;
        for (wanted, release) in asked {
            match ledger.reserve(wanted, 1) {
                Ok(reservation) => {
                    prop_assert!(taken + wanted <= capacity);
                    taken += wanted;
                    held.push(reservation);
                }
                Err(Error::NoSpace { space, wanted: told, available, reclaimable }) => {
                    prop_assert!(taken + wanted > capacity);
                    prop_assert_eq!((space, told), (Space::Data, wanted));
                    prop_assert_eq!((available, reclaimable), (capacity - taken, taken));
                }
                Err(other) => panic!("{other}"),
            }
            if release && let Some(reservation) = held.pop() {
                taken -= reservation.data();
            }
        }
        drop(held);
        prop_assert!(ledger.is_settled());
    }
}

#[test]
fn no_space_is_told_at_the_reservation_and_holds_nothing() {
    let ledger = SpaceLedger::new(Limits {
        data: 10 * PAGE_SIZE,
        metadata: 3 * PER_EXTENT,
        metadata_per_extent: PER_EXTENT,
        global_reserve: PER_EXTENT,
    });
    let file = Delalloc::new(&ledger);
    let error = file.reserve(0..11 * PAGE_SIZE).unwrap_err();
    assert_eq!(
        error.to_string(),
        "no space left: 45056 bytes of data wanted, 40960 available"
    );
    // The data fits; the metadata for three windows meets the global reserve.
    let error = ledger.reserve(PAGE_SIZE, 3).unwrap_err();
    assert!(matches!(
        error,
        Error::NoSpace {
            space: Space::Metadata,
            available: 2000,
            ..
        }
    ));
    assert!(ledger.is_settled());
    // The global reserve pays for a run that is cut in two.
    let write = 0..5 * PAGE_SIZE;
    let more = file.reserve(WINDOW..WINDOW + PAGE_SIZE).unwrap();
    file.dirty(write.clone(), file.reserve(write).unwrap())
        .ignore();
    let claim = file.claim_range(2 * PAGE_SIZE..3 * PAGE_SIZE).unwrap();
    file.audit();
    let metadata = ledger.counters(Space::Metadata);
    assert_eq!(metadata.bytes_may_use, 4 * PER_EXTENT);
    assert_eq!(ledger.available(Space::Metadata), 0);
    drop((claim, more));
    file.discard(0..u64::MAX).ignore();
    assert!(ledger.is_settled());
}

#[test]
fn the_ledger_of_nr_written_is_exact() {
    // The guard: `took`, `raise` and the window in `Delalloc::claim_next`, which alone counts, and
    // what it claimed.
    // A limited walk is raised to what lies contiguous, up to the cap on that,
    // and stops with the range that fulfils it; one for integrity takes all.
    let runs = [0..3_u64, 10..60, 100..20_000, 30_000..30_001];
    let total: u64 = runs.iter().map(|run| run.end - run.start).sum();
    for (mode, limit, claims) in [
        (SyncMode::None, 1, &[3][..]),
        (SyncMode::None, 3, &[3]),
        (SyncMode::None, 4, &[3, 50]),
        (SyncMode::None, 54, &[3, 50, 8220]),
        (SyncMode::None, u64::MAX, &[3, 50, 19_900, 1]),
        (SyncMode::All, 1, &[3, 50, 19_900, 1]),
    ] {
        let ledger = SpaceLedger::new(Limits::UNLIMITED);
        let file = Delalloc::new(&ledger);
        for run in &runs {
            let range = run.start * PAGE_SIZE..run.end * PAGE_SIZE;
            file.dirty(range.clone(), file.reserve(range).unwrap())
                .ignore();
        }
        let mut wbc = WritebackControl::whole(mode).limited_to(limit);
        let mut taken = Vec::new();
        while let Some((claim, ())) = file.claim_next(&NoPageLocks, 0, &mut wbc, 128 << 20) {
            taken.push((claim.range().end - claim.range().start) / PAGE_SIZE);
            assert_eq!(wbc.nr_written(), taken.iter().sum::<u64>());
            claim.order(0).complete();
        }
        assert_eq!(taken, claims, "{mode:?} {limit}");
        let left = (total - wbc.nr_written()) * PAGE_SIZE;
        assert_eq!(file.bytes(), left);
        assert_eq!(ledger.counters(Space::Data).bytes_may_use, left);
    }
}

#[test]
fn a_claim_reaches_to_the_end_of_the_address_space() {
    let ledger = SpaceLedger::new(Limits::UNLIMITED);
    let file = Delalloc::new(&ledger);
    let last = u64::MAX - u64::MAX % PAGE_SIZE - PAGE_SIZE;
    for mode in [SyncMode::None, SyncMode::All] {
        let range = last..last + PAGE_SIZE;
        file.dirty(range.clone(), file.reserve(range.clone()).unwrap())
            .ignore();
        let mut wbc = WritebackControl::whole(mode);
        let (claim, ()) = file
            .claim_next(&NoPageLocks, 0, &mut wbc, u64::MAX)
            .unwrap();
        assert_eq!(claim.range(), range);
    }
    file.audit();
    assert!(file.is_settled() && ledger.is_settled());
}

#[test]
fn what_is_promised_or_on_its_way_is_not_settled() {
    for metadata_per_extent in [0, PER_EXTENT] {
        let ledger = SpaceLedger::new(Limits {
            metadata_per_extent,
            ..Limits::UNLIMITED
        });
        let file = Delalloc::new(&ledger);
        let settled = || (file.is_settled(), ledger.is_settled());
        assert_eq!(settled(), (true, true));
        let reservation = file.reserve(0..PAGE_SIZE).unwrap();
        assert_eq!(settled(), (true, false), "reserved");
        file.dirty(0..PAGE_SIZE, reservation).ignore();
        assert_eq!(settled(), (false, false), "dirty");
        let claim = file.claim_range(0..PAGE_SIZE).unwrap();
        assert_eq!(settled(), (false, false), "in flight");
        let ordered = claim.order(PAGE_SIZE);
        assert_eq!(settled(), (false, false), "ordered");
        ordered.complete();
        assert_eq!(settled(), (true, true));
    }
    let ledger = SpaceLedger::new(Limits {
        metadata_per_extent: PER_EXTENT,
        ..Limits::UNLIMITED
    });
    let metadata = ledger.reserve(0, 1).unwrap();
    assert!(!ledger.is_settled());
    drop(metadata);
    assert!(ledger.is_settled());
}

#[test]
fn a_write_reserves_for_the_whole_pages_that_it_touches() {
    let file = Delalloc::new(&SpaceLedger::new(Limits::UNLIMITED));
    for (range, pages) in [
        (0..1, 1),
        (PAGE_SIZE - 1..PAGE_SIZE + 1, 2),
        (PAGE_SIZE..2 * PAGE_SIZE, 1),
        (5..5, 0),
    ] {
        let reservation = file.reserve(range.clone()).unwrap();
        assert_eq!(reservation.data(), pages * PAGE_SIZE, "{range:?}");
    }
}

#[test]
#[should_panic(expected = "one ledger")]
fn reservations_of_two_ledgers_are_not_merged() {
    let ledger = || SpaceLedger::new(Limits::UNLIMITED);
    let mut reservation = ledger().reserve_nothing();
    reservation.merge(ledger().reserve_nothing());
}

#[test]
fn a_part_of_a_reservation_is_given_back() {
    let ledger = SpaceLedger::new(Limits::UNLIMITED);
    let mut reservation = ledger.reserve(100, 1).unwrap();
    reservation.release_data(30);
    assert_eq!(reservation.data(), 70);
    assert_eq!(ledger.counters(Space::Data).bytes_may_use, 70);
}

#[test]
fn a_volume_grows_and_shrinks() {
    let ledger = SpaceLedger::new(Limits {
        data: 100,
        ..Limits::UNLIMITED
    });
    let held = ledger.reserve(80, 0).unwrap();
    ledger.set_capacity(Space::Data, 50);
    assert_eq!(ledger.available(Space::Data), 0);
    assert!(ledger.reserve(1, 0).is_err());
    assert!(ledger.reserve(0, 0).is_ok());
    held.allocate(40).commit();
    assert_eq!(ledger.available(Space::Data), 10);
    ledger.set_capacity(Space::Data, u64::MAX);
    assert!(ledger.reserve(u64::MAX - 40, 0).is_ok());
    ledger.sub_used(Space::Data, 40);
    ledger.add_used(Space::Data, 7);
    assert_eq!(ledger.counters(Space::Data).bytes_used, 7);
    assert!(ledger.reserve(u64::MAX, 0).is_err());
}

#[test]
fn reserved_space_leaks() {
    // The guard: a promise follows the bytes that really changed. Threads
    // write, discard and write back the same pages; nothing may be left.
    let ledger = SpaceLedger::new(Limits {
        metadata_per_extent: PER_EXTENT,
        data: 256 * PAGE_SIZE,
        ..Limits::UNLIMITED
    });
    let file = Delalloc::new(&ledger);
    std::thread::scope(|scope| {
        for thread in 0..4_u64 {
            let (file, ledger) = (Arc::clone(&file), &ledger);
            scope.spawn(move || {
                let mut seed = 0x9e37_79b9_7f4a_7c15 ^ (thread + 1);
                let mut random = move |below: u64| {
                    seed ^= seed << 13;
                    seed ^= seed >> 7;
                    seed ^= seed << 17;
                    seed % below
                };
                for _ in 0..1500 {
                    let at = random(200) * PAGE_SIZE;
                    let range = at..at + (1 + random(50)) * PAGE_SIZE;
                    match random(4) {
                        0 | 1 => {
                            if let Ok(reservation) = file.reserve(range.clone()) {
                                file.dirty(range, reservation).ignore();
                            }
                        }
                        2 => file.discard(range).ignore(),
                        _ => {
                            let mut wbc = WritebackControl::whole(SyncMode::All);
                            let claimed = file.claim_next(
                                &NoPageLocks,
                                range.start,
                                &mut wbc,
                                40 * PAGE_SIZE,
                            );
                            let Some((claim, ())) = claimed else { continue };
                            match random(4) {
                                0 => claim.redirty(),
                                1 => drop(claim),
                                2 => drop(claim.order(0)),
                                _ => {
                                    let ordered = claim.order(PAGE_SIZE);
                                    ordered.complete();
                                    ledger.sub_used(Space::Data, PAGE_SIZE);
                                }
                            }
                        }
                    }
                }
            });
        }
    });
    file.audit();
    file.discard(0..u64::MAX).ignore();
    assert!(file.is_settled() && ledger.is_settled());
    assert_eq!(ledger.counters(Space::Data).bytes_used, 0);
}
