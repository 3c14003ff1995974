//! A push's way: from a callee without a device, by the owner's webhook, into an app in C that is woken by it.

use super::{Host, compile, run, user_token};
use std::process::Command;
use std::sync::mpsc;
use std::time::Duration;
use trill::base::Uid;
use trill::engine::{Engine, EngineConfig};
use trill::ringing::CallType;
use trill::ringing::webhook::{Notice, NoticeKind};
use trill::ringing::wire::Initiate;

/// The owner's receiver of webhooks: its URL, and what comes in.
fn receiver(runtime: &tokio::runtime::Runtime) -> (String, mpsc::Receiver<Notice>) {
    let (sender, notices) = mpsc::channel();
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let router = axum::Router::new().fallback(async move |body: String| {
        // The test may be over.
        sender.send(serde_json::from_str(&body).unwrap()).ok();
    });
    runtime.spawn(async move { axum::serve(listener, router).await });
    (url, notices)
}

#[test]
fn an_app_in_c_is_woken_by_a_push_and_knows_what_became_of_the_call() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (url, notices) = receiver(&runtime);
    let host = Host::start_with(|config| {
        config.webhooks.urls = vec![url];
        config.webhooks.events = vec![NoticeKind::Wake];
    });
    let folder = tempfile::tempdir().unwrap();
    let program = compile(folder.path(), "push.c", &["-fsanitize=address,undefined", "-fno-sanitize-recover"]);
    let engine = || Engine::with_queue(EngineConfig::default()).unwrap();
    let ((alice, _events), (bob, _)) = (engine(), engine());
    alice.log_in(host.url.as_str(), user_token("alice")).wait().unwrap();
    // Known, and gone: his next device is the one that the push wakes.
    bob.log_in(host.url.as_str(), user_token("bob")).wait().unwrap();
    bob.log_out().wait().unwrap();
    let call = alice.initiate_call(Initiate::user(&Uid::new("bob").unwrap(), CallType::Audio)).wait().unwrap();
    let notice = notices.recv_timeout(Duration::from_secs(20)).expect("a webhook with a payload");
    assert_eq!(notice.call.session_id, call.session_id);
    let output = run(Command::new(program)
        .args([&host.url, &user_token("bob"), &user_token("carol")])
        .arg(notice.wake.unwrap().payload));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "woken\n");
}
