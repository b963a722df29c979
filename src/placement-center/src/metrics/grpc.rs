//! The figures of the gRPC services and of their listener.

use super::count;
use super::text::{Kind, Observed, Page};
use crate::service::metrics::{LATENCY_BOUNDS_MICROS, Metrics, Rpc};
use tonic::Code;

const MICROS_PER_SECOND: f64 = 1e6;

/// gRPC codes under the names that Go servers give them in metrics.
const CODES: &[(Code, &str)] = &[
    (Code::Ok, "OK"),
    (Code::Cancelled, "Canceled"),
    (Code::Unknown, "Unknown"),
    (Code::InvalidArgument, "InvalidArgument"),
    (Code::DeadlineExceeded, "DeadlineExceeded"),
    (Code::NotFound, "NotFound"),
    (Code::AlreadyExists, "AlreadyExists"),
    (Code::PermissionDenied, "PermissionDenied"),
    (Code::ResourceExhausted, "ResourceExhausted"),
    (Code::FailedPrecondition, "FailedPrecondition"),
    (Code::Aborted, "Aborted"),
    (Code::OutOfRange, "OutOfRange"),
    (Code::Unimplemented, "Unimplemented"),
    (Code::Internal, "Internal"),
    (Code::Unavailable, "Unavailable"),
    (Code::DataLoss, "DataLoss"),
    (Code::Unauthenticated, "Unauthenticated"),
];

/// The figures of the gRPC services.
pub fn rpcs(page: &mut Page, metrics: &Metrics) {
    let labels = Rpc::ALL.map(|rpc| (rpc, rpc.service(), rpc.method(), rpc.kind()));
    let name = "grpc_server_handled_total";
    page.family(Kind::Counter, name, "RPCs answered, by code.");
    for (rpc, service, method, kind) in &labels {
        for (code, code_name) in CODES {
            let count = metrics.rpc(*rpc).handled(*code);
            // OK is always there, so that a rate can be taken from the first scrape on.
            if count > 0 || *code == Code::Ok {
                let labels = [
                    ("grpc_code", *code_name),
                    ("grpc_method", method),
                    ("grpc_service", service),
                    ("grpc_type", kind),
                ];
                page.sample(name, &labels, count);
            }
        }
    }
    let name = "grpc_server_started_total";
    page.family(Kind::Counter, name, "RPCs begun.");
    for (rpc, service, method, kind) in &labels {
        let labels = [
            ("grpc_method", method.as_str()),
            ("grpc_service", service),
            ("grpc_type", kind),
        ];
        page.sample(name, &labels, metrics.rpc(*rpc).started());
    }
    let name = "grpc_server_handling_seconds";
    page.histogram_family(name, "Time from the request to its answer.");
    for (rpc, service, method, kind) in &labels {
        let figures = metrics.rpc(*rpc);
        if figures.started() == 0 {
            continue;
        }
        let labels = [
            ("grpc_method", method.as_str()),
            ("grpc_service", service),
            ("grpc_type", kind),
        ];
        let observed = Observed {
            cumulative: cumulative(figures.latency()),
            sum: figures.micros_total() as f64 / MICROS_PER_SECOND,
            count: figures.handled_total(),
        };
        page.histogram(name, &labels, &observed);
    }
}

fn cumulative<const N: usize>(alone: [u64; N]) -> Vec<(f64, u64)> {
    let bounds = LATENCY_BOUNDS_MICROS
        .iter()
        .map(|micros| *micros as f64 / MICROS_PER_SECOND);
    let below = alone.iter().scan(0, |sum, count| {
        *sum += count;
        Some(*sum)
    });
    bounds.zip(below).collect()
}

/// What else the gRPC listener counts.
pub fn grpc_listener(page: &mut Page, metrics: &Metrics) {
    use Kind::{Counter, Gauge};
    page.value(
        Counter,
        "placement_pipeline_operations_total",
        "Operations of Pipeline streams answered with a result.",
        count(&metrics.pipeline_operations),
    );
    page.value(
        Counter,
        "placement_pipeline_errors_total",
        "Operations of Pipeline streams answered with an error.",
        count(&metrics.pipeline_errors),
    );
    page.value(
        Gauge,
        "placement_grpc_connections",
        "Open gRPC connections.",
        count(&metrics.connections),
    );
    page.value(
        Counter,
        "placement_grpc_connections_accepted_total",
        "gRPC connections accepted.",
        count(&metrics.connections_accepted),
    );
    page.value(
        Counter,
        "placement_grpc_handshakes_timed_out_total",
        "Connections closed because they did not speak HTTP/2 in time.",
        count(&metrics.handshakes_timed_out),
    );
    page.value(
        Counter,
        "placement_grpc_panics_total",
        "gRPC handlers that panicked.",
        count(&metrics.panics),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_name() {
        for number in 0..=16 {
            let code = Code::from_i32(number);
            assert_eq!(
                CODES.iter().filter(|(listed, _)| *listed == code).count(),
                1,
                "{code:?}"
            );
        }
    }

    #[test]
    fn latencies_add_up() {
        let mut alone = [0; LATENCY_BOUNDS_MICROS.len()];
        (alone[0], alone[2]) = (3, 4);
        let sums = cumulative(alone);
        assert_eq!(sums[..3], [(0.0001, 3), (0.00025, 3), (0.0005, 7)]);
        assert_eq!(sums.last().map(|(_, count)| *count), Some(7));
    }
}
