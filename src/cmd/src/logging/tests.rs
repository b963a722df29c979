//! The four needs (levels, rolling, own format, a file for each kind) and every kind of wrong file.

use std::fs;
use std::path::Path;

use log::{Level as Severity, Log, Record};
use tempfile::TempDir;

use super::*;
use crate::clock;

struct Scene {
    directory: TempDir,
    wanted: Wanted,
}

/// Logs into a fresh directory by the shipped log4rs.yaml, or by the given one.
fn scene(yaml: Option<&str>) -> Scene {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let file = match yaml {
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/log4rs.yaml"),
        Some(text) => {
            let file = directory.path().join("log4rs.yaml");
            fs::write(&file, text).expect("the temporary file can be written");
            file
        }
    };
    let path = directory.path().join("logs");
    let wanted = Wanted {
        file,
        file_named: true,
        path,
        level: LevelFilter::Info,
        level_named: false,
    };
    Scene { directory, wanted }
}

impl Scene {
    fn open(&self) -> (log4rs::Logger, Logging) {
        check(&self.wanted).expect("the check passes what can be opened");
        Logging::open(&self.wanted).expect("the configuration is valid")
    }

    fn text(&self, file: &str) -> String {
        fs::read_to_string(self.wanted.path.join(file)).expect("the log file exists")
    }

    fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.wanted.path).expect("the log directory exists");
        let name = |entry: fs::DirEntry| entry.file_name().into_string().expect("names are UTF-8");
        let mut names: Vec<String> = entries
            .map(|entry| name(entry.expect("it can be listed")))
            .collect();
        names.sort();
        names
    }

    fn refusal(&self) -> String {
        let told = check(&self.wanted)
            .expect_err("this must be refused")
            .to_string();
        assert!(!told.contains('\n'), "one line: {told}");
        assert!(!self.wanted.path.exists(), "a check creates nothing");
        told
    }
}

fn say(logger: &log4rs::Logger, target: &str, level: Severity, message: &str) {
    logger.log(
        &Record::builder()
            .target(target)
            .level(level)
            .args(format_args!("{message}"))
            .build(),
    );
}

#[test]
fn each_kind_goes_to_its_own_file() {
    let scene = scene(None);
    let (logger, _logging) = scene.open();
    let kinds = [
        ("server.log", "placement_center::node", "serving"),
        ("raft.log", "consensus::driver", "elected"),
        ("raft.log", "raft", "stepped"),
        ("audit.log", "audit", "user root created"),
        ("slow.log", "slow", "range took 2 s"),
    ];
    for (_, target, message) in kinds {
        say(&logger, target, Severity::Info, message);
    }
    for file in ["server.log", "raft.log", "audit.log", "slow.log"] {
        let text = scene.text(file);
        for (home, _, message) in kinds {
            assert_eq!(
                text.contains(message),
                home == file,
                "{message:?} in {file}"
            );
        }
    }
}

#[test]
fn the_log_directory_alone_moves_every_file() {
    let mut scene = scene(None);
    scene.wanted.path = scene.directory.path().join("else \"where\": #1/deep");
    let (logger, _logging) = scene.open();
    say(&logger, "x", Severity::Info, "hello");
    assert_eq!(
        scene.files(),
        ["audit.log", "raft.log", "server.log", "slow.log"]
    );
    assert!(scene.text("server.log").contains("hello"));
}

#[test]
fn lines_have_the_shipped_format() {
    let scene = scene(None);
    let (logger, _logging) = scene.open();
    say(
        &logger,
        "placement_center::node",
        Severity::Info,
        "a message",
    );
    let text = scene.text("server.log");
    let (time, rest) = text.split_once(' ').expect("the time comes first");
    assert_eq!(rest, "INFO  placement_center::node - a message\n");
    assert_eq!(time.len(), "2026-01-02T03:04:05.678Z".len(), "{time}");
    assert!(time.ends_with('Z'), "{time}");
}

