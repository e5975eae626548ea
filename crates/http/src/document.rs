//! The OpenAPI 3.1 document, made of the router's lines and the shapes they name.

use axum::http::StatusCode;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        ComponentsBuilder, Content, ContentBuilder, HeaderBuilder, HttpMethod, InfoBuilder,
        LicenseBuilder, ObjectBuilder, OpenApiBuilder, PathItem, PathsBuilder, Ref, RefOr,
        Required, Response, ResponseBuilder,
        extensions::Extensions,
        path::{Operation, OperationBuilder, Parameter, ParameterBuilder, ParameterIn},
        request_body::RequestBodyBuilder,
        schema::{ArrayBuilder, Schema, SchemaType, Type},
        security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
    },
};

use crate::{
    endpoint::{Access, Endpoint, Gives},
    idempotency,
    problem::ProblemShape,
};

const SECURITY: &str = "api_key";
const ACCESS: &str = "x-caudal-access";
/// What any route may answer besides its own.
const ANY_ROUTE: [u16; 3] = [400, 500, 503];
const DESCRIPTION: &str = "Payments: wallets, transfers, holds, batches and their events. Amounts \
    are integers in minor units with an ISO 4217 currency. Every POST that changes something needs \
    an Idempotency-Key and can be repeated safely. Errors are RFC 9457 problems.";

type Found = Vec<(String, RefOr<Schema>)>;

/// The document of these routes, as JSON.
pub(crate) fn document(endpoints: &[Endpoint]) -> String {
    let mut found: Found = vec![(ProblemShape::name().into_owned(), ProblemShape::schema())];
    let mut paths = PathsBuilder::new();
    for endpoint in endpoints {
        let operation = operation(endpoint, &mut found);
        paths = paths.path(endpoint.path, PathItem::new(endpoint.method.clone(), operation));
    }
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("An API key: sk_test_… or sk_live_…"))
        .build();
    let components = ComponentsBuilder::new()
        .schemas_from_iter(found)
        .security_scheme(SECURITY, SecurityScheme::Http(bearer))
        .build();
    let info = InfoBuilder::new()
        .title("Caudal")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(DESCRIPTION))
        .license(Some(LicenseBuilder::new().name("Apache-2.0").build()))
        .build();
    let document =
        OpenApiBuilder::new().info(info).paths(paths.build()).components(Some(components)).build();
    document.to_pretty_json().unwrap_or_else(|error| unreachable!("plain data: {error}"))
}

fn operation(endpoint: &Endpoint, found: &mut Found) -> Operation {
    let mut operation = OperationBuilder::new()
        .summary(Some(endpoint.summary))
        .operation_id(Some(operation_id(endpoint)))
        .tag(tag(endpoint.path))
        .extensions(Some(Extensions::from_iter([(ACCESS, access_name(endpoint.access))])))
        .parameters(Some(parameters(endpoint)));
    if !endpoint.takes_text.is_empty() {
        let text =
            || ContentBuilder::new().schema(Some(ObjectBuilder::new().schema_type(Type::String)));
        let body =
            endpoint.takes_text.iter().fold(
                RequestBodyBuilder::new().required(Some(Required::True)),
                |body, media_type| body.content(*media_type, text().build()),
            );
        operation = operation.request_body(Some(body.build()));
    }
    if let Some(takes) = endpoint.takes {
        let content = ContentBuilder::new().schema(Some(takes(found))).build();
        let required = if endpoint.may_lack_body { Required::False } else { Required::True };
        let body = RequestBodyBuilder::new()
            .required(Some(required))
            .content("application/json", content)
            .build();
        operation = operation.request_body(Some(body));
    }
    let (status, gives) = endpoint.gives;
    operation = operation.response(status.as_str(), success(endpoint, gives, found));
    for status in errors(endpoint) {
        operation = operation.response(status.to_string(), problem(status));
    }
    let needs = match endpoint.access {
        Access::Open => None,
        Access::SignedIn => Some("For users, about themselves.".to_owned()),
        Access::Scope(scope) => Some(format!("Needs the scope `{}`.", scope.name())),
        Access::OpenOr(scope) => {
            Some(format!("Open; with credentials it needs the scope `{}`.", scope.name()))
        }
    };
    if let Some(description) = needs {
        operation = operation.description(Some(description)).security(SecurityRequirement::new::<
            _,
            [&str; 0],
            _,
        >(SECURITY, []));
    }
    operation.build()
}

/// Who may call it, for machines: `open`, `signed_in`, or the name of the scope it asks for;
/// `open|scope` asks for it where credentials are given.
fn access_name(access: Access) -> String {
    let name = match access {
        Access::Open => "open",
        Access::SignedIn => "signed_in",
        Access::Scope(scope) => scope.name(),
        Access::OpenOr(scope) => return format!("open|{}", scope.name()),
    };
    name.to_owned()
}

