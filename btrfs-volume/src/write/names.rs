//! Inodes and their names.

use bytes::Bytes;

use super::inodes::Hot;
use super::state::State;
use crate::error::{Error, Result};
use crate::node::{ITEM_SIZE, leaf_capacity};
use crate::ondisk::hash::{extref_hash, name_hash};
use crate::ondisk::objectid::{FIRST_FREE, LAST_FREE};
use crate::ondisk::{
    DirItem, ExtentKind, FileExtentItem, InodeExtref, InodeItem, InodeRef, Key, dir_type, item_type,
};

/// Longest name.
const NAME_MAX: usize = 255;
/// Most names of an inode.
const LINK_MAX: u32 = 65535;
/// Bytes of a directory item before the name.
const DIR_ITEM_HEADER: usize = 30;

const S_IFMT: u32 = 0o170_000;
const S_IFDIR: u32 = 0o040_000;
const S_IFLNK: u32 = 0o120_000;

impl State {
    /// Makes an inode of the type and with the attributes in `new` (size, nbytes, nlink,
    /// generation and flags aside) and gives it a name.
    pub(crate) fn create(
        &mut self,
        tree: u64,
        dir: u64,
        name: &[u8],
        new: &InodeItem,
        target: &[u8],
    ) -> Result<u64> {
        self.check_room()?;
        self.check_new_name(tree, dir, name)?;
        if target.len() >= self.engine.storage.geometry().sectorsize as usize {
            return Err(Error::TooLarge {
                what: "the target of a symbolic link",
                len: target.len() as u64,
                max: u64::from(self.engine.storage.geometry().sectorsize) - 1,
            });
        }
        check_new_inode(new, target)?;
        let entry = self.entry(tree, dir, name, 0, dir_type_of(new.mode))?;
        // Whatever has to be read is read before there is an inode that may have no name.
        let index = self.next_index(tree, dir)?;
        let ino = self.next_ino(tree)?;
        let transid = self.engine.transid;
        let item = InodeItem {
            generation: transid,
            transid,
            size: target.len() as u64,
            nbytes: target.len() as u64,
            nlink: 1,
            flags: 0,
            ..*new
        };
        let hot = Hot {
            item,
            dirty: true,
            next_index: Some(2),
            extents_end: Some(0),
            fresh: true,
            scattered: 0,
        };
        self.inodes.insert(tree, ino, hot);
        if new.mode & S_IFMT == S_IFLNK {
            let item = FileExtentItem {
                generation: transid,
                ram_bytes: target.len() as u64,
                compression: 0,
                encryption: 0,
                other_encoding: 0,
                kind: ExtentKind::Inline {
                    data: Bytes::copy_from_slice(target),
                },
            };
            let key = Key::new(ino, item_type::EXTENT_DATA, 0);
            self.put_encoded(tree, key, |out| item.encode_into(out));
        }
        self.add_name(tree, (dir, index), name, ino, entry, new.ctime)?;
        Ok(ino)
    }

    /// Gives the inode `ino` another name.
    pub(crate) fn link(
        &mut self,
        tree: u64,
        ino: u64,
        dir: u64,
        name: &[u8],
        now: crate::ondisk::Timespec,
    ) -> Result<()> {
        self.check_room()?;
        self.check_new_name(tree, dir, name)?;
        let item = self.inode(tree, ino)?.item;
        if item.mode & S_IFMT == S_IFDIR {
            return Err(Error::WrongType {
                tree,
                ino,
                what: "linkable",
            });
        }
        if item.nlink == 0 {
            return Err(Error::NoInode { tree, ino });
        }
        if item.nlink >= LINK_MAX {
            return Err(Error::TooManyLinks { tree, ino });
        }
        let entry = self.entry(tree, dir, name, ino, dir_type_of(item.mode))?;
        let index = self.next_index(tree, dir)?;
        self.add_name(tree, (dir, index), name, ino, entry, now)?;
        let hot = self.inode_mut(tree, ino)?;
        hot.item.nlink += 1;
        hot.item.ctime = now;
        Ok(())
    }

