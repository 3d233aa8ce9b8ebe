//! Round trips, and bytes that are no items.

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use uuid::Uuid;

use super::*;

fn key() -> impl Strategy<Value = Key> {
    any::<(u64, u8, u64)>().prop_map(|(o, t, f)| Key::new(o, t, f))
}

fn uuid() -> impl Strategy<Value = Uuid> {
    any::<u128>().prop_map(Uuid::from_u128)
}

fn name() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..300).prop_map(Bytes::from)
}

fn time() -> impl Strategy<Value = Timespec> {
    any::<(i64, u32)>().prop_map(|(secs, nanos)| Timespec { secs, nanos })
}

fn dev_item() -> impl Strategy<Value = DevItem> {
    let numbers = any::<([u64; 6], [u32; 4], u8, u8)>();
    (numbers, uuid(), uuid()).prop_map(|((l, w, seek_speed, bandwidth), uuid, fsid)| DevItem {
        devid: l[0],
        total_bytes: l[1],
        bytes_used: l[2],
        io_align: w[0],
        io_width: w[1],
        sector_size: w[2],
        dev_type: l[3],
        generation: l[4],
        start_offset: l[5],
        dev_group: w[3],
        seek_speed,
        bandwidth,
        uuid,
        fsid,
    })
}

fn stripe() -> impl Strategy<Value = Stripe> {
    (any::<u64>(), any::<u64>(), uuid()).prop_map(|(devid, offset, dev_uuid)| Stripe {
        devid,
        offset,
        dev_uuid,
    })
}

fn chunk() -> impl Strategy<Value = Chunk> {
    let numbers = any::<([u64; 4], [u32; 3], u16)>();
    (numbers, vec(stripe(), 1..5)).prop_map(|((l, w, sub_stripes), stripes)| Chunk {
        length: l[0],
        owner: l[1],
        stripe_len: l[2],
        flags: l[3],
        io_align: w[0],
        io_width: w[1],
        sector_size: w[2],
        sub_stripes,
        stripes,
    })
}

fn inode() -> impl Strategy<Value = InodeItem> {
    let numbers = any::<([u64; 8], [u32; 4])>();
    (numbers, [time(), time(), time(), time()]).prop_map(|((l, w), t)| InodeItem {
        generation: l[0],
        transid: l[1],
        size: l[2],
        nbytes: l[3],
        block_group: l[4],
        nlink: w[0],
        uid: w[1],
        gid: w[2],
        mode: w[3],
        rdev: l[5],
        flags: l[6],
        sequence: l[7],
        atime: t[0],
        ctime: t[1],
        mtime: t[2],
        otime: t[3],
    })
}

fn root_item() -> impl Strategy<Value = RootItem> {
    let numbers = any::<([u64; 11], u32, u8)>();
    let drop_progress = proptest::option::of((key(), 1..8u8));
    let uuids = [uuid(), uuid(), uuid()];
    let times = [time(), time(), time(), time()];
    (inode(), numbers, drop_progress, uuids, times).prop_map(
        |(inode, (l, refs, level), drop_progress, u, t)| RootItem {
            inode,
            generation: l[0],
            root_dirid: l[1],
            bytenr: l[2],
            byte_limit: l[3],
            bytes_used: l[4],
            last_snapshot: l[5],
            flags: l[6],
            refs,
            drop_progress,
            level,
            generation_v2: l[0],
            uuid: u[0],
            parent_uuid: u[1],
            received_uuid: u[2],
            ctransid: l[7],
            otransid: l[8],
            stransid: l[9],
            rtransid: l[10],
            ctime: t[0],
            otime: t[1],
            stime: t[2],
            rtime: t[3],
        },
    )
}

