//! What went wrong with codecs of others, each as a test.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::ops::RangeInclusive;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use compress::{Codec, CodecId, Compressor, Decompressor, Error, Registry, Workspaces};

const ID: CodecId = CodecId(77);
/// With this byte begins what brings it down.
const POISON: u8 = 0xff;

/// A codec that says that it made as many bytes as the source's first byte times 256, and whose
/// workspaces are never the same again once they met [`POISON`].
#[derive(Default)]
struct Fragile {
    made: Arc<AtomicUsize>,
}

#[derive(Default)]
struct Workspace {
    broken: bool,
}

impl Workspace {
    fn work(&mut self, src: &[u8]) -> usize {
        assert!(!self.broken, "lent again");
        self.broken = true;
        assert_ne!(src[0], POISON);
        self.broken = false;
        usize::from(src[0]) * 256
    }
}

impl Codec for Fragile {
    fn id(&self) -> CodecId {
        ID
    }
    fn name(&self) -> &'static str {
        "fragile"
    }
    fn levels(&self) -> RangeInclusive<i32> {
        1..=1
    }
    fn default_level(&self) -> i32 {
        1
    }
    fn compressor(&self, _: i32) -> Result<Box<dyn Compressor>, Error> {
        self.made.fetch_add(1, Ordering::SeqCst);
        Ok(Box::new(Workspace::default()))
    }
    fn decompressor(&self) -> Result<Box<dyn Decompressor>, Error> {
        self.made.fetch_add(1, Ordering::SeqCst);
        Ok(Box::new(Workspace::default()))
    }
}

impl Compressor for Workspace {
    fn compress(&mut self, src: &[u8], _: &mut [u8]) -> Result<Option<usize>, Error> {
        Ok(Some(self.work(src)))
    }
}

impl Decompressor for Workspace {
    fn decompress(&mut self, src: &[u8], _: &mut [u8]) -> Result<usize, Error> {
        Ok(self.work(src))
    }
}

fn panics<T>(call: impl FnOnce() -> T) -> bool {
    catch_unwind(AssertUnwindSafe(|| drop(call()))).is_err()
}

/// A workspace in which a codec had panicked, half done, was lent to the next. Guarded by
/// `Shelf::discard` in the drops of the leases.
#[test]
fn a_workspace_is_lent_again_after_a_panic() {
    let codec = Fragile::default();
    let made = Arc::clone(&codec.made);
    let spaces = Workspaces::new(Registry::empty().with(codec), 1);
    spaces.reserve(ID, 1).unwrap();
    assert_eq!(
        (made.load(Ordering::SeqCst), spaces.existing()),
        (2, (1, 1))
    );
    assert!(panics(|| spaces
        .compressor(ID, 1)
        .unwrap()
        .compress(&[POISON], &mut [])));
    assert!(panics(|| spaces
        .decompressor(ID)
        .unwrap()
        .decompress(&[POISON], &mut [])));
    assert_eq!(spaces.existing(), (0, 0));
    let made_of = spaces.compressor(ID, 1).unwrap().compress(&[1], &mut []);
    assert_eq!(made_of, Ok(Some(256)));
    let made_of = spaces.decompressor(ID).unwrap().decompress(&[1], &mut []);
    assert_eq!(made_of, Ok(256));
    assert_eq!(
        (made.load(Ordering::SeqCst), spaces.existing()),
        (4, (1, 1))
    );
}

/// The other way round: who waits for one that does not come back is woken to make another.
/// Guarded by the `wake` of `Shelf::discard`.
#[test]
fn who_waits_for_a_workspace_that_is_given_up_sleeps_on() {
    let spaces = Workspaces::new(Registry::empty().with(Fragile::default()), 1);
    let mut lease = spaces.compressor(ID, 1).unwrap();
    let (tell, told) = mpsc::channel();
    let waiter = spaces.clone();
    thread::spawn(move || {
        let made = waiter.compressor(ID, 1).unwrap().compress(&[1], &mut []);
        tell.send(made).unwrap();
    });
    thread::sleep(Duration::from_millis(50));
    assert!(panics(move || lease.compress(&[POISON], &mut [])));
    assert_eq!(
        told.recv_timeout(Duration::from_secs(10)),
        Ok(Ok(Some(256)))
    );
}
