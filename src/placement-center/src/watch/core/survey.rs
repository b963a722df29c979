//! Who watches what, and how far behind, for operators.

use super::{Core, Place, StreamId, Watcher};
use crate::watch::spec::Keys;

/// Watchers that a survey tells of at most.
pub const SURVEYED_MAX: usize = 1000;

/// Which watchers to tell of.
#[derive(Clone, Copy, Debug, Default)]
pub struct SurveyRequest {
    /// Those behind this stream and watch id.
    pub after: Option<(u64, i64)>,
    /// So many at most.
    pub limit: usize,
}

/// Some watchers, in the order of their streams and ids, and figures of all of them.
#[derive(Clone, Debug, Default)]
pub struct Survey {
    /// The watchers.
    pub watchers: Vec<WatcherView>,
    /// Whether there are more behind them.
    pub more: bool,
    /// Watchers of this node.
    pub count: usize,
    /// Newest revision.
    pub revision: i64,
    /// Revisions by which the watcher that is furthest behind is so.
    pub lag_max: i64,
}

/// One watcher.
#[derive(Clone, Debug)]
pub struct WatcherView {
    /// Number of its stream on this node.
    pub stream: u64,
    /// Its id in that stream.
    pub watch_id: i64,
    /// What it watches.
    pub keys: Keys,
    /// First revision that its client has not taken.
    pub next: i64,
    /// Revisions that it is behind the newest.
    pub lag: i64,
    /// Whether it is told each revision as it comes.
    pub is_synced: bool,
}

impl Core {
    /// Looks at all watchers.
    pub(in crate::watch) fn survey(&self, request: SurveyRequest) -> Survey {
        let limit = request.limit.min(SURVEYED_MAX);
        let mut survey = Survey {
            count: self.watchers.len(),
            revision: self.newest,
            ..Survey::default()
        };
        for (id, stream) in &self.streams {
            let waiting = stream.outbox.oldest();
            for (watch_id, watcher) in &stream.watchers {
                let Some(watcher) = self.watchers.get(watcher) else {
                    continue;
                };
                let view = self.view(*id, watcher, waiting);
                survey.lag_max = survey.lag_max.max(view.lag);
                if request
                    .after
                    .is_some_and(|after| (id.0, *watch_id) <= after)
                {
                    continue;
                }
                match survey.watchers.len() < limit {
                    true => survey.watchers.push(view),
                    false => survey.more = true,
                }
            }
        }
        survey
    }

    /// A watcher, given the revision of the oldest batch that waits for its stream.
    fn view(&self, stream: StreamId, watcher: &Watcher, waiting: Option<i64>) -> WatcherView {
        let told = match watcher.place {
            Place::Synced => watcher.next.max(self.distributed + 1),
            _ => watcher.next,
        };
        let next = waiting.map_or(told, |waiting| told.min(waiting.max(watcher.spec.start)));
        WatcherView {
            stream: stream.0,
            watch_id: watcher.watch_id,
            keys: watcher.spec.keys.clone(),
            next,
            lag: (self.newest + 1 - next).max(0),
            is_synced: watcher.place == Place::Synced,
        }
    }
}
