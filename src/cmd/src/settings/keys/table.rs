//! The rows. Order: as the file writes them, keys without a section first.

use std::time::Duration;

use super::{Key, Kind};

const MIB: u64 = 1024 * 1024;

/// All keys. A range that fits the field is what makes each `as` below exact; a test stores both ends
/// of every range and reads them back.
pub const KEYS: &[Key] = &[
    Key {
        name: "cluster_name",
        kind: Kind::Text {
            field: |s| &mut s.node.cluster_name,
        },
        help: "Name of the cluster, part of its identity: the same on every member, never changed.",
    },
    Key {
        name: "node_id",
        kind: Kind::Whole {
            min: 1,
            max: i64::MAX as u64,
            get: |s| s.node.node_id,
            set: |s, n| s.node.node_id = n,
        },
        help: "Number of this member: unique in the cluster, never reused.",
    },
    Key {
        name: "node_alias",
        kind: Kind::Text {
            field: |s| &mut s.node.node_alias,
        },
        help: "Name of this member for people; node-<node_id> when not set.",
    },
    Key {
        name: "addr",
        kind: Kind::Address {
            field: |s| &mut s.node.addr,
        },
        help: "Address that the client listeners bind.",
    },
    Key {
        name: "peer_addr",
        kind: Kind::Address {
            field: |s| &mut s.node.peer_addr,
        },
        help: "Address that the peer listener binds. When not set: addr, but 127.0.0.1 without a cluster token.",
    },
    Key {
        name: "grpc_port",
        kind: Kind::Whole {
            min: 1,
            max: 65535,
            get: |s| s.node.grpc_port as u64,
            set: |s, n| s.node.grpc_port = n as u16,
        },
        help: "Port of the gRPC services (etcd v3 and native API).",
    },
    Key {
        name: "http_port",
        kind: Kind::Whole {
            min: 1,
            max: 65535,
            get: |s| s.node.http_port as u64,
            set: |s, n| s.node.http_port = n as u16,
        },
        help: "Port of the HTTP API, health and metrics.",
    },
    Key {
        name: "peer_port",
        kind: Kind::Whole {
            min: 1,
            max: 65535,
            get: |s| s.node.peer_port as u64,
            set: |s, n| s.node.peer_port = n as u16,
        },
        help: "Port on which other members of the cluster reach this one.",
    },
    Key {
        name: "data_path",
        kind: Kind::Path {
            field: |s| &mut s.node.data_path,
        },
        help: "Directory of everything durable, relative to the working directory.",
    },
    Key {
        name: "nodes",
        kind: Kind::Members {
            field: |s| &mut s.node.nodes,
        },
        help: "Founding members and their peer addresses, node_id included; when not set, this node alone. \
               Read once, when data_path is new.",
    },
    Key {
        name: "join",
        kind: Kind::Addresses {
            field: |s| &mut s.node.join,
        },
        help: "Peer addresses of members to join by, instead of nodes; any one is enough. Read once, when \
               data_path is new.",
    },
    Key {
        name: "cluster_token",
        kind: Kind::Token {
            field: |s| &mut s.node.cluster_token,
        },
        help: "Secret that all members share, 16 characters or more. A flag or variable is visible to others on \
               the machine: prefer cluster_token_file.",
    },
    Key {
        name: "cluster_token_file",
        kind: Kind::File {
            field: |s| &mut s.cluster_token_file,
        },
        help: "File that holds the cluster token alone.",
    },
    Key {
        name: "advertise_peer",
        kind: Kind::Target {
            field: |s| &mut s.node.advertise.peer,
        },
        help: "Where other members reach this one. When not set: as nodes lists it, else peer_addr and peer_port.",
    },
    Key {
        name: "advertise_client",
        kind: Kind::Target {
            field: |s| &mut s.node.advertise.client,
        },
        help: "Where clients reach the gRPC services. When not set: addr and grpc_port.",
    },
    Key {
        name: "advertise_http",
        kind: Kind::Target {
            field: |s| &mut s.node.advertise.http,
        },
        help: "Where clients reach the HTTP API. When not set: addr and http_port.",
    },
    Key {
        name: "insecure_listen",
        kind: Kind::Switch {
            field: |s| &mut s.insecure_listen,
        },
        help: "Allow addr and peer_addr beyond loopback although nothing is encrypted or authenticated.",
    },
    Key {
        name: "log.log_config",
        kind: Kind::Path {
            field: |s| &mut s.log.config,
        },
        help: "log4rs configuration. If the default file is missing, a built-in copy of it serves.",
    },
    Key {
        name: "log.log_path",
        kind: Kind::Path {
            field: |s| &mut s.log.path,
        },
        help: "Directory of all log files; takes the place of ${log_path} in the log4rs configuration.",
    },
    Key {
        name: "log.level",
        kind: Kind::Level {
            field: |s| &mut s.log.level,
        },
        help: "Level of the server and raft logs: off, error, warn, info, debug, trace.",
    },
    Key {
        name: "raft.heartbeat_ms",
        kind: Kind::Whole {
            min: 1,
            max: 60000,
            get: |s| s.node.raft.heartbeat.as_millis() as u64,
            set: |s, n| s.node.raft.heartbeat = Duration::from_millis(n),
        },
        help: "Interval of a leader's heartbeats.",
    },
    Key {
        name: "raft.election_ms",
        kind: Kind::Whole {
            min: 3,
            max: 600000,
            get: |s| s.node.raft.election.as_millis() as u64,
            set: |s, n| s.node.raft.election = Duration::from_millis(n),
        },
        help: "Silence after which a member calls an election; at least 3 heartbeats.",
    },
    Key {
        name: "raft.log_retention_entries",
        kind: Kind::Whole {
            min: 1,
            max: 1_000_000_000,
            get: |s| s.node.raft.log_retention_entries,
            set: |s, n| s.node.raft.log_retention_entries = n,
        },
        help: "Applied log entries kept for members that lag.",
    },
    Key {
        name: "raft.log_retention_mib",
        kind: Kind::Whole {
            min: 1,
            max: 1_048_576,
            get: |s| s.node.raft.log_retention_bytes / MIB,
            set: |s, n| s.node.raft.log_retention_bytes = n * MIB,
        },
        help: "MiB of applied log entries kept at most.",
    },
    Key {
        name: "raft.snapshot_bytes_per_second",
        kind: Kind::Whole {
            min: 65_536,
            max: 1_099_511_627_776,
            get: |s| s.node.raft.snapshot_bytes_per_second,
            set: |s, n| s.node.raft.snapshot_bytes_per_second = n,
        },
        help: "Bytes of a snapshot sent to one member in a second.",
    },
    Key {
        name: "raft.peer_queue_bytes",
        kind: Kind::Whole {
            min: 1_048_576,
            max: 1_099_511_627_776,
            get: |s| s.node.raft.peer_queue_bytes as u64,
            set: |s, n| s.node.raft.peer_queue_bytes = n as usize,
        },
        help: "Bytes of messages that wait for one member; more are dropped and sent again later.",
    },
    Key {
        name: "storage.block_cache_mib",
        kind: Kind::Whole {
            min: 1,
            max: 1_048_576,
            get: |s| s.node.storage.block_cache_bytes as u64 / MIB,
            set: |s, n| s.node.storage.block_cache_bytes = (n * MIB) as usize,
        },
        help: "MiB of memory that caches what is read from disk.",
    },
    Key {
        name: "storage.write_buffer_mib",
        kind: Kind::Whole {
            min: 1,
            max: 65_536,
            get: |s| s.node.storage.write_buffer_bytes as u64 / MIB,
            set: |s, n| s.node.storage.write_buffer_bytes = (n * MIB) as usize,
        },
        help: "MiB of memory that collects writes before they are flushed.",
    },
    Key {
        name: "storage.quota_mib",
        kind: Kind::Whole {
            min: 1,
            max: 16_777_216,
            get: |s| s.node.storage.quota_bytes / MIB,
            set: |s, n| s.node.storage.quota_bytes = n * MIB,
        },
        help: "MiB of keys and values, old versions included, above which writes that grow the store are refused.",
    },
    Key {
        name: "limits.request_bytes_max",
        kind: Kind::Whole {
            min: 1024,
            max: 2_097_152,
            get: |s| s.node.limits.request_bytes_max as u64,
            set: |s, n| s.node.limits.request_bytes_max = n as usize,
        },
        help: "Largest request in bytes; a gRPC frame carries 2 MiB.",
    },
    Key {
        name: "limits.txn_ops_max",
        kind: Kind::Whole {
            min: 1,
            max: 1_000_000,
            get: |s| s.node.limits.txn_ops_max as u64,
            set: |s, n| s.node.limits.txn_ops_max = n as usize,
        },
        help: "Operations in one branch of a transaction.",
    },
    Key {
        name: "limits.leases_max",
        kind: Kind::Whole {
            min: 1,
            max: 10_000_000,
            get: |s| s.node.limits.leases_max as u64,
            set: |s, n| s.node.limits.leases_max = n as usize,
        },
        help: "Leases that live at the same time; each takes some 300 bytes of memory.",
    },
    Key {
        name: "limits.proposals_count_max",
        kind: Kind::Whole {
            min: 1,
            max: 10_000_000,
            get: |s| s.node.limits.proposals_count_max as u64,
            set: |s, n| s.node.limits.proposals_count_max = n as usize,
        },
        help: "Writes that wait for consensus; more are refused at once.",
    },
    Key {
        name: "limits.proposals_bytes_max",
        kind: Kind::Whole {
            min: 1024,
            max: 1_099_511_627_776,
            get: |s| s.node.limits.proposals_bytes_max as u64,
            set: |s, n| s.node.limits.proposals_bytes_max = n as usize,
        },
        help: "Bytes of the writes that wait for consensus; at least limits.request_bytes_max.",
    },
    Key {
        name: "limits.concurrent_streams_max",
        kind: Kind::Whole {
            min: 1,
            max: 1_000_000,
            get: |s| s.node.limits.concurrent_streams_max as u64,
            set: |s, n| s.node.limits.concurrent_streams_max = n as u32,
        },
        help: "Concurrent requests on one client connection.",
    },
    Key {
        name: "limits.connections_max",
        kind: Kind::Whole {
            min: 1,
            max: 1_000_000,
            get: |s| s.node.limits.connections_max as u64,
            set: |s, n| s.node.limits.connections_max = n as usize,
        },
        help: "Client connections of each listener.",
    },
    Key {
        name: "limits.pipeline_window",
        kind: Kind::Whole {
            min: 1,
            max: 1_000_000,
            get: |s| s.node.limits.pipeline_window as u64,
            set: |s, n| s.node.limits.pipeline_window = n as usize,
        },
        help: "Operations of one Pipeline stream read ahead of their answers.",
    },
    Key {
        name: "limits.watchers_per_stream_max",
        kind: Kind::Whole {
            min: 1,
            max: 10_000_000,
            get: |s| s.node.limits.watchers_per_stream_max as u64,
            set: |s, n| s.node.limits.watchers_per_stream_max = n as usize,
        },
        help: "Watchers of one Watch stream.",
    },
    Key {
        name: "limits.watchers_max",
        kind: Kind::Whole {
            min: 1,
            max: 10_000_000,
            get: |s| s.node.limits.watchers_max as u64,
            set: |s, n| s.node.limits.watchers_max = n as usize,
        },
        help: "Watchers of this node.",
    },
    Key {
        name: "limits.watch_key_bytes_max",
        kind: Kind::Whole {
            min: 1,
            max: 2_097_152,
            get: |s| s.node.limits.watch_key_bytes_max as u64,
            set: |s, n| s.node.limits.watch_key_bytes_max = n as usize,
        },
        help: "Bytes of the key and the range end of one watcher.",
    },
    Key {
        name: "limits.watch_progress_interval_ms",
        kind: Kind::Whole {
            min: 100,
            max: 86_400_000,
            get: |s| s.node.limits.watch_progress_interval.as_millis() as u64,
            set: |s, n| s.node.limits.watch_progress_interval = Duration::from_millis(n),
        },
        help: "How often a watcher that asked for it is told how far it has seen.",
    },
    Key {
        name: "limits.request_timeout_ms",
        kind: Kind::Whole {
            min: 1,
            max: 3_600_000,
            get: |s| s.node.limits.request_timeout.as_millis() as u64,
            set: |s, n| s.node.limits.request_timeout = Duration::from_millis(n),
        },
        help: "Deadline of a request whose client set none, and the longest one granted.",
    },
    Key {
        name: "limits.shutdown_timeout_ms",
        kind: Kind::Whole {
            min: 1,
            max: 3_600_000,
            get: |s| s.node.limits.shutdown_timeout.as_millis() as u64,
            set: |s, n| s.node.limits.shutdown_timeout = Duration::from_millis(n),
        },
        help: "Time that requests in flight get to finish when the node stops.",
    },
];