fn file_extent() -> impl Strategy<Value = FileExtentItem> {
    let kind = prop_oneof![
        name().prop_map(|data| ExtentKind::Inline { data }),
        any::<[u64; 4]>().prop_map(|l| ExtentKind::Regular {
            disk_bytenr: l[0],
            disk_num_bytes: l[1],
            offset: l[2],
            num_bytes: l[3],
        }),
        any::<[u64; 4]>().prop_map(|l| ExtentKind::Prealloc {
            disk_bytenr: l[0],
            disk_num_bytes: l[1],
            offset: l[2],
            num_bytes: l[3],
        }),
    ];
    (any::<(u64, u64, u8, u8, u16)>(), kind).prop_map(
        |((generation, ram_bytes, compression, encryption, other_encoding), kind)| FileExtentItem {
            generation,
            ram_bytes,
            compression,
            encryption,
            other_encoding,
            kind,
        },
    )
}

fn inline_ref() -> impl Strategy<Value = InlineRef> {
    prop_oneof![
        any::<u64>().prop_map(|root| InlineRef::TreeBlock { root }),
        any::<u64>().prop_map(|parent| InlineRef::SharedBlock { parent }),
        any::<([u64; 3], u32)>().prop_map(|(l, count)| InlineRef::ExtentData(ExtentData {
            root: l[0],
            objectid: l[1],
            offset: l[2],
            count,
        })),
        any::<(u64, u32)>()
            .prop_map(|(parent, count)| InlineRef::SharedData(SharedDataRef { parent, count })),
        any::<u64>().prop_map(|root| InlineRef::Owner { root }),
    ]
}

fn superblock() -> impl Strategy<Value = Superblock> {
    let numbers = any::<([u64; 20], [u32; 4], u16, [u8; 3])>();
    let label = vec(1..=255u8, 0..256);
    let array = vec(any::<u8>(), 0..=2048);
    let backup = any::<[u64; 15]>().prop_map(|l| BackupRoot {
        tree_root: l[0],
        fs_root_generation: l[7],
        num_devices: l[14],
        csum_root_level: l[1] as u8,
        ..BackupRoot::default()
    });
    let uuids = [uuid(), uuid()];
    (numbers, dev_item(), label, array, backup, uuids).prop_map(
        |((l, w, csum_type, b), dev_item, label, sys_chunk_array, backup, u)| Superblock {
            fsid: u[0],
            bytenr: l[0],
            flags: l[1],
            generation: l[2],
            root: l[3],
            chunk_root: l[4],
            log_root: l[5],
            log_root_transid: l[6],
            total_bytes: l[7],
            bytes_used: l[8],
            root_dir_objectid: l[9],
            num_devices: l[10],
            sectorsize: w[0],
            nodesize: w[1],
            leafsize: w[2],
            stripesize: w[3],
            chunk_root_generation: l[11],
            compat_flags: l[12],
            compat_ro_flags: l[13],
            incompat_flags: l[14],
            csum_type,
            root_level: b[0],
            chunk_root_level: b[1],
            log_root_level: b[2],
            dev_item,
            label,
            cache_generation: l[15],
            uuid_tree_generation: l[16],
            metadata_uuid: u[1],
            nr_global_roots: l[17],
            sys_chunk_array,
            backup_roots: [BackupRoot::default(), backup, backup, BackupRoot::default()],
        },
    )
}

/// Encodes and decodes again; bytes that are cut or lengthened must not decode to the same.
macro_rules! round_trip {
    ($item:expr, $decode:expr) => {{
        let item = $item;
        let bytes = item.encode();
        prop_assert_eq!($decode(&bytes), Ok(item.clone()));
        for cut in [0, bytes.len() / 2, bytes.len() - 1] {
            prop_assert_ne!($decode(&bytes[..cut]), Ok(item.clone()));
        }
        let longer = [&bytes[..], &[0]].concat();
        prop_assert_ne!($decode(&longer[..]), Ok(item.clone()));
    }};
}

