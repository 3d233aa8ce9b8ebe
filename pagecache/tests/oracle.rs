//! The cache against a vector of bytes: whatever is done, contents, snapshots and counters agree.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::ops::Range;

use pagecache::{Cache, Error, FOLIO_SIZE, Mapping, PAGE_SIZE, Snapshot, WritebackEnd};
use proptest::prelude::*;

/// Files reach a little into the third folio.
const LONGEST: u64 = 2 * FOLIO_SIZE + 3 * PAGE_SIZE;

#[derive(Clone, Debug)]
enum Step {
    Write {
        at: u64,
        len: u64,
        byte: u8,
    },
    WriteWith {
        at: u64,
        len: u64,
        ends: u64,
        byte: u8,
    },
    Truncate {
        to: u64,
    },
    Claim {
        page: u64,
        pages: u64,
    },
    ClaimNext {
        from_page: u64,
    },
    End {
        pick: usize,
        redirty: bool,
    },
    Fill {
        page: u64,
        len: u64,
    },
    Insert {
        page: u64,
        len: u64,
    },
    Invalidate {
        at: u64,
        len: u64,
    },
    Discard {
        page: u64,
        pages: u64,
    },
    Read {
        at: u64,
        len: u64,
    },
    Hold {
        at: u64,
        len: u64,
    },
    Release,
    Reclaim {
        bytes: u64,
    },
    Forget,
}

fn steps() -> impl Strategy<Value = Step> {
    let at = || {
        prop_oneof![
            0..LONGEST,
            0..4 * PAGE_SIZE,
            FOLIO_SIZE - 5000..FOLIO_SIZE + 5000
        ]
    };
    let len = || prop_oneof![0..300u64, 0..3 * PAGE_SIZE, 0..LONGEST];
    let page = || 0..LONGEST / PAGE_SIZE;
    prop_oneof![
        4 => (at(), len(), any::<u8>()).prop_map(|(at, len, byte)| Step::Write { at, len, byte }),
        4 => (at(), len(), len(), any::<u8>())
            .prop_map(|(at, len, ends, byte)| Step::WriteWith { at, len, ends, byte }),
        2 => at().prop_map(|to| Step::Truncate { to }),
        3 => (page(), 1..33u64).prop_map(|(page, pages)| Step::Claim { page, pages }),
        3 => page().prop_map(|from_page| Step::ClaimNext { from_page }),
        4 => (any::<usize>(), any::<bool>()).prop_map(|(pick, redirty)| Step::End { pick, redirty }),
        2 => (page(), len()).prop_map(|(page, len)| Step::Fill { page, len }),
        2 => (page(), 0..FOLIO_SIZE).prop_map(|(page, len)| Step::Insert { page, len }),
        1 => (at(), len()).prop_map(|(at, len)| Step::Invalidate { at, len }),
        1 => (page(), 0..40u64).prop_map(|(page, pages)| Step::Discard { page, pages }),
        2 => (at(), len()).prop_map(|(at, len)| Step::Read { at, len }),
        1 => (at(), len()).prop_map(|(at, len)| Step::Hold { at, len }),
        1 => Just(Step::Release),
        2 => (0..4 * FOLIO_SIZE).prop_map(|bytes| Step::Reclaim { bytes }),
        1 => Just(Step::Forget),
    ]
}

/// What the cache must show, and a device for what it dropped.
struct World {
    cache: Cache,
    file: Mapping,
    /// What readers must see.
    oracle: Vec<u8>,
    /// What the device has, up to `LONGEST` rounded up.
    device: Vec<u8>,
    /// Under writeback, with the contents at the claim, and whether those are still the file's.
    claimed: Vec<(Snapshot, Vec<u8>, Vec<Range<u64>>)>,
    held: Vec<(bytes::Bytes, Vec<u8>)>,
}

fn clip(range: Range<u64>, size: u64) -> Range<u64> {
    range.start.min(size)..range.end.min(size)
}

