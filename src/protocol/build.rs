//! Compiles the .proto files: services and messages, with `bytes` fields as `Bytes` so that a request
//! is decoded without copying its values, and the descriptor set that gRPC reflection serves.

use std::env;
use std::error::Error;
use std::path::PathBuf;

fn main() -> Result<(), Box<dyn Error>> {
    let protos = [
        "proto/etcd/kv.proto",
        "proto/etcd/rpc.proto",
        "proto/placement/v1/kv.proto",
        "proto/placement/internal/v1/command.proto",
        "proto/placement/internal/v1/forward.proto",
        "proto/placement/internal/v1/members.proto",
        "proto/placement/internal/v1/peer.proto",
    ];
    let descriptor_set = PathBuf::from(env::var("OUT_DIR")?).join("public_api.bin");
    tonic_prost_build::configure()
        .bytes(".")
        .file_descriptor_set_path(descriptor_set)
        .compile_protos(&protos, &["proto"])?;
    println!("cargo:rerun-if-changed=proto");
    Ok(())
}
