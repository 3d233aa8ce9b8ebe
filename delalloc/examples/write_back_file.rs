//! A file with a write-back cache in front of it: `pagecache` holds the bytes, `delalloc` knows
//! which of them are still to be written, and how much room they were promised.
//!
//! `cargo run --release -p delalloc --example write_back_file`

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use delalloc::{
    Delalloc, Limits, NoPageLocks, Space, SpaceLedger, SyncMode, WritebackControl, plan_pieces,
};
use pagecache::{Cache, Mapping, PAGE_SIZE, WritebackEnd};

struct WriteBackFile {
    file: File,
    pages: Mapping,
    dirty: Arc<Delalloc>,
}

impl WriteBackFile {
    fn new(file: File, cache: &Cache, ledger: &SpaceLedger) -> io::Result<Self> {
        let pages = Mapping::with_size(cache, file.metadata()?.len());
        let dirty = Delalloc::new(ledger);
        Ok(Self { file, pages, dirty })
    }

    /// Touches no disk but for pages that it covers in part and that nobody read yet. Where there is
    /// no room the writer learns it here, and not at writeback.
    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let end = offset + data.len() as u64;
        let range = offset / PAGE_SIZE * PAGE_SIZE..end.next_multiple_of(PAGE_SIZE);
        let promised = self.dirty.reserve(range.clone());
        let promised = promised.map_err(|error| io::Error::other(error.to_string()))?;
        while let Err(missing) = self.pages.write(offset, data) {
            for page in missing.ranges {
                let mut bytes = vec![0; (page.end - page.start) as usize];
                let got = self.file.read_at(&mut bytes, page.start)?;
                self.pages.fill(page.start, &bytes[..got]);
            }
        }
        self.dirty.dirty(range, promised).ignore();
        Ok(())
    }

    /// Writes what is dirty, in runs as long as they are, at most 128 KiB at a time.
    fn flush(&self) -> io::Result<u64> {
        let mut wbc = WritebackControl::whole(SyncMode::All);
        let mut from = 0;
        while let Some((mut claim, ())) =
            self.dirty.claim_next(&NoPageLocks, from, &mut wbc, 4 << 20)
        {
            from = claim.range().end;
            for piece in plan_pieces(claim.range(), self.pages.size()) {
                let part = claim.split_to(piece.range.end);
                let Some(snapshot) = self.pages.claim(piece.range.clone()) else {
                    continue;
                };
                // Writers who come now change a copy.
                let data = &snapshot.bytes[..piece.data_len as usize];
                let written = self.file.write_all_at(data, snapshot.offset);
                let end = match written {
                    Ok(()) => WritebackEnd::Done,
                    Err(_) => WritebackEnd::Redirty,
                };
                self.pages.end_writeback(snapshot.range(), end);
                match written {
                    Ok(()) => part.order(piece.range.end - piece.range.start).complete(),
                    Err(error) => {
                        part.redirty();
                        return Err(error);
                    }
                }
            }
        }
        self.file.sync_data()?;
        Ok(wbc.nr_written())
    }
}

fn main() -> io::Result<()> {
    let path = std::env::temp_dir().join(format!("write_back_file-{}", std::process::id()));
    std::fs::write(&path, vec![b'.'; 10_000])?;
    let file = File::options().read(true).write(true).open(&path)?;
    std::fs::remove_file(&path)?;

    let cache = Cache::new(16 << 20);
    let ledger = SpaceLedger::new(Limits {
        data: 8 << 20,
        ..Limits::UNLIMITED
    });
    let file = WriteBackFile::new(file, &cache, &ledger)?;
    for n in 0..1000 {
        file.write(n * 1000, format!("line {n}").as_bytes())?;
    }
    println!("{} KiB are dirty", file.dirty.bytes() >> 10);
    println!("{} pages written", file.flush()?);
    assert!(file.write(0, &vec![0; 16 << 20]).is_err());

    let mut all = vec![0; file.pages.size() as usize];
    file.file.read_exact_at(&mut all, 0)?;
    assert_eq!(
        (&all[5000..5006], &all[9990..9999]),
        (&b"line 5"[..], &b"........."[..])
    );
    assert!(file.dirty.is_settled() && ledger.counters(Space::Data).is_settled());
    Ok(())
}
