//! The server process: hands its surroundings to `cmd::server` and ends with the code it answers.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let code = cmd::server::run(std::env::args_os(), std::env::vars_os());
    // Not by returning: that runs the exit handlers of C++ code, and RocksDB's take apart what its
    // threads still use when a second signal abandoned the node (seen as a crash in place of the exit
    // code). Nothing waits to be written by then, every output is flushed as it is made.
    signal_hook::low_level::exit(i32::from(code))
}
