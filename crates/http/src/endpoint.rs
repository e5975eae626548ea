//! One route: what it is, who may call it, what it takes and gives. The router and the OpenAPI
//! document are made of the same lines.

use std::{sync::Arc, time::Instant};

use axum::{
    Router,
    extract::{Request, State},
    handler::Handler,
    http::{StatusCode, header},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::{MethodFilter, on},
};
use caudal_domain::access::Scope;
use caudal_service::{
    Caller,
    limits::{LimitClass, Verdict},
};
use utoipa::{
    ToSchema,
    openapi::{HttpMethod, Ref, RefOr, schema::Schema},
};

use crate::{
    api::Api,
    auth::{authenticate, origin},
    limits,
    metrics::{EndpointMetrics, SharedMetrics},
    problem::Problem,
    query::Params,
};

/// Collects the schemas a type needs, and refers to it.
pub(crate) type SchemaOf = fn(&mut Vec<(String, RefOr<Schema>)>) -> RefOr<Schema>;

fn schema_of<T: ToSchema>(found: &mut Vec<(String, RefOr<Schema>)>) -> RefOr<Schema> {
    T::schemas(found);
    found.push((T::name().into_owned(), T::schema()));
    Ref::from_schema_name(T::name()).into()
}

/// What a success holds.
#[derive(Clone, Copy)]
pub(crate) enum Gives {
    /// Status without a body of interest.
    Nothing,
    One(SchemaOf),
    /// A page of them.
    List(SchemaOf),
    /// Text of this media type.
    Text(&'static str),
}

/// Who may call a route: each says so on its line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Anybody, without credentials.
    Open,
    /// Every user, for what is their own.
    SignedIn,
    Scope(Scope),
    /// Anybody; with credentials it is another thing, for which they need the scope.
    OpenOr(Scope),
}

impl From<Scope> for Access {
    fn from(scope: Scope) -> Self {
        Self::Scope(scope)
    }
}

/// A line of the router.
#[derive(Clone)]
pub(crate) struct Endpoint {
    pub method: HttpMethod,
    pub path: &'static str,
    pub access: Access,
    pub summary: &'static str,
    pub query: Vec<&'static str>,
    pub takes: Option<SchemaOf>,
    /// Whether it does without what it takes.
    pub may_lack_body: bool,
    /// Media types of a body that is not JSON.
    pub takes_text: &'static [&'static str],
    pub gives: (StatusCode, Gives),
    /// Statuses of refusals, besides those every route has.
    pub errors: &'static [u16],
    pub needs_key: bool,
    pub moves_money: bool,
}

impl Endpoint {
    fn new(method: HttpMethod, path: &'static str, access: impl Into<Access>) -> Self {
        Self {
            method,
            path,
            access: access.into(),
            summary: "",
            query: Vec::new(),
            takes: None,
            may_lack_body: false,
            takes_text: &[],
            gives: (StatusCode::OK, Gives::Nothing),
            errors: &[],
            needs_key: false,
            moves_money: false,
        }
    }

    pub fn summary(mut self, summary: &'static str) -> Self {
        self.summary = summary;
        self
    }

    pub fn query(mut self, names: &[&'static str]) -> Self {
        self.query.extend_from_slice(names);
        self
    }

    pub fn takes<T: ToSchema>(mut self) -> Self {
        self.takes = Some(schema_of::<T>);
        self
    }

    /// The same, but nothing will do.
    pub fn may_take<T: ToSchema>(self) -> Self {
        Self { may_lack_body: true, ..self.takes::<T>() }
    }

    pub fn takes_text(mut self, media_types: &'static [&'static str]) -> Self {
        self.takes_text = media_types;
        self
    }

    pub fn gives<T: ToSchema>(mut self, status: StatusCode) -> Self {
        self.gives = (status, Gives::One(schema_of::<T>));
        self
    }

    pub fn gives_nothing(mut self, status: StatusCode) -> Self {
        self.gives = (status, Gives::Nothing);
        self
    }

    pub fn gives_text(mut self, media_type: &'static str) -> Self {
        self.gives = (StatusCode::OK, Gives::Text(media_type));
        self
    }

    /// A page, with the parameters of every list.
    pub fn lists<T: ToSchema>(mut self) -> Self {
        self.gives = (StatusCode::OK, Gives::List(schema_of::<T>));
        self.query(crate::query::LIST)
    }

    /// All there are of them at once: few, and always the same.
    pub fn lists_all<T: ToSchema>(mut self) -> Self {
        self.gives = (StatusCode::OK, Gives::List(schema_of::<T>));
        self.query(&["fields"])
    }

    pub fn errors(mut self, statuses: &'static [u16]) -> Self {
        self.errors = statuses;
        self
    }

    /// Needs an `Idempotency-Key`.
    pub fn once(mut self) -> Self {
        self.needs_key = true;
        self
    }

