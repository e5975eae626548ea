//! `/api/v1/audit`.

use axum::{extract::State, http::StatusCode};
use caudal_domain::{Actor, ApiKeyId, ServiceAccountId, UserId};
use caudal_service::audit::AuditFilter;

use crate::{
    answer::{Answer, bytes},
    api::Api,
    auth::By,
    query::{List, Params, Shown, list_body, next_of},
    shapes::audit::AuditShape,
};

pub(crate) async fn list(State(api): State<Api>, By(caller): By, params: Params) -> Answer {
    let window = params.window(List::Audit)?;
    let fields = params.fields(AuditShape::FIELDS)?;
    let filter = AuditFilter {
        actor: params.word("actor", actor)?,
        action: params.get("action").map(str::to_owned),
        object: params.get("object").map(str::to_owned),
    };
    let page = api.service.list_audit(&caller, filter, &window).await?;
    let shapes = page.items.iter().map(AuditShape::from).collect();
    let body = list_body(shapes, next_of(List::Audit, &page), fields.as_deref())?;
    Ok(bytes(StatusCode::OK, body))
}

/// An id of somebody, or the word for those who have none.
pub(crate) fn actor(text: &str) -> Option<Actor> {
    let user = || text.parse::<UserId>().ok().map(Actor::User);
    let account = || text.parse::<ServiceAccountId>().ok().map(Actor::ServiceAccount);
    let key = || text.parse::<ApiKeyId>().ok().map(Actor::ApiKey);
    let word = || [Actor::System, Actor::Anyone].into_iter().find(|it| it.parts().0 == text);
    user().or_else(account).or_else(key).or_else(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actors_are_ids_or_words() {
        let known = [
            (UserId(7).to_string(), Actor::User(UserId(7))),
            (ServiceAccountId(8).to_string(), Actor::ServiceAccount(ServiceAccountId(8))),
            (ApiKeyId(9).to_string(), Actor::ApiKey(ApiKeyId(9))),
            ("system".into(), Actor::System),
            ("anyone".into(), Actor::Anyone),
        ];
        for (text, wanted) in known {
            assert_eq!(actor(&text), Some(wanted));
        }
        for bad in ["", "user", "usr_1", "System"] {
            assert_eq!(actor(bad), None, "{bad}");
        }
    }
}
