//! The examples in docs/webhooks.md are what the server posts, and what checks it.
#![cfg(feature = "server")]

use serde_json::Value;
use std::io::Write;
use std::process::{Command, Stdio};
use trill::base::UnixMillis;
use trill::identity::{ApiKey, KeyRing, WebhookSigner};
use trill::ringing::webhook::{Notice, NoticeKind};

const PAGE: &str = include_str!("../docs/webhooks.md");

const SECRET: &str = "a secret that is long enough to sign with";

fn examples(fence: &str) -> Vec<&'static str> {
    let fence = format!("```{fence}\n");
    PAGE.split(&fence).skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

#[test]
fn what_the_page_says_is_posted_is_what_the_server_writes() {
    let examples = examples("json notice");
    assert_eq!(examples.len(), 2);
    for example in examples {
        let notice: Notice = serde_json::from_str(example).unwrap_or_else(|e| panic!("{e}: {example}"));
        let expected: Value = serde_json::from_str(example).unwrap();
        assert_eq!(serde_json::to_value(&notice).unwrap(), expected);
    }
}

#[test]
fn the_page_names_every_event() {
    for kind in NoticeKind::ALL {
        assert!(PAGE.contains(&format!("`{kind}`")), "{kind}");
    }
}

/// Runs `program` on the page's code and what the server would have sent; it prints what `verify` returned.
fn verified(program: &[&str], code: &str, call: &str, body: &str, altered: &str) -> String {
    let keys = KeyRing::new(ApiKey::new("k", SECRET).unwrap());
    let now = UnixMillis::now();
    let headers = serde_json::json!({
        "webhook-id": "msg_1",
        "webhook-timestamp": now.as_secs().to_string(),
        "webhook-signature": WebhookSigner::of_keys(&keys).sign("msg_1", now, body.as_bytes()),
    });
    let input = serde_json::json!({"key": SECRET, "headers": headers, "body": altered});
    let mut child = Command::new(program[0])
        .args(&program[1..])
        .arg(format!("{code}\n{call}"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|e| panic!("{} is needed for this test (scripts/setup test): {e}", program[0]));
    child.stdin.take().unwrap().write_all(input.to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap().trim().to_lowercase()
}

#[test]
fn the_pages_code_accepts_what_the_server_signed_and_nothing_else() {
    let python = "import json, sys\ni = json.load(sys.stdin)\nprint(verify(i['key'].encode(), i['headers'], i['body'].encode()))";
    let js = "const i = JSON.parse(require('node:fs').readFileSync(0));\nconsole.log(verify(i.key, i.headers, Buffer.from(i.body)));";
    for (fence, program, call) in [("python", ["python3", "-c"], python), ("js", ["node", "-e"], js)] {
        let code = examples(fence)[0];
        assert_eq!(verified(&program, code, call, "{\"é\": 1}", "{\"é\": 1}"), "true", "{fence}");
        assert_eq!(verified(&program, code, call, "{\"é\": 1}", "{\"é\": 2}"), "false", "{fence}");
    }
}
