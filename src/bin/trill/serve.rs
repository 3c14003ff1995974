//! `trill serve`: reads the configuration, starts the server, and ends it in good order.

use crate::keys::{DEV_KEY, KeyOptions};
use crate::{files, output};
use clap::Args;
use figment::Figment;
use figment::providers::{Env, Format, Toml};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use trill::base::{Error, ErrorCode, Result};
use trill::server::{ApiKeyConfig, Server, ServerConfig};

/// Files beside the connections of devices: the store, sessions, HTTP requests.
const OTHER_FILES: u64 = 512;

/// Run the server: ringing, call log, LiveKit signalling and SFU
#[derive(Args)]
pub struct ServeCommand {
    #[command(flatten)]
    keys: KeyOptions,
    /// A TOML file (docs/operations.md has every field). The environment (TRILL_HTTP, TRILL_CALLS__RING_TIMEOUT, ...)
    /// goes before it, the options here before both
    #[arg(long, env = "TRILL_CONFIG")]
    config: Option<PathBuf>,
    /// Where HTTP and WebSocket listen [default: 0.0.0.0:7880, with --dev 127.0.0.1:7880]
    #[arg(long)]
    http: Option<SocketAddr>,
    /// The UDP port of all media [default: 0.0.0.0:7882, with --dev that of --http's address]
    #[arg(long)]
    udp: Option<SocketAddr>,
    /// The SQLite file of users and calls [default: trill.db]
    #[arg(long)]
    database: Option<PathBuf>,
    /// Print one JSON object when the server listens and when it ends; log as JSON
    #[arg(long)]
    json: bool,
}

impl ServeCommand {
    pub fn run(self) -> Result<()> {
        output::start_log(self.json, "trill=info");
        let json = self.json;
        let config = self.config()?;
        // A connection is a file. With too few, new devices are turned away, and nothing else happens: a warning will do.
        if let Err(error) = files::allow(config.limits.connections as u64 + OTHER_FILES, "limits.connections") {
            tracing::warn!(%error, "not as many devices can connect as limits.connections allows");
        }
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .map_err(|e| Error::new(ErrorCode::Internal, format!("cannot start threads: {e}")))?;
        let served = runtime.block_on(async {
            // Before the server: a signal that comes while it starts is not lost.
            let stop = stop_signal()?;
            let mut server = Server::start(config).await?;
            let (http, udp) = (server.http_addr(), server.udp_addr());
            if json {
                output::line(
                    serde_json::json!({"event": "listening", "http": http.to_string(), "udp": udp.to_string()}),
                );
            } else {
                println!("listening on http://{http}, media on UDP {udp}; Ctrl-C ends it");
            }
            let outcome = tokio::select! {
                name = stop => {
                    tracing::info!(signal = name, "shutting down");
                    Ok(())
                }
                // With it down devices would be turned away for ever; a supervisor starts it anew.
                error = server.failed() => {
                    tracing::error!(%error, "shutting down");
                    Err(error)
                }
            };
            let again = stop_signal()?;
            tokio::select! {
                () = server.shutdown() => {}
                name = again => tracing::warn!(signal = name, "ended at once, by a second signal"),
            }
            if json {
                output::line(serde_json::json!({"event": "stopped"}));
            }
            outcome
        });
        // To look a webhook's host up cannot be called off, and takes as long as the resolver likes.
        runtime.shutdown_timeout(Duration::from_secs(1));
        served
    }

    /// File, then environment, then options: each goes before the one named earlier.
    fn config(self) -> Result<ServerConfig> {
        let mut figment = Figment::new();
        if let Some(path) = &self.config {
            if !path.is_file() {
                return Err(Error::new(ErrorCode::Configuration, format!("there is no file {}", path.display())));
            }
            figment = figment.merge(Toml::file_exact(path));
        }
        // What is not of the server's: the other commands' own variables.
        let others = ["CONFIG", "API_KEY", "API_SECRET", "TOKEN", "SERVER", "LOG"];
        let environment = Env::prefixed("TRILL_").ignore(&others).split("__");
        let mut config: ServerConfig = figment
            .merge(environment)
            .extract()
            .map_err(|e| Error::new(ErrorCode::Configuration, format!("the configuration is not valid: {e}")))?;
        if self.keys.dev() {
            config.api_keys = vec![ApiKeyConfig { id: DEV_KEY.0.into(), secret: DEV_KEY.1.into() }];
            if self.config.is_none() {
                config.http = SocketAddr::from(([127, 0, 0, 1], 7880));
            }
        } else if let Some((id, secret)) = self.keys.pair() {
            config.api_keys.insert(0, ApiKeyConfig { id, secret });
        }
        if config.api_keys.is_empty() {
            return Err(Error::new(
                ErrorCode::Configuration,
                "no API key: give api_keys in the configuration file, or TRILL_API_KEY and TRILL_API_SECRET, or --dev",
            ));
        }
        if let Some(http) = self.http {
            config.http = http;
        }
        if self.keys.dev() && self.config.is_none() {
            config.udp = SocketAddr::new(config.http.ip(), config.udp.port());
        }
        if let Some(udp) = self.udp {
            config.udp = udp;
        }
        if let Some(database) = self.database {
            config.database = database.to_string_lossy().into_owned();
        }
        if self.keys.dev() && !config.http.ip().is_loopback() {
            tracing::warn!(http = %config.http, "--dev: everyone knows this server's key, and it listens beyond this machine");
        }
        Ok(config)
    }
}

/// Resolves with the name of the first of SIGINT and SIGTERM.
pub fn stop_signal() -> Result<impl Future<Output = &'static str>> {
    let listen =
        |kind| signal(kind).map_err(|e| Error::new(ErrorCode::Internal, format!("cannot listen for signals: {e}")));
    let (mut interrupt, mut terminate) = (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => "SIGINT",
            _ = terminate.recv() => "SIGTERM",
        }
    })
}
