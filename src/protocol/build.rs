//! Compiles the .proto files: services and messages, with `bytes` fields as `Bytes` so that a request
//! is decoded without copying its values, and the descriptor set that gRPC reflection serves.

use std::env;
use std::error::Error;
use std::path::PathBuf;

/// What clients may call.
const PUBLIC: [&str; 3] = [
    "proto/etcd/kv.proto",
    "proto/etcd/rpc.proto",
    "proto/placement/v1/kv.proto",
];

/// What only members of a center exchange or store; reflection does not speak of it.
const INTERNAL: [&str; 4] = [
    "proto/placement/internal/v1/command.proto",
    "proto/placement/internal/v1/forward.proto",
    "proto/placement/internal/v1/members.proto",
    "proto/placement/internal/v1/peer.proto",
];

/// What both sets are generated with. The internal files import the public ones, which are then generated
/// twice: the same must come of it.
fn builder() -> tonic_prost_build::Builder {
    tonic_prost_build::configure()
        .bytes(".")
        .extern_path(".etcdserverpb.WatchResponse", "crate::WatchResponse")
}

fn main() -> Result<(), Box<dyn Error>> {
    let descriptor_set = PathBuf::from(env::var("OUT_DIR")?).join("public_api.bin");
    builder()
        .file_descriptor_set_path(descriptor_set)
        .compile_protos(&PUBLIC, &["proto"])?;
    builder().compile_protos(&INTERNAL, &["proto"])?;
    println!("cargo:rerun-if-changed=proto");
    Ok(())
}
