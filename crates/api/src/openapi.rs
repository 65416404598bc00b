//! The published document of all operations, at `/openapi.json`.

use crate::call::Call;
use crate::error::{ApiError, JSON};
use crate::path::{Route, route};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

pub(crate) static ROUTES: &[Route] = &[route!("OpenApi_Get", GET, "/openapi.json", Documents, document)];

async fn document(_: Call) -> Result<Response, ApiError> {
    Ok((StatusCode::OK, [(header::CONTENT_TYPE, JSON)], DOCUMENT).into_response())
}

const DOCUMENT: &str = include_str!("openapi.json");

#[cfg(test)]
mod tests {
    use crate::dispatch::routes;
    use serde_json::Value;
    use std::collections::BTreeSet;

    #[test]
    fn the_document_and_the_router_have_the_same_operations() {
        let document: Value = serde_json::from_str(super::DOCUMENT).unwrap();
        let mut published = BTreeSet::new();
        for (path, methods) in document["paths"].as_object().unwrap() {
            for (method, operation) in methods.as_object().unwrap() {
                let id = operation["operationId"].as_str().unwrap();
                published.insert((method.to_uppercase(), path.clone(), id.to_owned()));
            }
        }
        let routed: BTreeSet<_> = routes()
            .map(|route| (route.method.to_string(), route.pattern.to_owned(), route.id.to_owned()))
            .collect();
        assert_eq!(published, routed);
        assert_eq!(routed.len(), routes().count(), "an operation twice");
    }

    #[test]
    fn the_document_names_every_version_and_every_reference_leads_somewhere() {
        let document: Value = serde_json::from_str(super::DOCUMENT).unwrap();
        for route in routes().filter(|route| !route.service.versions().is_empty()) {
            let name = format!("{:?}Version", route.service);
            let versions = &document["components"]["parameters"][&name]["schema"]["enum"];
            assert_eq!(versions, &serde_json::json!(route.service.versions()), "{name}");
        }
        check_references(&document, &document);
    }

    fn check_references(document: &Value, part: &Value) {
        match part {
            Value::Object(fields) => {
                for (name, value) in fields {
                    if name == "$ref" {
                        let pointer = value.as_str().unwrap().trim_start_matches('#');
                        assert!(document.pointer(pointer).is_some(), "{pointer}");
                    }
                    check_references(document, value);
                }
            }
            Value::Array(items) => items.iter().for_each(|item| check_references(document, item)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
}
