//! The walls between the rooms: who may know whom, and which library stays in which room.
//!
//! The first table is the one in ARCHITECTURE.md. Normal dependencies only: tests may look through
//! any wall.

use super::Finding;
use crate::workspace::Package;

const ROOMS: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("ledger", &["domain"]),
    ("identity", &["domain"]),
    ("store", &["domain", "ledger"]),
    ("engine", &["domain", "ledger", "store"]),
    ("cache", &["domain"]),
    ("outbound", &["domain"]),
    ("gateway", &["domain", "outbound"]),
    ("rules", &["domain"]),
    (
        "service",
        &[
            "domain", "ledger", "engine", "store", "identity", "outbound", "gateway", "cache",
            "rules",
        ],
    ),
    ("http", &["service", "domain"]),
    ("workers", &["service", "store", "domain"]),
    ("bench", &["domain"]),
    ("app", ANY),
    ("testkit", ANY),
    ("xtask", &[]),
];

const ANY: &[&str] = &["*"];

/// Libraries behind a wall: each with all of its family (`axum` means `axum-extra` too).
const WALLS: &[(&[&str], &[&str], &str)] = &[
    (
        &["axum"],
        &["http", "gateway"],
        "only `http` speaks HTTP, so that a use case has no door (`gateway`'s simulator plays \
         somebody else's server)",
    ),
    (&["utoipa"], &["http"], "only `http` describes the API"),
    (
        &["tokio-postgres", "rusqlite", "deadpool-postgres", "sqlx"],
        &["store", "testkit"],
        "only `store` knows which database it is (`testkit` makes databases for tests)",
    ),
    (&["hyper"], &["bench", "testkit"], "only clients speak bare HTTP; `http` goes through axum"),
    (
        &["reqwest", "lettre"],
        &["outbound"],
        "only `outbound` calls others, so that every call has a limit and a breaker",
    ),
    (&["plotters", "indicatif", "hdrhistogram"], &["bench"], "only `bench` draws and measures"),
    (
        &["argon2", "jsonwebtoken", "totp-rs"],
        &["identity"],
        "only `identity` handles keys, so that one place is to be looked through",
    ),
    (
        &["aws-lc-rs"],
        &["identity", "gateway"],
        "only `identity` handles keys, so that one place is to be looked through (`gateway` \
         checks the signatures of gateways' webhooks)",
    ),
    (&["cel"], &["rules"], "only `rules` reads expressions, so that each is checked and bounded"),
    (&["clap", "config"], &["app", "xtask"], "only `app` reads flags and configuration"),
];

/// hyper-util is the server's plumbing below axum, not hyper itself.
const OUTSIDE_WALLS: &[&str] = &["hyper-util", "hyper-rustls"];

pub fn check(packages: &[Package]) -> Vec<Finding> {
    let rules = |package| known(package).into_iter().chain(libraries(package));
    packages.iter().flat_map(rules).collect()
}

/// The rooms that a package looks into but may not.
fn known(package: &Package) -> Vec<Finding> {
    let Some(room) = room(&package.name) else { return Vec::new() };
    let Some((_, may_know)) = ROOMS.iter().find(|(name, _)| *name == room) else {
        let message = "a room that no table knows has no walls; add it to ROOMS in \
                       xtask/src/tidy/rooms.rs and to ARCHITECTURE.md, or make it a module";
        return vec![finding(package, message.into())];
    };
    package
        .dependencies
        .iter()
        .filter_map(|dependency| self::room(dependency))
        .filter(|other| *may_know != ANY && !may_know.contains(other))
        .map(|other| {
            let allowed = if may_know.is_empty() { "none".into() } else { may_know.join(", ") };
            let message = format!(
                "`{room}` must not know `{other}` (it may know: {allowed}), else a change there \
                 reaches here; pass the value or a trait in, or move the code to the room that \
                 may know both"
            );
            finding(package, message)
        })
        .collect()
}

/// The libraries that a package uses but that belong to another room.
fn libraries(package: &Package) -> Vec<Finding> {
    let Some(room) = room(&package.name) else { return Vec::new() };
    let mut found = Vec::new();
    for dependency in &package.dependencies {
        for (family, rooms, why) in WALLS {
            if is_of_family(dependency, family) && !rooms.contains(&room) {
                let message = format!(
                    "`{room}` must not use `{dependency}`: {why}; do it in {} and call that",
                    rooms.join(" or ")
                );
                found.push(finding(package, message));
            }
        }
    }
    found
}

fn is_of_family(dependency: &str, family: &[&str]) -> bool {
    !OUTSIDE_WALLS.contains(&dependency)
        && family.iter().any(|name| {
            dependency
                .strip_prefix(name)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
        })
}

/// The room of a package, or none if it is somebody else's library.
fn room(package: &str) -> Option<&str> {
    match package {
        "caudal" => Some("app"),
        "xtask" => Some("xtask"),
        other => other.strip_prefix("caudal-"),
    }
}

fn finding(package: &Package, message: String) -> Finding {
    let path = match room(&package.name) {
        Some("xtask") | None => "xtask/Cargo.toml".to_owned(),
        Some(room) => format!("crates/{room}/Cargo.toml"),
    };
    Finding { path, line: 1, message }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(name: &str, dependencies: &[&str]) -> String {
        let dependencies = dependencies.iter().map(|name| (*name).to_owned()).collect();
        let package = Package { name: name.into(), dependencies, tests: Vec::new() };
        let findings = check(&[package]);
        findings.iter().map(Finding::to_string).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn a_look_through_a_wall_fails() {
        let message = said("caudal-http", &["caudal-service", "caudal-store"]);
        assert!(message.starts_with("crates/http/Cargo.toml:1: `http` must not know `store`"));
        assert!(said("caudal-domain", &["caudal-ledger"]).contains("may know: none"));
        assert!(said("caudal-bench", &["caudal"]).contains("must not know `app`"));
        assert_eq!(said("caudal", &["caudal-http", "caudal-store"]), "");
        assert_eq!(said("caudal-engine", &["caudal-store", "tokio"]), "");
    }

    #[test]
    fn a_room_without_a_row_fails() {
        assert!(said("caudal-sagas", &[]).contains("no table knows"));
    }

    #[test]
    fn a_library_in_the_wrong_room_fails() {
        assert!(said("caudal-service", &["axum"]).contains("must not use `axum`"));
        assert!(said("caudal-engine", &["tokio-postgres"]).contains("only `store`"));
        assert!(said("caudal-http", &["hyper"]).contains("bench or testkit"));
        assert!(said("caudal-app", &["utoipa-swagger-ui"]).contains("only `http`"));
        assert!(said("caudal-service", &["reqwest"]).contains("do it in outbound"));
        assert!(said("caudal-http", &["clap"]).contains("only `app`"));
        assert_eq!(said("caudal-http", &["axum", "axum-extra", "utoipa", "hyper-util"]), "");
        assert_eq!(said("caudal-bench", &["hyper", "plotters"]), "");
    }
}