#[test]
fn the_level_holds_and_can_be_changed() {
    let scene = scene(None);
    let (logger, logging) = scene.open();
    assert_eq!(logging.level(), LevelFilter::Info);
    say(&logger, "x", Severity::Debug, "one");
    say(&logger, "consensus", Severity::Debug, "one");
    logging
        .set_level(LevelFilter::Debug)
        .expect("the level can be changed");
    assert_eq!(logging.level(), LevelFilter::Debug);
    say(&logger, "x", Severity::Debug, "two");
    say(&logger, "consensus", Severity::Debug, "two");
    logging
        .set_level(LevelFilter::Error)
        .expect("the level can be changed");
    say(&logger, "x", Severity::Warn, "three");
    say(&logger, "audit", Severity::Info, "audited");
    for file in ["server.log", "raft.log"] {
        let text = scene.text(file);
        assert!(
            !text.contains("one") && text.contains("two") && !text.contains("three"),
            "{file}: {text}"
        );
    }
    assert!(
        scene.text("audit.log").contains("audited"),
        "a fixed level does not follow"
    );
}

/// Rolling at 100 bytes, or after the given interval.
fn rolling(trigger: &str) -> String {
    format!(
        "appenders:\n  server:\n    kind: rolling_file\n    path: \"${{log_path}}/server.log\"\n    \
         encoder: {{ pattern: \"<{{m}}>{{n}}\" }}\n    policy:\n      trigger: {trigger}\n      roller: \
         {{ kind: fixed_window, pattern: \"${{log_path}}/server.{{}}.log\", base: 1, count: 2 }}\n\
         root:\n  level: \"${{log_level}}\"\n  appenders: [server]\n"
    )
}

#[test]
fn files_roll_by_size_and_the_oldest_go() {
    let scene = scene(Some(&rolling(
        "{ kind: size_or_time, size: 100 b, interval: 1000 weeks }",
    )));
    let (logger, _logging) = scene.open();
    for line in 0..12 {
        say(&logger, "x", Severity::Info, &format!("{line:040}"));
    }
    assert_eq!(
        scene.files(),
        ["server.1.log", "server.2.log", "server.log"]
    );
    assert_eq!(scene.text("server.log").lines().count(), 3);
    assert!(
        scene.text("server.log").contains("11>"),
        "the newest line is in the open file"
    );
    assert!(scene.text("server.1.log").contains("08>"));
}

#[test]
fn a_file_of_an_earlier_interval_rolls_at_the_first_line() {
    let scene = scene(Some(&rolling(
        "{ kind: size_or_time, size: 1 gb, interval: 1 day }",
    )));
    fs::create_dir(&scene.wanted.path).expect("the log directory can be made");
    let old = scene.wanted.path.join("server.log");
    fs::write(&old, "<yesterday>\n").expect("the log file can be written");
    let now = clock_time(clock::unix_seconds() - 2 * 86_400);
    fs::File::options()
        .append(true)
        .open(&old)
        .and_then(|file| file.set_modified(now))
        .expect("its time can be set");
    let (logger, _logging) = scene.open();
    say(&logger, "x", Severity::Info, "today");
    say(&logger, "x", Severity::Info, "today again");
    assert_eq!(scene.text("server.1.log"), "<yesterday>\n");
    assert_eq!(scene.text("server.log"), "<today>\n<today again>\n");
}

fn clock_time(seconds: u64) -> std::time::SystemTime {
    std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds)
}

#[test]
fn the_triggers_of_log4rs_still_work() {
    let scene = scene(Some(&rolling("{ kind: size, limit: 100 b }")));
    let (logger, _logging) = scene.open();
    for line in 0..6 {
        say(&logger, "x", Severity::Info, &format!("{line:040}"));
    }
    assert!(
        scene.files().contains(&"server.1.log".to_owned()),
        "{:?}",
        scene.files()
    );
}

#[test]
fn a_change_of_level_does_not_disturb_rolling() {
    let scene = scene(Some(&rolling(
        "{ kind: size_or_time, size: 100 b, interval: 1 day }",
    )));
    let (logger, logging) = scene.open();
    for line in 0..6 {
        say(&logger, "x", Severity::Info, &format!("{line:040}"));
        logging
            .set_level(LevelFilter::Debug)
            .expect("the level can be changed");
    }
    let lines: usize = scene
        .files()
        .iter()
        .map(|file| scene.text(file).lines().count())
        .sum();
    assert_eq!(lines, 6, "no line is lost");
}

