//! Lines as `ls -ln --time-style=long-iso` writes them.

use fs_core::{Attrs, FileType};

use super::date::date;

/// How wide the columns are.
#[derive(Debug, Default)]
pub(super) struct Widths {
    nlink: usize,
    uid: usize,
    gid: usize,
    size: usize,
}

impl Widths {
    /// Wide enough for all of `attrs`.
    pub(super) fn of<'a>(attrs: impl Iterator<Item = &'a Attrs>) -> Self {
        attrs.fold(Self::default(), |widths, attrs| Self {
            nlink: widths.nlink.max(attrs.nlink.to_string().len()),
            uid: widths.uid.max(attrs.uid.to_string().len()),
            gid: widths.gid.max(attrs.gid.to_string().len()),
            size: widths.size.max(size(attrs).len()),
        })
    }

    /// All columns but the name.
    pub(super) fn row(&self, attrs: &Attrs) -> String {
        let Self {
            nlink,
            uid,
            gid,
            size: wide,
        } = self;
        format!(
            "{} {:>nlink$} {:>uid$} {:>gid$} {:>wide$} {}",
            mode(attrs),
            attrs.nlink,
            attrs.uid,
            attrs.gid,
            size(attrs),
            date(attrs.mtime),
        )
    }
}

fn size(attrs: &Attrs) -> String {
    match attrs.file_type {
        FileType::CharDevice | FileType::BlockDevice => {
            format!("{}, {}", attrs.rdev.0, attrs.rdev.1)
        }
        _ => attrs.size.to_string(),
    }
}

fn mode(attrs: &Attrs) -> String {
    let kind = match attrs.file_type {
        FileType::Regular => '-',
        FileType::Directory => 'd',
        FileType::Symlink => 'l',
        FileType::CharDevice => 'c',
        FileType::BlockDevice => 'b',
        FileType::Fifo => 'p',
        FileType::Socket => 's',
    };
    let has = |mask: u32| attrs.mode & mask != 0;
    let bit = |mask: u32, set: char| if has(mask) { set } else { '-' };
    let special = |mask: u32, x: u32, with: char, without: char| match (has(mask), has(x)) {
        (true, true) => with,
        (true, false) => without,
        (false, true) => 'x',
        (false, false) => '-',
    };
    [
        kind,
        bit(0o400, 'r'),
        bit(0o200, 'w'),
        special(0o4000, 0o100, 's', 'S'),
        bit(0o040, 'r'),
        bit(0o020, 'w'),
        special(0o2000, 0o010, 's', 'S'),
        bit(0o004, 'r'),
        bit(0o002, 'w'),
        special(0o1000, 0o001, 't', 'T'),
    ]
    .iter()
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use fs_core::Timestamp;

    #[test]
    fn columns_line_up() {
        let attrs = |file_type, mode, size, nlink| Attrs {
            file_type,
            mode,
            uid: 0,
            gid: 1000,
            nlink,
            rdev: (8, 16),
            size,
            nbytes: 0,
            atime: Timestamp::default(),
            mtime: Timestamp::default(),
            ctime: Timestamp::default(),
            otime: Timestamp::default(),
        };
        let all = [
            attrs(FileType::Regular, 0o4755, 12345, 1),
            attrs(FileType::Directory, 0o1777, 0, 12),
            attrs(FileType::BlockDevice, 0o2644, 0, 1),
        ];
        let widths = Widths::of(all.iter());
        let rows: Vec<String> = all.iter().map(|attrs| widths.row(attrs)).collect();
        assert_eq!(rows[0], "-rwsr-xr-x  1 0 1000 12345 1970-01-01 00:00");
        assert_eq!(rows[1], "drwxrwxrwt 12 0 1000     0 1970-01-01 00:00");
        assert_eq!(rows[2], "brw-r-Sr--  1 0 1000 8, 16 1970-01-01 00:00");
    }
}
