//! `placement-ctl` as a process: against a server, and against nothing.

use super::process::{Place, run, run_with_input, serving, text};

#[test]
fn keys_are_written_read_listed_and_deleted() {
    let place = Place::new();
    let _server = serving(&place, &[]);
    let ctl = |arguments: &[&str]| run(&mut place.ctl(arguments));

    let put = ctl(&["kv", "put", "color", "blue"]);
    assert_eq!(
        (put.status.code(), text(&put.stdout)),
        (Some(0), "REVISION\n2\n")
    );
    let get = ctl(&["kv", "get", "color"]);
    assert_eq!(
        (get.status.code(), text(&get.stdout)),
        (Some(0), "blue"),
        "bare into a pipe"
    );
    let table = ctl(&["kv", "get", "color", "--output", "table"]);
    assert_eq!(
        text(&table.stdout),
        "KEY    VALUE  VERSION  CREATED  MODIFIED\ncolor  blue   1        2        2\n"
    );
    ctl(&["kv", "put", "color", "-7"]);
    assert_eq!(ctl(&["kv", "get", "color"]).stdout, b"-7");
    assert_eq!(
        ctl(&["kv", "get", "color", "--revision", "2"]).stdout,
        b"blue"
    );
    ctl(&["kv", "put", "shape", "round"]);
    let list = ctl(&["kv", "list"]);
    assert_eq!(
        text(&list.stdout),
        "KEY    VALUE  VERSION  MODIFIED\ncolor  -7     2        3\nshape  round  1        4\n"
    );
    assert_eq!(
        text(&ctl(&["kv", "list", "--prefix", "sh", "--keys-only"]).stdout),
        "KEY\nshape\n"
    );
    let first = ctl(&["kv", "list", "--limit", "1", "--keys-only"]);
    assert_eq!(text(&first.stdout), "KEY\ncolor\n");
    assert!(text(&first.stderr).contains("--limit 0 lists all"));

    assert_eq!(text(&ctl(&["kv", "del", "color"]).stdout), "REVISION\n5\n");
    for missing in [["kv", "get", "color"], ["kv", "del", "color"]] {
        let output = ctl(&missing);
        assert_eq!(output.status.code(), Some(3));
        assert_eq!(
            text(&output.stderr),
            "placement-ctl: key color does not exist\n"
        );
        assert_eq!(output.stdout, b"");
    }
}

#[test]
fn values_are_bytes() {
    let place = Place::new();
    let _server = serving(&place, &[]);
    let value: Vec<u8> = (0..=255).chain(*b"\r\n\0").collect();
    let put = run_with_input(&mut place.ctl(&["kv", "put", "all", "-"]), &value);
    assert_eq!(put.status.code(), Some(0), "{}", text(&put.stderr));
    assert_eq!(run(&mut place.ctl(&["kv", "get", "all"])).stdout, value);
    let json = run(&mut place.ctl(&["kv", "get", "all", "--output", "json"])).stdout;
    let json: serde_json::Value = serde_json::from_slice(&json).expect("JSON");
    assert!(
        json.get("value").is_none(),
        "what is no text is not given as text"
    );
    assert!(
        json["value_base64"]
            .as_str()
            .is_some_and(|base64| base64.starts_with("AAECAwQF"))
    );
    let table = run(&mut place.ctl(&["kv", "get", "all", "--output=table"])).stdout;
    assert!(
        text(&table).contains("\\u{1}") && text(&table).contains("\\xff\\r\\n"),
        "{}",
        text(&table)
    );
}

#[test]
fn long_lists_come_in_pages_of_one_revision() {
    let place = Place::new();
    let _server = serving(&place, &[]);
    let agent = ureq::agent();
    for number in 0..250 {
        let url = format!("http://{}:8971/v1/kv/page%2F{number:03}", place.address);
        agent.put(&url).send("v").expect("the key is written");
    }
    let json =
        run(&mut place.ctl(&["kv", "list", "--prefix=page/", "--limit=0", "--output=json"])).stdout;
    let json: serde_json::Value = serde_json::from_slice(&json).expect("JSON");
    let items = json["items"].as_array().expect("a list");
    let keys: Vec<&str> = items
        .iter()
        .filter_map(|item| item["key"].as_str())
        .collect();
    let expected: Vec<String> = (0..250).map(|number| format!("page/{number:03}")).collect();
    assert_eq!(keys, expected);
    assert_eq!(json["more"], false);
    let some =
        run(&mut place.ctl(&["kv", "list", "--limit=120", "--keys-only", "--output=json"])).stdout;
    let some: serde_json::Value = serde_json::from_slice(&some).expect("JSON");
    assert_eq!(
        (some["items"].as_array().map(Vec::len), &some["more"]),
        (Some(120), &true.into())
    );
}

