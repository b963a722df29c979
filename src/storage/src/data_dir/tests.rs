//! Hostile bytes and hostile directories: every refusal names what is wrong and changes nothing.

use super::identity::IdentityFile;
use super::*;
use std::fs;
use std::os::unix::fs::PermissionsExt;

const OPTIONS: OpenOptions = OpenOptions {
    state_families: &[Family("keys")],
    block_cache_bytes: 1 << 20,
    write_buffer_bytes: 1 << 20,
};

fn root() -> tempfile::TempDir {
    tempfile::tempdir().expect("the temporary directory is writable")
}

fn open_error(path: &Path) -> Error {
    match DataDir::open(path, &OPTIONS) {
        Ok(_) => panic!("{} opened", path.display()),
        Err(error) => error,
    }
}

fn names(path: &Path) -> Vec<String> {
    let entries = fs::read_dir(path).expect("the directory is there");
    let name = |entry: std::io::Result<fs::DirEntry>| {
        entry.map(|entry| entry.file_name().to_string_lossy().into_owned())
    };
    let mut names: Vec<String> = entries
        .map(|entry| name(entry).expect("readable"))
        .collect();
    names.sort();
    names
}

fn mode(path: &Path) -> u32 {
    let metadata = fs::metadata(path).expect("the path is there");
    metadata.permissions().mode() & 0o7777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("the path is ours");
}

fn identity(index: u64) -> Identity {
    Identity {
        cluster_id: 0x0102_0304_0506_0708,
        node_id: 3,
        incarnation: 4,
        instance: 0x0f0e_0d0c_0b0a_0908_0706_0504_0302_0100,
        watermark: Watermark {
            index,
            term: 6,
            vote: 7,
        },
    }
}

#[test]
fn a_new_directory_is_private_and_marked() {
    let root = root();
    let path = root.path().join("a/b");
    let (mut directory, _stores) = DataDir::open(&path, &OPTIONS).expect("a new path opens");
    assert!(!DataDir::is_founded(&path), "nobody owns it yet");
    directory.save_identity(&identity(1)).expect("saved");
    assert!(DataDir::is_founded(&path));
    assert_eq!(
        names(&path),
        ["FORMAT", "LOCK", "identity", "raft", "state"]
    );
    for private in ["", "raft", "state"] {
        assert_eq!(mode(&path.join(private)), 0o700, "{private}");
    }
    for private in ["FORMAT", "LOCK", "identity"] {
        assert_eq!(mode(&path.join(private)), 0o600, "{private}");
    }
}

#[test]
fn an_empty_directory_that_others_may_read_becomes_private() {
    let root = root();
    set_mode(root.path(), 0o755);
    drop(DataDir::open(root.path(), &OPTIONS).expect("an empty directory opens"));
    assert_eq!(mode(root.path()), 0o700);
}

#[test]
fn a_second_opening_is_told_that_the_directory_is_in_use() {
    let root = root();
    let held = DataDir::open(root.path(), &OPTIONS).expect("an empty directory opens");
    let error = open_error(root.path());
    assert!(matches!(error, Error::Locked { .. }), "{error:?}");
    assert!(error.to_string().contains("in use by another process"));
    drop(held);
    drop(DataDir::open(root.path(), &OPTIONS).expect("the lock is free again"));
}

#[test]
fn an_unknown_format_is_refused_and_both_versions_are_named() {
    let root = root();
    drop(DataDir::open(root.path(), &OPTIONS).expect("an empty directory opens"));
    let format = root.path().join("FORMAT");
    let good = fs::read(&format).expect("FORMAT is there");
    fs::write(&format, "placement-center data format 2\n").expect("writable");
    let message = open_error(root.path()).to_string();
    assert!(message.contains("has format 2"), "{message}");
    assert!(message.contains("reads format 1"), "{message}");

    let mut hostile: Vec<Vec<u8>> = (0..good.len()).map(|end| good[..end].to_vec()).collect();
    for at in 0..good.len() {
        let mut flipped = good.clone();
        flipped[at] ^= 0x80;
        hostile.push(flipped);
        let mut flipped = good.clone();
        flipped[at] ^= 1;
        hostile.push(flipped);
    }
    hostile.push([good.as_slice(), b"more"].concat());
    hostile.push(vec![b'1'; 1 << 20]);
    for bytes in hostile {
        fs::write(&format, &bytes).expect("writable");
        let error = open_error(root.path());
        assert!(matches!(error, Error::FormatUnknown { .. }), "{error:?}");
        assert!(error.to_string().len() < 1000, "the message is bounded");
    }
    fs::write(&format, good).expect("writable");
    drop(DataDir::open(root.path(), &OPTIONS).expect("the old format opens"));
}

#[test]
fn a_directory_of_something_else_is_left_alone() {
    let root = root();
    fs::write(root.path().join("thesis.tex"), "years of work").expect("writable");
    set_mode(root.path(), 0o755);
    let error = open_error(root.path());
    assert!(matches!(error, Error::PathRefused { .. }), "{error:?}");
    assert!(error.to_string().contains("thesis.tex"), "{error}");
    assert_eq!(names(root.path()), ["thesis.tex"]);
    assert_eq!(mode(root.path()), 0o755);
}

