//! Short words for what most tests begin with: wallets, money, transfers.

use serde_json::{Value, json};

use crate::{Answer, Client};

impl Client {
    /// The id of a new wallet.
    pub async fn wallet(&self, currency: &str) -> String {
        let wallet = self.post("/wallets", json!({"currency": currency})).await.expect(201);
        id_of(&wallet)
    }

    /// The id of a new wallet with this much USD, in cents.
    pub async fn funded(&self, amount: i64) -> String {
        let wallet = self.wallet("USD").await;
        self.fund(&wallet, amount).await.expect(201);
        wallet
    }

    /// A payer with this much USD, in cents, and a payee with nothing.
    pub async fn pair(&self, amount: i64) -> (String, String) {
        (self.funded(amount).await, self.wallet("USD").await)
    }

    pub async fn fund(&self, wallet: &str, amount: i64) -> Answer {
        let body = json!({"amount": amount, "source": "treasury"});
        self.post(format!("/wallets/{wallet}/fund"), body).await
    }

    /// Of USD.
    pub async fn transfer(&self, from: &str, to: &str, amount: i64) -> Answer {
        self.post("/transfers", transfer_body(from, to, amount)).await
    }

    /// The id of a hold of USD that ends by itself after so many seconds.
    pub async fn hold(&self, pair: &(String, String), amount: i64, seconds: i64) -> String {
        let mut body = transfer_body(&pair.0, &pair.1, amount);
        body["hold"] = true.into();
        body["expires_in"] = seconds.into();
        id_of(&self.post("/transfers", body).await.expect(201))
    }

    /// `capture`, `void` or `reverse` of a transfer; `freeze` … of a wallet.
    pub async fn act(&self, id: &str, verb: &str, body: Value) -> Answer {
        let noun = if id.starts_with("wal_") { "wallets" } else { "transfers" };
        self.post(format!("/{noun}/{id}/{verb}"), body).await
    }

    pub async fn read_transfer(&self, id: &str) -> Value {
        self.get(format!("/transfers/{id}")).await.expect(200)
    }

    /// Available, held and total.
    pub async fn balance(&self, wallet: &str) -> (i64, i64, i64) {
        let shape = self.get(format!("/wallets/{wallet}/balance")).await.expect(200);
        let part = |name: &str| shape["balance"][name].as_i64().expect("a number");
        (part("available"), part("held"), part("total"))
    }

    /// Everything a list gives, page by page.
    pub async fn all(&self, path: &str) -> Vec<Value> {
        let mut found = Vec::new();
        let mut next = String::new();
        loop {
            let page = self.get(format!("{path}{next}")).await.expect(200);
            found.extend_from_slice(page["data"].as_array().expect("a list"));
            let Some(cursor) = page["next_cursor"].as_str() else {
                assert_eq!(page["has_more"], false);
                return found;
            };
            assert_eq!(page["has_more"], true);
            let joint = if path.contains('?') { '&' } else { '?' };
            next = format!("{joint}cursor={cursor}");
        }
    }
}

fn id_of(object: &Value) -> String {
    object["id"].as_str().expect("an id").to_owned()
}

fn transfer_body(from: &str, to: &str, amount: i64) -> Value {
    json!({"from": from, "to": to, "amount": amount, "currency": "USD"})
}