proptest! {
    #[test]
    fn items_come_back(
        dev_item in dev_item(),
        chunk in chunk(),
        inode in inode(),
        root_item in root_item(),
        (l, w, uuid) in (any::<[u64; 4]>(), any::<[u32; 2]>(), uuid()),
        name in name(),
    ) {
        round_trip!(dev_item, |b: &[u8]| DevItem::decode(b));
        round_trip!(chunk, |b: &[u8]| Chunk::decode(b));
        round_trip!(inode, |b: &[u8]| InodeItem::decode(b));
        round_trip!(root_item, |b: &[u8]| RootItem::decode(b));
        let block_group = BlockGroupItem { used: l[0], chunk_objectid: l[1], flags: l[2] };
        round_trip!(block_group, |b: &[u8]| BlockGroupItem::decode(b));
        let info = FreeSpaceInfo { extent_count: w[0], flags: w[1] };
        round_trip!(info, |b: &[u8]| FreeSpaceInfo::decode(b));
        let dev_extent = DevExtent {
            chunk_tree: l[0],
            chunk_objectid: l[1],
            chunk_offset: l[2],
            length: l[3],
            chunk_tree_uuid: uuid,
        };
        round_trip!(dev_extent, |b: &[u8]| DevExtent::decode(b));
        let data = ExtentData { root: l[0], objectid: l[1], offset: l[2], count: w[0] };
        round_trip!(data, |b: &[u8]| ExtentData::decode(b));
        let root_ref = RootRef { dirid: l[0], sequence: l[1], name };
        round_trip!(root_ref, |b: &[u8]| RootRef::decode(&Bytes::copy_from_slice(b)));
    }

    #[test]
    fn file_extents_come_back(item in file_extent()) {
        prop_assert_eq!(FileExtentItem::decode(&item.encode().into()), Ok(item));
    }

    #[test]
    fn extent_items_come_back(
        l in any::<[u64; 3]>(),
        node in proptest::option::of((key(), any::<u8>())),
        skinny: bool,
        inline_refs in vec(inline_ref(), 0..6),
    ) {
        let flag = if node.is_some() { extent_flags::TREE_BLOCK } else { extent_flags::DATA };
        let item = ExtentItem {
            refs: l[0],
            generation: l[1],
            flags: l[2] & !3 | flag,
            tree_block: node.filter(|_| !skinny),
            inline_refs,
        };
        let kind = if skinny { item_type::METADATA_ITEM } else { item_type::EXTENT_ITEM };
        prop_assert_eq!(ExtentItem::decode(kind, &item.encode()), Ok(item));
    }

    #[test]
    fn names_come_back(
        names in vec((any::<[u64; 2]>(), key(), name(), name(), any::<u8>()), 0..5),
    ) {
        let mut bytes = [Vec::new(), Vec::new(), Vec::new()];
        let mut refs = Vec::new();
        let mut extrefs = Vec::new();
        let mut entries = Vec::new();
        for (l, location, name, data, dir_type) in names {
            refs.push(InodeRef { index: l[0], name: name.clone() });
            extrefs.push(InodeExtref { parent: l[1], index: l[0], name: name.clone() });
            entries.push(DirItem { location, transid: l[0], dir_type, name, data });
            refs[refs.len() - 1].encode_into(&mut bytes[0]);
            extrefs[extrefs.len() - 1].encode_into(&mut bytes[1]);
            entries[entries.len() - 1].encode_into(&mut bytes[2]);
        }
        let [b0, b1, b2] = bytes.map(Bytes::from);
        prop_assert_eq!(InodeRef::iter(&b0).collect::<Result<Vec<_>, _>>(), Ok(refs));
        prop_assert_eq!(InodeExtref::iter(&b1).collect::<Result<Vec<_>, _>>(), Ok(extrefs));
        prop_assert_eq!(DirItem::iter(&b2).collect::<Result<Vec<_>, _>>(), Ok(entries));
    }

    #[test]
    fn superblocks_come_back(superblock in superblock()) {
        let bytes = superblock.encode();
        prop_assert_eq!(bytes.len(), SUPER_SIZE);
        prop_assert!(csum::is_sealed(&bytes));
        prop_assert_eq!(Superblock::decode(&bytes), Ok(superblock));
    }

    #[test]
    fn system_chunks_come_back(chunks in vec((key(), chunk()), 0..5)) {
        let mut superblock = Superblock::decode(&example()).unwrap();
        superblock.sys_chunk_array = Superblock::pack_sys_chunks(&chunks);
        prop_assert_eq!(superblock.sys_chunks(), Ok(chunks));
    }

    #[test]
    fn any_bytes_decode_or_are_refused(bytes in vec(any::<u8>(), 0..600), kind: u8) {
        let shared = Bytes::from(bytes.clone());
        let _ = DevItem::decode(&bytes);
        let _ = Chunk::decode(&bytes);
        let _ = InodeItem::decode(&bytes);
        let _ = RootItem::decode(&bytes);
        let _ = RootRef::decode(&shared);
        let _ = FileExtentItem::decode(&shared);
        for kind in [kind, item_type::EXTENT_ITEM, item_type::METADATA_ITEM] {
            let _ = ExtentItem::decode(kind, &bytes);
        }
        let _ = BlockGroupItem::decode(&bytes);
        let _ = FreeSpaceInfo::decode(&bytes);
        let _ = DevExtent::decode(&bytes);
        // Each entry takes bytes, so that there are never more entries than bytes.
        prop_assert!(InodeRef::iter(&shared).count() <= bytes.len());
        prop_assert!(InodeExtref::iter(&shared).count() <= bytes.len());
        prop_assert!(DirItem::iter(&shared).count() <= bytes.len());
        let mut superblock = example();
        for (at, byte) in bytes.iter().enumerate() {
            superblock[(at * 97 + 72) % SUPER_SIZE] = *byte;
        }
        if let Ok(superblock) = Superblock::decode(&superblock) {
            let _ = superblock.sys_chunks();
        }
    }
}