impl World {
    fn new(budget: u64) -> Self {
        let cache = Cache::new(budget);
        Self {
            file: Mapping::new(&cache),
            cache,
            oracle: Vec::new(),
            device: vec![0; LONGEST as usize * 2],
            claimed: Vec::new(),
            held: Vec::new(),
        }
    }

    fn size(&self) -> u64 {
        self.oracle.len() as u64
    }

    fn fetch(&self, range: &Range<u64>) -> Vec<u8> {
        // What lies behind the file's end is stale on the device on purpose.
        self.device[range.start as usize..range.end as usize].to_vec()
    }

    fn put(&mut self, at: u64, data: &[u8]) {
        if data.is_empty() {
            return;
        }
        let end = at as usize + data.len();
        // A hole that the file's growth makes is zero on the device, too.
        let old = self.oracle.len();
        if (at as usize) > old {
            self.device[old..at as usize].fill(0);
        }
        if end > old {
            self.oracle.resize(end, 0);
        }
        self.oracle[at as usize..end].copy_from_slice(data);
    }

    fn fill_missing(&self, ranges: &[Range<u64>]) {
        for range in ranges {
            let fetched = self.fetch(range);
            self.file.fill(range.start, &fetched);
        }
    }

    fn write(&mut self, at: u64, data: &[u8]) {
        let mut done = 0;
        for _ in 0..3 {
            match self.file.write(at + done as u64, &data[done..]) {
                Ok(()) => {
                    self.put(at, data);
                    return;
                }
                Err(missing) => {
                    assert!(!missing.ranges.is_empty());
                    done += missing.written as usize;
                    self.fill_missing(&missing.ranges);
                }
            }
        }
        panic!("pages that were filled are missing again");
    }

    fn write_with(&mut self, at: u64, len: u64, ends: u64, byte: u8) {
        let data: Vec<u8> = (0..len.min(ends))
            .map(|n| byte.wrapping_add(n as u8))
            .collect();
        let mut taken = 0;
        for _ in 0..4 {
            let start = taken;
            let result = self
                .file
                .write_with(at + start as u64, len - start as u64, |window| {
                    let n = window.len().min(data.len() - taken).min(70_000);
                    window[..n].copy_from_slice(&data[taken..taken + n]);
                    taken += n;
                    Ok(n)
                });
            match result {
                Ok(n) => {
                    assert_eq!(start as u64 + n, data.len() as u64);
                    self.put(at, &data);
                    return;
                }
                Err(Error::MissingPages(missing)) => {
                    assert_eq!(missing.written, (taken - start) as u64);
                    self.fill_missing(&missing.ranges);
                }
                Err(Error::MissingTail {
                    written,
                    offset,
                    bytes,
                    missing,
                }) => {
                    assert_eq!(at + start as u64 + written, offset);
                    assert_eq!(offset + bytes.len() as u64, at + taken as u64);
                    self.put(at, &data[..start + written as usize]);
                    self.fill_missing(&missing.ranges);
                    self.write(offset, &bytes);
                }
                Err(error) => panic!("{error}"),
            }
        }
        panic!("pages that were filled are missing again");
    }

