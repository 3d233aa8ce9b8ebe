//! What was found after everything else, each a test named after what went wrong.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use fs_core::{ExtentKind, ExtentStore, MemoryVolume};
use support::gate::*;
use support::*;

/// A small file grew. Its last page, which was to be written anew for that, was claimed before the file had
/// grown, as it is where room is sought for the rest: so its content went into the tree once more, and
/// extents were put beside it. Guard: `OutOfTree` in `File::write_from`.
#[test]
fn extents_were_put_beside_content_in_the_tree() {
    within(20, || {
        let (fs, id, f) = one_file(MemoryVolume::new(40 * 4096));
        f.write(0, &noise(100, 1)).unwrap();
        f.fsync().unwrap();
        let inline = || {
            let maps = fs.volume().extent_maps(id, 0..1 << 20).unwrap();
            let inline = |kind: &ExtentKind<_>| matches!(kind, ExtentKind::Inline { .. });
            maps.iter().any(|map| inline(&map.kind))
        };
        assert!(inline());
        // It is promised more than it will take.
        let other = fs.open(new_file(&fs, "b")).unwrap();
        other.write(0, &text(38 * 4096)).unwrap();
        f.write(8192, &noise(8192, 2)).unwrap();
        f.fsync().unwrap();
        assert!(!inline());
        fs.drop_caches();
        assert_eq!(content(&fs, id)[..100], noise(100, 1));
        // It may be small again.
        f.set_size(0).unwrap();
        f.write(0, &noise(100, 3)).unwrap();
        f.fsync().unwrap();
        assert!(inline());
    });
}
