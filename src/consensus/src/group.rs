//! The running group: opens the core on its stores, owns the driver task and the threads, and ends
//! them together. If one dies, all end, and the reason comes out of `failed`.

use crate::apply::{self, Apply};
use crate::config::Config;
use crate::core::{Core, CoreConfig};
use crate::driver::{
    self, APPLIED_MAX, Driver, DriverEnd, Lines, Ports, REPORTS_MAX, Report, Stop,
};
use crate::error::{FatalError, StartError, panic_message};
use crate::forced;
use crate::handle::{Handle, Shared};
use crate::identity::{self, Keeper};
use crate::keeper::{self, KeeperThread, Save};
use crate::machine::StateMachine;
use crate::peers::Links;
use crate::writer::{self, Writer};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;
use storage::{DataDir, StateStore, Stores};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

/// Time a stop may take beyond the time given to requests in flight: the last batch, one sync, one
/// flush of the state.
const STOP_GRACE: Duration = Duration::from_secs(30);
/// How much more than the admitted commands may be uncommitted before raft-rs drops proposals:
/// framing, and entries of a leadership just lost. Admission is the bound clients meet.
const UNCOMMITTED_SLACK_BYTES: u64 = 16 << 20;

/// The running group. Dropping it without [`Group::shutdown`] ends it as a crash would: nothing
/// acknowledged is lost, nothing is flushed. Its threads are gone when the runtime has let go of the driver.
#[derive(Debug)]
pub struct Group {
    driver: DriverTask,
    stop_tx: Option<oneshot::Sender<Stop>>,
    rest: Rest,
}

/// What remains to be ended after the driver.
struct Rest {
    threads: Threads,
    state: StateStore,
    identity: Arc<Mutex<Keeper>>,
    shared: Arc<Shared>,
}

impl std::fmt::Debug for Rest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rest")
            .field("threads", &self.threads)
            .finish_non_exhaustive()
    }
}

/// The threads, until somebody has joined them.
#[derive(Clone, Debug)]
struct Threads(Arc<Mutex<Vec<thread::JoinHandle<()>>>>);

impl Threads {
    /// Waits for the threads, which end when the driver is gone and their queues are empty.
    fn join(&self) {
        let threads = std::mem::take(
            &mut *self
                .0
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner),
        );
        for thread in threads {
            // Each thread catches its own panics.
            let _ = thread.join();
        }
    }
}

/// Joins the threads of a driver that was dropped instead of stopped: a process that exits while they use
/// the engine would be aborted by its exit handlers.
struct JoinOnDrop(Option<Threads>);

impl JoinOnDrop {
    fn disarm(&mut self) {
        self.0 = None;
    }
}

impl Drop for JoinOnDrop {
    fn drop(&mut self) {
        if let Some(threads) = &self.0 {
            threads.join();
        }
    }
}

/// The driver task; ends with its owner.
#[derive(Debug)]
struct DriverTask(Option<JoinHandle<Result<DriverEnd, FatalError>>>);

impl Drop for DriverTask {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}

