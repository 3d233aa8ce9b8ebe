//! The example compresses what any zstd decompresses, within its budget, and
//! reports errors.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex};

use ordered_wq::Budget;

#[path = "../examples/parallel_zstd.rs"]
#[expect(dead_code, reason = "main is for the command line")]
mod example;

/// What was written, and after how many writes it fails.
#[derive(Clone)]
struct Sink(Arc<Mutex<(Vec<u8>, usize)>>);

impl Sink {
    fn failing_after(writes: usize) -> Self {
        Self(Arc::new(Mutex::new((Vec::new(), writes))))
    }

    fn written(&self) -> Vec<u8> {
        self.0.lock().unwrap().0.clone()
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let (written, left) = &mut *self.0.lock().unwrap();
        *left = left.checked_sub(1).ok_or(io::ErrorKind::StorageFull)?;
        written.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Text, and in the middle what doesn't compress.
fn content(len: usize) -> Vec<u8> {
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let noise = move |at: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        match at / (3 << 20) {
            1 => seed as u8,
            _ => b"on the quick brown fox"[at % 13 + (seed % 9) as usize],
        }
    };
    (0..len).map(noise).collect()
}

fn unpacked(packed: &[u8], len: usize) -> Vec<u8> {
    let mut content = vec![0; len + 1];
    let made = zstd_safe::decompress(&mut content[..], packed).unwrap();
    content.truncate(made);
    content
}

#[test]
fn any_zstd_reads_the_file_and_memory_is_bounded() {
    for len in [0, 1, 1 << 20, (9 << 20) + 12_345] {
        let content = content(len);
        let sink = Sink::failing_after(usize::MAX);
        let budget = Budget::new(6 << 20);
        example::compress(&content[..], sink.clone(), 1, (2, &budget)).unwrap();
        let packed = sink.written();
        assert!(!packed.is_empty(), "an empty file is a frame, too");
        assert_eq!(unpacked(&packed, len), content, "{len}");
        assert!(budget.high_water() <= budget.limit());
        assert_eq!(budget.used(), 0);
    }
}

#[test]
fn an_error_of_the_output_ends_it_without_a_gap() {
    let content = content(9 << 20);
    for writes in 0..3 {
        let sink = Sink::failing_after(writes);
        let budget = Budget::new(6 << 20);
        let result = example::compress(&content[..], sink.clone(), 1, (2, &budget));
        assert_eq!(result.unwrap_err().kind(), io::ErrorKind::StorageFull);
        let whole = unpacked(&sink.written(), content.len());
        assert_eq!(whole, content[..writes << 20]);
        assert_eq!(budget.used(), 0);
    }
}

struct Broken;
impl Read for Broken {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::ConnectionReset.into())
    }
}

#[test]
fn errors_of_the_input_and_of_the_codec_are_reported() {
    let budget = Budget::new(6 << 20);
    let sink = || Sink::failing_after(usize::MAX);
    let input = [7; 100].chain(Broken);
    let error = example::compress(input, sink(), 1, (2, &budget)).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    let error = example::compress(&b"text"[..], sink(), 99, (2, &budget)).unwrap_err();
    assert!(error.to_string().contains("level 99"), "{error}");
    assert_eq!(budget.used(), 0);
}
