//! Erasure reaches also what people wrote of their own: words on their wallets.

use caudal_testkit::{Call, TestApp, both_databases};
use serde_json::{Value, json};

use super::people::{PASSWORD, login, with_token};

both_databases! { words_on_wallets_go_with_their_user }

async fn words_on_wallets_go_with_their_user(app: &TestApp) {
    let ada = json!({"email": "ada@example.org", "password": PASSWORD});
    let ada_id = app.client.post("/users", ada).await.expect(201)["id"].clone();
    let ada = with_token(app, &login(app, "ada@example.org", PASSWORD).await.expect(200));
    let named = json!({"currency": "USD", "name": "Quixote's savings"});
    let first = ada.post("/wallets", named).await.expect(201);
    let second =
        json!({"currency": "EUR", "user_id": ada_id, "metadata": {"note": "for Dulcinea"}});
    let second = app.client.post("/wallets", second).await.expect(201);
    let nobodys = json!({"currency": "USD", "name": "petty cash"});
    let nobodys = app.client.post("/wallets", nobodys).await.expect(201);
    let call = Call::new("DELETE", "/users/me").json(&json!({"password": PASSWORD}));
    ada.send(call).await.expect(204);
    for wallet in [first, second] {
        let path = format!("/wallets/{}", wallet["id"].as_str().expect("an id"));
        let left = app.client.get(path).await.expect(200);
        assert_eq!((&left["name"], &left["metadata"]), (&Value::Null, &json!({})));
        assert_eq!(left["user_id"], ada_id);
    }
    let path = format!("/wallets/{}", nobodys["id"].as_str().expect("an id"));
    assert_eq!(app.client.get(path).await.expect(200)["name"], "petty cash");
    let held = held_words(app).await;
    for word in ["Quixote", "Dulcinea"] {
        assert!(!held.contains(word), "{word} stands in the table of wallets");
    }
}

/// All words that the table of wallets holds.
async fn held_words(app: &TestApp) -> String {
    let sql = "select coalesce(name, '') || coalesce(cast(metadata as text), '') from wallets";
    let rows = app.instance.store.query("wallets", sql, &[]).await.expect("rows");
    rows.iter().map(|row| row.text(0).expect("text").to_owned()).collect()
}
