//! Which path is which RPC. The paths are etcd's contract; what the messages hold comes from the descriptors
//! compiled into the program, so that a service is reachable here as soon as its .proto file is served.

use http::uri::PathAndQuery;
use prost_reflect::{DescriptorError, DescriptorPool, MessageDescriptor};
use std::collections::HashMap;

/// Prefixes under which the paths are served. The second is how etcd 3.3 wrote them.
const PREFIXES: [&str; 2] = ["/v3/", "/v3beta/"];

const KV: &str = "etcdserverpb.KV";
const WATCH: &str = "etcdserverpb.Watch";
const LEASE: &str = "etcdserverpb.Lease";
const CLUSTER: &str = "etcdserverpb.Cluster";
const MAINTENANCE: &str = "etcdserverpb.Maintenance";
const AUTH: &str = "etcdserverpb.Auth";
const LOCK: &str = "v3lockpb.Lock";
const ELECTION: &str = "v3electionpb.Election";

/// Path behind the prefix, service, method.
const TABLE: [(&str, &str, &str); 52] = [
    ("kv/range", KV, "Range"),
    ("kv/put", KV, "Put"),
    ("kv/deleterange", KV, "DeleteRange"),
    ("kv/txn", KV, "Txn"),
    ("kv/compaction", KV, "Compact"),
    ("watch", WATCH, "Watch"),
    ("lease/grant", LEASE, "LeaseGrant"),
    ("lease/revoke", LEASE, "LeaseRevoke"),
    ("lease/keepalive", LEASE, "LeaseKeepAlive"),
    ("lease/timetolive", LEASE, "LeaseTimeToLive"),
    ("lease/leases", LEASE, "LeaseLeases"),
    ("kv/lease/revoke", LEASE, "LeaseRevoke"),
    ("kv/lease/timetolive", LEASE, "LeaseTimeToLive"),
    ("kv/lease/leases", LEASE, "LeaseLeases"),
    ("cluster/member/add", CLUSTER, "MemberAdd"),
    ("cluster/member/remove", CLUSTER, "MemberRemove"),
    ("cluster/member/update", CLUSTER, "MemberUpdate"),
    ("cluster/member/list", CLUSTER, "MemberList"),
    ("cluster/member/promote", CLUSTER, "MemberPromote"),
    ("maintenance/alarm", MAINTENANCE, "Alarm"),
    ("maintenance/status", MAINTENANCE, "Status"),
    ("maintenance/defragment", MAINTENANCE, "Defragment"),
    ("maintenance/hash", MAINTENANCE, "Hash"),
    ("maintenance/hashkv", MAINTENANCE, "HashKV"),
    ("maintenance/snapshot", MAINTENANCE, "Snapshot"),
    ("maintenance/transfer-leadership", MAINTENANCE, "MoveLeader"),
    ("maintenance/downgrade", MAINTENANCE, "Downgrade"),
    ("auth/enable", AUTH, "AuthEnable"),
    ("auth/disable", AUTH, "AuthDisable"),
    ("auth/status", AUTH, "AuthStatus"),
    ("auth/authenticate", AUTH, "Authenticate"),
    ("auth/user/add", AUTH, "UserAdd"),
    ("auth/user/get", AUTH, "UserGet"),
    ("auth/user/list", AUTH, "UserList"),
    ("auth/user/delete", AUTH, "UserDelete"),
    ("auth/user/changepw", AUTH, "UserChangePassword"),
    ("auth/user/grant", AUTH, "UserGrantRole"),
    ("auth/user/revoke", AUTH, "UserRevokeRole"),
    ("auth/role/add", AUTH, "RoleAdd"),
    ("auth/role/get", AUTH, "RoleGet"),
    ("auth/role/list", AUTH, "RoleList"),
    ("auth/role/delete", AUTH, "RoleDelete"),
    ("auth/role/grant", AUTH, "RoleGrantPermission"),
    ("auth/role/revoke", AUTH, "RoleRevokePermission"),
    ("lock/lock", LOCK, "Lock"),
    ("lock/unlock", LOCK, "Unlock"),
    ("election/campaign", ELECTION, "Campaign"),
    ("election/proclaim", ELECTION, "Proclaim"),
    ("election/leader", ELECTION, "Leader"),
    ("election/observe", ELECTION, "Observe"),
    ("election/resign", ELECTION, "Resign"),
    ("kv/lease/grant", LEASE, "LeaseGrant"),
];

/// An RPC behind a path.
#[derive(Debug)]
pub(super) struct Route {
    /// The path of the same RPC in gRPC.
    pub(super) rpc: PathAndQuery,
    /// Its messages.
    pub(super) messages: Messages,
}

