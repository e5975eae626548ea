//! A mail to be sent. Its recipient and words are sealed; what stands here is who and why.

use serde::{Deserialize, Serialize};

use crate::{
    id::{MailId, TenantId, UserId},
    tenant::names,
    time::Timestamp,
};

/// Why a mail is written. To add one more: a line here and below, and its text where it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MailTemplate {
    /// Signed up: prove that the address is yours.
    VerifyEmail,
    /// Signed up with an address that has an account already.
    AlreadyRegistered,
    RecoverPassword,
    PasswordChanged,
    /// To the old address.
    EmailChanged,
    /// Too many wrong passwords.
    LockedOut,
    SecondFactorEnabled,
    SecondFactorDisabled,
    /// To the payer: a receipt.
    PaymentReceipt,
    /// To the payer, of what was given back.
    RefundReceipt,
}

names!(MailTemplate {
    VerifyEmail = "verify_email",
    AlreadyRegistered = "already_registered",
    RecoverPassword = "recover_password",
    PasswordChanged = "password_changed",
    EmailChanged = "email_changed",
    LockedOut = "locked_out",
    SecondFactorEnabled = "second_factor_enabled",
    SecondFactorDisabled = "second_factor_disabled",
    PaymentReceipt = "payment_receipt",
    RefundReceipt = "refund_receipt"
});

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mail {
    pub id: MailId,
    pub tenant: TenantId,
    /// Whose key seals it; `None`: the instance's own.
    pub user: Option<UserId>,
    pub template: MailTemplate,
    pub created_at: Timestamp,
}
