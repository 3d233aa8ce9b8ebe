//! Data in transit: what is written comes back, and every step of its way is taken in order.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::sync::{Arc, Mutex};

use fs_core::memory::{FaultOp, Faults};
use fs_core::{
    ErrorKind, Filesystem, InodeId, InodeStore, MemoryVolume, PipelineEvent, PipelineStep,
};
use support::*;

#[test]
fn a_file_goes_through_every_step_in_order() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&seen);
    let fs = Filesystem::builder(MemoryVolume::new(u64::MAX))
        .threads(2)
        .compression(Some(ZSTD))
        .observe(move |event: &PipelineEvent| sink.lock().unwrap().push(event.clone()))
        .build()
        .unwrap();
    let id = new_file(&fs, "a");
    let file = fs.open(id).unwrap();
    // One compressible piece, two that are not, and a compressible tail.
    let mut data = text(131_072);
    data.extend(noise(262_144, 5));
    data.extend(text(5000));
    file.write(0, &data).unwrap();
    file.finish().unwrap();
    fs.sync().unwrap();

    let events = seen.lock().unwrap().clone();
    let pieces = [
        0..131_072_u64,
        131_072..262_144,
        262_144..393_216,
        393_216..401_408,
    ];
    for (index, piece) in pieces.iter().enumerate() {
        let steps: Vec<PipelineStep> = events
            .iter()
            .filter(|e| e.range.start <= piece.start && piece.end <= e.range.end)
            .map(|e| e.step)
            .collect();
        let prepared = match steps.get(3) {
            Some(step @ PipelineStep::Compressed { stored, .. }) => {
                assert!(*stored < piece.end - piece.start);
                *step
            }
            Some(PipelineStep::KeptRaw) => PipelineStep::KeptRaw,
            other => panic!("piece {index}: {other:?} in {steps:?}"),
        };
        let raw = prepared == PipelineStep::KeptRaw;
        assert_eq!(raw, index == 1 || index == 2, "piece {index}");
        assert_eq!(
            steps,
            [
                PipelineStep::Dirtied,
                PipelineStep::Claimed,
                PipelineStep::Queued,
                prepared,
                PipelineStep::Submitted,
                PipelineStep::Written,
                PipelineStep::Finished,
            ],
            "piece {index}"
        );
    }
    // The two raw neighbours became one extent.
    let finished: Vec<_> = events
        .iter()
        .filter(|e| e.step == PipelineStep::Finished)
        .map(|e| e.range.clone())
        .collect();
    assert_eq!(finished, [0..131_072, 131_072..393_216, 393_216..401_408]);
    let stats = fs.stats();
    assert_eq!((stats.pieces_compressed, stats.pieces_raw), (2, 2));
    assert_eq!(stats.extents_finished, 3);
    assert!(content(&fs, id) == data);
    fs.unmount().unwrap();
}

#[test]
fn files_of_every_small_size_come_back() {
    let fs = filesystem(MemoryVolume::new(u64::MAX));
    let sizes = [
        0, 1, 2047, 2048, 2049, 4095, 4096, 4097, 8192, 131_071, 131_072, 131_073,
    ];
    let mut made = Vec::new();
    for size in sizes {
        for (kind, data) in [("text", text(size)), ("noise", noise(size, 9))] {
            let id = new_file(&fs, &format!("{kind}{size}"));
            let file = fs.open(id).unwrap();
            file.write(0, &data).unwrap();
            file.finish().unwrap();
            made.push((id, data));
        }
    }
    fs.sync().unwrap();
    assert!(fs.stats().pieces_inline >= 8);
    for (id, data) in made {
        assert_eq!(fs.attrs(id).unwrap().size, data.len() as u64);
        assert!(content(&fs, id) == data, "{} bytes", data.len());
    }
    fs.unmount().unwrap();
}

#[test]
fn an_inline_file_grows_into_extents() {
    let fs = filesystem(MemoryVolume::new(u64::MAX));
    let id = new_file(&fs, "grows");
    let file = fs.open(id).unwrap();
    file.write(0, b"head").unwrap();
    file.fsync().unwrap();
    file.write(200_000, b"tail").unwrap();
    drop(file);
    fs.sync().unwrap();
    let all = content(&fs, id);
    assert_eq!(all.len(), 200_004);
    assert_eq!(&all[..4], b"head");
    assert!(all[4..200_000].iter().all(|byte| *byte == 0));
    assert_eq!(&all[200_000..], b"tail");
    let file = fs.open(id).unwrap();
    assert_eq!(file.next_data(0).unwrap(), Some(0..4096));
    assert_eq!(file.next_data(4096).unwrap(), Some(196_608..200_004));
    drop(file);
    fs.unmount().unwrap();
}

#[test]
fn a_full_volume_tells_the_writer_and_loses_nothing_promised() {
    let fs = filesystem(MemoryVolume::new(1 << 20));
    let id = new_file(&fs, "full");
    let file = fs.open(id).unwrap();
    let data = noise(4 << 20, 3);
    let error = file.write(0, &data).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoSpace);
    let written = file.size() as usize;
    assert!(written > 0 && written <= 1 << 20, "{written}");
    drop(file);
    fs.sync().unwrap();
    assert!(content(&fs, id) == data[..written]);
    fs.unmount().unwrap();
}