    /// Is counted among the transfers.
    pub fn money(mut self) -> Self {
        self.moves_money = true;
        self
    }

    pub fn verb(&self) -> &'static str {
        self.filter().1
    }

    fn filter(&self) -> (MethodFilter, &'static str) {
        match self.method {
            HttpMethod::Post => (MethodFilter::POST, "POST"),
            HttpMethod::Patch => (MethodFilter::PATCH, "PATCH"),
            HttpMethod::Put => (MethodFilter::PUT, "PUT"),
            HttpMethod::Delete => (MethodFilter::DELETE, "DELETE"),
            _ => (MethodFilter::GET, "GET"),
        }
    }
}

pub(crate) fn get(path: &'static str, access: impl Into<Access>) -> Endpoint {
    Endpoint::new(HttpMethod::Get, path, access)
}

pub(crate) fn post(path: &'static str, access: impl Into<Access>) -> Endpoint {
    Endpoint::new(HttpMethod::Post, path, access)
}

pub(crate) fn patch(path: &'static str, access: impl Into<Access>) -> Endpoint {
    Endpoint::new(HttpMethod::Patch, path, access)
}

pub(crate) fn put(path: &'static str, access: impl Into<Access>) -> Endpoint {
    Endpoint::new(HttpMethod::Put, path, access)
}

pub(crate) fn delete(path: &'static str, access: impl Into<Access>) -> Endpoint {
    Endpoint::new(HttpMethod::Delete, path, access)
}

/// Routes being gathered, with what they are.
pub(crate) struct Routes {
    pub api: Api,
    pub router: Router<Api>,
    pub endpoints: Vec<Endpoint>,
}

impl Routes {
    pub fn new(api: Api) -> Self {
        Self { api, router: Router::new(), endpoints: Vec::new() }
    }

    pub fn add<H: Handler<T, Api>, T: 'static>(mut self, endpoint: Endpoint, handler: H) -> Self {
        let (filter, method) = endpoint.filter();
        let metrics = Arc::new(EndpointMetrics::new(method, endpoint.path));
        let class = limits::class_of(&endpoint);
        let entry = Arc::new(Entry { api: self.api.clone(), endpoint, class, metrics });
        let path = entry.endpoint.path;
        self.endpoints.push(entry.endpoint.clone());
        let enter = from_fn_with_state::<_, _, (State<Arc<Entry>>, Request)>(entry, enter);
        self.router = self.router.route(path, on(filter, handler).route_layer(enter));
        self
    }
}

struct Entry {
    api: Api,
    endpoint: Endpoint,
    class: LimitClass,
    metrics: SharedMetrics,
}

/// What happens before and after every handler.
async fn enter(State(entry): State<Arc<Entry>>, mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let admitted = entry.admit(&mut request).await;
    let caller = request.extensions().get::<Arc<Caller>>().cloned();
    let response = match admitted {
        Ok(None) => next.run(request).await,
        Ok(Some(verdict)) => {
            let mut response = next.run(request).await;
            limits::add_headers(response.headers_mut(), &verdict);
            response
        }
        Err(problem) => problem.into_response(),
    };
    let (took, status) = (started.elapsed(), response.status());
    if let Some(caller) = caller.filter(|_| status == StatusCode::FORBIDDEN) {
        let Endpoint { path, .. } = entry.endpoint;
        entry.api.service.record_refused(&caller, entry.endpoint.verb(), path).await;
    }
    entry.metrics.record(took, status);
    if entry.endpoint.moves_money {
        entry.api.money.record(took, status);
    }
    response
}

impl Entry {
    /// Lets in who may come with what the route knows, and tells what is left of their limit.
    async fn admit(&self, request: &mut Request) -> Result<Option<Verdict>, Problem> {
        let access = self.endpoint.access;
        let mut verdict = None;
        let is_stranger = matches!(access, Access::OpenOr(_))
            && !request.headers().contains_key(header::AUTHORIZATION);
        if access == Access::Open || is_stranger {
            self.count_stranger(request)?;
        } else {
            let origin = origin(request);
            let mut caller = authenticate(&self.api.service, request.headers(), origin).await?;
            let asked = match access {
                Access::Scope(scope) | Access::OpenOr(scope) => caller.asks_for(scope),
                _ => caller.signed_in().map(drop),
            };
            let caller = Arc::new(caller);
            request.extensions_mut().insert(caller.clone());
            asked?;
            verdict = self.api.service.check_limit(&caller, self.class)?;
        }
        if request.uri().query().is_some() {
            let params = Params::read(request.uri(), &self.endpoint.query)?;
            request.extensions_mut().insert(params);
        }
        Ok(verdict)
    }

    /// What anybody may do to the platform is bounded by address; probes and pages are not.
    fn count_stranger(&self, request: &Request) -> Result<(), Problem> {
        if self.endpoint.method == HttpMethod::Post {
            self.api.service.check_stranger(&origin(request))?;
        }
        Ok(())
    }
}
