//! What the settings have to do with files and directories: unreadable files, directories that cannot
//! be used, and the files of config/.

use std::fs;
use std::path::{Path, PathBuf};

use placement_center::config::Config;

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

fn config_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config")
}

fn load_file(path: &Path) -> Effective {
    let layers = Layers {
        file: Some(path.to_owned()),
        ..Layers::default()
    };
    Effective::load(&layers).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn the_reference_file_documents_every_key() {
    let path = config_folder().join("placement-center.toml");
    let effective = load_file(&path);
    assert_eq!(
        effective.settings,
        Settings::default(),
        "the reference file shows the defaults"
    );
    let text = fs::read_to_string(&path).expect("readable");
    for key in KEYS {
        // A default that follows another key's value stands there as a comment: set, it would not follow.
        let commented = text
            .lines()
            .any(|line| line.starts_with(&format!("# {} = ", key.leaf())));
        let set = *effective.origin(key.name) != Origin::Default;
        assert!(set != commented, "{} in the reference file", key.name);
    }
}

#[test]
fn the_files_of_a_cluster_fit_together() {
    let folder = config_folder().join("cluster");
    let nodes: Vec<Config> = (1..=3)
        .map(|id| {
            load_file(&folder.join(format!("node{id}.toml")))
                .settings
                .node
        })
        .collect();
    let ports = [(8871, 8971, 8872), (8881, 8981, 8882), (8891, 8991, 8892)];
    for (node, (id, ports)) in nodes.iter().zip((1..).zip(ports)) {
        assert_eq!(node.node_id, id);
        assert_eq!((node.grpc_port, node.http_port, node.peer_port), ports);
        assert_eq!(node.nodes, nodes[0].nodes);
        assert_eq!(node.cluster_name, nodes[0].cluster_name);
        assert_eq!(node.nodes[&id], format!("127.0.0.1:{}", node.peer_port));
        assert_eq!(node.data_path, Path::new(&format!("./data/node{id}")));
    }
    assert_eq!(nodes[0].nodes.len(), 3);
}
