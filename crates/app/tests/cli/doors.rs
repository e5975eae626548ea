//! What a process serves, by its roles and addresses.

use crate::server::{KEY, Server, asked, free_address};

fn status(addr: impl std::fmt::Display, path: &str) -> u16 {
    let key = format!("Authorization: Bearer {KEY}");
    asked("GET", &format!("http://{addr}{path}"), &["-H", &key]).0
}

const PATHS: [&str; 6] = [
    "/api/v1/users",
    "/api/v1/wallets",
    "/api/v1/payments",
    "/openapi.json",
    "/readyz",
    "/metrics",
];

#[test]
fn each_role_serves_its_part() {
    for (roles, wanted) in [
        ("users,wallets,payments,gateway,workers", [200, 200, 200, 200, 200, 200]),
        ("users", [200, 404, 404, 200, 200, 200]),
        ("wallets,workers", [404, 200, 404, 200, 200, 200]),
        ("payments", [404, 404, 200, 200, 200, 200]),
        ("workers", [404, 404, 404, 404, 200, 200]),
    ] {
        let server = Server::start("roles", &[("CAUDAL_ROLES", roles)]);
        assert_eq!(PATHS.map(|path| status(server.addr, path)), wanted, "{roles}");
        let webhook = format!("http://{}/api/v1/gateway-accounts/gwa_1/webhooks", server.addr);
        let (_, told) = asked("POST", &webhook, &["-d", "{}"]);
        let is_taken = told.contains("gateway_account_not_found");
        assert_eq!(is_taken, roles.contains("gateway"), "{roles}: {told}");
    }
}

#[test]
fn an_admin_address_has_what_watches() {
    let admin = free_address().to_string();
    let server = Server::start("admin", &[("CAUDAL_ADMIN_ADDR", &admin)]);
    assert_eq!(PATHS.map(|path| status(server.addr, path)), [200, 200, 200, 200, 404, 404]);
    assert_eq!(PATHS.map(|path| status(&admin, path)), [404, 404, 404, 404, 200, 200]);
    assert_eq!(status(&admin, "/healthz"), 200);
}

#[test]
fn in_production_metrics_stay_inside() {
    let folder = crate::server::folder("production-database");
    let file = format!("sqlite://{}", folder.join("caudal.db").display());
    let keys = "k1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    let migrated = crate::server::said(
        crate::server::caudal(&folder).env("CAUDAL_DATABASE_URL", &file).arg("migrate"),
    );
    assert!(migrated.0, "{}", migrated.1);
    let settings = [
        ("CAUDAL_ENV", "production"),
        ("CAUDAL_MASTER_KEYS", keys),
        ("CAUDAL_DATABASE_URL", &*file),
        ("CAUDAL_BOOTSTRAP_API_KEY", ""),
        ("CAUDAL_BOOTSTRAP_ADMIN_PASSWORD", ""),
    ];
    let server = Server::start("production", &settings);
    assert_eq!(["/readyz", "/metrics"].map(|path| status(server.addr, path)), [200, 404]);
    std::fs::remove_dir_all(folder).ok();
}

#[test]
fn metrics_have_the_names_that_dashboards_ask_for() {
    let server = Server::start("metrics", &[]);
    let bench = ["bench", "--duration", "1", "--wallets", "20", "--connections", "4", "--url"];
    let url = format!("http://{}", server.addr);
    for workload in ["transfers", "payments", "cards"] {
        let mut command = crate::server::caudal(&server.folder);
        command.args(bench).args([&url, "--api-key", KEY, "--workload", workload]);
        let (is_good, told) = crate::server::said(&mut command);
        assert!(is_good, "{workload}: {told}");
    }
    let (_, told) = asked("GET", &format!("{url}/metrics"), &[]);
    for name in [
        "payments_processed_total{",
        "payments_processing_time_seconds_bucket{",
        "payments_active ",
        "transactions_total{type=\"credit\"}",
        "transactions_total{type=\"debit\"}",
        "transfer_duration_seconds_bucket{",
        "error_rate_total{",
        "transfer_errors_total ",
        "concurrent_connections ",
        "http_requests_total{",
        "api_response_time_seconds_bucket{",
        "database_connections_active ",
        "database_query_seconds_bucket{",
        "database_errors_total ",
        "database_transactions_total ",
        "events_processed_total{",
        "event_processing_seconds_bucket{",
        "circuit_breaker_open{",
        "process_resident_memory_bytes ",
        "process_cpu_seconds_total ",
    ] {
        let has = told.lines().any(|line| line.starts_with(name));
        assert!(has, "{name} is not in\n{told}");
    }
}
