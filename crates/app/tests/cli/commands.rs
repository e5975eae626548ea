//! Each command, and how its exit code tells a script what it found.

use std::process::Command;

use crate::server::{KEY, Server, asked, caudal, folder, said};

#[test]
fn the_schema_comes_up_and_is_checked() {
    let folder = folder("schema");
    let run = |words: &[&str]| said(caudal(&folder).args(words));
    for (words, is_good, told) in [
        (&["migrate", "--check"][..], false, "waiting: 0001_heart"),
        (&["reconcile"], false, "run `caudal migrate`"),
        (&["migrate"], true, "the schema is up to date"),
        (&["migrate", "--check"], true, "the schema is up to date"),
        (&["partitions"], true, "partitions are there"),
        (&["reconcile"], true, "The books are proven."),
        (&["rebuild"], true, "daily sums say the same"),
        (&["reconcile", "--settlement", "none.csv"], false, "--tenant"),
    ] {
        let (was_good, text) = run(words);
        assert!(was_good == is_good && text.contains(told), "{words:?}: {text}");
    }
    std::fs::remove_dir_all(folder).ok();
}

#[test]
fn flags_go_over_variables_and_both_are_checked() {
    let folder = folder("settings");
    let keys = "k1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    let remote = "postgres://caudal:secret-word@db.example.org/caudal";
    let config = |variables: &[(&str, &str)], words: &[&str]| {
        said(caudal(&folder).envs(variables.iter().copied()).args(words))
    };
    let (is_good, text) = config(&[("CAUDAL_DATABASE_URL", remote)], &["config"]);
    assert!(is_good && text.contains("db.example.org"), "{text}");
    assert!(!text.contains("secret-word"), "{text}");
    let production = [("CAUDAL_ENV", "production"), ("CAUDAL_MASTER_KEYS", keys)];
    for (variables, words, told) in [
        (&[("CAUDAL_ENGINE_LANES", "99")][..], &["config", "--check"][..], "engine_lanes"),
        (&[("CAUDAL_NO_SUCH_THING", "1")], &["config", "--check"], "no_such_thing"),
        (&[("CAUDAL_ROLES", "wallets,kings")], &["config", "--check"], "kings"),
        (&[("CAUDAL_ENV", "production")], &["config", "--check"], "CAUDAL_MASTER_KEYS"),
        (&production, &["serve", "--database-url", remote], "sslmode=require"),
    ] {
        let (was_good, text) = config(variables, words);
        assert!(!was_good && text.contains(told), "{variables:?} {words:?}: {text}");
        assert!(!text.contains("secret-word"), "{text}");
    }
    std::fs::remove_dir_all(folder).ok();
}

#[test]
fn the_file_of_settings_is_named_by_flag_or_variable() {
    let folder = folder("settings-file");
    for (name, pool) in [("caudal.toml", 21), ("flag.toml", 22), ("variable.toml", 23)] {
        let line = format!("database_pool_max = {pool}\n");
        std::fs::write(folder.join(name), line).expect("a file");
    }
    let variable = [("CAUDAL_CONFIG", "variable.toml")];
    for (variables, words, told) in [
        (&[][..], &["config"][..], "database_pool_max = 21"),
        (&variable, &["config"], "database_pool_max = 23"),
        (&variable, &["--config", "flag.toml", "config"], "database_pool_max = 22"),
    ] {
        let told_by = said(caudal(&folder).envs(variables.iter().copied()).args(words));
        assert!(told_by.0 && told_by.1.contains(told), "{variables:?} {words:?}: {}", told_by.1);
    }
    let (is_good, text) = said(caudal(&folder).env("CAUDAL_CONFIG", "none.toml").arg("config"));
    assert!(!is_good && text.contains("none.toml"), "{text}");
    std::fs::remove_dir_all(folder).ok();
}

#[test]
fn the_doctor_says_what_is_wrong() {
    let folder = folder("doctor");
    let (is_well, text) = said(caudal(&folder).arg("doctor"));
    assert!(!is_well && text.contains("migrate"), "{text}");
    said(caudal(&folder).arg("migrate"));
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    let at = |addr: &str| said(caudal(&folder).env("CAUDAL_HTTP_ADDR", addr).arg("doctor"));
    let (is_well, text) = at(&addr);
    assert!(is_well && text.contains(&format!("{addr} is in use")), "{text}");
    drop(taken);
    let (is_well, text) = at(&addr);
    assert!(is_well && text.contains(&format!("{addr} is free")), "{text}");
    std::fs::remove_dir_all(folder).ok();
}

#[test]
fn the_load_driver_verifies_what_it_did() {
    let folder = folder("bench");
    let small = ["--duration", "1", "--wallets", "20", "--connections", "4"];
    let (is_good, text) = said(caudal(&folder).args(["bench", "--embedded"]).args(small));
    assert!(is_good && text.contains("verified"), "{text}");
    std::fs::remove_dir_all(folder).ok();
    let server = Server::start("bench-url", &[]);
    let url = format!("http://{}", server.addr);
    let mut bench = caudal(&server.folder);
    bench.args(["bench", "--url", &url]).args(small).env("CAUDAL_BENCH_API_KEY", KEY);
    let (is_good, text) = said(&mut bench);
    assert!(is_good && text.contains("verified"), "{text}");
}

#[test]
fn a_settlement_file_is_held_against_the_books() {
    let mut server = Server::start("settlement", &[]);
    let key = format!("Authorization: Bearer {KEY}");
    let tenant = asked("GET", &format!("http://{}/api/v1/tenants/me", server.addr), &["-H", &key]);
    let (_, rest) = tenant.1.split_once("\"id\":\"").unwrap();
    let tenant = rest.split('"').next().unwrap();
    server.stop();
    let file = server.folder.join("day.csv");
    let head = "kind,reference,charge,key,amount,fee,currency,created_at\r\n";
    let line = "charge,ch_1,ch_1,k,1000,0,USD,2026-01-31T09:30:00Z\r\n";
    let reconcile = |text: &str| {
        std::fs::write(&file, text).unwrap();
        let mut command: Command = caudal(&server.folder);
        said(command.args(["reconcile", "--tenant", tenant, "--settlement", "day.csv"]))
    };
    let fee = "fee,fee_1,,,-5,0,USD,2026-01-31T09:30:00Z\r\n";
    let (is_same, text) = reconcile(&format!("{head}{fee}"));
    assert!(is_same && text.contains("File and payments agree."), "{text}");
    let (is_same, text) = reconcile(head);
    assert!(!is_same && text.contains("it has no line"), "{text}");
    let (is_same, text) = reconcile(&format!("{head}{line}"));
    assert!(!is_same && text.contains("ch_1 of 1000 USD has no payment"), "{text}");
    let (is_same, text) = reconcile("kind\r\n");
    assert!(!is_same && text.contains("line 1"), "{text}");
}
