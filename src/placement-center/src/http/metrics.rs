//! `/metrics`: gathers every figure into one page.

use super::Shared;
use super::status::VERSION;
use crate::admin::progress;
use crate::metrics::text::{CONTENT_TYPE, Kind, Page};
use crate::metrics::{
    group, grpc_listener, leases, links, members, peers, process, rpcs, snapshots, store, syncs,
};
use axum::extract::State;
use axum::response::IntoResponse;
use http::header;

pub(super) async fn metrics(State(shared): State<Shared>) -> impl IntoResponse {
    // A scrape must not fail because one figure cannot be had.
    let disk_bytes = match shared
        .disk_read(|context| context.state().disk_bytes())
        .await
    {
        Ok(measured) => measured
            .inspect_err(|error| log::warn!("measure the disk usage: {error}"))
            .ok(),
        Err(_) => None,
    };
    let parts = &shared.parts;
    let mut page = Page::default();
    let status = parts.context.handle().status();
    group(&mut page, &status, parts.context.handle().counters());
    members(
        &mut page,
        status.voters.len(),
        status.learners.len(),
        !status.outgoing.is_empty(),
    );
    peers(&mut page, &progress(&status, parts.config.raft.heartbeat));
    let connections = parts.admin.links();
    links(&mut page, &connections);
    snapshots(
        &mut page,
        &status,
        parts.context.handle().counters(),
        &connections,
    );
    store(
        &mut page,
        parts.context.published(),
        parts.config.storage.quota_bytes,
        disk_bytes,
    );
    leases(&mut page, parts.context.leases().published());
    syncs(&mut page, parts.context.handle().counters());
    rpcs(&mut page, parts.context.metrics());
    grpc_listener(&mut page, parts.context.metrics());
    process(&mut page);
    requests(&mut page, &shared);
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], page.finish())
}

fn requests(page: &mut Page, shared: &Shared) {
    let counters = &shared.limits.counters;
    let name = "placement_http_requests_total";
    page.family(
        Kind::Counter,
        name,
        "HTTP requests answered, by route and status.",
    );
    for ((route, status), count) in counters.handled() {
        page.sample(
            name,
            &[("route", &route), ("code", &status.to_string())],
            count,
        );
    }
    page.value(
        Kind::Counter,
        "placement_http_panics_total",
        "HTTP handlers that panicked.",
        counters.panics(),
    );
    page.family(
        Kind::Gauge,
        "placement_build_info",
        "Always 1; the label tells the version.",
    );
    page.sample("placement_build_info", &[("version", VERSION)], 1);
    let uptime = shared.started.elapsed().as_secs_f64();
    page.value(
        Kind::Gauge,
        "placement_uptime_seconds",
        "Seconds since the node started.",
        uptime,
    );
}
