//! The command `ubtrfs`.

use std::process::ExitCode;

/// Packing small files allocates much, and frees it on other threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    ubtrfs::main(std::env::args_os())
}
