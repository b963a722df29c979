//! The wire: messages and services generated from `proto/`, and the one message written by hand. No logic
//! lives here.
//!
//! Public APIs (`etcdserverpb`, `mvccpb`, `placement_v1`) and what only our own nodes read
//! (`internal_v1`, the commands of the Raft log) are separate packages, because they change for
//! different reasons.

mod watch;

pub use watch::WatchResponse;

/// Generated code documents itself by the comments of the .proto files.
macro_rules! generated {
    ($(#[$doc:meta])* $name:ident, $package:literal) => {
        $(#[$doc])*
        #[allow(missing_docs, clippy::all, clippy::unwrap_used, clippy::large_futures)]
        pub mod $name {
            tonic::include_proto!($package);
        }
    };
}

generated!(
    /// One stored key, as etcd v3 puts it on the wire.
    mvccpb, "mvccpb");
generated!(
    /// The etcd v3 client API.
    etcdserverpb, "etcdserverpb");

/// APIs and records of the placement center itself.
pub mod placement {
    generated!(
        /// The native client API.
        v1, "placement.v1");

    /// Records that only members of the center exchange or store.
    pub mod internal {
        generated!(
            /// Commands of the replicated log.
            v1, "placement.internal.v1");
    }
}

/// Encoded `FileDescriptorSet` of every .proto file, for gRPC reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = tonic::include_file_descriptor_set!("public_api");
