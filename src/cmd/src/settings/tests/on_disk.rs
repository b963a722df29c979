//! What the settings have to do with files and directories: unreadable files, directories that cannot
//! be used, and the files of config/.

use std::fs;
use std::path::Path;

use super::load;
use crate::settings::{Effective, KEYS, Layers, Origin, Settings};

#[test]
fn files_that_cannot_be_read_are_named() {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let not_utf8 = directory.path().join("latin1.toml");
    fs::write(&not_utf8, b"cluster_name = \"caf\xe9\"").expect("the temporary file can be written");
    let table = [
        (directory.path().join("absent.toml"), "No such file"),
        (directory.path().to_owned(), "Is a directory"),
        (not_utf8, "is not UTF-8 text (byte 19)"),
        ("/dev/zero".into(), "is larger than 1048576 bytes"),
    ];
    for (path, expected) in table {
        let layers = Layers {
            file: Some(path.clone()),
            ..Layers::default()
        };
        let told = Effective::load(&layers)
            .expect_err("unreadable")
            .to_string();
        assert!(
            told.contains(expected) && told.contains(path.to_str().expect("UTF-8")),
            "{told}"
        );
    }
}

#[test]
fn directories_are_checked_and_left_alone() {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let path = |name: &str| directory.path().join(name).display().to_string();
    fs::write(path("file"), "").expect("the temporary file can be written");
    let check = |data: &str, logs: &str| {
        let flags = [format!("--data-path={data}"), format!("--log-path={logs}")];
        load(&[&flags[0], &flags[1]], &[], None)
            .expect("the texts are valid")
            .check_paths()
    };
    let good = path("new/data");
    check(&good, &path("new/logs")).expect("both can be created");
    assert!(
        !Path::new(&path("new")).exists(),
        "the check must not create anything"
    );
    assert_eq!(fs::read_dir(directory.path()).expect("readable").count(), 1);

    let told = check(&path("file"), &good)
        .expect_err("a file is no directory")
        .to_string();
    assert!(
        told.starts_with("data_path = ") && told.contains("is not a directory"),
        "{told}"
    );
    let told = check(&path("file/below"), &good)
        .expect_err("nothing fits below a file")
        .to_string();
    assert!(
        told.starts_with("data_path = ") && told.contains("is not a directory"),
        "{told}"
    );
    let told = check(&good, "/proc/logs")
        .expect_err("procfs takes no files")
        .to_string();
    assert!(
        told.starts_with("log.log_path = ") && told.contains("cannot write in /proc"),
        "{told}"
    );
}

#[test]
fn every_configuration_file_loads_and_the_reference_documents_every_key() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config");
    let mut found = 0;
    for entry in fs::read_dir(&directory).expect("config/ exists") {
        let path = entry.expect("config/ can be listed").path();
        if path
            .extension()
            .is_some_and(|extension| extension == "toml")
        {
            let layers = Layers {
                file: Some(path.clone()),
                ..Layers::default()
            };
            Effective::load(&layers).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            found += 1;
        }
    }
    assert!(found >= 1);
    let reference = directory.join("placement-center.toml");
    let layers = Layers {
        file: Some(reference),
        ..Layers::default()
    };
    let effective = Effective::load(&layers).expect("the reference file is valid");
    assert_eq!(
        effective.settings,
        Settings::default(),
        "the reference file shows the defaults"
    );
    for key in KEYS {
        assert_ne!(
            *effective.origin(key.name),
            Origin::Default,
            "{} is missing in the reference file",
            key.name
        );
    }
}
