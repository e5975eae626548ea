//! `/api/v1/reports`.

use axum::{extract::State, http::StatusCode};
use caudal_domain::{BusinessDay, Currency, payment::PaymentStatus};
use caudal_service::reports::{ReportFilter, ReportPlace, ReportRow};

use crate::{
    answer::{Answer, bytes},
    api::Api,
    auth::By,
    problem::Problem,
    query::{Params, Shown, list_body, text_cursor, text_place},
    shapes::reports::ReportShape,
};

const CURSOR: &str = "daily reports";

pub(crate) async fn daily(State(api): State<Api>, By(caller): By, params: Params) -> Answer {
    let day = |name| match params.get(name) {
        None => Ok(None),
        Some(text) => match text.parse::<BusinessDay>() {
            Ok(day) => Ok(Some(day)),
            Err(why) => Err(Problem::invalid(name, why.to_string())),
        },
    };
    let filter = ReportFilter {
        from: day("from")?,
        to: day("to")?,
        currency: params.word("currency", Currency::from_code)?,
        kind: params.get("type").map(str::to_owned),
        status: params.word("status", PaymentStatus::from_name)?,
    };
    let limit = params.limit()?;
    let fields = params.fields(ReportShape::FIELDS)?;
    let no_cursor = || Problem::invalid("cursor", "not a next_cursor of this list");
    let after = params.get("cursor").map(|text| read_place(text).ok_or_else(no_cursor));
    let (rows, has_more) =
        api.service.daily_reports(&caller, filter, (after.transpose()?, limit)).await?;
    let next = rows.last().filter(|_| has_more).map(cursor_of);
    let shapes = rows.iter().map(ReportShape::from).collect();
    Ok(bytes(StatusCode::OK, list_body(shapes, next, fields.as_deref())?))
}

/// The type last, as it may hold anything.
fn cursor_of(row: &ReportRow) -> String {
    let ReportRow { day, currency, kind, status, .. } = row;
    text_cursor(CURSOR, &format!("{day} {currency} {} {kind}", status.name()))
}

fn read_place(cursor: &str) -> Option<ReportPlace> {
    let place = text_place(CURSOR, cursor)?;
    let mut parts = place.splitn(4, ' ');
    let day = parts.next()?.parse().ok()?;
    let currency = Currency::from_code(parts.next()?)?;
    let status = PaymentStatus::from_name(parts.next()?)?;
    Some((day, currency, parts.next()?.to_owned(), status))
}
