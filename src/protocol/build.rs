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

fn main() -> Result<(), Box<dyn Error>> {
    let descriptor_set = PathBuf::from(env::var("OUT_DIR")?).join("public_api.bin");
    tonic_prost_build::configure()
        .bytes(".")
        .file_descriptor_set_path(descriptor_set)
        .extern_path(".etcdserverpb.WatchResponse", "crate::WatchResponse")
        .compile_protos(&PUBLIC, &["proto"])?;
    tonic_prost_build::configure()
        .bytes(".")
        .compile_protos(&INTERNAL, &["proto"])?;
    println!("cargo:rerun-if-changed=proto");
    Ok(())
}
