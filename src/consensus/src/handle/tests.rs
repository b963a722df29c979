//! What a client finds at the moment its reply wakes it.

use super::*;
use crate::status::Role;
use std::task::{Wake, Waker};
use std::time::Duration;

fn shared(proposals_count_max: usize) -> Arc<Shared> {
    let config = Config {
        node_id: 1,
        founding_voters: vec![1],
        joining: false,
        new_instance: 1,
        cluster_id: 1,
        heartbeat: Duration::from_millis(10),
        election: Duration::from_millis(100),
        seed: 1,
        proposals_count_max,
        proposals_bytes_max: 1000,
        command_bytes_max: 1000,
        log_retention_entries: 10,
        log_retention_bytes: 1000,
        tuning: crate::Tuning::default(),
    };
    let status = Status {
        node_id: 1,
        role: Role::Leader,
        leader: Some(1),
        term: 1,
        first_index: 1,
        last_index: 0,
        persisted_index: 0,
        committed_index: 0,
        applied_index: 0,
        flushed_index: 0,
        voters: vec![1],
        learners: Vec::new(),
        outgoing: Vec::new(),
        progress: Vec::new(),
        proposals_pending: 0,
        ..Status::default()
    };
    Arc::new(Shared::new(&config, status, vec![1]))
}

/// Notes what was pending when it was woken.
struct Witness {
    shared: Arc<Shared>,
    pending: AtomicUsize,
}

impl Wake for Witness {
    fn wake(self: Arc<Self>) {
        self.pending.store(self.shared.pending(), Ordering::Relaxed);
    }
}

#[test]
fn a_reply_means_room_for_the_next_command() {
    let shared = shared(1);
    let (handle, mut inbox) = Handle::<u64>::new(Arc::clone(&shared));
    let mut reply = handle.submit(Bytes::from_static(b"first")).unwrap();
    assert_eq!(
        handle.submit(Bytes::new()).err(),
        Some(ProposeError::Overloaded)
    );
    let pending = AtomicUsize::new(usize::MAX);
    let witness = Arc::new(Witness { shared, pending });
    let waker = Waker::from(Arc::clone(&witness));
    let mut context = Context::from_waker(&waker);
    assert!(Pin::new(&mut reply).poll(&mut context).is_pending());
    inbox.proposals_rx.try_recv().unwrap().waiter.answer(Ok(7));
    assert_eq!(
        witness.pending.load(Ordering::Relaxed),
        0,
        "woken before its room was free"
    );
    assert_eq!(Pin::new(&mut reply).poll(&mut context), Poll::Ready(Ok(7)));
}

#[test]
fn a_refused_command_takes_no_room() {
    let shared = shared(2);
    let (handle, inbox) = Handle::<u64>::new(Arc::clone(&shared));
    drop(inbox);
    let stopping = ProposeError::Stopping {
        outcome_unknown: false,
    };
    assert_eq!(handle.submit(Bytes::new()).err(), Some(stopping));
    assert_eq!(shared.pending(), 0);
}
