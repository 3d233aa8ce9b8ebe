//! What went wrong with codecs of others, each as a test.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::ops::RangeInclusive;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use compress::{
    Codec, CodecId, Compressor, Decompressor, Error, Method, RawReason, Registry, Verdict,
    Workspaces, compress_inline, compress_piece,
};

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

/// A codec said that it had made more bytes than there was room for, or none, or it panicked:
/// the piece was compressed to nothing, or writeback panicked. Guarded by `catch_unwind` and the check
/// of the length in `attempt`.
#[test]
fn a_codec_that_lies_or_panics_takes_the_piece_along() {
    let spaces = Workspaces::new(Registry::empty().with(Fragile::default()), 1);
    let method = Method {
        codec: ID,
        level: 1,
    };
    let mut dst = [0x55; 16_384];
    for (first, why) in [
        (0, "it says that it made 0 bytes where 8192 have room"),
        (33, "it says that it made 8448 bytes where 8192 have room"),
        (POISON, "it panicked"),
    ] {
        let (codec, why) = ("fragile", why.to_owned());
        let len = 12_288;
        let raw = Verdict::Raw(RawReason::Failed(Error::Compress { codec, len, why }));
        let verdict = compress_piece(&spaces, method, &[first; 12_288], &mut dst, 4096);
        assert_eq!(verdict, raw);
        let verdict = compress_inline(&spaces, method, &[first; 12_288], &mut dst, 8192);
        assert_eq!(verdict, raw);
    }
    let good = compress_piece(&spaces, method, &[32; 12_288], &mut dst, 4096);
    let (len, stored) = (8192, 8192);
    assert_eq!(good, Verdict::Compressed { len, stored });
    assert!(dst[8192..].iter().all(|byte| *byte == 0x55));
}

/// Guarded by `room_to_save`, which `compress_piece` asks before it divides.
#[test]
fn sectors_of_no_bytes_divide_by_zero() {
    let spaces = Workspaces::new(Registry::btrfs(), 1);
    let method = "zstd".parse::<compress::Spec>().unwrap().method().unwrap();
    let verdict = compress_piece(&spaces, method, &[0; 8192], &mut [0; 8192], 0);
    assert_eq!(verdict, Verdict::Raw(RawReason::TooShort));
}
