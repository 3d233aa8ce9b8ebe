//! The power goes while the device has writes in a cache that it loses.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use fs_core::memory::{FaultOp, Faults};
use fs_core::{
    Commit, DataIo, DataSpace, ExtentStore, FileExtent, MemoryVolume, Policy, StoredExtent,
};
use support::gate::within;
use support::*;

const SECTOR: usize = 4096;

fn losing(seed: u64) -> MemoryVolume {
    let faults = Faults::remembering_commits().losing_unflushed(seed);
    MemoryVolume::with_faults(u64::MAX, faults)
}

/// The volume does what it threatens with: writes behind the back of a commit stay, are lost, or are
/// torn between sectors and nowhere else; writes before it stay.
#[test]
fn a_subset_of_what_was_not_flushed_is_lost_and_one_write_torn() {
    let mut seen = BTreeSet::new();
    for seed in 0..200 {
        let volume = losing(seed);
        let fs = filesystem(volume);
        let id = new_file(&fs, "a");
        let volume = fs.into_volume().unwrap();
        let len = 3 * SECTOR;
        let places: Vec<_> = (0..3)
            .map(|n| {
                let at = volume.allocate(len as u64).unwrap();
                volume.write(&[(at, Bytes::from(vec![1; len]))]).unwrap();
                let stored = StoredExtent {
                    at,
                    disk_num_bytes: len as u64,
                    codec: None,
                };
                let extent = FileExtent {
                    file_offset: n * len as u64,
                    num_bytes: len as u64,
                    stored,
                    checksums: Bytes::new(),
                };
                volume.insert_extent(id, extent).unwrap();
                at
            })
            .collect();
        volume.commit().unwrap();
        for at in &places[..2] {
            volume.write(&[(*at, Bytes::from(vec![2; len]))]).unwrap();
        }
        volume.power_cut();
        let mut whole = Vec::new();
        for at in &places {
            let got = volume.read(*at, len, 0).unwrap();
            let sectors: Vec<u8> = got.chunks(SECTOR).map(|sector| sector[0]).collect();
            assert!(
                got.chunks(SECTOR)
                    .all(|sector| sector.iter().all(|byte| *byte == sector[0])),
                "torn within a sector"
            );
            whole.push(sectors);
        }
        assert_eq!(whole.pop().unwrap(), [1, 1, 1], "what was flushed");
        let torn = whole.iter().filter(|w| w.iter().any(|v| *v != w[0]));
        assert!(torn.count() <= 1);
        seen.extend(whole);
    }
    // 1: lost, 2: kept.
    for outcome in [[1, 1, 1], [2, 2, 2], [1, 2, 2], [2, 2, 1]] {
        assert!(seen.contains(&outcome[..]), "{outcome:?} never happens");
    }
}

/// Nothing enters the trees before its bytes are with the device, and a commit flushes these first:
/// what `fsync` returned of is whole, whatever the device loses. Guards: the write before the
/// `insert_extent` in `writer::write_batch`, and `Space::flush` in the volume's commit.
#[test]
fn a_commit_overtook_the_bytes_that_it_points_to() {
    within(60, || {
        for seed in 0..30 {
            let fs = builder(losing(seed)).build().unwrap();
            let (a, b) = (new_file(&fs, "a"), new_file(&fs, "b"));
            let mut data = text(150_000);
            data.extend(noise(300_000, seed));
            let (fa, fb) = (fs.open(a).unwrap(), fs.open(b).unwrap());
            // Whoever records an extent first has time to commit it.
            fs.volume()
                .faults()
                .delay(FaultOp::Write, Duration::from_millis(3));
            fa.write(0, &data).unwrap();
            fb.write(0, &data).unwrap();
            fa.fsync().unwrap();
            // What is still on its way gets there, but nobody flushes it.
            drop((fa, fb));
            let fs = filesystem(fs.into_volume().unwrap().after_power_cut());
            assert_eq!(fs.attrs(a).unwrap().size, data.len() as u64);
            fs.volume().faults().delay(FaultOp::Write, Duration::ZERO);
            assert!(content(&fs, a) == data, "seed {seed}");
            fs.unmount().unwrap();
        }
    });
}

/// An overwrite goes elsewhere: until the next commit the old bytes are there, whole, and after it
/// the new ones. Guard: `Space::drop_ref` pins what the last commit needs.
#[test]
fn an_overwrite_that_was_not_synced_tore_the_old_content() {
    for seed in 0..30 {
        let fs = builder(losing(seed)).policy(Policy::Never).build().unwrap();
        let id = new_file(&fs, "a");
        let file = fs.open(id).unwrap();
        let old = noise(300_000, 1);
        file.write(0, &old).unwrap();
        file.fsync().unwrap();
        file.write(0, &noise(300_000, 2)).unwrap();
        file.sync_range(0..u64::MAX, true).unwrap();
        file.write_direct(0, &Bytes::from(noise(65_536, 3)))
            .unwrap();
        drop(file);
        let fs = filesystem(fs.into_volume().unwrap().after_power_cut());
        assert!(content(&fs, id) == old, "seed {seed}");
        fs.unmount().unwrap();
    }
}