/// `POST /api/v1/transfers/{id}/capture` → `post_transfers_id_capture`.
fn operation_id(endpoint: &Endpoint) -> String {
    let path = endpoint.path.trim_start_matches("/api/v1");
    let words = path.split(['/', '-', '.']).map(|word| word.trim_matches(['{', '}']));
    let name: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    format!("{}_{}", method_name(&endpoint.method), name.join("_"))
}

fn method_name(method: &HttpMethod) -> &'static str {
    match method {
        HttpMethod::Post => "post",
        HttpMethod::Patch => "patch",
        HttpMethod::Put => "put",
        HttpMethod::Delete => "delete",
        _ => "get",
    }
}

fn tag(path: &str) -> String {
    let noun = path.strip_prefix("/api/v1/").map(|rest| rest.split('/').next());
    noun.flatten().unwrap_or("probes").to_owned()
}

fn parameters(endpoint: &Endpoint) -> Vec<Parameter> {
    let mut parameters = Vec::new();
    for part in endpoint.path.split('/') {
        if let Some(name) = part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) {
            parameters.push(parameter(name, ParameterIn::Path, Required::True));
        }
    }
    for name in &endpoint.query {
        parameters.push(parameter(name, ParameterIn::Query, Required::False));
    }
    let header = |name, required| parameter(name, ParameterIn::Header, required);
    if endpoint.needs_key {
        parameters.push(header(idempotency::HEADER, Required::True));
    }
    if endpoint.errors.contains(&412) {
        parameters.push(header("If-Match", Required::False));
    }
    if endpoint.path.ends_with("/events") {
        parameters.push(header("Last-Event-ID", Required::False));
    }
    parameters
}

fn parameter(name: &str, place: ParameterIn, required: Required) -> Parameter {
    let kind = match name {
        "limit" => Type::Integer,
        "dry_run" => Type::Boolean,
        _ => Type::String,
    };
    ParameterBuilder::new()
        .name(name)
        .parameter_in(place)
        .required(required)
        .schema(Some(ObjectBuilder::new().schema_type(kind)))
        .build()
}

fn success(endpoint: &Endpoint, gives: Gives, found: &mut Found) -> Response {
    let mut response = ResponseBuilder::new().description("Done.");
    let json = |schema: RefOr<Schema>| ContentBuilder::new().schema(Some(schema)).build();
    response = match gives {
        Gives::Nothing => response,
        Gives::One(schema) => response.content("application/json", json(schema(found))),
        Gives::List(schema) => response.content("application/json", json(list_of(schema(found)))),
        Gives::Text(kind) => {
            let text = ObjectBuilder::new().schema_type(Type::String).build();
            response.content(kind, json(Schema::Object(text).into()))
        }
    };
    let text = || HeaderBuilder::new().schema(Some(ObjectBuilder::new().schema_type(Type::String)));
    if endpoint.needs_key {
        response = response
            .header("Caudal-Position", text().build())
            .header("Idempotency-Replayed", text().build());
    }
    response.build()
}

fn list_of(item: RefOr<Schema>) -> RefOr<Schema> {
    let text_or_null = SchemaType::from_iter([Type::String, Type::Null]);
    let list = ObjectBuilder::new()
        .property("data", ArrayBuilder::new().items(item))
        .property("has_more", ObjectBuilder::new().schema_type(Type::Boolean))
        .property("next_cursor", ObjectBuilder::new().schema_type(text_or_null))
        .required("data")
        .required("has_more")
        .required("next_cursor")
        .build();
    Schema::Object(list).into()
}

fn errors(endpoint: &Endpoint) -> Vec<u16> {
    let mut errors: Vec<u16> =
        ANY_ROUTE.into_iter().chain(endpoint.errors.iter().copied()).collect();
    if endpoint.access != Access::Open {
        errors.extend([401, 403]);
    }
    if endpoint.access != Access::Open || endpoint.method == HttpMethod::Post {
        errors.push(429);
    }
    if endpoint.takes.is_some() || !endpoint.takes_text.is_empty() {
        errors.extend([408, 413, 415]);
    }
    errors.sort_unstable();
    errors.dedup();
    errors
}

fn problem(status: u16) -> Response {
    let reason = StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
    let schema: RefOr<Schema> = Ref::from_schema_name(ProblemShape::name()).into();
    let content: Content = ContentBuilder::new().schema(Some(schema)).build();
    ResponseBuilder::new()
        .description(reason.unwrap_or("Refused"))
        .content("application/problem+json", content)
        .build()
}
