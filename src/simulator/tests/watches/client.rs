//! A client of one stream: asks at random, and writes down what each of its watchers was told.

use crate::store::KEYS;
use bytes::Bytes;
use placement_center::watch::{Batch, Cause, Hub, Keys, Notice, Refusal, Spec, Subscription};
use protocol::mvccpb::KeyValue;
use simulator::Dice;
use simulator::watches::{Change, Told, Version, Watched, Wish};
use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::task::Poll;

pub struct Client {
    hub: Hub,
    subscription: Subscription,
    /// Wishes that are not answered yet, in order.
    asked: VecDeque<Wish>,
    /// Watchers by id; those that ended have moved away.
    living: BTreeMap<i64, Watcher>,
    ended: Vec<Watcher>,
    /// Newest revision up to which all of the stream were told.
    progress: i64,
}

#[derive(Debug)]
pub struct Watcher {
    pub watched: Watched,
    pub ending: Option<Ending>,
    /// Revision of the last header.
    header: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    Asked,
    Compacted,
    Left,
}

impl Watcher {
    pub fn events(&self) -> usize {
        let told = self.watched.told.iter();
        told.map(|told| match told {
            Told::Events(events) => events.len(),
            _ => 0,
        })
        .sum()
    }

    pub fn progress(&self) -> usize {
        let told = self.watched.told.iter();
        told.filter(|told| matches!(told, Told::Progress(_)))
            .count()
    }

    fn told(&mut self, header: i64, told: Told) {
        assert!(header >= self.header, "{told:?} takes {} back", self.header);
        self.header = header;
        self.watched.told.push(told);
    }
}

impl Client {
    pub fn new(hub: &Hub) -> Client {
        Client {
            subscription: hub.open(false),
            hub: hub.clone(),
            asked: VecDeque::new(),
            living: BTreeMap::new(),
            ended: Vec::new(),
            progress: 0,
        }
    }

    pub fn watchers(&self) -> impl Iterator<Item = &Watcher> {
        self.living.values().chain(&self.ended)
    }

    /// Where the watchers begin, those included that are yet to be created.
    pub fn starts(&self) -> impl Iterator<Item = i64> {
        let created = self.watchers().map(|watcher| watcher.watched.wish.start);
        created.chain(self.asked.iter().map(|wish| wish.start))
    }

    /// Sends what is unsent.
    async fn send(&mut self) {
        let sent = poll_fn(|task| self.subscription.poll_ready(task)).await;
        sent.expect("the hub lives");
    }

    pub async fn create(&mut self, dice: &mut Dice, newest: i64) {
        self.send().await;
        let wish = Wish {
            key: dice.pick(&KEYS).to_vec(),
            range_end: match dice.below(4) {
                0 => Vec::new(),
                1 => vec![0],
                _ => dice.pick(&KEYS).to_vec(),
            },
            start: match dice.below(10) {
                0..4 => 0,
                4..9 => dice.between(1, newest as u64) as i64,
                _ => newest + dice.below(10) as i64,
            },
            no_put: dice.chance(100),
            no_delete: dice.chance(100),
            previous: dice.chance(500),
        };
        let keys = Keys::new(wish.key.clone().into(), wish.range_end.clone().into());
        let spec = keys.map(|keys| Spec {
            no_put: wish.no_put,
            no_delete: wish.no_delete,
            previous: wish.previous,
            progress: dice.chance(300),
            ..Spec::new(keys, wish.start)
        });
        self.asked.push_back(wish);
        self.subscription.create(None, spec);
        self.send().await;
    }

    pub async fn cancel(&mut self, dice: &mut Dice) {
        self.send().await;
        let ids: Vec<i64> = self.living.keys().copied().collect();
        if !ids.is_empty() {
            self.subscription.cancel(*dice.pick(&ids));
            self.send().await;
        }
    }

    pub async fn ask_progress(&mut self) {
        self.send().await;
        self.subscription.ask_progress();
        self.send().await;
    }

