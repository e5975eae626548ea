//! The routes of reports.

use caudal_domain::access::Scope::ReportsRead;

use crate::{
    endpoint::{Routes, get},
    routes::reports,
    shapes::reports::ReportShape,
};

pub(super) fn report_routes(routes: Routes) -> Routes {
    routes.add(
        get("/api/v1/reports/daily", ReportsRead)
            .summary("List sums of payments by business day, currency, type and status")
            .lists_all::<ReportShape<'_>>()
            .query(&["limit", "cursor", "from", "to", "currency", "type", "status"]),
        reports::daily,
    )
}
