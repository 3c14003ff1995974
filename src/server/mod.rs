//! The server its owner hosts: ringing, the call store, sessions.
//!
//! Level 4, on levels 0 and 1 alone: it links neither engine nor devices nor codecs.
//!
//! - [`config`](ServerConfig): what an owner sets.
//! - `http`, `socket`, `api`: REST, and one WebSocket for each device.
//! - `ringing`: the task that owns the ringing machine, and makes each change durable before anybody hears of it.
//! - [`sfu`]: sessions: LiveKit's signalling and the forwarding of media.
//! - `rates`: how often users and addresses may ask.
//! - `rooms`: where ringing and sessions meet.
//! - `store`: users, groups and calls in SQLite, behind one trait; `retention`: how long calls stay in it.
//! - `webhook`: what the owner's backend is told of calls, from an outbox in the store.
//! - `metrics`: what `/metrics` shows.

#![allow(clippy::disallowed_methods, reason = "a driver: this is where time enters")]

mod api;
mod config;
mod http;
mod metrics;
mod rates;
mod retention;
mod ringing;
mod rooms;
pub mod sfu;
mod socket;
mod store;
mod webhook;

pub use config::{ApiKeyConfig, CallConfig, LimitConfig, LogConfig, ProxyNet, ServerConfig};
pub use webhook::WebhookConfig;

use crate::base::{Error, ErrorCode, Result};
use crate::identity::KeyRing;
use crate::ringing::service::Service;
use api::Api;
use metrics::Metrics;
use rates::Rates;
use ringing::{Driver, Ringing};
use sfu::{Sfu, SfuConfig};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use store::{Database, SqliteStore, Store};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use webhook::Delivery;

/// How long a shutdown waits for devices to take their goodbye.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(3);

/// A running server. Dropping it stops it at once; [`Server::shutdown`] says goodbye first.
pub struct Server {
    http_addr: SocketAddr,
    ringing: Ringing,
    sfu: Sfu,
    store: Arc<dyn Store>,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Server {
    /// Opens the store, takes up the calls in it, and listens. Needs a tokio runtime.
    ///
    /// Errors: `configuration`, `port_in_use`, `store_failed`.
    pub async fn start(config: ServerConfig) -> Result<Self> {
        config.check()?;
        let keys = Arc::new(config.keys()?);
        let Database::Sqlite(path) = config.database()?;
        let listener = bind(config.http).await?;
        let http_addr = listener.local_addr().map_err(|e| internal("the HTTP address", e))?;
        let store: Arc<dyn Store> = Arc::new(SqliteStore::open(&path).await?);
        let metrics = Arc::new(Metrics::new()?);
        let service = Service::new(config.service(), config.ping_interval, rand::random());
        let delivery = Delivery::new(&config.webhooks, &keys, store.clone(), metrics.clone()).await?;
        let (webhooks, delivery) = delivery.unzip();
        let (ringing, driver) = Driver::new(service, store.clone(), metrics.clone(), webhooks).await?;

        let gate = Arc::new(rooms::CallGate(ringing.clone()));
        let sfu = Sfu::start(sfu_config(&config, &keys), gate)?;

        let api = Api {
            keys,
            store: store.clone(),
            ringing: ringing.clone(),
            metrics,
            sfu_metrics: sfu.metrics(),
            session_url: config.session_url.as_deref().map(Arc::from),
            session_token_ttl: config.session_token_ttl,
            ping_interval: config.ping_interval,
            trusted_proxies: config.trusted_proxies.clone().into(),
            rates: Arc::new(Rates::new(&config.limits)),
            limits: Arc::new(config.limits.clone()),
        };
        let (stop, stopped) = watch::channel(false);
        let router = http::router(api, sfu.router());
        let (header_timeout, write_timeout) = (config.limits.header_timeout, config.limits.write_timeout);
        let mut tasks = vec![
            tokio::spawn(driver.run(rooms::Rooms(sfu.clone()))),
            tokio::spawn(rooms::report(sfu.events(), ringing.clone())),
            tokio::spawn(http::serve(listener, router, header_timeout, write_timeout, stopped.clone())),
        ];
        if let Some(keep) = config.log.retention() {
            tasks.push(tokio::spawn(retention::run(store.clone(), keep, stop.subscribe())));
        }
        tasks.extend(delivery.map(|delivery| tokio::spawn(delivery.run(stopped))));
        tracing::info!(%http_addr, udp_addr = %sfu.udp_addr(), "server started");
        Ok(Self { http_addr, ringing, sfu, store, stop, tasks })
    }

    /// Where HTTP and WebSocket listen.
    pub fn http_addr(&self) -> SocketAddr {
        self.http_addr
    }

    /// Where media comes in.
    pub fn udp_addr(&self) -> SocketAddr {
        self.sfu.udp_addr()
    }

    /// Waits until one of the server's parts ends by itself. That is a fault of ours, and what is left is of no use to anybody: who runs
    /// the server ends it and starts it anew.
    pub async fn failed(&mut self) -> Error {
        let (ended, at, _) = futures_util::future::select_all(self.tasks.iter_mut()).await;
        // One that has ended is not to be asked again.
        drop(self.tasks.swap_remove(at));
        let how = ended.err().map_or("it ended".to_owned(), |error| error.to_string());
        internal("a part of the server is gone", how)
    }

    /// Tells every device to come back later, finishes what is being stored, and stops. Takes 4 s at the most. Calls
    /// stay in the store: the next start takes them up.
    pub async fn shutdown(mut self) {
        let sfu = self.sfu.clone();
        let tasks = std::mem::take(&mut self.tasks);
        let aborts: Vec<_> = tasks.iter().map(|task| task.abort_handle()).collect();
        let finished = async {
            // With a disk that hangs and a full queue even this waits.
            self.ringing.stop().await;
            self.stop.send_replace(true);
            futures_util::future::join(sfu.shutdown(), futures_util::future::join_all(tasks)).await;
        };
        if tokio::time::timeout(SHUTDOWN_TIMEOUT, finished).await.is_err() {
            aborts.iter().for_each(|task| task.abort());
        }
        tokio::time::timeout(Duration::from_secs(1), self.store.close()).await.ok();
        tracing::info!("server stopped");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.tasks.is_empty() {
            // It was shut down in good order.
            return;
        }
        for task in &self.tasks {
            task.abort();
        }
        // Outside of a runtime there is nothing left that runs.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let (sfu, store) = (self.sfu.clone(), self.store.clone());
            runtime.spawn(async move {
                sfu.shutdown().await;
                store.close().await;
            });
        }
    }
}