#[test]
fn a_directory_others_may_write_to_is_refused() {
    let root = root();
    for open_mode in [0o770, 0o702, 0o777] {
        set_mode(root.path(), open_mode);
        let error = open_error(root.path());
        assert!(matches!(error, Error::PathRefused { .. }), "{error:?}");
        assert!(names(root.path()).is_empty(), "nothing was created");
    }
}

#[test]
fn a_directory_of_another_user_is_refused() {
    let root = root();
    let theirs = root.path().join("theirs");
    fs::create_dir(&theirs).expect("writable");
    set_mode(&theirs, 0o700);
    // Only a privileged process can give a directory away; elsewhere there is nothing to refuse.
    if std::os::unix::fs::chown(&theirs, Some(65_534), None).is_err() {
        return;
    }
    let error = open_error(&theirs);
    assert!(
        error.to_string().contains("belongs to user 65534"),
        "{error}"
    );
    assert!(names(&theirs).is_empty(), "nothing was created");
}

#[test]
fn a_path_that_is_or_leads_through_a_file_is_refused() {
    let root = root();
    let file = root.path().join("file");
    fs::write(&file, "x").expect("writable");
    let error = open_error(&file);
    assert!(error.to_string().contains("not a directory"), "{error}");
    let error = open_error(&file.join("below"));
    assert!(matches!(error, Error::File { .. }), "{error:?}");
    assert_eq!(names(root.path()), ["file"]);
}

#[test]
fn an_interrupted_creation_is_taken_up() {
    let root = root();
    fs::write(root.path().join("LOCK"), "").expect("writable");
    fs::write(root.path().join("FORMAT.new"), "placement-ce").expect("writable");
    drop(DataDir::open(root.path(), &OPTIONS).expect("a half-created directory opens"));
    assert!(!names(root.path()).contains(&"FORMAT.new".to_owned()));
}

/// Every byte of both slots, and some of the unused space behind each.
fn positions() -> impl Iterator<Item = usize> {
    (0..100).chain(4096..4096 + 100)
}

/// Opens the identity of a directory whose file has these bytes.
fn load(directory: &Path, bytes: &[u8]) -> Result<Option<Identity>> {
    fs::write(directory.join("identity"), bytes).expect("writable");
    IdentityFile::open(directory).map(|file| file.current().cloned())
}

fn save(directory: &Path, indexes: &[u64]) -> Vec<u8> {
    let mut file = IdentityFile::open(directory).expect("the directory is readable");
    for index in indexes {
        file.save(&identity(*index))
            .expect("the directory is writable");
    }
    fs::read(directory.join("identity")).expect("the file is there")
}

#[test]
fn the_newest_identity_counts() {
    let root = root();
    assert_eq!(
        IdentityFile::open(root.path()).expect("opens").current(),
        None
    );
    let bytes = save(root.path(), &[1, 2, 3, 4, 5]);
    assert_eq!(load(root.path(), &bytes).expect("loads"), Some(identity(5)));
    save(root.path(), &[6]);
    let file = IdentityFile::open(root.path()).expect("opens");
    assert_eq!(file.current(), Some(&identity(6)));
}

#[test]
fn any_flipped_byte_leaves_the_newest_or_the_one_before() {
    let root = root();
    let good = save(root.path(), &[1, 2]);
    let mut fell_back = 0;
    for at in positions() {
        let mut bytes = good.clone();
        bytes[at] ^= 0xff;
        let found = load(root.path(), &bytes).expect("one slot is intact");
        assert!(
            found == Some(identity(1)) || found == Some(identity(2)),
            "byte {at}: {found:?}"
        );
        fell_back += usize::from(found == Some(identity(1)));
    }
    assert_eq!(fell_back, 84, "every byte of the newest slot is guarded");
}

#[test]
fn a_single_slot_that_is_damaged_is_an_error_not_a_new_node() {
    let root = root();
    let good = save(root.path(), &[1]);
    let mut refused = 0;
    for at in positions() {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        match load(root.path(), &bytes) {
            Ok(found) => assert_eq!(found, Some(identity(1)), "byte {at}"),
            Err(error) => {
                assert!(error.is_corruption(), "{error:?}");
                refused += 1;
            }
        }
    }
    assert_eq!(refused, 84, "every byte of the slot is guarded");
}

#[test]
fn any_cut_is_an_error_or_an_identity_that_was_saved() {
    let root = root();
    let good = save(root.path(), &[1, 2]);
    for end in positions() {
        match load(root.path(), &good[..end]) {
            Ok(found) => assert_eq!(found, Some(identity(2)), "cut at {end}"),
            Err(error) => assert!(error.is_corruption() && end < 84, "cut at {end}: {error:?}"),
        }
    }
    let mut longer = good.clone();
    longer.extend_from_slice(&good);
    let found = load(root.path(), &longer).expect("what lies beyond is ignored");
    assert_eq!(found, Some(identity(2)));
}
