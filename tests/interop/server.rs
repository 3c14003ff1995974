//! A session server on loopback.

use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use trill::base::{ParticipantIdentity, SessionId, UnixMillis};
use trill::identity::{ApiKey, KeyRing, SessionToken};
use trill::server::sfu::{OpenGate, Sfu, SfuConfig};

pub struct TestServer {
    pub url: String,
    key: ApiKey,
    sfu: Sfu,
    runtime: tokio::runtime::Runtime,
}

impl TestServer {
    pub fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let key = ApiKey::new("interop", "a secret of the interop tests, 32+ bytes").unwrap();
        let (sfu, url) = runtime.block_on(async {
            let mut config = SfuConfig::new("127.0.0.1:0".parse().unwrap(), KeyRing::new(key.clone()));
            // A client that was killed cannot say so: the tests do not wait as long as an owner would.
            config.resume_timeout = Duration::from_secs(5);
            let sfu = Sfu::start(config, Arc::new(OpenGate)).unwrap();
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let url = format!("ws://{}", listener.local_addr().unwrap());
            let router = sfu.router();
            tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
            (sfu, url)
        });
        Self { url, key, sfu, runtime }
    }

    pub fn token(&self, identity: &str) -> String {
        let (identity, room) = (ParticipantIdentity::new(identity).unwrap(), SessionId::new("interop").unwrap());
        let token = SessionToken::for_call(identity.clone(), identity.to_string(), &room);
        token.mint(&self.key, UnixMillis::now(), Duration::from_secs(600))
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.runtime.block_on(self.sfu.shutdown());
    }
}
