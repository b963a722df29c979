//! Compares this server with etcd: the same client code, the same machine, the same disk, one after
//! the other in alternating order, medians of some rounds. Prints a Markdown table. Where etcd is not
//! installed, only our own figures are printed.
//!
//! `cargo bench --bench compare -- --quick` takes a minute; without flags it takes about fifteen.

mod drive;
mod pipeline;
mod restart;
mod table;
mod workload;

use anyhow::{Context, Result};
use clap::Parser;
use harness::{Kind, Options, Server, binary};

use table::Row;
use workload::Workload;

/// What to measure and for how long.
#[derive(Clone, Debug, Parser)]
struct Flags {
    /// Measure only operations whose name contains this; may be given several times
    #[arg(long, value_name = "TEXT")]
    only: Vec<String>,
    /// Seconds of each measurement
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// Measurements of each operation; their median is printed
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Keys in the store that is restarted
    #[arg(long, default_value_t = 1_000_000)]
    restart_keys: u64,
    /// One short round on a small store: shows that it works, not how fast it is
    #[arg(long)]
    quick: bool,
    /// Leave etcd out
    #[arg(long)]
    alone: bool,
    /// Given by cargo; means nothing here
    #[arg(long, hide = true)]
    bench: bool,
}

impl Flags {
    fn effective() -> Self {
        let flags = Self::parse();
        match flags.quick {
            true => Self {
                seconds: 1.0,
                rounds: 1,
                restart_keys: 50_000,
                ..flags
            },
            false => flags,
        }
    }

    fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|text| name.contains(text.as_str()))
    }

    fn kinds(&self) -> Vec<Kind> {
        let etcd = !self.alone && binary::installed("etcd").is_some();
        if !etcd {
            println!("etcd is left out or not installed: only our own figures follow\n");
        }
        if etcd {
            vec![Kind::Etcd, Kind::Center]
        } else {
            vec![Kind::Center]
        }
    }
}

fn main() -> Result<()> {
    let flags = Flags::effective();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let kinds = flags.kinds();
    let mut rows = Vec::new();
    for workload in Workload::all()
        .into_iter()
        .filter(|workload| flags.wants(workload.name()))
    {
        rows.push(Row::new(workload.name()));
    }
    for round in 0..flags.rounds.max(1) {
        runtime.block_on(one_round(&flags, &kinds, round, &mut rows))?;
    }
    println!("{}", table::machine());
    print!("{}", table::operations(&rows, &kinds));
    if flags.wants("restart") {
        let mut restarts = Vec::new();
        for kind in &kinds {
            restarts.push(runtime.block_on(restart::measure(*kind, &flags))?);
        }
        print!("\n{}", table::restarts(&restarts));
    }
    Ok(())
}

/// All operations once, on fresh servers.
async fn one_round(flags: &Flags, kinds: &[Kind], round: usize, rows: &mut [Row]) -> Result<()> {
    let mut servers = Vec::new();
    for kind in kinds {
        let server = Server::start(*kind, Options::default())?;
        drive::seed_gently(&server.url()).await?;
        servers.push(server);
    }
    let wanted = Workload::all()
        .into_iter()
        .filter(|workload| flags.wants(workload.name()));
    for (number, workload) in wanted.enumerate() {
        // Who goes first alternates, so that neither always meets the warmer machine.
        for turn in 0..servers.len() {
            let index = (turn + round) % servers.len();
            let server = &servers[index];
            let sample = workload
                .run(server, flags.seconds)
                .await
                .with_context(|| format!("{} on {}", workload.name(), server.kind().name()))?;
            eprintln!(
                "round {round}: {}: {}: {sample}",
                workload.name(),
                server.kind().name()
            );
            rows[number].add(server.kind(), sample);
        }
    }
    Ok(())
}
