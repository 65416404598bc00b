//! Routing on the raw path.
//!
//! Paths hold literal `:` verbs, as a segment of their own (`/:search`) and as a suffix
//! (`/sip:testRoutesWithNumber`), while ids arrive percent-encoded or not (`8%3Aacs%3A…`, `8:acs:…`). So
//! segments are compared as they were sent, and only what a parameter took is decoded.

use crate::call::Call;
use crate::error::ApiError;
use crate::version::Service;
use axum::http::Method;
use axum::response::Response;
use std::pin::Pin;

/// An operation of the API.
pub(crate) struct Route {
    /// Its name in the published document.
    pub(crate) id: &'static str,
    /// Its method.
    pub(crate) method: Method,
    /// Its path: literal segments, and `{name}` for those that are parameters.
    pub(crate) pattern: &'static str,
    /// Which versions it has.
    pub(crate) service: Service,
    /// What it does.
    pub(crate) handler: Handler,
}

/// What an operation does.
pub(crate) type Handler = fn(Call) -> Pin<Box<dyn Future<Output = Result<Response, ApiError>> + Send>>;

/// Makes a [`Route`] of an `async fn(Call) -> Result<Response, ApiError>`.
macro_rules! route {
    ($id:literal, $method:ident, $pattern:literal, $service:ident, $handler:path) => {
        $crate::path::Route {
            id: $id,
            method: axum::http::Method::$method,
            pattern: $pattern,
            service: $crate::version::Service::$service,
            handler: |call| Box::pin($handler(call)),
        }
    };
}
pub(crate) use route;

/// What the parameters of a path took, by name, decoded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Parameters(Vec<(&'static str, String)>);

impl Parameters {
    /// Returns what a parameter took; empty when the pattern has none of this name.
    pub(crate) fn value(&self, name: &str) -> &str {
        self.0.iter().find(|(known, _)| *known == name).map_or("", |(_, value)| value)
    }
}

/// What a path leads to.
pub(crate) enum Found {
    /// An operation.
    Operation(&'static Route, Parameters),
    /// A resource, which has operations of these methods only.
    OtherMethods(&'static Route, String),
    /// Nothing.
    Nothing,
}

/// Finds the operation of a raw path. Where several patterns match, the one whose literal segments come first
/// wins: `/phoneNumbers/operations/{id}` over `/phoneNumbers/{number}/capabilities`.
pub(crate) fn find(
    routes: impl Iterator<Item = &'static Route> + Clone,
    method: &Method,
    path: &str,
) -> Found {
    let matching = routes.filter_map(|route| matches(route.pattern, path).map(|found| (route, found)));
    let Some(best) = matching.clone().map(|(_, (literals, _))| literals).max() else { return Found::Nothing };
    let mut methods = Vec::new();
    let mut any = None;
    for (route, (literals, parameters)) in matching {
        if literals != best {
            continue;
        }
        if route.method == *method {
            return Found::Operation(route, parameters);
        }
        any = any.or(Some(route));
        methods.push(route.method.as_str());
    }
    any.map_or(Found::Nothing, |route| Found::OtherMethods(route, methods.join(", ")))
}

/// Which segments are literal, first segment in the highest bit so that a number compares; and the parameters.
fn matches(pattern: &'static str, path: &str) -> Option<(u64, Parameters)> {
    let mut literals = 0_u64;
    let mut parameters = Parameters::default();
    let mut segments = path.split('/');
    for expected in pattern.split('/') {
        let segment = segments.next()?;
        let name = expected.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
        literals <<= 1;
        match name {
            Some(_) if segment.is_empty() || segment.starts_with(':') => return None,
            Some(name) => parameters.0.push((name, decode(segment, false)?)),
            None if expected.eq_ignore_ascii_case(&decode(segment, false)?) => literals |= 1,
            None => return None,
        }
    }
    segments.next().is_none().then_some((literals, parameters))
}

/// Decodes `%XX`, and `+` where it stands for a space; none when an escape is broken or the result is not
/// UTF-8 or holds a NUL.
pub(crate) fn decode(text: &str, plus_is_space: bool) -> Option<String> {
    if !text.contains(['%', '+']) {
        return Some(text.to_owned());
    }
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'%' => {
                let mut digit = || char::from(bytes.next()?).to_digit(16);
                let (high, low) = (digit()?, digit()?);
                u8::try_from(high << 4 | low).ok()?
            }
            b'+' if plus_is_space => b' ',
            byte => byte,
        });
    }
    // PostgreSQL has no text with a NUL in it, and nothing here is named by one.
    String::from_utf8(out).ok().filter(|text| !text.contains('\0'))
}

/// Encodes what may not stand in a path segment or a query value as it is.
pub(crate) fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            for digit in [byte >> 4, byte & 15] {
                out.extend(char::from_digit(digit.into(), 16).map(|digit| digit.to_ascii_uppercase()));
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dispatch::routes;

    fn operation(method: Method, path: &str) -> Option<(&'static str, Parameters)> {
        match find(routes(), &method, path) {
            Found::Operation(route, parameters) => Some((route.id, parameters)),
            Found::OtherMethods(..) | Found::Nothing => None,
        }
    }

    #[test]
    fn ids_are_found_encoded_and_not() {
        let user = "8:acs:11111111-2222-4333-8444-555555555555_00000021-aaaa-bbbb-cccc-0123456789ab";
        for sent in [user.to_owned(), encode(user)] {
            let path = format!("/identities/{sent}/:issueAccessToken");
            let (id, parameters) = operation(Method::POST, &path).unwrap();
            assert_eq!(id, "CommunicationIdentity_IssueAccessToken");
            assert_eq!(parameters.value("id"), user);
        }
    }

    #[test]
    fn a_literal_segment_wins_over_a_parameter() {
        let (id, _) = operation(Method::GET, "/phoneNumbers/operations/search_1").unwrap();
        assert_eq!(id, "PhoneNumbers_GetOperation");
        let (id, parameters) = operation(Method::GET, "/phoneNumbers/%2B12065550100").unwrap();
        assert_eq!((id, parameters.value("phoneNumber")), ("PhoneNumbers_GetByNumber", "+12065550100"));
    }

    #[test]
    fn verbs_are_segments_or_suffixes_and_never_ids() {
        assert!(operation(Method::POST, "/sip:testRoutesWithNumber").is_some());
        assert!(operation(Method::POST, "/availablePhoneNumbers/:purchase").is_some());
        assert!(operation(Method::DELETE, "/identities/:issueAccessToken").is_none());
    }

    #[test]
    fn other_paths_lead_nowhere() {
        for path in
            ["", "/", "//", "/sip/", "/identities/", "/identities//:issueAccessToken", "/%zz", "/sip%2F"]
        {
            assert!(matches!(find(routes(), &Method::GET, path), Found::Nothing), "{path}");
        }
        assert!(operation(Method::DELETE, "/identities/%ff").is_none(), "not UTF-8");
    }

    #[test]
    fn another_method_is_told_which_there_are() {
        let Found::OtherMethods(_, allow) = find(routes(), &Method::PUT, "/sip") else { panic!("found") };
        assert_eq!(allow, "GET, PATCH");
    }

    #[test]
    fn decoding_undoes_encoding() {
        for text in ["", "plain", "8:acs:a_b", "+1 206", "ümläut/?&=%"] {
            assert_eq!(decode(&encode(text), false).as_deref(), Some(text));
        }
        assert_eq!(decode("New+York%21", true).as_deref(), Some("New York!"));
        assert_eq!(decode("%4", false), None);
    }
}
