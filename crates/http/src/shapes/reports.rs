//! Daily sums of payments as they are shown.

use caudal_domain::{BusinessDay, Currency, payment::PaymentStatus};
use caudal_service::reports::ReportRow;
use serde::Serialize;
use utoipa::{
    ToSchema,
    openapi::{Object, ObjectBuilder, Type},
};

use crate::query::Shown;

/// Payments of one business day, currency, type and status. Amounts in minor units.
#[derive(Serialize, ToSchema)]
#[schema(as = DailyReport, example = json!({
    "day": "2026-01-31", "currency": "USD", "type": "card", "status": "succeeded", "count": 17,
    "amount": 170000, "captured": 170000, "refunded": 1000, "disputed": 0, "fees": 5100
}))]
pub(crate) struct ReportShape<'a> {
    /// The one on which the payments were made, by the tenant's time zone and cut-off.
    #[schema(value_type = String, format = Date)]
    day: BusinessDay,
    #[schema(value_type = String)]
    currency: Currency,
    /// The payments' type.
    #[serde(rename = "type")]
    kind: &'a str,
    /// As the payments stand now.
    #[schema(value_type = String)]
    status: PaymentStatus,
    count: i64,
    #[schema(schema_with = sum)]
    amount: i128,
    #[schema(schema_with = sum)]
    captured: i128,
    #[schema(schema_with = sum)]
    refunded: i128,
    #[schema(schema_with = sum)]
    disputed: i128,
    #[schema(schema_with = sum)]
    fees: i128,
}

fn sum() -> Object {
    let size = "A sum, which may have more than the 53 bits that some readers of JSON take.";
    ObjectBuilder::new().schema_type(Type::Integer).description(Some(size)).build()
}

impl<'a> From<&'a ReportRow> for ReportShape<'a> {
    fn from(row: &'a ReportRow) -> Self {
        let sums = row.sums;
        Self {
            day: BusinessDay(row.day),
            currency: row.currency,
            kind: &row.kind,
            status: row.status,
            count: sums.count,
            amount: sums.amount,
            captured: sums.captured,
            refunded: sums.refunded,
            disputed: sums.disputed,
            fees: sums.fees,
        }
    }
}

impl Shown for ReportShape<'_> {
    const FIELDS: &'static [&'static str] = &[
        "day", "currency", "type", "status", "count", "amount", "captured", "refunded", "disputed",
        "fees",
    ];
}

#[cfg(test)]
mod tests {
    use caudal_domain::TenantId;

    use super::*;

    #[test]
    fn the_names_of_fields_are_those_shown() {
        let row = ReportRow {
            tenant: TenantId(1),
            day: 20_000,
            currency: Currency::USD,
            kind: "card".into(),
            status: PaymentStatus::Succeeded,
            sums: caudal_service::reports::ReportSums::default(),
        };
        super::super::tests::assert_fields(&ReportShape::from(&row));
    }
}
