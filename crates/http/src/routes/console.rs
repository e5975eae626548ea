//! The console at `/`: plain files inside the binary.

use axum::{
    Router,
    body::Body,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use rust_embed::RustEmbed;

use crate::{api::Api, problem::internal};

#[derive(RustEmbed)]
#[folder = "../../console"]
struct Console;

/// Path, file, media type: what is served, and nothing else of the folder.
const FILES: [(&str, &str, &str); 7] = [
    ("/", "index.html", "text/html; charset=utf-8"),
    ("/app.css", "app.css", "text/css; charset=utf-8"),
    ("/app.js", "app.js", "text/javascript; charset=utf-8"),
    ("/api.js", "api.js", "text/javascript; charset=utf-8"),
    ("/people.js", "people.js", "text/javascript; charset=utf-8"),
    ("/stream.js", "stream.js", "text/javascript; charset=utf-8"),
    ("/favicon.svg", "favicon.svg", "image/svg+xml"),
];

const POLICY: &str = "default-src 'self'; base-uri 'none'; form-action 'self'; \
                      frame-ancestors 'none'; object-src 'none'";

pub(crate) fn serve(router: Router<Api>) -> Router<Api> {
    FILES.into_iter().fold(router, |router, (path, name, kind)| {
        router.route(path, get(move |headers: HeaderMap| async move { file(name, kind, &headers) }))
    })
}

fn file(name: &str, kind: &'static str, asked: &HeaderMap) -> Response {
    let Some(file) = Console::get(name) else { return internal().into_response() };
    let hash = file.metadata.sha256_hash();
    let hex: String = hash.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    let tag = format!("\"{hex}\"");
    let is_known = asked.get_all(header::IF_NONE_MATCH).iter().any(|value| {
        let names = value.to_str().unwrap_or_default().split(',');
        names.map(|name| name.trim().trim_start_matches("W/")).any(|name| name == tag)
    });
    let mut response = match is_known {
        true => StatusCode::NOT_MODIFIED.into_response(),
        false => Response::new(Body::from(file.data.into_owned())),
    };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    // Asked again each time, answered without a body when nothing has changed.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    if let Ok(tag) = HeaderValue::try_from(tag) {
        headers.insert(header::ETAG, tag);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_there_and_known_by_its_tag() {
        for (_, name, kind) in FILES {
            let first = file(name, kind, &HeaderMap::new());
            assert_eq!(first.status(), StatusCode::OK, "{name}");
            let mut headers = HeaderMap::new();
            headers.insert(header::IF_NONE_MATCH, first.headers()[header::ETAG].clone());
            assert_eq!(file(name, kind, &headers).status(), StatusCode::NOT_MODIFIED, "{name}");
        }
    }
}
