//! What went wrong once, each as a test.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use delalloc::{
    Delalloc, Limits, MAX_CLAIM, NoPageLocks, OrderedCompletion, PAGE_SIZE, SpaceLedger, SyncMode,
    WritebackControl, find_lock_delalloc,
};
use extent_tree::StateBits;

const PER_EXTENT: u64 = 1000;

fn ledger() -> SpaceLedger {
    SpaceLedger::new(Limits {
        metadata_per_extent: PER_EXTENT,
        ..Limits::UNLIMITED
    })
}

/// A file with so many dirty pages, from its start on.
fn dirty(ledger: &SpaceLedger, pages: u64) -> Arc<Delalloc> {
    let file = Delalloc::new(ledger);
    let range = 0..pages * PAGE_SIZE;
    let reservation = file.reserve(range.clone()).unwrap();
    file.dirty(range, reservation).ignore();
    file
}

/// Whether a call panics.
fn panics<T>(call: impl FnOnce() -> T) -> bool {
    catch_unwind(AssertUnwindSafe(|| drop(call()))).is_err()
}

/// A claim for which too much was allocated panicked and stayed in flight: whoever waited for the
/// range waited for ever. Guarded by the assertion at the beginning of `Claim::order`, before the
/// claim is taken apart.
#[test]
fn a_claim_that_panics_stays_in_flight() {
    let ledger = ledger();
    let file = dirty(&ledger, 1);
    let claim = file.claim_range(0..PAGE_SIZE).unwrap();
    assert!(panics(|| claim.order(PAGE_SIZE + 1)));
    assert!(!file.tree().test_any(0..PAGE_SIZE, StateBits::IN_FLIGHT));
    assert!(file.is_settled() && ledger.is_settled());
}

/// A reservation was split by more metadata than it had: the data of the part was taken out by then,
/// and nobody gave it back. Guarded by `Amount::checked_sub` in `Reservation::split`.
#[test]
fn a_split_that_panics_leaks() {
    let ledger = ledger();
    for (data, extents) in [(100, 2), (101, 1), (101, 2)] {
        let mut reservation = ledger.reserve(100, 1).unwrap();
        assert!(panics(|| reservation.split(data, extents)));
        let left = (reservation.data(), reservation.metadata());
        assert_eq!(left, (100, PER_EXTENT), "{data} {extents}");
        drop(reservation);
        assert!(ledger.is_settled(), "{data} {extents}");
    }
}

/// A range became delalloc although too little was reserved for it, or in another ledger: the call
/// panicked, and so did the claim of that range later. Guarded by the assertion that it is one ledger
/// and by what `Delalloc::dirty` clears again.
#[test]
fn a_write_without_its_space_becomes_dirty() {
    let ledger = ledger();
    let file = dirty(&ledger, 1);
    let others = Delalloc::new(&self::ledger());
    for reservation in [
        file.reserve(0..PAGE_SIZE).unwrap(),
        others.reserve(0..4 * PAGE_SIZE).unwrap(),
    ] {
        assert!(panics(|| file.dirty(0..4 * PAGE_SIZE, reservation)));
        file.audit();
        let delalloc = file.tree().count(0..u64::MAX, StateBits::DELALLOC);
        assert_eq!(delalloc, PAGE_SIZE);
    }
    drop(file.claim_range(0..u64::MAX).unwrap());
    assert!(file.is_settled() && ledger.is_settled());
}

/// A walk over bytes that begin and end within pages claimed parts of these pages, of which the rest
/// stayed dirty, and counted none. Guarded by `page_hull` in `find_lock_delalloc` and
/// `Delalloc::claim_next`, and by the assertion in `Delalloc::claim_range`.
#[test]
fn a_walk_over_bytes_claims_parts_of_pages() {
    let ledger = ledger();
    for mode in [SyncMode::None, SyncMode::All] {
        for (bytes, from, pages) in [
            (100..5000, 0, 0..2),
            (4095..8193, 0, 0..3),
            (4096..u64::MAX - 1, 0, 1..4),
            (0..u64::MAX, 5000, 1..4),
        ] {
            let file = dirty(&ledger, 4);
            let mut wbc = WritebackControl::new(bytes.clone(), mode);
            let claimed = file.claim_next(&NoPageLocks, from, &mut wbc, MAX_CLAIM);
            let (claim, ()) = claimed.unwrap();
            let expected = pages.start * PAGE_SIZE..pages.end * PAGE_SIZE;
            assert_eq!(claim.range(), expected, "{bytes:?} from {from}");
            assert_eq!(wbc.nr_written(), pages.end - pages.start);
        }
    }
    let file = dirty(&ledger, 2);
    let found = find_lock_delalloc(file.tree(), &NoPageLocks, 1..4097, MAX_CLAIM).unwrap();
    assert_eq!(found.range(), 0..2 * PAGE_SIZE);
    drop(found);
    assert!(find_lock_delalloc(file.tree(), &NoPageLocks, 5..5, MAX_CLAIM).is_none());
    assert!(panics(|| file.claim_range(1..PAGE_SIZE)));
    assert!(panics(|| file.claim_range(0..PAGE_SIZE - 1)));
}

/// A claim that ends with the address space could not be split at its end. Guarded by
/// `at == self.range.end` in `Claim::split_to`.
#[test]
fn a_claim_is_not_split_at_the_end_of_the_address_space() {
    let ledger = ledger();
    let file = Delalloc::new(&ledger);
    let range = u64::MAX - (PAGE_SIZE - 1)..u64::MAX;
    let reservation = file.reserve(range.clone()).unwrap();
    file.dirty(range.clone(), reservation).ignore();
    let mut claim = file.claim_range(0..u64::MAX).unwrap();
    assert_eq!(claim.split_to(u64::MAX).range(), range);
    assert!(claim.range().is_empty());
    drop(claim);
    assert!(file.is_settled() && ledger.is_settled());
}

/// A thread panicked with a ticket in its hands, for which a ready item had waited, and the finishing
/// function panicked for that one: two panics at once end the process. Guarded by `panicking` in the
/// drop of a `Ticket`.
#[test]
fn a_panic_behind_a_panic_ends_the_process() {
    let line = OrderedCompletion::new(|item: u32| assert!(item != 1, "item one"));
    let [first, second] = [line.submit(), line.submit()];
    second.complete(1);
    let holder = std::thread::spawn(move || {
        let _held = first;
        panic!("with a ticket in its hands");
    });
    assert!(holder.join().is_err());
    line.drain();
    // Otherwise it is told to whoever gives the place up.
    let [first, second] = [line.submit(), line.submit()];
    second.complete(1);
    assert!(panics(|| drop(first)));
    assert!(line.is_empty());
}
