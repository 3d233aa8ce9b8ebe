use bitflags::bitflags;

bitflags! {
    /// The state of a byte of a file, as far as it is on its way to the disk.
    ///
    /// The tree gives the bits no meaning; those of the data path are named so
    /// that the crates above agree on them.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
    pub struct StateBits: u32 {
        /// Dirty and reserved, without a disk address yet.
        const DELALLOC = 1 << 0;
        /// Claimed by writeback: queued or being compressed, not yet ordered.
        const IN_FLIGHT = 1 << 1;
        /// Submitted; an ordered extent covers it until its metadata is in.
        const ORDERED = 1 << 2;
        /// Its bytes are under I/O.
        const WRITEBACK = 1 << 3;
        /// Free for the user of the tree.
        const USER0 = 1 << 16;
        /// Free for the user of the tree.
        const USER1 = 1 << 17;
        /// Free for the user of the tree.
        const USER2 = 1 << 18;
        /// Free for the user of the tree.
        const USER3 = 1 << 19;
    }
}
