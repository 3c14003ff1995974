//! The examples in docs/ringing-protocol.md are what the code reads and writes.

use serde_json::Value;
use trill::ringing::wire::{ClientMessage, MAX_MESSAGE, RequestMessage, ServerMessage};

const PAGE: &str = include_str!("../docs/ringing-protocol.md");

/// The blocks fenced with "```json <kind>".
fn examples(kind: &str) -> Vec<&'static str> {
    let fence = format!("```json {kind}\n");
    PAGE.split(&fence).skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

fn value(json: &str) -> Value {
    serde_json::from_str(json).unwrap_or_else(|e| panic!("{e}: {json}"))
}

#[test]
fn what_the_page_says_a_device_sends_is_what_the_server_reads() {
    let examples = examples("client");
    assert!(examples.len() >= 8, "{}", examples.len());
    for example in examples {
        let message = ClientMessage::parse(example, MAX_MESSAGE).unwrap_or_else(|e| panic!("{e}: {example}"));
        assert_eq!(value(&message.to_json()), value(example));
        if let ClientMessage::Request(request) = message {
            let parsed = request.parse().unwrap_or_else(|e| panic!("{e}: {example}"));
            assert_eq!(RequestMessage::new(request.id.clone(), &parsed), request);
        }
    }
}

#[test]
fn what_the_page_says_the_server_sends_is_what_a_device_reads() {
    let examples = examples("server");
    assert!(examples.len() >= 6, "{}", examples.len());
    for example in examples {
        let message = ServerMessage::parse(example).unwrap_or_else(|e| panic!("{e}: {example}"));
        assert_ne!(message, ServerMessage::Unknown, "{example}");
        assert_eq!(value(&message.to_json()), value(example));
    }
}