    /// Goes away without a word, and comes back as another.
    pub fn leave(&mut self) {
        self.subscription = self.hub.open(false);
        self.asked.clear();
        for (_, watcher) in std::mem::take(&mut self.living) {
            self.end(watcher, Ending::Left);
        }
    }

    fn end(&mut self, watcher: Watcher, ending: Ending) {
        self.ended.push(Watcher {
            ending: Some(ending),
            ..watcher
        });
    }

    /// Takes `count` notices if there are so many.
    pub fn take(&mut self, count: u64) {
        for _ in 0..count {
            let mut task = std::task::Context::from_waker(std::task::Waker::noop());
            match self.subscription.poll_notice(&mut task) {
                Poll::Ready(notice) => self.heed(notice.expect("the hub lives")),
                Poll::Pending => return,
            }
        }
    }

    /// Takes everything until the stream has been told of progress up to `revision`.
    pub async fn finish(&mut self, revision: i64) {
        self.progress = 0;
        self.ask_progress().await;
        while self.progress < revision {
            let notice = self.subscription.next().await.expect("the hub lives");
            let is_progress = matches!(notice, Notice::Progress { watch_id: None, .. });
            self.heed(notice);
            if is_progress && self.progress < revision {
                self.ask_progress().await;
            }
        }
    }

    fn heed(&mut self, notice: Notice) {
        match notice {
            Notice::Created { watch_id, revision } => {
                let mut wish = self.asked.pop_front().expect("answers follow requests");
                if wish.start == 0 {
                    wish.start = revision + 1;
                }
                let watcher = Watcher {
                    watched: Watched {
                        wish,
                        told: Vec::new(),
                    },
                    ending: None,
                    header: revision,
                };
                let other = self.living.insert(watch_id, watcher);
                assert!(other.is_none(), "two watchers of one id");
            }
            Notice::Refused { refusal, .. } => {
                self.asked.pop_front().expect("answers follow requests");
                let may_be = [
                    Refusal::EmptyRange,
                    Refusal::StreamFull(20),
                    Refusal::NodeFull(60),
                ];
                assert!(may_be.contains(&refusal), "{refusal}");
            }
            Notice::Events(batch) => {
                self.subscription.count_events(batch.events().count());
                let told = Told::Events(events(&batch));
                self.watcher(batch.watch_id).told(batch.revision, told);
            }
            Notice::Progress { watch_id, revision } => {
                let told = Told::Progress(revision);
                match watch_id {
                    Some(id) => self.watcher(id).told(revision, told),
                    None => {
                        self.progress = revision;
                        for watcher in self.living.values_mut() {
                            watcher.told(revision, told.clone());
                        }
                    }
                }
            }
            Notice::Canceled { watch_id, cause } => {
                let mut watcher = self.living.remove(&watch_id).expect("it was created");
                match cause {
                    Cause::Asked { .. } => self.end(watcher, Ending::Asked),
                    Cause::Compacted { revision } => {
                        watcher.watched.told.push(Told::Compacted(revision));
                        self.end(watcher, Ending::Compacted);
                    }
                    Cause::Unreadable => panic!("the disk is good"),
                }
            }
        }
    }

    fn watcher(&mut self, id: i64) -> &mut Watcher {
        self.living.get_mut(&id).expect("a watcher that lives")
    }
}

fn events(batch: &Batch) -> Vec<Change> {
    let events: Vec<Change> = batch
        .events()
        .map(|event| {
            let message = event.to_message(batch.spec().previous);
            let kv = message.kv.expect("an event has its key");
            let is_put = message.r#type == 0;
            Change {
                revision: kv.mod_revision,
                key: kv.key.to_vec(),
                now: is_put.then(|| version(&kv)),
                before: message.prev_kv.as_ref().map(version),
            }
        })
        .collect();
    assert!(!events.is_empty(), "a batch holds something");
    events
}

fn version(kv: &KeyValue) -> Version {
    Version {
        revision: kv.mod_revision,
        create_revision: kv.create_revision,
        version: kv.version,
        value: Bytes::clone(&kv.value).to_vec(),
    }
}