fn sfu_config(config: &ServerConfig, keys: &KeyRing) -> SfuConfig {
    let mut sfu = SfuConfig::new(config.udp, keys.clone());
    sfu.advertised_ips = config.advertised_ips.clone();
    sfu.ice_servers = config.ice_servers.clone();
    sfu.left_alone_timeout = config.calls.left_alone;
    sfu.empty_timeout = config.calls.empty_session;
    sfu.limits.participants = config.limits.participants;
    sfu
}

async fn bind(address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| match error.kind() {
        std::io::ErrorKind::AddrInUse => {
            Error::new(ErrorCode::PortInUse, format!("http: another program listens on {address}"))
        }
        _ => Error::new(ErrorCode::Configuration, format!("http: cannot listen on {address}: {error}")),
    })
}

fn internal(doing: &str, error: impl std::fmt::Display) -> Error {
    Error::new(ErrorCode::Internal, format!("{doing}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[tokio::test]
    async fn a_part_that_ends_by_itself_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let key = ApiKeyConfig { id: "key".into(), secret: "a secret of the server's tests, 32+ bytes".into() };
        let config = ServerConfig {
            http: SocketAddr::from(([127, 0, 0, 1], 0)),
            udp: SocketAddr::from(([127, 0, 0, 1], 0)),
            database: folder.path().join("trill.db").to_string_lossy().into_owned(),
            api_keys: vec![key],
            ..ServerConfig::default()
        };
        let mut server = Server::start(config).await.unwrap();
        assert!(server.failed().now_or_never().is_none(), "it is whole");
        server.tasks[0].abort();
        let told = tokio::time::timeout(Duration::from_secs(10), server.failed()).await.unwrap();
        assert_eq!(told.code(), crate::base::ErrorCode::Internal);
        server.shutdown().await;
    }
}