impl Group {
    /// Opens the core on the stores (replay starts from the applied index), spawns driver task, log
    /// writer thread, apply thread and keeper thread. Returns when they run; replay of the log goes
    /// on behind `read_barrier`. Must be called on a tokio runtime.
    ///
    /// # Errors
    /// [`StartError`]; nothing was voted, proposed or applied then.
    pub fn start<S: StateMachine>(
        config: Config,
        directory: DataDir,
        stores: Stores,
        machine: S,
        links: Links,
    ) -> Result<(Handle<S::Reply>, Group), StartError> {
        config.validate().map_err(StartError::Config)?;
        let runtime = tokio::runtime::Handle::try_current().map_err(StartError::NoRuntime)?;
        let identity = Keeper::open(&config, directory, &stores)?;
        let core = open_core(&config, &stores, identity.incarnation())?;
        let flushed_index = stores.state.flushed_index().map_err(StartError::Log)?;
        let shared = Arc::new(Shared::new(
            &config,
            driver::status(&core, flushed_index, 0),
            identity::founders(&stores.log)?,
        ));
        let identity = Arc::new(Mutex::new(identity));
        let state = stores.state.clone();
        let (threads, lines, stop_tx) = spawn_threads(machine, stores, &shared, &identity)?;
        let (handle, inbox) = Handle::new(Arc::clone(&shared));
        let driver = {
            // The driver's ticker needs the runtime.
            let _entered = runtime.enter();
            let ports = Ports {
                inbox,
                lines,
                links,
            };
            Driver::new(&config, core, Arc::clone(&shared), ports)
        };
        let threads = Threads(Arc::new(Mutex::new(threads)));
        let mut unstopped = JoinOnDrop(Some(threads.clone()));
        let driver = DriverTask(Some(runtime.spawn(async move {
            let end = driver.run().await;
            // Whoever stopped it joins the threads, where waiting for them is no harm.
            unstopped.disarm();
            end
        })));
        let rest = Rest {
            threads,
            state,
            identity,
            shared,
        };
        Ok((
            handle,
            Group {
                driver,
                stop_tx: Some(stop_tx),
                rest,
            },
        ))
    }

    /// Refuses new proposals, answers what is in flight until `deadline`, flushes the state, saves the
    /// watermark, joins task and threads.
    ///
    /// # Errors
    /// [`FatalError`] if the group had died or dies on the way. What was acknowledged is safe even then.
    pub async fn shutdown(mut self, deadline: Duration) -> Result<(), FatalError> {
        self.rest.shared.stopping.store(true, Ordering::Release);
        if let Some(stop_tx) = self.stop_tx.take() {
            // A driver that died meanwhile does not listen; its result says why.
            let _ = stop_tx.send(Stop { deadline });
        }
        let limit = deadline + STOP_GRACE;
        let ended = tokio::time::timeout(limit, self.driver_result()).await;
        let end = ended.map_err(|_| FatalError::StopDeadline(limit))?;
        let rest = self.rest;
        let finish = tokio::task::spawn_blocking(move || rest.finish(end));
        match tokio::time::timeout(STOP_GRACE, finish).await {
            Ok(Ok(result)) => result,
            Ok(Err(error)) => Err(FatalError::Panicked {
                part: "shutdown",
                message: error.to_string(),
            }),
            Err(_) => Err(FatalError::StopDeadline(STOP_GRACE)),
        }
    }

    /// The data directory's random number, and how many times a group was started on it.
    pub fn instance(&self) -> (u128, u64) {
        let identity = self.rest.identity.lock();
        let identity = identity.unwrap_or_else(std::sync::PoisonError::into_inner);
        (identity.instance(), identity.incarnation())
    }

    /// Resolves only if the group dies by itself (failed sync, corruption, panic): the process must
    /// stop. Cancel-safe.
    pub async fn failed(&mut self) -> FatalError {
        match self.driver_result().await {
            Err(error) => error,
            Ok(_) => FatalError::Ended { part: "driver" },
        }
    }

    async fn driver_result(&mut self) -> Result<DriverEnd, FatalError> {
        let Some(task) = &mut self.driver.0 else {
            return Err(FatalError::Ended { part: "driver" });
        };
        let joined = task.await;
        self.driver.0 = None;
        match joined {
            Ok(result) => result,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => Err(FatalError::Panicked {
                    part: "driver",
                    message: panic_message(panic.as_ref()),
                }),
                Err(_) => Err(FatalError::Ended { part: "driver" }),
            },
        }
    }
}

impl Rest {
    /// Joins the threads and makes the state durable, so that the next start has nothing to replay.
    fn finish(self, end: Result<DriverEnd, FatalError>) -> Result<(), FatalError> {
        self.threads.join();
        let end = end?;
        let save = Save {
            flush: true,
            watermark: end.watermark,
        };
        keeper::perform(save, &self.state, &self.identity).map(|_| ())
    }
}

