//! Contents of files, by the plainest way: each extent on its own, verified and decompressed.

use std::io::Read;

use btrfs_volume::ondisk::compression;
use btrfs_volume::reader::ExtentSource;
use btrfs_volume::{Bytenr, Error, InodeId, Reader, Result, Volume};

/// All bytes of a file.
pub fn read_file(volume: &Volume, id: InodeId) -> Result<Vec<u8>> {
    let size = volume.inode(id)?.size;
    let mut content = Vec::new();
    for extent in volume.extents(id, 0..size)? {
        assert_eq!(extent.start, content.len() as u64, "no gaps");
        let len = extent.len as usize;
        let piece = match &extent.source {
            ExtentSource::Hole | ExtentSource::Prealloc { .. } => vec![0; len],
            ExtentSource::Inline {
                data,
                compression,
                ram_bytes,
            } => {
                let mut piece = decompress(*compression, data, *ram_bytes as usize);
                piece.resize(len, 0);
                piece
            }
            ExtentSource::Raw { bytenr, offset, .. } => {
                verified(volume, Bytenr(bytenr.0 + offset), len)?
            }
            ExtentSource::Compressed {
                bytenr,
                disk_num_bytes,
                ram_bytes,
                offset,
                compression,
            } => {
                let stored = verified(volume, *bytenr, *disk_num_bytes as usize)?;
                let mut all = decompress(*compression, &stored, *ram_bytes as usize);
                all.resize((offset + extent.len) as usize, 0);
                all.split_off(*offset as usize)
            }
        };
        content.extend_from_slice(&piece);
    }
    content.truncate(size as usize);
    Ok(content)
}

/// Bytes of the first copy whose checksums match.
fn verified(volume: &Volume, bytenr: Bytenr, len: usize) -> Result<Vec<u8>> {
    let storage = volume.storage();
    for mirror in 0..storage.mirrors(bytenr).max(1) {
        let bytes = storage.read(bytenr, len, mirror)?;
        if volume.verify(bytenr, &bytes)?.is_empty() {
            return Ok(bytes.to_vec());
        }
    }
    // The tests only look at whether it is an error.
    Err(Error::NotBtrfs {
        reason: format!("checksum at {bytenr}"),
    })
}

/// What `data` decompresses to, at most `ram_bytes`.
pub fn decompress(codec: u8, data: &[u8], ram_bytes: usize) -> Vec<u8> {
    let mut out = vec![0; ram_bytes];
    let len = match codec {
        compression::NONE => {
            let len = data.len().min(ram_bytes);
            out[..len].copy_from_slice(&data[..len]);
            len
        }
        compression::ZLIB => {
            let mut decoder = flate2::read::ZlibDecoder::new(data);
            let mut len = 0;
            while len < out.len() {
                match decoder.read(&mut out[len..]).unwrap() {
                    0 => break,
                    more => len += more,
                }
            }
            len
        }
        compression::LZO => lzo(data, &mut out),
        compression::ZSTD => {
            let frame = zstd_safe::find_frame_compressed_size(data).unwrap();
            zstd_safe::decompress(&mut out[..], &data[..frame]).unwrap()
        }
        other => panic!("codec {other}"),
    };
    out.truncate(len);
    out
}

fn lzo(data: &[u8], out: &mut [u8]) -> usize {
    const SECTOR: usize = 4096;
    let word = |at: usize| u32::from_le_bytes(data[at..at + 4].try_into().unwrap()) as usize;
    let total = word(0);
    let (mut at, mut done) = (4, 0);
    while at < total && done < out.len() {
        if SECTOR - at % SECTOR < 4 {
            at = at.next_multiple_of(SECTOR);
        }
        let len = word(at);
        at += 4;
        let mut segment = [0; SECTOR];
        let got = lzokay::decompress::decompress(&data[at..at + len], &mut segment).unwrap();
        at += len;
        let take = got.min(out.len() - done);
        out[done..done + take].copy_from_slice(&segment[..take]);
        done += take;
    }
    done
}
