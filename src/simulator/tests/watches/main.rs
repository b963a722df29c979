//! Random watchers over a random store, checked against what happened. The hub, the memory of recent changes, the
//! store and its compaction are the product's; their bounds are set so low that small runs go everywhere.

mod client;
mod store;

use client::{Client, Ending};
use placement_center::watch::{Hub, Limits, Parts, Recent, Tuning};
use simulator::Dice;
use simulator::watches::check;
use std::sync::Arc;
use std::time::Duration;
use store::Store;
use tokio::task::{JoinSet, yield_now};
use tokio_util::sync::CancellationToken;

/// Runs, and steps of each.
const SEEDS: u64 = 300;
const STEPS: u64 = 250;
/// Streams of a run.
const CLIENTS: usize = 5;
/// Bound of every wait: far beyond what anything takes.
const PATIENCE: Duration = Duration::from_secs(60);

fn tuning(dice: &mut Dice) -> Tuning {
    Tuning {
        recent_revisions_max: dice.between(1, 30) as usize,
        recent_bytes_max: dice.between(500, 20_000) as usize,
        outbox_batches_max: dice.between(1, 10) as usize,
        outbox_bytes_max: dice.between(300, 10_000) as usize,
        group_max: dice.between(1, 5) as usize,
        step_revisions_max: dice.between(1, 20) as usize,
        step_bytes_max: dice.between(300, 10_000) as usize,
        step_rows_max: dice.between(1, 40) as usize,
        inline_revisions_max: dice.between(1, 10) as usize,
    }
}

/// What the runs went through together, so that a test that reaches nothing is noticed.
#[derive(Debug, Default)]
struct Reached {
    events: usize,
    fell_behind: u64,
    replays: u64,
    compacted: usize,
    progress: usize,
}

#[test]
fn watchers_are_told_what_happened() {
    let mut reached = Reached::default();
    for seed in 0..SEEDS {
        // A thread for the hub and one for the test, so that they really meet.
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_time()
            .build()
            .expect("a runtime");
        let run = run(seed, &mut reached);
        let ended = runtime.block_on(async { tokio::time::timeout(PATIENCE, run).await });
        ended.unwrap_or_else(|_| panic!("seed {seed} does not end"));
    }
    println!("{reached:?}");
    assert!(reached.events > 10_000, "{reached:?}");
    assert!(reached.fell_behind > 100 && reached.replays > 100);
    assert!(reached.compacted > 20 && reached.progress > 100);
}

async fn run(seed: u64, reached: &mut Reached) {
    let mut dice = Dice::new(seed);
    let tuning = tuning(&mut dice);
    let recent = Arc::new(Recent::new(&tuning));
    let mut store = Store::new(Arc::clone(&recent));
    let (hub, runner) = Hub::new(Parts {
        state: store.stores.state.clone(),
        published: Arc::clone(&store.published),
        recent,
        limits: Limits {
            watchers_per_stream_max: 20,
            watchers_max: 60,
            key_bytes_max: 100,
            progress_interval: Duration::from_millis(1),
        },
        tuning,
    });
    let stop = CancellationToken::new();
    let mut tasks = JoinSet::new();
    tasks.spawn(runner.run(stop.clone()));
    let mut clients: Vec<Client> = (0..CLIENTS).map(|_| Client::new(&hub)).collect();
    for _ in 0..STEPS {
        step(&mut dice, &mut store, &mut clients).await;
    }
    settle(&mut dice, &mut store, &mut clients).await;
    let figures = hub.figures();
    let load = std::sync::atomic::AtomicU64::load;
    let relaxed = std::sync::atomic::Ordering::Relaxed;
    reached.fell_behind += load(&figures.fell_behind, relaxed);
    reached.replays += load(&figures.replays, relaxed);
    for watcher in clients.iter().flat_map(Client::watchers) {
        let broken = check(&store.past, &watcher.watched);
        assert_eq!(broken, [], "seed {seed}: {watcher:?}");
        reached.events += watcher.events();
        reached.progress += watcher.progress();
        reached.compacted += usize::from(watcher.ending == Some(Ending::Compacted));
    }
    drop(clients);
    stop.cancel();
    while let Some(ended) = tasks.join_next().await {
        let Ok(()) = ended.expect("the hub does not panic");
    }
    assert_eq!(load(&figures.watchers, relaxed), 0, "seed {seed}");
    assert_eq!(load(&figures.slow, relaxed), 0, "seed {seed}");
    assert_eq!(load(&figures.pending, relaxed), 0, "seed {seed}");
}

async fn step(dice: &mut Dice, store: &mut Store, clients: &mut [Client]) {
    let which = dice.below(CLIENTS as u64) as usize;
    match dice.below(100) {
        0..40 => store.write(dice),
        40..42 => store.compact(dice),
        42..46 => store.sweep(),
        // As after a snapshot of another member: memory knows nothing of what happened.
        46..47 => store.write_and_forget(dice),
        47..57 => clients[which].create(dice, store.revision()).await,
        57..60 => clients[which].cancel(dice).await,
        60..64 => clients[which].ask_progress().await,
        64..65 => clients[which].leave(),
        // Two clients in five read seldom.
        65..90 if which > 1 || dice.chance(100) => {
            let count = dice.below(12);
            clients[which].take(count);
        }
        _ => {
            for _ in 0..dice.below(20) {
                yield_now().await;
            }
        }
    }
}

/// Brings everything to an end: writes past every start, then has every client told that it has seen all.
async fn settle(dice: &mut Dice, store: &mut Store, clients: &mut [Client]) {
    let furthest = clients.iter().flat_map(Client::starts).max();
    while store.revision() <= furthest.unwrap_or(0) {
        store.write(dice);
    }
    for client in clients {
        client.finish(store.revision()).await;
    }
}