/// What an RPC takes and gives.
#[derive(Debug)]
pub(super) struct Messages {
    pub(super) input: MessageDescriptor,
    pub(super) output: MessageDescriptor,
    /// Whether it takes any number of messages.
    pub(super) takes_stream: bool,
    /// Whether it gives any number of messages.
    pub(super) gives_stream: bool,
}

/// What a path leads to.
#[derive(Debug)]
pub(super) enum Found<'a> {
    /// An RPC that is served.
    Route(&'a Route),
    /// An RPC of etcd that is not.
    Unserved(&'a str),
    /// Nothing that anybody knows.
    Nothing,
}

/// All paths.
#[derive(Debug)]
pub(super) struct Routes(HashMap<&'static str, Result<Route, String>>);

impl Routes {
    /// The table, with the messages of the descriptors that the program serves.
    pub(super) fn new() -> Result<Routes, DescriptorError> {
        let pool = DescriptorPool::decode(protocol::FILE_DESCRIPTOR_SET)?;
        let rows = TABLE.iter();
        let routes = rows.map(|(path, service, method)| (*path, route(&pool, service, method)));
        Ok(Routes(routes.collect()))
    }

    /// What `path` leads to.
    pub(super) fn find(&self, path: &str) -> Found<'_> {
        let behind = PREFIXES.iter().find_map(|prefix| path.strip_prefix(prefix));
        match behind.and_then(|path| self.0.get(path)) {
            Some(Ok(route)) => Found::Route(route),
            Some(Err(unserved)) => Found::Unserved(unserved),
            None => Found::Nothing,
        }
    }
}

/// The route of a method, or what gRPC says of one that is not there.
fn route(pool: &DescriptorPool, service: &str, method: &str) -> Result<Route, String> {
    let Some(described) = pool.get_service_by_name(service) else {
        return Err(format!("unknown service {service}"));
    };
    let Some(described) = described.methods().find(|found| found.name() == method) else {
        return Err(format!("unknown method {method} for service {service}"));
    };
    let rpc = PathAndQuery::try_from(format!("/{service}/{method}"));
    Ok(Route {
        rpc: rpc.map_err(|error| format!("unusable name {service}.{method}: {error}"))?,
        messages: Messages {
            input: described.input(),
            output: described.output(),
            takes_stream: described.is_client_streaming(),
            gives_stream: described.is_server_streaming(),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_is_there_once_and_every_method_served_has_one() {
        let routes = Routes::new().expect("descriptors of this program");
        assert_eq!(routes.0.len(), TABLE.len(), "a path is there twice");
        let pool = DescriptorPool::decode(protocol::FILE_DESCRIPTOR_SET).expect("the same");
        let etcds = pool.services().filter(|service| {
            let name = service.full_name();
            name.starts_with("etcdserverpb.") || name.starts_with("v3")
        });
        for method in etcds.flat_map(|service| service.methods().collect::<Vec<_>>()) {
            // etcd gives this one no path either.
            if method.name() == "RangeStream" {
                continue;
            }
            let service = method.parent_service();
            let listed = TABLE
                .iter()
                .any(|row| row.1 == service.full_name() && row.2 == method.name());
            assert!(listed, "{} has no path", method.full_name());
        }
    }

    #[test]
    fn paths_are_found_under_both_prefixes_and_exactly() {
        let routes = Routes::new().expect("descriptors of this program");
        for path in ["/v3/kv/range", "/v3beta/kv/range"] {
            let Found::Route(route) = routes.find(path) else {
                panic!("{path}");
            };
            assert_eq!(route.rpc, "/etcdserverpb.KV/Range");
            assert!(!route.messages.gives_stream && !route.messages.takes_stream);
        }
        for path in [
            "/v3alpha/kv/range",
            "/v3/kv/range/",
            "/v3/kv",
            "/v3//kv/range",
            "/v3/KV/range",
            "/kv/range",
            "/",
            "*",
            "",
        ] {
            assert!(matches!(routes.find(path), Found::Nothing), "{path}");
        }
    }

    #[test]
    fn what_is_not_served_says_so_as_grpc_does() {
        let pool = DescriptorPool::decode(protocol::FILE_DESCRIPTOR_SET).expect("descriptors");
        let unserved = |service, method| route(&pool, service, method).expect_err("not served");
        assert_eq!(unserved("a.B", "C"), "unknown service a.B");
        assert_eq!(
            unserved(KV, "C"),
            "unknown method C for service etcdserverpb.KV"
        );
    }
}