    /// Everything that the cache says it has is right, and the rest is right on the device.
    fn check(&self) {
        self.file.check_invariants();
        assert_eq!(self.file.size(), self.size());
        let lookup = self.file.lookup(0..self.size());
        let mut next = 0;
        let mut parts: Vec<(Range<u64>, Option<&[u8]>)> = lookup
            .present
            .iter()
            .map(|present| (present.range.clone(), Some(&present.bytes[..])))
            .chain(lookup.missing.iter().map(|range| (range.clone(), None)))
            .collect();
        parts.sort_by_key(|part| part.0.start);
        for (range, bytes) in parts {
            assert_eq!(range.start, next, "gap or overlap in a lookup");
            next = range.end;
            let range = clip(range, self.size());
            let want = &self.oracle[range.start as usize..range.end as usize];
            let is = bytes.unwrap_or(&self.device[range.start as usize..range.end as usize]);
            if is != want {
                let at = is.iter().zip(want).position(|(a, b)| a != b).unwrap();
                panic!(
                    "byte {} of {range:?} (cached: {}): {} instead of {}",
                    range.start + at as u64,
                    bytes.is_some(),
                    is[at],
                    want[at]
                );
            }
        }
        for (snapshot, contents, _) in &self.claimed {
            assert_eq!(&snapshot.bytes[..], &contents[..], "a snapshot changed");
        }
        for (bytes, contents) in &self.held {
            assert_eq!(&bytes[..], &contents[..], "what a reader holds changed");
        }
        let stats = self.cache.stats();
        assert_eq!(stats.dirty, self.file.dirty_bytes());
        assert_eq!(stats.writeback, self.file.writeback_bytes());
    }

    fn claimed(&mut self, snapshot: Snapshot) {
        let range = snapshot.range();
        assert_eq!(snapshot.file_size, self.size());
        let mut want =
            self.oracle[range.start as usize..range.end.min(self.size()) as usize].to_vec();
        want.resize(snapshot.bytes.len(), 0);
        assert_eq!(&snapshot.bytes[..], &want[..]);
        for (other, ..) in &self.claimed {
            let other = other.range();
            assert!(
                range.end <= other.start || other.end <= range.start,
                "claimed twice"
            );
        }
        self.claimed.push((snapshot, want, Vec::new()));
    }

    /// The file no longer has anything in `range`: writeback that ends later doesn't count.
    fn dropped(&mut self, range: Range<u64>) {
        for (.., dropped) in &mut self.claimed {
            dropped.push(range.clone());
        }
    }

