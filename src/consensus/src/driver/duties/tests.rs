//! When duties are due and how far the log may be truncated.

use super::*;
use bytes::Bytes;
use crossbeam_channel::Receiver;

fn records(indexes: std::ops::RangeInclusive<u64>, bytes: usize) -> Vec<Record> {
    indexes
        .map(|index| Record {
            index,
            payload: Bytes::from(vec![0; bytes]),
        })
        .collect()
}

#[test]
fn sizes_find_where_the_retained_bytes_begin() {
    let mut sizes = LogSizes::default();
    assert_eq!(sizes.first_within(0), 0);
    let mark = usize::try_from(MARK_BYTES).unwrap();
    sizes.appended(&records(1..=10, mark));
    assert_eq!(
        sizes.first_within(100 * MARK_BYTES),
        0,
        "all of it may stay"
    );
    assert_eq!(sizes.first_within(4 * MARK_BYTES), 7, "the last four stay");
    assert_eq!(sizes.first_within(0), 11);
    sizes.truncated(7);
    assert_eq!(sizes.first_within(4 * MARK_BYTES), 7);
}

#[test]
fn a_replaced_suffix_is_counted_anew() {
    let mut sizes = LogSizes::default();
    let mark = usize::try_from(MARK_BYTES).unwrap();
    sizes.appended(&records(1..=10, mark));
    sizes.appended(&records(5..=5, mark));
    let indexes: Vec<u64> = sizes.marks.iter().map(|(index, _)| *index).collect();
    assert_eq!(indexes, [1, 2, 3, 4, 5]);
}

fn duties() -> (Duties, Receiver<Duty>) {
    let config = Config {
        node_id: 1,
        founding_voters: vec![1],
        joining: false,
        new_instance: 1,
        cluster_id: 1,
        heartbeat: Duration::from_millis(100),
        election: Duration::from_secs(1),
        seed: 1,
        proposals_count_max: 1,
        proposals_bytes_max: 1,
        command_bytes_max: 1,
        log_retention_entries: 10,
        log_retention_bytes: 1000,
        tuning: crate::Tuning::default(),
    };
    let (tx, rx) = crossbeam_channel::bounded(crate::keeper::DUTIES_MAX);
    (Duties::new(&config, tx, 0), rx)
}

#[test]
fn a_quiet_node_has_no_duties() {
    let (mut duties, rx) = duties();
    let counters = Counters::default();
    for _ in 0..2000 {
        duties.tick(&counters, 0);
    }
    assert!(rx.try_recv().is_err());
}

fn asked(rx: &Receiver<Duty>) -> Option<Save> {
    match rx.try_recv().ok()? {
        Duty::Save(save) => Some(save),
        Duty::Snapshot { to } => panic!("nobody wants a snapshot for node {to}"),
    }
}

#[test]
fn the_watermark_is_saved_about_once_a_second() {
    let (mut duties, rx) = duties();
    let counters = Counters::default();
    let mut saved = 0;
    for tick in 1..=100 {
        duties.tick(&counters, tick);
        if let Some(save) = asked(&rx) {
            assert!(!save.flush);
            assert_eq!(save.watermark, tick);
            saved += 1;
            duties.in_progress = false;
        }
    }
    assert_eq!(saved, 10);
}

#[test]
fn a_flush_is_due_by_bytes_by_commands_and_by_time() {
    for (bytes, commands, ticks) in [
        (UNFLUSHED_BYTES_MAX, 1, 1),
        (1, UNFLUSHED_COMMANDS_MAX, 1),
        (1, 1, 600),
    ] {
        let (mut duties, rx) = duties();
        let counters = Counters::default();
        counters.applied_bytes.store(bytes, Ordering::Relaxed);
        counters
            .proposals_applied
            .store(commands, Ordering::Relaxed);
        for tick in 1..=ticks {
            assert!(rx.try_recv().is_err(), "early, at tick {tick}");
            duties.tick(&counters, 0);
        }
        assert!(asked(&rx).is_some_and(|save| save.flush));
        duties.in_progress = false;
        duties.tick(&counters, 0);
        assert!(rx.try_recv().is_err(), "once");
    }
}

#[test]
fn one_duty_at_a_time() {
    let (mut duties, rx) = duties();
    let counters = Counters::default();
    counters
        .applied_bytes
        .store(UNFLUSHED_BYTES_MAX, Ordering::Relaxed);
    duties.tick(&counters, 0);
    assert!(rx.try_recv().is_ok());
    counters
        .applied_bytes
        .store(3 * UNFLUSHED_BYTES_MAX, Ordering::Relaxed);
    for _ in 0..100 {
        duties.tick(&counters, 5);
    }
    assert!(rx.try_recv().is_err(), "the keeper has not reported");
}