/// What went wrong elsewhere: one failed piece left its neighbours locked.
#[test]
fn one_failed_operation_spoils_one_extent() {
    for op in [FaultOp::Write, FaultOp::Allocate, FaultOp::Metadata] {
        for nth in 1..=8 {
            let fs = filesystem(MemoryVolume::new(u64::MAX));
            let id = new_file(&fs, "a");
            let file = fs.open(id).unwrap();
            let mut data = text(131_072 * 3);
            data.extend(noise(131_072, 1));
            fs.volume().faults().fail_nth(op, nth);
            file.write(0, &data).unwrap();
            let first = file.fsync();
            let second = file.fsync();
            if first.is_err() {
                assert!(second.is_ok(), "{op:?} {nth}: told twice: {second:?}");
            }
            drop(file);
            fs.unmount().unwrap();
        }
    }
}

#[test]
fn a_damaged_sector_is_an_error_and_never_data() {
    let fs = filesystem(MemoryVolume::new(u64::MAX));
    let id = new_file(&fs, "a");
    let file = fs.open(id).unwrap();
    let mut data = noise(131_072, 1);
    data.extend(text(131_072));
    file.write(0, &data).unwrap();
    file.finish().unwrap();
    fs.sync().unwrap();
    assert!(fs.volume().damage(id, 131_072, 10));
    let file = fs.open(id).unwrap();
    let mut part = vec![0; 131_072];
    assert_eq!(file.read(0, &mut part).unwrap(), part.len());
    assert!(part == data[..131_072]);
    let error = file.read(131_072, &mut part).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    assert!(error.to_string().contains("checksum"), "{error}");
}

/// A file of 40 pieces of text on a filesystem whose cache is cold.
fn cold_file(fs: &Filesystem<MemoryVolume>) -> (InodeId, Vec<u8>) {
    let id = new_file(fs, "a");
    let data = text(40 * 131_072);
    let file = fs.open(id).unwrap();
    file.write(0, &data).unwrap();
    file.finish().unwrap();
    fs.sync().unwrap();
    (id, data)
}

#[test]
fn a_sequential_reader_is_read_ahead_of_and_each_extent_decompressed_once() {
    let fs = filesystem(MemoryVolume::new(u64::MAX));
    let (id, data) = cold_file(&fs);
    let file = fs.open(id).unwrap();
    let mut got = vec![0; data.len()];
    for (at, part) in (0..).step_by(10_000).zip(got.chunks_mut(10_000)) {
        assert_eq!(file.read(at, part).unwrap(), part.len());
    }
    assert!(got == data);
    let stats = fs.read_stats();
    assert_eq!(stats.decompressions, 40);
    // Without readahead each piece would be a fetch of its own.
    assert!(stats.fetches < 30, "{stats:?}");
    drop(file);
    fs.unmount().unwrap();
}

#[test]
fn readers_of_one_file_share_what_they_read() {
    let fs = filesystem(MemoryVolume::new(u64::MAX));
    let (id, data) = cold_file(&fs);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let file = fs.open(id).unwrap();
                let parts = file.read_bytes(0, u64::MAX).unwrap();
                assert!(parts.concat() == data);
            });
        }
    });
    assert_eq!(fs.read_stats().decompressions, 40);
    fs.unmount().unwrap();
}

#[test]
fn what_is_read_ahead_is_over_at_unmount() {
    for _ in 0..20 {
        let fs = filesystem(MemoryVolume::new(u64::MAX));
        let (id, data) = cold_file(&fs);
        let file = fs.open(id).unwrap();
        let parts = file.read_bytes(0, 300_000).unwrap();
        assert!(parts.concat() == data[..300_000]);
        drop((parts, file));
        fs.unmount().unwrap();
    }
}

#[test]
fn what_is_in_front_of_damage_is_read() {
    let fs = filesystem(MemoryVolume::new(u64::MAX));
    let (id, data) = cold_file(&fs);
    assert!(fs.volume().damage(id, 3 * 131_072, 0));
    let file = fs.open(id).unwrap();
    let parts = file.read_bytes(1000, 1 << 20).unwrap();
    assert!(parts.concat() == data[1000..3 * 131_072]);
    let fs_core::Error::Read(error) = file.read_bytes(3 * 131_072, 10).unwrap_err() else {
        panic!("another error");
    };
    assert_eq!(error.range(), 3 * 131_072..4 * 131_072);
    let parts = file.read_bytes(error.range().end, 1 << 20).unwrap();
    assert!(parts.concat() == data[4 * 131_072..4 * 131_072 + (1 << 20)]);
    // Nothing of it may be taken for what a partial write keeps.
    let error = file.write(3 * 131_072 + 1, b"x").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
}

#[test]
fn what_was_synced_survives_a_power_cut() {
    let volume = MemoryVolume::with_faults(u64::MAX, Faults::remembering_commits());
    let fs = filesystem(volume);
    let id = new_file(&fs, "a");
    let file = fs.open(id).unwrap();
    file.write(0, &text(300_000)).unwrap();
    file.fsync().unwrap();
    file.write(300_000, &text(10)).unwrap();
    fs.volume().power_cut();
    assert_eq!(fs.volume().attrs(id).unwrap().size, 300_000);
}
