//! What can be asked of a tree, and of a change.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Arc;

use extent_tree::{ExtentIoTree, Select, StateBits};

const A: StateBits = StateBits::DELALLOC;
const B: StateBits = StateBits::IN_FLIGHT;
const NONE: StateBits = StateBits::empty();

/// A, both, a hole, B.
fn tree() -> ExtentIoTree {
    let tree = ExtentIoTree::new();
    tree.set_bits(10..30, A).ignore();
    tree.set_bits(20..30, B).ignore();
    tree.set_bits(40..50, B).ignore();
    tree
}

#[test]
fn any_and_all_of_a_range() {
    let tree = tree();
    for (range, any, all) in [
        (0..10, false, false),
        (9..11, true, false),
        (10..30, true, true),
        (10..31, true, false),
        (30..40, false, false),
        (40..50, false, false),
    ] {
        assert_eq!(tree.test_any(range.clone(), A), any, "{range:?}");
        assert_eq!(tree.test_all(range.clone(), A), all, "{range:?}");
        let a = Select::all(A);
        assert_eq!(tree.test_any_where(range.clone(), a), any, "{range:?}");
        assert_eq!(tree.test_all_where(range.clone(), a), all, "{range:?}");
    }
    assert!(tree.test_any(40..41, A | B) && !tree.test_all(10..30, A | B));
}

#[test]
fn the_first_of_a_state_and_as_much_as_is_contiguous() {
    let tree = tree();
    assert_eq!(tree.find_first(0, A), Some((10..20, A)));
    assert_eq!(tree.find_first(15, A), Some((15..20, A)));
    assert_eq!(tree.find_first(20, A), Some((20..30, A | B)));
    assert_eq!(tree.find_first(30, A), None);
    assert_eq!(tree.find_first(30, A | B), Some((40..50, B)));
    let only_b = Select::all(B).without(A);
    assert_eq!(tree.find_first_where(0..45, only_b), Some((40..45, B)));
    assert_eq!(tree.find_first_where(0..40, only_b), None);

    assert_eq!(tree.find_contiguous(0, A, u64::MAX), Some(10..30));
    assert_eq!(tree.find_contiguous(12, A, 13), Some(12..25));
    assert_eq!(tree.find_contiguous(0, A | B, u64::MAX), Some(20..30));
    assert_eq!(tree.find_contiguous(30, A, u64::MAX), None);
    let some = Select::any(A | B);
    assert_eq!(tree.find_contiguous_where(25..45, some, 100), Some(25..30));
}

#[test]
fn bytes_are_counted_and_runs_visited() {
    let tree = tree();
    assert_eq!(tree.count(0..100, A), 20);
    assert_eq!(tree.count(15..25, A), 10);
    assert_eq!(tree.count(0..100, A | B), 10);
    assert_eq!(tree.count_where(0..45, Select::any(A | B)), 25);
    let runs = |range, select| {
        let mut runs = Vec::new();
        tree.for_each_run(range, select, |run| runs.push(run));
        runs
    };
    assert_eq!(runs(0..100, Select::any(A | B)), [10..30, 40..50]);
    assert_eq!(runs(15..45, Select::all(B)), [20..30, 40..45]);
    assert_eq!(runs(30..40, Select::all(B)), []);
}

#[test]
fn no_bits_are_had_by_no_byte_and_asked_of_none() {
    let tree = tree();
    assert!(!tree.test_any(0..100, NONE) && tree.test_all(0..100, NONE));
    assert_eq!(tree.find_first(0, NONE), None);
    assert_eq!(tree.find_contiguous(0, NONE, 100), None);
    assert_eq!(tree.count(5..100, NONE), 95);
    assert!(tree.set_bits(0..100, NONE).is_empty());
    tree.wait_clear(0..100, NONE);
}

#[test]
fn a_change_tells_its_ranges_and_whether_it_is_one() {
    let tree = tree();
    let change = tree.set_bits(0..60, A);
    assert_eq!((change.bytes(), change.is_empty()), (40, false));
    assert_eq!(change.ranges().collect::<Vec<_>>(), [0..10, 30..60]);
    assert_eq!(change.ranges().next_back(), Some(30..60));
    assert_eq!(change.single(), None);
    let change = tree.convert_bits(0..60, B, A);
    assert_eq!(change.single(), Some(0..60));
    let change = tree.set_bits(0..60, B);
    assert_eq!((change.bytes(), change.is_empty()), (0, true));
    assert_eq!(change.single(), None);
}

#[test]
fn neither_a_state_nor_a_lock_is_nothing() {
    let tree = Arc::new(ExtentIoTree::new());
    assert!(tree.is_empty());
    tree.set_bits(0..1, A).ignore();
    assert!(!tree.is_empty());
    tree.clear_bits(0..1, A).ignore();
    let guard = tree.lock(3..7);
    assert_eq!(guard.range(), 3..7);
    assert!(!tree.is_empty());
    assert!(tree.is_locked(6..9) && !tree.is_locked(7..9) && !tree.is_locked(5..5));
    drop(guard);
    let guard = tree.try_lock_owned(3..7).unwrap();
    assert_eq!(guard.range(), 3..7);
    assert!(!tree.is_empty());
    drop(guard);
    assert!(tree.is_empty());
}