#[test]
fn status_shows_the_member_and_its_cluster() {
    let place = Place::new();
    let _server = serving(&place, &["--node-alias=alpha"]);
    let table = run(&mut place.ctl(&["status"]));
    assert_eq!(table.status.code(), Some(0), "{}", text(&table.stderr));
    for expected in ["leader", "alpha", "in use", "8192.0 MiB"] {
        assert!(
            text(&table.stdout).contains(expected),
            "{expected}: {}",
            text(&table.stdout)
        );
    }
    let json = run(&mut place.ctl(&["status", "--output", "json"])).stdout;
    let json: serde_json::Value = serde_json::from_slice(&json).expect("JSON");
    assert_eq!(json["members"][0]["name"], "alpha");
    assert_eq!(json["leader"], json["member_id"]);
}

#[test]
fn the_server_s_refusals_are_passed_on() {
    let place = Place::new();
    let _server = serving(&place, &[]);
    let future = run(&mut place.ctl(&["kv", "get", "a", "--revision", "99"]));
    assert_eq!(future.status.code(), Some(1));
    let told = text(&future.stderr);
    assert!(
        told.contains("required revision is a future revision"),
        "{told}"
    );
}

#[test]
fn nobody_there_says_what_to_try() {
    let place = Place::new();
    let output = run(&mut place.ctl(&["status"]));
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        text(&output.stderr),
        format!(
            "placement-ctl: cannot reach {}:8871: connection refused; is placement-center running there? \
             --endpoint HOST:PORT or PLACEMENT_CTL_ENDPOINT names another member\n",
            place.address
        )
    );
}

#[test]
fn a_silent_peer_does_not_hold_the_command() {
    let place = Place::new();
    let _silent = std::net::TcpListener::bind((place.address.as_str(), 8871))
        .expect("the address is this test's own");
    for arguments in [
        &["--timeout=0.2", "kv", "put", "a", "b"][..],
        &["--timeout=0.2", "status"],
    ] {
        let output = run(&mut place.ctl(arguments));
        assert_eq!(output.status.code(), Some(1));
        let told = text(&output.stderr);
        assert!(told.contains("within 200ms"), "{told}");
        assert_eq!(
            told.contains("may have been applied"),
            arguments.contains(&"put"),
            "{told}"
        );
    }
}

#[test]
fn wrong_usage_is_code_2() {
    let place = Place::new();
    let table: [&[&str]; 11] = [
        &[],
        &["kv"],
        &["kv", "put", "a"],
        &["kv", "get", ""],
        &["kv", "get", "a", "--revision", "-1"],
        &["kv", "list", "--limit", "many"],
        &["--timeout", "0", "status"],
        &["--timeout", "inf", "status"],
        &["--endpoint", "https://a:1", "status"],
        &["--endpoint", "nowhere", "status"],
        &["--output", "xml", "status"],
    ];
    for arguments in table {
        let output = run(&mut place.ctl(arguments));
        assert_eq!(
            output.status.code(),
            Some(2),
            "{arguments:?}: {}",
            text(&output.stderr)
        );
        assert_ne!(output.stderr, b"", "{arguments:?}");
    }
    let output = run(place.ctl(&["status"]).env("PLACEMENT_CTL_ENDPOINT", "a b"));
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn every_command_has_an_example() {
    let place = Place::new();
    let commands: [&[&str]; 6] = [
        &["status"],
        &["kv"],
        &["kv", "put"],
        &["kv", "get"],
        &["kv", "del"],
        &["kv", "list"],
    ];
    for command in commands {
        let output = run(place.ctl(command).arg("--help"));
        assert_eq!(output.status.code(), Some(0));
        assert!(text(&output.stdout).contains("Example"), "{command:?}");
    }
}

#[test]
fn the_next_endpoint_serves_when_one_is_down() {
    let place = Place::new();
    let _server = serving(&place, &[]);
    // Nobody listens on port 1.
    let endpoints = format!("{0}:1,{0}:8871", place.address);
    let put = run(&mut place.ctl(&["--endpoint", &endpoints, "kv", "put", "color", "blue"]));
    assert_eq!(put.status.code(), Some(0), "{}", text(&put.stderr));
}
