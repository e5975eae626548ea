//! `/openapi.json`, made of the router's lines, and `/docs`, which shows it.

use std::sync::{Arc, OnceLock};

use axum::{
    Router,
    body::Body,
    extract::Path,
    http::{HeaderValue, header},
    response::{IntoResponse, Redirect, Response},
    routing::get,
};
use bytes::Bytes;
use utoipa_swagger_ui::Config;

use crate::{api::Api, problem::Problem};

/// Swagger UI sets styles on its elements and shows pictures from data.
const DOCS_POLICY: &str = "default-src 'self'; style-src 'self' 'unsafe-inline'; \
                           img-src 'self' data:; base-uri 'none'; frame-ancestors 'none'; \
                           object-src 'none'";

pub(crate) fn serve(router: Router<Api>, document: String) -> Router<Api> {
    let document = Bytes::from(document);
    router
        .route("/openapi.json", get(async move || open_json(document.clone())))
        .route("/docs", get(async || Redirect::permanent("/docs/")))
        .route("/docs/", get(async || docs_file("index.html")))
        .route("/docs/{*file}", get(async |Path(file): Path<String>| docs_file(&file)))
}

fn open_json(document: Bytes) -> Response {
    let mut response = Response::new(Body::from(document));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=300"));
    response
}

fn docs_file(name: &str) -> Response {
    static CONFIG: OnceLock<Arc<Config<'static>>> = OnceLock::new();
    let config = CONFIG.get_or_init(|| Arc::new(Config::from("/openapi.json")));
    let Ok(Some(file)) = utoipa_swagger_ui::serve(name, config.clone()) else {
        return Problem::not_found("page").into_response();
    };
    let kind = HeaderValue::try_from(file.content_type);
    let mut response = Response::new(Body::from(file.bytes.into_owned()));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, kind.unwrap_or(HeaderValue::from_static("text/plain")));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=86400"));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(DOCS_POLICY));
    if file.gzpipped {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}