/// A superblock of zeros.
fn example() -> Vec<u8> {
    let mut bytes = vec![0; SUPER_SIZE];
    bytes[64..72].copy_from_slice(&SUPER_MAGIC.to_le_bytes());
    bytes
}

#[test]
fn an_old_root_item_has_no_uuid() {
    let item = RootItem {
        generation: 7,
        bytenr: 4096,
        uuid: Uuid::from_u128(1),
        ..RootItem::default()
    };
    // As written by a kernel that did not know the second part and left it behind.
    let bytes = item.encode();
    for bytes in [&bytes[..], &bytes[..239]] {
        let found = RootItem::decode(bytes).unwrap();
        assert_eq!(found.bytenr, 4096);
        assert!(found.uuid.is_nil());
    }
}

#[test]
fn hashes_are_those_of_the_format() {
    // The entry of every volume's root tree directory, as mkfs.btrfs writes it.
    assert_eq!(hash::name_hash(b"default"), 2_378_154_706);
    assert_eq!(hash::extent_data_ref_hash(5, 257, 0), expected_ref_hash());
}

/// By the definition, bit by bit.
fn expected_ref_hash() -> u64 {
    fn crc(mut crc: u32, bytes: &[u8]) -> u32 {
        for &byte in bytes {
            crc ^= u32::from(byte);
            for _ in 0..8 {
                crc = crc >> 1 ^ (0x82f6_3b78 & (crc & 1).wrapping_neg());
            }
        }
        crc
    }
    let high = crc(!0, &5u64.to_le_bytes());
    let low = crc(crc(!0, &257u64.to_le_bytes()), &0u64.to_le_bytes());
    u64::from(high) << 31 ^ u64::from(low)
}

#[test]
fn device_numbers_come_back() {
    for (major, minor) in [(0, 0), (1, 3), (0xfff, 0xf_ffff)] {
        let inode = InodeItem {
            rdev: InodeItem::encode_device(major, minor).unwrap(),
            ..InodeItem::default()
        };
        assert_eq!(inode.device(), (major, minor));
    }
    assert_eq!(InodeItem::encode_device(0x1000, 0), None);
    assert_eq!(InodeItem::encode_device(0, 0x10_0000), None);
}