#[test]
fn a_fixed_level_of_root_yields_only_to_a_named_one() {
    let fixed = rolling("{ kind: size, limit: 1 mb }").replace("\"${log_level}\"", "warn");
    let mut scene = scene(Some(&fixed));
    assert_eq!(scene.open().1.level(), LevelFilter::Warn);
    scene.wanted.level_named = true;
    let (logger, logging) = scene.open();
    assert_eq!(logging.level(), LevelFilter::Info);
    logging
        .set_level(LevelFilter::Trace)
        .expect("the level can be changed");
    say(&logger, "x", Severity::Trace, "detail");
    assert!(scene.text("server.log").contains("detail"));
}

#[test]
fn only_an_unnamed_file_may_be_absent() {
    let mut scene = scene(None);
    scene.wanted.file = scene.directory.path().join("absent.yaml");
    let told = scene.refusal();
    assert!(
        told.contains("absent.yaml") && told.contains("No such file"),
        "{told}"
    );
    scene.wanted.file_named = false;
    let (logger, _logging) = scene.open();
    say(&logger, "x", Severity::Info, "hello");
    assert!(scene.text("server.log").contains("hello"));
}

#[test]
fn wrong_files_are_refused_with_the_place() {
    let good = rolling("{ kind: size, limit: 1 mb }");
    let table = [
        ("root:\n  level: [".to_owned(), "line 2"),
        ("- a\n- b\n".to_owned(), "expected struct"),
        (String::new(), "missing field"),
        (good.replace("level: ", "levle: "), "unknown field `levle`"),
        (
            good.replace("\"${log_level}\"", "loud"),
            "level \"loud\" is not one of off, error",
        ),
        (
            good.replace("kind: rolling_file", "kind: floppy"),
            "appender server: no appender deserializer for kind `floppy`",
        ),
        (
            good.replace("appenders: [server]", "appenders: [nobody]"),
            "nobody",
        ),
        (
            good.replace("{m}", "{zzz}"),
            "appender server: encoder: pattern: unknown formatter `zzz`",
        ),
        (
            good.replace("{m}", "{d(%!)} {m}"),
            "appender server: encoder: pattern: a date format",
        ),
        (
            good.replace("${log_path}", "${LOGS}"),
            "has a placeholder other than ${log_path}",
        ),
        (
            good.replace("limit: 1 mb", "limit: much"),
            "appender server: policy",
        ),
        (
            rolling("{ kind: size_or_time, size: 1 mb }"),
            "Missing field interval",
        ),
        (
            rolling("{ kind: size_or_time, size: 1 mb, interval: 1 fortnight }"),
            "is not a number with one of the units",
        ),
        (
            rolling("{ kind: size_or_time, size: 0 mb, interval: 1 day }"),
            "must be more than 0",
        ),
        (
            good.replace("${log_path}/server.log", "/proc/server.log"),
            "cannot create /proc/server.log",
        ),
        (
            good.replace("${log_path}/server.log", "/"),
            "cannot write /",
        ),
        (
            good.replace("server.{}.log", "server.log"),
            "pattern does not contain",
        ),
        (
            format!("{good}refresh_rate: 1 second\n"),
            "unknown field `refresh_rate`",
        ),
    ];
    for (yaml, expected) in table {
        let told = scene(Some(&yaml)).refusal();
        assert!(
            told.contains(expected),
            "expected {expected:?}, told: {told}"
        );
        assert!(told.contains("log4rs.yaml"), "{told}");
    }
}

#[test]
fn lost_lines_do_not_stop_the_program() {
    let scene = scene(Some(
        &rolling("{ kind: size, limit: 1 mb }").replace("${log_path}/server.log", "/dev/full"),
    ));
    let (logger, logging) = scene.open();
    for _ in 0..5 {
        say(&logger, "x", Severity::Info, "into the void");
    }
    let lost = logging.appenders[0].lines_lost();
    assert_eq!(lost, 5);
}

#[test]
fn the_console_is_recognised() {
    assert!(scene(None).open().1.reaches_console());
    assert!(
        !scene(Some(&rolling("{ kind: size, limit: 1 mb }")))
            .open()
            .1
            .reaches_console()
    );
}