    /// Sets an extended attribute.
    pub(crate) fn set_xattr(
        &mut self,
        tree: u64,
        ino: u64,
        name: &[u8],
        value: &[u8],
    ) -> Result<()> {
        self.check_room()?;
        if name.contains(&0) {
            return Err(Error::Invalid {
                what: "name of an attribute",
                problem: format!("\"{}\"", name.escape_ascii()),
            });
        }
        if name.is_empty() || name.len() > NAME_MAX {
            return Err(Error::TooLarge {
                what: "the name of an attribute",
                len: name.len() as u64,
                max: NAME_MAX as u64,
            });
        }
        let max = self.max_item();
        let too_large = |len: usize| Error::TooLarge {
            what: "an attribute",
            len: len as u64,
            max: max as u64,
        };
        let size = DIR_ITEM_HEADER + name.len() + value.len();
        if size > max {
            return Err(too_large(size));
        }
        let fresh = self.inode(tree, ino)?.fresh;
        let key = Key::new(ino, item_type::XATTR_ITEM, name_hash(name));
        let mut out = Vec::with_capacity(size);
        if let Some(old) = self.get_own(tree, &key, fresh)? {
            for entry in DirItem::iter(&old) {
                let entry = entry.map_err(|bad| Error::bad_item(tree, key, bad))?;
                if entry.name != name {
                    entry.encode_into(&mut out);
                }
            }
        }
        let transid = self.engine.transid;
        DirItem::encode_parts(Key::MIN, transid, dir_type::XATTR, name, value, &mut out);
        if out.len() > max {
            return Err(too_large(out.len()));
        }
        // Only now: what is refused changes nothing.
        self.inode_mut(tree, ino)?;
        self.scatter_item(fresh);
        self.put(tree, key, out);
        Ok(())
    }

    /// Bytes that the data of an item may have.
    fn max_item(&self) -> usize {
        leaf_capacity(self.engine.storage.geometry().nodesize as usize) - ITEM_SIZE
    }

    /// An item of an inode; a fresh one has nothing in the last commit.
    pub(crate) fn get_own(&self, tree: u64, key: &Key, fresh: bool) -> Result<Option<Bytes>> {
        if fresh {
            return Ok(self
                .overlays
                .get(&tree)
                .and_then(|overlay| overlay.get(key))
                .cloned()
                .flatten());
        }
        self.get(tree, key)
    }

    fn check_new_name(&mut self, tree: u64, dir: u64, name: &[u8]) -> Result<()> {
        if name.is_empty()
            || name == b"."
            || name == b".."
            || name.iter().any(|b| b"/\0".contains(b))
        {
            return Err(Error::Invalid {
                what: "name",
                problem: format!("\"{}\"", name.escape_ascii()),
            });
        }
        if name.len() > NAME_MAX {
            return Err(Error::TooLarge {
                what: "a name",
                len: name.len() as u64,
                max: NAME_MAX as u64,
            });
        }
        let item = self.inode(tree, dir)?.item;
        if item.mode & S_IFMT != S_IFDIR {
            return Err(Error::WrongType {
                tree,
                ino: dir,
                what: "a directory",
            });
        }
        if item.nlink == 0 {
            return Err(Error::NoInode { tree, ino: dir });
        }
        Ok(())
    }

    /// The `DIR_ITEM` with the new name as its last entry. Fails where the name is taken.
    fn entry(
        &mut self,
        tree: u64,
        dir: u64,
        name: &[u8],
        ino: u64,
        dir_type: u8,
    ) -> Result<Vec<u8>> {
        let fresh = self.inode(tree, dir)?.fresh;
        let key = Key::new(dir, item_type::DIR_ITEM, name_hash(name));
        let mut out = std::mem::take(&mut self.scratch);
        out.clear();
        if let Some(old) = self.get_own(tree, &key, fresh)? {
            for entry in DirItem::iter(&old) {
                let entry = entry.map_err(|bad| Error::bad_item(tree, key, bad))?;
                if entry.name == name {
                    return Err(Error::Exists {
                        tree,
                        dir,
                        name: name.to_vec(),
                    });
                }
            }
            out.extend_from_slice(&old);
        }
        let max = self.max_item();
        if out.len() + DIR_ITEM_HEADER + name.len() > max {
            return Err(Error::TooLarge {
                what: "directory entries whose names hash alike",
                len: (out.len() + DIR_ITEM_HEADER + name.len()) as u64,
                max: max as u64,
            });
        }
        let location = Key::new(ino, item_type::INODE_ITEM, 0);
        DirItem::encode_parts(location, self.engine.transid, dir_type, name, &[], &mut out);
        Ok(out)
    }

    /// Counts the leaf of an item of an inode, which need not be that of the inode: it may have many items.
    fn scatter_item(&mut self, fresh: bool) {
        if !fresh {
            self.scattered += 1;
        }
    }

    /// Counts a leaf that a new entry of an old directory copies: where it lies among the others depends
    /// on its hash. No more than the directory has.
    fn scatter_entry(&mut self, tree: u64, dir: u64) -> Result<()> {
        let nodesize = u64::from(self.engine.storage.geometry().nodesize);
        let hot = self.inode_mut(tree, dir)?;
        // Its size is twice that of all names, and an entry is its name and 55 bytes.
        let most = hot.item.size.saturating_mul(28) / nodesize + 2;
        if hot.scattered < most {
            hot.scattered += 1;
            self.scattered += 1;
        }
        Ok(())
    }

