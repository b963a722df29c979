//! The tasks of a node: each has a name, none is detached, and the end of any of them is noticed.

use super::error::RunError;
use crate::http::panic_text;
use futures::FutureExt;
use std::error::Error;
use std::panic::AssertUnwindSafe;
use tokio::task::JoinSet;

/// How a task ended.
#[derive(Debug)]
pub(super) struct TaskEnd {
    task: &'static str,
    result: Result<(), Failure>,
}

#[derive(Debug)]
enum Failure {
    Error(Box<dyn Error + Send + Sync>),
    Panic(String),
}

impl TaskEnd {
    /// The error of a task that should not have ended.
    pub(super) fn into_error(self) -> RunError {
        let task = self.task;
        match self.result {
            Ok(()) => RunError::TaskEnded { task },
            Err(Failure::Error(source)) => RunError::Task { task, source },
            Err(Failure::Panic(message)) => RunError::TaskPanicked { task, message },
        }
    }
}

/// All tasks of a node.
#[derive(Debug, Default)]
pub(super) struct Tasks {
    running: JoinSet<TaskEnd>,
    /// The first failure seen while joining.
    failed: Option<TaskEnd>,
}

impl Tasks {
    /// Runs `future` under a name.
    pub(super) fn spawn<F, E>(&mut self, task: &'static str, future: F)
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        let guarded = AssertUnwindSafe(future).catch_unwind();
        self.running.spawn(async move {
            let result = match guarded.await {
                Ok(Ok(())) => Ok(()),
                Ok(Err(error)) => Err(Failure::Error(error.into())),
                Err(panic) => Err(Failure::Panic(panic_text(panic.as_ref()).to_owned())),
            };
            TaskEnd { task, result }
        });
    }

    /// The next task to end; pends for ever when none is left. Cancel-safe.
    pub(super) async fn next(&mut self) -> TaskEnd {
        match self.running.join_next().await {
            Some(Ok(ended)) => ended,
            // A task catches its own panic and is aborted only by `abort`, which nobody joins after.
            Some(Err(error)) => TaskEnd {
                task: "unknown",
                result: Err(Failure::Error(error.into())),
            },
            None => std::future::pending().await,
        }
    }

    /// Waits until all have ended and remembers the first failure. Cancel-safe.
    pub(super) async fn join(&mut self) {
        while !self.running.is_empty() {
            let ended = self.next().await;
            if ended.result.is_err() && self.failed.is_none() {
                self.failed = Some(ended);
            }
        }
    }

    /// Ends what still runs and returns the first failure seen.
    pub(super) async fn abort(mut self) -> Option<TaskEnd> {
        self.running.shutdown().await;
        self.failed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_keeps_the_name_of_its_task() {
        let mut tasks = Tasks::default();
        tasks.spawn::<_, std::io::Error>("waiting", std::future::pending());
        tasks.spawn::<_, std::io::Error>("broken", async { panic!("a planted bug") });
        match tasks.next().await.into_error() {
            RunError::TaskPanicked { task, message } => {
                assert_eq!((task, message.as_str()), ("broken", "a planted bug"))
            }
            other => panic!("{other:?}"),
        }
        assert!(tasks.abort().await.is_none());
    }

    #[tokio::test]
    async fn joining_remembers_the_failure() {
        let mut tasks = Tasks::default();
        tasks.spawn::<_, std::io::Error>("good", async { Ok(()) });
        tasks.spawn("bad", async { Err(std::io::Error::other("no")) });
        tasks.join().await;
        assert!(matches!(
            tasks.abort().await.map(TaskEnd::into_error),
            Some(RunError::Task { task: "bad", .. })
        ));
    }
}
