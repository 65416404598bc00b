//! The files of the console, as they were built into the program.

use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};

/// A file of the console.
pub(super) struct File {
    /// Where it is, under the root.
    path: &'static str,
    bytes: &'static [u8],
}

include!(concat!(env!("OUT_DIR"), "/console_files.rs"));

/// What the pages may load and do (CSP level 3): scripts and styles of this origin alone, calls over its WebSocket, and
/// no other site around them.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
    connect-src 'self' wss:; media-src 'self' blob: mediastream:; base-uri 'none'; form-action 'none'; \
    frame-ancestors 'none'";

/// Returns the file of the console that a path names, if it names one.
pub(crate) fn page(method: &Method, path: &str) -> Option<Response> {
    if !matches!(*method, Method::GET | Method::HEAD) {
        return None;
    }
    let name = match path.strip_prefix('/')? {
        "" => "index.html",
        name => name,
    };
    let file = FILES.iter().find(|file| file.path == name)?;
    // The names of assets change with their contents, those of pages do not.
    let caching =
        if name.starts_with("assets/") { "public, max-age=31536000, immutable" } else { "no-cache" };
    let headers = [
        (header::CONTENT_TYPE, content_type(name)),
        (header::CACHE_CONTROL, caching),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    Some((StatusCode::OK, headers, file.bytes).into_response())
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_page_at_the_root_and_nothing_outside_of_the_files() {
        let root = page(&Method::GET, "/").unwrap();
        assert_eq!(root.headers()[header::CONTENT_TYPE], "text/html; charset=utf-8");
        assert_eq!(root.headers()[header::CACHE_CONTROL], "no-cache");
        assert!(page(&Method::POST, "/").is_none());
        for path in ["", "/nothing", "/../Cargo.toml", "/assets/", "//"] {
            assert!(page(&Method::GET, path).is_none(), "{path}");
        }
    }
}
