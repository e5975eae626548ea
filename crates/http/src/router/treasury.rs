//! The routes of the tenant's own money: the bank, write-offs, what came too late.

use caudal_domain::access::Scope::{TreasuryApply, TreasuryBank, TreasurySettle, WalletsWriteOff};

use super::{CREATED, MONEY};
use crate::{
    endpoint::{Routes, post},
    routes::{bank_movements, settlements, wallets},
    shapes::{
        bank_movements::BankMovementRequest, settlements::SettlementRequest,
        transfers::TransferShape, wallets::WalletMoneyRequest,
    },
};

pub(super) fn treasury_routes(routes: Routes) -> Routes {
    routes
        .add(
            post("/api/v1/bank-movements", TreasuryBank)
                .summary("Tell of money between the tenant's bank and its treasury")
                .takes::<BankMovementRequest>()
                .gives::<TransferShape<'_>>(CREATED)
                .errors(MONEY)
                .once()
                .money(),
            bank_movements::create,
        )
        .add(
            post("/api/v1/gateway-accounts/{id}/settlements", TreasurySettle)
                .summary("Tell of money that a gateway paid to the bank; once for each reference")
                .takes::<SettlementRequest>()
                .gives::<TransferShape<'_>>(CREATED)
                .errors(MONEY)
                .once()
                .money(),
            settlements::create,
        )
        .add(
            post("/api/v1/wallets/{id}/write-off", WalletsWriteOff)
                .summary("Let the tenant bear what a wallet in arrears owes")
                .takes::<WalletMoneyRequest>()
                .gives::<TransferShape<'_>>(CREATED)
                .errors(MONEY)
                .once()
                .money(),
            wallets::write_off,
        )
        .add(
            post("/api/v1/wallets/{id}/apply", TreasuryApply)
                .summary("Give a wallet money that came too late for a closed one")
                .takes::<WalletMoneyRequest>()
                .gives::<TransferShape<'_>>(CREATED)
                .errors(MONEY)
                .once()
                .money(),
            wallets::apply,
        )
}