    /// Enters a name that `entry` allowed.
    fn add_name(
        &mut self,
        tree: u64,
        (dir, index): (u64, u64),
        name: &[u8],
        ino: u64,
        mut entry: Vec<u8>,
        now: crate::ondisk::Timespec,
    ) -> Result<()> {
        if !self.inode(tree, dir)?.fresh {
            self.scatter_entry(tree, dir)?;
        }
        let at = entry.len() - DIR_ITEM_HEADER - name.len();
        // The inode number was not known yet when the entry was made.
        entry[at..at + 8].copy_from_slice(&ino.to_le_bytes());
        let all = self.arena.copy(&entry);
        self.scratch = entry;
        self.add_backref(tree, dir, name, ino, index)?;
        let alone = all.slice(at..);
        self.put(tree, Key::new(dir, item_type::DIR_INDEX, index), alone);
        let key = Key::new(dir, item_type::DIR_ITEM, name_hash(name));
        self.put(tree, key, all);
        let parent = self.inode_mut(tree, dir)?;
        parent.next_index = Some(index + 1);
        parent.item.size += 2 * name.len() as u64;
        parent.item.mtime = now;
        parent.item.ctime = now;
        Ok(())
    }

    fn add_backref(
        &mut self,
        tree: u64,
        dir: u64,
        name: &[u8],
        ino: u64,
        index: u64,
    ) -> Result<()> {
        let fresh = self.inode(tree, ino)?.fresh;
        let max = self.max_item();
        let key = Key::new(ino, item_type::INODE_REF, dir);
        let old = self.get_own(tree, &key, fresh)?.unwrap_or_default();
        if old.len() + InodeRef::encoded_len(name) <= max {
            self.scatter_item(fresh);
            self.put_encoded(tree, key, |out| {
                out.extend_from_slice(&old);
                InodeRef::encode_parts(index, name, out);
            });
            return Ok(());
        }
        let key = Key::new(ino, item_type::INODE_EXTREF, extref_hash(dir, name));
        let old = self.get_own(tree, &key, fresh)?.unwrap_or_default();
        let mut out = old.to_vec();
        let name = Bytes::copy_from_slice(name);
        let parent = dir;
        InodeExtref {
            parent,
            index,
            name,
        }
        .encode_into(&mut out);
        if out.len() > max {
            return Err(Error::TooManyLinks { tree, ino });
        }
        self.scatter_item(fresh);
        self.put(tree, key, out);
        Ok(())
    }

    fn next_index(&mut self, tree: u64, dir: u64) -> Result<u64> {
        if let Some(index) = self.inode(tree, dir)?.next_index {
            return Ok(index);
        }
        let first = Key::new(dir, item_type::DIR_INDEX, 0);
        let last = Key::new(dir, item_type::DIR_INDEX, u64::MAX);
        let last = self.last(tree, first..=last)?;
        Ok(last.map_or(2, |(key, _)| key.offset.saturating_add(1).max(2)))
    }

    fn next_ino(&mut self, tree: u64) -> Result<u64> {
        let known = self
            .trees
            .get(&tree)
            .ok_or(Error::NoTree { tree })?
            .next_ino;
        let ino = match known {
            Some(ino) => ino,
            None => {
                let last = Key::new(LAST_FREE, u8::MAX, u64::MAX);
                let last = self.last(tree, Key::new(FIRST_FREE, 0, 0)..=last)?;
                last.map_or(FIRST_FREE, |(key, _)| key.objectid) + 1
            }
        };
        if ino > LAST_FREE {
            return Err(Error::NoSpace {
                what: "an inode number",
                wanted: 1,
                available: 0,
            });
        }
        if let Some(state) = self.trees.get_mut(&tree) {
            state.next_ino = Some(ino + 1);
        }
        Ok(ino)
    }
}

/// What no kernel takes: an inode of no type, a target of anything but a symbolic link, or one without.
fn check_new_inode(new: &InodeItem, target: &[u8]) -> Result<()> {
    if dir_type_of(new.mode) == dir_type::UNKNOWN {
        return Err(Error::Invalid {
            what: "mode",
            problem: format!("{:o} has no type", new.mode),
        });
    }
    let is_link = new.mode & S_IFMT == S_IFLNK;
    if is_link == target.is_empty() || target.contains(&0) {
        return Err(Error::Invalid {
            what: "target",
            problem: format!("\"{}\" for mode {:o}", target.escape_ascii(), new.mode),
        });
    }
    Ok(())
}

pub(super) fn dir_type_of(mode: u32) -> u8 {
    match mode & S_IFMT {
        0o100_000 => dir_type::REG_FILE,
        S_IFDIR => dir_type::DIR,
        0o020_000 => dir_type::CHRDEV,
        0o060_000 => dir_type::BLKDEV,
        0o010_000 => dir_type::FIFO,
        0o140_000 => dir_type::SOCK,
        S_IFLNK => dir_type::SYMLINK,
        _ => dir_type::UNKNOWN,
    }
}
