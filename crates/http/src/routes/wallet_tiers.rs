//! `/api/v1/wallets/{id}/tier`.

use axum::{extract::State, http::StatusCode};
use caudal_domain::AccountId;

use super::InPath;
use crate::{
    answer::{Answer, done, json},
    api::Api,
    auth::By,
    json::Json,
    shapes::wallet_tiers::{WalletTierRequest, WalletTierShape},
};

type Id = InPath<AccountId>;

pub(crate) async fn read(State(api): State<Api>, By(caller): By, InPath(id, _): Id) -> Answer {
    let tier = api.service.wallet_tier(&caller, id).await?;
    json(StatusCode::OK, &WalletTierShape::from(&tier))
}

pub(crate) async fn write(
    State(api): State<Api>,
    By(caller): By,
    InPath(id, _): Id,
    Json(request): Json<WalletTierRequest>,
) -> Answer {
    let set = api.service.set_wallet_tier(&caller, id, request.tier).await?;
    done(StatusCode::OK, &set, &WalletTierShape::from(&set.value))
}
