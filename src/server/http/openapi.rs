//! The REST API as an OpenAPI 3.1 document, for generated clients and for tests that try the server against it.
//!
//! It is written by hand: the messages belong to `ringing`, which knows no HTTP. Its enums are filled in from the code,
//! and `scripts/test` runs schemathesis with it against a server.

use crate::base::ErrorCode;
use crate::ringing::{CallStatus, CallType, Category, Direction, EndReason, ParticipantState, ReceiverType};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use std::sync::LazyLock;

static DOCUMENT: LazyLock<String> = LazyLock::new(|| document().to_string());

pub(super) async fn serve() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], DOCUMENT.as_str()).into_response()
}

fn document() -> Value {
    let mut document: Value =
        serde_json::from_str(include_str!("openapi.json")).expect("a file of our own, parsed by a test");
    document["info"]["version"] = env!("CARGO_PKG_VERSION").into();
    let mut fill = |schema: &str, names: Vec<&str>| document["components"]["schemas"][schema]["enum"] = names.into();
    fill("CallStatus", CallStatus::ALL.iter().map(|value| value.name()).collect());
    fill("CallType", CallType::ALL.iter().map(|value| value.name()).collect());
    fill("Category", Category::ALL.iter().map(|value| value.name()).collect());
    fill("Direction", Direction::ALL.iter().map(|value| value.name()).collect());
    fill("EndReason", EndReason::ALL.iter().map(|value| value.name()).collect());
    fill("ErrorCode", ErrorCode::ALL.iter().map(|code| code.name()).collect());
    fill("ParticipantState", ParticipantState::ALL.iter().map(|value| value.name()).collect());
    fill("ReceiverType", ReceiverType::ALL.iter().map(|value| value.name()).collect());
    document
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ringing::LogFilter;

    #[test]
    fn it_is_whole_and_every_reference_leads_somewhere() {
        let document = document();
        assert_eq!(document["openapi"], "3.1.0");
        let mut found = 0;
        references(&document, &mut |reference| {
            assert!(document.pointer(reference.trim_start_matches('#')).is_some(), "{reference}");
            found += 1;
        });
        assert!(found > 50, "{found}");
        for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
            assert!(schema["enum"].as_array().is_none_or(|names| !names.is_empty()), "{name} is not filled in");
        }
    }

    fn references(value: &Value, see: &mut impl FnMut(&str)) {
        match value {
            Value::Object(fields) => fields.iter().for_each(|(name, value)| match value {
                Value::String(reference) if name == "$ref" => see(reference),
                value => references(value, see),
            }),
            Value::Array(values) => values.iter().for_each(|value| references(value, see)),
            _ => {}
        }
    }

    #[test]
    fn its_limits_are_those_of_the_code() {
        let document = document();
        let limit = &document["components"]["parameters"]["Limit"]["schema"];
        assert_eq!(limit["maximum"], LogFilter::MAX_LIMIT);
        assert_eq!(limit["default"], LogFilter::DEFAULT_LIMIT);
    }
}
