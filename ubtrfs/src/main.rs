//! ubtrfs
fn main() {}
