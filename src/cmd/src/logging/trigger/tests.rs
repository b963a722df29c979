//! Rolling by time with a clock of the test's own, and the units of the file.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use log::{Level, Record};
use log4rs::append::Append;
use log4rs::append::rolling_file::RollingFileAppender;
use log4rs::append::rolling_file::policy::compound::CompoundPolicy;
use log4rs::append::rolling_file::policy::compound::roll::fixed_window::FixedWindowRoller;
use log4rs::encode::pattern::PatternEncoder;

use super::*;

#[test]
fn a_file_rolls_when_its_interval_has_passed() {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let path = directory.path().join("a.log");
    let rolled = directory.path().join("a.{}.log").display().to_string();
    let now = Arc::new(AtomicU64::new(86_400 * 3 + 100));
    let clock = Arc::clone(&now);
    let trigger = SizeOrTime::new(1 << 30, 86_400, move || clock.load(Ordering::Relaxed));
    let roller = FixedWindowRoller::builder()
        .base(1)
        .build(&rolled, 9)
        .expect("the pattern is valid");
    let policy = CompoundPolicy::new(Box::new(trigger), Box::new(roller));
    let appender = RollingFileAppender::builder()
        .encoder(Box::new(PatternEncoder::new("{m}{n}")))
        .build(&path, Box::new(policy))
        .expect("the file can be opened");
    let say = |seconds: u64, message: &str| {
        now.store(seconds, Ordering::Relaxed);
        let mut record = Record::builder();
        appender
            .append(
                &record
                    .level(Level::Info)
                    .args(format_args!("{message}"))
                    .build(),
            )
            .expect("the line can be written");
    };
    let day = 86_400;
    say(3 * day + 100, "first day");
    say(4 * day - 1, "first day, last second");
    say(4 * day, "second day");
    say(4 * day - 5, "the clock was set back");
    say(4 * day + 9, "the clock was set right");
    say(6 * day, "two days later");

    let text =
        |name: &str| fs::read_to_string(directory.path().join(name)).expect("the file exists");
    assert_eq!(text("a.log"), "two days later\n");
    assert_eq!(
        text("a.1.log"),
        "second day\nthe clock was set back\nthe clock was set right\n"
    );
    assert_eq!(text("a.2.log"), "first day\nfirst day, last second\n");
    assert!(!directory.path().join("a.3.log").exists());
}

#[test]
fn quantities_have_units() {
    let good = [
        ("64 mb", SIZE_UNITS, 64 << 20),
        ("1KIB", SIZE_UNITS, 1024),
        ("2 days", TIME_UNITS, 172_800),
    ];
    for (text, units, expected) in good {
        assert_eq!(quantity(text, units).expect(text), expected);
    }
    for bad in [
        "",
        "mb",
        "64",
        "64 parsecs",
        "-1 mb",
        "1.5 mb",
        "99999999999999999999 b",
        "99999999999999999 gb",
    ] {
        assert!(quantity(bad, SIZE_UNITS).is_err(), "{bad}");
    }
}
