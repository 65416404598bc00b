//! Fields of JSON and of forms, by path.

use serde_json::Value;

/// Reads a body; none if it is not what it should be.
pub(super) fn read(body: &[u8], form: bool) -> Option<Value> {
    if form {
        let pairs = form_urlencoded::parse(body);
        return Some(Value::Object(
            pairs.map(|(key, value)| (key.into(), Value::String(value.into()))).collect(),
        ));
    }
    serde_json::from_slice(body).ok()
}

/// Returns what stands at a path: keys and places joined by dots, or `$` for the whole.
pub(super) fn at<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    if path == "$" {
        return Some(value);
    }
    path.split('.').try_fold(value, |value, key| match value {
        Value::Array(items) => items.get(key.parse::<usize>().ok()?),
        Value::Object(fields) => fields.get(key),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    })
}

/// Returns the text, number or boolean at a path, if it is not empty.
pub(super) fn text(value: &Value, path: &str) -> Option<String> {
    let text = match at(value, path)? {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Bool(is) => is.to_string(),
        Value::Null | Value::Array(_) | Value::Object(_) => return None,
    };
    (!text.is_empty()).then_some(text)
}