fn open_core(config: &Config, stores: &Stores, incarnation: u64) -> Result<Core, StartError> {
    let applied = stores.state.applied();
    let forced = forced::membership(&stores.log, applied.index).map_err(StartError::Log)?;
    let core_config = CoreConfig {
        node_id: config.node_id,
        incarnation,
        seed: config.seed,
        election_ticks: config.election_ticks(),
        snapshot_ticks_max: config.ticks(config.tuning.snapshot_timeout),
        uncommitted_bytes_max: config.proposals_bytes_max as u64 + UNCOMMITTED_SLACK_BYTES,
        applied,
        conf_state: forced.or_else(|| stores.conf_state.clone()),
    };
    Ok(Core::open(core_config, stores.log.clone())?)
}

/// The threads, the driver's ends of their channels, and the end that stops the driver.
type Spawned<R> = (Vec<thread::JoinHandle<()>>, Lines<R>, oneshot::Sender<Stop>);

fn spawn_threads<S: StateMachine>(
    machine: S,
    stores: Stores,
    shared: &Arc<Shared>,
    identity: &Arc<Mutex<Keeper>>,
) -> Result<Spawned<S::Reply>, StartError> {
    let (reports_tx, reports_rx) = mpsc::channel(REPORTS_MAX);
    let (applied_tx, applied_rx) = mpsc::channel(APPLIED_MAX);
    let (jobs_tx, jobs_rx) = crossbeam_channel::bounded(writer::JOBS_MAX);
    let (work_tx, work_rx) = crossbeam_channel::bounded(apply::QUEUE_MAX);
    let (duties_tx, duties_rx) = crossbeam_channel::bounded(keeper::DUTIES_MAX);
    let (stop_tx, stop_rx) = oneshot::channel();
    let writer = Writer {
        log: stores.log.clone(),
        identity: Arc::clone(identity),
        shared: Arc::clone(shared),
        jobs_rx,
        work_tx: work_tx.clone(),
        reports_tx: reports_tx.clone(),
    };
    let apply = Apply {
        machine,
        applied: stores.state.applied(),
        writer: stores.writer,
        shared: Arc::clone(shared),
        work_rx,
        log: stores.log.clone(),
        applied_tx,
    };
    let keeper = KeeperThread {
        state: stores.state,
        log: stores.log,
        identity: Arc::clone(identity),
        duties_rx,
        reports_tx: reports_tx.clone(),
    };
    let threads = vec![
        spawn("log writer", reports_tx.clone(), move || writer.run())?,
        spawn("apply", reports_tx.clone(), move || apply.run())?,
        spawn("keeper", reports_tx, move || keeper.run())?,
    ];
    let lines = Lines {
        jobs_tx,
        work_tx,
        duties_tx,
        reports_rx,
        applied_rx,
        stop_rx,
    };
    Ok((threads, lines, stop_tx))
}

/// Spawns a part of the group; its failure or panic is reported to the driver, which ends the group.
fn spawn(
    part: &'static str,
    reports_tx: mpsc::Sender<Report>,
    work: impl FnOnce() -> Result<(), FatalError> + Send + 'static,
) -> Result<thread::JoinHandle<()>, StartError> {
    let body = move || {
        let failure = match catch_unwind(AssertUnwindSafe(work)) {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error,
            Err(panic) => FatalError::Panicked {
                part,
                message: panic_message(panic.as_ref()),
            },
        };
        // A driver that ended already has its own reason.
        let _ = reports_tx.blocking_send(Report::Failed(failure));
    };
    thread::Builder::new()
        .name(part.replace(' ', "-"))
        .spawn(body)
        .map_err(|source| StartError::Spawn { part, source })
}

#[cfg(test)]
mod tests;
