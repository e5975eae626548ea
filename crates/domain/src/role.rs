//! Roles: named sets of scopes. Five come with Caudal, a tenant makes more.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{
    access::Scope,
    id::{MalformedId, RoleId, TenantId},
    tenant::names,
    time::Timestamp,
};

/// A role that every tenant has and none can change. From most to least.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SystemRole {
    /// Everything inside the tenant.
    Owner,
    /// Everything but making money: neither treasury nor credit.
    Admin,
    /// Reads all, moves money between wallets, freezes them.
    Operator,
    /// Reads all.
    Support,
    /// Only what is their own.
    WalletHolder,
}

names!(SystemRole {
    Owner = "owner",
    Admin = "admin",
    Operator = "operator",
    Support = "support",
    WalletHolder = "wallet_holder"
});

impl SystemRole {
    pub const ALL: &'static [Self] =
        &[Self::Owner, Self::Admin, Self::Operator, Self::Support, Self::WalletHolder];

    /// What it may. A wallet holder's scopes reach their own things only.
    pub fn scopes(self) -> Vec<Scope> {
        Scope::ALL.iter().copied().filter(|scope| self.grants(*scope)).collect()
    }

    pub fn grants(self, scope: Scope) -> bool {
        granted_to(scope).contains(&self)
    }
}

/// Who has the scope. Without a catch-all, so that each new scope is given on purpose.
fn granted_to(scope: Scope) -> &'static [SystemRole] {
    use Scope as S;
    use SystemRole::{Admin, Operator, Owner, Support, WalletHolder};
    match scope {
        S::Platform | S::SigningKeysWrite | S::RatesWrite => &[],
        S::TreasuryFund
        | S::TreasuryBank
        | S::TreasurySettle
        | S::TreasuryApply
        | S::WalletsWriteOff
        | S::WalletsCredit
        | S::TransfersForce => &[Owner],
        S::TenantWrite
        | S::ApiKeysWrite
        | S::UsersWrite
        | S::RolesWrite
        | S::SessionsWrite
        | S::ServiceAccountsWrite
        | S::PaymentTypesWrite
        | S::GatewayAccountsWrite
        | S::WebhooksWrite
        | S::LimitsWrite
        | S::PaymentsResolve
        | S::FraudRulesWrite => &[Owner, Admin],
        S::WalletsControl | S::ReviewsWrite | S::DisputesWrite | S::UploadsWrite => {
            &[Owner, Admin, Operator]
        }
        S::TransfersWrite | S::WalletsWrite | S::PaymentsWrite | S::PayoutsWrite => {
            &[Owner, Admin, Operator, WalletHolder]
        }
        S::TenantRead
        | S::ApiKeysRead
        | S::UsersRead
        | S::RolesRead
        | S::ServiceAccountsRead
        | S::PaymentTypesRead
        | S::GatewayAccountsRead
        | S::WebhooksRead
        | S::AuditRead
        | S::FraudRulesRead
        | S::ReportsRead
        | S::DisputesRead
        | S::UploadsRead
        | S::ReviewsRead => &[Owner, Admin, Operator, Support],
        S::WalletsRead | S::TransfersRead | S::PaymentsRead | S::PayoutsRead | S::EventsRead => {
            SystemRole::ALL
        }
    }
}

/// Names a role: a system role by its name, a tenant's own by its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RoleRef {
    System(SystemRole),
    Custom(RoleId),
}

impl fmt::Display for RoleRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System(role) => f.write_str(role.name()),
            Self::Custom(id) => id.fmt(f),
        }
    }
}

impl FromStr for RoleRef {
    type Err = MalformedId;

    fn from_str(text: &str) -> Result<Self, MalformedId> {
        match SystemRole::from_name(text) {
            Some(role) => Ok(Self::System(role)),
            None => text.parse().map(Self::Custom),
        }
    }
}

impl Serialize for RoleRef {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for RoleRef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(|_| {
            serde::de::Error::custom(format_args!(
                "{text:?} is neither a system role nor a rol_… id"
            ))
        })
    }
}

/// A tenant's own role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Role {
    pub id: RoleId,
    pub tenant: TenantId,
    pub name: String,
    pub scopes: Vec<Scope>,
    /// Counts changes, for `If-Match`.
    pub version: i64,
    pub created_at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_role_has_what_the_one_below_it_has() {
        let staff = [SystemRole::Owner, SystemRole::Admin, SystemRole::Operator];
        for pair in [&staff[..], &[SystemRole::Support]].concat().windows(2) {
            let [above, below] = pair else { continue };
            let missing = below.scopes().into_iter().filter(|scope| !above.grants(*scope));
            assert_eq!(missing.collect::<Vec<_>>(), [], "{above:?} over {below:?}");
        }
    }

    #[test]
    fn the_owner_has_all_inside_the_tenant_and_support_only_reads() {
        for scope in Scope::ALL {
            let is_inside = !scope.is_above_tenants();
            assert_eq!(SystemRole::Owner.grants(*scope), is_inside, "{scope}");
            let is_read = scope.name().ends_with(":read");
            assert_eq!(SystemRole::Support.grants(*scope), is_read, "{scope}");
        }
        for money in [Scope::TreasuryFund, Scope::WalletsCredit, Scope::TransfersForce] {
            assert!(!SystemRole::Admin.grants(money), "{money}");
        }
    }

    #[test]
    fn references_read_back_as_they_were() {
        let mut all: Vec<_> = SystemRole::ALL.iter().copied().map(RoleRef::System).collect();
        all.push(RoleRef::Custom(RoleId(77)));
        for role in all {
            assert_eq!(role.to_string().parse(), Ok(role));
            let text = serde_json::to_string(&role).expect("a string");
            assert_eq!(serde_json::from_str::<RoleRef>(&text).expect("its own text"), role);
        }
        for bad in ["", "Owner", "root", "rol_1", "usr_00000000000000000000000001"] {
            assert!(bad.parse::<RoleRef>().is_err(), "{bad}");
        }
    }
}