    fn end(&mut self, pick: usize, redirty: bool) {
        if self.claimed.is_empty() {
            return;
        }
        let (snapshot, contents, dropped) = self.claimed.swap_remove(pick % self.claimed.len());
        let range = snapshot.range();
        drop(snapshot);
        if !redirty {
            for (n, byte) in contents.iter().enumerate() {
                let at = range.start + n as u64;
                if !dropped.iter().any(|range| range.contains(&at)) {
                    self.device[at as usize] = *byte;
                }
            }
        }
        let end = if redirty {
            WritebackEnd::Redirty
        } else {
            WritebackEnd::Done
        };
        self.file.end_writeback(range, end);
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Write { at, len, byte } => {
                let data: Vec<u8> = (0..len).map(|n| byte.wrapping_mul(n as u8 | 1)).collect();
                self.write(at, &data);
            }
            Step::WriteWith {
                at,
                len,
                ends,
                byte,
            } => self.write_with(at, len, ends, byte),
            Step::Truncate { to } => {
                if to < self.size() {
                    // As a filesystem does: the device gets zeros where the file ended in a page.
                    let page_end = to.next_multiple_of(PAGE_SIZE).min(self.size());
                    self.write(to, &vec![0; (page_end - to) as usize]);
                    self.dropped(to.next_multiple_of(PAGE_SIZE)..u64::MAX);
                    let from = to.next_multiple_of(PAGE_SIZE) as usize;
                    self.device[from..].fill(0xee);
                } else {
                    self.device[self.oracle.len()..to as usize].fill(0);
                }
                self.file.truncate(to);
                self.oracle.resize(to as usize, 0);
            }
            Step::Claim { page, pages } => {
                let start = page * PAGE_SIZE;
                let end = (start + pages * PAGE_SIZE).min((start / FOLIO_SIZE + 1) * FOLIO_SIZE);
                let dirty = self.file.dirty_ranges(start..end);
                match self.file.claim(start..end) {
                    Some(snapshot) => {
                        assert_eq!(dirty, vec![start..end]);
                        assert_eq!(snapshot.range(), start..end);
                        assert_eq!(self.file.dirty_ranges(start..end), Vec::new());
                        self.claimed(snapshot);
                    }
                    None => assert_eq!(self.file.dirty_ranges(start..end), dirty),
                }
            }
            Step::ClaimNext { from_page } => {
                if let Some(snapshot) = self.file.claim_next(from_page * PAGE_SIZE..1 << 40) {
                    self.claimed(snapshot);
                }
            }
            Step::End { pick, redirty } => self.end(pick, redirty),
            Step::Fill { page, len } => {
                let start = page * PAGE_SIZE;
                let fetched = self.fetch(&(start..(start + len).next_multiple_of(PAGE_SIZE)));
                self.file.fill(start, &fetched);
            }
            Step::Insert { page, len } => {
                let start = page * PAGE_SIZE;
                let end = (start + len).next_multiple_of(PAGE_SIZE);
                let end = end.min((start / FOLIO_SIZE + 1) * FOLIO_SIZE);
                let fetched = self.fetch(&(start..end));
                self.file
                    .fill_with(start, fetched.len(), |buffer| {
                        buffer.copy_from_slice(&fetched);
                        Ok::<(), ()>(())
                    })
                    .unwrap();
            }
            Step::Invalidate { at, len } => {
                self.file.invalidate(at..at + len);
            }
            Step::Discard { page, pages } => {
                let range = page * PAGE_SIZE..(page + pages) * PAGE_SIZE;
                self.file.discard(range.clone());
                let in_file = clip(range.clone(), self.size());
                self.oracle[in_file.start as usize..in_file.end as usize].fill(0);
                self.device[range.start as usize..range.end as usize].fill(0);
                for (.., dropped) in &mut self.claimed {
                    dropped.push(range.clone());
                }
            }
            Step::Read { at, len } => {
                let range = clip(at..at + len, self.size());
                let mut buffer = vec![0xaa; (range.end - range.start) as usize];
                let n = self.file.read(range.start, &mut buffer);
                let from = range.start as usize;
                assert_eq!(buffer[..n], self.oracle[from..from + n]);
                if n < buffer.len() {
                    let next = range.start + n as u64;
                    assert!(self.file.read_bytes(next..next + 1).is_none());
                }
            }
            Step::Hold { at, len } => {
                let range = clip(at..at + len, self.size());
                for present in self.file.lookup(range).present {
                    let contents = present.bytes.to_vec();
                    self.held.push((present.bytes, contents));
                }
            }
            Step::Release => self.held.clear(),
            Step::Reclaim { bytes } => {
                let before = self.cache.stats().resident;
                let freed = self.cache.reclaim(bytes);
                assert_eq!(before - self.cache.stats().resident, freed);
            }
            Step::Forget => self.file.forget(),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn behaves_as_a_vector_of_bytes(
        budget in prop_oneof![Just(0), Just(3 * FOLIO_SIZE), Just(1 << 24)],
        steps in prop::collection::vec(steps(), 1..60),
    ) {
        let mut world = World::new(budget);
        for step in steps {
            world.step(step);
            world.check();
        }
        world.held.clear();
        while !world.claimed.is_empty() {
            world.end(0, false);
        }
        while let Some(snapshot) = world.file.claim_next(0..1 << 40) {
            world.claimed(snapshot);
            world.end(0, false);
        }
        world.check();
        let stats = world.cache.stats();
        prop_assert_eq!((stats.dirty, stats.writeback), (0, 0));
        world.cache.reclaim(u64::MAX);
        prop_assert_eq!(world.cache.stats().resident, 0, "something clean wasn't reclaimed");
        world.check();
        prop_assert_eq!(&world.oracle[..], &world.device[..world.oracle.len()]);
        let World { cache, file, .. } = world;
        drop(file);
        prop_assert_eq!(cache.stats().resident, 0);
    }
}
