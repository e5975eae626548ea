//! `/api/v1/wallets`.

use axum::{
    extract::State,
    http::{StatusCode, header},
};
use caudal_domain::{AccountId, AccountStatus, Currency, Wallet};
use caudal_service::{
    Edit,
    transfers::WalletMoney,
    wallets::{Balance, WalletFilter},
};

use super::{Editor, InPath, transfers::moved};
use crate::{
    answer::{Answer, bytes, done, etag, json},
    api::Api,
    auth::By,
    idempotency::Write,
    json::{Json, JsonOrNothing},
    query::{List, Params, Shown, list_body, next_of},
    shapes::{
        NoFields,
        wallets::{
            EntryShape, FundRequest, WalletBalanceShape, WalletMoneyRequest, WalletPatch,
            WalletRequest, WalletShape, version_of,
        },
    },
};

type Id = InPath<AccountId>;

pub(crate) async fn create(
    State(api): State<Api>,
    write: Write,
    Json(request): Json<WalletRequest>,
) -> Answer {
    let asked = write.asked(&request)?;
    let made = api.service.create_wallet(asked, request.into_new()?).await?;
    answer(StatusCode::CREATED, &made)
}

/// A wallet with its entity tag.
fn answer(status: StatusCode, wallet: &caudal_service::Done<Wallet>) -> Answer {
    let mut response = done(status, wallet, &WalletShape::from(&wallet.value))?;
    response.headers_mut().insert(header::ETAG, etag(&version_of(&wallet.value)));
    Ok(response)
}

pub(crate) async fn list(State(api): State<Api>, By(caller): By, params: Params) -> Answer {
    let status_of = |name: &str| AccountStatus::ALL.into_iter().find(|s| s.name() == name);
    let filter = WalletFilter {
        user: params.id("user", "user")?,
        status: params.word("status", status_of)?,
        currency: params.word("currency", Currency::from_code)?,
    };
    let window = params.window(List::Wallets)?;
    let fields = params.fields(WalletShape::FIELDS)?;
    let page = api.service.list_wallets(&caller, &filter, &window).await?;
    let shapes = page.items.iter().map(WalletShape::from).collect();
    let body = list_body(shapes, next_of(List::Wallets, &page), fields.as_deref())?;
    Ok(bytes(StatusCode::OK, body))
}

pub(crate) async fn read(State(api): State<Api>, By(caller): By, InPath(id, _): Id) -> Answer {
    let wallet = api.service.wallet(&caller, id).await?;
    let mut response = json(StatusCode::OK, &WalletShape::from(&wallet))?;
    response.headers_mut().insert(header::ETAG, etag(&version_of(&wallet)));
    Ok(response)
}

pub(crate) async fn update(
    State(api): State<Api>,
    editor: Editor,
    InPath(id, _): Id,
    Json(patch): Json<WalletPatch>,
) -> Answer {
    let is_met = |wallet: &Wallet| editor.has_seen(&version_of(wallet));
    let is_met = editor.expects().then_some(&is_met as _);
    let edit = Edit { change: patch.into_change()?, is_met };
    let updated = api.service.update_wallet(&editor.caller, id, edit).await?;
    answer(StatusCode::OK, &updated)
}

pub(crate) async fn entries(
    State(api): State<Api>,
    By(caller): By,
    InPath(id, _): Id,
    params: Params,
) -> Answer {
    let window = params.window(List::Entries)?;
    let fields = params.fields(EntryShape::FIELDS)?;
    let page = api.service.entries(&caller, id, &window).await?;
    let shapes = page.items.iter().map(EntryShape::from).collect();
    let body = list_body(shapes, next_of(List::Entries, &page), fields.as_deref())?;
    Ok(bytes(StatusCode::OK, body))
}

pub(crate) async fn balance(
    State(api): State<Api>,
    By(caller): By,
    InPath(id, _): Id,
    params: Params,
) -> Answer {
    let (wallet, balance): (Wallet, Balance) =
        api.service.balance(&caller, id, params.time("at")?).await?;
    let shape = WalletBalanceShape {
        wallet_id: id,
        currency: wallet.account.currency,
        balance: (&balance).into(),
        version: balance.version,
    };
    json(StatusCode::OK, &shape)
}

pub(crate) async fn fund(
    State(api): State<Api>,
    InPath(wallet, _): Id,
    write: Write,
    Json(request): Json<FundRequest>,
) -> Answer {
    let asked = write.asked(&request)?;
    let FundRequest { amount, currency, source: _ } = request;
    let money = WalletMoney { wallet, amount: amount.minor(), currency };
    let made = api.service.fund(asked, money).await?;
    moved(&api, StatusCode::CREATED, &made)
}

pub(crate) async fn withdraw(
    State(api): State<Api>,
    InPath(wallet, _): Id,
    write: Write,
    Json(request): Json<WalletMoneyRequest>,
) -> Answer {
    let asked = write.asked(&request)?;
    let WalletMoneyRequest { amount, currency } = request;
    let money = WalletMoney { wallet, amount: amount.minor(), currency };
    let made = api.service.withdraw(asked, money).await?;
    moved(&api, StatusCode::CREATED, &made)
}

pub(crate) async fn write_off(
    State(api): State<Api>,
    InPath(wallet, _): Id,
    write: Write,
    Json(request): Json<WalletMoneyRequest>,
) -> Answer {
    let asked = write.asked(&request)?;
    let WalletMoneyRequest { amount, currency } = request;
    let money = WalletMoney { wallet, amount: amount.minor(), currency };
    let made = api.service.write_off(asked, money).await?;
    moved(&api, StatusCode::CREATED, &made)
}

pub(crate) async fn apply(
    State(api): State<Api>,
    InPath(wallet, _): Id,
    write: Write,
    Json(request): Json<WalletMoneyRequest>,
) -> Answer {
    let asked = write.asked(&request)?;
    let WalletMoneyRequest { amount, currency } = request;
    let money = WalletMoney { wallet, amount: amount.minor(), currency };
    let made = api.service.apply_unapplied(asked, money).await?;
    moved(&api, StatusCode::CREATED, &made)
}

pub(crate) async fn freeze(api: State<Api>, id: Id, write: Write, body: NoBody) -> Answer {
    set_status(&api, (id.0, AccountStatus::Frozen), &write, &body.0).await
}

pub(crate) async fn unfreeze(api: State<Api>, id: Id, write: Write, body: NoBody) -> Answer {
    set_status(&api, (id.0, AccountStatus::Active), &write, &body.0).await
}

pub(crate) async fn close(api: State<Api>, id: Id, write: Write, body: NoBody) -> Answer {
    set_status(&api, (id.0, AccountStatus::Closed), &write, &body.0).await
}

type NoBody = JsonOrNothing<NoFields>;

async fn set_status(
    api: &Api,
    (id, status): (AccountId, AccountStatus),
    write: &Write,
    body: &NoFields,
) -> Answer {
    let asked = write.asked(body)?;
    answer(StatusCode::OK, &api.service.set_wallet_status(asked, id, status).await?)
}
